//! Some nodes on an in-memory transport, and a way to wait for what they say.

#![allow(dead_code, reason = "each test file uses its part")]

use std::pin::pin;
use std::time::Duration;

use futures::executor::{ThreadPool, block_on};
use futures::future::{Either, FutureExt, pending, select, select_all};
use futures_timer::Delay;
use libp2p_core::transport::MemoryTransport;
use libp2p_swarm::{NetworkBehaviour, Swarm};
use preconf_core::{Action, ChainId, Config, ConnectionLimits, DialId, Input, PeerId, Topic};
use preconf_libp2p::{Keypair, Net, NetConfig, NetEvent, upgrade};

/// The chain of every node here.
pub(crate) const CHAIN: ChainId = ChainId(167_000);
/// Longest wait for an event before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest turn in which nobody says anything.
const TURN: Duration = Duration::from_millis(20);

/// A configuration with the limits for tests.
pub(crate) fn config() -> NetConfig {
    NetConfig { connection_limits: ConnectionLimits::TEST, ..NetConfig::new(&Config::new(CHAIN)) }
}

/// A secp256k1 key, as the program has it.
pub(crate) fn key() -> Keypair {
    Keypair::generate_secp256k1()
}

/// Nodes that share nothing but memory.
pub(crate) struct World {
    pub(crate) nets: Vec<Net>,
    /// Where each node listens, with its peer id.
    pub(crate) addresses: Vec<String>,
    /// What each node said that nobody has asked for yet.
    said: Vec<Vec<Input>>,
    pool: ThreadPool,
    dials: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let pool = ThreadPool::builder().pool_size(2).create().expect("threads");
        Self { nets: Vec::new(), addresses: Vec::new(), said: Vec::new(), pool, dials: 0 }
    }

    /// That many nodes that know nothing of each other.
    pub(crate) fn of(count: usize) -> Self {
        let mut world = Self::new();
        for _ in 0..count {
            world.add(config(), key());
        }
        world
    }

    /// One more node, listening; its index.
    pub(crate) fn add(&mut self, config: NetConfig, key: Keypair) -> usize {
        let transport = upgrade(MemoryTransport::new(), &key).expect("a key");
        let mut net = Net::new(config, key, transport, self.pool.clone()).expect("a node");
        net.listen("/memory/0".parse().expect("an address")).expect("memory");
        let address = match block_on(net.next_event()) {
            NetEvent::Listening { address } => address.to_string(),
            other => panic!("{other:?} instead of an address"),
        };
        self.nets.push(net);
        self.addresses.push(address);
        self.said.push(Vec::new());
        self.nets.len() - 1
    }

    /// A libp2p node that follows no rule but its own.
    pub(crate) fn stranger<B: NetworkBehaviour>(&self, key: &Keypair, behaviour: B) -> Swarm<B> {
        let transport = upgrade(MemoryTransport::new(), key).expect("a key");
        Swarm::new(transport, behaviour, key.public().to_peer_id(), libp2p_swarm::Config::with_executor(self.pool.clone()))
    }

    pub(crate) fn id(&self, node: usize) -> PeerId {
        self.nets[node].local_peer_id()
    }

    pub(crate) fn apply(&mut self, node: usize, action: Action) {
        self.nets[node].apply(action);
    }

    pub(crate) fn dial(&mut self, from: usize, address: &str) -> DialId {
        self.dials += 1;
        let dial = DialId(self.dials);
        self.apply(from, Action::Dial { dial, address: address.to_owned() });
        dial
    }

    /// Connects two nodes and waits until each knows the other's protocols and topics.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let address = self.addresses[b].clone();
        self.dial(a, &address);
        for (us, them) in [(a, b), (b, a)] {
            let them = self.id(them);
            self.until(us, |input| matches!(input, Input::PeerIdentified { peer, .. } if *peer == them));
            for wanted in Topic::ALL {
                self.until(us, |input| matches!(input, Input::PeerSubscribed { peer, topic } if (*peer, *topic) == (them, wanted)));
            }
        }
    }

    /// Waits for the first thing a node says that fits, and takes it out.
    pub(crate) fn until(&mut self, node: usize, fits: impl FnMut(&Input) -> bool) -> Input {
        self.until_with(node, fits, pending())
    }

    /// [`World::until`] while a stranger goes on.
    pub(crate) fn until_with(&mut self, node: usize, mut fits: impl FnMut(&Input) -> bool, stranger: impl Future<Output = ()>) -> Input {
        let mut stranger = pin!(endless(stranger));
        let mut patience = Delay::new(PATIENCE);
        let mut checked = 0;
        loop {
            if let Some(at) = self.said[node][checked..].iter().position(&mut fits) {
                return self.said[node].remove(checked + at);
            }
            checked = self.said[node].len();
            match first(self.next(), select(&mut stranger, &mut patience)) {
                Some((index, input)) => self.said[index].push(input),
                None => panic!("node {node} never said it; it said {:?}", self.said[node]),
            }
        }
    }

    /// Lets everyone go on until something is said, or for a short while.
    pub(crate) fn turn_with(&mut self, stranger: impl Future<Output = ()>) {
        let stranger = pin!(endless(stranger));
        if let Some((index, input)) = first(self.next(), select(stranger, Delay::new(TURN))) {
            self.said[index].push(input);
        }
    }

    /// Lets everyone go on until something holds that no input tells.
    pub(crate) fn until_holds(&mut self, holds: impl Fn(&Self) -> bool, stranger: impl Future<Output = ()>) {
        let mut stranger = pin!(endless(stranger));
        let mut patience = Delay::new(PATIENCE);
        while !holds(self) {
            // What a node counts may change without a word, so look again after each turn.
            let turn = select(self.next().boxed_local(), Delay::new(TURN));
            let said = match first(turn, select(&mut stranger, &mut patience)) {
                Some(Either::Left((said, _))) => Some(said),
                Some(Either::Right(_)) => None,
                None => panic!("it never held"),
            };
            if let Some((index, input)) = said {
                self.said[index].push(input);
            }
        }
    }

    async fn next(&mut self) -> (usize, Input) {
        let (event, index, _) = select_all(self.nets.iter_mut().map(|net| net.next_event().boxed_local())).await;
        match event {
            NetEvent::Input(input) => (index, input),
            other => panic!("node {index}: {other:?}"),
        }
    }

    /// Drops what was said so far.
    pub(crate) fn forget(&mut self) {
        self.said.iter_mut().for_each(Vec::clear);
    }

    /// What a node said and nobody has asked for.
    pub(crate) fn unread(&self, node: usize) -> &[Input] {
        &self.said[node]
    }
}

/// A stranger that has no more to do is no event.
async fn endless(stranger: impl Future<Output = ()>) {
    stranger.await;
    pending::<()>().await;
}

/// What `wanted` gives, unless `limit` is over first.
fn first<T>(wanted: impl Future<Output = T>, limit: impl Future) -> Option<T> {
    match block_on(select(pin!(wanted), pin!(limit))) {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}
