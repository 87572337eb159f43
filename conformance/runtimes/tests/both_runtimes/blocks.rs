//! A chain of commitments with real signatures.

use std::time::{SystemTime, UNIX_EPOCH};

use preconf_node::preconf_core::{Bytes, SignedCommitment, SyncTip, U256, Window, address_of, keccak256};
use preconf_writer::{GENESIS, Writer, key};

/// The block that every test chain starts after.
pub(crate) const TIP: u64 = 100;

/// A preconfer elected for an hour around now, and the chain that it signs.
pub(crate) struct Chain {
    window: Window,
    writer: Writer,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let window = Window { start: now - 1800, end: now + 1800, preconfer: address_of(&key(0x42)), settled_at: Some(0) };
        let writer = Writer { number: TIP, timestamp: window.start + 1, window_end: window.end, ..Writer::new(0x42) };
        Self { window, writer }
    }

    pub(crate) fn schedule(&self) -> Vec<Window> {
        vec![self.window]
    }

    /// The settled block that the chain starts after.
    pub(crate) fn tip(&self) -> SyncTip {
        SyncTip { block_number: TIP, preconfirmation_hash: Some(GENESIS) }
    }

    /// The next block, for this txlist.
    pub(crate) fn block(&mut self, txlist: &[u8]) -> SignedCommitment {
        let coinbase = self.window.preconfer;
        self.writer.write(|preconf| {
            (preconf.coinbase, preconf.raw_tx_list_hash) = (coinbase, keccak256(txlist));
            (preconf.anchor_block_number, preconf.proposal_id) = (U256::ONE, U256::ONE);
        })
    }
}

/// A txlist of this many bytes that no short one explains, so that compression anywhere would show.
pub(crate) fn txlist(len: usize, seed: u8) -> Bytes {
    let mut state = u32::from(seed) | 1;
    let mut bytes = Vec::with_capacity(len);
    bytes.resize_with(len, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    bytes.into()
}
