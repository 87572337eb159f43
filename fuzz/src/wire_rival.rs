//! Our decoders against those of another SSZ library: both take the same bytes, and read the same out of them.
//!
//! The rival is `ssz_rs`. Where the two may differ is numbered in README.md, "Known differences"; here each is cited where it is allowed.

use preconf_core::{
    Bytes, CommitmentsPage, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_TXLIST_BYTES, PreconfHead, RawTxList,
    SignedCommitment,
};
use ssz_rs::prelude::*;

type Number = Vector<u8, 32>;
type Hash = Vector<u8, 32>;
type Account = Vector<u8, 20>;

#[derive(Debug, Default, PartialEq, Eq, SimpleSerialize)]
struct RivalPreconfirmation {
    eop: bool,
    block_number: Number,
    timestamp: Number,
    gas_limit: Number,
    coinbase: Account,
    anchor_block_number: Number,
    raw_tx_list_hash: Hash,
    parent_preconfirmation_hash: Hash,
    submission_window_end: Number,
    prover_auth: Account,
    proposal_id: Number,
}

#[derive(Debug, Default, PartialEq, Eq, SimpleSerialize)]
struct RivalCommitment {
    preconf: RivalPreconfirmation,
    slasher_address: Account,
}

#[derive(Debug, Default, PartialEq, Eq, SimpleSerialize)]
struct RivalSigned {
    commitment: RivalCommitment,
    signature: Vector<u8, 65>,
}

#[derive(Debug, Default, PartialEq, Eq, SimpleSerialize)]
struct RivalTxList {
    raw_tx_list_hash: Hash,
    txlist: List<u8, MAX_TXLIST_BYTES>,
}

#[derive(Debug, Default, PartialEq, Eq, SimpleSerialize)]
struct RivalHeadRequest {
    reserved: List<u8, 0>,
}

#[derive(Debug, Default, PartialEq, Eq, SimpleSerialize)]
struct RivalHead {
    block_number: Number,
    submission_window_end: Number,
}

#[derive(Debug, Default, PartialEq, Eq, SimpleSerialize)]
struct RivalCommitmentsRequest {
    start_block_number: Number,
    max_count: u32,
}

#[derive(Debug, Default, PartialEq, Eq, SimpleSerialize)]
struct RivalPage {
    commitments: List<RivalSigned, 256>,
}

#[derive(Debug, Default, PartialEq, Eq, SimpleSerialize)]
struct RivalTxListRequest {
    raw_tx_list_hash: Hash,
}

/// Reads bytes as every container with both libraries. Says how many of them take the bytes.
///
/// # Panics
/// One takes what the other refuses, or they read different fields.
pub fn wire_rival(data: &[u8]) -> usize {
    let bytes = Bytes::copy_from_slice(data);
    let signed = same("SignedCommitment", SignedCommitment::decode(data).ok(), rival::<RivalSigned>(data, None));
    if let Some((ours, theirs)) = &signed {
        fields(ours, theirs);
    }
    let list = same("RawTxList", RawTxList::decode(&bytes, MAX_TXLIST_BYTES).ok(), rival::<RivalTxList>(data, Some(32)));
    if let Some((ours, theirs)) = &list {
        assert_eq!((ours.hash.as_slice(), &ours.txlist[..]), (&theirs.raw_tx_list_hash[..], &theirs.txlist[..]));
    }
    let request = same("GetHeadRequest", GetHeadRequest::decode(data).ok(), rival::<RivalHeadRequest>(data, Some(0)));
    let head = same("PreconfHead", PreconfHead::decode(data).ok(), rival::<RivalHead>(data, None));
    if let Some((ours, theirs)) = &head {
        assert_eq!(ours.block_number.to_le_bytes::<32>()[..], theirs.block_number[..]);
        assert_eq!(ours.submission_window_end.to_le_bytes::<32>()[..], theirs.submission_window_end[..]);
    }
    let wanted = same("GetCommitmentsRequest", GetCommitmentsRequest::decode(data).ok(), rival::<RivalCommitmentsRequest>(data, None));
    if let Some((ours, theirs)) = &wanted {
        assert_eq!(ours.start_block_number.to_le_bytes::<32>()[..], theirs.start_block_number[..]);
        assert_eq!(ours.max_count, theirs.max_count);
    }
    // Difference 2: we read a page item by item, so that what stands before a bad one keeps its worth (P6.4).
    let items = CommitmentsPage::decode(&bytes).ok().and_then(|page| page.iter().collect::<Result<Vec<_>, _>>().ok());
    let page = same("CommitmentsPage", items, rival::<RivalPage>(data, Some(0)));
    if let Some((ours, theirs)) = &page {
        assert_eq!(ours.len(), theirs.commitments.len());
        ours.iter().zip(theirs.commitments.iter()).for_each(|(ours, theirs)| fields(ours, theirs));
    }
    let hash = same("GetTxListRequest", GetTxListRequest::decode(data).ok(), rival::<RivalTxListRequest>(data, None));
    if let Some((ours, theirs)) = &hash {
        assert_eq!(ours.hash.as_slice(), &theirs.raw_tx_list_hash[..]);
    }
    let taken = [signed.is_some(), list.is_some(), request.is_some(), head.is_some(), wanted.is_some(), page.is_some(), hash.is_some()];
    taken.into_iter().filter(|taken| *taken).count()
}

/// What the rival reads. `offset_at` is where the container's one offset stands.
fn rival<T: Deserialize>(data: &[u8], offset_at: Option<usize>) -> Option<T> {
    if let Some(at) = offset_at
        && let Some(raw) = data.get(at..at + 4)
    {
        let offset = u32::from_le_bytes(raw.try_into().expect("four bytes"));
        if offset as usize > data.len() {
            return None; // Difference 1: it would panic.
        }
    }
    T::deserialize(data).ok()
}

fn same<A, B>(what: &str, ours: Option<A>, theirs: Option<B>) -> Option<(A, B)> {
    assert_eq!(ours.is_some(), theirs.is_some(), "P3.1: {what} is taken by one of the two only");
    ours.zip(theirs)
}

fn fields(ours: &SignedCommitment, theirs: &RivalSigned) {
    let (preconf, rival) = (ours.preconf(), &theirs.commitment.preconf);
    assert_eq!(preconf.eop, rival.eop);
    let numbers = [
        (preconf.block_number, &rival.block_number),
        (preconf.timestamp, &rival.timestamp),
        (preconf.gas_limit, &rival.gas_limit),
        (preconf.anchor_block_number, &rival.anchor_block_number),
        (preconf.submission_window_end, &rival.submission_window_end),
        (preconf.proposal_id, &rival.proposal_id),
    ];
    for (ours, theirs) in numbers {
        assert_eq!(ours.to_le_bytes::<32>()[..], theirs[..]);
    }
    let bytes = [
        (preconf.coinbase.as_slice(), &rival.coinbase[..]),
        (preconf.prover_auth.as_slice(), &rival.prover_auth[..]),
        (preconf.raw_tx_list_hash.as_slice(), &rival.raw_tx_list_hash[..]),
        (preconf.parent_preconfirmation_hash.as_slice(), &rival.parent_preconfirmation_hash[..]),
        (ours.commitment().slasher_address.as_slice(), &theirs.commitment.slasher_address[..]),
        (&ours.signature()[..], &theirs.signature[..]),
    ];
    for (ours, theirs) in bytes {
        assert_eq!(ours, theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_1_the_rival_panics_on_an_offset_behind_the_end() {
        // Without overflow checks it may answer something; here they are on.
        let panics = std::panic::catch_unwind(|| RivalHeadRequest::deserialize(&[9, 0, 0, 0]));
        assert!(panics.is_err(), "the rival was mended: ask it about every offset");
        assert_eq!(wire_rival(&[9, 0, 0, 0]), 0);
    }
}
