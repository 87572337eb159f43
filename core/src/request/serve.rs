//! What do we answer to others (P6.1–P6.3)?
//!
//! A request is admitted, and then answered from what is here; what is refused gets no answer. [`Serving`] counts the answers that are on
//! their way, so that nobody has more than its share of them.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use bytes::Bytes;

use crate::chain::ChainState;
use crate::config::Config;
use crate::cost::entry;
use crate::counts::Counts;
use crate::error::Refusal;
use crate::id::{ChannelId, PeerId};
use crate::output::Response;
use crate::peer::score::Standing;
use crate::txlists::TxLists;
use crate::wire::topics::Protocol;
use crate::wire::v1::{
    CommitmentsPage, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE, PreconfHead, RawTxList,
    SIGNED_COMMITMENT_BYTES, TXLIST_HEADER_BYTES,
};

/// A request of another's that is being answered.
const SERVED: usize = entry::<[u64; 8], [u64; 8]>();

/// Requests of others that are being answered.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Serving {
    channels: BTreeMap<ChannelId, PeerId>,
    per_peer: Counts<PeerId>,
}

impl Serving {
    /// P6.6, P7.4: may a peer of this standing ask at all? `is_within_limit` counts the request, and is asked only where it matters.
    pub(crate) fn admit(
        &self,
        config: &Config,
        peer: &PeerId,
        standing: Standing,
        is_within_limit: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        if standing >= Standing::Pruned {
            return Err(Refusal::Pruned);
        }
        if !is_within_limit() {
            return Err(Refusal::RateLimited);
        }
        // P7.10: an honest peer behind a slow link gives its requests up before we have written our answers. No answer, and no charge: who
        // asks too often meets the limit above. (ours)
        if self.per_peer.of(peer) >= config.max_served_per_peer || self.channels.len() >= config.max_served {
            return Err(Refusal::Crowded);
        }
        Ok(())
    }

    /// An answer goes out.
    pub(crate) fn begin(&mut self, peer: PeerId, channel: ChannelId) {
        if self.channels.insert(channel, peer).is_none() {
            self.per_peer.raise(peer);
        }
    }

    /// The answer is written, or its channel is gone.
    pub(crate) fn end(&mut self, channel: ChannelId) {
        if let Some(peer) = self.channels.remove(&channel) {
            self.per_peer.lower(&peer);
        }
    }

    /// The most bytes that it holds under a configuration.
    pub(crate) fn max_bytes(config: &Config) -> usize {
        config.max_served * SERVED
    }

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        self.channels.len() * SERVED
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

/// P6.1: our head; without one, the sync tip with window end 0.
fn own_head(chain: &ChainState) -> PreconfHead {
    let (number, window_end) = chain.head().map_or((chain.tip().block_number, 0), |head| (head.block_number, head.window_end));
    PreconfHead { block_number: U256::from(number), submission_window_end: U256::from(window_end) }
}

/// P6.2: canonical, ascending, gapless from the start; within count, 256, and the byte budget.
fn commitments(request: GetCommitmentsRequest, chain: &ChainState, budget_bytes: usize) -> Bytes {
    let budget = (budget_bytes - 4) / SIGNED_COMMITMENT_BYTES;
    let count = (request.max_count as usize).min(MAX_COMMITMENTS_PER_RESPONSE).min(budget);
    let start = u64::try_from(request.start_block_number);
    let found: Vec<_> = start.map(|start| chain.from(start).take(count).collect()).unwrap_or_default();
    CommitmentsPage::encode(found.iter().map(|commitment| &commitment.signed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::topics::ChainId;

    fn peer(name: u8) -> PeerId {
        PeerId::from_bytes(&[0, 1, name]).expect("three bytes")
    }

    #[test]
    fn p6_6_nobody_has_more_than_its_share_of_the_answers_and_a_channel_counts_once() {
        let config = Config { max_served: 3, max_served_per_peer: 2, ..Config::new(ChainId(1)) };
        let mut serving = Serving::default();
        let admit = |serving: &Serving, name| serving.admit(&config, &peer(name), Standing::Healthy, || true);
        for channel in [1, 1, 2] {
            assert_eq!(admit(&serving, 1), Ok(()));
            serving.begin(peer(1), ChannelId(channel));
        }
        assert_eq!((admit(&serving, 1), admit(&serving, 2)), (Err(Refusal::Crowded), Ok(())));
        serving.begin(peer(2), ChannelId(3));
        assert_eq!(admit(&serving, 2), Err(Refusal::Crowded), "all there is");
        assert_eq!(serving.bytes(), Serving::max_bytes(&config));
        serving.end(ChannelId(2));
        serving.end(ChannelId(2));
        assert_eq!(admit(&serving, 1), Ok(()));
    }

    #[test]
    fn p7_4_who_is_pruned_is_refused_before_it_is_counted_and_the_limit_comes_before_the_crowd() {
        let config = Config { max_served: 0, ..Config::new(ChainId(1)) };
        let serving = Serving::default();
        let uncounted = || panic!("counted");
        assert_eq!(serving.admit(&config, &peer(1), Standing::Pruned, uncounted), Err(Refusal::Pruned));
        assert_eq!(serving.admit(&config, &peer(1), Standing::Throttled, || false), Err(Refusal::RateLimited));
        assert_eq!(serving.admit(&config, &peer(1), Standing::Throttled, || true), Err(Refusal::Crowded));
    }

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
