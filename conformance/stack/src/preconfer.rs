//! Who makes the blocks, and what does L1 make of them?
//!
//! Preconfers take windows in turn. Each looks at its own clock and at its own node's head, waits a while for its predecessor's last word, and
//! ends its window with an EOP: so forks, gaps and handovers come about as they do in life. L1 is the simulator's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures::future::{BoxFuture, Either, FutureExt, select};
use futures::stream::{FuturesUnordered, StreamExt};
use futures_timer::Delay;
use preconf_core::{B256, Bytes, MessageId, PublishError, SecretKey, SignedCommitment, Time, Window, address_of, keccak256};
use preconf_node::{HandleError, NetworkHandle};
use preconf_sim::Made;
use preconf_sim::scenario::Blocks;
use preconf_writer::{START, Writer};

use crate::NodeId;
use crate::watch::{SharedSeen, lock as seen};

/// Where the first window begins, in seconds after the start of time. Ours: connections and meshes come up before.
pub(crate) const BEGINS_S: u64 = 5;

/// Blocks that a host makes on top of what is not published yet. Ours: some seconds of them.
const MAX_OFFERS: usize = 8;

/// The schedule, and what becomes of the blocks.
pub(crate) struct Office {
    pub(crate) blocks: Blocks,
    pub(crate) windows: Vec<Window>,
    /// Blocks that preconfers' own nodes refused, by what they said.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Nobody makes a block before this, in nanoseconds.
    pub(crate) resumes: u64,
}

/// The office, as preconfers share it.
pub(crate) type SharedOffice = Arc<Mutex<Office>>;

pub(crate) fn lock(office: &SharedOffice) -> MutexGuard<'_, Office> {
    office.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key_of(seat: usize) -> SecretKey {
    preconf_writer::key(u8::try_from(seat + 1).unwrap_or(u8::MAX))
}

impl Office {
    /// Windows for so many seconds, one after the other, taken in turn by so many preconfers.
    pub(crate) fn new(blocks: Blocks, preconfers: usize, seconds: u64) -> Self {
        let count = (seconds + 600) / blocks.window_s + 2;
        let window = |index: u64| Window {
            start: START + BEGINS_S + index * blocks.window_s,
            end: START + BEGINS_S + (index + 1) * blocks.window_s,
            preconfer: address_of(&key_of(index as usize % preconfers)),
            settled_at: Some(0),
        };
        let windows = (0..count).map(window).collect();
        Self { blocks, windows, refused: BTreeMap::new(), resumes: 0 }
    }
}

/// A block that was offered to the node, and whose end its host does not know.
struct Offer {
    made: Made,
    signed: SignedCommitment,
    txlist: Bytes,
    /// It could not be recorded: the place is bound to it, so it will be offered again (P5.9a).
    again: bool,
}

/// What a preconfer's host has at hand. It dies with its node.
pub(crate) struct Desk {
    key: SecretKey,
    node: NodeId,
    handle: NetworkHandle,
    office: SharedOffice,
    watch: SharedSeen,
    offers: Vec<Offer>,
    under_way: FuturesUnordered<BoxFuture<'static, (B256, Result<MessageId, HandleError>)>>,
}

impl Desk {
    /// A seat, its node, and what the host sees of both.
    pub(crate) fn new(seat: usize, node: NodeId, handle: NetworkHandle, office: SharedOffice, watch: SharedSeen) -> Self {
        Self { key: key_of(seat), node, handle, office, watch, offers: Vec::new(), under_way: FuturesUnordered::new() }
    }

    /// Makes blocks for as long as the node lives. A host does not wait for its node's disk or peers: it builds on what it offered last.
    pub(crate) async fn work(mut self) {
        let every = Duration::from_millis(lock(&self.office).blocks.every_ms);
        let mut tick = Delay::new(every);
        loop {
            if self.under_way.is_empty() {
                (&mut tick).await;
            } else if let Either::Left((Some((hash, result)), _)) = select(self.under_way.next(), &mut tick).await {
                self.ended(&hash, result);
                continue;
            }
            tick = Delay::new(every);
            if preconf_interpose::now() >= lock(&self.office).resumes {
                self.slot(every).await;
            }
        }
    }

    /// What became of an offer. Where it is refused, what builds on it is nothing any more.
    fn ended(&mut self, hash: &B256, result: Result<MessageId, HandleError>) {
        let Some(at) = self.offers.iter().position(|offer| offer.made.hash == *hash) else { return };
        match result {
            Ok(_) => drop(self.offers.remove(at)),
            Err(HandleError::NotPublished(PublishError::NotRecorded(_))) => self.offers[at].again = true,
            Err(error) => {
                *lock(&self.office).refused.entry(error.to_string()).or_default() += 1;
                self.offers.truncate(at);
            }
        }
    }

    fn offer(&mut self, at: usize) {
        let (offer, handle) = (&mut self.offers[at], self.handle.clone());
        offer.again = false;
        let (hash, signed, txlist) = (offer.made.hash, offer.signed.clone(), offer.txlist.clone());
        self.under_way.push(async move { (hash, handle.publish_block(signed, txlist).await) }.boxed());
    }

    /// A slot of this preconfer's, if it is one: what could not be recorded is offered again, else another block.
    async fn slot(&mut self, every: Duration) {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let window = lock(&self.office).windows.iter().find(|window| (window.start..window.end).contains(&unix.as_secs())).copied();
        let Some(window) = window else { return };
        self.offers.retain(|offer| offer.made.window_end == window.end);
        if window.preconfer != address_of(&self.key) {
            return;
        }
        let again: Vec<usize> = (0..self.offers.len()).filter(|at| self.offers[*at].again).collect();
        if !again.is_empty() {
            again.into_iter().for_each(|at| self.offer(at));
        } else if self.offers.len() < MAX_OFFERS
            && let Some(offer) = self.next_block(unix, &window, every).await
        {
            self.offers.push(offer);
            self.offer(self.offers.len() - 1);
        }
    }

    /// The next block, unless it is too early for one, or the window has had its last.
    async fn next_block(&mut self, unix: Duration, window: &Window, every: Duration) -> Option<Offer> {
        let (patience, len) = {
            let blocks = &lock(&self.office).blocks;
            (Duration::from_secs_f64(blocks.patience_s), blocks.txlist_bytes)
        };
        let head = self.head().await?;
        let offered = self.offers.last().map(|last| Head::from(&last.made)).filter(|offered| offered.number > head.number);
        let handed_over = offered.is_some() || head.number == 0 || head.window_end >= window.end || head.eop;
        let head = offered.unwrap_or(head);
        if !handed_over && unix < Duration::from_secs(window.start) + patience {
            return None; // the predecessor's last word may still come
        }
        let timestamp = (head.timestamp + 1).max(unix.as_secs()).max(window.start + 1);
        if timestamp > window.end || (head.window_end == window.end && head.eop) {
            return None;
        }
        let (number, parent) = (head.number, head.hash);
        let mut writer = Writer { key: self.key, window_end: window.end, timestamp: timestamp - 1, number, parent, ..Writer::new(1) };
        let number = head.number + 1;
        let mut txlist = vec![self.node as u8; len.max(24)];
        txlist[..8].copy_from_slice(&number.to_le_bytes());
        txlist[8..24].copy_from_slice(&unix.as_nanos().to_le_bytes());
        let eop = unix + every >= Duration::from_secs(window.end);
        let signed = writer.write(|preconf| (preconf.raw_tx_list_hash, preconf.eop) = (keccak256(&txlist), eop));
        let made = Made::of(&signed, Time(preconf_interpose::now() / 1_000));
        Some(Offer { made, signed, txlist: txlist.into(), again: false })
    }

    /// The node's head, or where nothing links to its sync tip that one, of which L1 tells; `None` while it stands where neither has told of.
    async fn head(&mut self) -> Option<Head> {
        let status = self.handle.status().await.ok()?.node;
        let Some((number, hash)) = status.head else {
            return match status.sync_tip.preconfirmation_hash {
                None => Some(Head::default()),
                Some(hash) => seen(&self.watch).l1.block(&hash).map(Head::from),
            };
        };
        let watch = seen(&self.watch);
        let known = watch.nodes.get(&self.node)?.chain.get(&number).filter(|known| known.hash == hash)?;
        let preconf = known.signed.preconf();
        Some(Head { number, hash, timestamp: preconf.timestamp.saturating_to(), window_end: known.window_end, eop: preconf.eop })
    }
}

/// What the next block builds on.
#[derive(Clone, Copy, Default)]
struct Head {
    number: u64,
    hash: B256,
    timestamp: u64,
    window_end: u64,
    eop: bool,
}

impl From<&Made> for Head {
    fn from(made: &Made) -> Self {
        let Made { number, hash, timestamp, window_end, eop, .. } = *made;
        Self { number, hash, timestamp, window_end, eop }
    }
}
