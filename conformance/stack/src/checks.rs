//! What must a run have shown, beside that nobody saw anything wrong?
//!
//! Each check answers with the violation in words, if there is one. A check that had nothing to look at does not hold: where something had to
//! come and nothing did, that is the violation.

use std::time::Duration;

use crate::report::Latencies;

/// How long it must have been calm for something to have come by gossip. Ours: as long as gossip needs to form, and three blocks at least.
const CALM_ENOUGH: (Duration, u32) = (Duration::from_secs(10), 3);

/// Commitments that came while nothing was broken, and how long that was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calm {
    /// How long it was calm while blocks were made.
    pub(crate) lasted: Duration,
    /// How often a block was due.
    pub(crate) block_every: Duration,
    /// Commitments that came.
    pub(crate) came: usize,
    /// Those of them that gossip brought.
    pub(crate) by_gossip: usize,
}

impl Calm {
    /// The share that gossip brought; `None` when there was nothing to bring.
    pub(crate) fn share(&self) -> Option<f64> {
        let (least, blocks) = CALM_ENOUGH;
        match self.came {
            0 if self.lasted >= least.max(self.block_every * blocks) => Some(0.0),
            0 => None,
            came => Some(self.by_gossip as f64 / came as f64),
        }
    }

    /// Does gossip flow?
    pub(crate) fn check(&self, least: f64) -> Option<String> {
        let Self { lasted, came, by_gossip, .. } = self;
        let is_less = self.share().is_some_and(|share| share < least);
        is_less.then(|| {
            let lasted = lasted.as_secs_f64();
            format!("gossip does not flow: it brought {by_gossip} of {came} commitments in {lasted:.0} s in which nothing was broken")
        })
    }
}

/// Is what was made ready elsewhere in time?
pub(crate) fn propagation(latency: &Latencies, most: Option<f64>) -> Option<String> {
    let most = most?;
    match latency.p99 {
        Some(p99) if p99 <= most => None,
        Some(p99) => Some(format!("propagation_p99_ms: {p99:.1}, at most {most} are wanted")),
        None => Some(format!("propagation_p99_ms: nothing was ready at any other node, and at most {most} are wanted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm(lasted_s: u64, came: usize, by_gossip: usize) -> Calm {
        Calm { lasted: Duration::from_secs(lasted_s), block_every: Duration::from_secs(8), came, by_gossip }
    }

    #[test]
    fn gossip_that_brings_nothing_in_a_long_calm_does_not_flow() {
        let violation = calm(24, 0, 0).check(0.9).expect("three blocks were due");
        assert!(violation.contains("0 of 0 commitments in 24 s"), "{violation}");
        assert_eq!((calm(23, 0, 0).check(0.9), calm(23, 0, 0).share()), (None, None), "there was hardly time for one");
        assert!(calm(23, 10, 8).check(0.9).is_some(), "what came is judged all the same");
        assert_eq!((calm(24, 10, 9).check(0.9), calm(24, 10, 9).share()), (None, Some(0.9)));
    }

    #[test]
    fn a_bound_on_how_long_it_takes_does_not_hold_when_nothing_arrives() {
        let took = |p99| Latencies { p50: None, p99 };
        assert!(propagation(&took(None), Some(1_500.0)).expect("nothing came").contains("nothing was ready"));
        assert!(propagation(&took(Some(1_500.1)), Some(1_500.0)).is_some());
        assert_eq!(propagation(&took(Some(1_500.0)), Some(1_500.0)), None);
        assert_eq!(propagation(&took(None), None), None);
    }
}
