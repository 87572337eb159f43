//! A short search without a fuzzing engine: seeds, mutated by chance. `FUZZ_TRIES=n` and `FUZZ_SECONDS=n` (for each target, whichever is
//! reached last) make it longer, `FUZZ_TARGET=name` narrows it, `FUZZ_SEED=n` throws other dice.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use preconf_fuzz::TARGETS;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

#[test]
fn mutated_seeds_are_survived() {
    let tries = from_env("FUZZ_TRIES").unwrap_or(60u64);
    let span = Duration::from_secs(from_env("FUZZ_SECONDS").unwrap_or(0));
    let only = std::env::var("FUZZ_TARGET").ok();
    for target in TARGETS.iter().filter(|target| only.as_deref().is_none_or(|only| only == target.name)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        let mut paths: Vec<_> = fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("readable").path()).collect();
        paths.sort();
        let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("readable")).collect();
        // A world costs a thousand times what a frame does.
        let tries = if target.name == "sim_model" { tries / 20 } else { tries };
        let mut chance = Chance(ChaCha8Rng::seed_from_u64(from_env("FUZZ_SEED").unwrap_or(1)));
        let (began, mut tried) = (Instant::now(), 0);
        while tried < tries || began.elapsed() < span {
            tried += 1;
            let input = chance.mutate(&seeds);
            if catch_unwind(|| (target.run)(&input)).is_err() {
                let path = std::env::temp_dir().join(format!("crash-{}-{}", target.name, std::process::id()));
                fs::write(&path, &input).expect("writable");
                panic!("{} fails after {tried} inputs, {:?}: {}", target.name, began.elapsed(), path.display());
            }
        }
    }
}

/// The same on every machine.
struct Chance(ChaCha8Rng);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next_u32() as usize % bound.max(1)
    }

    /// A seed with some bytes changed, a piece left out, or the tail of another one.
    fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 | 1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                2 if !bytes.is_empty() => {
                    let end = (at + self.below(12)).min(bytes.len());
                    drop(bytes.drain(at..end));
                }
                3 => {
                    let other = &seeds[self.below(seeds.len())];
                    bytes.truncate(at);
                    bytes.extend(&other[self.below(other.len()).min(other.len())..]);
                }
                _ => bytes.insert(at, self.below(256) as u8),
            }
        }
        bytes
    }
}

fn from_env<T: FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}
