//! A node's transport, executor, job runner and clock all come from outside, so that a whole node can live in a simulated world; so does what
//! of that world reaches its machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use libp2p_core::transport::MemoryTransport;
use preconf_node::preconf_core::{ChainLabel, Config, DiscoveryConfig, Event, Input, LookupId, NodeRecord, Now, Source, Storage, Time};
use preconf_node::preconf_libp2p::upgrade;
use preconf_node::{
    BoxedWork, Clock, Discovery, DiscoveryNews, Environment, JobRunner, Keypair, Multiaddr, NetworkConfig, NetworkDriver, NetworkEvent,
    NetworkEvents, NetworkHandle, NoDiscovery,
};

use crate::blocks::{Chain, TIP, txlist};
use crate::nodes::{CHAIN, listening, until};
use crate::runtime::{Runtime, on_all_pairs, soon};

on_all_pairs!(
    two_nodes_on_parts_of_our_own_talk_without_a_socket,
    what_is_not_admitted_never_reaches_the_machine_and_is_found_by_asking,
    whom_discovery_finds_is_dialed,
    where_peers_see_a_node_reaches_its_discovery,
);

/// How often each part was used.
#[derive(Clone, Default)]
struct Used {
    tasks: Arc<AtomicUsize>,
    jobs: Arc<AtomicUsize>,
    readings: Arc<AtomicUsize>,
}

/// Does the work on the spot, as a world with a single thread must.
struct Inline(Arc<AtomicUsize>);

impl JobRunner for Inline {
    fn run(&self, work: BoxedWork) {
        self.0.fetch_add(1, Ordering::Relaxed);
        work();
    }

    fn width(&self) -> usize {
        1
    }
}

struct Counting(Box<dyn Clock>, Arc<AtomicUsize>);

impl Clock for Counting {
    fn now(&self) -> Now {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.now()
    }

    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
        self.0.sleep_until(at)
    }
}

fn start<R: Runtime>(used: &Used, admit: impl FnMut(&Input) -> bool + Send + 'static) -> (NetworkHandle, NetworkEvents) {
    let core = Config { heads_every: Duration::from_secs(1), storage: Storage::Ephemeral, ..Config::new(CHAIN) }; // who hears nothing asks soon
    let mut config = NetworkConfig::new(core, Keypair::generate_secp256k1());
    config.listen.push("/memory/0".parse().expect("a multiaddr"));
    let (tasks, theirs) = (Arc::clone(&used.tasks), R::environment(&config));
    let environment = Environment {
        transport: upgrade(MemoryTransport::new(), &config.keypair).expect("a key for noise"),
        executor: Box::new(move |task| {
            tasks.fetch_add(1, Ordering::Relaxed);
            R::spawn(task);
        }),
        jobs: Box::new(Inline(Arc::clone(&used.jobs))),
        clock: Box::new(Counting(theirs.clock, Arc::clone(&used.readings))),
        discovery: Box::new(NoDiscovery::default()),
        store: None,
        records: Vec::new(),
    };
    let (mut driver, handle, events) = NetworkDriver::new(config, environment).expect("a node that starts");
    driver.lose_unless(admit);
    R::spawn(Box::pin(driver.run()));
    (handle, events)
}

async fn two_nodes_on_parts_of_our_own_talk_without_a_socket<A: Runtime, B: Runtime>() {
    let used = Used::default();
    let (alice, mut heard) = start::<A>(&used, |_| true);
    let (bob, mut events) = start::<B>(&used, |_| true);
    let address = listening(&mut heard).await;
    let mut chain = Chain::new();
    for node in [&alice, &bob] {
        node.update_schedule(chain.schedule()).await.expect("a window");
        node.move_sync_tip(chain.tip()).await.expect("a tip");
    }
    soon("a connection", bob.dial(address)).await.expect("alice listens");
    let txs = txlist(100_000, 1);
    soon("publication", alice.publish_commitment(chain.block(&txs))).await.expect("it is sent");
    soon("publication", alice.publish_txlist(txs)).await.expect("it is sent");
    let number = until(&mut events, "a ready block", |event| match event {
        NetworkEvent::Core(Event::BlockReady { commitment, .. }) => Some(commitment.block_number),
        _ => None,
    });
    assert_eq!(number.await, TIP + 1);
    for part in [&used.tasks, &used.jobs, &used.readings] {
        assert!(part.load(Ordering::Relaxed) > 0);
    }
    soon("shutdown", alice.shutdown()).await;
    soon("shutdown", bob.shutdown()).await;
}

async fn what_is_not_admitted_never_reaches_the_machine_and_is_found_by_asking<A: Runtime, B: Runtime>() {
    // P11.2
    let (used, lost) = (Used::default(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&lost);
    let (alice, mut heard) = start::<A>(&used, |_| true);
    let (bob, mut events) = start::<B>(&used, move |input| {
        let is_gossip = matches!(input, Input::GossipReceived { .. });
        counter.fetch_add(usize::from(is_gossip), Ordering::Relaxed);
        !is_gossip
    });
    let address = listening(&mut heard).await;
    let mut chain = Chain::new();
    for node in [&alice, &bob] {
        node.update_schedule(chain.schedule()).await.expect("a window");
        node.move_sync_tip(chain.tip()).await.expect("a tip");
    }
    soon("a connection", bob.dial(address)).await.expect("alice listens");
    let txs = txlist(1_000, 1);
    soon("publication", alice.publish_txlist(txs.clone())).await.expect("it is sent");
    soon("publication", alice.publish_commitment(chain.block(&txs))).await.expect("it is sent");
    let from = until(&mut events, "an accepted commitment", |event| match event {
        NetworkEvent::Core(Event::CommitmentAccepted { source, .. }) => Some(source),
        _ => None,
    });
    assert_eq!(from.await, Source::Response(alice.local_peer_id()));
    let ready = until(&mut events, "a ready block", |event| match event {
        NetworkEvent::Core(Event::BlockReady { commitment, .. }) => Some(commitment.block_number),
        _ => None,
    });
    assert_eq!(ready.await, TIP + 1);
    let stats = soon("a status", bob.status()).await.expect("bob runs").stats;
    assert_eq!((stats.accepted, stats.ignored, stats.rejected), (0, 0, 0), "the machine heard no gossip");
    assert!(lost.load(Ordering::Relaxed) > 0, "and there was some");
    soon("shutdown", alice.shutdown()).await;
    soon("shutdown", bob.shutdown()).await;
}

/// Knows of one node, and tells of it whenever somebody looks.
struct Rumour {
    record: NodeRecord,
    news: Vec<DiscoveryNews>,
}

impl Discovery for Rumour {
    fn look_up(&mut self, lookup: LookupId) {
        self.news = vec![DiscoveryNews::Finished { lookup, succeeded: true }, DiscoveryNews::Found(Box::new(self.record.clone()))];
    }

    fn introduce(&mut self, _: String) {}

    fn advertise_address(&mut self, _: IpAddr) {}

    fn listening(&mut self, _: &Multiaddr) {}

    fn expired(&mut self, _: &Multiaddr) {}

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn poll_news(&mut self, _: &mut Context<'_>) -> Poll<DiscoveryNews> {
        self.news.pop().map_or(Poll::Pending, Poll::Ready) // the look-up itself keeps the loop awake
    }
}

async fn whom_discovery_finds_is_dialed<A: Runtime, B: Runtime>() {
    let config = || {
        let mut config = crate::nodes::config();
        config.core.discovery = Some(DiscoveryConfig::TEST);
        config
    };
    let (driver, alice, mut heard) = A::node(config()).expect("a node that starts");
    A::spawn(Box::pin(driver.run()));
    let address = listening(&mut heard).await.to_string();
    let us = alice.local_peer_id();
    let (place, _) = address.split_once("/p2p/").expect("an address with an id");
    let (chain, addresses) = (ChainLabel::Chain(CHAIN), vec![place.to_owned()]);
    let record = NodeRecord { peer: us, sequence: 1, chain, addresses, text: String::new() };
    let config = config();
    let mut environment = B::environment(&config);
    environment.discovery = Box::new(Rumour { record, news: Vec::new() });
    let (driver, _bob, mut events) = B::node_on(config, environment).expect("a node that starts");
    B::spawn(Box::pin(driver.run()));
    let met = until(&mut events, "a connection", |event| match event {
        NetworkEvent::Core(Event::PeerConnected { peer }) => Some(peer),
        _ => None,
    });
    assert_eq!(met.await, us);
}

/// Finds nobody, and passes on where others see this node.
struct Ear(mpsc::UnboundedSender<IpAddr>);

impl Discovery for Ear {
    fn look_up(&mut self, _: LookupId) {}

    fn introduce(&mut self, _: String) {}

    fn advertise_address(&mut self, address: IpAddr) {
        let _ = self.0.unbounded_send(address); // a test that is over does not listen
    }

    fn listening(&mut self, _: &Multiaddr) {}

    fn expired(&mut self, _: &Multiaddr) {}

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn poll_news(&mut self, _: &mut Context<'_>) -> Poll<DiscoveryNews> {
        Poll::Pending
    }
}

async fn where_peers_see_a_node_reaches_its_discovery<A: Runtime, B: Runtime>() {
    // P8.11: on one machine every loopback address is a neighbourhood, and all see the node at the one that it dials from.
    let mut config = crate::nodes::config();
    config.core.discovery = Some(DiscoveryConfig::TEST);
    let mut environment = B::environment(&config);
    let (tell, mut seen) = mpsc::unbounded();
    environment.discovery = Box::new(Ear(tell));
    let (driver, bob, _events) = B::node_on(config, environment).expect("a node that starts");
    B::spawn(Box::pin(driver.run()));
    let mut others = Vec::new();
    for host in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        let mut config = crate::nodes::config();
        config.listen = vec![format!("/ip4/{host}/tcp/0").parse().expect("a multiaddr")];
        let (driver, other, mut heard) = A::node(config).expect("a node that starts");
        A::spawn(Box::pin(driver.run()));
        soon("a connection", bob.dial(listening(&mut heard).await)).await.expect("it listens");
        others.push((other, heard));
    }
    assert_eq!(soon("an address", seen.next()).await, Some(IpAddr::from([127, 0, 0, 1])));
}
