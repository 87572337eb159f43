//! When may we ask a peer again (P6.7)?
//!
//! A peer counts our requests when they reach it, and we cannot see when that is: somewhere between the sending and the end of the
//! request. So an [`OutboundLimiter`] holds a slot for a request from the moment it is sent until one whole window after it ended. Whatever the way
//! does to their spacing, no window of the peer's then sees more requests than there are slots; counting at the sending alone would let
//! a delayed burst meet the next one. The machine keeps one limiter for each (peer, protocol) and queues what has to wait.
//!
//! Invariant: `under_way + ended.len()` never passes the number of slots, and `ended` is in order of time.

use std::collections::VecDeque;
use std::time::Duration;

use super::limit::RateLimit;
use crate::time::Time;

/// Our own restraint towards one peer in one protocol.
///
/// ```
/// use preconf_core::{OutboundLimiter, RateLimit, Time};
///
/// let mut limiter = OutboundLimiter::new(&RateLimit::default());
/// assert_eq!((0..9).filter(|_| limiter.admit(Time::ZERO)).count(), 7);
/// assert_eq!(limiter.next_admit_at(Time::ZERO), None); // only an end of one of them makes room
/// limiter.end(Time::from_millis(80));
/// assert_eq!(limiter.next_admit_at(Time::from_millis(80)), Some(Time::from_millis(10_080)));
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OutboundLimiter {
    slots: usize,
    window: Duration,
    under_way: usize,
    ended: VecDeque<Time>,
}

impl OutboundLimiter {
    /// Keeps to a limit that the peer is taken to have, of either kind.
    pub fn new(limit: &RateLimit) -> Self {
        // P6.7: one fewer per window. A limit of one leaves one, which is safe as well.
        let slots = usize::try_from(limit.limit.saturating_sub(1).max(1)).unwrap_or(usize::MAX);
        Self { slots, window: limit.window, under_way: 0, ended: VecDeque::new() }
    }

    /// Most bytes that one limiter can take under a limit: its list of ends doubles as it grows.
    pub fn max_bytes(limit: &RateLimit) -> usize {
        size_of::<Self>() + Self::new(limit).slots.next_power_of_two().max(4) * size_of::<Time>()
    }

    /// May a request be sent now? If so its slot is taken until [`OutboundLimiter::end`] and one window more.
    pub fn admit(&mut self, now: Time) -> bool {
        self.expire(now);
        let room = self.under_way + self.ended.len() < self.slots;
        if room {
            self.under_way += 1;
        }
        room
    }

    /// A request that was admitted is over, so that the peer will not count it any more after `now`: answered, refused, or its connection
    /// is closed. An end too many changes nothing.
    pub fn end(&mut self, now: Time) {
        self.expire(now);
        if self.under_way > 0 {
            self.under_way -= 1;
            let last = self.ended.back().copied().unwrap_or(now);
            self.ended.push_back(now.max(last));
        }
    }

    /// The peer refused a request though there was room: it counts what we cannot know, from before a restart of ours perhaps. All slots are
    /// taken for one window, in which whatever it counts runs out.
    pub fn rest(&mut self, now: Time) {
        self.expire(now);
        let last = self.ended.back().copied().unwrap_or(now).max(now);
        while self.under_way + self.ended.len() < self.slots {
            self.ended.push_back(last);
        }
        self.ended.iter_mut().for_each(|ended| *ended = last);
    }

    /// The earliest time, from `now` on, at which one more would be admitted. `None` while only the end of a request can make room.
    pub fn next_admit_at(&self, now: Time) -> Option<Time> {
        // So many of the ended ones must leave before one slot is free.
        let surplus = (self.under_way + self.ended.len() + 1).saturating_sub(self.slots);
        match surplus.checked_sub(1) {
            None => Some(now),
            Some(last) => self.ended.get(last).map(|ended| ended.after(self.window).max(now)),
        }
    }

    /// Requests that have not ended.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Would a new limiter say the same from `now` on? Then this one need not be remembered.
    pub fn is_fresh(&self, now: Time) -> bool {
        self.under_way == 0 && self.ended.back().is_none_or(|ended| ended.after(self.window) <= now)
    }

    fn expire(&mut self, now: Time) {
        while self.ended.front().is_some_and(|ended| ended.after(self.window) <= now) {
            self.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::peer::limit::{LimitKind, Limiter};

    #[test]
    fn p6_7_asks_one_fewer_per_window_than_a_peer_allows() {
        let mut limiter = OutboundLimiter::new(&RateLimit::default());
        for _ in 0..7 {
            assert!(limiter.admit(ms(0)));
            limiter.end(ms(40));
        }
        assert_eq!(limiter.next_admit_at(ms(50)), Some(ms(10_040)));
        assert!(
            size_of::<OutboundLimiter>() + limiter.ended.capacity() * size_of::<Time>()
                <= OutboundLimiter::max_bytes(&RateLimit::default())
        );
        assert!(!limiter.admit(ms(10_039)));
        assert!(limiter.admit(ms(10_040)));
    }

    #[test]
    fn p6_7_a_limit_of_one_still_lets_us_ask() {
        let mut limiter = OutboundLimiter::new(&RateLimit { limit: 1, ..RateLimit::default() });
        assert!(limiter.admit(ms(0)));
        assert!(!limiter.admit(ms(0)));
        limiter.end(ms(5));
        assert!(!limiter.is_fresh(ms(10_004)));
        assert!(limiter.is_fresh(ms(10_005)));
    }

    #[test]
    fn an_end_too_many_changes_nothing() {
        let mut limiter = OutboundLimiter::new(&RateLimit::default());
        limiter.end(ms(5));
        assert!(limiter.is_fresh(ms(5)));
    }

    proptest! {
        /// Each request is sent as soon as the limiter allows, takes some time, and is counted by the peer somewhere in between.
        #[test]
        fn p6_7_two_honest_nodes_never_limit_each_other_whatever_the_way_does(
            limit in 1u32..12,
            requests in prop::collection::vec((0u64..2_000, 0u64..9_999, 0u64..=100), 1..200),
        ) {
            let rule = RateLimit { limit, ..RateLimit::default() };
            let (mut limiter, mut now) = (OutboundLimiter::new(&rule), Time::ZERO);
            let mut open: Vec<Time> = Vec::new();
            let mut counted = Vec::new();
            for (think_ms, round_trip_ms, percent) in requests {
                now = now.after(Duration::from_millis(think_ms));
                loop {
                    open.sort_unstable();
                    while open.first().is_some_and(|end| *end <= now) {
                        limiter.end(open.remove(0));
                    }
                    if limiter.admit(now) {
                        break;
                    }
                    let ends = open.first().copied();
                    now = limiter.next_admit_at(now).into_iter().chain(ends).min().expect("something makes room");
                }
                open.push(now.after(Duration::from_millis(round_trip_ms)));
                counted.push(now.after(Duration::from_millis(round_trip_ms * percent / 100)));
            }
            counted.sort_unstable();
            for kind in [LimitKind::TokenBucket, LimitKind::FixedWindow] {
                let mut peer = Limiter::new(RateLimit { kind, ..rule });
                for at in &counted {
                    prop_assert!(peer.admit(*at), "{:?} at {:?}", kind, at);
                }
            }
        }

        #[test]
        fn next_admit_at_is_exact_while_nothing_ends(
            steps in prop::collection::vec((0u64..4_000_000, any::<bool>()), 1..100),
        ) {
            let (mut limiter, mut now) = (OutboundLimiter::new(&RateLimit::default()), Time::ZERO);
            for (wait, ask) in steps {
                now = Time(now.0 + wait);
                match limiter.next_admit_at(now) {
                    None => prop_assert!(!limiter.clone().admit(Time(u64::MAX - 1))),
                    Some(next) => {
                        prop_assert!(limiter.clone().admit(next));
                        prop_assert!(next == now || !limiter.clone().admit(Time(next.0 - 1)));
                    }
                }
                if ask { limiter.admit(now); } else { limiter.end(now); }
            }
        }
    }

    fn ms(ms: u64) -> Time {
        Time::from_millis(ms)
    }
}
