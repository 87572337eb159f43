//! Which address is elected for which window (P9)?
//!
//! The schedule comes from outside (L1). Times are whole unix seconds; a window is the span `(start, end]` and its end names it.
//!
//! Invariant: windows are keyed by their end, ascending, and no two overlap. Only [`Schedule::update`] and [`Schedule::prune`] touch them.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};

use crate::time::UnixTime;

/// Most windows that are kept. Source: P9.1.
pub const MAX_WINDOWS: usize = 4096;
/// Slots of an L1 epoch. Source: P9.2.
const SLOTS_PER_EPOCH: u64 = 32;
/// Seconds of an L1 slot. Source: P9.2.
const SLOT_SECS: u64 = 12;
/// Seconds of an L1 epoch.
pub const EPOCH_SECS: u64 = SLOTS_PER_EPOCH * SLOT_SECS;

/// A span in which one address is elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Window {
    /// Unix seconds; not part of the window.
    pub start: u64,
    /// Unix seconds; part of the window, and its name: `submissionWindowEnd`.
    pub end: u64,
    /// Who is elected.
    pub preconfer: Address,
    /// When L1 made it final, in unix seconds: 0 for long ago, `None` while L1 may still change it. Until everybody had the time to learn of it,
    /// nodes may differ about it in good faith.
    pub settled_at: Option<u64>,
}

impl Window {
    /// Was it final before this time (C6, C7)?
    pub fn is_settled_before(&self, time: UnixTime) -> bool {
        self.settled_at.is_some_and(|at| at == 0 || UnixTime::from_secs(at) < time)
    }
}

/// Windows that cannot be a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum ScheduleError {
    /// A window that ends where it starts, or before.
    #[error("window ({start}, {end}] is empty; its end must be greater than its start")]
    Empty {
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// A window that starts before the one given before it ends.
    #[error("window ({start}, ..] starts before the one before it ends at {previous_end}; give windows in ascending order")]
    Overlap {
        /// Its start.
        start: u64,
        /// Where the one before ends.
        previous_end: u64,
    },
    /// More windows at once than are kept.
    #[error("{len} windows at once; at most {max} are kept")]
    TooMany {
        /// How many came.
        len: usize,
        /// The bound.
        max: usize,
    },
}

/// What the schedule says about a commitment's window (C6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The time is not covered yet.
    NotCovered,
    /// No window ends there, or the timestamp lies outside of it. This one is there instead.
    Wrong(Window),
    /// This window.
    In(Window),
}

/// The windows that are known.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Schedule {
    by_end: BTreeMap<u64, Window>,
}

impl Schedule {
    /// Takes ascending windows; what they cover replaces what was there (P9.1). Refused windows change nothing.
    pub(crate) fn update(&mut self, windows: &[Window]) -> Result<(), ScheduleError> {
        if windows.len() > MAX_WINDOWS {
            return Err(ScheduleError::TooMany { len: windows.len(), max: MAX_WINDOWS });
        }
        if let Some(&Window { start, end, .. }) = windows.iter().find(|window| window.end <= window.start) {
            return Err(ScheduleError::Empty { start, end });
        }
        if let Some(pair) = windows.windows(2).find(|pair| pair[1].start < pair[0].end) {
            return Err(ScheduleError::Overlap { start: pair[1].start, previous_end: pair[0].end });
        }
        let mut after = 0;
        for window in windows {
            let window = Window { start: self.start_of_tail(window).max(after).min(window.start), ..*window };
            after = window.end;
            self.make_room_for(window);
            self.by_end.insert(window.end, window);
        }
        while self.by_end.len() > MAX_WINDOWS {
            self.by_end.pop_first();
        }
        Ok(())
    }

    /// P9.2: a window whose beginning was known to lie further back, because it owns the tail of the epoch before, keeps that: whoever is told of
    /// its own epoch alone does not know the tail, and must not take it away.
    fn start_of_tail(&self, new: &Window) -> u64 {
        let known = self.by_end.get(&new.end).filter(|known| known.preconfer == new.preconfer);
        known.map_or(new.start, |known| known.start.min(new.start))
    }

    /// Removes every window that overlaps the new one.
    fn make_room_for(&mut self, new: Window) {
        let overlapping = self.by_end.range(new.start + 1..).take_while(|(_, old)| old.start < new.end).map(|(end, _)| *end);
        let overlapping: Vec<u64> = overlapping.collect();
        for end in overlapping {
            self.by_end.remove(&end);
        }
    }

    /// Forgets windows that ended before a time, but never more than needed to keep the newest.
    pub(crate) fn prune(&mut self, before: u64) {
        while self.by_end.first_key_value().is_some_and(|(&end, _)| end < before) && self.by_end.len() > 1 {
            self.by_end.pop_first();
        }
    }

    /// What holds for a commitment with this window end and timestamp (C6)?
    pub(crate) fn standing(&self, window_end: U256, timestamp: U256) -> Standing {
        let Ok(end) = u64::try_from(window_end) else { return Standing::NotCovered };
        match self.containing(end) {
            None => Standing::NotCovered,
            Some(window) if window.end == end && within(window, timestamp) => Standing::In(*window),
            Some(window) => Standing::Wrong(*window),
        }
    }

    /// C7: has L1 settled that this signer was not elected for a commitment with this window end and timestamp?
    pub(crate) fn refutes(&self, signer: Address, window_end: U256, timestamp: U256) -> bool {
        match self.standing(window_end, timestamp) {
            Standing::NotCovered => false,
            Standing::Wrong(there) => there.settled_at.is_some(),
            Standing::In(window) => window.settled_at.is_some() && window.preconfer != signer,
        }
    }

    /// The window that a time falls into.
    pub(crate) fn containing(&self, secs: u64) -> Option<&Window> {
        self.by_end.range(secs..).next().map(|(_, window)| window).filter(|window| window.start < secs)
    }

    /// Every window, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Window> {
        self.by_end.values()
    }

    /// How many windows are kept.
    pub(crate) fn len(&self) -> usize {
        self.by_end.len()
    }

    /// The window before the one that ends then, if it is known.
    pub(crate) fn preceding(&self, end: u64) -> Option<&Window> {
        self.by_end.range(..end).next_back().map(|(_, window)| window)
    }

    /// The window after the one that ends then, if it is known.
    pub(crate) fn following(&self, end: u64) -> Option<&Window> {
        self.by_end.range(end.checked_add(1)?..).next().map(|(_, window)| window)
    }
}

fn within(window: &Window, timestamp: U256) -> bool {
    timestamp > U256::from(window.start) && timestamp <= U256::from(window.end)
}

/// One entry of an L1 lookahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookaheadEntry {
    /// Unix seconds of the slot that the preconfer proposes in: its window's end.
    pub timestamp: u64,
    /// Who is elected.
    pub preconfer: Address,
    /// Blacklisted: its window goes to the fallback.
    pub blacklisted: bool,
}

/// The lookahead of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookaheadEpoch {
    /// Unix seconds of the epoch's first slot.
    pub start: u64,
    /// Entries, ascending by timestamp.
    pub entries: Vec<LookaheadEntry>,
    /// When L1 made it final, in unix seconds: 0 for long ago, `None` while L1 may still change it.
    pub settled_at: Option<u64>,
}

/// Turns L1 lookaheads into windows (P9.2). Epochs must be ascending and without a gap between them.
///
/// Entry *i* covers `(timestamp of entry i−1, its own timestamp]`, the first of an epoch from one slot before the epoch's start. After the
/// last entry the first entry of the next epoch owns the tail, so the tail of the last epoch given is left open. An epoch without entries,
/// and a blacklisted entry's window, belong to `fallback`.
///
/// ```
/// use preconf_core::{Address, LookaheadEntry, LookaheadEpoch, windows_from_lookahead};
/// let entry = LookaheadEntry { timestamp: 1_200, preconfer: Address::repeat_byte(1), blacklisted: false };
/// let epochs = [LookaheadEpoch { start: 1_000, entries: vec![entry], settled_at: Some(0) }];
/// let windows = windows_from_lookahead(&epochs, Address::ZERO);
/// assert_eq!((windows[0].start, windows[0].end), (988, 1_200));
/// ```
pub fn windows_from_lookahead(epochs: &[LookaheadEpoch], fallback: Address) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for (index, epoch) in epochs.iter().enumerate() {
        let epoch_start = epoch.start.saturating_sub(SLOT_SECS);
        let epoch_end = epoch_start.saturating_add(EPOCH_SECS);
        if epoch.entries.is_empty() {
            windows.push(Window { start: epoch_start, end: epoch_end, preconfer: fallback, settled_at: epoch.settled_at });
            continue;
        }
        let mut start = epoch_start;
        if let Some(previous) = index.checked_sub(1).and_then(|i| epochs.get(i)) {
            // The tail of the epoch before belongs to our first entry; an epoch without entries has none.
            start = previous.entries.last().map_or(start, |last| last.timestamp.min(start));
        }
        for entry in &epoch.entries {
            let preconfer = if entry.blacklisted { fallback } else { entry.preconfer };
            windows.push(Window { start, end: entry.timestamp, preconfer, settled_at: epoch.settled_at });
            start = entry.timestamp;
        }
    }
    windows.retain(|window| window.start < window.end);
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: u64, end: u64, who: u8) -> Window {
        Window { start, end, preconfer: Address::repeat_byte(who), settled_at: Some(0) }
    }

    fn standing(schedule: &Schedule, end: u64, timestamp: u64) -> Standing {
        schedule.standing(U256::from(end), U256::from(timestamp))
    }

    #[test]
    fn a_window_is_open_at_its_start_and_closed_at_its_end() {
        // C6
        let mut schedule = Schedule::default();
        schedule.update(&[window(10, 20, 1), window(20, 30, 2)]).expect("ascending");
        assert_eq!(standing(&schedule, 20, 20), Standing::In(window(10, 20, 1)));
        assert_eq!(standing(&schedule, 30, 20), Standing::Wrong(window(20, 30, 2)));
        assert_eq!(standing(&schedule, 30, 21), Standing::In(window(20, 30, 2)));
        assert_eq!(standing(&schedule, 25, 21), Standing::Wrong(window(20, 30, 2)));
        assert_eq!(standing(&schedule, 31, 31), Standing::NotCovered);
        assert_eq!(standing(&schedule, 10, 10), Standing::NotCovered);
        assert_eq!(schedule.standing(U256::MAX, U256::MAX), Standing::NotCovered);
    }

    #[test]
    fn a_later_input_for_the_same_span_replaces_it() {
        // P9.1
        let mut schedule = Schedule::default();
        schedule.update(&[window(10, 20, 1), window(20, 30, 2), window(30, 40, 3)]).expect("ascending");
        schedule.update(&[window(15, 25, 9)]).expect("ascending");
        assert_eq!(schedule.by_end.values().map(|w| w.end).collect::<Vec<_>>(), [25, 40]);
        assert_eq!(schedule.following(25), Some(&window(30, 40, 3)));
    }

    #[test]
    fn bad_windows_change_nothing_and_say_why() {
        // P9.1
        let mut schedule = Schedule::default();
        assert_eq!(schedule.update(&[window(10, 10, 1)]), Err(ScheduleError::Empty { start: 10, end: 10 }));
        let overlap = [window(10, 20, 1), window(19, 30, 2)];
        assert_eq!(schedule.update(&overlap), Err(ScheduleError::Overlap { start: 19, previous_end: 20 }));
        let many: Vec<_> = (0..=MAX_WINDOWS as u64).map(|i| window(i, i + 1, 1)).collect();
        assert_eq!(schedule.update(&many), Err(ScheduleError::TooMany { len: MAX_WINDOWS + 1, max: MAX_WINDOWS }));
        assert_eq!(schedule.by_end.len(), 0);
    }

    #[test]
    fn at_most_4096_windows_are_kept_and_the_oldest_go() {
        // P9.1
        let mut schedule = Schedule::default();
        for i in 0..=MAX_WINDOWS as u64 {
            schedule.update(&[window(i, i + 1, 1)]).expect("one window");
        }
        assert_eq!(schedule.by_end.len(), MAX_WINDOWS);
        assert_eq!(schedule.containing(1), None);
        schedule.prune(100);
        assert_eq!(schedule.containing(99), None);
        assert!(schedule.containing(100).is_some());
    }

    #[test]
    fn a_lookahead_becomes_windows() {
        // P9.2
        let entry = |timestamp, who, blacklisted| LookaheadEntry { timestamp, preconfer: Address::repeat_byte(who), blacklisted };
        let start = 10_000;
        let next = start + EPOCH_SECS;
        let epochs = [
            LookaheadEpoch { start, entries: vec![entry(start + 36, 1, false), entry(start + 96, 2, true)], settled_at: Some(0) },
            LookaheadEpoch { start: next, entries: vec![entry(next + 60, 3, false)], settled_at: Some(0) },
            LookaheadEpoch { start: next + EPOCH_SECS, entries: vec![], settled_at: None },
        ];
        let windows = windows_from_lookahead(&epochs, Address::repeat_byte(0xff));
        let expected = [
            window(start - 12, start + 36, 1),
            window(start + 36, start + 96, 0xff),
            window(start + 96, next + 60, 3), // the tail belongs to the next epoch's first entry
            Window { settled_at: None, ..window(next + EPOCH_SECS - 12, next + 2 * EPOCH_SECS - 12, 0xff) },
        ];
        assert_eq!(windows, expected);
        Schedule::default().update(&windows).expect("windows of a lookahead are a schedule");
    }
}
