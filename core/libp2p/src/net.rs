//! What does a runtime see of the network?
//!
//! [`Net`]: one event at a time out, one action at a time in. Nothing is read from the network while nobody asks for the next event, so a
//! slow machine slows its peers down instead of piling up what they send.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite, FutureExt, StreamExt};
use libp2p_core::muxing::StreamMuxerBox;
use libp2p_core::transport::{Boxed, TransportError};
use libp2p_core::upgrade::Version;
use libp2p_identity::Keypair;
use libp2p_swarm::{Executor, Swarm};
use multiaddr::Multiaddr;
use preconf_core::{Input, MessageId, PeerId, Protocol};

use crate::behaviour::{Behaviour, Topics};
use crate::config::NetConfig;
use crate::ids::{Channels, Connections, Requests, from_libp2p};

/// How long encryption and multiplexing of a new connection may take. Ours: twice the machine's patience with one answer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams of one connection. Ours: three protocols of 16 and the standing ones, four times over.
const MAX_STREAMS_PER_CONNECTION: usize = 256;
/// How long a connection that carries nothing stays. Ours: who stays is the machine's choice (P8.4), a dead peer is found by ping.
const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// A transport whose connections are encrypted, multiplexed and bound to a peer id.
pub type Transport = Boxed<(libp2p_identity::PeerId, StreamMuxerBox)>;

/// Why the network cannot start or listen.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The key cannot sign for noise.
    #[error("the identity key cannot be used for noise: {0}")]
    Noise(#[from] libp2p_noise::Error),
    /// libp2p refuses a protocol's name.
    #[error("libp2p refuses the name of {0:?}")]
    ProtocolName(Protocol),
    /// Gossipsub refuses its settings.
    #[error("gossipsub refuses its settings: {0}")]
    Gossipsub(String),
    /// Gossipsub refuses the score parameters (P7).
    #[error("gossipsub refuses the score parameters: {0}")]
    Scores(String),
    /// The peer id of the key does not fit.
    #[error("the identity key has no peer id that fits")]
    PeerId,
    /// The address cannot be listened on.
    #[error("cannot listen: {0}")]
    Listen(#[from] TransportError<io::Error>),
}

/// What the network has to say.
#[derive(Debug)]
pub enum NetEvent {
    /// Something for the machine.
    Input(Input),
    /// We listen on an address.
    Listening {
        /// The address, with `/p2p/<us>` at its end.
        address: Multiaddr,
    },
    /// A listener no longer has this address: the machine lost it. The listener goes on with the others.
    ListenExpired {
        /// The address, with `/p2p/<us>` at its end.
        address: Multiaddr,
    },
    /// A listener is gone.
    ListenerClosed {
        /// Where it listened, with `/p2p/<us>` at the end of each.
        addresses: Vec<Multiaddr>,
        /// The error that ended it, if one did.
        reason: Option<io::Error>,
    },
    /// A listener had an error and goes on.
    ListenerError {
        /// The error.
        error: io::Error,
    },
}

/// What the glue counts itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounters {
    /// Messages to peers, gossipsub's own control messages among them, that its queues dropped because a peer was too slow (P5.8a).
    pub gossip_dropped: u64,
    /// Requests of peers that found no room in our table.
    pub requests_unheard: u64,
    /// Our own messages that came back from a peer (P4.6).
    pub own_messages_returned: u64,
}

/// Encrypts (noise) and multiplexes (yamux) the connections of a stream transport such as TCP.
///
/// # Errors
/// A key that noise cannot use.
pub fn upgrade<T, C>(transport: T, keypair: &Keypair) -> Result<Transport, NetError>
where
    T: libp2p_core::Transport<Output = C> + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    upgrade_within(HANDSHAKE_TIMEOUT, transport, keypair)
}

/// [`upgrade`] with another limit than 20 s on a dial or a handshake, as a whole.
///
/// # Errors
/// A key that noise cannot use.
pub fn upgrade_within<T, C>(limit: Duration, transport: T, keypair: &Keypair) -> Result<Transport, NetError>
where
    T: libp2p_core::Transport<Output = C> + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let plain = libp2p_core::Transport::map(transport, |stream, _| Box::new(stream) as Plain);
    secure(limit, libp2p_core::Transport::boxed(plain), keypair)
}

/// Bytes both ways, of whichever transport: so what encrypts and multiplexes is compiled once, here, and not once more for every runtime.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<C: AsyncRead + AsyncWrite + Send + Unpin> Duplex for C {}
type Plain = Box<dyn Duplex>;

fn secure(limit: Duration, transport: Boxed<Plain>, keypair: &Keypair) -> Result<Transport, NetError> {
    let mut yamux = libp2p_yamux::Config::default();
    yamux.set_max_num_streams(MAX_STREAMS_PER_CONNECTION);
    Ok(libp2p_core::Transport::upgrade(transport, Version::V1Lazy)
        .authenticate(libp2p_noise::Config::new(keypair)?)
        .multiplex(yamux)
        .timeout(limit)
        .boxed())
}

/// A node's place in the network.
pub struct Net {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) config: NetConfig,
    pub(crate) topics: Topics,
    pub(crate) connections: Connections,
    pub(crate) requests: Requests,
    pub(crate) channels: Channels,
    /// Our own messages that gossipsub had no room for, oldest first: it calls them duplicates from then on (P5.8).
    pub(crate) stuck: VecDeque<MessageId>,
    /// What is still to be told. Filled by one swarm event or by the machine's own actions, and drained before the swarm goes on.
    pub(crate) events: VecDeque<NetEvent>,
    pub(crate) counters: NetCounters,
    local: PeerId,
}

impl Net {
    /// Puts a node on a transport. Its connections run on the executor.
    ///
    /// # Errors
    /// Settings or a key that libp2p refuses, with its own words.
    pub fn new(
        config: NetConfig,
        keypair: Keypair,
        transport: Transport,
        executor: impl Executor + Send + 'static,
    ) -> Result<Self, NetError> {
        let topics = Topics::new(config.chain_id);
        let behaviour = Behaviour::new(&config, &keypair, &topics)?;
        let peer = keypair.public().to_peer_id();
        let settings = libp2p_swarm::Config::with_executor(executor)
            .with_dial_concurrency_factor(config.connection_limits.dial_factor)
            .with_idle_connection_timeout(IDLE_TIMEOUT);
        Ok(Self {
            local: from_libp2p(peer).ok_or(NetError::PeerId)?,
            swarm: Swarm::new(transport, behaviour, peer, settings),
            config,
            topics,
            connections: Connections::default(),
            requests: Requests::default(),
            channels: Channels::default(),
            stuck: VecDeque::new(),
            events: VecDeque::new(),
            counters: NetCounters::default(),
        })
    }

    /// Starts to listen. [`NetEvent::Listening`] follows for each address that comes of it.
    ///
    /// # Errors
    /// An address that the transport does not know or cannot have.
    pub fn listen(&mut self, address: Multiaddr) -> Result<(), NetError> {
        self.swarm.listen_on(address)?;
        Ok(())
    }

    /// Who we are.
    pub fn local_peer_id(&self) -> PeerId {
        self.local
    }

    /// What was counted.
    pub fn counters(&self) -> NetCounters {
        self.counters
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub async fn next_event(&mut self) -> NetEvent {
        poll_fn(|context| self.poll_event(context)).await
    }

    /// [`next_event`](Self::next_event) for a loop that is polled by hand.
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<NetEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            let event = ready!(self.swarm.select_next_some().poll_unpin(context));
            self.take_in(event);
        }
    }

    /// What is known without reading from the network: how the orders just applied went. A driver whose application is too slow for
    /// strangers' messages can still answer its own user with it.
    pub fn take_known(&mut self) -> Option<NetEvent> {
        self.events.pop_front()
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.events.push_back(NetEvent::Input(input));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_can_be_moved_to_any_thread() {
        fn sends<T: Send>(_: impl FnOnce(&'static mut Net) -> T) {}
        sends(|net| net);
        sends(Net::next_event);
    }
}
