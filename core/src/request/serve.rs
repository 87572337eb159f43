//! What do we answer to others (P6.1–P6.3)?
//!
//! Serving a request never raises its peer's score (P7.8). A broken request is a bad message of its peer's and gets no answer.

use alloy_primitives::U256;
use bytes::Bytes;

use crate::error::Refusal;
use crate::id::{ChannelId, PeerId};
use crate::machine::Core;
use crate::output::{Action, Response};
use crate::peer::conduct::Conduct;
use crate::peer::ledger::Cause;
use crate::time::Now;
use crate::wire::messages::{
    CommitmentsPage, DecodeError, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE, PreconfHead,
    RawTxList, SIGNED_COMMITMENT_BYTES,
};
use crate::wire::topics::Protocol;

impl Core {
    /// A peer asks something of us.
    pub(crate) fn serve(&mut self, now: Now, peer: PeerId, channel: ChannelId, protocol: Protocol, body: &Bytes) {
        match self.answer(protocol, body) {
            Ok(response) => {
                self.stats.requests_served += 1;
                self.act(Action::Respond { channel, response });
            }
            Err(error) => {
                self.stats.requests_refused += 1;
                self.act(Action::DropRequest { channel });
                self.blame_request(now, peer, Refusal::Malformed(error));
            }
        }
    }

    /// A peer sent a request that is no frame (P3.4).
    pub(crate) fn broken_request(&mut self, now: Now, peer: PeerId) {
        self.blame_request(now, peer, Refusal::BadFrame);
    }

    fn blame_request(&mut self, now: Now, peer: PeerId, refusal: Refusal) {
        self.note_refusal(peer, None, refusal);
        self.charge(now, peer, refusal.rule(), Conduct::BadMessage, Cause::Neither);
    }

    fn answer(&self, protocol: Protocol, body: &Bytes) -> Result<Response, DecodeError> {
        Ok(match protocol {
            Protocol::GetHead => GetHeadRequest::decode(body).map(|_| Response::Head(self.own_head()))?,
            Protocol::GetCommitments => Response::Commitments(self.commitments(GetCommitmentsRequest::decode(body)?)),
            Protocol::GetTxList => {
                let GetTxListRequest { hash } = GetTxListRequest::decode(body)?;
                let txlist = self.txlists.get(&hash).cloned().unwrap_or_default(); // P6.3: no bytes for not found
                Response::TxList(RawTxList { hash, txlist })
            }
        })
    }

    /// P6.1: our head; without one, the sync tip with window end 0.
    fn own_head(&self) -> PreconfHead {
        let (number, window_end) =
            self.chain.head().map_or((self.chain.tip().block_number, 0), |head| (head.block_number, head.window_end));
        PreconfHead { block_number: U256::from(number), submission_window_end: U256::from(window_end) }
    }

    /// P6.2: canonical, ascending, gapless from the start; within count, 256, and the byte budget.
    fn commitments(&self, request: GetCommitmentsRequest) -> Bytes {
        let budget = (self.config.response_budget_bytes - 4) / SIGNED_COMMITMENT_BYTES;
        let count = (request.max_count as usize).min(MAX_COMMITMENTS_PER_RESPONSE).min(budget);
        let start = u64::try_from(request.start_block_number);
        let found: Vec<_> = start.map(|start| self.chain.from(start).take(count).collect()).unwrap_or_default();
        CommitmentsPage::encode(found.iter().map(|commitment| &commitment.signed))
    }
}
