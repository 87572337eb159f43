//! How does a message of our own get out (P5.7–P5.9)?
//!
//! ```text
//! command --judged like a stranger's--> stored --> with gossip --sent--> told: published
//!    \--refused--> told: why                        ^    \--no peer, or queues full--> Unheard --its window long over--> told: not sent
//!                                                   +---- a peer joins the topic, or a heartbeat passes ----/
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::chain::judge::Origin;
use crate::config::Config;
use crate::crypto;
use crate::error::{CommandError, PublishError, Refusal};
use crate::id::{CommandId, PublishId};
use crate::input::PublishOutcome;
use crate::machine::Core;
use crate::output::{Action, Outcome};
use crate::record::Record;
use crate::time::{Now, Time, Timer, UnixTime};
use crate::validate::v1::{commitment, txlist};
use crate::wire::topics::Topic;
use crate::wire::v1::{RawTxList, SIGNED_COMMITMENT_BYTES, SignedCommitment, TXLIST_HEADER_BYTES};

/// When a message that found full queues is tried again. Source: gossipsub's heartbeat (PROTOCOL.md §7).
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A message of ours on its way out.
#[derive(Debug)]
struct Outgoing {
    topic: Topic,
    data: Bytes,
    /// With gossip right now; otherwise it waits.
    publish: Option<PublishId>,
}

/// Our own messages on their way out, by the command that wants each.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    outgoing: BTreeMap<CommandId, Outgoing>,
    by_publish: BTreeMap<PublishId, CommandId>,
    /// What we have committed to, by block number (P5.9), this process and those before that were restored.
    committed: BTreeMap<u64, B256>,
    /// Commands that are still being judged, and their bytes.
    judging: BTreeMap<CommandId, usize>,
    /// Bytes of what is being judged or on its way out.
    bytes: usize,
}

impl Outbox {
    /// How many wait or are under way.
    pub(crate) fn len(&self) -> usize {
        self.outgoing.len() + self.judging.len()
    }

    /// How many blocks we have committed to and remember.
    pub(crate) fn committed(&self) -> usize {
        self.committed.len()
    }

    /// Bytes of all of it.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// P5.9: have we committed to another block with this number?
    pub(crate) fn contradicts(&self, number: u64, hash: &B256) -> bool {
        self.committed.get(&number).is_some_and(|first| first != hash)
    }

    /// The first word stays, whatever order records come in. The lowest blocks are forgotten first: they are the first to be settled.
    fn commit(&mut self, number: u64, hash: B256, max: usize) {
        self.committed.entry(number).or_insert(hash);
        while self.committed.len() > max {
            self.committed.pop_first();
        }
    }
}

impl Core {
    /// A commitment of our own (P5.7). What can be said at once is said at once; the rest when its signer is recovered.
    pub(crate) fn publish_commitment(&mut self, now: Now, signed: SignedCommitment) -> Result<CommandId, CommandError> {
        self.room_to_publish(SIGNED_COMMITMENT_BYTES)?;
        commitment::well_formed(&signed, self.cx.config.slasher).map_err(PublishError::Refused)?;
        let number = u64::try_from(signed.preconf().block_number).unwrap_or(u64::MAX);
        if self.outbox.contradicts(number, &crypto::preconfirmation_hash(&signed)) {
            return Err(PublishError::Refused(Refusal::Equivocation).into()); // P5.9
        }
        let command = self.cx.mint.commands.next(CommandId);
        self.judge(now, Origin::Own { command }, signed).map_err(PublishError::Refused)?;
        self.own_under_way(command, SIGNED_COMMITMENT_BYTES);
        Ok(command)
    }

    /// A txlist of our own (P5.7).
    pub(crate) fn publish_own_txlist(&mut self, list: Bytes) -> Result<CommandId, CommandError> {
        self.room_to_publish(TXLIST_HEADER_BYTES + list.len())?;
        let claimed = RawTxList { hash: B256::ZERO, txlist: list };
        txlist::fits(&claimed, self.cx.config.txlist_cap).map_err(PublishError::Refused)?;
        let command = self.cx.mint.commands.next(CommandId);
        self.own_under_way(command, TXLIST_HEADER_BYTES + claimed.txlist.len());
        self.hash_own_txlist(command, claimed.txlist);
        Ok(command)
    }

    fn room_to_publish(&self, len: usize) -> Result<(), PublishError> {
        let Config { max_unsent: max, max_unsent_bytes: max_bytes, .. } = self.cx.config;
        let full = self.outbox.len() >= max || self.outbox.bytes + len > max_bytes;
        if full { Err(PublishError::QueueFull { max, max_bytes }) } else { Ok(()) }
    }

    fn own_under_way(&mut self, command: CommandId, len: usize) {
        self.outbox.bytes += len;
        self.outbox.judging.insert(command, len);
    }

    /// Judging a message of ours has ended, whatever came of it.
    pub(crate) fn own_judged(&mut self, command: CommandId) {
        self.outbox.bytes -= self.outbox.judging.remove(&command).unwrap_or(0);
    }

    /// P5.9: from now on we never say anything else about this block, restarts included. Told before the commitment is.
    pub(crate) fn note_committed(&mut self, block_number: u64, hash: B256) {
        self.outbox.commit(block_number, hash, self.cx.config.max_commitments);
        self.cx.remember(Record::Committed { block_number, hash });
    }

    /// What was kept before a restart; what this life knows already stays as it is.
    pub(crate) fn restore(&mut self, now: Now, records: &[Record]) -> CommandId {
        let (mut peers, mut known) = (BTreeMap::new(), BTreeMap::new());
        for record in records {
            match record {
                &Record::Committed { block_number, hash } => self.outbox.commit(block_number, hash, self.cx.config.max_commitments),
                // The last word on a peer counts, a ban that was lifted among them.
                &Record::Peer { peer, score, as_of, ban_ends } => drop(peers.insert(peer, (score, as_of, ban_ends))),
                Record::Known(node) => drop(known.insert(node.record.peer, node)),
            }
        }
        for (peer, (score, as_of, ban_ends)) in peers {
            self.reputation.restore(&mut self.cx, peer, score, as_of, ban_ends);
        }
        for node in known.into_values() {
            self.restore_known(now, node);
        }
        self.cx.mint.commands.next(CommandId)
    }

    /// Gives a message of ours to gossip.
    pub(crate) fn send_out(&mut self, now: Now, command: CommandId, topic: Topic, data: Bytes, window_end: u64) {
        // P5.8: it may wait until its window has been over for as long as others would still take it.
        let until = UnixTime::from_secs(window_end).0.saturating_sub(now.unix.0);
        let give_up = Time(now.mono.0.saturating_add(until)).after(self.cx.config.late_grace);
        self.cx.timers.set(Timer::Unsent(command), give_up);
        self.outbox.bytes += data.len();
        self.outbox.outgoing.insert(command, Outgoing { topic, data, publish: None });
        self.try_to_send(command);
    }

    fn try_to_send(&mut self, command: CommandId) {
        let Some(outgoing) = self.outbox.outgoing.get_mut(&command).filter(|outgoing| outgoing.publish.is_none()) else { return };
        let publish = self.cx.mint.publishes.next(PublishId);
        outgoing.publish = Some(publish);
        let (topic, data) = (outgoing.topic, outgoing.data.clone());
        self.outbox.by_publish.insert(publish, command);
        self.cx.act(Action::Publish { publish, topic, data });
    }

    /// What became of a message that we gave to gossip (P5.8).
    pub(crate) fn publish_finished(&mut self, now: Now, publish: PublishId, outcome: PublishOutcome) {
        let Some(command) = self.outbox.by_publish.remove(&publish) else { return };
        let Some(outgoing) = self.outbox.outgoing.get_mut(&command) else { return };
        outgoing.publish = None;
        match outcome {
            PublishOutcome::Sent | PublishOutcome::Duplicate => {
                let message = crypto::message_id(self.cx.config.chain_id, outgoing.topic, &outgoing.data);
                self.out(command, Outcome::Published(message));
            }
            PublishOutcome::NoPeers => {
                // Until a peer joins the topic; or, where some have and gossipsub finds none of them good enough, until one is.
                self.cx.stats.publish_retries += 1;
                let topic = outgoing.topic;
                if self.peers.has_subscriber(topic) {
                    self.cx.timers.set_if_idle(Timer::Unheard, now.mono.after(RETRY_AFTER));
                }
            }
            PublishOutcome::Busy => {
                self.cx.stats.publish_retries += 1;
                self.cx.timers.set_if_idle(Timer::Unheard, now.mono.after(RETRY_AFTER));
            }
            PublishOutcome::Refused => self.out(command, Outcome::NotPublished(PublishError::Network)),
        }
    }

    /// A peer joined a topic, or gossip's queues may have emptied: what waits is tried again.
    pub(crate) fn send_waiting(&mut self, topic: Option<Topic>) {
        let fits = |outgoing: &Outgoing| outgoing.publish.is_none() && topic.is_none_or(|topic| topic == outgoing.topic);
        let waiting = self.outbox.outgoing.iter().filter(|(_, outgoing)| fits(outgoing)).map(|(command, _)| *command);
        for command in waiting.collect::<Vec<_>>() {
            self.try_to_send(command);
        }
    }

    /// P5.8: nobody took it in time.
    pub(crate) fn unsent_over(&mut self, command: CommandId) {
        self.out(command, Outcome::NotPublished(PublishError::Unsent));
    }

    fn out(&mut self, command: CommandId, outcome: Outcome) {
        self.cx.timers.cancel(Timer::Unsent(command));
        if let Some(Outgoing { publish, data, .. }) = self.outbox.outgoing.remove(&command) {
            self.outbox.bytes -= data.len();
            publish.map(|publish| self.outbox.by_publish.remove(&publish));
        }
        self.cx.finish(command, outcome);
    }
}
