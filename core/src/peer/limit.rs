//! How much may one key ask of us (P6.6, T3)?
//!
//! A [`Limiter`] counts events, a [`ByteBudget`] bytes; the machine keeps one for each key that it limits, such as (peer, protocol), and
//! asks before it works. What we owe others in turn is [`OutboundLimiter`](super::outbound_limiter::OutboundLimiter)'s question.
//!
//! Arithmetic is exact: tokens are counted in shares of 1 / `limit` microseconds, so no rounding ever adds up. A time that lies before the
//! last one counts as the last one.
//!
//! Invariant: in any span of one window a fixed window admits at most twice its limit, a token bucket at most its limit at once and its
//! limit more spread evenly over the window.

use std::time::Duration;

use crate::config::error::ConfigError;
use crate::time::Time;

/// Highest limit that can be configured. Ours: far above any use, and it bounds what an [`OutboundLimiter`](super::outbound_limiter::OutboundLimiter) remembers.
pub const MAX_LIMIT: u32 = 1024;
/// What a txlist that nothing names takes off its peer's quota at least, in bytes. Source: T3.
pub(crate) const MIN_UNNAMED_BYTES: usize = 4 << 10;
/// Longest window that can be configured. Ours: no limit of this protocol thinks in days.
const MAX_WINDOW: Duration = Duration::from_secs(86_400);

/// How room comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LimitKind {
    /// Evenly: `limit` tokens at first and at most, one more every `window / limit`.
    TokenBucket,
    /// All at once: a window starts at the first event after the last one ended.
    FixedWindow,
    /// As either of the two would have it, each of which counts what it admits itself (P6.6).
    Either,
}

/// At most so many events per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RateLimit {
    /// How many.
    pub limit: u32,
    /// In which time.
    pub window: Duration,
    /// How room comes back.
    pub kind: LimitKind,
}

impl Default for RateLimit {
    /// Requests of one peer in one protocol: 8 per 10 s, as either kind admits them (P6.6).
    fn default() -> Self {
        Self { limit: 8, window: Duration::from_secs(10), kind: LimitKind::Either }
    }
}

impl RateLimit {
    /// Does it make sense? `key` is its name in the configuration.
    ///
    /// # Errors
    /// The value that does not, and what is allowed.
    pub fn check(&self, key: &'static str) -> Result<(), ConfigError> {
        if !(1..=MAX_LIMIT).contains(&self.limit) {
            return Err(ConfigError { key, value: self.limit.to_string(), allowed: "1 to 1024 per window" });
        }
        check_window(key, self.window)
    }
}

/// One key's state under a [`RateLimit`].
///
/// ```
/// use preconf_core::{Limiter, RateLimit, Time};
///
/// let mut limiter = Limiter::new(RateLimit::default());
/// let now = Time::from_millis(5);
/// assert_eq!((0..12).filter(|_| limiter.admit(now)).count(), 8);
/// assert_eq!(limiter.next_admit_at(now), Time::from_millis(1_255));
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Limiter {
    rule: RateLimit,
    state: State,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum State {
    /// Credit at a time. One event costs `window` in microseconds, one microsecond brings `limit`.
    Bucket { credit: u128, at: Time },
    /// Events since the window's start; `None` before the first one.
    Window { start: Option<Time>, count: u32 },
    /// Both at once.
    Either { credit: u128, at: Time, start: Option<Time>, count: u32 },
}

impl Limiter {
    /// A key that has not asked for anything yet.
    pub fn new(rule: RateLimit) -> Self {
        let state = match rule.kind {
            LimitKind::TokenBucket => State::Bucket { credit: full(&rule), at: Time::ZERO },
            LimitKind::FixedWindow => State::Window { start: None, count: 0 },
            LimitKind::Either => State::Either { credit: full(&rule), at: Time::ZERO, start: None, count: 0 },
        };
        Self { rule, state }
    }

    /// Is there room for one more now? If so it is taken.
    pub fn admit(&mut self, now: Time) -> bool {
        let (seen, room) = self.look(now);
        self.state = seen;
        if room {
            let price = cost(&self.rule);
            match &mut self.state {
                State::Bucket { credit, .. } => *credit = credit.saturating_sub(price),
                State::Window { start, count } => (*start, *count) = (Some(start.unwrap_or(now)), count.saturating_add(1)),
                State::Either { credit, start, count, .. } => {
                    *credit = if *credit >= price { *credit - price } else { *credit };
                    if *count < self.rule.limit {
                        (*start, *count) = (Some(start.unwrap_or(now)), count.saturating_add(1));
                    }
                }
            }
        }
        room
    }

    /// The earliest time, from `now` on, at which one more would be admitted.
    pub fn next_admit_at(&self, now: Time) -> Time {
        let (seen, room) = self.look(now);
        match seen {
            State::Bucket { at, .. } | State::Either { at, .. } if room => at,
            State::Bucket { credit, at } => self.token_at(credit, at),
            State::Window { start, .. } if room => now.max(start.unwrap_or(now)),
            State::Window { start, .. } => start.unwrap_or(now).after(self.rule.window),
            State::Either { credit, at, start, .. } => self.token_at(credit, at).min(start.unwrap_or(now).after(self.rule.window)),
        }
    }

    /// When there is a whole token, with so much credit at a time.
    fn token_at(&self, credit: u128, at: Time) -> Time {
        let micros = cost(&self.rule).saturating_sub(credit).div_ceil(u128::from(self.rule.limit).max(1));
        at.after(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    /// Would a new limiter say the same from `now` on? Then this one need not be remembered.
    pub fn is_fresh(&self, now: Time) -> bool {
        match self.look(now).0 {
            State::Bucket { credit, .. } => credit == full(&self.rule),
            State::Window { start, .. } => start.is_none(),
            State::Either { credit, start, .. } => credit == full(&self.rule) && start.is_none(),
        }
    }

    /// The state at `now`, and whether it has room.
    fn look(&self, now: Time) -> (State, bool) {
        match self.state {
            State::Bucket { credit, at } => {
                let (credit, at) = self.flowed(credit, at, now);
                (State::Bucket { credit, at }, self.has_token(credit))
            }
            State::Window { start, count } => {
                let (start, count) = self.window(start, count, now);
                (State::Window { start, count }, count < self.rule.limit)
            }
            State::Either { credit, at, start, count } => {
                let (credit, at) = self.flowed(credit, at, now);
                let (start, count) = self.window(start, count, at);
                (State::Either { credit, at, start, count }, self.has_token(credit) || count < self.rule.limit)
            }
        }
    }

    fn flowed(&self, credit: u128, at: Time, now: Time) -> (u128, Time) {
        let now = now.max(at);
        let earned = u128::from(now.0 - at.0) * u128::from(self.rule.limit);
        (credit.saturating_add(earned).min(full(&self.rule)), now)
    }

    fn has_token(&self, credit: u128) -> bool {
        self.rule.limit > 0 && credit >= cost(&self.rule)
    }

    fn window(&self, start: Option<Time>, count: u32, now: Time) -> (Option<Time>, u32) {
        match start {
            Some(start) if now.since(start) < self.rule.window => (Some(start), count),
            Some(_) | None => (None, 0),
        }
    }
}

/// At most so many bytes per window; the window starts at the first bytes after the last one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ByteLimit {
    /// How many.
    pub bytes: usize,
    /// In which time.
    pub window: Duration,
}

impl ByteLimit {
    /// Does it make sense, and does the largest single thing, of `largest` bytes, fit? `key` is its name in the configuration.
    ///
    /// # Errors
    /// The value that does not, and what is allowed.
    pub fn check(&self, key: &'static str, largest: usize) -> Result<(), ConfigError> {
        if !(largest.max(1)..=1 << 40).contains(&self.bytes) {
            return Err(ConfigError { key, value: self.bytes.to_string(), allowed: "the largest message it counts, to 1 TiB" });
        }
        check_window(key, self.window)
    }
}

/// One key's state under a [`ByteLimit`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ByteBudget {
    rule: ByteLimit,
    start: Option<Time>,
    spent: usize,
}

impl ByteBudget {
    /// A key that has not used any bytes yet.
    pub fn new(rule: ByteLimit) -> Self {
        Self { rule, start: None, spent: 0 }
    }

    /// Is there room for so many bytes now? If so they are taken, all of them.
    pub fn admit(&mut self, now: Time, bytes: usize) -> bool {
        let room = bytes <= self.room(now);
        if room {
            if !self.runs(now) {
                (self.start, self.spent) = (Some(now), 0);
            }
            self.spent = self.spent.saturating_add(bytes);
        }
        room
    }

    /// Gives back what was admitted at a time, if the window of then still runs.
    pub fn refund(&mut self, since: Time, bytes: usize) {
        if self.start.is_some_and(|start| start <= since) {
            self.spent = self.spent.saturating_sub(bytes);
        }
    }

    /// How many bytes there is room for now.
    pub fn room(&self, now: Time) -> usize {
        if self.runs(now) { self.rule.bytes.saturating_sub(self.spent) } else { self.rule.bytes }
    }

    /// The earliest time, from `now` on, at which so many bytes would be admitted. `None` if that is more than the whole budget.
    pub fn next_admit_at(&self, now: Time, bytes: usize) -> Option<Time> {
        let start = self.start.unwrap_or(now);
        let at = if bytes <= self.room(now) { now.max(start) } else { start.after(self.rule.window) };
        (bytes <= self.rule.bytes).then_some(at)
    }

    /// Would a new budget say the same from `now` on? Then this one need not be remembered.
    pub fn is_fresh(&self, now: Time) -> bool {
        !self.runs(now)
    }

    fn runs(&self, now: Time) -> bool {
        self.start.is_some_and(|start| now.since(start) < self.rule.window)
    }
}

fn cost(rule: &RateLimit) -> u128 {
    rule.window.as_micros()
}

fn full(rule: &RateLimit) -> u128 {
    cost(rule).saturating_mul(u128::from(rule.limit))
}

fn check_window(key: &'static str, window: Duration) -> Result<(), ConfigError> {
    let whole = window.subsec_nanos().is_multiple_of(1_000);
    if window.is_zero() || window > MAX_WINDOW || !whole {
        return Err(ConfigError {
            key,
            value: format!("{window:?}"),
            allowed: "a window of more than 0 s, at most 1 day, in whole microseconds",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p6_6_what_either_kind_would_admit_is_admitted_and_each_counts_its_own() {
        let mut limiter = Limiter::new(RateLimit::default());
        assert_eq!((0..9).filter(|_| limiter.admit(ms(0))).count(), 8);
        assert_eq!(limiter.next_admit_at(ms(1_000)), ms(1_250), "the bucket's next token");
        assert!(!limiter.admit(Time(1_249_999)) && limiter.admit(ms(1_250)));
        // The bucket gave one; the window that begins now has all of its own.
        assert_eq!((0..20).filter(|_| limiter.admit(ms(10_000))).count(), 8);
        assert!(!limiter.is_fresh(ms(19_999)) && limiter.is_fresh(ms(20_000)));
    }

    #[test]
    fn p6_6_a_bucket_gives_back_its_tokens_evenly() {
        let mut limiter = Limiter::new(RateLimit { kind: LimitKind::TokenBucket, ..RateLimit::default() });
        assert_eq!((0..9).filter(|_| limiter.admit(ms(0))).count(), 8);
        assert_eq!(limiter.next_admit_at(ms(1_000)), ms(1_250));
        assert!(!limiter.admit(Time(1_249_999)));
        assert!(limiter.admit(ms(1_250)));
    }

    #[test]
    fn p6_6_a_window_starts_at_the_first_request_after_the_last_one_ended() {
        let mut limiter = Limiter::new(RateLimit { kind: LimitKind::FixedWindow, ..RateLimit::default() });
        assert_eq!((0..9).filter(|_| limiter.admit(ms(700))).count(), 8);
        assert_eq!(limiter.next_admit_at(ms(800)), ms(10_700));
        assert!(!limiter.admit(Time(10_699_999)));
        assert!(limiter.admit(ms(15_000)));
        assert_eq!((0..9).filter(|_| limiter.admit(ms(24_999))).count(), 7);
        assert_eq!(limiter.next_admit_at(ms(24_999)), ms(25_000));
    }

    #[test]
    fn a_time_that_goes_back_brings_no_room() {
        for kind in [LimitKind::TokenBucket, LimitKind::FixedWindow, LimitKind::Either] {
            let mut limiter = Limiter::new(RateLimit { limit: 1, kind, ..RateLimit::default() });
            assert!(limiter.admit(ms(50_000)));
            assert!(!limiter.admit(ms(0)));
            assert_eq!(limiter.next_admit_at(ms(0)), ms(60_000), "{kind:?}");
            assert!(!limiter.admit(ms(59_999)));
            assert!(limiter.admit(ms(60_000)));
        }
    }

    #[test]
    fn an_idle_limiter_can_be_forgotten_once_its_room_is_back() {
        for kind in [LimitKind::TokenBucket, LimitKind::FixedWindow, LimitKind::Either] {
            let mut limiter = Limiter::new(RateLimit { kind, ..RateLimit::default() });
            (0..8).for_each(|_| assert!(limiter.admit(ms(1))));
            assert!(!limiter.is_fresh(ms(10_000)), "{kind:?}");
            assert!(limiter.is_fresh(ms(10_001)), "{kind:?}");
        }
    }

    #[test]
    fn a_limit_that_makes_no_sense_names_its_key() {
        let refused = |rule: RateLimit| rule.check("inbound").expect_err("refused").to_string();
        assert_eq!(refused(RateLimit { limit: 0, ..RateLimit::default() }), "inbound = 0: allowed is 1 to 1024 per window");
        assert!(refused(RateLimit { window: Duration::ZERO, ..RateLimit::default() }).starts_with("inbound = 0ns: "));
        assert!(refused(RateLimit { window: Duration::from_nanos(1_500), ..RateLimit::default() }).contains("whole microseconds"));
        assert_eq!(RateLimit::default().check("inbound"), Ok(()));
        let quota = ByteLimit { bytes: 1 << 20, window: Duration::from_secs(10) };
        assert_eq!(quota.check("quota", 2 << 20).expect_err("too small for one txlist").key, "quota");
    }

    #[test]
    fn even_unchecked_rules_neither_panic_nor_admit_past_their_limit() {
        for kind in [LimitKind::TokenBucket, LimitKind::FixedWindow, LimitKind::Either] {
            let mut never = Limiter::new(RateLimit { limit: 0, window: Duration::ZERO, kind });
            assert!(!never.admit(Time(u64::MAX)));
            let mut huge = Limiter::new(RateLimit { limit: u32::MAX, window: Duration::MAX, kind });
            assert!(huge.admit(Time(u64::MAX)));
            assert_eq!(huge.next_admit_at(Time::ZERO), Time(u64::MAX));
        }
    }

    #[test]
    fn t3_a_byte_budget_takes_a_message_whole_or_not_at_all() {
        let mut budget = ByteBudget::new(ByteLimit { bytes: 8 << 20, window: Duration::from_secs(10) });
        assert!(budget.admit(ms(3), 7 << 20));
        assert!(!budget.admit(ms(4), 2 << 20));
        assert_eq!(budget.room(ms(5)), 1 << 20);
        assert!(budget.admit(ms(5), 1 << 20));
        assert_eq!(budget.next_admit_at(ms(6), 1), Some(ms(10_003)));
        assert_eq!(budget.next_admit_at(ms(6), 9 << 20), None);
        assert!(!budget.admit(ms(10_002), 1));
        assert!(budget.is_fresh(ms(10_003)));
        assert!(budget.admit(ms(10_003), 8 << 20));
        assert!(!budget.admit(ms(1), 1), "a time that goes back brings no room");
    }

    #[test]
    fn t3_what_is_given_back_is_room_again_in_the_window_that_it_was_taken_from() {
        let mut budget = ByteBudget::new(ByteLimit { bytes: 8 << 20, window: Duration::from_secs(10) });
        budget.refund(ms(0), 1);
        assert!(budget.admit(ms(3), 8 << 20));
        budget.refund(ms(3), 2 << 20);
        assert_eq!(budget.room(ms(4)), 2 << 20);
        assert!(budget.admit(ms(20_000), 8 << 20));
        budget.refund(ms(3), 6 << 20);
        assert_eq!(budget.room(ms(20_001)), 0, "it was taken from a window that is over");
    }

    proptest! {
        #[test]
        fn p6_6_next_admit_at_is_exact(
            limit in 1u32..20,
            window_micros in 1u64..20_000_000,
            kind in prop::sample::select(vec![LimitKind::TokenBucket, LimitKind::FixedWindow, LimitKind::Either]),
            gaps in prop::collection::vec(0u64..3_000_000, 1..100),
        ) {
            let mut limiter = Limiter::new(RateLimit { limit, window: Duration::from_micros(window_micros), kind });
            let mut now = Time::ZERO;
            for gap in gaps {
                now = Time(now.0 + gap);
                let next = limiter.next_admit_at(now);
                prop_assert_eq!(limiter.clone().admit(now), next == now);
                prop_assert!(limiter.clone().admit(next));
                prop_assert!(next == now || !limiter.clone().admit(Time(next.0 - 1)));
                limiter.admit(now);
            }
        }

        #[test]
        fn p6_6_no_span_of_a_bucket_holds_more_than_its_limit_and_what_flowed_back(
            limit in 1u32..12,
            gaps in prop::collection::vec(0u64..2_000_000, 1..80),
        ) {
            let window = Duration::from_secs(10);
            let mut limiter = Limiter::new(RateLimit { limit, window, kind: LimitKind::TokenBucket });
            let mut now = 0;
            let admitted: Vec<u64> = gaps.iter().map(|gap| { now += gap; now }).filter(|at| limiter.admit(Time(*at))).collect();
            for (i, from) in admitted.iter().enumerate() {
                for (n, to) in (1u64..).zip(&admitted[i..]) {
                    prop_assert!((n - u64::from(limit).min(n)) * 10_000_000 <= (to - from) * u64::from(limit));
                }
            }
        }
    }

    fn ms(ms: u64) -> Time {
        Time::from_millis(ms)
    }
}
