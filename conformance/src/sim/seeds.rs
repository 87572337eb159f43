//! Which seeds does a test run, and how large is it?

use std::ops::Range;
use std::str::FromStr;

use super::check::Failure;

/// Runs a scenario twice for each seed and demands the same digest both times. `SIM_SEED=n` runs that seed only.
///
/// # Errors
/// The first failure; it names the seed that repeats it.
///
/// # Panics
/// Two runs of one seed differ.
pub fn each_seed(seeds: Range<u64>, scenario: impl Fn(u64) -> Result<[u8; 32], Failure>) -> Result<(), Failure> {
    let seeds = from_env("SIM_SEED").map_or(seeds, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let (first, second) = (scenario(seed)?, scenario(seed)?);
        assert_eq!(hex::encode(first), hex::encode(second), "two runs of seed {seed} differ");
    }
    Ok(())
}

/// A test's size: small in debug builds, full in release builds, and whatever the environment says.
pub fn at_scale(variable: &str, debug: u64, release: u64) -> u64 {
    from_env(variable).unwrap_or(if cfg!(debug_assertions) { debug } else { release })
}

fn from_env<T: FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
