//! What becomes of a txlist (T1–T5), and how is a missing one found (P5.6)?
//!
//! ```text
//! commitment accepted --txlist not here--> Fetch waits txlist_grace --> due --peer with room--> asked (up to 3 at a time)
//!     ^                                        ^                                                |
//!     |                                        +---- growing pause, all tried: a new round -----+-- not found, failed, wrong hash
//!     +-- stored by gossip or by an answer: the fetch is over
//! ```
//!
//! Due fetches are served lowest block first, because that is the order in which blocks become ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::chain::linked::Link;
use crate::error::{PublishError, Refusal, RequestError};
use crate::id::{CommandId, JobId, MessageId, PeerId, RequestId};
use crate::job::Work;
use crate::machine::Core;
use crate::output::{Accepted, Event, Outcome, Source, Verdict};
use crate::peer::conduct::Conduct;
use crate::peer::ledger::Cause;
use crate::request::Purpose;
use crate::time::{Now, Time, Timer};
use crate::validate::v1::txlist;
use crate::wire::topics::{Protocol, Topic};
use crate::wire::v1::{GetTxListRequest, RawTxList};

/// Txlists of one peer whose hashes are under way. Ours: a quota's worth of the longest ones, twice.
pub(crate) const MAX_HASHING_PER_PEER: usize = 8;
/// Bytes of gossiped txlists whose hashes are under way. Ours: half a second of hashing on one core.
pub(crate) const MAX_HASHING_BYTES: usize = 64 << 20;
/// Most peers asked for one txlist at a time. Source: P5.6.
const MAX_ASKED_AT_ONCE: u8 = 3;
/// Most peers asked for one txlist before a long pause. Source: P5.6.
const MAX_ASKED: usize = 8;
/// Longest pause, behind whole rounds without success. Ours: the window of the request limits (P6.6).
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Who brought a txlist, and who waits to hear of it.
#[derive(Clone, Copy, Debug)]
enum Bringer {
    Gossip { peer: PeerId, message: MessageId },
    Answer { peer: PeerId, request: RequestId, command: Option<CommandId> },
    Own { command: CommandId },
}

/// A txlist whose hash is being computed.
#[derive(Debug)]
struct Arriving {
    hash: B256,
    txlist: Bytes,
    bringer: Bringer,
    /// Room among the orphans was set aside for it.
    reserved: bool,
}

/// A txlist that an accepted commitment names and that is not here.
#[derive(Debug)]
struct Fetch {
    number: u64,
    /// Who sent the commitment: asked first (P5.6).
    sender: Option<PeerId>,
    asked: Vec<PeerId>,
    under_way: u8,
    /// Rounds without success.
    rounds: u8,
}

/// Txlists under way: being hashed, or being looked for.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    arriving: BTreeMap<JobId, Arriving>,
    /// Bytes of all that arrives, and of the gossiped part of it.
    arriving_bytes: usize,
    hashing_bytes: usize,
    /// Answers among them.
    answers: usize,
    hashing_of: BTreeMap<PeerId, usize>,
    fetches: BTreeMap<B256, Fetch>,
    due: BTreeSet<(u64, B256)>,
    /// Our own txlists whose commitments may still come.
    pinned: BTreeSet<B256>,
}

impl Deliveries {
    /// Does a fetch wait for a peer with room?
    pub(crate) fn waits_for_room(&self) -> bool {
        !self.due.is_empty()
    }

    /// Txlists that are missing.
    pub(crate) fn missing(&self) -> usize {
        self.fetches.len()
    }

    /// Bytes of txlists being hashed, our own excepted: those are counted where they wait to go out.
    pub(crate) fn arriving_bytes(&self) -> usize {
        self.arriving_bytes
    }

    /// Answers whose hashes are being computed: their peers' work is done, ours is not.
    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    /// Txlists being hashed.
    pub(crate) fn hashing(&self) -> usize {
        self.arriving.len()
    }
}

impl Core {
    /// A txlist from gossip.
    pub(crate) fn gossiped_txlist(&mut self, now: Now, peer: PeerId, message: MessageId, data: &Bytes) {
        if let Err(refusal) = self.admit_txlist(now, peer, message, data) {
            self.refuse_txlist(now, peer, message, refusal);
        }
    }

    /// T1–T3 and T5, before any byte is hashed.
    fn admit_txlist(&mut self, now: Now, peer: PeerId, message: MessageId, data: &Bytes) -> Result<(), Refusal> {
        let RawTxList { hash, txlist } = txlist::shape(data, self.cx.config.txlist_cap)?; // T1
        if self.txlists.has(&hash) {
            return Err(Refusal::Duplicate); // T2
        }
        let named = self.txlists.is_named(&hash);
        let in_quota = self.peers.admit_txlist_bytes(now.mono, peer, txlist.len());
        if !named && !in_quota {
            return Err(Refusal::OverQuota); // T3
        }
        let of_peer = self.deliveries.hashing_of.get(&peer).copied().unwrap_or(0);
        if of_peer >= MAX_HASHING_PER_PEER || self.deliveries.hashing_bytes + txlist.len() > MAX_HASHING_BYTES {
            return Err(Refusal::NoRoom);
        }
        if !named {
            self.txlists.reserve_orphan(peer, txlist.len())?; // T5
        }
        *self.deliveries.hashing_of.entry(peer).or_default() += 1;
        self.deliveries.hashing_bytes += txlist.len();
        self.hash_txlist(Arriving { hash, txlist, bringer: Bringer::Gossip { peer, message }, reserved: !named });
        Ok(())
    }

    /// A txlist that a peer answered with.
    pub(crate) fn answered_txlist(&mut self, peer: PeerId, request: RequestId, command: Option<CommandId>, list: RawTxList) {
        let bringer = Bringer::Answer { peer, request, command };
        self.hash_txlist(Arriving { hash: list.hash, txlist: list.txlist, bringer, reserved: false });
    }

    /// A txlist of our own (P5.7).
    pub(crate) fn hash_own_txlist(&mut self, command: CommandId, txlist: Bytes) {
        self.hash_txlist(Arriving { hash: B256::ZERO, txlist, bringer: Bringer::Own { command }, reserved: false });
    }

    fn hash_txlist(&mut self, arriving: Arriving) {
        let job = self.cx.start(Work::Hash { txlist: arriving.txlist.clone() });
        if !matches!(arriving.bringer, Bringer::Own { .. }) {
            self.deliveries.arriving_bytes += arriving.txlist.len();
        }
        self.deliveries.answers += usize::from(matches!(arriving.bringer, Bringer::Answer { .. }));
        self.deliveries.arriving.insert(job, arriving);
    }

    /// A hash came back (T4).
    pub(crate) fn hash_found(&mut self, now: Now, job: JobId, found: B256) {
        let Some(Arriving { hash, txlist, bringer, reserved }) = self.deliveries.arriving.remove(&job) else { return };
        if !matches!(bringer, Bringer::Own { .. }) {
            self.deliveries.arriving_bytes -= txlist.len();
        }
        self.deliveries.answers -= usize::from(matches!(bringer, Bringer::Answer { .. }));
        if let Bringer::Gossip { peer, .. } = bringer {
            self.deliveries.hashing_bytes -= txlist.len();
            if let Some(count) = self.deliveries.hashing_of.get_mut(&peer) {
                *count -= 1;
                if *count == 0 {
                    self.deliveries.hashing_of.remove(&peer);
                }
            }
            if reserved {
                self.txlists.release_orphan(peer, txlist.len());
            }
        }
        match bringer {
            Bringer::Gossip { peer, message } => {
                let kept = if found == hash { self.keep_gossiped(now, peer, hash, txlist) } else { Err(Refusal::WrongHash) }; // T4
                match kept {
                    Err(refusal) => self.refuse_txlist(now, peer, message, refusal),
                    Ok(()) => {
                        self.report(message, peer, Verdict::Accept);
                        self.charge(now, peer, "T5", Conduct::GossipAccepted, Cause::Message(message));
                    }
                }
            }
            Bringer::Answer { peer, request, command } => self.take_answer(now, peer, request, command, hash, found, txlist),
            Bringer::Own { command } => self.take_own(now, command, found, txlist),
        }
        self.emit_ready();
        if matches!(bringer, Bringer::Answer { .. }) {
            self.pump_soon(); // its place among the requests is free
        }
    }

    fn keep_gossiped(&mut self, now: Now, peer: PeerId, hash: B256, txlist: Bytes) -> Result<(), Refusal> {
        if self.txlists.has(&hash) {
            return Err(Refusal::Duplicate); // T2: it came another way meanwhile
        }
        let len_bytes = txlist.len();
        if self.txlists.is_named(&hash) {
            self.keep_named(now, hash, txlist)?;
        } else {
            self.txlists.reserve_orphan(peer, len_bytes)?; // T5
            self.txlists.keep_orphan(hash, txlist, peer);
            self.cx.timers.set(Timer::Orphan(hash), now.mono.after(self.cx.config.orphan_for));
        }
        self.cx.tell(Event::TxListStored { hash, len_bytes, source: Source::Gossip(peer) });
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one answer, taken apart by its only caller")]
    fn take_answer(
        &mut self,
        now: Now,
        peer: PeerId,
        request: RequestId,
        command: Option<CommandId>,
        hash: B256,
        found: B256,
        txlist: Bytes,
    ) {
        if found != hash {
            // P6.4: costs a failure
            self.blame(now, peer, request, Refusal::WrongHash);
            if command.is_none() {
                self.fetch_failed(&hash);
            }
            if let Some(command) = command {
                let error = RequestError::Refused(Refusal::WrongHash);
                self.cx.finish(command, Outcome::RequestFailed { peer, error });
            }
            return;
        }
        self.charge(now, peer, "P6.4", Conduct::ResponseOk, Cause::Request(request));
        let len_bytes = txlist.len();
        if self.txlists.is_named(&hash) && !self.txlists.has(&hash) {
            if self.keep_named(now, hash, txlist.clone()).is_ok() {
                self.cx.tell(Event::TxListStored { hash, len_bytes, source: Source::Response(peer) });
            } else if command.is_none() {
                self.fetch_failed(&hash);
            }
        }
        if let Some(command) = command {
            self.cx.finish(command, Outcome::TxList { peer, txlist: Some(txlist) });
        }
    }

    /// P5.7: our own is stored and served like any other, whether its commitment is here yet or not.
    fn take_own(&mut self, now: Now, command: CommandId, hash: B256, txlist: Bytes) {
        self.own_judged(command);
        let data = RawTxList { hash, txlist }.encode();
        let txlist = data.slice(crate::wire::v1::TXLIST_HEADER_BYTES..);
        if !self.txlists.has(&hash) {
            let len_bytes = txlist.len();
            let kept = if self.txlists.is_named(&hash) { self.keep_named(now, hash, txlist) } else { self.keep_own(now, hash, txlist) };
            if let Err(refusal) = kept {
                self.cx.finish(command, Outcome::NotPublished(PublishError::Refused(refusal)));
                return;
            }
            self.cx.tell(Event::TxListStored { hash, len_bytes, source: Source::Own });
        }
        let window_end = self.schedule.containing(now.unix.secs()).map_or(now.unix.secs(), |window| window.end);
        self.send_out(now, command, Topic::TxLists, data, window_end);
    }

    /// Our own commitment for it is about to come: until then it has the right of a named one, for as long as an orphan has.
    fn keep_own(&mut self, now: Now, hash: B256, txlist: Bytes) -> Result<(), Refusal> {
        let next_block = self.chain.head_number().saturating_add(1);
        self.txlists.name(hash, next_block, self.chain.next_ready());
        self.keep_named(now, hash, txlist).inspect_err(|_| self.txlists.unname(&hash))?;
        self.deliveries.pinned.insert(hash);
        self.cx.timers.set(Timer::Orphan(hash), now.mono.after(self.cx.config.orphan_for));
        Ok(())
    }

    fn keep_named(&mut self, now: Now, hash: B256, txlist: Bytes) -> Result<(), Refusal> {
        let displaced = self.txlists.keep_named(hash, txlist, self.chain.next_ready())?;
        self.fetch_over(&hash);
        for (number, later) in displaced {
            self.look_for(now, later, number, None); // it gave way to an earlier block, and is needed after it
        }
        Ok(())
    }

    fn refuse_txlist(&mut self, now: Now, peer: PeerId, message: MessageId, refusal: Refusal) {
        self.report(message, peer, refusal.verdict());
        self.note_refusal(peer, Some(Topic::TxLists), refusal);
        if refusal.verdict() == Verdict::Reject {
            self.charge(now, peer, refusal.rule(), Conduct::GossipRejected, Cause::Message(message));
        }
    }

    /// T5: an orphan's time is over; one of our own lives on if its commitment has come.
    pub(crate) fn orphan_over(&mut self, hash: &B256) {
        self.txlists.expire_orphan(hash);
        if self.deliveries.pinned.remove(hash) {
            self.txlists.unname(hash);
        }
    }

    /// A kept commitment names a txlist. One that is to be executed has it looked for; a fork only has a right to it.
    pub(crate) fn name(&mut self, now: Now, accepted: &Accepted, sender: Option<PeerId>, link: Link) {
        let preconf = accepted.signed.preconf();
        if !preconf.has_txlist() {
            return;
        }
        let hash = preconf.raw_tx_list_hash;
        for (number, later) in self.txlists.name(hash, accepted.block_number, self.chain.next_ready()) {
            self.look_for(now, later, number, None);
        }
        if link == Link::Extends {
            self.look_for(now, hash, accepted.block_number, sender);
        }
    }

    /// Has a txlist looked for, unless it is here.
    fn look_for(&mut self, now: Now, hash: B256, number: u64, sender: Option<PeerId>) {
        if !self.txlists.has(&hash) {
            let fetch = Fetch { number, sender, asked: Vec::new(), under_way: 0, rounds: 0 };
            self.deliveries.fetches.entry(hash).or_insert(fetch);
            self.cx.timers.set_if_idle(Timer::TxListMissing(hash), now.mono.after(self.cx.config.txlist_grace));
        }
    }

    /// The sync tip went back: what must be executed again needs its txlists again.
    pub(crate) fn look_for_all(&mut self, now: Now) {
        let needed = |accepted: &Arc<Accepted>| {
            let preconf = accepted.signed.preconf();
            preconf.has_txlist().then_some((preconf.raw_tx_list_hash, accepted.block_number))
        };
        let needed: Vec<_> = self.chain.from(self.chain.next_ready()).filter_map(needed).collect();
        for (hash, number) in needed {
            self.look_for(now, hash, number, None);
        }
    }

    /// A commitment that named a txlist is kept no longer.
    pub(crate) fn unname(&mut self, fallen: &Arc<Accepted>) {
        let preconf = fallen.signed.preconf();
        if preconf.has_txlist() {
            self.txlists.unname(&preconf.raw_tx_list_hash);
            if !self.txlists.is_named(&preconf.raw_tx_list_hash) {
                self.fetch_over(&preconf.raw_tx_list_hash);
            }
        }
    }

    /// P5.6: missing for long enough, or the pause behind the last try is over.
    pub(crate) fn fetch_due(&mut self, hash: B256) {
        if let Some(fetch) = self.deliveries.fetches.get(&hash) {
            self.deliveries.due.insert((fetch.number, hash));
            self.pump_soon();
        }
    }

    /// A peer that was asked does not have it, or did not answer.
    pub(crate) fn fetch_failed(&mut self, hash: &B256) {
        if let Some(fetch) = self.deliveries.fetches.get_mut(hash) {
            fetch.under_way = fetch.under_way.saturating_sub(1);
            self.deliveries.due.insert((fetch.number, *hash));
            self.pump_soon();
        }
    }

    /// The sync tip moved: what it has settled needs no execution, and so no txlist.
    pub(crate) fn end_settled_fetches(&mut self) {
        let next_ready = self.chain.next_ready();
        let settled = self.deliveries.fetches.iter().filter(|(_, fetch)| fetch.number < next_ready).map(|(hash, _)| *hash);
        for hash in settled.collect::<Vec<_>>() {
            self.fetch_over(&hash);
        }
    }

    fn fetch_over(&mut self, hash: &B256) {
        self.cx.timers.cancel(Timer::TxListMissing(*hash));
        if let Some(fetch) = self.deliveries.fetches.remove(hash) {
            self.deliveries.due.remove(&(fetch.number, *hash));
        }
    }

    /// Asks peers for txlists that are due, as far as there is room.
    pub(crate) fn pump_fetches(&mut self, now: Now) {
        // Each turn takes the lowest out of those that are due, or ends the loop.
        while let Some((number, hash)) = self.deliveries.due.first().copied() {
            let Some(fetch) = self.deliveries.fetches.get(&hash) else {
                self.deliveries.due.remove(&(number, hash));
                continue;
            };
            if fetch.under_way >= MAX_ASKED_AT_ONCE {
                self.deliveries.due.remove(&(number, hash)); // comes back when one of them ends
                continue;
            }
            if fetch.asked.len() >= MAX_ASKED {
                self.next_round(now.mono, number, hash);
                continue;
            }
            let (sender, asked) = (fetch.sender, fetch.asked.clone());
            let sender = sender.filter(|peer| !asked.contains(peer) && self.can_ask(now.mono, *peer, Protocol::GetTxList));
            match sender.or_else(|| self.choose(now.mono, Protocol::GetTxList, |peer| !asked.contains(peer))) {
                Some(peer) => self.fetch_from(now.mono, number, hash, peer),
                None if self.choose(now.mono, Protocol::GetTxList, |_| true).is_some() => self.next_round(now.mono, number, hash),
                None => return, // nobody has room: the timer of the next free slot pumps again
            }
        }
    }

    fn fetch_from(&mut self, now: Time, number: u64, hash: B256, peer: PeerId) {
        self.ask(now, peer, Protocol::GetTxList, GetTxListRequest { hash }.encode(), Purpose::TxList { hash, command: None });
        self.deliveries.due.remove(&(number, hash));
        let grace = self.cx.config.txlist_grace;
        if let Some(fetch) = self.deliveries.fetches.get_mut(&hash) {
            fetch.asked.push(peer);
            fetch.under_way += 1;
            // P5.6: growing pauses; a slow peer does not hold the next one up
            let pause = grace.saturating_mul(1 << fetch.asked.len().min(5)).min(LONGEST_PAUSE);
            self.cx.timers.set(Timer::TxListMissing(hash), now.after(pause));
        }
    }

    /// Everyone that can be asked was asked: a pause, then from the start. The first ones are short, since peers that lost the txlist as well
    /// are looking for it too (P11.2).
    fn next_round(&mut self, now: Time, number: u64, hash: B256) {
        self.deliveries.due.remove(&(number, hash));
        if let Some(fetch) = self.deliveries.fetches.get_mut(&hash) {
            let mut pause = LONGEST_PAUSE;
            // Who is still at it is not asked once more: its end makes the fetch due again.
            if fetch.under_way == 0 {
                fetch.asked.clear();
                pause = self.cx.config.txlist_grace.saturating_mul(1 << fetch.rounds.min(5)).min(LONGEST_PAUSE);
                fetch.rounds = fetch.rounds.saturating_add(1);
            }
            self.cx.timers.set(Timer::TxListMissing(hash), now.after(pause));
        }
    }
}
