//! A short life of a node, and anything that a node may be told.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use preconf_core::*;
use preconf_trace::{Header, Recorder, Tape, Writer};
use proptest::prelude::*;

pub(crate) const CHAIN: ChainId = ChainId(167_000);
pub(crate) const START: u64 = 1_800_000_000;

pub(crate) fn at(ms: u64) -> Now {
    Now { mono: Time::from_millis(ms), unix: UnixTime(UnixTime::from_secs(START).0 + ms * 1_000) }
}

pub(crate) fn peer(name: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, name]).unwrap()
}

pub(crate) fn config() -> Config {
    Config::new(CHAIN)
}

/// A signed block, the first one above the sync tip, and its txlist.
pub(crate) fn block() -> (SignedCommitment, Bytes, Window) {
    let key = SecretKey::from_secret_bytes([1; 32]).unwrap();
    let window = Window { start: START, end: START + 100, preconfer: address_of(&key), settled_at: Some(0) };
    let txlist = Bytes::from_static(b"transactions");
    (signed(1, B256::ZERO, &txlist), txlist, window)
}

/// The block after it, as peer 1 gossips it.
pub(crate) fn child_of_block() -> (Now, Told) {
    let child = signed(2, preconfirmation_hash(&block().0), b"more transactions");
    let (topic, data) = (Topic::Commitments, Bytes::copy_from_slice(child.as_bytes()));
    (at(21_000), Told::Input(Input::GossipReceived { peer: peer(1), message: message_id(CHAIN, topic, &data), topic, data }))
}

fn signed(number: u64, parent: B256, txlist: &[u8]) -> SignedCommitment {
    let preconf = Preconfirmation {
        block_number: U256::from(number),
        timestamp: U256::from(START + number),
        gas_limit: U256::from(30_000_000),
        raw_tx_list_hash: keccak256(txlist),
        parent_preconfirmation_hash: parent,
        submission_window_end: U256::from(START + 100),
        ..Preconfirmation::default()
    };
    let key = SecretKey::from_secret_bytes([1; 32]).unwrap();
    sign(PreconfCommitment { preconf, ..PreconfCommitment::default() }, &key, DEFAULT_DOMAIN)
}

/// What a short life is made of: peers come, one brings a block, one garbage, one asks; a command is refused; time passes.
pub(crate) fn life() -> Vec<(Now, Told)> {
    let (signed, txlist, window) = block();
    let opened = |name: u8, ms| {
        let (connection, address) = (ConnectionId(name.into()), Some([10, 0, 0, name].into()));
        (at(ms), Told::Input(Input::ConnectionOpened { peer: peer(name), connection, direction: Direction::Inbound, address, dial: None }))
    };
    let gossip = |name, ms, topic, data: Bytes| {
        (at(ms), Told::Input(Input::GossipReceived { peer: peer(name), message: message_id(CHAIN, topic, &data), topic, data }))
    };
    let ask = Input::RequestReceived {
        peer: peer(2),
        channel: ChannelId(1),
        protocol: Protocol::GetHead,
        body: Bytes::copy_from_slice(&GetHeadRequest::BYTES),
    };
    let list = RawTxList { hash: keccak256(&txlist), txlist }.encode();
    vec![
        (at(0), Told::Update(Update::Schedule(vec![window]))),
        opened(1, 5),
        opened(2, 6),
        gossip(1, 1_200, Topic::Commitments, Bytes::copy_from_slice(signed.as_bytes())),
        gossip(2, 1_210, Topic::Commitments, Bytes::from_static(b"garbage")),
        (at(1_300), Told::Command(Command::GetHead { peer: Some(peer(9)) })),
        gossip(1, 1_250, Topic::TxLists, list), // a clock that goes back
        (at(2_000), Told::Input(ask)),
        (at(20_000), Told::Timeout),
    ]
}

/// One thing that the node is told; jobs come back by themselves.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Input(Input),
    Command(Command),
    Update(Update),
    Timeout,
}

/// Lives a life on a recorder: takes all outputs after each step, and brings jobs back at once.
pub(crate) fn live<W: std::io::Write>(node: &mut Recorder<W>, life: Vec<(Now, Told)>) -> Vec<Output> {
    let mut said = Vec::new();
    for (now, told) in life {
        match told {
            Told::Input(input) => node.handle_input(now, input),
            Told::Command(command) => drop(node.handle_command(now, command)),
            Told::Update(update) => node.handle_update(now, update).unwrap(),
            Told::Timeout => node.handle_timeout(now),
        }
        let mut jobs = VecDeque::new();
        loop {
            while let Some(output) = node.poll_output() {
                if let Output::Job(job) = &output {
                    jobs.push_back(job.clone());
                }
                said.push(output);
            }
            let Some(job) = jobs.pop_front() else { break };
            node.handle_input(now, Input::JobFinished(job.run()));
        }
    }
    said
}

/// The trace of the short life.
pub(crate) fn trace_of_life() -> Vec<u8> {
    let mut trace = Vec::new();
    let tape = Tape { to: &mut trace, max_bytes: u64::MAX };
    let mut node = Recorder::start(config(), [7; 32], at(0), Some(tape)).unwrap();
    assert!(live(&mut node, life()).len() > 10, "a life with something in it");
    drop(node);
    trace
}

pub(crate) fn header() -> Header {
    Header::new(&config(), [7; 32], at(0))
}

pub(crate) fn writer(trace: &mut Vec<u8>) -> Writer<&mut Vec<u8>> {
    Writer::new(trace, &header(), u64::MAX).unwrap()
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn peers() -> impl Strategy<Value = PeerId> {
    prop::collection::vec(any::<u8>(), 1..=44).prop_map(|bytes| PeerId::from_bytes(&bytes).unwrap())
}

fn topics() -> impl Strategy<Value = Topic> {
    prop::sample::select(Topic::ALL.to_vec())
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop::sample::select(Protocol::ALL.to_vec())
}

fn hashes() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

fn addresses() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::from)
}

fn subnets() -> impl Strategy<Value = Cidr> {
    (any::<IpAddr>(), any::<u8>()).prop_map(|(address, prefix)| Cidr::around(address, prefix))
}

fn commitments() -> impl Strategy<Value = SignedCommitment> {
    let signature = prop::collection::vec(any::<u8>(), 65).prop_map(|bytes| <[u8; 65]>::try_from(bytes).unwrap());
    (any::<bool>(), any::<[u8; 32]>(), addresses(), signature).prop_map(|(eop, number, slasher_address, signature)| {
        let preconf = Preconfirmation { eop, block_number: U256::from_le_bytes(number), ..Preconfirmation::default() };
        SignedCommitment::new(PreconfCommitment { preconf, slasher_address }, signature)
    })
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let window = (any::<u64>(), any::<u64>(), addresses(), any::<Option<u64>>());
    prop::collection::vec(window.prop_map(|(start, end, preconfer, settled_at)| Window { start, end, preconfer, settled_at }), 0..5)
}

fn records() -> impl Strategy<Value = Record> {
    prop_oneof![
        any::<u64>().prop_map(|at| Record::Began { at: UnixTime(at) }),
        (addresses(), commitments(), prop::option::of(bytes()))
            .prop_map(|(signer, signed, txlist)| Record::Committed(Box::new(OwnCommitment { signer, signed, txlist }))),
        windows().prop_map(Record::Schedule),
        (any::<u64>(), prop::option::of(hashes()))
            .prop_map(|(block_number, preconfirmation_hash)| Record::SyncTip(SyncTip { block_number, preconfirmation_hash })),
        (addresses(), any::<u64>(), any::<u64>()).prop_map(|(signer, number, window_end)| {
            let (block_number, submission_window_end) = (U256::from(number), U256::from(window_end));
            let preconf = Preconfirmation { block_number, submission_window_end, ..Preconfirmation::default() };
            let signed = SignedCommitment::new(PreconfCommitment { preconf, ..PreconfCommitment::default() }, [7; 65]);
            Record::Commitment(Arc::new(Accepted::of(signed, signer).unwrap()))
        }),
        any::<u64>().prop_map(|from| Record::ChainDropped { from }),
        (hashes(), bytes()).prop_map(|(hash, txlist)| Record::TxList { hash, txlist }),
        (commitments(), commitments(), addresses()).prop_map(|(first, second, signer)| Record::Evidence {
            evidence: Box::new(Evidence { fault: Fault::BrokenLink, first, second }),
            signer
        }),
        (peers(), any::<i64>(), any::<u64>(), any::<Option<u64>>()).prop_map(|(peer, score, as_of, ban_ends)| Record::Peer {
            peer,
            score,
            as_of: UnixTime(as_of),
            ban_ends: ban_ends.map(UnixTime)
        }),
    ]
}

pub(crate) fn times() -> impl Strategy<Value = Now> {
    let near = (0..1u64 << 40, 0..1u64 << 52);
    prop_oneof![4 => near, 1 => any::<(u64, u64)>()].prop_map(|(mono, unix)| Now { mono: Time(mono), unix: UnixTime(unix) })
}

/// Every input there is.
pub(crate) fn inputs() -> impl Strategy<Value = Input> {
    use Input::*;
    let failures = prop::sample::select(vec![
        RequestFailure::Timeout,
        RequestFailure::Closed,
        RequestFailure::Unreachable,
        RequestFailure::Unsupported,
        RequestFailure::BadFrame,
    ]);
    let dials = prop::sample::select(vec![DialFailure::Unreachable, DialFailure::WrongPeer, DialFailure::Undialable, DialFailure::Denied]);
    let outcomes = prop::sample::select(vec![
        PublishOutcome::Sent,
        PublishOutcome::NoPeers,
        PublishOutcome::Busy,
        PublishOutcome::Duplicate,
        PublishOutcome::Refused,
    ]);
    let founds = prop_oneof![prop::option::of(addresses()).prop_map(Found::Signer), hashes().prop_map(Found::Hash)];
    let directions = prop::sample::select(vec![Direction::Inbound, Direction::Outbound]);
    prop_oneof![
        (peers(), any::<u64>(), directions, any::<Option<IpAddr>>(), any::<Option<u64>>()).prop_map(
            |(peer, connection, direction, address, dial)| ConnectionOpened {
                peer,
                connection: ConnectionId(connection),
                direction,
                address,
                dial: dial.map(DialId)
            }
        ),
        (peers(), any::<u64>()).prop_map(|(peer, connection)| ConnectionClosed { peer, connection: ConnectionId(connection) }),
        (any::<u64>(), dials).prop_map(|(dial, failure)| DialFailed { dial: DialId(dial), failure }),
        (peers(), any::<[bool; 4]>()).prop_map(|(peer, [get_head, get_commitments, get_txlist, gossip])| PeerIdentified {
            peer,
            protocols: SupportedProtocols { get_head, get_commitments, get_txlist, gossip }
        }),
        (peers(), any::<std::net::IpAddr>()).prop_map(|(peer, address)| AddressObserved { peer, address }),
        (peers(), topics()).prop_map(|(peer, topic)| PeerSubscribed { peer, topic }),
        (peers(), topics()).prop_map(|(peer, topic)| PeerUnsubscribed { peer, topic }),
        (peers(), any::<[u8; 20]>(), topics(), bytes()).prop_map(|(peer, message, topic, data)| GossipReceived {
            peer,
            message: MessageId(message),
            topic,
            data
        }),
        (peers(), any::<u64>(), protocols(), bytes()).prop_map(|(peer, channel, protocol, body)| RequestReceived {
            peer,
            channel: ChannelId(channel),
            protocol,
            body
        }),
        peers().prop_map(|peer| RequestBroken { peer }),
        any::<u64>().prop_map(|channel| ChannelClosed { channel: ChannelId(channel) }),
        (any::<u64>(), bytes()).prop_map(|(request, body)| ResponseReceived { request: RequestId(request), body }),
        (any::<u64>(), failures).prop_map(|(request, failure)| RequestFailed { request: RequestId(request), failure }),
        (any::<u64>(), outcomes).prop_map(|(publish, outcome)| PublishFinished { publish: PublishId(publish), outcome }),
        any::<u64>().prop_map(|id| Persisted { id: PersistId(id) }),
        any::<u64>().prop_map(|id| PersistFailed { id: PersistId(id), failure: StorageFailure::Gone }),
        any::<u64>().prop_map(|since| ReadingStopped { since: Time(since) }),
        Just(ReadingResumed),
        (any::<u64>(), founds).prop_map(|(id, found)| JobFinished(JobDone { id: JobId(id), found })),
    ]
}

/// Every command there is.
pub(crate) fn commands() -> impl Strategy<Value = Command> {
    use Command::*;
    let asks = prop_oneof![
        prop::option::of(peers()).prop_map(|peer| GetHead { peer }),
        (any::<u64>(), any::<u32>(), prop::option::of(peers())).prop_map(|(start, count, peer)| GetCommitments { start, count, peer }),
        (hashes(), prop::option::of(peers())).prop_map(|(hash, peer)| GetTxList { hash, peer }),
        ".{0,80}".prop_map(|address| Dial { address }),
    ];
    let blocks = (commitments(), bytes()).prop_map(|(commitment, txlist)| PublishBlock { commitment: Box::new(commitment), txlist });
    prop_oneof![commitments().prop_map(|signed| PublishCommitment(Box::new(signed))), bytes().prop_map(PublishTxList), blocks, asks]
}

/// Every update there is.
pub(crate) fn updates() -> impl Strategy<Value = Update> {
    use Update::*;
    let of_peers = (peers(), 0..8).prop_map(|(peer, which)| match which {
        0 => Disconnect { peer },
        1 => BlockPeer { peer },
        2 => UnblockPeer { peer },
        3 => Protect { peer },
        4 => Unprotect { peer },
        5 => Trust { peer },
        6 => Distrust { peer },
        _ => LiftBan { peer },
    });
    prop_oneof![
        of_peers,
        any::<IpAddr>().prop_map(|address| BlockAddress { address }),
        any::<IpAddr>().prop_map(|address| UnblockAddress { address }),
        subnets().prop_map(|subnet| BlockSubnet { subnet }),
        subnets().prop_map(|subnet| UnblockSubnet { subnet }),
        windows().prop_map(Schedule),
        (any::<u64>(), prop::option::of(hashes()))
            .prop_map(|(block_number, preconfirmation_hash)| MoveSyncTip(SyncTip { block_number, preconfirmation_hash })),
        prop::collection::vec(records(), 0..5).prop_map(Restore),
        any::<u64>().prop_map(|window_end| OverrideSyncing { window_end }),
        any::<u64>().prop_map(|block_number| MarkExecuted { block_number }),
        any::<u64>().prop_map(|block_number| MarkFailed { block_number }),
    ]
}

/// A configuration with other values than the defaults in many places.
pub(crate) fn configs() -> impl Strategy<Value = Config> {
    let spans = prop::collection::vec(any::<Duration>(), 3);
    let lists = (prop::collection::vec(peers(), 0..4), prop::collection::vec(".{0,40}", 0..3), prop::collection::vec(subnets(), 0..4));
    let rules = (any::<Option<u64>>(), any::<Option<(u64, u64)>>(), any::<bool>());
    (any::<u64>(), hashes(), prop::option::of(addresses()), spans, lists, rules, any::<(i64, u32, usize)>()).prop_map(
        |(chain, domain, slasher, spans, (trusted, static_peers, subnets), (step, range, holds), (weight, count, size))| {
            let mut config = Config::new(ChainId(chain));
            (config.domain, config.slasher) = (domain, slasher);
            (config.late_grace, config.heads_every, config.score.ban_for) = (spans[0], spans[1], spans[2]);
            (config.trusted, config.static_peers, config.gater.blocked_subnets) = (trusted, static_peers, subnets);
            (config.parent_rules.gas_limit_step_millionths, config.parent_rules.timestamp_grows) = (step, holds);
            config.parent_rules.gas_limit_range = range.map(|(from, to)| from..=to);
            (config.score.weights.timeout, config.connections.total, config.max_held) = (weight, count, size);
            config.request_limit.kind = if holds { LimitKind::FixedWindow } else { LimitKind::TokenBucket };
            config
        },
    )
}
