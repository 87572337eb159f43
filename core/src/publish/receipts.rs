//! Who has shown us what we published (P5.9d)?
//!
//! Gossipsub says that a message is on its way; nobody says that it arrived. But a peer whose head stands at our block or above it, that answers
//! with a page in which our commitment is, or that sends us a copy of it, has it.

use std::collections::VecDeque;

use alloy_primitives::B256;

use crate::crypto;
use crate::cx::Cx;
use crate::id::{CommandId, PeerId};
use crate::output::Event;
use crate::wire::v1::SignedCommitment;

/// Publications that are looked out for, the latest ones. Ours: some minutes of blocks.
const MAX_PUBLICATIONS: usize = 64;
/// Peers that are told of each. Ours: who wants to know whether the network has it need not know of every peer.
const MAX_PEERS: usize = 32;

/// One publication, and who has shown it.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Publication {
    command: CommandId,
    block_number: u64,
    hash: B256,
    peers: Vec<PeerId>,
}

/// The latest publications of ours.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Receipts {
    publications: VecDeque<Publication>,
}

impl Receipts {
    /// The most bytes that they hold; counted whole, as they are few.
    pub(crate) const MAX_BYTES: usize = MAX_PUBLICATIONS * (size_of::<Publication>() + MAX_PEERS * size_of::<PeerId>());

    /// This is on its way to gossip.
    pub(crate) fn published(&mut self, command: CommandId, block_number: u64, hash: B256) {
        if self.publications.len() >= MAX_PUBLICATIONS {
            self.publications.pop_front();
        }
        self.publications.push_back(Publication { command, block_number, hash, peers: Vec::new() });
    }

    /// A peer's head stands here.
    pub(crate) fn head_shown(&mut self, cx: &mut Cx, peer: PeerId, head: u64) {
        for publication in self.publications.iter_mut().filter(|publication| publication.block_number <= head) {
            publication.shown_by(cx, peer);
        }
    }

    /// A peer sent a commitment that we have.
    pub(crate) fn commitment_shown(&mut self, cx: &mut Cx, peer: PeerId, signed: &SignedCommitment) {
        let Ok(number) = u64::try_from(signed.preconf().block_number) else { return };
        let mut of_number = self.publications.iter_mut().filter(|publication| publication.block_number == number).peekable();
        if of_number.peek().is_none() {
            return; // nearly always: nothing is hashed for it
        }
        let hash = crypto::preconfirmation_hash(signed);
        of_number.filter(|publication| publication.hash == hash).for_each(|publication| publication.shown_by(cx, peer));
    }
}

impl Publication {
    fn shown_by(&mut self, cx: &mut Cx, peer: PeerId) {
        if self.peers.len() >= MAX_PEERS || self.peers.contains(&peer) {
            return;
        }
        self.peers.push(peer);
        let (command, block_number, hash, peers) = (self.command, self.block_number, self.hash, self.peers.len());
        cx.tell(Event::PublicationSeen { command, block_number, hash, peer, peers });
    }
}
