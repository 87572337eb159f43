//! Is a commitment good in itself, and is it wanted now (C1–C7)?
//!
//! Called by `chain`, in the order of the rules. Cheap checks first: a stranger's garbage never costs a signature
//! recovery. What needs parents and other commitments stands in `chain`.

use std::time::Duration;

use alloy_primitives::{Address, U256};

use crate::error::Refusal;
use crate::schedule::{Schedule, Standing, Window};
use crate::time::UnixTime;
use crate::wire::v1::SignedCommitment;

/// C1–C3: the container, its slasher, its txlist hash.
pub(crate) fn shape(bytes: &[u8], slasher: Option<Address>) -> Result<SignedCommitment, Refusal> {
    let signed = SignedCommitment::decode(bytes).map_err(Refusal::Malformed)?; // C1
    well_formed(&signed, slasher)?;
    Ok(signed)
}

/// C2 and C3, for what is decoded already.
pub(crate) fn well_formed(signed: &SignedCommitment, slasher: Option<Address>) -> Result<(), Refusal> {
    if slasher.is_some_and(|slasher| slasher != signed.commitment().slasher_address) {
        return Err(Refusal::WrongSlasher); // C2
    }
    if !signed.preconf().eop && !signed.preconf().has_txlist() {
        return Err(Refusal::NoTxListHash); // C3
    }
    Ok(())
}

/// C4, the part about numbers: above the sync tip, and not out of sight above the head. Numbers that pass fit 64 bits.
pub(crate) fn number_in_reach(number: U256, tip: u64, head: u64, max_ahead: u64) -> Result<u64, Refusal> {
    // The highest number of all would have no next one (P10.2).
    let number = u64::try_from(number).ok().filter(|number| *number < u64::MAX).ok_or(Refusal::TooFarAhead)?;
    if number <= tip {
        Err(Refusal::Stale)
    } else if number > head.saturating_add(max_ahead) {
        Err(Refusal::TooFarAhead)
    } else {
        Ok(number)
    }
}

/// C5: its window is over, and the grace behind it too. Not asked of what sync brings (P6.10).
pub(crate) fn timely(window_end: U256, now: UnixTime, grace: Duration) -> Result<(), Refusal> {
    let Ok(end) = u64::try_from(window_end) else { return Ok(()) };
    let limit = u128::from(end) * 1_000_000 + grace.as_micros();
    if u128::from(now.0) > limit { Err(Refusal::Late) } else { Ok(()) }
}

/// C6: the window that it names. `Ok(None)` when the schedule does not reach that far yet. What was settled before `known` is known to everybody.
pub(crate) fn window(signed: &SignedCommitment, schedule: &Schedule, known: UnixTime) -> Result<Option<Window>, Refusal> {
    let preconf = signed.preconf();
    match schedule.standing(preconf.submission_window_end, preconf.timestamp) {
        Standing::NotCovered => Ok(None),
        Standing::Wrong(there) => Err(Refusal::WrongWindow { settled: there.is_settled_before(known) }),
        Standing::In(window) => Ok(Some(window)),
    }
}

/// C7, once the signer is recovered.
pub(crate) fn elected(signer: Option<Address>, window: &Window, known: UnixTime) -> Result<Address, Refusal> {
    let signer = signer.ok_or(Refusal::BadSignature)?;
    if signer == window.preconfer { Ok(signer) } else { Err(Refusal::WrongSigner { settled: window.is_settled_before(known) }) }
}

/// C6a: how long it is until its window begins, where that is more than the grace.
pub(crate) fn early_by(window: &Window, now: UnixTime, grace: Duration) -> Option<Duration> {
    let begins = u128::from(window.start) * 1_000_000;
    let ahead = begins.checked_sub(u128::from(now.0) + grace.as_micros()).filter(|ahead| *ahead > 0)?;
    Some(Duration::from_micros(u64::try_from(ahead).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_sight_are_refused_whatever_their_size() {
        // C4
        assert_eq!(number_in_reach(U256::from(5), 5, 9, 768), Err(Refusal::Stale));
        assert_eq!(number_in_reach(U256::from(6), 5, 9, 768), Ok(6));
        assert_eq!(number_in_reach(U256::from(777), 5, 9, 768), Ok(777));
        assert_eq!(number_in_reach(U256::from(778), 5, 9, 768), Err(Refusal::TooFarAhead));
        assert_eq!(number_in_reach(U256::from(1) << 200, 5, 9, 768), Err(Refusal::TooFarAhead));
    }

    #[test]
    fn a_commitment_is_late_when_more_than_the_grace_has_passed() {
        // C5
        let grace = Duration::from_secs(12);
        let end = U256::from(100);
        assert_eq!(timely(end, UnixTime::from_secs(112), grace), Ok(()));
        assert_eq!(timely(end, UnixTime(112_000_001), grace), Err(Refusal::Late));
        assert_eq!(timely(U256::MAX, UnixTime::from_secs(112), grace), Ok(()));
    }

    #[test]
    fn only_the_elected_signer_passes() {
        // C7
        let window = Window { start: 0, end: 9, preconfer: Address::repeat_byte(1), settled_at: Some(50) };
        let elected = |signer, known| elected(signer, &window, UnixTime(known));
        assert_eq!(elected(Some(window.preconfer), 0), Ok(window.preconfer));
        assert_eq!(elected(None, 0), Err(Refusal::BadSignature));
        assert_eq!(elected(Some(Address::ZERO), 50_000_000), Err(Refusal::WrongSigner { settled: false }), "some may not know it yet");
        assert_eq!(elected(Some(Address::ZERO), 50_000_001), Err(Refusal::WrongSigner { settled: true }));
    }

    #[test]
    fn c6a_a_window_is_early_until_its_grace_before_it_begins() {
        let window = Window { start: 100, end: 109, preconfer: Address::ZERO, settled_at: Some(0) };
        let early_by = |micros| early_by(&window, UnixTime(micros), Duration::from_secs(2));
        assert_eq!(early_by(90_000_000), Some(Duration::from_secs(8)));
        assert_eq!(early_by(97_999_999), Some(Duration::from_micros(1)));
        assert_eq!((early_by(98_000_000), early_by(u64::MAX)), (None, None));
        let last = Window { start: u64::MAX - 1, end: u64::MAX, ..window };
        assert_eq!(super::early_by(&last, UnixTime(0), Duration::ZERO), Some(Duration::from_micros(u64::MAX)));
    }
}
