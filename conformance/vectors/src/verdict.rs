//! What the vectors call good and bad, and what the core's public surface says to it.

use preconf_core::{Bytes, MAX_TXLIST_BYTES, RawTxList, SignedCommitment, is_high_s, keccak256, recover_any};
use serde::Deserialize;

/// A verdict as the vectors name it: on the message alone, whatever chain and schedule say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Nothing is wrong with it.
    Ok,
    /// Not wanted, nobody's fault.
    Ignore,
    /// Well formed, and breaks a rule.
    Invalid,
    /// Not the container that it should be.
    DecodeError,
}

/// C1, C3, C7 for a commitment.
pub(super) fn of_commitment(bytes: &[u8]) -> Verdict {
    let Ok(signed) = SignedCommitment::decode(bytes) else { return Verdict::DecodeError };
    if !basic_rules_hold(&signed) {
        Verdict::Invalid
    } else if is_high_s(&signed) {
        Verdict::Ignore
    } else if recover_any(&signed, preconf_core::DEFAULT_DOMAIN).is_none() {
        Verdict::Invalid
    } else {
        Verdict::Ok
    }
}

/// C3.
pub(super) fn basic_rules_hold(signed: &SignedCommitment) -> bool {
    signed.preconf().eop || signed.preconf().has_txlist()
}

/// T1 and T4 for a gossiped txlist.
pub(super) fn of_txlist(bytes: &Bytes) -> Verdict {
    match RawTxList::decode(bytes, MAX_TXLIST_BYTES) {
        Err(_) => Verdict::DecodeError,
        Ok(list) if list.txlist.is_empty() => Verdict::Ignore,
        Ok(list) => by_hash(&list),
    }
}

/// P6.3 and P6.4 for a txlist as an answer: no bytes mean *not found*.
pub(super) fn of_txlist_response(bytes: &Bytes) -> Verdict {
    match RawTxList::decode(bytes, MAX_TXLIST_BYTES) {
        Err(_) => Verdict::DecodeError,
        Ok(list) if list.txlist.is_empty() => Verdict::Ok,
        Ok(list) => by_hash(&list),
    }
}

fn by_hash(list: &RawTxList) -> Verdict {
    if keccak256(&list.txlist) == list.hash { Verdict::Ok } else { Verdict::Invalid }
}

/// For containers where only decoding can go wrong.
pub(super) fn of_decoding<T, E>(decoded: Result<T, E>) -> Verdict {
    if decoded.is_ok() { Verdict::Ok } else { Verdict::DecodeError }
}
