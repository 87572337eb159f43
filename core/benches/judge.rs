//! What does one message cost (a commitment: at most 1.15 times its floor)?
//!
//! The floor of a commitment is what nobody can avoid: one bare libsecp256k1 recovery and its three keccaks. Beside it runs the same
//! commitment through the public surface. Both see the same distinct commitments in turn, so that neither lives off a warm cache.
//!
//! Criterion times one after the other; on a shared machine the second may see other neighbours than the first. So the ratio is measured
//! apart, in short alternating rounds, and printed at the end.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use preconf_core::{
    Action, Address, B256, Bytes, COMMITMENT_BYTES, Config, ConnectionId, Core, DEFAULT_DOMAIN, Direction, Event, FrameDecoder, Input,
    MAX_TXLIST_BYTES, Now, Output, PRECONFIRMATION_BYTES, PeerId, RawTxList, SIGNED_COMMITMENT_BYTES, SignedCommitment, Time, Topic,
    UnixTime, Update, Verdict, Window, address_of, frame_prefix, keccak256, message_id, preconfirmation_hash, recover,
};
use preconf_writer::{CHAIN, Writer, key};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

/// Distinct commitments that every judge sees in turn.
const COMMITMENTS: usize = 256;
/// Rounds of the ratio, each all commitments once by either judge.
const ROUNDS: usize = 101;

/// End of the one window, in unix seconds.
const WINDOW_END: u64 = 10_000;
/// A moment inside of it.
const NOW: Now = Now { mono: Time::ZERO, unix: UnixTime::from_secs(2_000) };

type Signed = [u8; SIGNED_COMMITMENT_BYTES];

/// The floor: what any implementation must do to know what a commitment is called and who signed it.
fn floor(bytes: &Signed) -> (B256, Address) {
    let name = keccak256(&bytes[..PRECONFIRMATION_BYTES]);
    let mut preimage = [0; 32 + COMMITMENT_BYTES];
    preimage[..32].copy_from_slice(DEFAULT_DOMAIN.as_slice());
    preimage[32..].copy_from_slice(&bytes[..COMMITMENT_BYTES]);
    let message = Message::from_digest(keccak256(preimage).0);
    let (compact, v) = bytes[COMMITMENT_BYTES..].split_at(64);
    let id = RecoveryId::try_from(i32::from(v[0])).expect("our own signature");
    let signature = RecoverableSignature::from_compact(compact, id).expect("our own signature");
    let key = signature.recover_ecdsa(message).expect("our own signature");
    (name, Address::from_raw_public_key(&key.serialize_uncompressed()[1..]))
}

/// The same through the public surface, strictly decoded first.
fn stateless(bytes: &Signed) -> (B256, Address) {
    let signed = SignedCommitment::decode(bytes).expect("our own commitment");
    (preconfirmation_hash(&signed), recover(&signed, DEFAULT_DOMAIN).expect("our own signature"))
}

/// A node that has one peer and one window, and what that peer gossips to it.
fn scene(chain: &[Signed]) -> (Core, Vec<Input>) {
    let peer = PeerId::from_bytes(&[0, 4, 1, 2, 3, 4]).expect("six bytes");
    let mut core = Core::new(Config::new(CHAIN), [7; 32], NOW).expect("the defaults are allowed");
    let window = Window { start: 0, end: WINDOW_END, preconfer: address_of(&key(7)), settled_at: Some(0) };
    core.handle_update(NOW, Update::Schedule(vec![window])).expect("a window");
    let opened = Input::ConnectionOpened { peer, connection: ConnectionId(1), direction: Direction::Inbound, address: None, dial: None };
    core.handle_input(NOW, opened);
    while core.poll_output().is_some() {}
    let gossip = |bytes: &Signed| {
        let message = message_id(CHAIN, Topic::Commitments, bytes);
        Input::GossipReceived { peer, message, topic: Topic::Commitments, data: Bytes::copy_from_slice(bytes) }
    };
    (core, chain.iter().map(gossip).collect())
}

/// The whole way through the machine: gossip in, signer recovered, accepted by every rule, told to gossip and to the application.
fn machine(core: &mut Core, gossip: Vec<Input>) {
    let (mut events, mut verdicts, sent) = (0, 0, gossip.len());
    for input in gossip {
        core.handle_input(NOW, input);
        while let Some(output) = core.poll_output() {
            match output {
                Output::Job(job) => core.handle_input(NOW, Input::JobFinished(job.run())),
                Output::App(Event::CommitmentAccepted { .. }) => events += 1,
                Output::Net(Action::ReportGossip { verdict: Verdict::Accept, .. }) => verdicts += 1,
                Output::Net(_) | Output::App(_) | Output::Persist { .. } => {}
            }
        }
    }
    assert_eq!((events, verdicts), (sent, sent), "a commitment was not accepted");
}

/// A linked chain, each commitment the parent of the next.
fn chain() -> Vec<Signed> {
    let mut writer = Writer { timestamp: 1_000, window_end: WINDOW_END, ..Writer::new(7) };
    let next = |number: usize| *writer.write(|preconf| preconf.raw_tx_list_hash = keccak256(number.to_le_bytes())).as_bytes();
    (1..=COMMITMENTS).map(next).collect()
}

fn commitments(c: &mut Criterion) {
    let chain = chain();
    let mut group = c.benchmark_group("commitment");
    group.throughput(Throughput::Elements(1));
    for (name, judge) in [("floor", floor as fn(&Signed) -> _), ("decode, hash, recover", stateless)] {
        let mut turn = chain.iter().cycle();
        group.bench_function(name, |b| b.iter(|| judge(black_box(turn.next().expect("a cycle has no end")))));
    }
    group.throughput(Throughput::Elements(COMMITMENTS as u64));
    group.bench_function("256 of them: floor", |b| b.iter(|| each(&chain, floor)));
    group.bench_function("256 of them: the whole machine", |b| {
        b.iter_batched_ref(|| scene(&chain), |(core, gossip)| machine(core, std::mem::take(gossip)), BatchSize::LargeInput);
    });
    group.finish();
}

fn messages(c: &mut Criterion) {
    let txlist: Bytes = (0..MAX_TXLIST_BYTES).map(|i| (i % 251) as u8).collect();
    let encoded = RawTxList { hash: B256::ZERO, txlist: txlist.clone() }.encode();
    let (prefix, len) = frame_prefix(encoded.len() as u32);
    let framed = [&prefix[..len], &encoded].concat();
    let commitment = chain().swap_remove(0);

    let mut group = c.benchmark_group("2 MiB");
    group.throughput(Throughput::Bytes(MAX_TXLIST_BYTES as u64));
    group.bench_function("frame, in chunks of 16 KiB", |b| b.iter(|| read_frame(black_box(&framed), 16 << 10)));
    group.bench_function("decode a txlist", |b| b.iter(|| RawTxList::decode(black_box(&encoded), MAX_TXLIST_BYTES)));
    group.bench_function("hash a txlist", |b| b.iter(|| keccak256(black_box(&txlist))));
    group.bench_function("name a txlist message", |b| b.iter(|| message_id(CHAIN, Topic::TxLists, black_box(&encoded))));
    group.finish();
    c.bench_function("name a commitment message", |b| b.iter(|| message_id(CHAIN, Topic::Commitments, black_box(&commitment))));
}

fn read_frame(framed: &[u8], chunk_bytes: usize) -> Bytes {
    let mut decoder = FrameDecoder::new(framed.len() as u32);
    let mut chunks = framed.chunks(chunk_bytes);
    loop {
        let mut chunk = chunks.next().expect("the frame ends with the last chunk");
        if let Some(frame) = decoder.decode(&mut chunk).expect("a good frame") {
            return frame;
        }
    }
}

fn each(chain: &[Signed], judge: impl Fn(&Signed) -> (B256, Address)) {
    for bytes in chain {
        black_box(judge(black_box(bytes)));
    }
}

/// Prints how much longer than the floor a judge takes: the median over short alternating rounds.
fn print_ratio(name: &str, mut judge: impl FnMut() -> Duration) {
    let chain = chain();
    let mut ratios: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let floor = timed(|| each(&chain, floor));
            judge().as_nanos() * 1000 / floor.as_nanos().max(1)
        })
        .collect();
    ratios.sort_unstable();
    let show = |thousandths: u128| format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    let (low, median, high) = (ratios[ROUNDS / 10], ratios[ROUNDS / 2], ratios[ROUNDS * 9 / 10]);
    println!("{name}: {} times the floor (p10 {}, p90 {}, {ROUNDS} rounds)", show(median), show(low), show(high));
}

#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench measures; the core it measures has no clock")]
fn timed(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

criterion_group!(benches, commitments, messages);

fn main() {
    benches();
    let chain = chain();
    print_ratio("decode, hash, recover", || timed(|| each(&chain, stateless)));
    print_ratio("the whole machine", || {
        let (mut core, gossip) = scene(&chain);
        timed(|| machine(&mut core, gossip))
    });
    Criterion::default().configure_from_args().final_summary();
}
