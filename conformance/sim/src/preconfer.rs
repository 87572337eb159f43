//! Who makes the blocks, and what does L1 make of them?
//!
//! Preconfers hold seats and take windows in turn. Each looks at its own clock and its own head: it builds on what it knows, waits a while
//! for its predecessor's last word, and ends its window with an EOP. So forks, gaps and handovers come about as they do in life. What it makes
//! it offers its node (see `host`); a block counts as made when the node gives its commitment to gossip.
//!
//! What L1 makes of them says `l1`; every node hears of it at a time of its own (P9.3).

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use preconf_core::{Address, B256, Bytes, RawTxList, SecretKey, SignedCommitment, SyncTip, Time, Update, Window, address_of, keccak256};
use preconf_writer::{START, Writer};

use super::check::Failure;
use super::host::{MAX_OFFERS, Offer};
use super::l1::{L1, Made};
use super::node::NodeId;
use super::observe::Mark;
use super::puppet::Slot;
use super::queue::Happening;
use super::world::World;

/// Length of an L1 slot. Source: P9.2.
const L1_SLOT: Duration = Duration::from_secs(12);
/// How far apart nodes hear of a new L1 block. Ours: seconds, as in life.
const L1_NEWS: Range<Duration> = Duration::ZERO..Duration::from_secs(2);

/// Who makes blocks, and how.
#[derive(Clone, Debug)]
pub struct Election {
    /// Who takes windows in turn: nodes, or puppets that hold a seat.
    pub seats: Vec<NodeId>,
    /// Seconds of one window.
    pub window_secs: u64,
    /// Windows in all.
    pub windows: u64,
    /// How often a block is made.
    pub every: Duration,
    /// Length of each txlist; at least 16.
    pub txlist_bytes: usize,
    /// How long a preconfer waits for its predecessor's EOP, on its own clock.
    pub patience: Duration,
    /// How old a block is when L1 settles it; `None` when it never does.
    pub settles_after: Option<Duration>,
    /// How long after its start a node hears of a window, where it does not know the whole schedule at once.
    pub news_of_windows: BTreeMap<NodeId, Duration>,
}

/// An election under way, and L1.
#[derive(Debug)]
pub(crate) struct Office {
    election: Election,
    keys: Vec<SecretKey>,
    pub(crate) l1: L1,
    /// No block is made before this.
    resumes: Time,
    /// L1 settles nothing before this.
    settles_again: Time,
    pub(crate) refused: u64,
}

impl World {
    /// Lets preconfers make blocks from now on, and tells every node the schedule.
    ///
    /// # Errors
    /// A rule of the world is broken.
    pub fn elect(&mut self, election: Election) -> Result<(), Failure> {
        let keys: Vec<_> = (0..election.seats.len()).map(seat_key).collect();
        let first = self.now.0 / 1_000_000;
        let window = |index: u64| Window {
            start: START + first + index * election.window_secs,
            end: START + first + (index + 1) * election.window_secs,
            preconfer: address_of(&keys[index as usize % keys.len()]),
            settled_at: Some(0),
        };
        let windows: Vec<Window> = (0..election.windows).map(window).collect();
        for node in (0..self.nodes.len()).filter(|node| self.is_honest(*node)).collect::<Vec<_>>() {
            match election.news_of_windows.get(&node) {
                None => self.windows_arrive(node, windows.clone())?,
                Some(late) => {
                    for window in &windows {
                        let at = Time((window.start - START) * 1_000_000).after(*late);
                        self.at(at, Happening::Windows { node, windows: vec![*window] });
                    }
                }
            }
        }
        for seat in 0..election.seats.len() {
            self.after(election.every, Happening::Slot { seat });
        }
        if election.settles_after.is_some() {
            self.after(L1_SLOT, Happening::L1Block);
        }
        self.schedule = windows;
        self.office = Some(Office { election, keys, l1: L1::default(), resumes: self.now, settles_again: self.now, refused: 0 });
        Ok(())
    }

    /// Nobody makes a block for a while.
    pub fn stall(&mut self, span: Duration) {
        let resumes = self.now.after(span);
        if let Some(office) = &mut self.office {
            office.resumes = resumes;
        }
    }

    /// L1 takes back the last so many blocks that it settled, and settles nothing for a while.
    pub fn reorg(&mut self, depth: u64, span: Duration) {
        let again = self.now.after(span);
        if let Some(office) = &mut self.office {
            office.settles_again = again;
            let tip = office.l1.move_tip(office.l1.tip().block_number.saturating_sub(depth));
            self.spread_tip(tip);
        }
    }

    /// Blocks of preconfers that their own nodes refused to publish: contradictions of what they had said before a restart (P5.9), and what
    /// came too late.
    pub fn refused_blocks(&self) -> u64 {
        self.office.as_ref().map_or(0, |office| office.refused)
    }

    /// How many blocks were made, and the highest of them.
    pub fn made_blocks(&self) -> (usize, u64) {
        let numbers: Vec<u64> = self.office.iter().flat_map(|office| office.l1.blocks()).map(|made| made.number).collect();
        (numbers.len(), numbers.into_iter().max().unwrap_or(0))
    }

    /// Does this address belong to a preconfer that is no machine?
    pub(crate) fn is_hostile_seat(&self, signer: Address) -> bool {
        self.seat_of(signer).is_some_and(|seat| !self.is_honest(seat))
    }

    /// Does it belong to one that is?
    pub(crate) fn is_honest_seat(&self, signer: Address) -> bool {
        self.seat_of(signer).is_some_and(|seat| self.is_honest(seat))
    }

    fn seat_of(&self, signer: Address) -> Option<NodeId> {
        let office = self.office.as_ref()?;
        let place = office.keys.iter().position(|key| address_of(key) == signer)?;
        office.election.seats.get(place).copied()
    }

    pub(crate) fn windows_arrive(&mut self, node: NodeId, windows: Vec<Window>) -> Result<(), Failure> {
        if let Some(setup) = &mut self.nodes[node].setup {
            setup.windows.extend(windows.iter().copied());
        }
        self.update(node, Update::Schedule(windows))?.or(Ok(()))
    }

    pub(crate) fn tip_arrives(&mut self, node: NodeId, tip: SyncTip) -> Result<(), Failure> {
        // A node hears of L1 in L1's order, and of what is news to it only.
        if self.office.as_ref().is_some_and(|office| office.l1.tip() == tip) && self.nodes[node].up && self.status(node).sync_tip != tip {
            self.update(node, Update::MoveSyncTip(tip))?.expect("a sync tip is never refused");
        }
        Ok(())
    }

    /// A node that starts asks L1 first.
    pub(crate) fn tip_of_start(&mut self, node: NodeId) -> Result<(), Failure> {
        match self.office.as_ref().map(|office| office.l1.tip()) {
            Some(tip) => self.tip_arrives(node, tip),
            None => Ok(()),
        }
    }

    pub(crate) fn l1_block(&mut self) {
        self.after(L1_SLOT, Happening::L1Block);
        let now = self.now;
        let Some(office) = self.office.as_mut().filter(|office| office.settles_again <= now) else { return };
        let Some(age) = office.election.settles_after else { return };
        if let Some(tip) = office.l1.settle(age, now) {
            self.spread_tip(tip);
        }
    }

    fn spread_tip(&mut self, tip: SyncTip) {
        for node in 0..self.nodes.len() {
            if self.is_honest(node) {
                let after = self.dice.span(&L1_NEWS);
                self.after(after, Happening::Tip { node, tip });
            }
        }
    }

    /// A preconfer looks at its clock; in its own window it makes a block, if it should.
    pub(crate) fn slot(&mut self, seat: usize) -> Result<(), Failure> {
        let Some(office) = &self.office else { return Ok(()) };
        let node = office.election.seats[seat];
        self.after(office.election.every, Happening::Slot { seat });
        let Some(office) = self.office.as_ref().filter(|office| office.resumes <= self.now && self.nodes[node].up) else { return Ok(()) };
        let clock = self.nodes[node].setup.as_ref().map_or_else(|| START + self.now.0 / 1_000_000, |setup| setup.unix(self.now).secs());
        let mine = address_of(&office.keys[seat]);
        let is_now = |window: &&Window| window.start < clock && clock <= window.end && window.preconfer == mine;
        let Some(window) = self.schedule.iter().find(is_now).copied() else { return Ok(()) };
        if self.offer_again(node, window.end)? {
            return Ok(());
        }
        let Some(slot) = self.next_slot(node, seat, window, clock) else { return Ok(()) };
        if self.is_honest(node) { self.make_block(node, &slot) } else { self.puppet_elected(node, &slot) }
    }

    fn next_slot(&self, node: NodeId, seat: usize, window: Window, clock: u64) -> Option<Slot> {
        let office = self.office.as_ref()?;
        let election = &office.election;
        let since = Duration::from_secs(clock.saturating_sub(window.start));
        let is_patient = since < election.patience;
        let offers = self.offers.get(&node).map_or(&[][..], Vec::as_slice);
        if offers.len() >= MAX_OFFERS {
            return None;
        }
        let offered = offers.last().map(|offer| &offer.made);
        let (number, parent) = if let Some(offered) = offered {
            (offered.number, offered.hash) // it will be the head, unless it is refused
        } else if self.is_honest(node) {
            let status = self.status(node);
            if (status.lag.is_some_and(|lag| lag > 0) || status.syncing) && is_patient {
                return None; // it knows of blocks that it does not have
            }
            status.head.unwrap_or((status.sync_tip.block_number, status.sync_tip.preconfirmation_hash.unwrap_or_default()))
        } else {
            office.l1.head()
        };
        let before = offered.or_else(|| office.l1.block(&parent));
        if before.is_some_and(|before| before.window_end == window.end && before.eop) {
            return None; // it has handed over
        }
        let has_word = before.is_none_or(|before| before.eop || before.window_end >= window.end);
        if !has_word && is_patient {
            return None;
        }
        let timestamp = clock.max(before.map_or(0, |before| before.timestamp + 1));
        if timestamp > window.end || before.is_some_and(|before| before.window_end > window.end) {
            return None;
        }
        let is_last = clock + election.every.as_secs().max(1) > window.end;
        Some(Slot { key: office.keys[seat], window, number: number + 1, parent, timestamp, is_last })
    }

    /// An honest preconfer's block, offered to its own node.
    fn make_block(&mut self, node: NodeId, slot: &Slot) -> Result<(), Failure> {
        let Some(office) = &self.office else { return Ok(()) };
        let hands_over = slot.is_last && (slot.window.end / office.election.window_secs).is_multiple_of(2);
        let txlist = (!hands_over).then(|| txlist_of(slot, office.election.txlist_bytes, 0));
        let (signed, _) = block_of(slot, txlist.as_ref(), slot.is_last);
        self.offer(node, Offer::new(signed, txlist, self.now))
    }

    /// Blocks that nobody has any more: L1 never saw them.
    pub(crate) fn blocks_lost(&mut self, blocks: &[B256]) {
        if let Some(office) = &mut self.office {
            office.l1.lost(blocks);
        }
    }

    /// A block was made; L1 takes it if it links to what it has.
    pub(crate) fn made(&mut self, node: NodeId, made: Made) {
        self.mark(&Mark::Published { node, number: made.number, hash: made.hash });
        self.last_block = self.now;
        if let Some(office) = &mut self.office {
            office.l1.made(made);
        }
    }
}

/// A txlist that no other block has.
pub fn txlist_of(slot: &Slot, len: usize, twist: u64) -> Bytes {
    let mut bytes = vec![0; len.max(24)];
    bytes[..8].copy_from_slice(&slot.number.to_le_bytes());
    bytes[8..16].copy_from_slice(&slot.timestamp.to_le_bytes());
    bytes[16..24].copy_from_slice(&twist.to_le_bytes());
    bytes.into()
}

/// A block as its preconfer signs it, and its name.
pub fn block_of(slot: &Slot, txlist: Option<&Bytes>, eop: bool) -> (SignedCommitment, B256) {
    let Slot { key, window, number, parent, timestamp, .. } = *slot;
    let mut writer = Writer { key, parent, number: number - 1, timestamp: timestamp - 1, window_end: window.end, ..Writer::new(1) };
    let signed = writer.write(|preconf| {
        preconf.eop = eop;
        preconf.raw_tx_list_hash = txlist.map_or(B256::ZERO, keccak256);
    });
    (signed, writer.parent)
}

/// A txlist as it is gossiped.
pub fn gossip_of(txlist: &Bytes) -> Bytes {
    RawTxList { hash: keccak256(txlist), txlist: txlist.clone() }.encode()
}

fn seat_key(seat: usize) -> SecretKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&(seat as u64 + 1).to_be_bytes());
    SecretKey::from_secret_bytes(bytes).expect("a small number is a secret key")
}
