//! Who can be asked for a page of commitments (P6.9)?
//!
//! A peer can while it is open in the room of that protocol (P6.7) and its claim is followed as far as the page. Both have an order of their
//! own; here they are one, so that a page for which nobody has room is a look into an empty list, and one for which somebody has it is a
//! look at a few. Within a class of equals in P6.8's order peers lie by how far they reach:
//!
//! ```text
//! healthy, 0 in flight:  …  reaches 90 | 120 | 120 | 300     <- a page from block 100 is asked of one of the last three, by dice
//! healthy, 1 in flight:  …                                   <- or else of one of these
//! silent, …                                                  <- or else of these
//! ```
//!
//! A peer whose last request for a page had no answer waits behind all others, whatever their scores: a crowd that claims much and says
//! nothing must not come first each time.
//!
//! Invariant: a peer is here exactly while [`Connected::backer`] says so. [`Peers::place`] moves it when its room changes,
//! [`Peers::set_reach`] when its claim does, and [`Peers::set_silent`] when it fell silent or answered.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use crate::id::PeerId;
use crate::peer::room::{Place, Turn};
use crate::peer::score::Standing;
use crate::peer::table::{Connected, Peers, index};
use crate::time::Time;
use crate::wire::topics::Protocol;

/// Among how many fitting equals the one to ask for a page is chosen: those that reach farthest. Ours: enough that nobody can count on being
/// asked, few enough that a step does not walk over all peers.
const MAX_ASKED_AMONG: usize = 16;

/// What came of a look for somebody to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Found(PeerId),
    /// Nobody fits who has room.
    Nobody,
    /// Somebody better may be among those who were not woken yet. Once they are, a look finds somebody, or nobody.
    Again,
}

/// A peer's place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Backer {
    is_silent: bool,
    standing: Standing,
    in_flight: usize,
    reach: u64,
    seat: u64,
}

/// Those who can be asked.
#[derive(Debug, Default)]
pub(crate) struct Backers {
    in_order: BTreeSet<Backer>,
}

impl Backers {
    /// A peer that had this place, or none, has that one now.
    pub(super) fn replace(&mut self, old: Option<Backer>, new: Option<Backer>) {
        if old != new {
            self.remove(old);
            self.in_order.extend(new);
        }
    }

    /// A peer that had this place has none any more.
    pub(super) fn remove(&mut self, old: Option<Backer>) {
        old.map(|backer| self.in_order.remove(&backer));
    }

    /// One backer of each class, the best first.
    fn classes(&self) -> impl Iterator<Item = &Backer> + '_ {
        let next_class =
            |of: &&Backer| self.in_order.range((Excluded(Backer { reach: u64::MAX, seat: u64::MAX, ..**of }), Unbounded)).next();
        std::iter::successors(self.in_order.first(), next_class)
    }

    /// All that are equals of this one and reach a block, those that reach farthest first.
    fn equals(&self, of: &Backer, block: u64) -> impl Iterator<Item = &Backer> + '_ {
        let (first, last) = (Backer { reach: block, seat: 0, ..*of }, Backer { reach: u64::MAX, seat: u64::MAX, ..*of });
        self.in_order.range(first..=last).rev()
    }
}

impl Connected {
    /// Its place among the backers.
    pub(super) fn backer(&self) -> Option<Backer> {
        match self.spots[index(Protocol::GetCommitments)].place {
            Place::Open(Turn { standing, in_flight, seat }) if self.reach > 0 => {
                Some(Backer { is_silent: self.is_silent, standing, in_flight, reach: self.reach, seat })
            }
            Place::Open(_) | Place::Resting(_) | Place::Shut | Place::Mute => None,
        }
    }
}

impl Peers {
    /// A connected peer's claim is followed to this block, or not at all if that is 0.
    pub(crate) fn set_reach(&mut self, peer: &PeerId, reach: u64) {
        self.change_backer(peer, |connected| connected.reach = reach);
    }

    /// A connected peer did not answer when it was asked for a page, or did.
    pub(crate) fn set_silent(&mut self, peer: &PeerId, is_silent: bool) {
        self.change_backer(peer, |connected| connected.is_silent = is_silent);
    }

    fn change_backer(&mut self, peer: &PeerId, change: impl FnOnce(&mut Connected)) {
        if let Some(connected) = self.connected.get_mut(peer) {
            let backed = connected.backer();
            change(connected);
            self.backers.replace(backed, connected.backer());
        }
    }

    /// P6.8 for a page that starts here: the best peer that has room, reaches so far and `fits`; ties by their order from a seat on. Wakes nobody:
    /// [`Peers::wake`] comes first, once for all pages.
    pub(crate) fn best_backer(&self, now: Time, start: u64, seat: u64, fits: impl Fn(&PeerId) -> bool) -> Look {
        let unwoken = self.rooms[index(Protocol::GetCommitments)].first_unwoken(now);
        let found = self.backers.classes().find_map(|class| {
            let equals = self.backers.equals(class, start).filter_map(|backer| Some((backer.seat, *self.round.get(&backer.seat)?)));
            // Passed over is only who was asked for this page before.
            let fitting = equals.filter(|(_, peer)| fits(peer)).take(MAX_ASKED_AMONG);
            fitting.min_by_key(|(own, _)| own.wrapping_sub(seat)).map(|(_, peer)| (class, peer))
        });
        match (found, unwoken) {
            (Some((class, _)), Some(rest)) if class.is_silent || rest.standing < class.standing => Look::Again,
            (Some((_, peer)), _) => Look::Found(peer),
            (None, Some(_)) => Look::Again,
            (None, None) => Look::Nobody,
        }
    }
}
