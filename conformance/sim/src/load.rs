//! Who publishes what, and when?

use std::time::Duration;

use preconf_core::{Command, CommandError, UnixTime};

use super::check::{Failure, Violation};
use super::history::History;
use super::node::NodeId;
use super::queue::Happening;
use super::world::{LOOK_EVERY, World};

/// Blocks that nodes publish in turn.
pub(crate) struct Load {
    history: History,
    every: Duration,
    publishers: Vec<NodeId>,
}

impl World {
    /// The publishers take windows in turn and publish a history, a block every so often. Each waits until it has the block before.
    pub fn publish(&mut self, history: &History, every: Duration, publishers: &[NodeId]) {
        self.loads.push(Load { history: history.clone(), every, publishers: publishers.to_vec() });
        self.after(every, Happening::Block { load: self.loads.len() - 1, number: 1 });
    }

    pub(crate) fn next_block(&mut self, load: usize, number: u64) -> Result<(), Failure> {
        let Load { history, every, publishers } = &self.loads[load];
        let (every, Some(block)) = (*every, history.block(number)) else { return Ok(()) };
        let publisher = publishers[block.window % publishers.len()];
        if self.status(publisher).head.map_or(0, |(head, _)| head) + 1 < number {
            // It cannot build on a block that it does not have.
            self.after(LOOK_EVERY, Happening::Block { load, number });
            return Ok(());
        }
        let clock = self.nodes[publisher].now(self.now).unix;
        if history.windows.first().is_some_and(|first| clock < UnixTime::from_secs(first.start)) {
            // C6a: nobody publishes before the window begins; the later ones are handed over.
            self.after(LOOK_EVERY, Happening::Block { load, number });
            return Ok(());
        }
        let (signed, txlist) = (block.signed.clone(), block.txlist.clone());
        if let Some((_, txlist)) = txlist {
            self.command(publisher, Command::PublishTxList(txlist))?.map_err(|error| self.refused(publisher, &error))?;
        }
        self.command(publisher, Command::PublishCommitment(Box::new(signed)))?.map_err(|error| self.refused(publisher, &error))?;
        self.after(every, Happening::Block { load, number: number + 1 });
        Ok(())
    }

    fn refused(&self, node: NodeId, error: &CommandError) -> Failure {
        self.failure(node, Violation::Unsettled(format!("its own block is refused: {error}")))
    }
}
