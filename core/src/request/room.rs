//! Whose request is answered next, and who waits (P6.6)?
//!
//! A request that its limit admits is answered at once where there is room, and waits where there is none; after [`MAX_WAIT`] it ends, with
//! *nothing* or *not found* if need be. Room is shared, by neighbourhood as well as by peer:
//!
//! | room | how much | of it |
//! |---|---|---|
//! | answers on their way | of a peer, of a neighbourhood, in all | a quarter of all is for `get_head` and for trusted peers alone |
//! | bytes of answers | of a peer in its window; in all, flowing back evenly | heads are too short to count |
//! | requests that wait | in all | where there is no more, the newest of whoever has most of them ends |
//!
//! Of those that wait and have a slot, the one with the least key is answered first; while there are no bytes for it, none behind it that needs
//! bytes is, or the long ones would never go:
//!
//! | waiting | sort key |
//! |---|---|
//! | a request | bytes that its neighbourhood had lately, bytes that its peer had lately, the order in which it came |
//!
//! Peers without an address, and those whose range is exempt from P8.3, are in no neighbourhood.
//!
//! Invariants: `of_peer` and `of_neighbourhood` count `answering`. A channel is in one of `answering` and `waiting`, or in neither.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::config::Config;
use crate::cost::entry;
use crate::counts::Counts;
use crate::id::{ChannelId, PeerId};
use crate::peer::limit::ByteLimit;
use crate::peer::subnet::Cidr;
use crate::time::Time;
use crate::wire::topics::Protocol;

/// How long a request may wait for room. Source: P6.6.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(5);
/// Most requests that wait. Ours: four for each that is being answered by default; a request is some 200 bytes.
const MAX_WAITING: usize = 256;
/// The part of the answers that is for heads and trusted peers: one in so many. Source: P6.6, 16 of 64.
const RESERVED_PART: usize = 4;
/// Most askers whose bytes are remembered. Ours: as many as may be connected, and as many neighbourhoods.
const MAX_SPENDERS: usize = 2048;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Asker {
    pub(crate) peer: PeerId,
    pub(crate) neighbourhood: Option<Cidr>,
    pub(crate) is_trusted: bool,
}

/// A request of another's.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Asked {
    pub(crate) asker: Asker,
    pub(crate) channel: ChannelId,
    pub(crate) protocol: Protocol,
    pub(crate) body: Bytes,
    pub(crate) since: Time,
}

impl Asked {
    /// May it have one of the answers that are kept for such?
    fn is_favoured(&self) -> bool {
        self.protocol == Protocol::GetHead || self.asker.is_trusted
    }
}

/// An answer on its way.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Answering {
    peer: PeerId,
    neighbourhood: Option<Cidr>,
    is_favoured: bool,
}

/// Whose bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum Spender {
    Neighbourhood(Cidr),
    Peer(PeerId),
}

/// Bytes since a window began.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Spent {
    since: Time,
    bytes: usize,
}

/// What one request costs in memory: in a table with its channel, and in the counts of its peer and neighbourhood.
const SERVED: usize = entry::<ChannelId, Answering>() + entry::<PeerId, usize>() + entry::<Cidr, usize>();
const WAITING: usize = entry::<u64, Asked>() + 64; // a body of 36 bytes and its share
const SPENDER: usize = entry::<Spender, Spent>();

/// The bytes of answers that all peers may have together: they flow back evenly.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct SharedBytes {
    rule: ByteLimit,
    /// One byte costs the window's microseconds, and each microsecond brings the limit's bytes.
    credit: u128,
    at: Time,
}

impl SharedBytes {
    fn new(rule: ByteLimit) -> Self {
        Self { rule, credit: Self::cost(&rule, rule.bytes), at: Time::ZERO }
    }

    fn cost(rule: &ByteLimit, bytes: usize) -> u128 {
        (bytes as u128).saturating_mul(rule.window.as_micros())
    }

    fn pass(&mut self, now: Time) {
        let now = now.max(self.at);
        let earned = u128::from(now.0 - self.at.0).saturating_mul(self.rule.bytes as u128);
        self.credit = self.credit.saturating_add(earned).min(Self::cost(&self.rule, self.rule.bytes));
        self.at = now;
    }

    /// When there are so many.
    fn room_at(&mut self, now: Time, bytes: usize) -> Time {
        self.pass(now);
        // More than ever flows in is not waited for: one answer may have all there is.
        let short = Self::cost(&self.rule, bytes.min(self.rule.bytes)).saturating_sub(self.credit);
        let micros = short.div_ceil(self.rule.bytes.max(1) as u128);
        self.at.after(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    fn take(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_sub(Self::cost(&self.rule, bytes));
    }
}

/// Requests of others: those that are being answered, and those that wait for that.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Room {
    max: usize,
    max_per_peer: usize,
    max_per_neighbourhood: usize,
    answering: BTreeMap<ChannelId, Answering>,
    of_peer: Counts<PeerId>,
    of_neighbourhood: Counts<Cidr>,
    waiting: BTreeMap<u64, Asked>,
    arrivals: u64,
    bytes: SharedBytes,
    spent: BTreeMap<Spender, Spent>,
}

impl Room {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            max: config.max_served,
            max_per_peer: config.max_served_per_peer,
            max_per_neighbourhood: config.max_served_per_neighbourhood,
            answering: BTreeMap::new(),
            of_peer: Counts::default(),
            of_neighbourhood: Counts::default(),
            waiting: BTreeMap::new(),
            arrivals: 0,
            bytes: SharedBytes::new(config.response_limit_in_all),
            spent: BTreeMap::new(),
        }
    }

    /// A request comes to wait. Gives the one that has to end for it, if there are too many: the newest of whoever has most of them.
    pub(crate) fn wait(&mut self, asked: Asked) -> Option<Asked> {
        self.arrivals = self.arrivals.wrapping_add(1); // 2^64 requests outlive any node
        self.waiting.insert(self.arrivals, asked);
        if self.waiting.len() <= MAX_WAITING {
            return None;
        }
        let (mut of_peer, mut of_neighbourhood) = (Counts::default(), Counts::default());
        for Asked { asker, .. } in self.waiting.values() {
            of_peer.raise(asker.peer);
            asker.neighbourhood.into_iter().for_each(|block| of_neighbourhood.raise(block));
        }
        let weight = |(nth, Asked { asker, .. }): &(&u64, &Asked)| {
            let of_peer = of_peer.of(&asker.peer);
            (asker.neighbourhood.map_or(of_peer, |block| of_neighbourhood.of(&block)), of_peer, **nth)
        };
        let nth = *self.waiting.iter().max_by_key(weight)?.0;
        self.waiting.remove(&nth)
    }

    /// Those that have waited for as long as they may: they end.
    pub(crate) fn overdue(&mut self, now: Time) -> Vec<Asked> {
        let is_overdue = |asked: &Asked| asked.since.after(MAX_WAIT) <= now;
        let overdue: Vec<u64> = self.waiting.iter().filter(|(_, asked)| is_overdue(asked)).map(|(nth, _)| *nth).collect();
        overdue.into_iter().filter_map(|nth| self.waiting.remove(&nth)).collect()
    }

    /// The next to be answered, of those that wait. `len` says how long an answer is, `peer_room_at` when its peer may have so many bytes.
    /// Where there is none, says when to look again.
    pub(crate) fn next(
        &mut self,
        now: Time,
        len: impl Fn(&Asked) -> usize,
        peer_room_at: impl Fn(&PeerId, usize) -> Time,
    ) -> Result<Asked, Option<Time>> {
        let mut again = self.waiting.values().map(|asked| asked.since.after(MAX_WAIT)).min();
        let mut order: Vec<(usize, usize, u64)> =
            self.waiting.iter().filter(|(_, asked)| self.has_slot(asked)).map(|(nth, asked)| self.key(now, *nth, asked)).collect();
        order.sort_unstable();
        let mut later = |at: Time| again = Some(again.map_or(at, |again: Time| again.min(at)));
        let mut are_bytes_awaited = false;
        for (.., nth) in order {
            let Some(asked) = self.waiting.get(&nth) else { continue };
            if asked.protocol != Protocol::GetHead {
                if are_bytes_awaited {
                    continue;
                }
                let len = len(asked);
                let own = peer_room_at(&asked.asker.peer, len);
                if own > now {
                    later(own);
                    continue; // it waits for itself, and stands in nobody's way
                }
                let at = self.bytes.room_at(now, len);
                if at > now {
                    later(at);
                    are_bytes_awaited = true;
                    continue;
                }
            }
            return self.waiting.remove(&nth).ok_or(None);
        }
        Err(again)
    }

    fn key(&self, now: Time, nth: u64, Asked { asker, .. }: &Asked) -> (usize, usize, u64) {
        let of_peer = self.spent_lately(now, Spender::Peer(asker.peer));
        let of_neighbourhood = asker.neighbourhood.map_or(of_peer, |block| self.spent_lately(now, Spender::Neighbourhood(block)));
        (of_neighbourhood, of_peer, nth)
    }

    fn has_slot(&self, asked: &Asked) -> bool {
        let Asker { peer, neighbourhood, .. } = &asked.asker;
        let all = self.answering.len();
        let is_free = if asked.is_favoured() {
            all < self.max
        } else {
            let others = self.answering.values().filter(|answering| !answering.is_favoured).count();
            all < self.max && others < self.max - self.max / RESERVED_PART
        };
        is_free
            && self.of_peer.of(peer) < self.max_per_peer
            && neighbourhood.is_none_or(|block| self.of_neighbourhood.of(&block) < self.max_per_neighbourhood)
    }

    fn spent_lately(&self, now: Time, spender: Spender) -> usize {
        let lately = |spent: &&Spent| now.since(spent.since) < self.bytes.rule.window;
        self.spent.get(&spender).filter(lately).map_or(0, |spent| spent.bytes)
    }

    /// An answer of so many bytes goes out.
    pub(crate) fn answers(&mut self, now: Time, asked: &Asked, len: usize) {
        let Asker { peer, neighbourhood, .. } = asked.asker;
        let answering = Answering { peer, neighbourhood, is_favoured: asked.is_favoured() };
        if self.answering.insert(asked.channel, answering).is_none() {
            self.of_peer.raise(peer);
            neighbourhood.into_iter().for_each(|block| self.of_neighbourhood.raise(block));
        }
        if asked.protocol == Protocol::GetHead {
            return;
        }
        self.bytes.pass(now);
        self.bytes.take(len);
        let window = self.bytes.rule.window;
        for spender in [Some(Spender::Peer(peer)), neighbourhood.map(Spender::Neighbourhood)].into_iter().flatten() {
            let spent = self.spent.entry(spender).or_insert(Spent { since: now, bytes: 0 });
            if now.since(spent.since) >= window {
                *spent = Spent { since: now, bytes: 0 };
            }
            spent.bytes = spent.bytes.saturating_add(len);
        }
        if self.spent.len() > MAX_SPENDERS {
            self.spent.retain(|_, spent| now.since(spent.since) < window);
        }
        while self.spent.len() > MAX_SPENDERS {
            // Whoever spent least loses least by being forgotten, and gains least.
            let least = self.spent.iter().min_by_key(|(_, spent)| spent.bytes).map(|(spender, _)| *spender);
            least.and_then(|spender| self.spent.remove(&spender));
        }
    }

    /// The answer is written, or its channel is gone, and with it what waited for one. Says whether it made room.
    pub(crate) fn end(&mut self, channel: ChannelId) -> bool {
        self.waiting.retain(|_, asked| asked.channel != channel);
        let Some(Answering { peer, neighbourhood, .. }) = self.answering.remove(&channel) else { return false };
        self.of_peer.lower(&peer);
        neighbourhood.into_iter().for_each(|block| self.of_neighbourhood.lower(&block));
        true
    }

    /// The most bytes that it holds under a configuration.
    pub(crate) fn max_bytes(config: &Config) -> usize {
        config.max_served * SERVED + (MAX_WAITING + 1) * WAITING + MAX_SPENDERS * SPENDER
    }

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        self.answering.len() * SERVED + self.waiting.len() * WAITING + self.spent.len() * SPENDER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChainId;

    fn peer(n: u16) -> PeerId {
        let [high, low] = n.to_be_bytes();
        PeerId::from_bytes(&[0, 2, high, low]).expect("four bytes")
    }

    #[test]
    fn the_spender_that_is_forgotten_is_the_one_that_spent_least() {
        let mut room = Room::new(&Config::new(ChainId(1)));
        let answer = |room: &mut Room, n: u16, len: usize| {
            let asker = Asker { peer: peer(n), neighbourhood: None, is_trusted: false };
            let channel = ChannelId(u64::from(n));
            let asked = Asked { asker, channel, protocol: Protocol::GetTxList, body: Bytes::new(), since: Time::ZERO };
            room.answers(Time::ZERO, &asked, len);
            room.end(channel);
        };
        answer(&mut room, 0, 1_000_000); // the first by address
        (1..=MAX_SPENDERS as u16).for_each(|n| answer(&mut room, n, if n == 77 { 1 } else { 100 }));
        let spent = |n| room.spent_lately(Time::ZERO, Spender::Peer(peer(n)));
        assert_eq!((room.spent.len(), spent(0), spent(77), spent(1)), (MAX_SPENDERS, 1_000_000, 0, 100));
    }
}
