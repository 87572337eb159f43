//! A chain of commitments with real signatures.

use std::time::{SystemTime, UNIX_EPOCH};

use preconf_node::preconf_core::{
    Address, B256, Bytes, DEFAULT_DOMAIN, PreconfCommitment, Preconfirmation, SecretKey, SignedCommitment, SyncTip, U256, Window,
    address_of, keccak256, preconfirmation_hash, sign,
};

/// The block that every test chain starts after.
pub(crate) const TIP: u64 = 100;

/// A preconfer elected for an hour around now, and the chain that it signs.
pub(crate) struct Chain {
    key: SecretKey,
    window: Window,
    parent: B256,
    next: u64,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let key = SecretKey::from_secret_bytes([0x42; 32]).expect("a key");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let window = Window { start: now - 1800, end: now + 1800, preconfer: address_of(&key), settled: true };
        Self { key, window, parent: B256::repeat_byte(0xaa), next: TIP + 1 }
    }

    pub(crate) fn schedule(&self) -> Vec<Window> {
        vec![self.window]
    }

    /// The settled block that the chain starts after.
    pub(crate) fn tip(&self) -> SyncTip {
        SyncTip { block_number: TIP, preconfirmation_hash: Some(B256::repeat_byte(0xaa)) }
    }

    /// The next block, for this txlist.
    pub(crate) fn block(&mut self, txlist: &[u8]) -> SignedCommitment {
        let preconf = Preconfirmation {
            eop: false,
            block_number: U256::from(self.next),
            timestamp: U256::from(self.window.start + 1 + self.next - TIP),
            gas_limit: U256::from(30_000_000),
            coinbase: self.window.preconfer,
            anchor_block_number: U256::from(1),
            raw_tx_list_hash: keccak256(txlist),
            parent_preconfirmation_hash: self.parent,
            submission_window_end: U256::from(self.window.end),
            prover_auth: Address::ZERO,
            proposal_id: U256::from(1),
        };
        let signed = sign(PreconfCommitment { preconf, slasher_address: Address::ZERO }, &self.key, DEFAULT_DOMAIN);
        self.parent = preconfirmation_hash(&signed);
        self.next += 1;
        signed
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
