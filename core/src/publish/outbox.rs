//! How does a message of our own get out (P5.7–P5.9a)?
//!
//! ```text
//! command --judged like a stranger's--> its record written --> stored --> with gossip --sent--> told: published
//!    \--refused--> told: why    \--not written--> told: why             ^    \--no peer, or queues full--> Unheard
//!                                                                       |                                    \--its window long over--> told: not sent
//!                                                                       +---- a peer joins the topic, or a heartbeat passes ----/
//! ```
//!
//! [`Outbox`] counts what is being judged and recorded, and keeps what is on its way out and what is to be published again. Whether a
//! message is good is not for it to say, nor what may still be said.
//!
//! Invariant: `bytes` sums up what is being judged and what is on its way out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::config::Config;
use crate::cost::{TIMER, entry};
use crate::crypto;
use crate::cx::Cx;
use crate::error::PublishError;
use crate::id::{CommandId, PersistId, PublishId};
use crate::input::PublishOutcome;
use crate::output::{Action, Outcome};
use crate::record::OwnCommitment;
use crate::time::{Time, Timer, UnixTime};
use crate::wire::topics::Topic;
use crate::wire::v1::{SIGNED_COMMITMENT_BYTES, SignedCommitment, TXLIST_HEADER_BYTES};

/// What one of our own messages costs beside its bytes.
const OWN: usize = 3 * entry::<CommandId, [u64; 8]>() + TIMER;
/// When a message that found full queues is tried again. Source: gossipsub's heartbeat (PROTOCOL.md §7).
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A message of ours on its way out.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Outgoing {
    data: Bytes,
    /// With gossip right now; otherwise it waits, or is out.
    publish: Option<PublishId>,
    /// It is out, and the other message of its command is not.
    is_sent: bool,
}

impl Outgoing {
    fn waits(&self) -> bool {
        self.publish.is_none() && !self.is_sent
    }
}

/// A block whose txlist we publish with its commitment.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct OwnBlock {
    pub(crate) signed: Box<SignedCommitment>,
    /// Is the record of it on disk already (P5.9a)?
    pub(crate) is_recorded: bool,
    /// The message with its txlist, once that is hashed and is the one that the commitment names.
    pub(crate) message: Option<Bytes>,
}

/// Our own messages on their way out, by the command that wants each.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Outbox {
    /// A command has one message, or two: the txlist waits until its commitment is out, or others could take it for a stranger's (T5).
    outgoing: BTreeMap<(CommandId, Topic), Outgoing>,
    by_publish: BTreeMap<PublishId, (CommandId, Topic)>,
    /// Blocks that are published whole, from the command to their commitment's acceptance.
    blocks: BTreeMap<CommandId, OwnBlock>,
    /// What was recorded before a restart and is still to be published again, lowest first, and its bytes (P5.9a).
    again: VecDeque<OwnCommitment>,
    again_bytes: usize,
    /// Records of ours that are being written: what waits for each, by its hash (P5.9a).
    recording: BTreeMap<PersistId, B256>,
    /// Commands that are still being judged or recorded, and their bytes.
    judging: BTreeMap<CommandId, usize>,
    /// Bytes of what is being judged or on its way out.
    bytes: usize,
}

impl Outbox {
    /// How many wait or are under way.
    pub(crate) fn len(&self) -> usize {
        self.outgoing.len() + self.judging.len() + self.blocks.len() // a block has two
    }

    /// The most bytes that it holds under a configuration.
    pub(crate) fn max_bytes(config: &Config) -> usize {
        2 * config.max_unsent_bytes + config.max_unsent * OWN + config.max_commitments * size_of::<OwnCommitment>()
    }

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.len() * OWN + self.again_bytes + self.again.len() * size_of::<OwnCommitment>()
    }

    /// Is there room for so many more messages of this length together?
    pub(crate) fn check_room(&self, config: &Config, messages: usize, len: usize) -> Result<(), PublishError> {
        let Config { max_unsent: max, max_unsent_bytes: max_bytes, .. } = *config;
        let is_full = self.len() + messages > max || self.bytes + len > max_bytes;
        if is_full { Err(PublishError::QueueFull { max, max_bytes }) } else { Ok(()) }
    }

    /// A message of ours of this length is being judged.
    pub(crate) fn judging(&mut self, command: CommandId, len: usize) {
        self.bytes += len;
        self.judging.insert(command, len);
    }

    /// Judging it has ended, whatever came of it. Gives back the block, where one is published whole.
    pub(crate) fn judged(&mut self, command: CommandId) -> Option<OwnBlock> {
        self.bytes -= self.judging.remove(&command).unwrap_or(0);
        self.blocks.remove(&command)
    }

    /// This command publishes a block whole.
    pub(crate) fn insert_block(&mut self, command: CommandId, block: OwnBlock) {
        self.blocks.insert(command, block);
    }

    /// The block that a command publishes whole.
    pub(crate) fn block_mut(&mut self, command: CommandId) -> Option<&mut OwnBlock> {
        self.blocks.get_mut(&command)
    }

    /// These are to be published again as there is room; the latest ones, where there are too many. Lists are left out that are longer than
    /// this configuration lets us publish, or are more than it lets wait: whoever published them has them.
    pub(crate) fn publish_later(&mut self, config: &Config, words: Vec<OwnCommitment>) {
        for mut own in words {
            let bytes = own.txlist.as_ref().map_or(0, Bytes::len);
            if bytes > config.txlist_cap || self.again_bytes + bytes > config.max_unsent_bytes {
                own.txlist = None;
            } else {
                self.again_bytes += bytes;
            }
            self.again.push_back(own);
            if self.again.len() > config.max_commitments {
                self.take_again();
            }
        }
    }

    /// The next one, if there is room for it: it has two messages. Half of the slots are for what our application says now.
    pub(crate) fn next_to_publish_again(&mut self, config: &Config) -> Option<OwnCommitment> {
        let next = self.again.front()?;
        let len = SIGNED_COMMITMENT_BYTES + next.txlist.as_ref().map_or(0, |txlist| TXLIST_HEADER_BYTES + txlist.len());
        self.check_room(config, (config.max_unsent / 2).max(2), len).ok()?;
        self.take_again()
    }

    fn take_again(&mut self) -> Option<OwnCommitment> {
        let own = self.again.pop_front()?;
        self.again_bytes -= own.txlist.as_ref().map_or(0, Bytes::len);
        Some(own)
    }

    /// The record of what has this hash is being written (P5.9a).
    pub(crate) fn recording(&mut self, id: PersistId, hash: B256) {
        self.recording.insert(id, hash);
    }

    /// What waited for a record, if something of ours did.
    pub(crate) fn record_ended(&mut self, id: PersistId) -> Option<B256> {
        self.recording.remove(&id)
    }

    /// Gives a message of ours to gossip.
    pub(crate) fn send(&mut self, cx: &mut Cx, command: CommandId, topic: Topic, data: Bytes, window_end: u64) {
        // P5.8: it may wait until its window has been over for as long as others would still take it.
        let until = UnixTime::from_secs(window_end).0.saturating_sub(cx.now.unix.0);
        let give_up = Time(cx.now.mono.0.saturating_add(until)).after(cx.config.late_grace);
        cx.timers.set(Timer::Unsent(command), give_up);
        self.bytes += data.len();
        self.outgoing.insert((command, topic), Outgoing { data, publish: None, is_sent: false });
        self.try_to_send(cx, (command, topic));
    }

    fn try_to_send(&mut self, cx: &mut Cx, key: (CommandId, Topic)) {
        if key.1 == Topic::TxLists && self.outgoing.get(&(key.0, Topic::Commitments)).is_some_and(|commitment| !commitment.is_sent) {
            return; // T5
        }
        let Some(outgoing) = self.outgoing.get_mut(&key).filter(|outgoing| outgoing.waits()) else { return };
        let publish = cx.mint.publishes.next(PublishId);
        outgoing.publish = Some(publish);
        let (topic, data) = (key.1, outgoing.data.clone());
        self.by_publish.insert(publish, key);
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
        let Some(key @ (command, topic)) = self.by_publish.remove(&publish) else { return };
        let Some(outgoing) = self.outgoing.get_mut(&key) else { return };
        outgoing.publish = None;
        match outcome {
            PublishOutcome::Sent | PublishOutcome::Duplicate => {
                outgoing.is_sent = true;
                self.try_to_send(cx, (command, Topic::TxLists));
                self.end_if_all_is_sent(cx, command);
            }
            PublishOutcome::NoPeers => {
                // Until a peer joins the topic; or, where some have and gossipsub finds none of them good enough, until one is.
                cx.stats.publish_retries += 1;
                if has_subscriber(topic) {
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
        let waiting = self.outgoing.iter().filter(|((_, of), outgoing)| outgoing.waits() && topic.is_none_or(|topic| topic == *of));
        for key in waiting.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.try_to_send(cx, key);
        }
    }

    /// P5.8: nobody took it in time.
    pub(crate) fn unsent_over(&mut self, cx: &mut Cx, command: CommandId) {
        self.end(cx, command, Outcome::NotPublished(PublishError::Unsent));
    }

    /// A block is published when its commitment and its txlist are out; the commitment's message names it.
    fn end_if_all_is_sent(&mut self, cx: &mut Cx, command: CommandId) {
        let mut parts = self.outgoing.range((command, Topic::Commitments)..=(command, Topic::TxLists));
        let Some((&(_, topic), first)) = parts.next() else { return };
        if first.is_sent && parts.all(|(_, part)| part.is_sent) {
            let message = crypto::message_id(cx.config.chain_id, topic, &first.data);
            self.end(cx, command, Outcome::Published(message));
        }
    }

    fn end(&mut self, cx: &mut Cx, command: CommandId, outcome: Outcome) {
        cx.timers.cancel(Timer::Unsent(command));
        for topic in Topic::ALL {
            if let Some(Outgoing { publish, data, .. }) = self.outgoing.remove(&(command, topic)) {
                self.bytes -= data.len();
                publish.map(|publish| self.by_publish.remove(&publish));
            }
        }
        cx.finish(command, outcome);
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;
    use crate::output::{Event, Output};
    use crate::time::Now;
    use crate::wire::v1::PreconfCommitment;

    const LEN: usize = 100;

    fn message() -> Bytes {
        vec![7; LEN].into()
    }

    fn sent(cx: &mut Cx) -> Option<PublishId> {
        let output = cx.poll_output()?;
        let Output::Net(Action::Publish { publish, .. }) = output else { panic!("{output:?}") };
        Some(publish)
    }

    fn told(cx: &mut Cx) -> Option<(CommandId, Outcome)> {
        let output = cx.poll_output()?;
        let Output::App(Event::CommandFinished { command, outcome }) = output else { panic!("{output:?}") };
        Some((command, outcome))
    }

    /// One message that gossip has.
    fn bench() -> (Cx, Outbox, PublishId) {
        let (mut cx, mut outbox) = (Cx::for_tests(), Outbox::default());
        outbox.send(&mut cx, CommandId(1), Topic::TxLists, message(), 1_100);
        let publish = sent(&mut cx).expect("it is with gossip");
        (cx, outbox, publish)
    }

    #[test]
    fn p10_1_there_is_room_for_so_many_messages_and_bytes_and_no_more() {
        let (mut cx, mut outbox) = (Cx::for_tests(), Outbox::default());
        (cx.config.max_unsent, cx.config.max_unsent_bytes) = (2, 2 * LEN);
        let full = Err(PublishError::QueueFull { max: 2, max_bytes: 2 * LEN });
        assert_eq!((outbox.check_room(&cx.config, 1, 2 * LEN), outbox.check_room(&cx.config, 1, 2 * LEN + 1)), (Ok(()), full));
        outbox.judging(CommandId(1), LEN);
        assert_eq!((outbox.check_room(&cx.config, 1, LEN), outbox.check_room(&cx.config, 1, LEN + 1)), (Ok(()), full));
        outbox.send(&mut cx, CommandId(2), Topic::TxLists, Bytes::from_static(b"short"), 1_100);
        assert_eq!((outbox.len(), outbox.check_room(&cx.config, 1, 1)), (2, full), "two of them, however short");
        assert!(outbox.bytes() >= LEN + 5 && outbox.bytes() <= Outbox::max_bytes(&cx.config));
        outbox.judged(CommandId(1));
        outbox.unsent_over(&mut cx, CommandId(2));
        assert_eq!((outbox.len(), outbox.bytes(), outbox.check_room(&cx.config, 1, 2 * LEN)), (0, 0, Ok(())));
    }

    #[test]
    fn p5_9a_what_is_published_again_finds_room_or_waits_for_it() {
        let (mut cx, mut outbox) = (Cx::for_tests(), Outbox::default());
        let own = |txlist: usize| OwnCommitment {
            signer: Address::ZERO,
            signed: SignedCommitment::new(PreconfCommitment::default(), [0; 65]),
            txlist: Some(vec![7; txlist].into()),
        };
        (cx.config.txlist_cap, cx.config.max_unsent, cx.config.max_unsent_bytes) =
            (LEN, 3, LEN + SIGNED_COMMITMENT_BYTES + TXLIST_HEADER_BYTES);
        outbox.publish_later(&cx.config, vec![own(LEN), own(LEN + 1)]);
        outbox.judging(CommandId(1), 1);
        assert_eq!(outbox.next_to_publish_again(&cx.config), None, "one waits, and a block has two messages: the bound is three");
        outbox.judged(CommandId(1));
        assert_eq!(outbox.next_to_publish_again(&cx.config), Some(own(LEN)));
        let too_long = OwnCommitment { txlist: None, ..own(0) };
        assert_eq!(outbox.next_to_publish_again(&cx.config), Some(too_long), "its list is longer than is allowed today");
        assert_eq!((outbox.next_to_publish_again(&cx.config), outbox.bytes()), (None, 0));
    }

    #[test]
    fn p5_8_what_is_sent_is_told_once_and_a_late_word_changes_nothing() {
        let (mut cx, mut outbox, publish) = bench();
        outbox.publish_finished(&mut cx, publish, PublishOutcome::Sent, |_| true);
        let id = crypto::message_id(cx.config.chain_id, Topic::TxLists, &message());
        assert_eq!((told(&mut cx), cx.timers.next()), (Some((CommandId(1), Outcome::Published(id))), None));
        outbox.publish_finished(&mut cx, publish, PublishOutcome::Refused, |_| true);
        assert_eq!((cx.poll_output(), outbox.bytes()), (None, 0));
    }

    #[test]
    fn p5_8_a_message_waits_for_a_peer_and_is_tried_again_only_where_one_may_take_it() {
        for (outcome, has_subscriber, is_tried_again) in
            [(PublishOutcome::NoPeers, false, false), (PublishOutcome::NoPeers, true, true), (PublishOutcome::Busy, false, true)]
        {
            let (mut cx, mut outbox, publish) = bench();
            outbox.publish_finished(&mut cx, publish, outcome, |topic| has_subscriber && topic == Topic::TxLists);
            let again = is_tried_again.then(|| (Time::ZERO.after(RETRY_AFTER), Timer::Unheard));
            assert_eq!(cx.timers.pop_due(Time::ZERO.after(RETRY_AFTER)), again.map(|(_, timer)| timer), "{outcome:?}");
            assert_eq!(cx.stats.publish_retries, 1);
            outbox.send_waiting(&mut cx, Some(Topic::Commitments));
            assert_eq!(sent(&mut cx), None, "a peer joined the other topic");
            outbox.send_waiting(&mut cx, Some(Topic::TxLists));
            let second = sent(&mut cx);
            assert!(second.is_some_and(|second| second != publish));
            outbox.send_waiting(&mut cx, None);
            assert_eq!(sent(&mut cx), None, "it is with gossip already");
        }
    }

    #[test]
    fn p5_8_what_nobody_took_is_given_up_when_its_window_is_long_over() {
        let (mut cx, mut outbox, publish) = bench();
        // The unix clock stands at 1010 s, the window ends at 1100 s.
        let give_up = Time::ZERO.after(Duration::from_secs(90) + cx.config.late_grace);
        assert_eq!(cx.timers.next(), Some((give_up, Timer::Unsent(CommandId(1)))));
        outbox.unsent_over(&mut cx, CommandId(1));
        assert_eq!(told(&mut cx), Some((CommandId(1), Outcome::NotPublished(PublishError::Unsent))));
        outbox.publish_finished(&mut cx, publish, PublishOutcome::Sent, |_| true);
        assert_eq!((cx.poll_output(), outbox.len(), outbox.bytes(), cx.timers.next()), (None, 0, 0, None));
    }

    #[test]
    fn p5_8_a_window_that_is_over_leaves_its_grace() {
        let (mut cx, mut outbox) = (Cx::for_tests(), Outbox::default());
        cx.begin(Now { mono: Time(5), ..cx.now });
        outbox.send(&mut cx, CommandId(1), Topic::Commitments, message(), 1_000);
        assert_eq!(cx.timers.next(), Some((Time(5).after(cx.config.late_grace), Timer::Unsent(CommandId(1)))));
    }

    #[test]
    fn a_message_that_gossip_refuses_is_told_as_such() {
        let (mut cx, mut outbox, publish) = bench();
        outbox.publish_finished(&mut cx, publish, PublishOutcome::Refused, |_| true);
        assert_eq!(told(&mut cx), Some((CommandId(1), Outcome::NotPublished(PublishError::Network))));
    }
}
