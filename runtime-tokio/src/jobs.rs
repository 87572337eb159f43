//! Which threads do the slow work under tokio?

use preconf_node::{BoxedWork, JobRunner};
use tokio::runtime::Handle;

/// Tokio's pool for blocking work, as wide as the machine has cores.
#[derive(Clone, Debug)]
pub struct BlockingPool {
    // Held, so that the driver may be polled by any executor.
    runtime: Handle,
}

impl BlockingPool {
    /// The pool of this runtime.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime }
    }
}

impl JobRunner for BlockingPool {
    fn run(&self, work: BoxedWork) {
        drop(self.runtime.spawn_blocking(work));
    }

    fn width(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
