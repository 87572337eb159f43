//! Requests on their own: what is wanted, whom it goes to, and how it ends. No chain, no machine.

use std::time::Duration;

use alloy_primitives::B256;

use super::*;
use crate::id::ConnectionId;
use crate::input::{Direction, SupportedProtocols};
use crate::output::Output;
use crate::peer::table::ConnectionInfo;
use crate::time::{Now, Time};

fn peer(name: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, name]).expect("three bytes")
}

fn wanted(whom: Whom) -> Wanted {
    Wanted { protocol: Protocol::GetTxList, body: Bytes::new(), purpose: Purpose::TxList { hash: B256::ZERO, command: None }, whom }
}

/// The table, with what is lent to it.
struct Bench {
    cx: Cx,
    peers: Peers,
    reputation: Reputation,
    requests: Requests,
    /// Answers that are being checked.
    checking: usize,
}

impl Bench {
    /// Connected to these, each of which supports everything and may have so many requests.
    fn connected_to(names: &[u8], max_per_peer: usize) -> Self {
        let mut cx = Cx::for_tests();
        cx.config.max_requests_per_peer = max_per_peer;
        let (mut peers, mut reputation) = (Peers::new(&cx.config), Reputation::new(&cx.config));
        for name in names {
            let info = ConnectionInfo { direction: Direction::Inbound, address: None, since: Time::ZERO };
            peers.open(cx.now.mono, peer(*name), (ConnectionId(u64::from(*name)), info), false);
            reputation.connect(&mut cx, peer(*name));
            peers.identified(&peer(*name), SupportedProtocols { get_head: true, get_commitments: true, get_txlist: true, gossip: true });
        }
        Self { cx, peers, reputation, requests: Requests::default(), checking: 0 }
    }

    fn send(&mut self, whom: Whom) -> Option<PeerId> {
        self.send_wanted(wanted(whom))
    }

    fn send_wanted(&mut self, wanted: Wanted) -> Option<PeerId> {
        let Self { cx, peers, reputation, requests, checking } = self;
        let askable = Askable { peers, reputation, checking: *checking };
        requests.send_wanted(cx, askable, wanted).map(|(peer, _)| peer)
    }

    /// Our user asks this peer, or anyone. Says whether the request waits.
    fn ask(&mut self, name: Option<u8>) -> Result<bool, CommandError> {
        let Self { cx, peers, reputation, requests, checking } = self;
        let askable = Askable { peers, reputation, checking: *checking };
        let to = (name.map(peer), Protocol::GetHead);
        let purpose = |command| Purpose::Head { command: Some(command) };
        requests.ask_for_user(cx, askable, to, Bytes::new(), purpose).map(|(_, waits)| waits)
    }

    fn send_waiting(&mut self) {
        let Self { cx, peers, reputation, requests, checking } = self;
        requests.send_waiting(cx, &mut Askable { peers, reputation, checking: *checking });
    }

    fn end(&mut self, request: u64) -> Option<Ended> {
        self.requests.end(&mut self.cx, &mut self.peers, RequestId(request))
    }

    /// What has gone out since it was asked last: request and peer.
    fn sent(&mut self) -> Vec<(u64, PeerId)> {
        let sent =
            |output| if let Output::Net(Action::SendRequest { request, peer, .. }) = output { Some((request.0, peer)) } else { None };
        std::iter::from_fn(|| self.cx.poll_output()).filter_map(sent).collect()
    }

    fn timer(&mut self, anybody_on: &[Protocol]) -> Option<crate::time::Time> {
        self.requests.set_timer(&mut self.cx, &self.peers, &self.reputation, anybody_on, None);
        self.cx.timers.next().filter(|(_, timer)| *timer == Timer::RequestCapacity).map(|(at, _)| at)
    }
}

#[test]
fn p6_5_a_request_has_a_timer_and_ends_once() {
    let mut bench = Bench::connected_to(&[1], 4);
    assert_eq!(bench.send(Whom::ANYONE), Some(peer(1)));
    let due = bench.cx.now.mono.after(bench.cx.config.request_timeout);
    assert_eq!(bench.cx.timers.next(), Some((due, Timer::Request(RequestId(1)))));
    assert_eq!((bench.requests.in_flight(), bench.requests.peer_of(RequestId(1))), (1, Some(peer(1))));
    let ended = bench.end(1).expect("it was under way");
    assert_eq!((ended.sent.peer, ended.was_sent, bench.cx.timers.next()), (peer(1), true, None));
    assert_eq!((bench.end(1), bench.end(2), bench.requests.in_flight()), (None, None, 0));
}

#[test]
fn p6_8_it_goes_to_who_is_preferred_and_never_to_who_is_excluded() {
    let mut bench = Bench::connected_to(&[1, 2, 3], 1);
    let but = |exclude: &[u8], prefer: Option<u8>| Whom::AnyoneBut {
        exclude: exclude.iter().map(|name| peer(*name)).collect(),
        prefer: prefer.map(peer),
    };
    assert_eq!(bench.send(but(&[1], Some(2))), Some(peer(2)));
    assert_eq!(bench.send(but(&[1], Some(2))), Some(peer(3)), "the preferred one has no room");
    assert_eq!(bench.send(but(&[1], Some(9))), None, "nor has anyone who may be asked");
    assert_eq!(bench.send(Whom::Only(peer(3))), None);
    assert_eq!(bench.send(Whom::Only(peer(1))), Some(peer(1)));
}

#[test]
fn p6_9_of_those_who_may_bring_a_page_who_did_not_answer_is_asked_last() {
    let mut bench = Bench::connected_to(&[1, 2, 3], 9);
    bench.peers.set_unresponsive(&peer(1), true);
    let these = Whom::OneOf(vec![peer(1), peer(2)]);
    let page = |whom| Wanted { protocol: Protocol::GetCommitments, ..wanted(whom) };
    for _ in 0..7 {
        assert_eq!(bench.send_wanted(page(these.clone())), Some(peer(2)), "whatever it has under way");
    }
    assert_eq!(bench.send_wanted(page(these)), Some(peer(1)), "the other one's window is full");
}

#[test]
fn p6_7_what_waits_is_not_overtaken_and_stands_in_nobodys_way() {
    let mut bench = Bench::connected_to(&[1, 2], 1);
    let waits: Vec<_> = [1, 1, 1].map(|name| bench.ask(Some(name)).expect("connected")).to_vec();
    assert_eq!(waits, [false, true, true]);
    assert_eq!(bench.ask(Some(2)), Ok(false), "another peer's room is another's");
    assert_eq!(bench.sent(), [(1, peer(1)), (4, peer(2))]);
    bench.send_waiting();
    assert_eq!(bench.sent(), []);
    bench.end(1);
    assert_eq!(bench.ask(Some(1)), Ok(true), "those who came before go first");
    assert_eq!(bench.sent(), [(2, peer(1))]);
    for request in [2, 3] {
        bench.end(request);
        bench.send_waiting();
    }
    assert_eq!(bench.sent(), [(3, peer(1)), (5, peer(1))]);
}

#[test]
fn p6_7_a_request_that_waits_has_its_own_time_and_ends_without_having_been_sent() {
    let mut bench = Bench::connected_to(&[1], 1);
    assert_eq!((bench.ask(Some(1)), bench.ask(Some(1))), (Ok(false), Ok(true)));
    assert_eq!(bench.requests.of(&peer(1)), [RequestId(1), RequestId(2)]);
    assert_eq!(bench.end(2).map(|ended| (ended.sent.peer, ended.was_sent)), Some((peer(1), false)));
    bench.end(1);
    assert_eq!(bench.cx.timers.next(), None);
    bench.send_waiting();
    assert_eq!(bench.sent(), [(1, peer(1))]);
}

#[test]
fn all_requests_together_are_bounded_with_the_answers_that_are_being_checked() {
    let mut bench = Bench::connected_to(&[1, 2, 3], 9);
    (bench.cx.config.max_requests, bench.checking) = (3, 2);
    assert!(bench.send(Whom::ANYONE).is_some());
    assert_eq!(bench.send(Whom::ANYONE), None);
    assert_eq!((bench.ask(Some(2)), bench.ask(None)), (Ok(true), Err(CommandError::NoPeer(Protocol::GetHead))));
    bench.checking = 1;
    bench.sent();
    bench.send_waiting();
    assert_eq!(bench.sent(), [(2, peer(2))]);
}

#[test]
fn p6_7_a_request_that_cannot_be_made_changes_nothing() {
    let mut bench = Bench::connected_to(&[1], 1);
    assert_eq!(bench.ask(Some(9)), Err(CommandError::NotConnected));
    bench.peers.does_not_speak(&peer(1), Protocol::GetHead);
    assert_eq!(bench.ask(Some(1)), Err(CommandError::Unsupported(Protocol::GetHead)));
    assert_eq!(bench.ask(None), Err(CommandError::NoPeer(Protocol::GetHead)));
    let mut bench = Bench::connected_to(&[1], 1);
    for _ in 0..=MAX_WAITING {
        bench.ask(Some(1)).expect("there is room to wait");
    }
    let bytes = bench.requests.bytes();
    assert_eq!(bench.ask(Some(1)), Err(CommandError::TooManyRequests { in_flight: MAX_WAITING, max: MAX_WAITING }));
    assert_eq!((bench.requests.bytes(), bench.requests.of(&peer(1)).len()), (bytes, MAX_WAITING + 1));
    assert!(bytes <= Requests::max_bytes(&bench.cx.config));
}

#[test]
fn p6_7_the_timer_knows_when_time_alone_makes_room() {
    let mut bench = Bench::connected_to(&[1], 9);
    for request in 1..=7 {
        assert_eq!(bench.ask(Some(1)), Ok(false));
        bench.end(request);
    }
    assert_eq!(bench.timer(&[Protocol::GetHead]), Some(bench.cx.now.mono.after(Duration::from_secs(10))));
    assert_eq!(bench.timer(&[]), None, "nobody waits");
    assert_eq!(bench.ask(Some(1)), Ok(true));
    let at = bench.timer(&[]).expect("somebody waits");
    bench.cx.begin(Now { mono: at, ..bench.cx.now });
    bench.sent();
    bench.send_waiting();
    assert_eq!(bench.sent(), [(8, peer(1))]);
    assert_eq!(bench.timer(&[]), None);
}
