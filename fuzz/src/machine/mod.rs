//! Bytes become the life of one node: inputs, commands, time, late drains, restarts.
//!
//! After every step: no panic, no bound broken, no deadline left that is due, and nothing said that a second, naive look does not agree
//! with. At the end everyone leaves and time goes on: nothing may hang.

mod bench;
mod material;
mod moves;
mod operate;
mod oracle;
mod speak;

use crate::dice::Dice;

pub(crate) use bench::Bench;
pub(crate) use material::{CHAIN, Material, START, key, spoil};
pub(crate) use moves::{Kind, Move};
pub(crate) use operate::peer;

/// Moves of one input at most. Ours: enough for every story, and an input ends in about a millisecond.
const MAX_MOVES: usize = 400;
/// One input in so many runs twice. Ours: some sixty a second, for a thirtieth of the time.
const TWICE_IN: u8 = 32;

/// How far a node came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Commitments accepted.
    pub accepted: usize,
    /// Commitments held at once.
    pub held: usize,
    /// Blocks ready to execute.
    pub ready: usize,
    /// Pages of commitments served that were not empty.
    pub pages_served: usize,
    /// Txlists served that were found.
    pub txlists_served: usize,
    /// Peers banned.
    pub banned: usize,
    /// Catch-ups that reached their end.
    pub synced: usize,
    /// Forks kept.
    pub forked: usize,
    /// Faults of preconfers proven.
    pub proven: usize,
    /// Messages of our own that got out.
    pub published: usize,
    /// Connections that the gater refused.
    pub gated: usize,
    /// Peers that had to leave for others.
    pub pruned: usize,
    /// Requests of ours that ended with a good answer for our user.
    pub fetched: usize,
    /// Blocks to be executed again after a reorg or a failure.
    pub again: usize,
    /// Times that enough peers agreed where they see the node.
    pub agreed: usize,
    /// New lives.
    pub restarts: usize,
    /// Most bytes that the machine held, in thousandths of its bound.
    pub memory_permille: usize,
}

/// Runs one input, twice if the sum of its bytes says so.
///
/// The sum, because a mutation changes it: a bit that asks for the second run would be kept by a search, to which everything seems to
/// happen more often then.
///
/// # Panics
/// Something does not hold that must.
pub fn machine_bytes(bytes: &[u8]) -> Reached {
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    if sum.is_multiple_of(TWICE_IN) { machine_bytes_twice(bytes) } else { run(bytes, false, |_, _| {}).reached }
}

/// Runs one input twice: every output must be the same both times.
///
/// # Panics
/// As [`machine_bytes`].
pub fn machine_bytes_twice(bytes: &[u8]) -> Reached {
    let (first, second) = (run(bytes, true, |_, _| {}), run(bytes, true, |_, _| {}));
    assert_eq!(first.heard, second.heard, "two runs of the same input differ");
    first.reached
}

/// Runs one input and says each move before it is made, so that the last one said is the one that fails.
///
/// # Panics
/// As [`machine_bytes`].
pub fn tell(bytes: &[u8], mut say: impl FnMut(String)) -> Reached {
    run(bytes, false, |bench, next| say(format!("{:>10.3} s  {next:?}", bench.now.mono.0 as f64 / 1e6))).reached
}

fn run(bytes: &[u8], keeps_outputs: bool, mut before: impl FnMut(&Bench, Move)) -> Bench {
    let mut dice = Dice::new(bytes);
    let mut bench = Bench::new(dice.byte(), keeps_outputs);
    for _ in 0..MAX_MOVES {
        let Some(next) = Move::read(&mut dice, &bench) else { break };
        before(&bench, next);
        bench.make(next);
    }
    bench.settle();
    bench
}
