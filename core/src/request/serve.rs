//! What do we answer to others (P6.1–P6.3)?
//!
//! Pure: from what is here. Who is answered when is the question of [`Room`](super::room::Room).

use alloy_primitives::U256;
use bytes::Bytes;

use crate::chain::ChainState;
use crate::config::Config;
use crate::error::Refusal;
use crate::output::Response;
use crate::txlists::TxLists;
use crate::wire::topics::Protocol;
use crate::wire::v1::{
    CommitmentsPage, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE, PreconfHead, RawTxList,
    SIGNED_COMMITMENT_BYTES, TXLIST_HEADER_BYTES,
};

/// Is it a request (P3.1)?
pub(crate) fn well_formed(protocol: Protocol, body: &Bytes) -> Result<(), Refusal> {
    let decoded = match protocol {
        Protocol::GetHead => GetHeadRequest::decode(body).map(drop),
        Protocol::GetCommitments => GetCommitmentsRequest::decode(body).map(drop),
        Protocol::GetTxList => GetTxListRequest::decode(body).map(drop),
    };
    decoded.map_err(Refusal::Malformed)
}

/// How long the answer to a request is at most, in bytes, without making it.
pub(crate) fn answer_len(protocol: Protocol, body: &Bytes, txlists: &TxLists, config: &Config) -> usize {
    match protocol {
        Protocol::GetHead => PreconfHead::BYTES,
        Protocol::GetCommitments => {
            let asked = GetCommitmentsRequest::decode(body).map_or(0, |request| request.max_count as usize);
            4 + asked.min(MAX_COMMITMENTS_PER_RESPONSE).min(budget(config.response_budget_bytes)) * SIGNED_COMMITMENT_BYTES
        }
        Protocol::GetTxList => {
            let found = GetTxListRequest::decode(body).ok().and_then(|request| txlists.get(&request.hash));
            TXLIST_HEADER_BYTES + found.map_or(0, Bytes::len)
        }
    }
}

/// The answer to a request, from what is here, and its length in bytes.
pub(crate) fn answer(
    protocol: Protocol,
    body: &Bytes,
    chain: &ChainState,
    txlists: &TxLists,
    config: &Config,
) -> Result<(Response, usize), Refusal> {
    match protocol {
        Protocol::GetHead => {
            GetHeadRequest::decode(body).map_err(Refusal::Malformed)?;
            Ok((Response::Head(own_head(chain)), PreconfHead::BYTES))
        }
        Protocol::GetCommitments => {
            let request = GetCommitmentsRequest::decode(body).map_err(Refusal::Malformed)?;
            let page = commitments(request, chain, config.response_budget_bytes);
            let len = page.len();
            Ok((Response::Commitments(page), len))
        }
        Protocol::GetTxList => {
            let GetTxListRequest { hash } = GetTxListRequest::decode(body).map_err(Refusal::Malformed)?;
            let txlist = txlists.get(&hash).cloned().unwrap_or_default(); // P6.3: no bytes for not found
            let len = TXLIST_HEADER_BYTES + txlist.len();
            Ok((Response::TxList(RawTxList { hash, txlist }), len))
        }
    }
}

/// The answer of a node that has nothing, but for its head: to a request that no room came for in time (P6.6).
pub(crate) fn nothing(protocol: Protocol, body: &Bytes, chain: &ChainState) -> Response {
    match protocol {
        Protocol::GetHead => Response::Head(own_head(chain)),
        Protocol::GetCommitments => Response::Commitments(CommitmentsPage::encode(std::iter::empty())),
        Protocol::GetTxList => {
            let hash = GetTxListRequest::decode(body).map(|request| request.hash).unwrap_or_default();
            Response::TxList(RawTxList { hash, txlist: Bytes::new() })
        }
    }
}

/// P6.1: our head; without one, the sync tip with window end 0.
fn own_head(chain: &ChainState) -> PreconfHead {
    let (number, window_end) = chain.head().map_or((chain.tip().block_number, 0), |head| (head.block_number, head.window_end));
    PreconfHead { block_number: U256::from(number), submission_window_end: U256::from(window_end) }
}

/// Commitments that so many bytes hold.
fn budget(bytes: usize) -> usize {
    bytes.saturating_sub(4) / SIGNED_COMMITMENT_BYTES
}

/// P6.2: canonical, ascending, gapless from the start; within count, 256, and the byte budget.
fn commitments(request: GetCommitmentsRequest, chain: &ChainState, budget_bytes: usize) -> Bytes {
    let count = (request.max_count as usize).min(MAX_COMMITMENTS_PER_RESPONSE).min(budget(budget_bytes));
    let start = u64::try_from(request.start_block_number);
    let found: Vec<_> = start.map(|start| chain.from(start).take(count).collect()).unwrap_or_default();
    CommitmentsPage::encode(found.iter().map(|commitment| &commitment.signed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::topics::ChainId;

    #[test]
    fn p6_1_to_p6_3_a_node_that_has_nothing_says_so() {
        let config = Config::new(ChainId(1));
        let (chain, txlists) = (ChainState::new(&config), TxLists::new(&config));
        let answer = |protocol, body: Bytes| super::answer(protocol, &body, &chain, &txlists, &config);
        let head = PreconfHead { block_number: U256::ZERO, submission_window_end: U256::ZERO };
        assert_eq!(answer(Protocol::GetHead, Bytes::from_static(&GetHeadRequest::BYTES)), Ok((Response::Head(head), PreconfHead::BYTES)));
        let page = GetCommitmentsRequest { start_block_number: U256::from(1), max_count: 9 }.encode();
        let empty = CommitmentsPage::encode(std::iter::empty());
        assert_eq!(answer(Protocol::GetCommitments, page), Ok((Response::Commitments(empty.clone()), empty.len())));
        let hash = alloy_primitives::B256::repeat_byte(1);
        let nothing = RawTxList { hash, txlist: Bytes::new() };
        let found = answer(Protocol::GetTxList, GetTxListRequest { hash }.encode());
        assert_eq!(found, Ok((Response::TxList(nothing), TXLIST_HEADER_BYTES)));
        assert!(matches!(answer(Protocol::GetHead, Bytes::from_static(&[1])), Err(Refusal::Malformed(_))));
    }
}
