//! Who builds which block, in which window, with which bytes?
//!
//! Everything here follows from the flags and one moment, the schedule's start: keys, windows, commitments and txlists of the same seed are
//! the same but for their times.
//!
//! Block *n* has the timestamp `start + n · step`. Timestamps are whole seconds and must grow (C9), blocks may come every few
//! milliseconds: so the chain's time runs ahead of the clock, never behind it, and no block of ours is ever late (C5).
//!
//! Invariant: consecutive blocks satisfy [`ParentRules`](preconf_core::ParentRules), and every timestamp lies inside its window.

use libp2p_identity::{Keypair, secp256k1};
use preconf_core::{Address, B256, Bytes, Preconfirmation, SecretKey, SignedCommitment, SyncTip, U256, Window, address_of, keccak256};
use preconf_writer::Writer;

/// How far the schedule starts after now, in seconds. Ours: room for a machine that stalls, on top of the 12 s of C5.
pub(crate) const LEAD_SECS: u64 = 60;
/// Most blocks of one window. Ours: a long run shows several turns of every preconfer.
const MAX_BLOCKS_PER_WINDOW: u64 = 8;
/// L1 block that the first L2 block is anchored to. Ours: any number does.
const FIRST_ANCHOR: u64 = 1_000;

/// What the flags decide of a devnet's chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Blocks to build.
    pub(crate) blocks: u64,
    /// Milliseconds from one to the next.
    pub(crate) block_ms: u64,
    /// Bytes of each txlist.
    pub(crate) txlist_len: usize,
    /// Nodes that take turns as preconfers.
    pub(crate) preconfers: u64,
    /// Decides keys and txlists.
    pub(crate) seed: u64,
}

/// The chain that a devnet is going to build.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    shape: Shape,
    start: u64,
    step: u64,
    blocks_per_window: u64,
    keys: Vec<SecretKey>,
}

/// One block, ready to publish.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Which of the preconfers publishes it.
    pub(crate) preconfer: usize,
    /// Its commitment.
    pub(crate) signed: SignedCommitment,
    /// Its preconfirmation hash.
    pub(crate) hash: B256,
    /// Its txlist.
    pub(crate) txlist: Bytes,
    /// Is the txlist published before the commitment? Both orders must work, so they alternate.
    pub(crate) txlist_first: bool,
}

impl Plan {
    /// Plans a chain whose schedule starts at a unix second.
    pub(crate) fn new(shape: Shape, start: u64) -> Self {
        let keys = (0..shape.preconfers).map(|index| secret(shape.seed, "node", index)).collect();
        Self {
            shape,
            start,
            step: shape.block_ms.div_ceil(1_000).max(1),
            blocks_per_window: shape.blocks.div_ceil(shape.preconfers).clamp(1, MAX_BLOCKS_PER_WINDOW),
            keys,
        }
    }

    /// What decides all chance.
    pub(crate) fn seed(&self) -> u64 {
        self.shape.seed
    }

    /// Blocks to build.
    pub(crate) fn blocks(&self) -> u64 {
        self.shape.blocks
    }

    /// The signing domain of this devnet: no commitment of one is valid in another, or anywhere else (P4.2).
    pub(crate) fn domain(&self) -> B256 {
        digest(self.shape.seed, "domain", 0)
    }

    /// The slashing contract that commitments name (C2).
    pub(crate) fn slasher(&self) -> Address {
        Address::from_word(digest(self.shape.seed, "slasher", 0))
    }

    /// What the chain grows from.
    pub(crate) fn sync_tip(&self) -> SyncTip {
        SyncTip { block_number: 0, preconfirmation_hash: Some(digest(self.shape.seed, "genesis", 0)) }
    }

    /// Every window that has a block, and one more, so that the last handoff can name who is next.
    pub(crate) fn windows(&self) -> Vec<Window> {
        (0..=self.window_of(self.shape.blocks)).chain([self.window_of(self.shape.blocks) + 1]).map(|index| self.window(index)).collect()
    }

    fn window(&self, index: u64) -> Window {
        let end = self.start + (index + 1) * self.blocks_per_window * self.step;
        // C6a: the first one has begun when the first block is published; each of the others is handed over to.
        let start = if index == 0 { self.start.saturating_sub(2 * LEAD_SECS) } else { end - self.blocks_per_window * self.step };
        let preconfer = address_of(&self.keys[self.preconfer_of(index)]);
        Window { start, end, preconfer, settled_at: Some(0) }
    }

    fn window_of(&self, number: u64) -> u64 {
        (number - 1) / self.blocks_per_window
    }

    fn preconfer_of(&self, window: u64) -> usize {
        usize::try_from(window % self.shape.preconfers).expect("fewer preconfers than memory")
    }

    /// The first block.
    pub(crate) fn first(&self) -> Block {
        self.block(1, self.sync_tip().preconfirmation_hash.expect("a devnet knows its genesis"))
    }

    /// The block after one, unless that was the last.
    pub(crate) fn after(&self, parent: &Block) -> Option<Block> {
        (parent.number < self.shape.blocks).then(|| self.block(parent.number + 1, parent.hash))
    }

    fn block(&self, number: u64, parent: B256) -> Block {
        let txlist = noise(digest(self.shape.seed, "txlist", number), self.shape.txlist_len);
        let preconfer = self.preconfer_of(self.window_of(number));
        let mut writer = self.writer(number, parent);
        let promised = self.preconf(&writer, keccak256(&txlist));
        let signed = writer.write(|preconf| *preconf = promised);
        Block { number, preconfer, signed, hash: writer.parent, txlist, txlist_first: number.is_multiple_of(2) }
    }

    /// The elected preconfer of a block, about to write it.
    pub(crate) fn writer(&self, number: u64, parent: B256) -> Writer {
        let index = self.window_of(number);
        Writer {
            key: self.keys[self.preconfer_of(index)],
            domain: self.domain(),
            slasher: self.slasher(),
            parent,
            number: number - 1,
            timestamp: self.start + number * self.step - 1,
            window_end: self.window(index).end,
        }
    }

    /// What the elected preconfer promises of the next block. The last one of a window hands over as well (P5.3).
    pub(crate) fn preconf(&self, writer: &Writer, txlist_hash: B256) -> Preconfirmation {
        let number = writer.number + 1;
        let index = self.window_of(number);
        Preconfirmation {
            eop: number.is_multiple_of(self.blocks_per_window) || number == self.shape.blocks,
            coinbase: self.window(index).preconfer,
            anchor_block_number: U256::from(FIRST_ANCHOR + index),
            raw_tx_list_hash: txlist_hash,
            proposal_id: U256::from(index + 1),
            ..writer.draft()
        }
    }
}

/// The secret of somebody in a devnet.
pub(crate) fn secret(seed: u64, role: &str, index: u64) -> SecretKey {
    // All but 2^-128 of all hashes are secrets.
    SecretKey::from_secret_bytes(digest(seed, role, index).0).expect("a hash is a secp256k1 secret")
}

/// The libp2p identity that comes from the same secret.
pub(crate) fn identity(seed: u64, role: &str, index: u64) -> Keypair {
    let secret = secp256k1::SecretKey::try_from_bytes(&mut digest(seed, role, index).0).expect("a hash is a secp256k1 secret");
    secp256k1::Keypair::from(secret).into()
}

/// 32 bytes for a purpose: the only source of chance in a devnet.
pub(crate) fn digest(seed: u64, purpose: &str, index: u64) -> B256 {
    keccak256([b"preconf devnet ", purpose.as_bytes(), &seed.to_be_bytes(), &index.to_be_bytes()].concat())
}

/// Bytes that do not compress, from SplitMix64 (Steele, Lea and Flood 2014): fast, and nothing here needs to be unguessable.
pub(crate) fn noise(seed: B256, len: usize) -> Bytes {
    let mut state = u64::from_be_bytes(*seed.first_chunk().expect("32 bytes hold 8"));
    let mut out = Vec::with_capacity(len.next_multiple_of(8));
    while out.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(word ^ (word >> 31)).to_be_bytes());
    }
    out.truncate(len);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use preconf_core::{ParentRules, recover};

    const START: u64 = 1_800_000_000;

    fn plan(blocks: u64, block_ms: u64, preconfers: u64) -> Plan {
        Plan::new(Shape { blocks, block_ms, txlist_len: 100, preconfers, seed: 7 }, START)
    }

    fn chain(plan: &Plan) -> Vec<Block> {
        std::iter::successors(Some(plan.first()), |block| plan.after(block)).collect()
    }

    const SHAPES: [(u64, u64, u64); 6] = [(20, 500, 4), (60, 200, 11), (1, 500, 1), (100, 2_500, 3), (7, 10, 9), (33, 1_001, 2)];

    #[test]
    fn every_block_follows_its_parent_by_the_parent_rules() {
        // C9
        for (blocks, block_ms, preconfers) in SHAPES {
            let chain = chain(&plan(blocks, block_ms, preconfers));
            assert_eq!(chain.len() as u64, blocks);
            for pair in chain.windows(2) {
                assert_eq!(pair[1].signed.preconf().parent_preconfirmation_hash, pair[0].hash);
                assert_eq!(ParentRules::default().check(pair[0].signed.preconf(), pair[1].signed.preconf()), Ok(()));
            }
        }
    }

    #[test]
    fn every_block_lies_in_a_window_of_the_one_who_signed_it() {
        // C6, C7
        for (blocks, block_ms, preconfers) in SHAPES {
            let plan = plan(blocks, block_ms, preconfers);
            let windows = plan.windows();
            for block in chain(&plan) {
                let preconf = block.signed.preconf();
                let window = windows.iter().find(|window| U256::from(window.end) == preconf.submission_window_end).expect("a window");
                assert!(preconf.timestamp > U256::from(window.start) && preconf.timestamp <= U256::from(window.end));
                assert_eq!(recover(&block.signed, plan.domain()), Some(window.preconfer));
                assert_eq!(keccak256(&block.txlist), preconf.raw_tx_list_hash);
            }
        }
    }

    #[test]
    fn no_window_ends_before_its_blocks_are_built() {
        // C5: block n is built at (n − 1) · block_ms after the start, or later if the machine stalls; the lead and 12 s are left for that.
        for (blocks, block_ms, preconfers) in SHAPES {
            for block in chain(&plan(blocks, block_ms, preconfers)) {
                let built = START + (block.number - 1) * block_ms / 1_000;
                assert!(block.signed.preconf().submission_window_end >= U256::from(built));
            }
        }
    }

    #[test]
    fn windows_touch_and_preconfers_take_turns() {
        let windows = plan(60, 200, 3).windows();
        assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].preconfer != pair[1].preconfer));
        assert_eq!(windows.len(), 9, "60 blocks in windows of 8, and one window more");
        assert_eq!(windows[0].preconfer, windows[3].preconfer);
    }

    #[test]
    fn the_last_block_of_each_window_hands_over() {
        // P5.3
        let eops: Vec<u64> = chain(&plan(20, 500, 4)).iter().filter(|block| block.signed.preconf().eop).map(|block| block.number).collect();
        assert_eq!(eops, [5, 10, 15, 20]);
    }

    #[test]
    fn a_seed_decides_keys_and_txlists() {
        assert_eq!(address_of(&secret(7, "node", 1)), address_of(&secret(7, "node", 1)));
        assert_ne!(address_of(&secret(7, "node", 1)), address_of(&secret(8, "node", 1)));
        assert_eq!(chain(&plan(3, 500, 2))[2].hash, chain(&plan(3, 500, 2))[2].hash);
        assert_eq!(noise(B256::ZERO, 13).len(), 13);
        assert_eq!(noise(B256::ZERO, 13), noise(B256::ZERO, 21).slice(..13));
    }
}
