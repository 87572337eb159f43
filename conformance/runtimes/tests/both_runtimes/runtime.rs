//! What does the suite need of a runtime?

use std::sync::OnceLock;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use futures_timer::Delay;
use preconf_node::preconf_libp2p::{NetError, Transport};
use preconf_node::{Environment, Keypair, NetworkConfig, NetworkDriver, NetworkEvents, NetworkHandle, StartError};

/// How long anything may take. Generous, because a test machine may be slow: a dial that found it busy is made anew after half a minute (P8.5).
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// A runtime that a node can live on.
pub(crate) trait Runtime: 'static {
    /// Runs a task in the background.
    fn spawn(task: BoxFuture<'static, ()>);
    /// Prepares a node with the runtime's own environment.
    fn node(config: NetworkConfig) -> Result<(NetworkDriver, NetworkHandle, NetworkEvents), StartError>;
    /// The same on parts of the caller's, which may be the runtime's own.
    fn node_on(config: NetworkConfig, environment: Environment) -> Result<(NetworkDriver, NetworkHandle, NetworkEvents), StartError> {
        NetworkDriver::new(config, environment)
    }
    /// The runtime's own environment.
    fn environment(config: &NetworkConfig) -> Environment;
    /// The runtime's own transport. To be polled by a task of the runtime.
    fn transport(keypair: &Keypair) -> Result<Transport, NetError>;
}

/// Tokio with several threads.
pub(crate) struct Tokio;

impl Tokio {
    fn runtime() -> &'static tokio::runtime::Runtime {
        static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
        RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().expect("threads"))
    }
}

impl Runtime for Tokio {
    fn spawn(task: BoxFuture<'static, ()>) {
        Self::runtime().spawn(task);
    }

    fn node(config: NetworkConfig) -> Result<(NetworkDriver, NetworkHandle, NetworkEvents), StartError> {
        let _inside = Self::runtime().enter();
        preconf_tokio::node(config)
    }

    fn node_on(config: NetworkConfig, environment: Environment) -> Result<(NetworkDriver, NetworkHandle, NetworkEvents), StartError> {
        let _inside = Self::runtime().enter();
        NetworkDriver::new(config, environment)
    }

    fn environment(config: &NetworkConfig) -> Environment {
        let _inside = Self::runtime().enter();
        preconf_tokio::environment(config).expect("a runtime and a key")
    }

    fn transport(keypair: &Keypair) -> Result<Transport, NetError> {
        preconf_tokio::transport(keypair)
    }
}

/// Async-std with its global executor.
pub(crate) struct AsyncStd;

impl Runtime for AsyncStd {
    fn spawn(task: BoxFuture<'static, ()>) {
        async_std::task::spawn(task);
    }

    fn node(config: NetworkConfig) -> Result<(NetworkDriver, NetworkHandle, NetworkEvents), StartError> {
        preconf_async_std::node(config)
    }

    fn environment(config: &NetworkConfig) -> Environment {
        preconf_async_std::environment(config).expect("a key")
    }

    fn transport(keypair: &Keypair) -> Result<Transport, NetError> {
        preconf_async_std::transport(keypair)
    }
}

/// Makes tests of scenarios with two sides: for each runtime, and for both mixed pairs.
macro_rules! on_all_pairs {
    ($($scenario:ident),* $(,)?) => {
        mod tokio {
            $(#[test] fn $scenario() { futures::executor::block_on(super::$scenario::<crate::runtime::Tokio, crate::runtime::Tokio>()); })*
        }
        mod async_std {
            $(#[test] fn $scenario() { futures::executor::block_on(super::$scenario::<crate::runtime::AsyncStd, crate::runtime::AsyncStd>()); })*
        }
        mod mixed {
            $(#[test] fn $scenario() { futures::executor::block_on(super::$scenario::<crate::runtime::Tokio, crate::runtime::AsyncStd>()); })*
        }
        mod mixed_the_other_way {
            $(#[test] fn $scenario() { futures::executor::block_on(super::$scenario::<crate::runtime::AsyncStd, crate::runtime::Tokio>()); })*
        }
    };
}

/// Makes tests of scenarios with one side.
macro_rules! on_each_runtime {
    ($($scenario:ident),* $(,)?) => {
        mod on_tokio {
            $(#[test] fn $scenario() { futures::executor::block_on(super::$scenario::<crate::runtime::Tokio>()); })*
        }
        mod on_async_std {
            $(#[test] fn $scenario() { futures::executor::block_on(super::$scenario::<crate::runtime::AsyncStd>()); })*
        }
    };
}

pub(crate) use {on_all_pairs, on_each_runtime};

/// Waits for a future, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    within(LIMIT, future).await.unwrap_or_else(|| panic!("no {what} in {LIMIT:?}"))
}

/// What a future comes to, if it does so in time.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(std::pin::pin!(future), Delay::new(limit)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
