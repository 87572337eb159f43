//! `reqresp.json`: requests and responses, bare and framed (P3, P3.4).

use preconf_core::{
    Bytes, CommitmentsPage, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_TXLIST_BYTES, PreconfHead, Protocol, RawTxList,
    SignedCommitment, frame_prefix, max_request_bytes, max_response_bytes,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::chunks::{Boundary, Decoded, decode_every_way};
use super::commitments;
use super::report::{Problem, Tally, Unreadable, consistent, same};
use super::text::{Decimal, Hex, HexArray};

/// Shortest body that may be given by its length and hash alone, in bytes.
const TOO_LONG_TO_WRITE: usize = 4000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    r#type: Kind,
    name: String,
    fields: Fields,
    ssz: Option<Hex>,
    ssz_length: usize,
    ssz_sha256: HexArray<32>,
    framed_prefix: Hex,
    framed_sha256: HexArray<32>,
}

#[derive(Clone, Copy, Deserialize)]
enum Kind {
    GetHeadRequest,
    PreconfHead,
    GetCommitmentsByNumberRequest,
    GetCommitmentsByNumberResponse,
    GetRawTxListRequest,
    GetRawTxListResponse,
}

/// What the message says; which of these it is follows from its type.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Fields {
    Head { block_number: Decimal, submission_window_end: Decimal },
    Commitments { start_block_number: Decimal, max_count: u32 },
    Count { count: usize },
    TxList { raw_tx_list_hash: HexArray<32>, txlist: Hex },
    Hash { raw_tx_list_hash: HexArray<32> },
    Nothing {},
}

pub(super) fn run(text: &[u8], commitments: &[u8]) -> Result<Tally, Unreadable> {
    let rows: Vec<Row> = serde_json::from_slice(text)?;
    let chain = commitments::chain(commitments);
    let mut tally = Tally::default();
    tally.check(&rows, |row| &row.name, |row| check(row, &chain));
    Ok(tally)
}

fn check(row: &Row, chain: &[SignedCommitment]) -> Result<(), Problem> {
    let (body, cap) = encode(row, chain)?;
    match &row.ssz {
        Some(ssz) => same("bytes", &ssz.0[..], &body[..])?,
        None => consistent(row.ssz_length >= TOO_LONG_TO_WRITE, "a short message without its bytes")?,
    }
    same("length", &row.ssz_length, &body.len())?;
    same("SHA-256 of the bytes", &row.ssz_sha256.0[..], &Sha256::digest(&body)[..])?;
    let (prefix, len) = frame_prefix(u32::try_from(body.len()).map_err(|_| Problem::Contradiction("a body over 4 GiB"))?);
    same("frame's prefix", &row.framed_prefix.0[..], &prefix[..len])?;
    let framed = [&prefix[..len], &body].concat();
    same("SHA-256 of the frame", &row.framed_sha256.0[..], &Sha256::digest(&framed)[..])?;
    match decode_every_way(&framed, cap) {
        Ok(found) => same("frame read back", &Decoded { frames: vec![body.to_vec()], end: Ok(Boundary::Between) }, &found),
        Err((whole, cut)) => same("frame in one piece and in several", &whole, &cut),
    }
}

/// Writes the message from its fields, and reads what was written back. With the cap of its frame.
fn encode(row: &Row, chain: &[SignedCommitment]) -> Result<(Bytes, u32), Problem> {
    let response_cap = |protocol| max_response_bytes(protocol, MAX_TXLIST_BYTES);
    Ok(match (row.r#type, &row.fields) {
        (Kind::GetHeadRequest, Fields::Nothing {}) => {
            let body = Bytes::from_static(&GetHeadRequest::BYTES);
            same("read back", &Ok(GetHeadRequest), &GetHeadRequest::decode(&body))?;
            (body, max_request_bytes(Protocol::GetHead))
        }
        (Kind::PreconfHead, Fields::Head { block_number, submission_window_end }) => {
            let head = PreconfHead { block_number: block_number.0, submission_window_end: submission_window_end.0 };
            same("read back", &Ok(head), &PreconfHead::decode(&head.encode()))?;
            (head.encode(), response_cap(Protocol::GetHead))
        }
        (Kind::GetCommitmentsByNumberRequest, Fields::Commitments { start_block_number, max_count }) => {
            let request = GetCommitmentsRequest { start_block_number: start_block_number.0, max_count: *max_count };
            same("read back", &Ok(request), &GetCommitmentsRequest::decode(&request.encode()))?;
            (request.encode(), max_request_bytes(Protocol::GetCommitments))
        }
        (Kind::GetCommitmentsByNumberResponse, Fields::Count { count }) => {
            (encode_page(*count, chain)?, response_cap(Protocol::GetCommitments))
        }
        (Kind::GetRawTxListRequest, Fields::Hash { raw_tx_list_hash }) => {
            let request = GetTxListRequest { hash: raw_tx_list_hash.0.into() };
            same("read back", &Ok(request), &GetTxListRequest::decode(&request.encode()))?;
            (request.encode(), max_request_bytes(Protocol::GetTxList))
        }
        (Kind::GetRawTxListResponse, Fields::TxList { raw_tx_list_hash, txlist }) => {
            let list = RawTxList { hash: raw_tx_list_hash.0.into(), txlist: Bytes::from(txlist.0.clone()) };
            let body = list.encode();
            same("read back", &Ok(list), &RawTxList::decode(&body, MAX_TXLIST_BYTES))?;
            (body, response_cap(Protocol::GetTxList))
        }
        _ => return Err(Problem::Contradiction("the fields belong to another type")),
    })
}

/// The chain of `commitments.json`, from its first one and over again as often as needed.
fn encode_page(count: usize, chain: &[SignedCommitment]) -> Result<Bytes, Problem> {
    consistent(!chain.is_empty(), "there is no chain in commitments.json to take items from")?;
    let items: Vec<&SignedCommitment> = chain.iter().cycle().take(count).collect();
    let body = CommitmentsPage::encode(items.iter().copied());
    let read: Result<Vec<_>, _> = CommitmentsPage::decode(&body).and_then(|page| page.iter().collect());
    same("read back", &Ok(items.into_iter().cloned().collect()), &read)?;
    Ok(body)
}
