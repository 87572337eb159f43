//! What does a preconfer's host offer its node (P5.7, P5.9a)?
//!
//! ```text
//! a block is made --offered--> waits --accepted--> forgotten: it is the node's head
//!                                 \--not recorded--> the same again at the next slot, and what builds on it
//!                                 \--refused--> forgotten, with what builds on it: the next one is built on the node's head
//! ```
//!
//! A host goes on while its node's disk is slow: it builds on what it offered last. It dies with its node, and then knows nothing but what the
//! node's head is; that it does not make another block where it had made one is for the node to see to (P5.9).

use preconf_core::{B256, Bytes, Command, CommandId, Outcome, PublishError, Refusal, SignedCommitment, Time};

use super::check::Failure;
use super::l1::Made;
use super::node::NodeId;
use super::world::World;

/// Blocks that a host makes on top of what is not accepted yet. Ours: some seconds of them.
pub(crate) const MAX_OFFERS: usize = 8;

/// A block that was offered, and whose end its host does not know.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) made: Made,
    signed: SignedCommitment,
    txlist: Option<Bytes>,
    command: Option<CommandId>,
    /// It could not be recorded: it will be offered again.
    again: bool,
}

impl Offer {
    pub(crate) fn new(signed: SignedCommitment, txlist: Option<Bytes>, now: Time) -> Self {
        Self { made: Made::of(&signed, now), signed, txlist, command: None, again: false }
    }

    fn command(&self) -> Command {
        let signed = Box::new(self.signed.clone());
        match &self.txlist {
            Some(txlist) => Command::PublishBlock { commitment: signed, txlist: txlist.clone() },
            None => Command::PublishCommitment(signed),
        }
    }
}

impl World {
    /// A host offers its node a block.
    pub(crate) fn offer(&mut self, node: NodeId, offer: Offer) -> Result<(), Failure> {
        let (command, hash) = (offer.command(), offer.made.hash);
        self.offers(node).push(offer);
        self.offer_now(node, hash, command)
    }

    fn offer_now(&mut self, node: NodeId, hash: B256, command: Command) -> Result<(), Failure> {
        let taken = self.command_noted(node, command, |world, id| {
            if let Some(offer) = world.offers(node).iter_mut().find(|offer| offer.made.hash == hash) {
                (offer.command, offer.again) = (Some(id), false);
            }
        })?;
        if taken.is_err() {
            self.offer_refused(node, &hash);
        }
        Ok(())
    }

    /// What could not be recorded is offered again, while its window lasts. Was there anything?
    pub(crate) fn offer_again(&mut self, node: NodeId, window_end: u64) -> Result<bool, Failure> {
        let offers = self.offers(node);
        offers.retain(|offer| offer.made.window_end == window_end);
        let again: Vec<_> = offers.iter().filter(|offer| offer.again).map(|offer| (offer.made.hash, offer.command())).collect();
        let is_any = !again.is_empty();
        again.into_iter().try_for_each(|(hash, command)| self.offer_now(node, hash, command))?;
        Ok(is_any)
    }

    /// A node has accepted its own block.
    pub(crate) fn offer_taken(&mut self, node: NodeId, hash: &B256) {
        self.offers(node).retain(|offer| offer.made.hash != *hash);
    }

    /// A command of a node's has its end.
    pub(crate) fn offer_ended(&mut self, node: NodeId, command: CommandId, outcome: &Outcome) {
        let offers = self.offers(node);
        let Some(place) = offers.iter().position(|offer| offer.command == Some(command)) else { return };
        let parent = offers[place].made.parent;
        let waits_for_another = || offers[..place].iter().any(|before| before.made.hash == parent);
        let hash = offers[place].made.hash;
        match outcome {
            Outcome::NotPublished(PublishError::NotRecorded(_)) => offers[place].again = true,
            Outcome::NotPublished(PublishError::Refused(Refusal::ParentUnknown)) if waits_for_another() => offers[place].again = true,
            Outcome::NotPublished(_) => self.offer_refused(node, &hash),
            _ => drop(offers.remove(place)),
        }
    }

    /// A host dies with its node.
    pub(crate) fn forget_offers(&mut self, node: NodeId) {
        self.offers(node).clear();
    }

    /// What builds on a block that is refused can only be refused too.
    fn offer_refused(&mut self, node: NodeId, hash: &B256) {
        let offers = self.offers(node);
        let place = offers.iter().position(|offer| offer.made.hash == *hash).unwrap_or(offers.len());
        offers.truncate(place);
        if let Some(office) = &mut self.office {
            office.refused += 1;
        }
    }

    fn offers(&mut self, node: NodeId) -> &mut Vec<Offer> {
        self.offers.entry(node).or_default()
    }
}
