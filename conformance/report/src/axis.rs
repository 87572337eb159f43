//! How is a run of unknown length kept in a fixed number of bins?
//!
//! Time is cut into bins of equal width. When the table is full, every two neighbours become one and the width doubles, so a minute and a
//! day take the same memory, and what is lost is resolution, never a part of the run.
//!
//! Invariant: every series that follows the axis holds [`Axis::closed`] values. Whoever owns a series adds one when a bin closes, and halves
//! it when [`Axis::close`] says so.

use preconf_core::Time;

/// Most bins. Ours: twice what a page is wide enough to tell apart, so that at least half as many are there after a merge. Even, since bins
/// merge in pairs.
pub(super) const MAX_BINS: usize = 480;
/// Width of a bin at the start, in microseconds. Ours: a short run of 24 s is drawn in steps of 50 ms.
const FIRST_WIDTH: u64 = 50_000;

/// The bins so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Microseconds of one bin.
    pub(super) width: u64,
    /// Bins that are over.
    pub(super) closed: usize,
}

impl Default for Axis {
    fn default() -> Self {
        Self { width: FIRST_WIDTH, closed: 0 }
    }
}

impl Axis {
    /// When the open bin ends.
    pub(super) fn open_ends(self) -> Time {
        Time(self.width.saturating_mul(self.closed as u64 + 1))
    }

    /// Closes the open bin. True when the table is full now: then every series has to be halved, and the axis already counts so.
    pub(super) fn close(&mut self) -> bool {
        self.closed += 1;
        let full = self.closed == MAX_BINS;
        if full {
            self.halve();
        }
        full
    }

    /// Makes one bin of every two; a last one without a neighbour stays.
    pub(super) fn halve(&mut self) {
        self.closed = self.closed.div_ceil(2);
        self.width = self.width.saturating_mul(2);
    }
}

/// The same for a series: the earlier and the later of two bins become one.
pub(super) fn halve<T: Copy>(series: &mut Vec<T>, merge: impl Fn(T, T) -> T) {
    *series = series.chunks(2).map(|pair| pair.iter().copied().reduce(&merge).expect("a chunk is never empty")).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_and_a_minute_take_the_same_number_of_bins_and_lose_nothing() {
        for seconds in [60u64, 3_600, 86_400] {
            let (mut axis, mut ones) = (Axis::default(), Vec::new());
            let mut bins = 0u64;
            while axis.open_ends() <= Time::from_millis(seconds * 1_000) {
                ones.push(axis.width / FIRST_WIDTH);
                bins += axis.width / FIRST_WIDTH;
                if axis.close() {
                    halve(&mut ones, |a, b| a + b);
                }
            }
            assert_eq!(ones.len(), axis.closed);
            assert!((MAX_BINS / 2..MAX_BINS).contains(&ones.len()), "{seconds} s in {} bins", ones.len());
            assert_eq!(ones.iter().sum::<u64>(), bins);
            assert!(ones.iter().all(|one| *one == axis.width / FIRST_WIDTH));
        }
    }

    #[test]
    fn a_bin_without_a_neighbour_stays_as_it_is() {
        let mut series = vec![1, 5, 9];
        halve(&mut series, |_, later| later);
        assert_eq!(series, [5, 9]);
    }
}
