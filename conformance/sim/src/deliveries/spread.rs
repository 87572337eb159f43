//! How long did it take, for how many?
//!
//! Delays are counted in buckets whose width grows with the delay, so any number of them, from microseconds to days, fits into some
//! kilobytes, and every figure is right to 1.6 %.

use std::time::Duration;

/// Buckets of one doubling, as a power of two. Source: 2^-6 is 1.6 %.
const SUB_BITS: u32 = 6;
const SUB: u64 = 1 << SUB_BITS;

/// Delays, counted.
///
/// ```
/// use std::time::Duration;
/// use preconf_sim::Spread;
///
/// let mut spread = Spread::default();
/// (1..=100).for_each(|ms| spread.add(Duration::from_millis(ms)));
/// let median = spread.quantile(50).unwrap();
/// assert!(median.abs_diff(Duration::from_millis(50)) < Duration::from_millis(1));
/// assert_eq!(spread.quantile(100), Some(Duration::from_millis(100)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Spread {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Spread {
    /// Counts one delay.
    pub fn add(&mut self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket(micros);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.longest = self.longest.max(micros);
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The delay at so many hundredths of the way from the shortest to the longest, by rank; `None` when nothing was counted.
    pub fn quantile(&self, percent: u64) -> Option<Duration> {
        let before = u128::from(self.total.saturating_sub(1)) * u128::from(percent.min(100)) / 100;
        let (micros, _) = self.curve().into_iter().find(|(_, up_to)| u128::from(*up_to) > before)?;
        Some(Duration::from_micros(micros))
    }

    /// How many took at most how many microseconds, ascending in both.
    pub fn curve(&self) -> Vec<(u64, u64)> {
        let mut up_to = 0;
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let point = |(bucket, count): (usize, &u64)| {
            up_to += count;
            (last_of(bucket).min(self.longest), up_to)
        };
        filled.map(point).collect()
    }
}

/// Below `SUB` each microsecond has its bucket; above, each doubling has `SUB` of them.
fn bucket(micros: u64) -> usize {
    let shift = shift(micros);
    (u64::from(shift) * SUB + (micros >> shift)) as usize
}

fn shift(micros: u64) -> u32 {
    (u64::BITS - micros.leading_zeros()).saturating_sub(SUB_BITS + 1)
}

/// The longest delay of a bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * SUB {
        return bucket;
    }
    let shift = bucket / SUB - 1;
    let first = bucket - shift * SUB;
    (first << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delay_lies_in_its_bucket_and_within_two_percent_of_its_end() {
        let mut before = 0;
        for micros in
            (0..4096).chain((12..63).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + (1 << (bit - 1))])).chain([u64::MAX])
        {
            let (bucket, last) = (bucket(micros), last_of(bucket(micros)));
            assert!(last >= micros && last - micros <= micros / SUB, "{micros} in bucket {bucket}, which ends at {last}");
            assert!(bucket >= before, "{micros}");
            assert!(bucket == 0 || last_of(bucket - 1) < micros, "{micros} belongs further down");
            before = bucket;
        }
        assert!(before < 4096, "{before} buckets");
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(Spread::default().quantile(50), None);
    }

    #[test]
    fn a_hundredth_that_is_late_shows_in_the_last_percent_only() {
        let mut spread = Spread::default();
        (0..990).for_each(|_| spread.add(Duration::from_micros(50)));
        (0..10).for_each(|_| spread.add(Duration::from_secs(7)));
        assert_eq!(spread.quantile(99), Some(Duration::from_micros(50)));
        assert_eq!(spread.quantile(100), Some(Duration::from_secs(7)));
        assert_eq!(spread.curve(), [(50, 990), (7_000_000, 1_000)]);
    }
}
