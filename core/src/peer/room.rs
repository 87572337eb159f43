//! Who has room for a request of ours, and when will somebody have it (P6.7, P6.8)?
//!
//! One [`Room`] for each protocol, over the connected peers:
//!
//! | a peer is | while | ordered by |
//! |---|---|---|
//! | mute | it does not speak the protocol | – |
//! | open | a request may go to it now | standing, requests in flight, seat: the order in which P6.8 takes them |
//! | resting | time alone makes room | that time |
//! | shut | it is pruned (P7.4), or only the end of a request makes room | – |
//!
//! So the best peer and the next moment of room are looked up; nobody else is looked at, however many are connected.
//!
//! Invariant: a peer is where [`Peers::place`] put it last, and whatever decides its place is followed by a call of that: what it speaks,
//! its score, the start and the end of a request. Time alone moves it only from resting to open, which [`Peers::wake`] does.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use crate::id::PeerId;
use crate::peer::pace::Pace;
use crate::peer::score::Standing;
use crate::peer::table::{Peers, index};
use crate::time::Time;
use crate::wire::topics::Protocol;

/// A peer's place in the order of P6.8. The seat is its own: the table knows whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    standing: Standing,
    in_flight: usize,
    seat: u64,
}

/// Where a peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    #[default]
    Mute,
    Shut,
    Resting(Time),
    Open(Turn),
}

/// The places of all connected peers in one protocol.
#[derive(Debug, Default)]
pub(crate) struct Room {
    open: BTreeSet<Turn>,
    resting: BTreeSet<(Time, PeerId)>,
    speakers: usize,
}

impl Room {
    /// Moves a peer.
    pub(crate) fn move_to(&mut self, peer: PeerId, from: Place, to: Place) {
        match from {
            Place::Open(turn) => drop(self.open.remove(&turn)),
            Place::Resting(until) => drop(self.resting.remove(&(until, peer))),
            Place::Mute | Place::Shut => {}
        }
        match to {
            Place::Open(turn) => drop(self.open.insert(turn)),
            Place::Resting(until) => drop(self.resting.insert((until, peer))),
            Place::Mute | Place::Shut => {}
        }
        self.speakers -= usize::from(from != Place::Mute);
        self.speakers += usize::from(to != Place::Mute);
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
        for protocol in Protocol::ALL {
            let place = match known.paces[index(protocol)].next_admit_at(now) {
                _ if !connected.spoken.supports(protocol) => Place::Mute,
                Some(at) if takes_any && at <= now => Place::Open(Turn { standing, in_flight, seat: connected.seat }),
                Some(at) if takes_any => Place::Resting(at),
                Some(_) | None => Place::Shut,
            };
            let before = std::mem::replace(&mut connected.places[index(protocol)], place);
            self.rooms[index(protocol)].move_to(*peer, before, place);
        }
    }

    /// Time has made room with those who only needed time. Costs what they are many; each was asked since it was here last.
    fn wake(&mut self, now: Time, protocol: Protocol) {
        while let Some((until, peer)) = self.rooms[index(protocol)].resting.first().copied()
            && until <= now
        {
            self.place(now, &peer);
        }
    }

    /// P6.8: the best peer that is open and `fits`, ties by their order from a seat on. Looks only at those that are better and do not fit.
    pub(crate) fn best_open(&mut self, now: Time, protocol: Protocol, seat: u64, fits: impl Fn(&PeerId) -> bool) -> Option<PeerId> {
        self.wake(now, protocol);
        let open = self.rooms[index(protocol)].turns_from(seat).filter_map(|turn| self.round.get(&turn.seat));
        open.copied().find(fits)
    }

    /// The same choice among a few that are named.
    pub(crate) fn best_open_of(&mut self, now: Time, protocol: Protocol, seat: u64, few: &[PeerId]) -> Option<PeerId> {
        self.wake(now, protocol);
        let open = few.iter().filter_map(|peer| match self.connected.get(peer)?.places[index(protocol)] {
            Place::Open(turn) => Some(((turn.standing, turn.in_flight, turn.seat.wrapping_sub(seat)), *peer)),
            Place::Mute | Place::Shut | Place::Resting(_) => None,
        });
        open.min().map(|(_, peer)| peer)
    }

    /// When time alone makes room for a request to this peer, or to any; `None` when it does not, or there is room now.
    pub(crate) fn next_free(&mut self, now: Time, peer: Option<PeerId>, protocol: Protocol) -> Option<Time> {
        match peer {
            Some(peer) => {
                let speaks = self.connected.get(&peer).is_some_and(|connected| connected.spoken.supports(protocol));
                let known = self.known.get(&peer).filter(|_| speaks)?;
                known.paces[index(protocol)].next_admit_at(now).filter(|at| *at > now)
            }
            None => {
                self.wake(now, protocol);
                self.rooms[index(protocol)].resting.first().map(|(at, _)| *at)
            }
        }
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
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::dice::Dice;
    use crate::id::ConnectionId;
    use crate::input::{Direction, Spoken};
    use crate::peer::conduct::Conduct;
    use crate::peer::ledger::Cause;
    use crate::peer::table::Link;
    use crate::wire::topics::ChainId;

    fn peer(n: u64) -> PeerId {
        PeerId::from_bytes(&[&[0, 8][..], &n.to_be_bytes()].concat()).expect("ten bytes")
    }

    fn open(standing: Standing, in_flight: usize, seat: u64) -> Place {
        Place::Open(Turn { standing, in_flight, seat })
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
            room.move_to(peer(seat), Place::Mute, open(standing, in_flight, seat));
        }
        assert_eq!(seats(&room, 0), [0, 3, u64::MAX, 2, 6, 1]);
        assert_eq!(seats(&room, 4), [u64::MAX, 0, 3, 6, 2, 1]);
        assert_eq!(seats(&room, u64::MAX), [u64::MAX, 0, 3, 2, 6, 1]);
    }

    #[test]
    fn a_peer_that_moves_leaves_nothing_behind() {
        let mut room = Room::default();
        let places = [open(Standing::Healthy, 0, 7), Place::Resting(Time(5)), Place::Shut, open(Standing::Throttled, 2, 7), Place::Mute];
        let mut before = Place::Mute;
        for place in places {
            room.move_to(peer(7), before, place);
            let in_all = room.open.len() + room.resting.len();
            assert_eq!(in_all, usize::from(matches!(place, Place::Open(_) | Place::Resting(_))), "{place:?}");
            assert_eq!(room.speakers, usize::from(place != Place::Mute));
            before = place;
        }
    }

    #[test]
    fn the_first_that_fits_is_found_without_a_look_at_the_rest() {
        let mut room = Room::default();
        for seat in 0..1_000 {
            room.move_to(peer(seat), Place::Mute, open(Standing::Healthy, usize::from(seat % 10 != 0), seat));
        }
        let looks = Cell::new(0);
        let found = room.turns_from(500).find(|turn| {
            looks.set(looks.get() + 1);
            ![500, 510].contains(&turn.seat)
        });
        assert_eq!((found.map(|turn| turn.seat), looks.get()), (Some(520), 3));
    }

    proptest! {
        /// What is looked up against a walk over all peers, whatever came before.
        #[test]
        fn p6_7_p6_8_what_is_looked_up_is_what_a_walk_over_everybody_finds(
            steps in prop::collection::vec((0u64..12, 0usize..8, 0u64..4_000), 1..200),
        ) {
            let config = Config { max_requests_per_peer: 4, ..Config::new(ChainId(1)) };
            let (mut peers, mut dice, mut now) = (Peers::new(&config), Dice::new([7; 32]), Time::ZERO);
            for (who, what, wait_ms) in steps {
                let (name, protocol) = (peer(who), Protocol::ALL[who as usize % 3]);
                now = now.after(Duration::from_millis(wait_ms));
                told_of_decays(&mut peers, now);
                match what {
                    0 => drop(peers.close(now, name, ConnectionId(who))),
                    1 | 2 => {
                        let link = Link { direction: Direction::Inbound, address: None };
                        peers.open(now, name, (ConnectionId(who), link), false, &mut dice);
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
                    _ => {
                        if let Some(peer) = peers.best_open(now, protocol, who, |_| true) {
                            peers.note_sent(now, peer, protocol);
                        }
                    }
                }
                for protocol in Protocol::ALL {
                    let fits = |peer: &PeerId| *peer != name;
                    let (best, next) = walk(&peers, now, protocol, wait_ms, fits);
                    prop_assert_eq!(peers.best_open(now, protocol, wait_ms, fits), best);
                    let few: Vec<PeerId> = peers.connected().map(|(peer, _)| *peer).filter(|peer| fits(peer)).collect();
                    prop_assert_eq!(peers.best_open_of(now, protocol, wait_ms, &few), best);
                    prop_assert_eq!(peers.next_free(now, None, protocol), next);
                    prop_assert_eq!(peers.speakers(protocol), peers.connected().filter(|(_, peer)| peer.spoken.supports(protocol)).count());
                }
            }
        }
    }

    /// As the machine does after each decay.
    fn told_of_decays(peers: &mut Peers, now: Time) {
        for peer in peers.scored_after(None, usize::MAX) {
            let score = peers.ledger(&peer).map_or(0, |ledger| ledger.score(now));
            peers.mirror(now, &peer, score);
        }
    }

    /// P6.8 and P6.7 as they read: the best peer that fits and has room, and when the next of those that are asked at all has it.
    fn walk(peers: &Peers, now: Time, protocol: Protocol, seat: u64, fits: impl Fn(&PeerId) -> bool) -> (Option<PeerId>, Option<Time>) {
        let (mut best, mut next) = (None, None);
        for peer in peers.round.range(seat..).chain(peers.round.range(..seat)).map(|(_, peer)| *peer) {
            let known = &peers.known[&peer];
            let rank = (known.ledger.standing(now), known.paces.iter().map(Pace::under_way).sum::<usize>());
            let Some(at) = known.paces[index(protocol)].next_admit_at(now) else { continue };
            if !peers.connected[&peer].spoken.supports(protocol) || rank.0 > Standing::Throttled || rank.1 >= 4 {
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
