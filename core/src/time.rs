//! What time is it, and when must the machine be woken?
//!
//! The machine has no clock. Every call brings a [`Now`]: a monotonic [`Time`] for deadlines and a [`UnixTime`] for what the protocol
//! says about windows. All deadlines live in one table, [`Timers`], which both `Core::poll_timeout` and `Core::handle_timeout` read.
//!
//! Invariant: `by_time` and `by_timer` hold the same pairs. Only `set` and `cancel` touch them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy_primitives::B256;

use crate::id::{CommandId, ConnectionId, HeldId, PeerId, RequestId};

/// Microseconds since the node started, by a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Time(pub u64);

impl Time {
    /// The node's start.
    pub const ZERO: Self = Self(0);

    /// A time this many whole milliseconds after the start.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// This time plus a span; stays at the end of time instead of wrapping.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Microseconds since the Unix epoch. May jump when the host sets its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// A time at whole seconds since the epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// Both clocks at one moment, as the driver read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Now {
    /// For deadlines.
    pub mono: Time,
    /// For what the protocol says about windows.
    pub unix: UnixTime,
}

impl Now {
    /// The same moment, this much later on both clocks.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self { mono: self.mono.after(span), unix: UnixTime(self.unix.0.saturating_add(micros(span))) }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Why the machine wants to be woken. A driver needs only the time; the reason is for logs and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// A request of ours has had its time (P6.5).
    Request(RequestId),
    /// A held message must get its verdict now (P5.1).
    Verdict(HeldId),
    /// A held message is given up (P5.1).
    Hold(HeldId),
    /// A txlist that an accepted commitment names is still missing (P5.6).
    TxListMissing(B256),
    /// A txlist of our own has waited long enough for its commitment (P5.7).
    OwnTxList(B256),
    /// A message of ours that nobody could take is given up (P5.8).
    Unsent(CommandId),
    /// Ask peers for their heads (again) (P6.9).
    Heads,
    /// A request that waited may go now: a peer has room for it (P6.7).
    RequestCapacity,
    /// A child's parent is still missing (P5.2).
    MissingParent,
    /// Peers have had their time to say what they hold of a window of ours (P5.9b).
    Inquiry,
    /// Messages of ours that found no peer are tried again (P5.8).
    Unheard,
    /// A peer has been at the ban threshold long enough (P7.4), or its ban is over.
    Ban(PeerId),
    /// A peer that speaks none of our protocols has had time to join a topic (P2.5).
    NoCommonProtocol(PeerId),
    /// A connection of a peer that has a newer one has had its time (P8.5a).
    Replaced(PeerId, ConnectionId),
    /// A block that the host could not execute is told again (P10.4).
    Execute,
    /// Scores decay (P7.3).
    Decay,
    /// A static peer is dialed again (P8.5).
    Redial(PeerId),
    /// Others are looked for, or the look-up under way has had its time (P8.2).
    LookUp,
    /// The best of those that discovery found are dialed (P8.8).
    DialFound,
    /// A peer makes room for somebody new (P8.10).
    Exchange,
    /// A peer that came again has had time to say which topics it is on (P8.5a).
    Ungreeted(PeerId),
    /// A request of another's has waited for its answer for long enough, or there may be room for it now (P6.6).
    Serve,
    /// The window of a held commitment begins (C6a).
    WindowBegins(HeldId),
    /// The page that a catch-up waits for is slow: a second peer is asked for it (P6.9).
    PageOverdue,
    /// A txlist that waits to be named must get its verdict now, or has waited long enough (T5).
    Orphan(HeldId),
}

/// The one table of deadlines. It is written down by timer; the order of the times follows.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "BTreeMap<Timer, Time>", into = "BTreeMap<Timer, Time>")
)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Time, Timer)>,
    by_timer: BTreeMap<Timer, Time>,
}

#[cfg(feature = "serde")]
impl From<BTreeMap<Timer, Time>> for Timers {
    fn from(by_timer: BTreeMap<Timer, Time>) -> Self {
        Self { by_time: by_timer.iter().map(|(timer, at)| (*at, *timer)).collect(), by_timer }
    }
}

#[cfg(feature = "serde")]
impl From<Timers> for BTreeMap<Timer, Time> {
    fn from(timers: Timers) -> Self {
        timers.by_timer
    }
}

impl Timers {
    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.cancel(timer);
        self.by_time.insert((at, timer));
        self.by_timer.insert(timer, at);
    }

    /// Sets a deadline unless the timer is already running.
    pub(crate) fn set_if_idle(&mut self, timer: Timer, at: Time) {
        if !self.by_timer.contains_key(&timer) {
            self.set(timer, at);
        }
    }

    /// Forgets a deadline. Unknown timers change nothing.
    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<(Time, Timer)> {
        self.by_time.first().copied()
    }

    /// Takes the earliest deadline that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_deadline_fires_once_at_its_new_time() {
        let mut timers = Timers::default();
        timers.set(Timer::Heads, Time(5));
        timers.set(Timer::Heads, Time(9));
        assert_eq!(timers.pop_due(Time(8)), None);
        assert_eq!(timers.pop_due(Time(9)), Some(Timer::Heads));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn times_stop_at_the_end_instead_of_wrapping() {
        assert_eq!(Time(u64::MAX).after(Duration::from_secs(1)), Time(u64::MAX));
        assert_eq!(Time(1).since(Time(2)), Duration::ZERO);
    }
}
