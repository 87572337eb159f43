//! Nodes that run, each on the runtime of its side.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{AbortHandle, abortable};
use futures_timer::Delay;
use preconf_node::preconf_core::{Bytes, ChainId, Config, Event, Storage};
use preconf_node::{Keypair, Multiaddr, NetworkConfig, NetworkDriver, NetworkEvent, NetworkEvents, NetworkHandle};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::blocks::Chain;
use crate::runtime::{LIMIT, Runtime, soon, within};

/// The chain of all scenarios.
pub(crate) const CHAIN: ChainId = ChainId(167_000);

/// A configuration that listens on a loopback port of the system's choice.
pub(crate) fn config() -> NetworkConfig {
    let mut config = NetworkConfig::new(Config { storage: Storage::Ephemeral, ..Config::new(CHAIN) }, Keypair::generate_secp256k1());
    config.seed = Some([7; 32]);
    config.listen.push("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr"));
    config
}

/// A driver that runs.
pub(crate) struct Task {
    abort: AbortHandle,
    end: oneshot::Receiver<End>,
}

/// How a driver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It came to its end.
    InOrder,
    /// It was aborted.
    Aborted,
    /// It panicked, which is our bug.
    Panicked,
}

impl Task {
    /// Lets a driver run on a runtime.
    pub(crate) fn run<R: Runtime>(driver: NetworkDriver) -> Self {
        let (life, abort) = abortable(driver.run());
        let (tell, end) = oneshot::channel();
        R::spawn(Box::pin(async move {
            let ended = match AssertUnwindSafe(life).catch_unwind().await {
                Ok(Ok(())) => End::InOrder,
                Ok(Err(_)) => End::Aborted,
                Err(_) => End::Panicked,
            };
            let _ = tell.send(ended); // not every scenario waits for it
        }));
        Self { abort, end }
    }

    /// Ends it without a farewell.
    pub(crate) fn abort(&self) {
        self.abort.abort();
    }

    /// Waits for its end.
    pub(crate) async fn end(self) -> End {
        soon("the driver's end", self.end).await.expect("it always tells its end")
    }
}

/// A node that runs.
pub(crate) struct TestNode {
    pub(crate) handle: NetworkHandle,
    pub(crate) events: NetworkEvents,
    pub(crate) address: Multiaddr,
    pub(crate) task: Task,
}

impl TestNode {
    /// Starts a node and waits until it listens.
    pub(crate) async fn start<R: Runtime>(config: NetworkConfig) -> Self {
        // What the node logs is shown with a test that fails, as far as RUST_LOG asks for it.
        let asked: Option<Targets> = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
        let lines = tracing_subscriber::fmt::layer().with_test_writer();
        let _ = tracing_subscriber::registry().with(lines).with(asked.unwrap_or_default()).try_init();
        let (driver, handle, mut events) = R::node(config).expect("a node that starts");
        let task = Task::run::<R>(driver);
        let address = listening(&mut events).await;
        Self { handle, events, address, task }
    }

    /// Starts a node that knows the chain's schedule and tip.
    pub(crate) async fn of<R: Runtime>(chain: &Chain, config: NetworkConfig) -> Self {
        let node = Self::start::<R>(config).await;
        node.handle.update_schedule(chain.schedule()).await.expect("a window");
        node.handle.move_sync_tip(chain.tip()).await.expect("a tip");
        node
    }

    /// Reads events until one is the wanted one.
    pub(crate) async fn until<T>(&mut self, what: &str, pick: impl FnMut(NetworkEvent) -> Option<T>) -> T {
        until(&mut self.events, what, pick).await
    }

    /// Connects to a node at this address, and waits until both can ask each other.
    pub(crate) async fn connect(&self, to: &Self, address: &Multiaddr) {
        let peer = to.handle.local_peer_id();
        assert_eq!(soon("a connection", self.handle.dial(address.clone())).await, Ok(peer));
        // A peer can be asked once it has said what it speaks, which no event tells.
        let identified = async {
            while !self.handle.peers().await.expect("a running node").iter().any(|known| known.peer == peer && known.protocols.get_txlist) {
                Delay::new(Duration::from_millis(1)).await;
            }
        };
        soon("identification", identified).await;
    }

    /// Shuts the node down and waits until it is gone.
    pub(crate) async fn stop(self) {
        soon("shutdown", self.handle.shutdown()).await;
        assert_eq!(self.task.end().await, End::InOrder);
    }
}

/// Reads events until one is the wanted one.
pub(crate) async fn until<T>(events: &mut NetworkEvents, what: &str, mut pick: impl FnMut(NetworkEvent) -> Option<T>) -> T {
    let mut seen = Vec::new();
    let found = within(LIMIT, async {
        loop {
            let event = events.recv().await.unwrap_or_else(|| panic!("the events ended before {what}"));
            seen.push(format!("{event:?}").chars().take(200).collect::<String>());
            if let Some(found) = pick(event) {
                return found;
            }
        }
    });
    found.await.unwrap_or_else(|| panic!("no {what} in {LIMIT:?}; seen: {seen:#?}"))
}

/// Where a node says that it listens.
pub(crate) async fn listening(events: &mut NetworkEvents) -> Multiaddr {
    until(events, "an address", |event| match event {
        NetworkEvent::Listening { address } => Some(address),
        _ => None,
    })
    .await
}

/// The next block that is ready: number and txlist.
pub(crate) fn ready(event: NetworkEvent) -> Option<(u64, Option<Bytes>)> {
    match event {
        NetworkEvent::Core(Event::BlockReady { commitment, txlist }) => Some((commitment.block_number, txlist)),
        _ => None,
    }
}
