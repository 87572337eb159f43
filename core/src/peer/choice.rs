//! Whom do we ask, and when will somebody have room (P6.7, P6.8, P6.9)?
//!
//! A peer *has room* for a request when it supports the protocol, is not pruned (P7.4), has fewer requests of ours than one peer may have, and
//! our own restraint lets one more go (P6.7). Of all connected peers that have room, one pass takes the one with the least key:
//!
//! | asked for | sort key |
//! |---|---|
//! | a head, a txlist, or what our user wants | standing (throttled behind healthy), requests in flight, dice |
//! | a page of a catch-up | did not answer the last page request, standing, requests in flight, dice |
//!
//! So a crowd that claims much and answers nothing waits behind everybody else, whatever its scores.

use crate::dice::Dice;
use crate::id::{PeerId, RequestId};
use crate::peer::outbound_limiter::OutboundLimiter;
use crate::peer::reputation::{Account, Reputation};
use crate::peer::score::Standing;
use crate::peer::table::{Allowances, Connected, Peers, index};
use crate::time::Time;
use crate::wire::topics::Protocol;

/// A connected peer, and what decides whether and when it is asked.
#[derive(Clone, Copy)]
struct Asked<'a> {
    id: &'a PeerId,
    connected: &'a Connected,
    allowances: &'a Allowances,
    account: &'a Account,
    max_in_flight: usize,
}

impl Asked<'_> {
    fn in_flight(&self) -> usize {
        self.allowances.outbound_limiters.iter().map(OutboundLimiter::under_way).sum()
    }

    /// From when on a request may go to it, if nothing but time must pass.
    fn room_at(&self, now: Time, protocol: Protocol) -> Option<Time> {
        let is_able = self.connected.protocols.supports(protocol)
            && self.in_flight() < self.max_in_flight
            && self.account.standing(now) <= Standing::Throttled;
        is_able.then(|| self.allowances.outbound_limiters[index(protocol)].next_admit_at(now)).flatten()
    }

    fn has_room(&self, now: Time, protocol: Protocol) -> bool {
        self.room_at(now, protocol) == Some(now)
    }

    /// The first request that waits for it in this protocol.
    fn waiting(&self, protocol: Protocol) -> Option<RequestId> {
        self.connected.waiting[index(protocol)].first().copied()
    }
}

/// One request for a page in so many goes to somebody new. Source: P6.9.
const NEWCOMERS: usize = 8;
/// A page that came in less came in this. Ours: what is measured below is the machine, not the line.
const SHORTEST_MICROS: u64 = 1_000;

/// How fast a peer's pages come, in the order in which such are asked (P6.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    NewAndWanted,
    Good,
    New,
    Slow,
}

impl Peers {
    /// P6.8: the best of the peers that have room and `fits`.
    pub(crate) fn choose(
        &self,
        reputation: &Reputation,
        now: Time,
        protocol: Protocol,
        dice: &mut Dice,
        fits: impl Fn(&PeerId) -> bool,
    ) -> Option<PeerId> {
        let able = self.each(reputation).filter(|peer| peer.has_room(now, protocol) && fits(peer.id));
        dice.least(able.map(|peer| ((peer.account.standing(now), peer.in_flight()), *peer.id)))
    }

    /// P6.9: the same for a page of commitments.
    ///
    /// | whom first | |
    /// |---|---|
    /// | who answered when it was last asked for a page | |
    /// | the better standing | |
    /// | who has brought as much a second as the best, or half of it at least; then who is new; then the slow | once in [`NEWCOMERS`] times the new come first |
    /// | who is asked least | |
    pub(crate) fn choose_for_page(
        &self,
        reputation: &Reputation,
        now: Time,
        dice: &mut Dice,
        fits: impl Fn(&PeerId) -> bool,
    ) -> Option<PeerId> {
        let able: Vec<Asked> = self.each(reputation).filter(|peer| peer.has_room(now, Protocol::GetCommitments) && fits(peer.id)).collect();
        let best = able.iter().filter_map(|peer| peer.connected.brought).max();
        // No throw where there is no choice.
        let has_new = best.is_some() && able.iter().any(|peer| peer.connected.brought.is_none());
        let new_first = has_new && dice.below(NEWCOMERS) == Some(0);
        let pace = |peer: &Asked| match peer.connected.brought {
            Some(brought) if brought.saturating_mul(2) >= best.unwrap_or(0) => Pace::Good,
            Some(_) => Pace::Slow,
            None if new_first => Pace::NewAndWanted,
            None => Pace::New,
        };
        let key = |peer: &Asked| (peer.connected.is_unresponsive, peer.account.standing(now), pace(peer), peer.in_flight());
        dice.least(able.iter().map(|peer| (key(peer), *peer.id)))
    }

    /// A page came: so many bytes, asked for at a time (P6.9).
    pub(crate) fn note_brought(&mut self, now: Time, peer: &PeerId, since: Time, bytes: usize) {
        let micros = u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX).max(SHORTEST_MICROS);
        let rate = (bytes as u64).saturating_mul(1_000_000) / micros;
        if let Some(connected) = self.connected.get_mut(peer) {
            connected.brought = Some(connected.brought.map_or(rate, |before| before.saturating_mul(3).saturating_add(rate) / 4));
        }
    }

    /// The most bytes a second that a connected peer has brought in pages: what the line has shown that it carries (P6.9).
    pub(crate) fn best_brought(&self) -> Option<u64> {
        self.connected.values().filter_map(|peer| peer.brought).max()
    }

    /// The connected peers. All three tables hold the same ones in the same order, so nobody is looked up.
    fn each<'a>(&'a self, reputation: &'a Reputation) -> impl Iterator<Item = Asked<'a>> {
        let known = self.allowances.connected().zip(reputation.connected());
        self.connected.iter().zip(known).map(|((id, connected), ((limited, allowances), (judged, account)))| {
            debug_assert!(id == limited && id == judged, "one table of connected peers differs from another");
            Asked { id, connected, allowances, account, max_in_flight: self.max_requests_per_peer }
        })
    }

    /// Is the peer connected, and does it have room?
    pub(crate) fn has_room(&self, reputation: &Reputation, now: Time, peer: &PeerId, protocol: Protocol) -> bool {
        let asked = |(id, connected)| {
            let (allowances, account) = (self.allowances.get(id)?, reputation.account_of(id)?);
            Some(Asked { id, connected, allowances, account, max_in_flight: self.max_requests_per_peer })
        };
        self.connected.get_key_value(peer).and_then(asked).is_some_and(|peer| peer.has_room(now, protocol))
    }

    /// Requests of ours that the peer has not answered yet.
    pub(crate) fn in_flight(&self, peer: &PeerId) -> usize {
        self.allowances.get(peer).map_or(0, |allowances| allowances.outbound_limiters.iter().map(OutboundLimiter::under_way).sum())
    }

    /// How many connected peers support a protocol.
    pub(crate) fn supporting(&self, protocol: Protocol) -> usize {
        self.connected.values().filter(|peer| peer.protocols.supports(protocol)).count()
    }

    /// A request waits until this peer has room.
    pub(crate) fn wait_for(&mut self, peer: &PeerId, protocol: Protocol, request: RequestId) {
        if let Some(peer) = self.connected.get_mut(peer) {
            peer.waiting[index(protocol)].insert(request);
        }
    }

    /// It waits no more.
    pub(crate) fn wait_no_more(&mut self, peer: &PeerId, protocol: Protocol, request: RequestId) {
        if let Some(peer) = self.connected.get_mut(peer) {
            peer.waiting[index(protocol)].remove(&request);
        }
    }

    /// The first of the requests that wait for each peer and that it has room for, in the order in which they came.
    pub(crate) fn ready(&self, reputation: &Reputation, now: Time) -> Vec<RequestId> {
        let ready = |peer: Asked, protocol| peer.waiting(protocol).filter(|_| peer.has_room(now, protocol));
        let first = |peer| Protocol::ALL.into_iter().filter_map(|protocol| ready(peer, protocol)).min();
        let mut all: Vec<RequestId> = self.each(reputation).filter_map(first).collect();
        all.sort_unstable();
        all
    }

    /// When time alone makes room for a request that waits for its peer, or with anybody for a protocol in which something waits.
    pub(crate) fn next_room(&self, reputation: &Reputation, now: Time, anybody_for: &[Protocol]) -> Option<Time> {
        let is_wanted = |peer: Asked, protocol| peer.waiting(protocol).is_some() || anybody_for.contains(&protocol);
        let next = |peer: Asked, protocol| peer.room_at(now, protocol).filter(|at| *at > now);
        let wanted = |peer| Protocol::ALL.into_iter().filter(move |protocol| is_wanted(peer, *protocol));
        self.each(reputation).flat_map(|peer| wanted(peer).filter_map(move |protocol| next(peer, protocol))).min()
    }

    /// A request on this protocol goes to the peer now (P6.7).
    pub(crate) fn note_sent(&mut self, now: Time, peer: PeerId, protocol: Protocol) {
        let admitted = self.allowances(now, peer).outbound_limiters[index(protocol)].admit(now);
        debug_assert!(admitted, "a request was sent that the limiter does not admit");
    }

    /// A request has ended: the peer counts it no more.
    pub(crate) fn note_ended(&mut self, now: Time, peer: PeerId, protocol: Protocol) {
        self.allowances(now, peer).outbound_limiters[index(protocol)].end(now);
    }

    /// The peer dropped a request without an answer: it is left alone in this protocol for a window.
    pub(crate) fn rest(&mut self, now: Time, peer: PeerId, protocol: Protocol) {
        self.allowances(now, peer).outbound_limiters[index(protocol)].rest(now);
    }

    /// A connected peer did not answer when it was asked for a page, or did (P6.9).
    pub(crate) fn set_unresponsive(&mut self, peer: &PeerId, is_unresponsive: bool) {
        if let Some(peer) = self.connected.get_mut(peer) {
            peer.is_unresponsive = is_unresponsive;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::cx::Cx;
    use crate::id::ConnectionId;
    use crate::input::{Direction, SupportedProtocols};
    use crate::peer::conduct::Conduct;
    use crate::peer::ledger::Cause;
    use crate::peer::table::ConnectionInfo;
    use crate::time::{Now, UnixTime};
    use crate::wire::topics::ChainId;

    /// Requests of ours that one peer may have.
    const MAX: usize = 4;

    fn peer(n: u64) -> PeerId {
        PeerId::from_bytes(&[&[0, 8][..], &n.to_be_bytes()].concat()).expect("ten bytes")
    }

    /// What happens to the peers of a node, one thing after the other.
    struct Story {
        cx: Cx,
        peers: Peers,
        reputation: Reputation,
        now: Time,
        requests: u64,
    }

    impl Story {
        fn new() -> Self {
            let config = Config { max_requests_per_peer: MAX, ..Config::new(ChainId(1)) };
            let (peers, reputation) = (Peers::new(&config), Reputation::new(&config));
            Self { cx: Cx::new(config, [7; 32], Now::default()), peers, reputation, now: Time::ZERO, requests: 0 }
        }

        fn connected(crowd: u64) -> Self {
            let mut story = Self::new();
            for n in 0..crowd {
                story.goes_on((n, 1, 0));
            }
            story
        }

        fn choose(&mut self) -> PeerId {
            let Self { cx, peers, reputation, .. } = self;
            peers.choose(reputation, Time::ZERO, Protocol::GetTxList, &mut cx.dice, |_| true).expect("all have room")
        }

        /// Something happens to one peer, some time after what happened before. Gives the peer.
        fn goes_on(&mut self, (who, what, wait_ms): (u64, usize, u64)) -> PeerId {
            let (name, protocol) = (peer(who), Protocol::ALL[who as usize % 3]);
            self.now = self.now.after(Duration::from_millis(wait_ms));
            let Self { cx, peers, reputation, now, requests } = self;
            let now = *now;
            cx.begin(Now { mono: now, unix: UnixTime::default() });
            match what {
                0 => {
                    peers.close(now, name, ConnectionId(who));
                    reputation.disconnect(now, name);
                }
                1 | 2 => {
                    let info = ConnectionInfo { direction: Direction::Inbound, address: None, since: Time::ZERO };
                    peers.open(now, name, (ConnectionId(who), info), false);
                    reputation.connect(cx, name);
                    let protocols = SupportedProtocols { get_head: who % 4 != 0, get_commitments: true, get_txlist: true, gossip: true };
                    peers.identified(&name, protocols);
                }
                3 => {
                    let conduct = if who % 2 == 0 { Conduct::BadMessage } else { Conduct::Timeout };
                    reputation.charge(cx, name, "P7.1", conduct, Cause::Neither);
                }
                4 if peers.get(&name).is_some() => peers.rest(now, name, protocol),
                5 if peers.get(&name).is_some() => peers.note_ended(now, name, protocol),
                6 => peers.does_not_speak(&name, protocol),
                7 => {
                    *requests += 1;
                    peers.wait_for(&name, protocol, RequestId(*requests));
                }
                8 => {
                    if let Some(request) = peers.connected.get(&name).and_then(|peer| peer.waiting[index(protocol)].first().copied()) {
                        peers.wait_no_more(&name, protocol, request);
                    }
                }
                9 => peers.set_unresponsive(&name, wait_ms % 2 == 0),
                _ => {
                    if let Some(peer) = peers.choose(reputation, now, protocol, &mut cx.dice, |_| true) {
                        peers.note_sent(now, peer, protocol);
                    }
                }
            }
            name
        }
    }

    /// P6.7 as it reads: may this peer be asked, and when is there room?
    fn room(story: &Story, (id, peer): (&PeerId, &Connected), protocol: Protocol) -> Option<Time> {
        let outbound_limiters = &story.peers.allowances.get(id).expect("it is connected").outbound_limiters;
        let under_way = Protocol::ALL.map(|protocol| outbound_limiters[index(protocol)].under_way());
        let may_be_asked = peer.protocols.supports(protocol) && story.reputation.standing(story.now, id) < Standing::Pruned;
        if may_be_asked && under_way.into_iter().sum::<usize>() < MAX {
            outbound_limiters[index(protocol)].next_admit_at(story.now)
        } else {
            None
        }
    }

    fn stories(peers: u64, longest: usize) -> impl Strategy<Value = Vec<(u64, usize, u64)>> {
        prop::collection::vec((0..peers, 0usize..12, 0u64..4_000), 1..longest)
    }

    proptest! {
        #[test]
        fn p6_8_p7_4_nobody_is_found_who_has_to_wait_behind_another(steps in stories(40, 200)) {
            // P7.4: who is throttled waits behind the healthy, who is pruned is not asked
            let mut story = Story::connected(30);
            for step in steps {
                let name = story.goes_on(step);
                let mut dice = Dice::new([9; 32]);
                let Story { peers, reputation, now, .. } = &story;
                let fits = |peer: &PeerId| *peer != name;
                for protocol in Protocol::ALL {
                    let able = || peers.connected().filter(|(id, peer)| fits(id) && room(&story, (id, peer), protocol) == Some(*now));
                    let rank = |id: &PeerId| (reputation.standing(*now, id), peers.in_flight(id));
                    let found = peers.choose(reputation, *now, protocol, &mut dice, fits);
                    prop_assert_eq!(found.is_some(), able().next().is_some());
                    prop_assert!(found.is_none_or(|found| able().any(|(id, _)| *id == found) && able().all(|(id, _)| rank(&found) <= rank(id))));
                    if protocol == Protocol::GetCommitments {
                        // P6.9: whoever did not answer waits behind all others, whatever their scores.
                        let found = peers.choose_for_page(reputation, *now, &mut dice, fits);
                        let answers = |id: &PeerId| !peers.connected[id].is_unresponsive;
                        let before = |id: &PeerId, other: &PeerId| answers(id) && !answers(other) || answers(id) == answers(other) && rank(id) <= rank(other);
                        prop_assert_eq!(found.is_some(), able().next().is_some());
                        prop_assert!(found.is_none_or(|found| able().any(|(id, _)| *id == found) && able().all(|(id, _)| before(&found, id))));
                    }
                }
            }
        }

        #[test]
        fn p6_7_who_waits_goes_when_there_is_room_and_the_timer_knows_the_next_time(steps in stories(12, 200)) {
            let mut story = Story::new();
            for step in steps {
                story.goes_on(step);
                let Story { peers, reputation, now, .. } = &story;
                let now = *now;
                let (mut ready, mut later, mut anybody) = (Vec::new(), Vec::new(), Vec::new());
                for (id, peer) in peers.connected() {
                    let mut first = Vec::new();
                    for protocol in Protocol::ALL {
                        let at = room(&story, (id, peer), protocol);
                        let waits = peer.waiting[index(protocol)].first();
                        first.extend(waits.copied().filter(|_| at == Some(now)));
                        later.extend(at.filter(|at| *at > now && waits.is_some()));
                        anybody.extend(at.filter(|at| *at > now && protocol == Protocol::GetTxList));
                    }
                    ready.extend(first.into_iter().min());
                }
                ready.sort();
                prop_assert_eq!(peers.ready(reputation, now), ready);
                prop_assert_eq!(peers.next_room(reputation, now, &[]), later.iter().min().copied());
                prop_assert_eq!(peers.next_room(reputation, now, &[Protocol::GetTxList]), later.into_iter().chain(anybody).min());
            }
        }
    }

    #[test]
    fn p6_8_of_equals_each_is_asked_about_as_often_whatever_its_id() {
        let mut story = Story::connected(20);
        let mut times = [0; 20];
        for _ in 0..20_000 {
            let found = story.choose();
            times[(0..20).position(|n| peer(n) == found).expect("one of them")] += 1;
        }
        assert!(times.into_iter().all(|times| (850..1_150).contains(&times)), "{times:?}");
    }

    #[test]
    fn p6_8_who_has_one_fewer_in_flight_is_asked_first() {
        let mut story = Story::connected(3);
        let asked = std::array::from_fn::<_, 9, _>(|_| {
            let peer = story.choose();
            story.peers.note_sent(Time::ZERO, peer, Protocol::GetTxList);
            peer
        });
        for round in asked.chunks(3) {
            assert_eq!(round.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "each once before anybody twice");
        }
    }
}
