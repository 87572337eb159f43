//! Who finds other nodes?
//!
//! The machine decides when to look and whom to dial; a [`Discovery`] does the looking, whichever way it has. It is told what the machine
//! wants and where this node listens, and asked for news like the network. Whatever it finds, the machine judges.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use multiaddr::Multiaddr;
use preconf_core::{LookupId, NodeRecord};

/// What discovery has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscoveryNews {
    /// A node's record, whose signature was checked.
    Found(Box<NodeRecord>),
    /// A look-up is over.
    Finished {
        /// The look-up.
        lookup: LookupId,
        /// Did anybody answer?
        succeeded: bool,
    },
    /// The record under which others find this node now, as text.
    OwnRecord(String),
}

/// Finds other nodes. Nothing here waits.
pub trait Discovery: Send {
    /// Looks for others; [`DiscoveryNews::Finished`] tells the end. One look-up at a time.
    fn look_up(&mut self, lookup: LookupId);

    /// Knows of a node to begin from, by its record.
    fn introduce(&mut self, record: String);

    /// Others see this node at this address, on whichever ports it listens on; its record may name it unless another one is fixed.
    fn advertise_address(&mut self, address: IpAddr);

    /// This node listens at this address now, `/p2p/…` included; others may be told.
    fn listening(&mut self, address: &Multiaddr);

    /// It no longer does.
    fn expired(&mut self, address: &Multiaddr);

    /// Stops for good. Ends when every socket is free again, so that the next node can have it.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;

    /// What is there to tell? Pending for ever when there never is anything.
    fn poll_news(&mut self, context: &mut Context<'_>) -> Poll<DiscoveryNews>;
}

/// Finds nobody, and says so at once.
#[derive(Debug, Default)]
pub struct NoDiscovery {
    unanswered: VecDeque<LookupId>,
    waker: Option<Waker>,
}

impl Discovery for NoDiscovery {
    fn look_up(&mut self, lookup: LookupId) {
        self.unanswered.push_back(lookup);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn introduce(&mut self, _: String) {}

    fn advertise_address(&mut self, _: IpAddr) {}

    fn listening(&mut self, _: &Multiaddr) {}

    fn expired(&mut self, _: &Multiaddr) {}

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }

    fn poll_news(&mut self, context: &mut Context<'_>) -> Poll<DiscoveryNews> {
        match self.unanswered.pop_front() {
            Some(lookup) => Poll::Ready(DiscoveryNews::Finished { lookup, succeeded: false }),
            None => {
                self.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
