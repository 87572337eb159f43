//! What do we answer to others (P6.1–P6.3)?
//!
//! Serving a request never raises its peer's score (P7.8). A broken request is a bad message of its peer's and gets no answer.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use bytes::Bytes;

use crate::counts::Counts;
use crate::error::Refusal;
use crate::id::{ChannelId, PeerId};
use crate::machine::Core;
use crate::output::{Action, Response, Verdict};
use crate::peer::conduct::Conduct;
use crate::peer::ledger::Cause;
use crate::peer::score::Standing;
use crate::time::Now;
use crate::wire::topics::Protocol;
use crate::wire::v1::{
    CommitmentsPage, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE, PreconfHead, RawTxList,
    SIGNED_COMMITMENT_BYTES, TXLIST_HEADER_BYTES,
};

/// Requests of others that are being answered.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    channels: BTreeMap<ChannelId, PeerId>,
    per_peer: Counts<PeerId>,
}

impl Serving {
    fn begin(&mut self, peer: PeerId, channel: ChannelId) {
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

    fn of(&self, peer: &PeerId) -> usize {
        self.per_peer.of(peer)
    }

    pub(crate) fn len(&self) -> usize {
        self.channels.len()
    }
}

impl Core {
    /// A peer asks something of us.
    pub(crate) fn serve(&mut self, now: Now, peer: PeerId, channel: ChannelId, protocol: Protocol, body: &Bytes) {
        match self.admit_request(now, peer, protocol).and_then(|()| self.answer(now, peer, protocol, body)) {
            Ok(response) => {
                self.cx.stats.requests_served += 1;
                self.serving.begin(peer, channel);
                self.cx.act(Action::Respond { channel, response });
            }
            Err(refusal) => {
                self.cx.stats.requests_refused += 1;
                self.cx.act(Action::DropRequest { channel });
                self.blame_request(now, peer, refusal);
            }
        }
    }

    /// P6.6, P7.4: may the peer ask at all?
    fn admit_request(&mut self, now: Now, peer: PeerId, protocol: Protocol) -> Result<(), Refusal> {
        if self.reputation.standing(now.mono, &peer) >= Standing::Pruned {
            return Err(Refusal::Pruned);
        }
        if !self.peers.admit_request(now.mono, peer, protocol) {
            return Err(Refusal::RateLimited);
        }
        // P7.10: an honest peer behind a slow link gives its requests up before we have written our answers. No answer, and no charge: who
        // asks too often meets the limit above. (ours)
        if self.serving.of(&peer) >= self.cx.config.max_served_per_peer {
            return Err(Refusal::Crowded);
        }
        if self.serving.len() >= self.cx.config.max_served { Err(Refusal::Crowded) } else { Ok(()) }
    }

    /// A peer sent a request that is no frame (P3.4).
    pub(crate) fn broken_request(&mut self, now: Now, peer: PeerId) {
        self.blame_request(now, peer, Refusal::BadFrame);
    }

    fn blame_request(&mut self, now: Now, peer: PeerId, refusal: Refusal) {
        self.note_refusal(peer, None, refusal);
        let conduct = match refusal.verdict() {
            // P7.10: a restarted node cannot keep to P6.7 for what it asked before. It gets no answer, but no charge either.
            _ if refusal == Refusal::RateLimited && self.peers.may_have_forgotten(&peer, now.mono) => return,
            _ if refusal == Refusal::RateLimited => Conduct::RateLimited,
            Verdict::Reject => Conduct::BadMessage,
            Verdict::Accept | Verdict::Ignore => return,
        };
        self.charge(now, peer, refusal.rule(), conduct, Cause::Neither);
    }

    fn answer(&mut self, now: Now, peer: PeerId, protocol: Protocol, body: &Bytes) -> Result<Response, Refusal> {
        let (response, len) = match protocol {
            Protocol::GetHead => {
                GetHeadRequest::decode(body).map_err(Refusal::Malformed)?;
                (Response::Head(self.own_head()), PreconfHead::BYTES)
            }
            Protocol::GetCommitments => {
                let page = self.commitments(GetCommitmentsRequest::decode(body).map_err(Refusal::Malformed)?);
                let len = page.len();
                (Response::Commitments(page), len)
            }
            Protocol::GetTxList => {
                let GetTxListRequest { hash } = GetTxListRequest::decode(body).map_err(Refusal::Malformed)?;
                let txlist = self.txlists.get(&hash).cloned().unwrap_or_default(); // P6.3: no bytes for not found
                let len = TXLIST_HEADER_BYTES + txlist.len();
                (Response::TxList(RawTxList { hash, txlist }), len)
            }
        };
        if self.peers.admit_response(now.mono, peer, len) { Ok(response) } else { Err(Refusal::RateLimited) }
    }

    /// P6.1: our head; without one, the sync tip with window end 0.
    fn own_head(&self) -> PreconfHead {
        let (number, window_end) =
            self.chain.head().map_or((self.chain.tip().block_number, 0), |head| (head.block_number, head.window_end));
        PreconfHead { block_number: U256::from(number), submission_window_end: U256::from(window_end) }
    }

    /// P6.2: canonical, ascending, gapless from the start; within count, 256, and the byte budget.
    fn commitments(&self, request: GetCommitmentsRequest) -> Bytes {
        let budget = (self.cx.config.response_budget_bytes - 4) / SIGNED_COMMITMENT_BYTES;
        let count = (request.max_count as usize).min(MAX_COMMITMENTS_PER_RESPONSE).min(budget);
        let start = u64::try_from(request.start_block_number);
        let found: Vec<_> = start.map(|start| self.chain.from(start).take(count).collect()).unwrap_or_default();
        CommitmentsPage::encode(found.iter().map(|commitment| &commitment.signed))
    }
}
