//! How is a node started? As a runtime does it: by the public API, with another environment.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures_timer::Delay;
use preconf_core::{Config, PeerId, SyncTip, Update};
use preconf_libp2p::upgrade;
use preconf_node::{BoxedWork, Environment, JobRunner, Keypair, NetworkConfig, NetworkDriver, NetworkHandle, NoDiscovery};
use preconf_sim::Dice;

use crate::NodeId;
use crate::clock::SystemClock;
use crate::disk::Disk;
use crate::executor::Spawner;
use crate::net::{SharedNet, VirtualTransport, address_of};
use crate::preconfer::{Desk, SharedOffice, lock as office};
use crate::scenario::Pauses;
use crate::watch::{SharedSeen, lock as seen};

/// What makes a node: the same in each of its lives.
pub(crate) struct Machine {
    pub(crate) id: NodeId,
    pub(crate) keypair: Keypair,
    pub(crate) core: Config,
    pub(crate) disk: Disk,
    /// How long its slow work takes, if any time.
    pub(crate) jobs: Option<Range<Duration>>,
    /// Its seat among the preconfers, if it has one.
    pub(crate) seat: Option<usize>,
    /// How its application pauses, and until when, in nanoseconds of the world's time.
    pub(crate) pauses: Option<(Pauses, u64)>,
    /// How many lives it has had.
    pub(crate) lives: u8,
}

/// Events that may wait for an application that pauses.
const FEW_EVENTS: usize = 8;

/// What all nodes share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) net: SharedNet,
    pub(crate) seen: SharedSeen,
    pub(crate) office: SharedOffice,
}

/// Slow work is done on the spot, or after a while, in whatever order.
struct Jobs {
    spawner: Spawner,
    takes: Option<Range<Duration>>,
    dice: Mutex<Dice>,
}

impl JobRunner for Jobs {
    fn run(&self, work: BoxedWork) {
        let Some(takes) = &self.takes else { return work() };
        let after = self.dice.lock().unwrap_or_else(PoisonError::into_inner).span(takes);
        self.spawner.spawn(Box::pin(async move {
            Delay::new(after).await;
            work();
        }));
    }

    fn width(&self) -> usize {
        if self.takes.is_some() { 4 } else { 1 }
    }
}

impl Machine {
    /// Its peer id.
    pub(crate) fn peer_id(&self) -> PeerId {
        let id = self.keypair.public().to_peer_id();
        PeerId::from_bytes(&id.to_bytes()).expect("libp2p's ids are the core's")
    }

    /// Where others dial it.
    pub(crate) fn dial_address(&self) -> String {
        format!("{}/p2p/{}", address_of(self.id), self.keypair.public().to_peer_id())
    }

    /// Starts it: its driver, its application, and its preconfer.
    pub(crate) fn start(&mut self, spawner: &Spawner, around: &Surroundings) -> NetworkHandle {
        self.lives = self.lives.wrapping_add(1);
        let mut config = NetworkConfig::new(self.core.clone(), self.keypair.clone());
        let mut seed = [self.lives; 32];
        seed[..8].copy_from_slice(&(self.id as u64).to_le_bytes());
        config.seed = Some(seed);
        config.listen.push(address_of(self.id));
        if self.pauses.is_some() {
            config.event_capacity = FEW_EVENTS;
        }
        let tasks = spawner.clone();
        let (records, store) = self.disk.open();
        let environment = Environment {
            transport: upgrade(VirtualTransport { net: around.net.clone(), node: self.id }, &self.keypair).expect("a key for noise"),
            executor: Box::new(move |task: BoxFuture<'static, ()>| tasks.spawn(task)),
            jobs: Box::new(Jobs {
                spawner: spawner.clone(),
                takes: self.jobs.clone(),
                dice: Mutex::new(Dice::new(u64::from(self.lives) << 32 | self.id as u64)),
            }),
            clock: Box::new(SystemClock::new()),
            discovery: Box::new(NoDiscovery::default()),
            store: Some(store),
            records,
        };
        let (driver, handle, mut events) = NetworkDriver::new(config, environment).expect("a node that starts");
        seen(&around.seen).starts(self.id);
        spawner.spawn(driver.run());
        let (id, watch, executes) = (self.id, around.seen.clone(), handle.clone());
        let (pauses, mut dice) = (self.pauses, Dice::new(u64::from(self.lives) << 32 | self.id as u64));
        spawner.spawn(Box::pin(async move {
            let mut rested_at = 0;
            while let Some(event) = events.recv().await {
                if let Some((Pauses { every_ms, for_ms: [least, most] }, ends)) = pauses
                    && (rested_at + every_ms * 1_000_000..ends).contains(&preconf_interpose::now())
                {
                    Delay::new(dice.span(&(Duration::from_millis(least)..Duration::from_millis(most)))).await;
                    rested_at = preconf_interpose::now();
                }
                let ready = ready_block(&event);
                seen(&watch).hears(preconf_interpose::now(), id, &event);
                if let Some(block_number) = ready {
                    // What is settled meanwhile needs no word.
                    let _late = executes.mark_executed(block_number).await;
                }
            }
        }));
        let (desk, around, seat) = (handle.clone(), around.clone(), self.seat);
        spawner.spawn(Box::pin(async move {
            // What a host asks L1 for when it starts: the schedule, and what is settled.
            let (windows, tip) = (office(&around.office).windows.clone(), seen(&around.seen).l1.tip());
            if desk.update(Update::Schedule(windows)).await.is_err() {
                return; // it is shutting down
            }
            if tip != SyncTip::default() {
                tell_tip(id, desk.clone(), tip, Duration::ZERO, around.seen.clone()).await;
            }
            if let Some(seat) = seat {
                Desk::new(seat, id, desk, around.office, around.seen).work().await;
            } else {
                futures::future::pending::<()>().await; // a handle lives as long as the node
            }
        }));
        handle
    }
}

fn ready_block(event: &preconf_node::NetworkEvent) -> Option<u64> {
    match event {
        preconf_node::NetworkEvent::Core(preconf_core::Event::BlockReady { commitment, .. }) => Some(commitment.block_number),
        _ => None,
    }
}

/// Tells a node the new sync tip, a while from now.
pub(crate) async fn tell_tip(id: NodeId, handle: NetworkHandle, tip: SyncTip, after: Duration, watch: SharedSeen) {
    Delay::new(after).await;
    seen(&watch).told_tip(id, tip.block_number);
    let _ended = handle.move_sync_tip(tip).await;
}
