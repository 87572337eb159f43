//! For how long have we not read what peers say (P6.5)?
//!
//! While our application takes no events, the host reads nothing from the network, and says so; while the process stands still, no deadline is
//! kept, which the machine notices when it is called late. What seems to be a peer's silence then is our own deafness: a request has its time
//! while we read, and who seemed silent meanwhile is not charged.
//!
//! Invariant: `spans` ascend, do not touch, and end at the last call at the latest.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cost::entry;
use crate::time::Time;

/// What is not worth remembering: less than any deadline here means anything by. Ours.
const SHORTEST: Duration = Duration::from_millis(100);
/// A deadline that is kept this late was kept by a process that stood still. Ours: far above what a busy machine loses between two calls.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// Spans that are remembered: the last ones. Ours: more than a request lives to see, or each is short.
const MAX_SPANS: usize = 64;

/// When we did not read.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Unread {
    /// From when to when, ascending.
    spans: VecDeque<(Time, Time)>,
    /// Since when it is so now.
    stopped: Option<Time>,
}

impl Unread {
    /// The most bytes that it holds.
    pub(crate) const MAX_BYTES: usize = MAX_SPANS * entry::<Time, Time>();

    /// The host has read nothing since then.
    pub(crate) fn stopped(&mut self, since: Time) {
        let known = self.spans.back().map_or(Time::ZERO, |(_, end)| *end);
        self.stopped.get_or_insert(since.max(known));
    }

    /// It reads again.
    pub(crate) fn resumed(&mut self, now: Time) {
        if let Some(since) = self.stopped.take() {
            self.note(since, now);
        }
    }

    /// A deadline is kept now.
    pub(crate) fn woken(&mut self, due: Time, now: Time) {
        if self.stopped.is_none() && now.since(due) >= STOOD_STILL {
            self.note(due, now);
        }
    }

    /// Does the host not read now?
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// For how long, since this time?
    pub(crate) fn since(&self, since: Time, now: Time) -> Duration {
        let overlap = |(from, to): (Time, Time)| to.since(from.max(since));
        self.spans.iter().copied().chain(self.stopped.map(|from| (from, now))).map(overlap).sum()
    }

    fn note(&mut self, from: Time, to: Time) {
        let from = self.spans.back().map_or(from, |(_, end)| from.max(*end));
        if to.since(from) < SHORTEST {
            return;
        }
        if self.spans.len() >= MAX_SPANS {
            self.spans.pop_front();
        }
        self.spans.push_back((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::from_millis(1_000 * secs)
    }

    #[test]
    fn p6_5_what_was_not_read_is_counted_from_any_time_on() {
        let mut unread = Unread::default();
        unread.stopped(at(10));
        unread.stopped(at(11));
        assert_eq!((unread.is_stopped(), unread.since(at(0), at(14))), (true, Duration::from_secs(4)));
        unread.resumed(at(15));
        unread.resumed(at(16));
        unread.woken(at(20), at(23));
        for (since, secs) in [(0, 8), (12, 6), (15, 3), (22, 1), (30, 0)] {
            assert_eq!(unread.since(at(since), at(40)), Duration::from_secs(secs), "since {since}");
        }
    }

    #[test]
    fn p6_5_what_is_late_while_we_do_not_read_counts_once() {
        let mut unread = Unread::default();
        unread.stopped(at(10));
        unread.woken(at(12), at(20));
        unread.resumed(at(21));
        unread.woken(at(15), at(21));
        assert_eq!(unread.since(at(0), at(30)), Duration::from_secs(11));
    }

    #[test]
    fn p10_1_moments_are_not_remembered_and_the_last_spans_are() {
        let mut unread = Unread::default();
        for start in 0..200 {
            unread.stopped(at(10 * start));
            unread.resumed(Time(at(10 * start).0 + 99_999));
            unread.woken(at(10 * start), Time(at(10 * start).0 + 999_999));
        }
        assert_eq!(unread.since(at(0), at(3_000)), Duration::ZERO);
        for start in 200..400 {
            unread.woken(at(10 * start), at(10 * start + 1));
        }
        assert_eq!(unread.since(at(0), at(5_000)), Duration::from_secs(MAX_SPANS as u64));
    }
}
