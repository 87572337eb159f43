//! `invalid.json`: what must be refused, and how (P3.1, C1, C3, C7, P4.4, T1, T4, P6.4).

use preconf_core::{
    Address, Bytes, CommitmentsPage, DEFAULT_DOMAIN, DecodeError, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest,
    MAX_COMMITMENTS_PER_RESPONSE, PreconfHead, SignedCommitment, recover_any,
};
use serde::Deserialize;

use super::gossip;
use super::report::{Problem, Tally, Unreadable, consistent, same};
use super::text::{Hex, HexArray};
use super::verdict::{self, Verdict};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    r#type: Kind,
    name: String,
    ssz: Option<Hex>,
    verdict: Verdict,
    signer: Option<HexArray<20>>,
    rule: Option<Rule>,
}

/// A message that is too long to be written out: a list of `count` times the same item.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    item: Hex,
    count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum Kind {
    SignedCommitment,
    RawTxListGossip,
    GetHeadRequest,
    PreconfHead,
    GetCommitmentsByNumberRequest,
    GetCommitmentsByNumberResponse,
    GetRawTxListRequest,
    GetRawTxListResponse,
}

pub(super) fn run(text: &[u8]) -> Result<Tally, Unreadable> {
    let rows: Vec<Row> = serde_json::from_slice(text)?;
    let mut tally = Tally::default();
    tally.check(&rows, |row| &row.name, check);
    Ok(tally)
}

fn check(row: &Row) -> Result<(), Problem> {
    let ssz = message(row)?;
    let found = match row.r#type {
        Kind::SignedCommitment => verdict::of_commitment(&ssz),
        Kind::RawTxListGossip => verdict::of_txlist(&ssz),
        Kind::GetRawTxListResponse => verdict::of_txlist_response(&ssz),
        Kind::GetHeadRequest => verdict::of_decoding(GetHeadRequest::decode(&ssz)),
        Kind::PreconfHead => verdict::of_decoding(PreconfHead::decode(&ssz)),
        Kind::GetCommitmentsByNumberRequest => verdict::of_decoding(GetCommitmentsRequest::decode(&ssz)),
        Kind::GetCommitmentsByNumberResponse => verdict::of_decoding(read_page(&ssz)),
        Kind::GetRawTxListRequest => verdict::of_decoding(GetTxListRequest::decode(&ssz)),
    };
    same("verdict", &row.verdict, &found)?;
    match row.r#type {
        Kind::SignedCommitment => gossip::check_commitment(&ssz, row.verdict)?,
        Kind::RawTxListGossip => gossip::check_txlist(&ssz, row.verdict)?,
        _ => {} // not gossiped
    }
    // Both forms of a signature name the same signer (P4.4), and a commitment with a signer may still be bad (C3).
    same("signer", &row.signer.map(|signer| signer.0.into()), &signer(row.r#type, &ssz))
}

fn signer(kind: Kind, ssz: &[u8]) -> Option<Address> {
    let signed = SignedCommitment::decode(ssz).ok().filter(|_| kind == Kind::SignedCommitment)?;
    recover_any(&signed, DEFAULT_DOMAIN)
}

fn message(row: &Row) -> Result<Bytes, Problem> {
    match (&row.ssz, &row.rule) {
        (Some(ssz), None) => Ok(Bytes::from(ssz.0.clone())),
        (None, Some(rule)) => {
            consistent(row.r#type == Kind::GetCommitmentsByNumberResponse, "only a page is a list of items")?;
            consistent(rule.count <= 4 * MAX_COMMITMENTS_PER_RESPONSE, "a page that no frame could carry")?;
            Ok([&4u32.to_le_bytes()[..], &rule.item.0.repeat(rule.count)].concat().into())
        }
        (Some(_), Some(_)) | (None, None) => Err(Problem::Contradiction("a message is given as bytes or by a rule")),
    }
}

/// Shape first, then each item: a page with a bad item is malformed as a whole here.
fn read_page(ssz: &Bytes) -> Result<usize, DecodeError> {
    CommitmentsPage::decode(ssz)?.iter().try_fold(0, |count, item| item.map(|_| count + 1))
}
