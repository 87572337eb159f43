//! Stand-in with the agreed signatures until branch `net` is merged.
#![allow(missing_docs, clippy::todo, unused)]

use futures::{AsyncRead, AsyncWrite};
use libp2p_identity::Keypair;
use multiaddr::Multiaddr;

pub type Transport = libp2p_core::transport::Boxed<(libp2p_identity::PeerId, libp2p_core::muxing::StreamMuxerBox)>;

#[derive(Clone, Debug, thiserror::Error)]
#[error("net")]
pub struct NetError;

#[derive(Clone, Debug)]
pub struct NetConfig {
    pub chain_id: preconf_core::ChainId,
    pub txlist_cap: usize,
}

impl NetConfig {
    pub fn new(core: &preconf_core::Config) -> Self {
        Self { chain_id: core.chain_id, txlist_cap: core.txlist_cap }
    }
}

pub fn upgrade<T>(transport: T, keypair: &Keypair) -> Result<Transport, NetError>
where
    T: libp2p_core::Transport<Output: AsyncRead + AsyncWrite + Send + Unpin + 'static, Error: Send + Sync + 'static, Dial: Send + 'static, ListenerUpgrade: Send + 'static>
        + Send
        + Unpin
        + 'static,
{
    Err(NetError)
}

pub struct Net(Transport);

pub enum NetEvent {
    Input(preconf_core::Input),
    Listening { address: Multiaddr },
    ListenerClosed { addresses: Vec<Multiaddr>, reason: Option<NetError> },
    ListenerError { error: NetError },
}

impl Net {
    pub fn new(
        config: NetConfig,
        keypair: Keypair,
        transport: Transport,
        executor: impl libp2p_swarm::Executor + Send + 'static,
    ) -> Result<Self, NetError> {
        Ok(Self(transport))
    }
    pub fn listen(&mut self, address: Multiaddr) -> Result<(), NetError> {
        Ok(())
    }
    pub fn local_peer_id(&self) -> preconf_core::PeerId {
        todo!()
    }
    pub async fn next_event(&mut self) -> NetEvent {
        std::future::pending().await
    }
    pub fn apply(&mut self, action: preconf_core::Action) {}
}
