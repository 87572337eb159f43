//! Nodes on real sockets: loopback, ports that the system chooses, limits that are generous because a test machine may be slow.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::time::Duration;

use preconf_tokio::preconf_core::{ChainId, Config};
use preconf_tokio::{Keypair, Multiaddr, NetworkConfig, NetworkEvent, NetworkEvents, NetworkHandle};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub mod blocks;
pub mod stall;

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The chain of all tests.
pub const CHAIN: ChainId = ChainId(167_000);

/// A configuration that listens on a loopback port of the system's choice.
pub fn config() -> NetworkConfig {
    let mut config = NetworkConfig::new(Config::new(CHAIN), Keypair::generate_secp256k1());
    config.seed = Some([7; 32]);
    config.listen.push("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr"));
    config
}

/// A running node.
pub struct TestNode {
    pub handle: NetworkHandle,
    pub events: NetworkEvents,
    pub address: Multiaddr,
    pub task: JoinHandle<()>,
}

impl TestNode {
    /// Starts a node and waits until it listens.
    pub async fn start(config: NetworkConfig) -> Self {
        // What the node logs is shown with a test that fails, as far as RUST_LOG asks for it.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let (driver, handle, mut events) = preconf_tokio::node(config).expect("a node that starts");
        let task = tokio::spawn(driver.run());
        let address = until(&mut events, "an address", |event| match event {
            NetworkEvent::Listening { address } => Some(address),
            _ => None,
        })
        .await;
        Self { handle, events, address, task }
    }

    /// Reads events until one is the wanted one.
    pub async fn until<T>(&mut self, what: &str, pick: impl FnMut(NetworkEvent) -> Option<T>) -> T {
        until(&mut self.events, what, pick).await
    }

    /// Shuts the node down and waits until it is gone.
    pub async fn stop(self) {
        soon("shutdown", self.handle.shutdown()).await;
        soon("the driver's end", self.task).await.expect("no panic in the driver");
    }
}

/// Reads events until one is the wanted one.
pub async fn until<T>(events: &mut NetworkEvents, what: &str, mut pick: impl FnMut(NetworkEvent) -> Option<T>) -> T {
    let mut seen = Vec::new();
    let found = timeout(LIMIT, async {
        loop {
            let event = events.recv().await.unwrap_or_else(|| panic!("the events ended before {what}"));
            seen.push(format!("{event:?}").chars().take(200).collect::<String>());
            if let Some(found) = pick(event) {
                return found;
            }
        }
    });
    match found.await {
        Ok(found) => found,
        Err(_) => panic!("no {what} in {LIMIT:?}; seen: {seen:#?}"),
    }
}

/// Waits for a future, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("no {what} in {LIMIT:?}"))
}
