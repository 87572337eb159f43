//! Which numbers make sense in a scenario?
//!
//! Read with the file, so that an error names the key and its line.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error};

/// Longest span, in seconds. Ours: eleven days; more than anybody waits for.
const MAX_SECONDS: f64 = 1e6;

/// A span: neither negative nor without end.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    within(from, 0.0..=MAX_SECONDS)
}

/// A difference: of either sign.
pub(super) fn difference<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    within(from, -MAX_SECONDS..=MAX_SECONDS)
}

/// A share of 1.
pub(super) fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    within(from, 0.0..=1.0)
}

/// A share of 1, where one is named.
pub(super) fn some_share<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    share(from).map(Some)
}

/// A share that leaves room for others.
pub(super) fn part<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    within(from, 0.0..=0.95)
}

/// How often a second.
pub(super) fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    within(from, 0.001..=1e6)
}

/// A span or a pace that must not be 0.
pub(super) fn positive<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    within(from, 1..=1_000_000_000)
}

/// At least one of something.
pub(super) fn some<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    within(from, 1..=10_000)
}

fn within<'de, D: Deserializer<'de>, T: Deserialize<'de> + PartialOrd + Display>(
    from: D,
    allowed: RangeInclusive<T>,
) -> Result<T, D::Error> {
    let value = T::deserialize(from)?;
    if allowed.contains(&value) {
        Ok(value)
    } else {
        Err(Error::custom(format_args!("{value} is not within {} to {}", allowed.start(), allowed.end())))
    }
}
