//! What does a hostile peer send?
//!
//! Three kinds of messages that no honest node could ever forward, so each must be rejected on sight and charged to who sent it. No two are
//! alike, or gossip's duplicate cache would keep them from being judged.

use preconf_core::{B256, Bytes, COMMITMENT_BYTES, RawTxList, SecretKey, SignedCommitment, TXLIST_HEADER_BYTES, Topic, keccak256};
use preconf_writer::Writer;

use super::plan::{Plan, digest, noise};

/// Bytes of a hostile txlist. Ours: as a block may have.
const TXLIST_BYTES: usize = 1 << 10;

/// A kind of hostile message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not the container that its topic carries (C1).
    Malformed,
    /// A commitment that the elected preconfer did not sign (C7).
    WronglySigned,
    /// Not the container that its topic carries (T1). Another hash than it claims is a fault only once a commitment names that hash (T4).
    BrokenTxList,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Malformed, Self::WronglySigned, Self::BrokenTxList];

    /// Where it is sent.
    pub(crate) fn topic(self) -> Topic {
        match self {
            Self::Malformed | Self::WronglySigned => Topic::Commitments,
            Self::BrokenTxList => Topic::TxLists,
        }
    }
}

/// Makes hostile messages.
pub(crate) struct Malice {
    plan: Plan,
    key: SecretKey,
    salt: B256,
    made: u64,
}

impl Malice {
    /// The hostile peer with this key, against this chain.
    pub(crate) fn new(plan: Plan, key: SecretKey, salt: B256) -> Self {
        Self { plan, key, salt, made: 0 }
    }

    /// One message of a kind, unlike all before.
    pub(crate) fn make(&mut self, kind: Kind) -> Bytes {
        self.made += 1;
        match kind {
            Kind::Malformed => self.malformed(),
            Kind::WronglySigned => Bytes::copy_from_slice(self.wrongly_signed().as_bytes()),
            Kind::BrokenTxList => {
                let txlist = noise(self.nonce("txlist"), TXLIST_BYTES);
                let mut bytes = RawTxList { hash: self.nonce("claimed"), txlist }.encode().to_vec();
                bytes[TXLIST_HEADER_BYTES - 1] ^= 1; // the offset that every list has
                bytes.into()
            }
        }
    }

    /// In turn: a byte too few, a byte too many, and a bool that is neither 0 nor 1.
    fn malformed(&self) -> Bytes {
        let mut bytes = self.wrongly_signed().as_bytes().to_vec();
        match self.made % 3 {
            0 => bytes.truncate(bytes.len() - 1),
            1 => bytes.push(0),
            _ => bytes[0] = 2,
        }
        bytes.into()
    }

    /// Right in everything but its signature, which is in turn that of somebody else, and no signature at all.
    fn wrongly_signed(&self) -> SignedCommitment {
        let number = 1 + self.made % self.plan.blocks();
        let honest = self.plan.writer(number, self.nonce("parent"));
        let preconf = self.plan.preconf(&honest, self.nonce("txlist hash"));
        let signed = Writer { key: self.key, ..honest }.sign(preconf);
        if self.made.is_multiple_of(2) {
            return signed;
        }
        let mut bytes = *signed.as_bytes();
        bytes[COMMITMENT_BYTES..].fill(0);
        SignedCommitment::decode(&bytes).expect("only the signature changed")
    }

    fn nonce(&self, purpose: &str) -> B256 {
        keccak256([self.salt, digest(self.made, purpose, 0)].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Shape, secret};
    use preconf_core::{MAX_TXLIST_BYTES, U256, recover};
    use std::collections::BTreeSet;

    fn malice() -> Malice {
        let plan = Plan::new(Shape { blocks: 5, block_ms: 500, txlist_len: 10, preconfers: 2, seed: 7 }, 1_800_000_000);
        Malice::new(plan, secret(7, "hostile", 0), digest(7, "salt", 0))
    }

    #[test]
    fn no_message_is_one_that_an_honest_node_could_send() {
        // C1, C7, T1
        let mut malice = malice();
        for _ in 0..12 {
            assert!(SignedCommitment::decode(&malice.make(Kind::Malformed)).is_err());
            let signed = SignedCommitment::decode(&malice.make(Kind::WronglySigned)).expect("well formed");
            let windows = malice.plan.windows();
            let window = windows.iter().find(|w| signed.preconf().submission_window_end == U256::from(w.end)).expect("a window");
            assert_ne!(recover(&signed, malice.plan.domain()), Some(window.preconfer));
            assert!(RawTxList::decode(&malice.make(Kind::BrokenTxList), MAX_TXLIST_BYTES).is_err());
        }
    }

    #[test]
    fn no_two_messages_are_alike() {
        let mut malice = malice();
        let made: BTreeSet<Bytes> = (0..20).flat_map(|_| Kind::ALL.map(|kind| malice.make(kind))).collect();
        assert_eq!(made.len(), 60);
    }
}
