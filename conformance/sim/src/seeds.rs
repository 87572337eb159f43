//! Which seeds does a test run, and how large is it?

use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::check::Failure;

/// The seeds of a test: these, or with `SIM_SEED=n` that one only.
pub fn seeds(seeds: Range<u64>) -> Range<u64> {
    from_env("SIM_SEED").map_or(seeds, |seed: u64| seed..seed + 1)
}

/// Reads `A..B`, every seed from A up to B, without B, as the programs are given it.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn seed_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("not of the form A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err("no seed lies in it".to_owned()) } else { Ok(range) }
}

/// Runs a scenario twice for each seed and demands the same digest both times. `SIM_SEED=n` runs that seed only.
///
/// # Errors
/// The first failure; it names the seed that repeats it.
///
/// # Panics
/// Two runs of one seed differ.
pub fn each_seed(range: Range<u64>, scenario: impl Fn(u64) -> Result<[u8; 32], Failure>) -> Result<(), Failure> {
    for seed in seeds(range) {
        let (first, second) = (scenario(seed)?, scenario(seed)?);
        assert_eq!(hex::encode(first), hex::encode(second), "two runs of seed {seed} differ");
    }
    Ok(())
}

/// Runs a scenario once for each seed, on all cores, until one fails. `SIM_SEED=n` runs that seed only.
///
/// # Errors
/// A failure; it names the seed that repeats it.
///
/// # Panics
/// A scenario does.
pub fn each_seed_on_all_cores(range: Range<u64>, scenario: impl Fn(u64) -> Result<(), Failure> + Sync) -> Result<(), Failure> {
    let seeds = seeds(range);
    let next = AtomicU64::new(seeds.start);
    let work = || -> Result<(), Failure> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(());
            }
            scenario(seed).inspect_err(|_| next.store(seeds.end, Ordering::Relaxed))?;
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker panicked, and said why"))
    })
}

/// A test's size: a part for whoever is waiting, the whole with `SIM_FULL=1`, as `.ci/run` has it, and whatever the test's own variable says.
pub fn at_scale(variable: &str, part: u64, full: u64) -> u64 {
    from_env(variable).unwrap_or(if from_env("SIM_FULL").is_some_and(|asked: u8| asked != 0) { full } else { part })
}

fn from_env<T: FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
