//! How does a hostile peer live?
//!
//! It has no machine: it stands on [`Net`] itself and gives raw orders. It dials who it is told to dial, sends one message of each kind at a
//! steady pace, answers no request and forwards nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p_identity::Keypair;
use multiaddr::Multiaddr;
use preconf_core::{Action, ConnectionId, DialId, Input, PeerId, PublishId, PublishOutcome, Verdict};
use preconf_libp2p::{Net, NetConfig, NetError, NetEvent};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::malice::{Kind, Malice};

/// Orders that may wait for it. Ours: one for each node of the largest devnet.
const MAX_ORDERS: usize = 128;

/// What it did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deeds {
    /// Messages that went to at least one peer.
    pub(crate) sent: u64,
    /// Peers that it is connected to.
    pub(crate) peers: usize,
}

/// A hostile peer that runs.
pub(crate) struct Hostile {
    /// Its name in this devnet.
    pub(crate) name: String,
    /// Its peer id.
    pub(crate) peer: PeerId,
    deeds: watch::Receiver<Deeds>,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

enum Order {
    Dial(Multiaddr),
    Attack,
}

impl Hostile {
    /// Starts one. It does nothing until it is told.
    pub(crate) fn start(name: String, identity: &Keypair, config: NetConfig, malice: Malice, pace: Duration) -> Result<Self, NetError> {
        let transport = preconf_tokio::transport(identity)?;
        let net = Net::new(config, identity.clone(), transport, |task| drop(tokio::spawn(task)))?;
        let peer = net.local_peer_id();
        let (orders, inbox) = mpsc::channel(MAX_ORDERS);
        let (tell, deeds) = watch::channel(Deeds::default());
        let task = tokio::spawn(Life { net, malice, inbox, tell, connections: BTreeMap::new(), next_id: 0 }.live(pace));
        Ok(Self { name, peer, deeds, orders, task })
    }

    /// Has it connect to somebody.
    pub(crate) async fn dial(&self, address: Multiaddr) {
        self.order(Order::Dial(address)).await;
    }

    /// Lets it loose.
    pub(crate) async fn attack(&self) {
        self.order(Order::Attack).await;
    }

    async fn order(&self, order: Order) {
        // It goes away only when this value does, or by a panic, which `stop` tells.
        let _ = self.orders.send(order).await;
    }

    /// What it did so far.
    pub(crate) fn deeds(&self) -> Deeds {
        *self.deeds.borrow()
    }

    /// Waits until it has this many peers. Waits for ever if it never has.
    pub(crate) async fn has_peers(&self, count: usize) {
        let _ = self.deeds.clone().wait_for(|deeds| deeds.peers >= count).await;
    }

    /// Ends it. Says whether it had lived until now.
    pub(crate) async fn stop(self) -> bool {
        drop(self.orders);
        self.task.await.is_ok()
    }
}

struct Life {
    net: Net,
    malice: Malice,
    inbox: mpsc::Receiver<Order>,
    tell: watch::Sender<Deeds>,
    connections: BTreeMap<ConnectionId, PeerId>,
    next_id: u64,
}

impl Life {
    async fn live(mut self, pace: Duration) {
        let mut ticks = tokio::time::interval(pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_loose = false;
        loop {
            tokio::select! {
                order = self.inbox.recv() => match order {
                    None => return,
                    Some(Order::Attack) => is_loose = true,
                    Some(Order::Dial(address)) => {
                        let dial = DialId(self.id());
                        self.net.apply(Action::Dial { dial, address: address.to_string() });
                    }
                },
                // All kinds at once: after two or three faults its peers listen no more.
                _ = ticks.tick(), if is_loose => Kind::ALL.into_iter().for_each(|kind| self.send(kind)),
                event = self.net.next_event() => if let NetEvent::Input(input) = event {
                    self.hear(input);
                },
            }
        }
    }

    fn send(&mut self, kind: Kind) {
        let publish = PublishId(self.id());
        let data = self.malice.make(kind);
        self.net.apply(Action::Publish { publish, topic: kind.topic(), data });
    }

    fn hear(&mut self, input: Input) {
        match input {
            Input::GossipReceived { peer, message, .. } => {
                self.net.apply(Action::ReportGossip { message, peer, verdict: Verdict::Ignore });
            }
            Input::RequestReceived { channel, .. } => self.net.apply(Action::DropRequest { channel }),
            Input::PublishFinished { outcome: PublishOutcome::Sent, .. } => self.tell.send_modify(|deeds| deeds.sent += 1),
            Input::ConnectionOpened { peer, connection, .. } => {
                self.connections.insert(connection, peer);
                self.count_peers();
            }
            Input::ConnectionClosed { connection, .. } => {
                self.connections.remove(&connection);
                self.count_peers();
            }
            _ => {} // it has no use for anything else
        }
    }

    fn count_peers(&self) {
        let mut peers: Vec<_> = self.connections.values().collect();
        peers.sort_unstable();
        peers.dedup();
        self.tell.send_modify(|deeds| deeds.peers = peers.len());
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}
