//! How does an application say what it wants?
//!
//! Each method sends a [`NetworkCommand`] to the driver and waits for its answer. What a command leads to is told once, to the method that
//! asked.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::Shared;
use futures::{FutureExt, StreamExt};
use multiaddr::Multiaddr;
use preconf_core::{
    B256, BlockHealth, Bytes, Change, Cidr, Command, MessageId, Outcome, PeerId, PeerInfo, PreconfHead, SignedCommitment, Stats, Status,
    SyncTip, Update, Window,
};
use preconf_libp2p::NetCounters;

use crate::error::HandleError;

/// A command, and where its answer goes.
#[derive(Debug)]
pub enum NetworkCommand {
    /// A command: the answer is how it ended, and no event tells it again.
    Ask {
        /// The command.
        command: Command,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Outcome, HandleError>>,
    },
    /// An update: the answer is whether it was taken.
    Tell {
        /// The update.
        update: Update,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), HandleError>>,
    },
    /// Which addresses is the node listening on?
    ListenAddresses {
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<Multiaddr>>,
    },
    /// Who is connected, and what is known of them?
    Peers {
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<PeerInfo>>,
    },
    /// How did a peer's score come about (P7.9)?
    Explain {
        /// The peer.
        peer: PeerId,
        /// Where the answer goes: lines that sum to the score.
        reply: oneshot::Sender<Vec<Change>>,
    },
    /// Who and what is blocked, protected, trusted and banned?
    Lists {
        /// Where the answer goes.
        reply: oneshot::Sender<PeerLists>,
    },
    /// Where does the node stand?
    Status {
        /// Where the answer goes.
        reply: oneshot::Sender<NetworkStatus>,
    },
    /// How far is each block (P11.1)?
    Health {
        /// The first number that is asked about.
        from: u64,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<BlockHealth>>,
    },
    /// Shut down.
    Shutdown,
}

/// Where a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkStatus {
    /// Head, sync tip, lag and what is under way.
    pub node: Status,
    /// What the machine has counted.
    pub stats: Stats,
    /// What the network part has counted.
    pub net: NetCounters,
    /// Events that wait for the application.
    pub events_waiting: usize,
}

/// Whom a node keeps out, and whom it favours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerLists {
    /// Peers that the operator blocked.
    pub blocked_peers: Vec<PeerId>,
    /// Addresses that the operator blocked.
    pub blocked_addresses: Vec<IpAddr>,
    /// Subnets that the operator blocked.
    pub blocked_subnets: Vec<Cidr>,
    /// Peers that never have to leave for others: static, trusted, or protected by command.
    pub protected: Vec<PeerId>,
    /// Peers that are never charged.
    pub trusted: Vec<PeerId>,
    /// Banned peers, and how long each ban still lasts.
    pub banned: Vec<(PeerId, Duration)>,
}

/// The driver's end of the handles.
///
/// A queue with an exact bound: a futures channel would grant each clone of a handle a place of its own, and so bound nothing.
pub(crate) struct CommandQueue {
    commands: Pin<Box<async_channel::Receiver<NetworkCommand>>>,
    _end: oneshot::Sender<Infallible>, // dropped after the last command: `shutdown` waits for it
}

/// Opens a queue for this many commands to a node.
pub(crate) fn queue(capacity: usize, local_peer_id: PeerId) -> (NetworkHandle, CommandQueue) {
    let (sender, receiver) = async_channel::bounded(capacity);
    let (end, ended) = oneshot::channel();
    (NetworkHandle { local_peer_id, commands: sender, end: ended.shared() }, CommandQueue { commands: Box::pin(receiver), _end: end })
}

impl CommandQueue {
    /// The next command, or `None` when the last handle is gone.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<NetworkCommand>> {
        self.commands.poll_next_unpin(context)
    }
}

impl Drop for CommandQueue {
    fn drop(&mut self) {
        // The channel would keep what waits in it as long as a handle is there, and with it the replies that somebody waits for.
        self.commands.close();
        while self.commands.try_recv().is_ok() {}
    }
}

/// A handle to a running node. Clones lead to the same node; it shuts down when the last one is dropped.
#[derive(Clone, Debug)]
pub struct NetworkHandle {
    local_peer_id: PeerId,
    commands: async_channel::Sender<NetworkCommand>,
    end: Shared<oneshot::Receiver<Infallible>>,
}

impl NetworkHandle {
    /// The node's own peer id.
    pub fn local_peer_id(&self) -> PeerId {
        self.local_peer_id
    }

    /// Judges, records, stores and gossips a commitment of ours (P5.7, P5.9a). Waits, if need be, for a peer that takes it (P5.8).
    ///
    /// # Errors
    /// The commitment breaks a rule, its record could not be written, or nobody could take it before its window was over.
    pub async fn publish_commitment(&self, commitment: SignedCommitment) -> Result<MessageId, HandleError> {
        self.publish(Command::PublishCommitment(Box::new(commitment))).await
    }

    /// The same with the txlist that it names: both are recorded as one, and the commitment leaves first (P5.9a, T5). Gives the commitment's
    /// message.
    ///
    /// # Errors
    /// As for [`publish_commitment`](Self::publish_commitment); or the commitment names another txlist.
    pub async fn publish_block(&self, commitment: SignedCommitment, txlist: Bytes) -> Result<MessageId, HandleError> {
        self.publish(Command::PublishBlock { commitment: Box::new(commitment), txlist }).await
    }

    /// Hashes, stores and gossips a txlist of ours (P5.7). Waits, if need be, for a peer that takes it (P5.8).
    ///
    /// # Errors
    /// The txlist breaks a rule, or nobody could take it in time.
    pub async fn publish_txlist(&self, txlist: Bytes) -> Result<MessageId, HandleError> {
        self.publish(Command::PublishTxList(txlist)).await
    }

    /// Asks a peer, or the best one (P6.8), for its head. Says who answered.
    ///
    /// # Errors
    /// No peer to ask, or no good answer.
    pub async fn get_head(&self, peer: Option<PeerId>) -> Result<(PeerId, PreconfHead), HandleError> {
        match self.ask(Command::GetHead { peer }).await? {
            Outcome::Head { peer, head } => Ok((peer, head)),
            other => Err(HandleError::Unexpected(Box::new(other))),
        }
    }

    /// Asks a peer, or the best one (P6.8), for up to `count` commitments from block `start` on. Says who answered.
    ///
    /// # Errors
    /// No peer to ask, a count outside 1 to 256, or no good answer.
    pub async fn get_commitments(
        &self,
        start: u64,
        count: u32,
        peer: Option<PeerId>,
    ) -> Result<(PeerId, Vec<SignedCommitment>), HandleError> {
        match self.ask(Command::GetCommitments { start, count, peer }).await? {
            Outcome::Commitments { peer, commitments } => Ok((peer, commitments)),
            other => Err(HandleError::Unexpected(Box::new(other))),
        }
    }

    /// Asks a peer, or the best one (P6.8), for a txlist. Says who answered; `None` when that peer does not have it.
    ///
    /// # Errors
    /// No peer to ask, or no good answer.
    pub async fn get_raw_txlist(&self, hash: B256, peer: Option<PeerId>) -> Result<(PeerId, Option<Bytes>), HandleError> {
        match self.ask(Command::GetTxList { hash, peer }).await? {
            Outcome::TxList { peer, txlist } => Ok((peer, txlist)),
            other => Err(HandleError::Unexpected(Box::new(other))),
        }
    }

    /// Connects to a peer, named by `/p2p/…` at the address's end. Says whom it reached.
    ///
    /// # Errors
    /// Nobody was reached there, or the gater refuses the address (P8.1).
    pub async fn dial(&self, address: Multiaddr) -> Result<PeerId, HandleError> {
        match self.ask(Command::Dial { address: address.to_string() }).await? {
            Outcome::Connected(peer) => Ok(peer),
            Outcome::NotConnected(failure) => Err(HandleError::NotReached { address, failure }),
            Outcome::Gated(refusal) => Err(HandleError::Gated { address, refusal }),
            other => Err(HandleError::Unexpected(Box::new(other))),
        }
    }

    /// Closes all connections to a peer.
    ///
    /// # Errors
    /// The peer is not connected.
    pub async fn disconnect(&self, peer: PeerId) -> Result<(), HandleError> {
        self.update(Update::Disconnect { peer }).await
    }

    /// Blocks or unblocks a peer, an address or a subnet, protects or trusts a peer or does so no longer, lifts a ban, restores what an earlier
    /// node kept: any [`Update`].
    ///
    /// # Errors
    /// A full list, or a ban that is none.
    pub async fn update(&self, update: Update) -> Result<(), HandleError> {
        self.query(|reply| NetworkCommand::Tell { update, reply }).await?
    }

    /// How a peer's score came about, in lines that sum to it (P7.9). Empty for a peer that is not remembered.
    ///
    /// # Errors
    /// The node has shut down.
    pub async fn explain(&self, peer: PeerId) -> Result<Vec<Change>, HandleError> {
        self.query(|reply| NetworkCommand::Explain { peer, reply }).await
    }

    /// Who and what is blocked, protected, trusted and banned.
    ///
    /// # Errors
    /// The node has shut down.
    pub async fn lists(&self) -> Result<PeerLists, HandleError> {
        self.query(|reply| NetworkCommand::Lists { reply }).await
    }

    /// Gives the node new windows of the schedule, or other ones for the same span (P9.1).
    ///
    /// # Errors
    /// The windows contradict each other.
    pub async fn update_schedule(&self, windows: Vec<Window>) -> Result<(), HandleError> {
        self.update(Update::Schedule(windows)).await
    }

    /// Tells the node where the sync tip is now (P9.3).
    ///
    /// # Errors
    /// The node has shut down.
    pub async fn move_sync_tip(&self, tip: SyncTip) -> Result<(), HandleError> {
        self.update(Update::MoveSyncTip(tip)).await
    }

    /// Tells the node that a block which was ready has been executed (P11.1).
    ///
    /// # Errors
    /// The block was not ready.
    pub async fn mark_executed(&self, block_number: u64) -> Result<(), HandleError> {
        self.update(Update::MarkExecuted { block_number }).await
    }

    /// Tells the node that a block which was ready could not be executed: after a pause it is told again (P10.4).
    ///
    /// # Errors
    /// The block was not ready, or was executed.
    pub async fn mark_failed(&self, block_number: u64) -> Result<(), HandleError> {
        self.update(Update::MarkFailed { block_number }).await
    }

    /// Who is connected, and what is known of them.
    ///
    /// # Errors
    /// The node has shut down.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, HandleError> {
        self.query(|reply| NetworkCommand::Peers { reply }).await
    }

    /// Where the node stands.
    ///
    /// # Errors
    /// The node has shut down.
    pub async fn status(&self) -> Result<NetworkStatus, HandleError> {
        self.query(|reply| NetworkCommand::Status { reply }).await
    }

    /// How far each block is from this number or the sync tip on, up to the best head that is known (P11.1); at most
    /// [`MAX_HEALTH_BLOCKS`](preconf_core::MAX_HEALTH_BLOCKS) of them.
    ///
    /// # Errors
    /// The node has shut down.
    pub async fn health(&self, from: u64) -> Result<Vec<BlockHealth>, HandleError> {
        self.query(|reply| NetworkCommand::Health { from, reply }).await
    }

    /// The addresses that the node is listening on, `/p2p/…` included. Empty until the sockets have told theirs, soon after the start;
    /// [`NetworkEvent::Listening`](crate::NetworkEvent::Listening) tells each one as it comes.
    ///
    /// # Errors
    /// The node has shut down.
    pub async fn listen_addresses(&self) -> Result<Vec<Multiaddr>, HandleError> {
        self.query(|reply| NetworkCommand::ListenAddresses { reply }).await
    }

    /// Shuts the node down: connections and listeners close, the events end. Returns when all of it is done.
    pub async fn shutdown(&self) {
        // An error means that the node is gone already, which is what was wanted.
        let _ = self.send(NetworkCommand::Shutdown).await;
        let _ = self.end.clone().await; // nobody ever says a word there: it ends with the driver
    }

    /// Sends a command as it is, for a program that keeps the answers itself. Waits while the channel is full.
    ///
    /// # Errors
    /// The node has shut down.
    pub async fn send(&self, command: NetworkCommand) -> Result<(), HandleError> {
        self.commands.send(command).await.map_err(|_| HandleError::Stopped)
    }

    async fn publish(&self, command: Command) -> Result<MessageId, HandleError> {
        match self.ask(command).await? {
            Outcome::Published(message) => Ok(message),
            Outcome::NotPublished(error) => Err(HandleError::NotPublished(error)),
            other => Err(HandleError::Unexpected(Box::new(other))),
        }
    }

    async fn ask(&self, command: Command) -> Result<Outcome, HandleError> {
        match self.query(|reply| NetworkCommand::Ask { command, reply }).await?? {
            Outcome::RequestFailed { peer, error } => Err(HandleError::RequestFailed { peer, error }),
            outcome => Ok(outcome),
        }
    }

    async fn query<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> NetworkCommand) -> Result<T, HandleError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.map_err(|_| HandleError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn peer() -> PeerId {
        PeerId::from_bytes(&[1]).expect("one byte")
    }

    #[test]
    fn no_number_of_handles_makes_room_for_more_wishes() {
        let (handle, mut commands) = queue(2, peer());
        let handles = [handle.clone(), handle.clone(), handle];
        for handle in &handles[..2] {
            assert_eq!(handle.send(NetworkCommand::Shutdown).now_or_never(), Some(Ok(())));
        }
        assert_eq!(handles[2].send(NetworkCommand::Shutdown).now_or_never(), None);
        assert!(commands.poll_next(&mut Context::from_waker(Waker::noop())).is_ready());
        assert_eq!(handles[2].send(NetworkCommand::Shutdown).now_or_never(), Some(Ok(())));
    }

    #[test]
    fn who_waits_for_a_node_that_is_gone_is_told() {
        let (handle, commands) = queue(2, peer());
        let mut asked = Box::pin(handle.status());
        assert_eq!(asked.as_mut().now_or_never(), None);
        drop(commands);
        assert_eq!(asked.now_or_never(), Some(Err(HandleError::Stopped)));
        assert_eq!(handle.status().now_or_never(), Some(Err(HandleError::Stopped)));
        assert_eq!(handle.shutdown().now_or_never(), Some(()));
    }

    #[test]
    fn a_shutdown_waits_for_the_end() {
        let (handle, commands) = queue(2, peer());
        let mut ending = Box::pin(handle.shutdown());
        assert_eq!(ending.as_mut().now_or_never(), None);
        drop(commands);
        assert_eq!(ending.now_or_never(), Some(()));
    }
}
