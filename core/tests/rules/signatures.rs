//! Hashes, signing and recovery (P4.1–P4.4).

use preconf_core::{
    Address, B256, DEFAULT_DOMAIN, PreconfCommitment, Preconfirmation, SecretKey, SignedCommitment, U256, address_of, is_high_s, keccak256,
    preconfirmation_hash, recover, recover_any, sign, signing_hash,
};
use proptest::prelude::*;

#[test]
fn p4_1_the_preconfirmation_hash_covers_neither_slasher_nor_signature_nor_domain() {
    let signed = commitment(1);
    let mut other = signed.commitment().clone();
    other.slasher_address = Address::repeat_byte(9);
    assert_eq!(preconfirmation_hash(&signed), preconfirmation_hash(&SignedCommitment::new(other, [7; 65])));
    assert_eq!(preconfirmation_hash(&signed), keccak256(&signed.as_bytes()[..297]));
    assert_ne!(preconfirmation_hash(&signed), preconfirmation_hash(&commitment(2)));
}

#[test]
fn p4_2_the_signing_hash_covers_domain_and_slasher() {
    let signed = commitment(1);
    let by_hand = keccak256([DEFAULT_DOMAIN.as_slice(), &signed.as_bytes()[..317]].concat());
    assert_eq!(signing_hash(&signed, DEFAULT_DOMAIN), by_hand);
    assert_ne!(signing_hash(&signed, B256::ZERO), by_hand);
    let mut other = signed.commitment().clone();
    other.slasher_address = Address::repeat_byte(9);
    assert_ne!(signing_hash(&SignedCommitment::new(other, [0; 65]), DEFAULT_DOMAIN), by_hand);
}

#[test]
fn p4_2_the_default_domain_is_the_placeholder() {
    assert_eq!(DEFAULT_DOMAIN.as_slice(), b"TAIKO_PRECONF_DOMAIN_PLACEHOLDER");
}

#[test]
fn p4_3_an_address_is_that_of_the_uncompressed_key() {
    // The address of secret key 1, as every Ethereum wallet knows it.
    let expected: Address = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf".parse().expect("an address");
    assert_eq!(address_of(&key(1)), expected);
}

#[test]
fn p4_3_a_recovery_id_beyond_3_is_no_signature() {
    let signed = commitment(1);
    for v in 4..=255 {
        let mut signature = *signed.signature();
        signature[64] = v;
        assert_eq!(recover_any(&SignedCommitment::new(signed.commitment().clone(), signature), DEFAULT_DOMAIN), None, "v = {v}");
    }
}

#[test]
fn p4_3_zero_and_the_group_order_are_no_scalars() {
    let order: [u8; 32] = {
        // n = 2 · (n >> 1) + 1, from the largest low s
        let half = U256::from_str_radix("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16).expect("hex");
        (half * U256::from(2) + U256::ONE).to_be_bytes()
    };
    let signed = commitment(1);
    for scalar in [[0; 32], order, [0xff; 32]] {
        for at in [0, 32] {
            let mut signature = *signed.signature();
            signature[at..at + 32].copy_from_slice(&scalar);
            let bad = SignedCommitment::new(signed.commitment().clone(), signature);
            assert_eq!(recover_any(&bad, DEFAULT_DOMAIN), None);
            // C7: bad is its sender's fault; only the twin of a good signature is nobody's.
            assert!(!is_high_s(&bad));
        }
    }
}

proptest! {
    #[test]
    fn p4_3_and_p4_4_who_signs_is_recovered_and_signs_low(secret in 1u64.., number in any::<u64>(), domain in any::<[u8; 32]>()) {
        let key = key(secret);
        let signed = sign(unsigned(number), &key, B256::from(domain));
        prop_assert!(!is_high_s(&signed));
        prop_assert_eq!(recover(&signed, B256::from(domain)), Some(address_of(&key)));
    }

    #[test]
    fn p4_4_the_high_form_names_the_same_signer_and_is_not_recovered(secret in 1u64.., number in any::<u64>()) {
        let key = key(secret);
        let signed = sign(unsigned(number), &key, DEFAULT_DOMAIN);
        let twin = high_form(&signed);
        prop_assert!(is_high_s(&twin));
        prop_assert_eq!(recover(&twin, DEFAULT_DOMAIN), None);
        prop_assert_eq!(recover_any(&twin, DEFAULT_DOMAIN), Some(address_of(&key)));
        prop_assert_eq!(preconfirmation_hash(&twin), preconfirmation_hash(&signed)); // so it can be no equivocation (C8)
    }

    #[test]
    fn p4_3_any_changed_bit_of_what_was_signed_gives_another_signer_or_none(number in any::<u64>(), bit in 8usize..317 * 8) {
        let signed = sign(unsigned(number), &key(5), DEFAULT_DOMAIN);
        let mut bytes = *signed.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let changed = SignedCommitment::decode(&bytes).expect("only the bool can be malformed");
        prop_assert_ne!(recover(&changed, DEFAULT_DOMAIN), Some(address_of(&key(5))));
    }

    #[test]
    fn no_signature_makes_recovery_panic(number in any::<u64>(), signature in prop::collection::vec(any::<u8>(), 65)) {
        let signature: [u8; 65] = signature.try_into().expect("65 bytes");
        recover_any(&SignedCommitment::new(unsigned(number), signature), DEFAULT_DOMAIN);
    }
}

/// The other form of a signature: n − s, and the other parity.
fn high_form(signed: &SignedCommitment) -> SignedCommitment {
    let mut signature = *signed.signature();
    let s = SecretKey::from_secret_bytes(signature[32..64].try_into().expect("32 bytes")).expect("a scalar");
    signature[32..64].copy_from_slice(&s.negate().to_secret_bytes());
    signature[64] ^= 1;
    SignedCommitment::new(signed.commitment().clone(), signature)
}

fn key(secret: u64) -> SecretKey {
    SecretKey::from_secret_bytes(U256::from(secret).to_be_bytes()).expect("a scalar")
}

fn unsigned(number: u64) -> PreconfCommitment {
    let preconf = Preconfirmation { block_number: U256::from(number), ..Preconfirmation::default() };
    PreconfCommitment { preconf, slasher_address: Address::ZERO }
}

fn commitment(number: u64) -> SignedCommitment {
    sign(unsigned(number), &key(1), DEFAULT_DOMAIN)
}
