//! Hashes, signatures and message names (P4).
//!
//! Pure functions. Recovery and the hash of a whole txlist are slow, so inside the machine they only run as [`Job`](crate::Job)s.

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};
use sha2::{Digest, Sha256};

use crate::id::MessageId;
use crate::wire::topics::{ChainId, Topic};
use crate::wire::v1::{
    COMMITMENT_BYTES, MAX_TXLIST_BYTES, PreconfCommitment, SIGNED_COMMITMENT_BYTES, SignedCommitment, TXLIST_HEADER_BYTES,
};

/// The signing domain that a chain has until it chooses its own (P4.2).
pub const DEFAULT_DOMAIN: B256 = B256::new(*b"TAIKO_PRECONF_DOMAIN_PLACEHOLDER");

/// Half the order of secp256k1: the largest *s* of a low-s signature (P4.4). Source: SEC 2, n >> 1.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4,
    0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];
/// The order of secp256k1: an *s* from here on is no scalar, so the signature has no other form. Source: SEC 2.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48,
    0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// What names a preconfirmation: keccak-256 of its 297 bytes, without a domain (P4.1).
pub fn preconfirmation_hash(signed: &SignedCommitment) -> B256 {
    keccak256(signed.preconfirmation_preimage())
}

/// What is signed: keccak-256 of the domain and the commitment's 317 bytes (P4.2).
pub fn signing_hash(signed: &SignedCommitment, domain: B256) -> B256 {
    signing_hash_of(signed.signing_preimage(), domain)
}

fn signing_hash_of(commitment: &[u8], domain: B256) -> B256 {
    let mut preimage = [0; 32 + COMMITMENT_BYTES];
    preimage[..32].copy_from_slice(domain.as_slice());
    preimage[32..].copy_from_slice(commitment);
    keccak256(preimage)
}

/// Does the signature have the high one of its two forms (P4.4)?
///
/// An *s* that is no scalar is no form of any signature: not high, just bad (C7).
pub fn is_high_s(signed: &SignedCommitment) -> bool {
    let s = &signed.signature()[32..64];
    s > &HALF_ORDER[..] && s < &ORDER[..]
}

/// Who signed this? `None` when the signature is none, or not in low-s form.
///
/// That somebody comes out proves nothing by itself: about one random signature in two recovers to *some* address (P4.3).
pub fn recover(signed: &SignedCommitment, domain: B256) -> Option<Address> {
    if is_high_s(signed) {
        return None;
    }
    recover_any(signed, domain)
}

/// [`recover`] that takes both forms of a signature.
pub fn recover_any(signed: &SignedCommitment, domain: B256) -> Option<Address> {
    let (compact, v) = signed.signature().split_at(64);
    let id = RecoveryId::try_from(i32::from(v[0])).ok()?;
    let signature = RecoverableSignature::from_compact(compact, id).ok()?;
    let message = Message::from_digest(signing_hash(signed, domain).0);
    signature.recover_ecdsa(message).ok().map(|key| address(&key))
}

/// Signs a commitment, in low-s form (P4.4).
///
/// ```
/// use preconf_core::{DEFAULT_DOMAIN, PreconfCommitment, SecretKey, address_of, recover, sign};
/// let key = SecretKey::from_secret_bytes([1; 32]).unwrap();
/// let signed = sign(PreconfCommitment::default(), &key, DEFAULT_DOMAIN);
/// assert_eq!(recover(&signed, DEFAULT_DOMAIN), Some(address_of(&key)));
/// ```
pub fn sign(commitment: PreconfCommitment, key: &SecretKey, domain: B256) -> SignedCommitment {
    let unsigned = SignedCommitment::new(commitment.clone(), [0; 65]);
    let message = Message::from_digest(signing_hash(&unsigned, domain).0);
    let (id, compact) = RecoverableSignature::sign_ecdsa_recoverable(message, key).serialize_compact();
    let mut signature = [0; 65];
    signature[..64].copy_from_slice(&compact);
    signature[64] = id.to_u8();
    SignedCommitment::new(commitment, signature)
}

/// The address of a key's owner (P4.3).
pub fn address_of(key: &SecretKey) -> Address {
    address(&PublicKey::from_secret_key(key))
}

fn address(key: &PublicKey) -> Address {
    Address::from_raw_public_key(&key.serialize_uncompressed()[1..])
}

/// How a gossip message is named on every node of a chain (P4.5, P4.5a).
///
/// Messages of an impossible shape have names of their own, or one sent early on the other topic would make gossipsub's duplicate cache
/// refuse the real one.
pub fn message_id(chain: ChainId, topic: Topic, data: &[u8]) -> MessageId {
    let digest = if !has_possible_shape(topic, data) {
        Sha256::new().chain_update([2, 0, 0, 0]).chain_update(topic.name(chain)).chain_update(data).finalize()
    } else if let Some(plain) = unsnap(data) {
        Sha256::new().chain_update([1, 0, 0, 0]).chain_update(plain).finalize()
    } else {
        Sha256::new().chain_update([0; 4]).chain_update(data).finalize()
    };
    MessageId(digest[..20].try_into().expect("SHA-256 has 32 bytes"))
}

fn has_possible_shape(topic: Topic, data: &[u8]) -> bool {
    match topic {
        Topic::Commitments => data.len() == SIGNED_COMMITMENT_BYTES && data[0] <= 1,
        Topic::TxLists => {
            (TXLIST_HEADER_BYTES..=TXLIST_HEADER_BYTES + MAX_TXLIST_BYTES).contains(&data.len()) && data[32..36] == 36u32.to_le_bytes()
        }
    }
}

/// The content of a raw snappy block that is no longer than a message of ours can be, so that naming one costs no more than hashing the longest
/// of those. A length that only a bomb would announce is not followed either (P4.5).
fn unsnap(data: &[u8]) -> Option<Vec<u8>> {
    /// A snappy copy tag of three bytes yields at most 64: no block grows by more than this factor. Source: the snappy format description.
    const MAX_EXPANSION: usize = 64;
    let len = snap::raw::decompress_len(data).ok()?;
    if len > TXLIST_HEADER_BYTES + MAX_TXLIST_BYTES || len > data.len().saturating_mul(MAX_EXPANSION) {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (SecretKey, SignedCommitment) {
        let key = SecretKey::from_secret_bytes([3; 32]).expect("a key");
        (key, sign(PreconfCommitment::default(), &key, DEFAULT_DOMAIN))
    }

    #[test]
    fn another_domain_gives_another_signer() {
        // P4.2: only the domain keeps a commitment from being replayed on another chain.
        let (key, signed) = signed();
        assert_eq!(recover(&signed, DEFAULT_DOMAIN), Some(address_of(&key)));
        assert_ne!(recover(&signed, B256::ZERO), Some(address_of(&key)));
    }

    #[test]
    fn a_high_s_twin_is_seen_and_recovers_to_the_same_signer() {
        // P4.4
        let (key, signed) = signed();
        let mut twin = *signed.signature();
        let s = secp256k1::SecretKey::from_secret_bytes(twin[32..64].try_into().expect("32 bytes")).expect("a scalar");
        twin[32..64].copy_from_slice(&s.negate().to_secret_bytes());
        twin[64] ^= 1;
        let twin = SignedCommitment::new(signed.commitment().clone(), twin);
        assert!(is_high_s(&twin) && !is_high_s(&signed));
        assert_eq!(recover(&twin, DEFAULT_DOMAIN), None);
        assert_eq!(recover_any(&twin, DEFAULT_DOMAIN), Some(address_of(&key)));
    }

    #[test]
    fn an_s_that_is_no_scalar_is_bad_and_not_high() {
        // C7: garbage is its sender's fault; only a true twin may come from an honest node.
        let (_, signed) = signed();
        for s in [ORDER, [0xff; 32]] {
            let mut signature = *signed.signature();
            signature[32..64].copy_from_slice(&s);
            let bad = SignedCommitment::new(signed.commitment().clone(), signature);
            assert!(!is_high_s(&bad));
            assert_eq!(recover_any(&bad, DEFAULT_DOMAIN), None);
        }
    }

    #[test]
    fn a_commitment_sent_on_the_other_topic_has_another_name() {
        // P4.5a
        let (_, signed) = signed();
        let chain = ChainId(1);
        assert_ne!(message_id(chain, Topic::Commitments, signed.as_bytes()), message_id(chain, Topic::TxLists, signed.as_bytes()));
    }

    #[test]
    fn a_snappy_bomb_is_named_without_being_unpacked() {
        // P4.5: announces 10 MiB in 64 bytes.
        let mut data = vec![0x80, 0x80, 0x80, 0x05];
        data.resize(64, 0);
        assert_eq!(unsnap(&data), None);
    }
}
