//! On which runtime does a node live?
//!
//! What is around the nodes (the program's own input and output) always lives on tokio.

use std::str::FromStr;

use futures::channel::oneshot;
use preconf_tokio::{Discovery, Discv5Config, Discv5Error, Environment, Keypair, NetworkConfig, NetworkDriver, StartError};

/// What one node lives on; what `run --runtime` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// Tokio.
    Tokio,
    /// Async-std.
    #[cfg(feature = "async-std")]
    AsyncStd,
}

impl Runtime {
    /// Async-std, where this program has it.
    pub(crate) fn async_std() -> Result<Self, String> {
        #[cfg(feature = "async-std")]
        return Ok(Self::AsyncStd);
        #[cfg(not(feature = "async-std"))]
        Err("this program was built without async-std; `cargo run --release --bin preconf --features async-std -- …` builds one that has it"
            .to_owned())
    }

    /// Its sockets, tasks, clock and threads.
    pub(crate) fn environment(self, config: &NetworkConfig) -> Result<Environment, StartError> {
        match self {
            Self::Tokio => preconf_tokio::environment(config),
            #[cfg(feature = "async-std")]
            Self::AsyncStd => preconf_async_std::environment(config),
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

impl FromStr for Runtime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tokio" => Ok(Self::Tokio),
            "async-std" => Self::async_std(),
            _ => Err("allowed is tokio or async-std".to_owned()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_not_built_in_is_refused_with_the_way_to_get_it() {
        assert_eq!("tokio".parse(), Ok(Runtime::Tokio));
        assert!("smol".parse::<Runtime>().is_err());
        let refused = Runtime::from_str("async-std").err();
        assert_eq!(refused.is_none(), cfg!(feature = "async-std"));
        assert!(refused.is_none_or(|error| error.contains("--features async-std")));
    }
}
