//! Which blocks does the world's chain have?
//!
//! A [`History`] is signed once and used by any number of worlds. Preconfers take windows in turn and end each with an EOP, every other one
//! of them a handoff without a block (P5.3).

use std::sync::Arc;

use preconf_core::{B256, Bytes, RawTxList, SecretKey, SignedCommitment, Window, address_of, keccak256};
use preconf_writer::{START, WINDOW_SECS, Writer, key};

/// What a history looks like.
#[derive(Clone, Copy, Debug)]
pub struct HistoryPlan {
    /// How many blocks.
    pub blocks: u64,
    /// Blocks of one window; the last of them is its EOP.
    pub per_window: u64,
    /// Seconds of one window. More than `per_window`: a block's time grows by one second.
    pub window_secs: u64,
    /// Preconfers that take turns.
    pub preconfers: u8,
    /// Length of each txlist; at least 8, its block's number.
    pub txlist_bytes: usize,
    /// Every block names the same txlist, so that fetching txlists never holds a catch-up up.
    pub one_txlist: bool,
}

impl Default for HistoryPlan {
    fn default() -> Self {
        Self { blocks: 50, per_window: 10, window_secs: WINDOW_SECS, preconfers: 2, txlist_bytes: 100, one_txlist: false }
    }
}

/// One block: its commitment, its name, and its txlist unless it only hands over.
#[derive(Clone, Debug)]
pub struct Block {
    /// The commitment.
    pub signed: SignedCommitment,
    /// Its preconfirmation hash.
    pub hash: B256,
    /// The txlist's hash and bytes.
    pub txlist: Option<(B256, Bytes)>,
    /// Which window it lies in, from 0.
    pub window: usize,
}

/// A signed chain and its schedule. Cheap to clone.
#[derive(Clone, Debug)]
pub struct History {
    /// Block `n` stands at index `n - 1`.
    pub blocks: Arc<Vec<Block>>,
    /// The schedule: settled windows from [`START`] on, one more than the blocks need.
    pub windows: Arc<Vec<Window>>,
}

impl History {
    /// Writes and signs a chain.
    pub fn write(plan: HistoryPlan) -> Self {
        let keys: Vec<SecretKey> = (1..=plan.preconfers.max(1)).map(key).collect();
        let key_of = |window: u64| &keys[(window % keys.len() as u64) as usize];
        let count = plan.blocks.div_ceil(plan.per_window) + 1;
        let window = |index: u64| Window {
            start: START + index * plan.window_secs,
            end: START + (index + 1) * plan.window_secs,
            preconfer: address_of(key_of(index)),
            settled_at: Some(0),
        };
        let windows: Vec<Window> = (0..count).map(window).collect();
        let mut writer = Writer::new(1);
        let mut blocks = Vec::new();
        for number in 1..=plan.blocks {
            let (index, place) = ((number - 1) / plan.per_window, (number - 1) % plan.per_window);
            let Window { start, end, .. } = windows[index as usize];
            if place == 0 {
                writer = Writer { key: *key_of(index), timestamp: start, window_end: end, ..writer };
            }
            let eop = place + 1 == plan.per_window;
            let hands_over_only = eop && index % 2 == 0;
            let txlist = (!hands_over_only).then(|| txlist(if plan.one_txlist { 0 } else { number }, plan.txlist_bytes));
            let signed = writer.write(|preconf| {
                preconf.eop = eop;
                preconf.raw_tx_list_hash = txlist.as_ref().map_or(B256::ZERO, |(hash, _)| *hash);
            });
            blocks.push(Block { signed, hash: writer.parent, txlist, window: index as usize });
        }
        Self { blocks: Arc::new(blocks), windows: Arc::new(windows) }
    }

    /// The number of its last block.
    pub fn head(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// A block by its number.
    pub fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// Numbers and hashes in the order in which they must become ready.
    pub fn ready_sequence(&self) -> Vec<(u64, B256)> {
        (1..).zip(self.blocks.iter()).map(|(number, block)| (number, block.hash)).collect()
    }
}

impl Block {
    /// The commitment as it travels.
    pub fn commitment_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.signed.as_bytes())
    }

    /// The txlist as it is gossiped.
    pub fn txlist_bytes(&self) -> Option<Bytes> {
        self.txlist.as_ref().map(|(hash, txlist)| RawTxList { hash: *hash, txlist: txlist.clone() }.encode())
    }
}

fn txlist(number: u64, len: usize) -> (B256, Bytes) {
    let mut bytes = vec![0; len.max(8)];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    (keccak256(&bytes), bytes.into())
}
