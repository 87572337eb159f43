//! Which threads do the slow work under async-std?

use preconf_node::{BoxedWork, JobRunner};

/// The pool for blocking work that async-std and smol share, used as widely as the machine has cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockingPool;

impl JobRunner for BlockingPool {
    fn run(&self, work: BoxedWork) {
        blocking::unblock(work).detach();
    }

    fn width(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
