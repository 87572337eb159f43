//! How does an honest node of a devnet run?
//!
//! It is the node that anyone would embed: a driver task, a handle, events. A second task reads the events, notes the time, and passes them on
//! to the one place that judges the run. It is the host as well: what becomes ready counts as executed at once.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use libp2p_identity::Keypair;
use multiaddr::Multiaddr;
use preconf_core::{ChainId, Config, Event, Storage};
use preconf_node::{HandleError, NetworkConfig, NetworkDriver, NetworkEvent, NetworkEvents, NetworkHandle, RecordConfig, StartError};
use tokio::sync::mpsc;

use super::home::Home;
use super::loss::Loss;
use super::plan::{Plan, digest};
use super::report::Role;

/// The chain id of every devnet. Ours: no public chain has it.
pub(crate) const CHAIN: ChainId = ChainId(7_357_357);
/// How often nodes ask their peers for heads. Ours: a devnet lives for seconds, so a lost message must be noticed within seconds; still
/// below the limit of P6.6.
const HEADS_EVERY: Duration = Duration::from_secs(2);

/// An honest node that runs.
pub(crate) struct Node {
    /// Its name in this devnet.
    pub(crate) name: String,
    /// When it joined.
    pub(crate) role: Role,
    /// How to tell it something.
    pub(crate) handle: NetworkHandle,
    /// Where it listens.
    pub(crate) address: Multiaddr,
    /// What it lives on.
    pub(crate) home: Home,
    life: BoxFuture<'static, bool>,
}

/// An event of a node, and when it left it.
pub(crate) struct Sighting {
    /// The node's index.
    pub(crate) node: usize,
    /// When.
    pub(crate) at: Instant,
    /// What.
    pub(crate) event: NetworkEvent,
}

/// What a node has around it.
pub(crate) struct Around {
    /// What it lives on.
    pub(crate) home: Home,
    /// What never reaches it.
    pub(crate) loss: Loss,
    /// Where its steps are recorded.
    pub(crate) record: Option<RecordConfig>,
    /// Who hears what it tells.
    pub(crate) sightings: mpsc::Sender<Sighting>,
}

/// Why a node is not there.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// It does not start.
    #[error("{name} does not start: {error}")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        error: Box<StartError>,
    },
    /// It refuses what it must be told.
    #[error("{name}: {error}")]
    Handle {
        /// Its name.
        name: String,
        /// Why.
        error: HandleError,
    },
    /// It never told where it listens.
    #[error("{name} does not listen")]
    NoAddress {
        /// Its name.
        name: String,
    },
}

/// The machine's configuration of every honest node.
pub(crate) fn core_config(plan: &Plan) -> Config {
    Config {
        domain: plan.domain(),
        slasher: Some(plan.slasher()),
        heads_every: HEADS_EVERY,
        storage: Storage::Ephemeral, // a devnet ends with its process
        ..Config::new(CHAIN)
    }
}

impl Node {
    /// Starts a node that knows the schedule and what the chain grows from.
    pub(crate) async fn start(
        index: usize,
        name: String,
        role: Role,
        identity: Keypair,
        plan: &Plan,
        around: Around,
    ) -> Result<Self, NodeError> {
        let Around { home, mut loss, record, sightings } = around;
        let mut config = NetworkConfig::new(core_config(plan), identity);
        config.seed = Some(digest(plan.seed(), "dice", index as u64).0);
        config.record = record;
        config.listen.push("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr"));
        let started = (home.environment)(&config).and_then(|environment| NetworkDriver::new(config, environment));
        let (mut driver, handle, mut events) = match started {
            Ok(started) => started,
            Err(error) => return Err(NodeError::Start { name, error: error.into() }),
        };
        driver.lose_unless(move |input| loss.admits(input));
        let life = (home.run)(driver);
        if let Err(error) = introduce(&handle, plan).await {
            return Err(NodeError::Handle { name, error });
        }
        // Nobody knows it yet, so nothing else can come first.
        let Some(NetworkEvent::Listening { address }) = events.recv().await else { return Err(NodeError::NoAddress { name }) };
        tokio::spawn(attend(index, handle.clone(), events, sightings));
        Ok(Self { name, role, handle, address, home, life })
    }

    /// Ends it in good order. Says whether it had lived until now.
    pub(crate) async fn stop(self) -> bool {
        self.handle.shutdown().await;
        self.life.await
    }
}

async fn introduce(handle: &NetworkHandle, plan: &Plan) -> Result<(), HandleError> {
    handle.update_schedule(plan.windows()).await?;
    handle.move_sync_tip(plan.sync_tip()).await
}

/// Passes every event on, and tells the node what it executed (P11.1).
async fn attend(node: usize, handle: NetworkHandle, mut events: NetworkEvents, sightings: mpsc::Sender<Sighting>) {
    let mut executed = None;
    while let Some(event) = events.recv().await {
        if let NetworkEvent::Core(Event::BlockReady { commitment, .. }) = &event {
            executed = Some(commitment.block_number);
        }
        if sightings.send(Sighting { node, at: Instant::now(), event }).await.is_err() {
            return;
        }
        // P10.4: a node takes no wish while too many events wait; behind each of them it is told again.
        if let Some(number) = executed
            && handle.mark_executed(number).await.is_ok()
        {
            executed = None;
        }
    }
}
