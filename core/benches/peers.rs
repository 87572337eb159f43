//! What does a step cost in a crowd?
//!
//! A machine that has met 10 000 peers, remembers as many of them as P7.6 lets it, and is connected to 220. Two claims, both printed:
//! one step of daily life takes less than 20 µs at the 99th percentile and less than 100 µs at the 99.9th, and a malformed commitment less
//! than 2 µs. A choice among the peers is one pass over them, so a step may grow with their number, never with its square.
//!
//! Outputs are drained outside of the measured span; so is the work of jobs, which is not the machine's. What follows from a step (an answer, a
//! deadline) is a step of its own.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a bench measures; the core it measures has no clock")]

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use preconf_core::{
    Action, B256, Bytes, ChainId, ChainLabel, ChannelId, Command, Config, ConnectionId, ConnectionLimits, Core, DialFailure, Direction,
    DiscoveryConfig, GetHeadRequest, Input, MessageId, NodeRecord, Now, Output, PeerId, PreconfHead, Protocol, RawTxList, RequestId,
    Spoken, Time, Timer, Topic, UnixTime, Update,
};

/// Peers that the machine has met.
const MET: u32 = 10_000;
/// Peers that are connected.
const CONNECTED: u32 = 220;
/// Steps of daily life that are measured.
const STEPS: u32 = 200_000;

fn peer(n: u32) -> PeerId {
    PeerId::from_bytes(&[&[0, 4][..], &n.to_be_bytes()].concat()).expect("six bytes")
}

/// A machine in a crowd, and its clock.
struct Crowd {
    core: Core,
    now: Now,
    next: u64,
    /// How long deadlines and answers took.
    between: Vec<(&'static str, Duration)>,
}

impl Crowd {
    fn new() -> Self {
        Self::with(Config::new(ChainId(1)))
    }

    fn with(config: Config) -> Self {
        let now = Now { mono: Time::ZERO, unix: UnixTime::from_secs(1_800_000_000) };
        let connections = ConnectionLimits { target_peers: 220, ..ConnectionLimits::PROD };
        let core = Core::new(Config { connections, ..config }, [7; 32], now).expect("allowed");
        let mut crowd = Self { core, now, next: 0, between: Vec::new() };
        for n in CONNECTED..MET {
            crowd.open(peer(n), Direction::Inbound);
            crowd.input(Input::RequestBroken { peer: peer(n) }); // so that there is a score to remember
            crowd.close(peer(n));
        }
        let spoken = Spoken { get_head: true, get_commitments: true, get_txlist: true, gossip: true };
        for n in 0..CONNECTED {
            crowd.open(peer(n), if n % 2 == 0 { Direction::Outbound } else { Direction::Inbound });
            crowd.input(Input::PeerIdentified { peer: peer(n), spoken });
            Topic::ALL.into_iter().for_each(|topic| crowd.input(Input::PeerSubscribed { peer: peer(n), topic }));
        }
        crowd
    }

    fn open(&mut self, peer: PeerId, direction: Direction) {
        self.next += 1;
        let address = Some(IpAddr::from((0x0a00_0000 | self.next as u32).to_be_bytes())); // private: no neighbourhood fills up
        self.input(Input::ConnectionOpened { peer, connection: ConnectionId(self.next), direction, address, dial: None });
    }

    fn close(&mut self, peer: PeerId) {
        self.input(Input::ConnectionClosed { peer, connection: ConnectionId(self.next) });
    }

    fn input(&mut self, input: Input) {
        self.tick();
        self.core.handle_input(self.now, input);
        self.drain();
    }

    /// 100 µs later: ten thousand steps a second.
    fn tick(&mut self) {
        self.now = self.now.after(Duration::from_micros(100));
        if self.core.poll_timeout().is_some_and(|(at, _)| at <= self.now.mono) {
            let start = now();
            self.core.handle_timeout(self.now);
            self.between.push(("a deadline", start.elapsed()));
            self.drain();
        }
    }

    /// Answers what is asked, so that requests come and go.
    fn drain(&mut self) {
        let mut asked = Vec::new();
        while let Some(output) = self.core.poll_output() {
            if let Output::Net(Action::SendRequest { request, protocol: Protocol::GetTxList, .. }) = output {
                asked.push(request);
            }
        }
        let body = RawTxList { hash: B256::ZERO, txlist: Bytes::new() }.encode();
        for request in asked {
            let input = Input::ResponseReceived { request, body: body.clone() };
            let start = now();
            self.core.handle_input(self.now, black_box(input));
            self.between.push(("an answer", start.elapsed()));
            while self.core.poll_output().is_some() {}
        }
    }

    /// One of the things that happen all day, in turn; how long the machine took for it.
    fn step(&mut self, n: u32) -> (&'static str, Duration) {
        self.next += 1;
        // A tenth of the crowd misbehaves; the others must still be found.
        let who = peer(n.wrapping_mul(7919) % (CONNECTED / 10));
        let message = MessageId(*B256::from(alloy_primitives::U256::from(self.next)).last_chunk().expect("20 of 32"));
        let gossip = |topic, data| Input::GossipReceived { peer: who, message, topic, data };
        self.tick();
        let (name, input) = match n % 8 {
            0 => ("malformed commitment", Some(gossip(Topic::Commitments, Bytes::from_static(&[0; 3])))),
            1 => ("malformed txlist", Some(gossip(Topic::TxLists, Bytes::from_static(&[0; 3])))),
            2 => {
                let (channel, body) = (ChannelId(self.next), Bytes::from_static(&GetHeadRequest::BYTES));
                ("a peer's request", Some(Input::RequestReceived { peer: who, channel, protocol: Protocol::GetHead, body }))
            }
            3 => ("the answer is written", Some(Input::ChannelClosed { channel: ChannelId(self.next - 1) })),
            4 => {
                let direction = Direction::Inbound;
                let stranger = peer(CONNECTED + n % MET);
                let connection = ConnectionId(self.next);
                ("a newcomer", Some(Input::ConnectionOpened { peer: stranger, connection, direction, address: None, dial: None }))
            }
            5 => {
                let (peer, connection) = (peer(CONNECTED + (n - 1) % MET), ConnectionId(self.next - 1));
                ("it leaves again", Some(Input::ConnectionClosed { peer, connection }))
            }
            6 if n % 128 == 6 => ("a request to the best peer", None), // 78 a second: half of what 220 peers may be asked (P6.7)
            _ => ("a broken request", Some(Input::RequestBroken { peer: who })),
        };
        let start = now();
        match input {
            Some(input) => self.core.handle_input(self.now, black_box(input)),
            None => drop(black_box(self.core.handle_command(self.now, Command::GetTxList { hash: B256::ZERO, peer: None }))),
        }
        let took = start.elapsed();
        self.drain();
        (name, took)
    }
}

fn now() -> Instant {
    Instant::now()
}

fn flood(c: &mut Criterion) {
    let mut crowd = Crowd::new();
    let data = Bytes::from_static(&[0; 3]);
    c.bench_function("a malformed commitment in a flood", |b| {
        b.iter(|| {
            crowd.now = crowd.now.after(Duration::from_micros(10)); // 100 000 a second
            let (message, topic) = (MessageId([1; 20]), Topic::Commitments);
            crowd.core.handle_input(crowd.now, black_box(Input::GossipReceived { peer: peer(1), message, topic, data: data.clone() }));
            while crowd.core.poll_output().is_some() {}
        });
    });
}

/// Prints how long a flood lasts and what it costs: 100 000 malformed commitments a second, from a peer's first until its ban (P7.4).
fn print_flood() {
    let mut crowd = Crowd::new();
    let (began, jobs, mut heard, mut took) = (crowd.now, crowd.core.stats().jobs, 0_u64, Duration::ZERO);
    let data = Bytes::from_static(&[0; 3]);
    let mut is_banned = false;
    while !is_banned {
        let burst = now();
        for _ in 0..1_000 {
            crowd.now = crowd.now.after(Duration::from_micros(10));
            if crowd.core.poll_timeout().is_some_and(|(at, _)| at <= crowd.now.mono) {
                crowd.core.handle_timeout(crowd.now);
            }
            let (message, topic) = (MessageId([1; 20]), Topic::Commitments);
            crowd.core.handle_input(crowd.now, black_box(Input::GossipReceived { peer: peer(1), message, topic, data: data.clone() }));
            while let Some(output) = crowd.core.poll_output() {
                is_banned |= output == Output::Net(Action::Block { peer: peer(1) });
            }
        }
        (heard, took) = (heard + 1_000, took + burst.elapsed());
    }
    let (virtual_time, recoveries) = (crowd.now.mono.since(began.mono), crowd.core.stats().jobs - jobs);
    let each = took.as_nanos() / u128::from(heard);
    println!(
        "a flood: banned after {virtual_time:?} of virtual time and {heard} messages, {each} ns each, drained, with {recoveries} jobs"
    );
}

/// The connections of a new crowd: numbered as they came, those that only met us first.
fn crowd_connections() -> BTreeMap<PeerId, ConnectionId> {
    let met = u64::from(MET - CONNECTED);
    (0..CONNECTED).map(|n| (peer(n), ConnectionId(met + 1 + u64::from(n)))).collect()
}

/// Newcomers where all places are taken, some of them on trial at any time (P8.4): somebody goes for each.
fn newcomers() -> [(&'static str, Vec<Duration>); 2] {
    let mut crowd = Crowd::new();
    let (mut came, mut left) = (Vec::new(), Vec::new());
    let mut connections = crowd_connections();
    for n in 0..4_000 {
        crowd.now = crowd.now.after(Duration::from_millis(1_500));
        while crowd.core.poll_timeout().is_some_and(|(at, _)| at <= crowd.now.mono) {
            crowd.core.handle_timeout(crowd.now);
            crowd.drain();
        }
        crowd.next += 1;
        let (stranger, connection) = (peer(2 * MET + n), ConnectionId(crowd.next));
        connections.insert(stranger, connection);
        let input = Input::ConnectionOpened { peer: stranger, connection, direction: Direction::Inbound, address: None, dial: None };
        let start = now();
        crowd.core.handle_input(crowd.now, black_box(input));
        came.push(start.elapsed());
        let mut gone = None;
        while let Some(output) = crowd.core.poll_output() {
            if let Output::Net(Action::Disconnect { peer }) = output {
                gone = Some(peer);
            }
        }
        let gone = gone.expect("somebody goes for each");
        let connection = connections.remove(&gone).expect("it was connected");
        left.push(timed(&mut crowd, |core, now| core.handle_input(now, Input::ConnectionClosed { peer: gone, connection })));
    }
    [("a newcomer where all slots are taken", came), ("who goes for it", left)]
}

/// A node that looks for others, in a table of as many as there can be, of whom none answers. And one that has enough, and exchanges them.
fn discovering() -> [(&'static str, Vec<Duration>); 3] {
    let discovery = Some(DiscoveryConfig::PROD);
    let mut crowd = Crowd::with(Config { discovery, ..Config::new(ChainId(1)) });
    let record = |n: u32| {
        let [_, a, b, c] = n.to_be_bytes();
        let addresses = vec![format!("/ip4/{}.{b}.{c}.1/tcp/4001", 11 + a)];
        Box::new(NodeRecord { peer: peer(n), sequence: 1, chain: ChainLabel::Chain(ChainId(1)), addresses, text: String::new() })
    };
    let (mut found, mut turns, mut exchanges) = (Vec::new(), Vec::new(), Vec::new());
    // Those whom the crowd dialed were found, too; then one of them goes each minute, and comes back.
    (0..CONNECTED).for_each(|n| crowd.input(Input::RecordFound { record: record(n) }));
    // Those steps are measured that count something on.
    let until = |crowd: &mut Crowd, span: Duration, count: fn(&Core) -> u64, times: &mut Vec<Duration>| {
        let end = crowd.now.after(span);
        let mut gone = Vec::new();
        while let Some((at, _)) = crowd.core.poll_timeout().filter(|(at, _)| *at <= end.mono) {
            crowd.now = crowd.now.after(at.since(crowd.now.mono));
            let (before, start) = (count(&crowd.core), now());
            crowd.core.handle_timeout(crowd.now);
            let took = start.elapsed();
            if count(&crowd.core) > before {
                times.push(took);
            }
            let mut dials = Vec::new();
            while let Some(output) = crowd.core.poll_output() {
                match output {
                    Output::Net(Action::Dial { dial, .. }) => dials.push(dial),
                    Output::Net(Action::Disconnect { peer }) => gone.push(peer),
                    _ => {}
                }
            }
            for dial in dials {
                crowd.core.handle_input(crowd.now, Input::DialFailed { dial, failure: DialFailure::Unreachable });
                while crowd.core.poll_output().is_some() {}
            }
        }
        crowd.now = end;
        gone
    };
    let mut connections = crowd_connections();
    for n in 0..1_000 {
        for peer in until(&mut crowd, Duration::from_secs(61), |core| core.stats().discovery.exchanged, &mut exchanges) {
            let again = ConnectionId(u64::from(2 * MET + n));
            let connection = connections.insert(peer, again).expect("it was connected");
            crowd.input(Input::ConnectionClosed { peer, connection });
            crowd.input(Input::ConnectionOpened { peer, connection: again, direction: Direction::Outbound, address: None, dial: None });
        }
    }
    // Some are missing from now on, and there is nobody who answers.
    for (peer, connection) in connections.into_iter().take(20) {
        crowd.input(Input::ConnectionClosed { peer, connection });
    }
    for n in 0..4_000 {
        let input = Input::RecordFound { record: record(2 * MET + n) };
        found.push(timed(&mut crowd, |core, now| core.handle_input(now, input)));
        until(&mut crowd, Duration::from_millis(250), |core| core.stats().discovery.dialed, &mut turns);
    }
    [("a record that is found", found), ("a turn of dialing", turns), ("a place for somebody new", exchanges)]
}

/// How long a step takes; its outputs are drained afterwards.
fn timed(crowd: &mut Crowd, step: impl FnOnce(&mut Core, Now)) -> Duration {
    let start = now();
    step(&mut crowd.core, crowd.now);
    let took = start.elapsed();
    crowd.drain();
    took
}

/// Requests to the best peer, while all have been asked as much as they may (P6.7).
fn unanswerable(crowd: &mut Crowd) -> Vec<Duration> {
    let ask = |crowd: &mut Crowd| {
        let mut refused = false;
        let ask = Command::GetTxList { hash: B256::ZERO, peer: None };
        let took = timed(crowd, |core, now| refused = black_box(core.handle_command(now, ask)).is_err());
        refused.then_some(took)
    };
    (0..20_000).filter_map(|_| ask(crowd)).collect()
}

/// The first request to the best peer after all have been asked as much as they may and have rested (P6.7).
fn rested() -> (&'static str, Vec<Duration>) {
    let mut crowd = Crowd::new();
    let ask = || Command::GetTxList { hash: B256::ZERO, peer: None };
    let mut round = || {
        while crowd.core.handle_command(crowd.now, ask()).is_ok() {
            crowd.drain();
        }
        let all_rested = crowd.now.after(Duration::from_secs(11));
        while let Some((at, _)) = crowd.core.poll_timeout().filter(|(at, _)| *at <= all_rested.mono) {
            crowd.now = crowd.now.after(at.since(crowd.now.mono));
            crowd.core.handle_timeout(crowd.now);
            crowd.drain();
        }
        crowd.now = all_rested;
        let mut sent = false;
        let took = timed(&mut crowd, |core, now| sent = black_box(core.handle_command(now, ask())).is_ok());
        assert!(sent, "all have rested");
        took
    };
    ("a request when all have rested", (0..50).map(|_| round()).collect())
}

/// Timeouts at which gossipsub is told of decayed scores (P7.5), of each peer of the crowd in one step.
fn decays(crowd: &mut Crowd) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..100 {
        for n in 0..CONNECTED {
            crowd.core.handle_input(crowd.now, Input::RequestBroken { peer: peer(n) });
        }
        crowd.drain();
        let round_ends = crowd.now.after(Duration::from_secs(10));
        while let Some((at, timer)) = crowd.core.poll_timeout().filter(|(at, _)| *at <= round_ends.mono) {
            crowd.now = crowd.now.after(at.since(crowd.now.mono));
            let took = timed(crowd, |core, now| core.handle_timeout(now));
            if timer == Timer::Decay {
                times.push(took);
            }
        }
        crowd.now = round_ends;
    }
    times
}

fn identified(crowd: &mut Crowd) -> Vec<Duration> {
    let spoken = Spoken { get_head: true, get_commitments: true, get_txlist: true, gossip: true };
    (0..20_000)
        .map(|n| timed(crowd, |core, now| core.handle_input(now, Input::PeerIdentified { peer: peer(n % CONNECTED), spoken })))
        .collect()
}

/// Answers to head requests, once everybody's head is known.
fn heads(crowd: &mut Crowd) -> Vec<Duration> {
    let body = PreconfHead::default().encode();
    let mut times = Vec::new();
    for n in 0..20 * CONNECTED {
        crowd.now = crowd.now.after(Duration::from_millis(100));
        crowd.core.handle_timeout(crowd.now);
        crowd.drain();
        let asked = crowd.core.handle_command(crowd.now, Command::GetHead { peer: Some(peer(n % CONNECTED)) });
        let mut sent = None;
        while let Some(output) = crowd.core.poll_output() {
            if let Output::Net(Action::SendRequest { request, protocol: Protocol::GetHead, .. }) = output {
                sent = Some(request);
            }
        }
        if let (Ok(_), Some(request)) = (asked, sent) {
            let body = body.clone();
            let took = timed(crowd, |core, now| core.handle_input(now, Input::ResponseReceived { request, body }));
            if n >= CONNECTED {
                times.push(took);
            }
        }
    }
    times
}

fn blocked(crowd: &mut Crowd) -> Vec<Duration> {
    let mut times = Vec::new();
    for n in 0..2_000u32 {
        let address = IpAddr::from((0x0a00_0000 | (MET - CONNECTED + 1 + n % CONNECTED)).to_be_bytes());
        times.push(timed(crowd, |core, now| core.handle_update(now, Update::BlockAddress { address }).expect("room in the list")));
        times.push(timed(crowd, |core, now| core.handle_update(now, Update::UnblockAddress { address }).expect("room in the list")));
    }
    times
}

/// Answers to head requests, each a head far ahead of ours, while four pages and 256 requests of our user's wait for room that nobody has:
/// no request is ever answered but those for heads. With them, the timeouts of the others: several may end at one moment, so also the share of
/// each request that ended or left.
fn heads_while_all_wait() -> [(&'static str, Vec<Duration>); 3] {
    let mut crowd = Crowd::with(Config { max_requests: 1024, ..Config::new(ChainId(1)) });
    let (mut heads, mut timeouts, mut shares, mut asked) = (Vec::new(), Vec::new(), Vec::new(), VecDeque::new());
    for n in 0..640 * CONNECTED {
        let end = crowd.now.after(Duration::from_micros(6_250));
        while let Some((at, _)) = crowd.core.poll_timeout().filter(|(at, _)| *at <= end.mono) {
            crowd.now = crowd.now.after(at.since(crowd.now.mono));
            let start = now();
            crowd.core.handle_timeout(crowd.now);
            let took = start.elapsed();
            let (requests, heads) = requests_moved(&mut crowd.core);
            timeouts.push(took);
            shares.push(took / requests.max(1));
            asked.extend(heads);
        }
        crowd.now = end;
        // In turn, more than may be under way with each: some have to wait.
        let _ = crowd.core.handle_command(crowd.now, Command::GetTxList { hash: B256::ZERO, peer: Some(peer(n % CONNECTED)) });
        if n % 16 == 0 {
            let _ = crowd.core.handle_command(crowd.now, Command::GetHead { peer: Some(peer((n / 16).wrapping_mul(7919) % CONNECTED)) });
        }
        asked.extend(requests_moved(&mut crowd.core).1);
        while let Some(request) = asked.pop_front() {
            let block_number = alloy_primitives::U256::from(1_000_000 + n);
            let body = PreconfHead { block_number, ..PreconfHead::default() }.encode();
            let start = now();
            crowd.core.handle_input(crowd.now, Input::ResponseReceived { request, body });
            heads.push(start.elapsed());
            asked.extend(requests_moved(&mut crowd.core).1);
        }
    }
    [("a peer's head while pages and requests wait", heads), ("a timeout meanwhile", timeouts), ("the same for each request", shares)]
}

/// Takes all outputs. How many requests ended or left, and which of those that left are for heads.
fn requests_moved(core: &mut Core) -> (u32, Vec<RequestId>) {
    let (mut moved, mut heads) = (0, Vec::new());
    while let Some(output) = core.poll_output() {
        moved += u32::from(matches!(output, Output::Net(Action::SendRequest { .. } | Action::CancelRequest { .. })));
        if let Output::Net(Action::SendRequest { request, protocol: Protocol::GetHead, .. }) = output {
            heads.push(request);
        }
    }
    (moved, heads)
}

fn show(name: &str, times: &[Duration]) {
    let at = |permille: usize| times[(times.len() - 1) * permille / 1000].as_nanos();
    println!("{name}: p50 {} ns, p99 {} ns, p99.9 {} ns, worst {} ns", at(500), at(990), at(999), at(1000));
}

/// Prints how long steps take, by what happened.
fn print_steps() {
    for (name, mut times) in heads_while_all_wait().into_iter().chain(newcomers()).chain(discovering()).chain([rested()]) {
        times.sort_unstable();
        show(&format!("apart: {name} ({} times)", times.len()), &times);
    }
    let mut crowd = Crowd::new();
    crowd.between.clear();
    let mut steps: Vec<(&'static str, Duration)> = (0..STEPS).map(|n| crowd.step(n)).collect();
    steps.append(&mut crowd.between);
    steps.sort_unstable();
    for same in steps.chunk_by(|a, b| a.0 == b.0) {
        let times: Vec<Duration> = same.iter().map(|step| step.1).collect();
        show(same[0].0, &times);
    }
    let mut all: Vec<Duration> = steps.iter().map(|step| step.1).collect();
    all.sort_unstable();
    show("any step", &all);
    crowd.drain();
    for (name, mut times) in [
        ("a request that nobody can take now", unanswerable(&mut crowd)),
        ("a peer says what it speaks", identified(&mut crowd)),
        ("a peer's head, of 220 that are known", heads(&mut crowd)),
        ("an address is blocked, or no longer", blocked(&mut crowd)),
        ("a decay, told of all", decays(&mut crowd)), // last: everybody is pruned after it
    ] {
        times.sort_unstable();
        show(&format!("apart: {name} ({} times)", times.len()), &times);
    }
    println!("peers connected {}, remembered in all up to 4096, met {MET}", crowd.core.status(crowd.now).peers);
}

criterion_group!(benches, flood);

fn main() {
    benches();
    print_flood();
    print_steps();
    Criterion::default().configure_from_args().final_summary();
}
