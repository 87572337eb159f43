//! Recovery against another library, signing, and evidence that is altered.

use preconf_core::{
    Address, B256, DEFAULT_DOMAIN, Evidence, Fault, Preconfirmation, SignedCommitment, U256, is_high_s, keccak256, preconfirmation_hash,
    recover, recover_any, sign, signing_hash,
};

use crate::dice::Dice;
use crate::machine::{Material, key, spoil};

/// What an input made of its commitments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// Somebody was recovered.
    pub recovered: bool,
    /// The signature has its high-s form.
    pub high_s: bool,
    /// A fault was proven.
    pub proven: bool,
}

/// Two commitments of the material, each spoiled as the input says: what can be said of their signatures, and what they prove.
///
/// # Panics
/// Another library recovers somebody else, or evidence proves what it does not.
pub fn crypto(data: &[u8]) -> Signed {
    let mut dice = Dice::new(data);
    let domain = if dice.byte() == 0 { DEFAULT_DOMAIN } else { B256::repeat_byte(dice.byte()) };
    let fault = [Fault::Equivocation, Fault::AfterEop, Fault::BrokenLink, Fault::BrokenRule][dice.below(4)];
    let (Some(first), Some(second)) = (commitment(&mut dice), commitment(&mut dice)) else { return Signed::default() };
    let recovered = recovers(&first, domain).is_some() | recovers(&second, domain).is_some();
    let evidence = Evidence { fault, first, second };
    let proven = evidence.verify(domain);
    if let Ok(proof) = &proven {
        assert!(contradict(&evidence), "P5.4: two commitments that an honest preconfer may sign");
        assert_eq!(rival(&evidence.first, domain), Some(proof.signer), "P5.4: the first is somebody else's");
        assert_eq!(rival(&evidence.second, domain), Some(proof.signer), "P5.4: the second is somebody else's");
        assert!(!proof.to_string().is_empty());
    }
    if let Err(why) = &proven {
        assert!(!why.to_string().is_empty());
    }
    let again = sign(evidence.first.commitment().clone(), &key(1 + dice.byte() % 9), domain);
    assert!(recovers(&again, domain).is_some() && !is_high_s(&again), "P4.4: we sign with low s");
    Signed { recovered, high_s: is_high_s(&evidence.first), proven: proven.is_ok() }
}

/// One of the material's, perhaps with a bit turned, perhaps with a signature out of the input.
fn commitment(dice: &mut Dice<'_>) -> Option<SignedCommitment> {
    let items = &Material::get().items;
    let item = &items[dice.below(items.len())];
    let spoiled = SignedCommitment::decode(&spoil(item.signed.as_bytes(), dice.byte())).ok()?;
    let mut signature = *spoiled.signature();
    match dice.below(4) {
        0 => {}
        1 => signature[64] = dice.byte(),
        2 => signature[32..64].copy_from_slice(&dice.bytes::<32>()),
        _ => signature[..32].copy_from_slice(&dice.bytes::<32>()),
    }
    Some(SignedCommitment::new(spoiled.commitment().clone(), signature))
}

fn recovers(signed: &SignedCommitment, domain: B256) -> Option<Address> {
    let (low, any) = (recover(signed, domain), recover_any(signed, domain));
    assert_eq!(low, any.filter(|_| !is_high_s(signed)), "P4.4: recovery takes every form but the high one");
    assert_eq!(any, rival(signed, domain), "P4.3: another library recovers somebody else");
    any
}

/// Who signed it, says `k256`.
fn rival(signed: &SignedCommitment, domain: B256) -> Option<Address> {
    use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
    let (compact, v) = signed.signature().split_at(64);
    let mut v = RecoveryId::from_byte(v[0])?;
    let mut signature = Signature::from_slice(compact).ok()?;
    let normalized = signature.normalize_s();
    assert_eq!(normalized.is_some(), is_high_s(signed), "P4.4: the two disagree about the form");
    if let Some(low) = normalized {
        // Difference 3: it takes low s only, so it is asked about the other form, whose recovery id has the other parity.
        (signature, v) = (low, RecoveryId::new(!v.is_y_odd(), v.is_x_reduced()));
    }
    let recovered = VerifyingKey::recover_from_prehash(signing_hash(signed, domain).as_slice(), &signature, v).ok()?;
    let point = recovered.to_encoded_point(false);
    Some(Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]))
}

/// C9 in other words: does the child keep the protocol's rules?
fn follows(parent: &Preconfirmation, child: &Preconfirmation) -> bool {
    let (from, to) = (parent.gas_limit, child.gas_limit);
    let step = from.max(to) - from.min(to);
    let in_range = to >= U256::from(10_000_000) && to <= U256::from(45_000_000);
    in_range
        && step.checked_mul(U256::from(5_000)).is_some_and(|step| step <= from)
        && parent.block_number < U256::MAX
        && parent.block_number + U256::ONE == child.block_number
        && parent.timestamp < child.timestamp
        && parent.anchor_block_number <= child.anchor_block_number
        && parent.proposal_id <= child.proposal_id
        && parent.submission_window_end <= child.submission_window_end
}

/// P5.4 in other words: could no honest preconfer have signed both?
fn contradict(evidence: &Evidence) -> bool {
    let (one, other) = (evidence.first.preconf(), evidence.second.preconf());
    let hash = preconfirmation_hash(&evidence.first);
    let one_window = one.submission_window_end == other.submission_window_end;
    let differ = hash != preconfirmation_hash(&evidence.second);
    differ
        && match evidence.fault {
            Fault::Equivocation => one.block_number == other.block_number,
            Fault::AfterEop => one_window && one.eop && one.block_number < other.block_number,
            Fault::BrokenLink => {
                let next = one.block_number < U256::MAX && one.block_number + U256::ONE == other.block_number;
                one_window && next && other.parent_preconfirmation_hash != hash
            }
            Fault::BrokenRule => other.parent_preconfirmation_hash == hash && !follows(one, other),
        }
}
