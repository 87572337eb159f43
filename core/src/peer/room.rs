//! Who has room for a request of ours, and when will somebody have it (P6.7, P6.8)?
//!
//! One [`Room`] for each protocol, over the connected peers:
//!
//! | a peer is | while | ordered by |
//! |---|---|---|
//! | mute | it does not speak the protocol | – |
//! | open | a request may go to it now | standing, requests in flight, seat: the order in which P6.8 takes them |
//! | resting | time alone makes room, or has made it and nobody woke it yet | standing, that time, seat |
//! | shut | it is pruned (P7.4), or only the end of a request makes room | – |
//!
//! So the best peer and the next moment of room are looked up; nobody else is looked at, however many are connected. Of those that a
//! request waits for, the open and the resting ones are listed apart, so that who waits in vain costs nothing either.
//!
//! Invariant: a peer is where [`Peers::place`] put it last, and whatever decides its place is followed by a call of that: what it speaks,
//! its score, the start and the end of a request; each moves it in all three rooms. Time alone moves it only from resting to open, and a
//! look for somebody does that: [`Peers::wake`] for some of those whose rest is over, [`Peers::next_ready`] for those that are sought.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use crate::id::{PeerId, RequestId};
use crate::peer::pace::Pace;
use crate::peer::score::Standing;
use crate::peer::table::{Peers, index};
use crate::time::Time;
use crate::wire::topics::Protocol;

/// How many of those whose rest is over join the open ones at a time. Ours: more than a search for heads or a txlist passes over (at most 15,
/// whom it has asked already), so that one look is enough there, and so few that no step walks over all who have rested since the last one.
const WOKEN_AT_ONCE: usize = 16;

/// A peer's place in the order of P6.8. The seat is its own: the table knows whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(super) standing: Standing,
    pub(super) in_flight: usize,
    pub(super) seat: u64,
}

/// A peer's place among the resting ones: it has room from that time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rest {
    pub(super) standing: Standing,
    until: Time,
    seat: u64,
}

/// Where a peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    #[default]
    Mute,
    Shut,
    Resting(Rest),
    Open(Turn),
}

/// A place, and the first of the requests that wait for the peer there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(super) place: Place,
    pub(super) sought_by: Option<RequestId>,
}

/// The places of all connected peers in one protocol.
#[derive(Debug, Default)]
pub(crate) struct Room {
    open: BTreeSet<Turn>,
    resting: BTreeSet<Rest>,
    /// The first of the requests that wait for each of the open ones.
    ready: BTreeSet<RequestId>,
    /// The resting ones that a request waits for: until when, and their seats.
    sought: BTreeSet<(Time, u64)>,
    speakers: usize,
}

impl Room {
    /// Moves a peer.
    pub(crate) fn move_to(&mut self, from: Spot, to: Spot) {
        match (from.place, from.sought_by) {
            (Place::Open(turn), sought_by) => {
                self.open.remove(&turn);
                sought_by.map(|request| self.ready.remove(&request));
            }
            (Place::Resting(rest), sought_by) => {
                self.resting.remove(&rest);
                sought_by.map(|_| self.sought.remove(&(rest.until, rest.seat)));
            }
            (Place::Mute | Place::Shut, _) => {}
        }
        match (to.place, to.sought_by) {
            (Place::Open(turn), sought_by) => {
                self.open.insert(turn);
                self.ready.extend(sought_by);
            }
            (Place::Resting(rest), sought_by) => {
                self.resting.insert(rest);
                self.sought.extend(sought_by.map(|_| (rest.until, rest.seat)));
            }
            (Place::Mute | Place::Shut, _) => {}
        }
        self.speakers -= usize::from(from.place != Place::Mute);
        self.speakers += usize::from(to.place != Place::Mute);
    }

    /// The first of those whose rest is over and who were not woken yet; the healthy come before the throttled ones.
    pub(super) fn first_unwoken(&self, now: Time) -> Option<Rest> {
        let first = |standing| self.resting.range(Rest { standing, until: Time::ZERO, seat: 0 }..).next();
        let of_each = [Standing::Healthy, Standing::Throttled].into_iter().filter_map(first);
        of_each.copied().find(|rest| rest.until <= now)
    }

    /// When the next rest ends, of those that are not over.
    fn next_rest_ends(&self, now: Time) -> Option<Time> {
        let next = |standing| {
            let over = Rest { standing, until: now, seat: u64::MAX };
            self.resting.range((Excluded(over), Unbounded)).next().filter(|rest| rest.standing == standing)
        };
        [Standing::Healthy, Standing::Throttled].into_iter().filter_map(next).map(|rest| rest.until).min()
    }

    /// The open ones, best first; among equals from a seat on.
    fn turns_from(&self, seat: u64) -> impl Iterator<Item = Turn> + '_ {
        let next_best = |turn: &&Turn| self.open.range((Excluded(Turn { seat: u64::MAX, ..**turn }), Unbounded)).next();
        std::iter::successors(self.open.first(), next_best).flat_map(move |equals| {
            let at = |seat| Turn { seat, ..*equals };
            self.open.range(at(seat)..=at(u64::MAX)).chain(self.open.range(at(0)..at(seat))).copied()
        })
    }
}

impl Peers {
    /// Finds a connected peer's places anew.
    pub(crate) fn place(&mut self, now: Time, peer: &PeerId) {
        let (Some(connected), Some(known)) = (self.connected.get_mut(peer), self.known.get(peer)) else { return };
        let standing = known.ledger.standing(now);
        let in_flight = known.paces.iter().map(Pace::under_way).sum();
        let takes_any = standing <= Standing::Throttled && in_flight < self.max_requests_per_peer;
        connected.placed_as = standing;
        let backed = connected.backer();
        for protocol in Protocol::ALL {
            let place = match known.paces[index(protocol)].next_admit_at(now) {
                _ if !connected.spoken.supports(protocol) => Place::Mute,
                Some(at) if takes_any && at <= now => Place::Open(Turn { standing, in_flight, seat: connected.seat }),
                Some(at) if takes_any => Place::Resting(Rest { standing, until: at, seat: connected.seat }),
                Some(_) | None => Place::Shut,
            };
            let before = connected.spots[index(protocol)];
            let spot = Spot { place, ..before };
            if spot != before {
                connected.spots[index(protocol)] = spot;
                self.rooms[index(protocol)].move_to(before, spot);
            }
        }
        self.backers.replace(backed, connected.backer());
    }

    /// The same, where of all that decides them only the score has changed: most changes leave a peer where it stands (P7.4).
    pub(crate) fn place_if_moved(&mut self, now: Time, peer: &PeerId) {
        let standing = self.standing(now, peer);
        if self.connected.get(peer).is_some_and(|connected| connected.placed_as != standing) {
            self.place(now, peer);
        }
    }

    /// A request waits for room with this peer.
    pub(crate) fn seek(&mut self, peer: PeerId, protocol: Protocol, request: RequestId) {
        self.change_sought(&peer, protocol, |sought| sought.insert(request));
    }

    /// It waits no more.
    pub(crate) fn seek_no_more(&mut self, peer: &PeerId, protocol: Protocol, request: RequestId) {
        self.change_sought(peer, protocol, |sought| sought.remove(&request));
    }

    fn change_sought(&mut self, peer: &PeerId, protocol: Protocol, change: impl FnOnce(&mut BTreeSet<RequestId>) -> bool) {
        let Some(connected) = self.connected.get_mut(peer) else { return };
        let sought = &mut connected.sought[index(protocol)];
        change(sought);
        let before = connected.spots[index(protocol)];
        let spot = Spot { sought_by: sought.first().copied(), ..before };
        connected.spots[index(protocol)] = spot;
        self.rooms[index(protocol)].move_to(before, spot);
    }

    /// Of the requests that wait, the first whose peer is open.
    pub(crate) fn next_ready(&mut self, now: Time) -> Option<RequestId> {
        // A request waits for each that is placed here, and requests that wait are few.
        for protocol in Protocol::ALL {
            while let Some(&(until, seat)) = self.rooms[index(protocol)].sought.first()
                && until <= now
                && let Some(peer) = self.round.get(&seat).copied()
            {
                self.place(now, &peer);
            }
        }
        self.rooms.iter().filter_map(|room| room.ready.first().copied()).min()
    }

    /// When time alone makes room for the next of the requests that wait.
    pub(crate) fn next_sought(&self, now: Time) -> Option<Time> {
        let next = |room: &Room| room.sought.range((Excluded((now, u64::MAX)), Unbounded)).next().map(|(until, _)| *until);
        self.rooms.iter().filter_map(next).min()
    }

    /// Time has made room with those who only needed time: some of them are told.
    pub(crate) fn wake(&mut self, now: Time, protocol: Protocol) {
        for _ in 0..WOKEN_AT_ONCE {
            let unwoken = self.rooms[index(protocol)].first_unwoken(now);
            let Some(peer) = unwoken.and_then(|rest| self.round.get(&rest.seat)).copied() else { return };
            self.place(now, &peer);
        }
    }

    /// P6.8: the best peer that is open and `fits`, ties by their order from a seat on. Looks only at those that are better and do not fit.
    pub(crate) fn best_open(&mut self, now: Time, protocol: Protocol, seat: u64, fits: impl Fn(&PeerId) -> bool) -> Option<PeerId> {
        loop {
            self.wake(now, protocol);
            let unwoken = self.rooms[index(protocol)].first_unwoken(now);
            let mut open = self.rooms[index(protocol)].turns_from(seat).filter_map(|turn| Some((turn, *self.round.get(&turn.seat)?)));
            let found = open.find(|(_, peer)| fits(peer));
            // P7.4: none of those may be better. Whoever looks passes over fewer than one look wakes.
            if unwoken.is_none_or(|rest| found.is_some_and(|(turn, _)| turn.standing <= rest.standing)) {
                return found.map(|(_, peer)| peer);
            }
        }
    }

    /// When time alone makes room with the next of those who have none.
    pub(crate) fn next_free(&self, now: Time, protocol: Protocol) -> Option<Time> {
        self.rooms[index(protocol)].next_rest_ends(now)
    }

    /// How many connected peers speak a protocol.
    pub(crate) fn speakers(&self, protocol: Protocol) -> usize {
        self.rooms[index(protocol)].speakers
    }

    /// Is the peer one that we ask (P7.4), and is there room for a request on this protocol now (P6.7)?
    pub(crate) fn takes(&self, now: Time, peer: &PeerId, protocol: Protocol) -> bool {
        self.known.get(peer).is_some_and(|known| {
            known.paces[index(protocol)].next_admit_at(now).is_some_and(|at| at <= now) && known.ledger.standing(now) <= Standing::Throttled
        })
    }

    /// A request on this protocol goes to the peer now (P6.7).
    pub(crate) fn note_sent(&mut self, now: Time, peer: PeerId, protocol: Protocol) {
        let admitted = self.know(now, peer).paces[index(protocol)].admit(now);
        debug_assert!(admitted, "a request was sent that the pace does not admit");
        self.place(now, &peer);
    }

    /// A request has ended: the peer counts it no more.
    pub(crate) fn note_ended(&mut self, now: Time, peer: PeerId, protocol: Protocol) {
        self.know(now, peer).paces[index(protocol)].end(now);
        self.place(now, &peer);
    }

    /// The peer dropped a request without an answer: it is left alone in this protocol for a window.
    pub(crate) fn rest(&mut self, now: Time, peer: PeerId, protocol: Protocol) {
        self.know(now, peer).paces[index(protocol)].rest(now);
        self.place(now, &peer);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::dice::Dice;
    use crate::id::ConnectionId;
    use crate::input::{Direction, Spoken};
    use crate::peer::backers::Look;
    use crate::peer::conduct::Conduct;
    use crate::peer::ledger::Cause;
    use crate::peer::table::Link;
    use crate::wire::topics::ChainId;

    fn peer(n: u64) -> PeerId {
        PeerId::from_bytes(&[&[0, 8][..], &n.to_be_bytes()].concat()).expect("ten bytes")
    }

    fn open(standing: Standing, in_flight: usize, seat: u64) -> Spot {
        Spot { place: Place::Open(Turn { standing, in_flight, seat }), sought_by: None }
    }

    fn seats(room: &Room, from: u64) -> Vec<u64> {
        room.turns_from(from).map(|turn| turn.seat).collect()
    }

    #[test]
    fn p6_8_the_better_come_first_and_equals_from_a_seat_on() {
        let mut room = Room::default();
        let places = [
            (Standing::Throttled, 0, 1),
            (Standing::Healthy, 1, 2),
            (Standing::Healthy, 0, 3),
            (Standing::Healthy, 0, u64::MAX),
            (Standing::Healthy, 0, 0),
            (Standing::Healthy, 1, 6),
        ];
        for (standing, in_flight, seat) in places {
            room.move_to(Spot::default(), open(standing, in_flight, seat));
        }
        assert_eq!(seats(&room, 0), [0, 3, u64::MAX, 2, 6, 1]);
        assert_eq!(seats(&room, 4), [u64::MAX, 0, 3, 6, 2, 1]);
        assert_eq!(seats(&room, u64::MAX), [u64::MAX, 0, 3, 2, 6, 1]);
    }

    #[test]
    fn a_peer_that_moves_leaves_nothing_behind() {
        let mut room = Room::default();
        let at = |place| Spot { place, sought_by: None };
        let rest = Rest { standing: Standing::Healthy, until: Time(5), seat: 7 };
        let places =
            [open(Standing::Healthy, 0, 7), at(Place::Resting(rest)), at(Place::Shut), open(Standing::Throttled, 2, 7), at(Place::Mute)];
        let sought = places.map(|spot| Spot { sought_by: Some(RequestId(1)), ..spot });
        let mut before = Spot::default();
        for spot in places.into_iter().chain(sought).chain(places) {
            room.move_to(before, spot);
            let (is_open, is_resting) = (matches!(spot.place, Place::Open(_)), matches!(spot.place, Place::Resting(_)));
            let is_sought = spot.sought_by.is_some();
            assert_eq!((room.open.len(), room.resting.len()), (usize::from(is_open), usize::from(is_resting)), "{spot:?}");
            assert_eq!(room.ready.len(), usize::from(is_open && is_sought), "{spot:?}");
            assert_eq!(room.sought.len(), usize::from(is_resting && is_sought), "{spot:?}");
            assert_eq!(room.speakers, usize::from(spot.place != Place::Mute));
            before = spot;
        }
    }

    #[test]
    fn the_first_that_fits_is_found_without_a_look_at_the_rest() {
        let mut room = Room::default();
        for seat in 0..1_000 {
            room.move_to(Spot::default(), open(Standing::Healthy, usize::from(seat % 10 != 0), seat));
        }
        let looks = Cell::new(0);
        let found = room.turns_from(500).find(|turn| {
            looks.set(looks.get() + 1);
            ![500, 510].contains(&turn.seat)
        });
        assert_eq!((found.map(|turn| turn.seat), looks.get()), (Some(520), 3));
    }

    /// A crowd whose every member rests until the same moment; the first `throttled` of them are throttled.
    fn tired(crowd: u64, throttled: u64) -> (Peers, Time) {
        let (mut peers, mut dice) = (Peers::new(&Config::new(ChainId(1))), Dice::new([7; 32]));
        for n in 0..crowd {
            let link = Link { direction: Direction::Inbound, address: None };
            peers.open(Time::ZERO, peer(n), (ConnectionId(n), link), false, &mut dice);
            peers.identified(Time::ZERO, &peer(n), Spoken { get_head: true, get_commitments: true, get_txlist: true, gossip: true });
            while n < throttled && peers.standing(Time::ZERO, &peer(n)) == Standing::Healthy {
                let score = peers.ledger_mut(Time::ZERO, peer(n)).charge(Time::ZERO, Conduct::Timeout, Cause::Neither).score;
                peers.mirror(Time::ZERO, &peer(n), score);
            }
            peers.rest(Time::ZERO, peer(n), Protocol::GetTxList);
        }
        let rested = peers.next_free(Time::ZERO, Protocol::GetTxList).expect("time makes room");
        (peers, rested)
    }

    #[test]
    fn p6_8_of_many_whose_rest_is_over_some_are_woken_when_one_is_looked_for() {
        let (mut peers, rested) = tired(200, 0);
        assert_eq!(peers.best_open(Time(rested.0 - 1), Protocol::GetTxList, 0, |_| true), None);
        for looks in 1..=3 {
            assert!(peers.best_open(rested, Protocol::GetTxList, 0, |_| true).is_some());
            assert_eq!(peers.rooms[index(Protocol::GetTxList)].open.len(), looks * WOKEN_AT_ONCE);
        }
        assert_eq!(peers.next_free(rested, Protocol::GetTxList), None, "nobody has to be waited for");
    }

    #[test]
    fn p6_8_one_of_many_whose_rest_is_over_is_found_whoever_fits() {
        for n in 0..200 {
            let (mut peers, rested) = tired(200, 0);
            assert_eq!(peers.best_open(rested, Protocol::GetTxList, n, |of| *of == peer(n)), Some(peer(n)));
        }
    }

    #[test]
    fn p7_4_the_throttled_ones_are_woken_last() {
        let (mut peers, rested) = tired(200, 190);
        for n in 0..10 {
            let best = peers.best_open(rested, Protocol::GetTxList, n, |_| true).expect("all have rested");
            assert_eq!(peers.standing(rested, &best), Standing::Healthy);
        }
    }

    #[test]
    fn p6_7_who_waits_for_a_peer_is_found_among_many_whose_rest_is_over() {
        let (mut peers, rested) = tired(200, 0);
        peers.seek(peer(150), Protocol::GetTxList, RequestId(3));
        assert_eq!((peers.next_ready(Time::ZERO), peers.next_sought(Time::ZERO)), (None, Some(rested)));
        assert_eq!((peers.next_ready(rested), peers.next_sought(rested)), (Some(RequestId(3)), None));
        assert_eq!(peers.rooms[index(Protocol::GetTxList)].open.len(), 1, "nobody else was looked at");
    }

    /// What happens to the peers of a node, one thing after the other.
    struct Story {
        peers: Peers,
        dice: Dice,
        now: Time,
        requests: u64,
    }

    impl Story {
        fn new() -> Self {
            let config = Config { max_requests_per_peer: 4, ..Config::new(ChainId(1)) };
            Self { peers: Peers::new(&config), dice: Dice::new([7; 32]), now: Time::ZERO, requests: 0 }
        }

        /// Something happens to one peer, some time after what happened before. Gives the peer.
        fn goes_on(&mut self, (who, what, wait_ms): (u64, usize, u64)) -> PeerId {
            let (name, protocol) = (peer(who), Protocol::ALL[who as usize % 3]);
            self.now = self.now.after(Duration::from_millis(wait_ms));
            let Self { peers, dice, now, requests } = self;
            let now = *now;
            (wait_ms > 0).then(|| told_of_decays(peers, now));
            match what {
                0 => drop(peers.close(now, name, ConnectionId(who))),
                1 | 2 => {
                    let link = Link { direction: Direction::Inbound, address: None };
                    peers.open(now, name, (ConnectionId(who), link), false, dice);
                    let spoken = Spoken { get_head: who % 4 != 0, get_commitments: true, get_txlist: true, gossip: true };
                    peers.identified(now, &name, spoken);
                }
                3 => {
                    let conduct = if who % 2 == 0 { Conduct::BadMessage } else { Conduct::Timeout };
                    let score = peers.ledger_mut(now, name).charge(now, conduct, Cause::Neither).score;
                    peers.mirror(now, &name, score);
                }
                4 if peers.get(&name).is_some() => peers.rest(now, name, protocol),
                5 if peers.get(&name).is_some() => peers.note_ended(now, name, protocol),
                6 => peers.does_not_speak(now, &name, protocol),
                7 => peers.set_reach(&name, wait_ms / 500),
                8 => {
                    *requests += 1;
                    peers.seek(name, protocol, RequestId(*requests));
                }
                9 => {
                    if let Some(request) = peers.connected.get(&name).and_then(|peer| peer.sought[index(protocol)].first().copied()) {
                        peers.seek_no_more(&name, protocol, request);
                    }
                }
                10 => peers.set_silent(&name, wait_ms % 2 == 0),
                _ => {
                    if let Some(peer) = peers.best_open(now, protocol, who, |_| true) {
                        peers.note_sent(now, peer, protocol);
                    }
                }
            }
            name
        }
    }

    fn stories(peers: u64, longest: usize) -> impl Strategy<Value = Vec<(u64, usize, u64)>> {
        prop::collection::vec((0..peers, 0usize..12, 0u64..4_000), 1..longest)
    }

    proptest! {
        /// What is looked up against a walk over all peers, whatever came before; where they are so few that one look wakes all.
        #[test]
        fn p6_7_p6_8_what_is_looked_up_is_what_a_walk_over_everybody_finds(steps in stories(12, 200)) {
            let mut story = Story::new();
            for step in steps {
                let (name, wait_ms) = (story.goes_on(step), step.2);
                let (peers, now) = (&mut story.peers, story.now);
                for protocol in Protocol::ALL {
                    let fits = |peer: &PeerId| *peer != name;
                    let (best, next) = walk(peers, now, protocol, wait_ms, fits, |_| false);
                    prop_assert_eq!(peers.best_open(now, protocol, wait_ms, fits), best);
                    prop_assert_eq!(peers.next_free(now, protocol), next);
                    prop_assert_eq!(peers.speakers(protocol), peers.connected().filter(|(_, peer)| peer.spoken.supports(protocol)).count());
                }
                let reaches = |peer: &PeerId| *peer != name && peers.connected[peer].reach >= 3;
                let is_silent = |peer: &PeerId| peers.connected[peer].is_silent;
                let (best, _) = walk(peers, now, Protocol::GetCommitments, wait_ms, reaches, is_silent);
                peers.wake(now, Protocol::GetCommitments);
                prop_assert_eq!(peers.best_backer(now, 3, wait_ms, |peer| *peer != name), best.map_or(Look::Nobody, Look::Found));
                let (ready, next) = walk_sought(peers, now);
                prop_assert_eq!((peers.next_ready(now), peers.next_sought(now)), (ready, next));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Where they are more than one look wakes, others may be found, and none that a better one could stand for (P7.4, P6.9). Most of
        /// them have rested when the story begins.
        #[test]
        fn p6_8_p7_4_of_many_nobody_is_found_who_has_to_wait_behind_another(
            begins in prop::collection::vec((1u64..8, 0u8..5, any::<bool>(), 0u8..5), 120),
            steps in stories(120, 8),
        ) {
            let mut story = Story::new();
            for (who, (reach, silence, is_throttled, fatigue)) in (0..).zip(begins) {
                let name = story.goes_on((who, 1, 0));
                story.peers.set_reach(&name, reach);
                story.peers.set_silent(&name, silence > 0);
                while is_throttled && story.peers.standing(Time::ZERO, &name) == Standing::Healthy {
                    story.goes_on((who, 3, 0));
                }
                Protocol::ALL.into_iter().filter(|_| fatigue > 0).for_each(|protocol| story.peers.rest(Time::ZERO, name, protocol));
            }
            story.now = Time::from_millis(10_000);
            for step in steps {
                let (name, seat) = (story.goes_on(step), step.2);
                let (peers, now) = (&mut story.peers, story.now);
                let fits = |peer: &PeerId| *peer != name;
                let class = |peers: &Peers, peer: PeerId| (peers.connected[&peer].is_silent, peers.standing(now, &peer));
                let reaches = |peer: &PeerId| *peer != name && peers.connected[peer].reach >= 3;
                let (best, _) = walk(peers, now, Protocol::GetCommitments, seat, reaches, |peer| peers.connected[peer].is_silent);
                let mut looks = (0..=120 / WOKEN_AT_ONCE).map(|_| {
                    peers.wake(now, Protocol::GetCommitments);
                    peers.best_backer(now, 3, seat, fits)
                });
                let found = match looks.find(|look| *look != Look::Again) {
                    Some(Look::Found(peer)) => Some(peer),
                    Some(Look::Nobody) => None,
                    Some(Look::Again) | None => panic!("each look wakes some"),
                };
                prop_assert!(found.is_none_or(|found| peers.connected[&found].reach >= 3 && peers.takes(now, &found, Protocol::GetCommitments)));
                prop_assert_eq!(found.map(|peer| class(peers, peer)), best.map(|peer| class(peers, peer)));
                for protocol in Protocol::ALL {
                    let fits = |peer: &PeerId| peers.connected[peer].reach >= 7; // few do
                    let (best, _) = walk(peers, now, protocol, seat, fits, |_| false);
                    let reach: BTreeMap<_, _> = peers.connected().map(|(peer, connected)| (*peer, connected.reach)).collect();
                    let found = peers.best_open(now, protocol, seat, |peer| reach[peer] >= 7);
                    prop_assert!(found.is_none_or(|found| reach[&found] >= 7 && peers.takes(now, &found, protocol)));
                    prop_assert_eq!(found.map(|peer| peers.standing(now, &peer)), best.map(|peer| peers.standing(now, &peer)));
                }
            }
        }
    }

    /// P6.7 as it reads: the first of the requests that wait whose peer has room, and when time makes room for the next one.
    fn walk_sought(peers: &Peers, now: Time) -> (Option<RequestId>, Option<Time>) {
        let (mut ready, mut next) = (Vec::new(), Vec::new());
        for (name, peer) in peers.connected() {
            let known = &peers.known[name];
            let in_flight = known.paces.iter().map(Pace::under_way).sum::<usize>();
            for protocol in Protocol::ALL.into_iter().filter(|protocol| peer.spoken.supports(*protocol)) {
                let (Some(first), Some(at)) = (peer.sought[index(protocol)].first(), known.paces[index(protocol)].next_admit_at(now))
                else {
                    continue;
                };
                match known.ledger.standing(now) > Standing::Throttled || in_flight >= 4 {
                    true => {}
                    false if at <= now => ready.push(*first),
                    false => next.push(at),
                }
            }
        }
        (ready.into_iter().min(), next.into_iter().min())
    }

    /// As the machine does after each decay.
    fn told_of_decays(peers: &mut Peers, now: Time) {
        for peer in peers.scored_after(None, usize::MAX) {
            let score = peers.ledger(&peer).map_or(0, |ledger| ledger.score(now));
            peers.mirror(now, &peer, score);
        }
    }

    /// P6.8 and P6.7 as they read: the best peer that fits and has room, and when the next of those that are asked at all has it.
    fn walk(
        peers: &Peers,
        now: Time,
        protocol: Protocol,
        seat: u64,
        fits: impl Fn(&PeerId) -> bool,
        is_last: impl Fn(&PeerId) -> bool,
    ) -> (Option<PeerId>, Option<Time>) {
        let (mut best, mut next) = (None, None);
        for peer in peers.round.range(seat..).chain(peers.round.range(..seat)).map(|(_, peer)| *peer) {
            let known = &peers.known[&peer];
            let (standing, in_flight) = (known.ledger.standing(now), known.paces.iter().map(Pace::under_way).sum::<usize>());
            let rank = (is_last(&peer), standing, in_flight);
            let Some(at) = known.paces[index(protocol)].next_admit_at(now) else { continue };
            if !peers.connected[&peer].spoken.supports(protocol) || standing > Standing::Throttled || in_flight >= 4 {
                continue;
            }
            if at > now {
                next = Some(next.map_or(at, |next: Time| next.min(at)));
            } else if fits(&peer) && best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, peer));
            }
        }
        (best.map(|(_, peer)| peer), next)
    }
}
