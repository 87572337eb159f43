//! On which runtime does a node live?
//!
//! What is around the nodes (the program's own input and output, a devnet's scene and its hostile peers) always lives on tokio.

use clap::ValueEnum;
use futures::channel::oneshot;
use preconf_tokio::{Discovery, Discv5Config, Discv5Error, Keypair, NetworkConfig, NetworkDriver, Parts, StartError};
use serde::Serialize;

/// What `devnet --runtime` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Runtimes {
    /// Every node on tokio.
    Tokio,
    /// Every node on async-std.
    #[cfg(feature = "async-std")]
    AsyncStd,
    /// One on tokio, the next on async-std, and so on.
    #[cfg(feature = "async-std")]
    Mixed,
}

impl Runtimes {
    /// The runtime of the node with this index.
    #[cfg_attr(not(feature = "async-std"), expect(unused_variables, reason = "with one runtime there is no choice"))]
    pub(crate) fn of(self, index: usize) -> Runtime {
        match self {
            Self::Tokio => Runtime::Tokio,
            #[cfg(feature = "async-std")]
            Self::AsyncStd => Runtime::AsyncStd,
            #[cfg(feature = "async-std")]
            Self::Mixed => [Runtime::Tokio, Runtime::AsyncStd][index % 2],
        }
    }
}

/// What one node lives on; what `run --runtime` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Runtime {
    /// Tokio.
    Tokio,
    /// Async-std.
    #[cfg(feature = "async-std")]
    AsyncStd,
}

impl Runtime {
    /// What stands in a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            #[cfg(feature = "async-std")]
            Self::AsyncStd => "async-std",
        }
    }

    /// Its sockets, tasks, clock and threads.
    pub(crate) fn parts(self, config: &NetworkConfig) -> Result<Parts, StartError> {
        match self {
            Self::Tokio => preconf_tokio::parts(config),
            #[cfg(feature = "async-std")]
            Self::AsyncStd => preconf_async_std::parts(config),
        }
    }

    /// Discovery for a node that lives on it.
    pub(crate) fn discv5(self, config: Discv5Config, identity: &Keypair) -> Result<Box<dyn Discovery>, Discv5Error> {
        Ok(match self {
            Self::Tokio => Box::new(preconf_tokio::discv5(config, identity)?),
            #[cfg(feature = "async-std")]
            Self::AsyncStd => Box::new(preconf_async_std::discv5(config, identity)?),
        })
    }

    /// Lets a driver run on it.
    pub(crate) fn run(self, driver: NetworkDriver) -> Life {
        let (end, ended) = oneshot::channel();
        let life = async move {
            driver.run().await;
            let _ = end.send(()); // nobody waits for the end of a node when the program stops early
        };
        match self {
            Self::Tokio => drop(tokio::spawn(life)),
            #[cfg(feature = "async-std")]
            Self::AsyncStd => drop(async_std::task::spawn(life)),
        }
        Life(ended)
    }
}

/// A node that runs.
pub(crate) struct Life(oneshot::Receiver<()>);

impl Life {
    /// Waits for its end. Says whether it came to it in good order, rather than by a panic.
    pub(crate) async fn end(self) -> bool {
        self.0.await.is_ok()
    }
}

#[cfg(all(test, feature = "async-std"))]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_devnet_has_nodes_of_both() {
        let names = |runtimes: Runtimes| [0, 1, 2].map(|index| runtimes.of(index).name());
        assert_eq!(names(Runtimes::Mixed), ["tokio", "async-std", "tokio"]);
        assert_eq!(names(Runtimes::AsyncStd), ["async-std"; 3]);
        assert_eq!(names(Runtimes::Tokio), ["tokio"; 3]);
    }
}
