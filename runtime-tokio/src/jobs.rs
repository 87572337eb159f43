//! Which threads do the slow work under tokio?

use preconf_node::{BoxedWork, JobRunner};

/// Tokio's pool for blocking work, as wide as the machine has cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockingPool;

impl JobRunner for BlockingPool {
    fn run(&self, work: BoxedWork) {
        tokio::task::spawn_blocking(work);
    }

    fn width(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
