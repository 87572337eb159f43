//! What does each node of a devnet live on?
//!
//! The scene and its hostile peers always live on tokio. Where its nodes live, the caller says: this crate names no second runtime.

use futures::FutureExt;
use futures::future::BoxFuture;
use preconf_node::{Environment, NetworkConfig, NetworkDriver, StartError};

/// A runtime that a node can live on.
#[derive(Clone, Copy, Debug)]
pub struct Home {
    /// What stands in a table.
    pub name: &'static str,
    /// Its sockets, tasks, clock and threads.
    pub environment: fn(&NetworkConfig) -> Result<Environment, StartError>,
    /// Lets a driver run on it. The future waits for its end, and says whether it came to it in good order, rather than by a panic.
    pub run: fn(NetworkDriver) -> BoxFuture<'static, bool>,
}

impl Home {
    /// The runtime that the devnet itself lives on.
    pub fn tokio() -> Self {
        Self {
            name: "tokio",
            environment: preconf_tokio::environment,
            run: |driver| tokio::spawn(driver.run()).map(|end| end.is_ok()).boxed(),
        }
    }
}

/// What all nodes of a devnet live on.
#[derive(Clone, Debug)]
pub struct Homes {
    /// What stands in the summary.
    pub name: &'static str,
    /// The first node's home, the second's, and so on; behind the last one the first follows. Never empty.
    pub in_turn: Vec<Home>,
}

impl Homes {
    /// Every node on this.
    pub fn all(home: Home) -> Self {
        Self { name: home.name, in_turn: vec![home] }
    }

    /// The home of the node with this index.
    pub(crate) fn of(&self, index: usize) -> Home {
        self.in_turn[index % self.in_turn.len()]
    }
}
