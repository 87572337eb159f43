//! What happens when, and to whom?

use std::time::Duration;

use super::file::{Fault, Scenario};
use super::stage::{last, millionths};
use crate::{Dice, NodeId};

/// A change at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The fault of this index begins.
    Begin(usize),
    /// The fault of this index ends.
    End(usize),
    /// A node crashes, at a moment of its own.
    Crash(NodeId),
    /// A node that crashed so starts again.
    Start {
        /// Which.
        node: NodeId,
        /// On a new disk, or on its own.
        new_disk: bool,
    },
}

impl Scenario {
    /// Everything that goes wrong, in order, counted from the moment at which preconfers begin.
    pub fn timeline(&self, seed: u64) -> Vec<(Duration, Turn)> {
        let (mut turns, mut dice) = (Vec::new(), Dice::new(seed.rotate_left(32)));
        for (index, fault) in self.faults.iter().enumerate() {
            turns.push((fault.at(), Turn::Begin(index)));
            if !fault.span().is_zero() {
                turns.push((fault.at() + fault.span(), Turn::End(index)));
            }
            turns.extend(fault.crashes(self.nodes.honest, &mut dice));
        }
        turns.sort_by_key(|(at, _)| *at);
        turns
    }
}

impl Fault {
    /// Whom it hits, of so many honest nodes.
    pub fn hits(&self, honest: usize) -> Vec<NodeId> {
        match *self {
            Self::Drops { share, .. }
            | Self::Partition { share, .. }
            | Self::Restart { share, .. }
            | Self::Crashes { share, .. }
            | Self::Leave { share, .. }
            | Self::ClockJump { share, .. }
            | Self::LateSchedule { share, .. } => last(share, honest),
            Self::Join { count, .. } => (honest.saturating_sub(count)..honest).collect(),
            Self::Stall { .. } | Self::Reorg { .. } => Vec::new(),
        }
    }

    /// When each node crashes and starts again, where they do so at moments of their own.
    fn crashes(&self, honest: usize, dice: &mut Dice) -> Vec<(Duration, Turn)> {
        let Self::Crashes { every_s, down_ms, new_disk, .. } = *self else { return Vec::new() };
        let (mut turns, [least, most]) = (Vec::new(), down_ms.map(Duration::from_millis));
        for node in self.hits(honest) {
            let mut at = self.at();
            loop {
                at += dice.span(&(Duration::ZERO..Duration::from_secs(2 * every_s)));
                if at >= self.at() + self.span() {
                    break;
                }
                turns.push((at, Turn::Crash(node)));
                at += dice.span(&(least..most));
                turns.push((at, Turn::Start { node, new_disk: dice.chance(millionths(new_disk)) }));
            }
        }
        turns
    }
}
