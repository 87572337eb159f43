//! How does a message of our own get out (P5.7–P5.9)?
//!
//! ```text
//! command --judged like a stranger's--> stored --> with gossip --sent--> told: published
//!    \--refused--> told: why                        ^    \--no peer, or queues full--> Unheard --its window long over--> told: not sent
//!                                                   +---- a peer joins the topic, or a heartbeat passes ----/
//! ```
//!
//! [`Outbox`] counts what is being judged, keeps what is on its way out, and knows what we have committed to. Whether a message is good is
//! not for it to say.
//!
//! Invariant: `bytes` sums up what is being judged and what is on its way out.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::config::Config;
use crate::cost::{TIMER, entry};
use crate::crypto;
use crate::cx::Cx;
use crate::error::PublishError;
use crate::id::{CommandId, PublishId};
use crate::input::PublishOutcome;
use crate::output::{Action, Outcome};
use crate::time::{Time, Timer, UnixTime};
use crate::wire::topics::Topic;

/// What one of our own messages costs beside its bytes.
const OWN: usize = 3 * entry::<CommandId, [u64; 8]>() + TIMER;
/// What it costs to know what we committed to for one block.
const COMMITTED: usize = entry::<u64, B256>();

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

    /// P5.9: have we committed to another block with this number?
    pub(crate) fn contradicts(&self, number: u64, hash: &B256) -> bool {
        self.committed.get(&number).is_some_and(|first| first != hash)
    }

    /// P5.9: we have committed to this block. The first one stays, whatever order records come in. The lowest blocks are forgotten first:
    /// they are the first to be settled.
    pub(crate) fn commit(&mut self, number: u64, hash: B256, max: usize) {
        self.committed.entry(number).or_insert(hash);
        while self.committed.len() > max {
            self.committed.pop_first();
        }
    }

    /// The most bytes that it holds under a configuration.
    pub(crate) fn max_bytes(config: &Config) -> usize {
        config.max_unsent_bytes + config.max_unsent * OWN + config.max_commitments * COMMITTED
    }

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.len() * OWN + self.committed.len() * COMMITTED
    }

    /// Is there room for one more message of this length?
    pub(crate) fn check_room(&self, config: &Config, len: usize) -> Result<(), PublishError> {
        let Config { max_unsent: max, max_unsent_bytes: max_bytes, .. } = *config;
        let is_full = self.len() >= max || self.bytes + len > max_bytes;
        if is_full { Err(PublishError::QueueFull { max, max_bytes }) } else { Ok(()) }
    }

    /// A message of ours of this length is being judged.
    pub(crate) fn judging(&mut self, command: CommandId, len: usize) {
        self.bytes += len;
        self.judging.insert(command, len);
    }

    /// Judging it has ended, whatever came of it.
    pub(crate) fn judged(&mut self, command: CommandId) {
        self.bytes -= self.judging.remove(&command).unwrap_or(0);
    }

    /// Gives a message of ours to gossip.
    pub(crate) fn send(&mut self, cx: &mut Cx, command: CommandId, topic: Topic, data: Bytes, window_end: u64) {
        // P5.8: it may wait until its window has been over for as long as others would still take it.
        let until = UnixTime::from_secs(window_end).0.saturating_sub(cx.now.unix.0);
        let give_up = Time(cx.now.mono.0.saturating_add(until)).after(cx.config.late_grace);
        cx.timers.set(Timer::Unsent(command), give_up);
        self.bytes += data.len();
        self.outgoing.insert(command, Outgoing { topic, data, publish: None });
        self.try_to_send(cx, command);
    }

    fn try_to_send(&mut self, cx: &mut Cx, command: CommandId) {
        let Some(outgoing) = self.outgoing.get_mut(&command).filter(|outgoing| outgoing.publish.is_none()) else { return };
        let publish = cx.mint.publishes.next(PublishId);
        outgoing.publish = Some(publish);
        let (topic, data) = (outgoing.topic, outgoing.data.clone());
        self.by_publish.insert(publish, command);
        cx.act(Action::Publish { publish, topic, data });
    }

    /// What became of a message that we gave to gossip (P5.8). `has_subscriber` says whether a connected peer has joined a topic.
    pub(crate) fn publish_finished(
        &mut self,
        cx: &mut Cx,
        publish: PublishId,
        outcome: PublishOutcome,
        has_subscriber: impl Fn(Topic) -> bool,
    ) {
        let Some(command) = self.by_publish.remove(&publish) else { return };
        let Some(outgoing) = self.outgoing.get_mut(&command) else { return };
        outgoing.publish = None;
        match outcome {
            PublishOutcome::Sent | PublishOutcome::Duplicate => {
                let message = crypto::message_id(cx.config.chain_id, outgoing.topic, &outgoing.data);
                self.end(cx, command, Outcome::Published(message));
            }
            PublishOutcome::NoPeers => {
                // Until a peer joins the topic; or, where some have and gossipsub finds none of them good enough, until one is.
                cx.stats.publish_retries += 1;
                if has_subscriber(outgoing.topic) {
                    cx.timers.set_if_idle(Timer::Unheard, cx.now.mono.after(RETRY_AFTER));
                }
            }
            PublishOutcome::Busy => {
                cx.stats.publish_retries += 1;
                cx.timers.set_if_idle(Timer::Unheard, cx.now.mono.after(RETRY_AFTER));
            }
            PublishOutcome::Refused => self.end(cx, command, Outcome::NotPublished(PublishError::Network)),
        }
    }

    /// A peer joined a topic, or gossip's queues may have emptied: what waits is tried again.
    pub(crate) fn send_waiting(&mut self, cx: &mut Cx, topic: Option<Topic>) {
        let fits = |outgoing: &Outgoing| outgoing.publish.is_none() && topic.is_none_or(|topic| topic == outgoing.topic);
        let waiting = self.outgoing.iter().filter(|(_, outgoing)| fits(outgoing)).map(|(command, _)| *command);
        for command in waiting.collect::<Vec<_>>() {
            self.try_to_send(cx, command);
        }
    }

    /// P5.8: nobody took it in time.
    pub(crate) fn unsent_over(&mut self, cx: &mut Cx, command: CommandId) {
        self.end(cx, command, Outcome::NotPublished(PublishError::Unsent));
    }

    fn end(&mut self, cx: &mut Cx, command: CommandId, outcome: Outcome) {
        cx.timers.cancel(Timer::Unsent(command));
        if let Some(Outgoing { publish, data, .. }) = self.outgoing.remove(&command) {
            self.bytes -= data.len();
            publish.map(|publish| self.by_publish.remove(&publish));
        }
        cx.finish(command, outcome);
    }
}
