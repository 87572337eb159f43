//! Is a response good, and what follows from it (P6.4)?
//!
//! A response is checked like gossip, and it must be what was asked. A broken one costs a failure; what stands in a page before the first
//! bad item keeps its worth.

use alloy_primitives::{B256, U256};
use bytes::Bytes;

use crate::crypto;
use crate::error::{Refusal, RequestError};
use crate::id::{PeerId, RequestId};
use crate::input::RequestFailure;
use crate::machine::Core;
use crate::origin::Origin;
use crate::output::{Action, Outcome};
use crate::peer::conduct::Conduct;
use crate::peer::ledger::Cause;
use crate::peer::table::Connected;
use crate::request::{Purpose, Sent};
use crate::time::{Now, Timer};
use crate::validate::v1::commitment;
use crate::wire::v1::{CommitmentsPage, PreconfHead, RawTxList, SignedCommitment};

/// The good items at the front of a page, and the refusal of the first bad one.
pub(crate) struct PageRead {
    pub(crate) items: Vec<SignedCommitment>,
    pub(crate) broken: Option<Refusal>,
}

impl Core {
    /// A request of ours was answered.
    pub(crate) fn response_received(&mut self, now: Now, request: RequestId, body: &Bytes) {
        let Some((sent, _)) = self.end_request(now, request) else { return }; // P6.5: unknown or late
        let Sent { peer, purpose, .. } = sent;
        match purpose {
            Purpose::Head { command } => match PreconfHead::decode(body).map_err(Refusal::Malformed) {
                Ok(head) => {
                    self.answered_well(now, peer, request);
                    self.head_claimed(now, peer, u64::try_from(head.block_number).unwrap_or(u64::MAX));
                    if let Some(command) = command {
                        self.cx.finish(command, Outcome::Head { peer, head });
                    }
                }
                Err(refusal) => self.answered_badly(now, request, sent, refusal),
            },
            Purpose::Commitments { start, count, command } => {
                let read = read_page(body, start, count, self.cx.config.slasher);
                match read.broken {
                    Some(refusal) => self.answered_badly(now, request, sent, refusal),
                    None => {
                        self.answered_well(now, peer, request);
                        self.cx.finish(command, Outcome::Commitments { peer, commitments: read.items });
                    }
                }
            }
            Purpose::Page { start, count } => {
                let read = read_page(body, start, count, self.cx.config.slasher);
                match read.broken {
                    Some(refusal) => self.blame_page(now, peer, request, refusal),
                    None => self.answered_well(now, peer, request),
                }
                self.page_arrived(request, peer, start, read);
            }
            Purpose::Parent { number } => {
                let read = read_page(body, number, 1, self.cx.config.slasher);
                match read.broken {
                    Some(refusal) => self.blame_page(now, peer, request, refusal),
                    None => self.answered_well(now, peer, request),
                }
                self.parent_arrived(request, peer, read.items);
            }
            Purpose::TxList { hash, command } => match read_txlist(body, hash, self.cx.config.txlist_cap) {
                Err(refusal) => self.answered_badly(now, request, sent, refusal),
                Ok(list) if list.txlist.is_empty() => {
                    // P6.3: not found, and P5.6, P7.8: that costs nothing
                    self.cx.stats.requests_answered += 1;
                    match command {
                        Some(command) => self.cx.finish(command, Outcome::TxList { peer, txlist: None }),
                        None => self.fetch_failed(&hash),
                    }
                }
                Ok(list) => {
                    self.cx.stats.requests_answered += 1;
                    self.txlists.answered(&mut self.cx, Origin::Response { peer, request, command }, list);
                }
            },
        }
        self.pump_soon();
    }

    /// A request of ours has no answer.
    pub(crate) fn request_failed(&mut self, now: Now, request: RequestId, failure: RequestFailure) {
        let peer = self.requests.peer_of(request).and_then(|peer| self.peers.get(&peer));
        let disconnected_by_us = peer.is_some_and(Connected::is_leaving);
        self.request_ended(now, request, failure, disconnected_by_us);
    }

    /// A request of ours has no answer, perhaps because we told its peer to leave.
    pub(crate) fn request_ended(&mut self, now: Now, request: RequestId, failure: RequestFailure, disconnected_by_us: bool) {
        let Some((sent, was_sent)) = self.end_request(now, request) else { return }; // P6.5
        let conduct = match failure {
            RequestFailure::Timeout => Some(Conduct::Timeout),
            RequestFailure::Closed if disconnected_by_us => None, // P8.4, P8.10: it was us
            RequestFailure::Closed => Some(Conduct::Dropped),
            RequestFailure::BadFrame => Some(Conduct::BadMessage),
            // A dial of its own says so when a peer cannot be reached, and what a peer does not speak we must not ask: no fault of its.
            RequestFailure::Unreachable | RequestFailure::Unsupported => None,
        };
        if let Some(conduct) = conduct.filter(|_| was_sent) {
            self.charge(now, sent.peer, "P6.5", conduct, Cause::Request(request));
        }
        if was_sent && failure == RequestFailure::Timeout {
            self.cx.act(Action::CancelRequest { request });
        }
        if was_sent && failure == RequestFailure::Closed && self.peers.get(&sent.peer).is_some() {
            self.peers.rest(now.mono, sent.peer, sent.protocol); // P6.7: it may count what we asked before a restart
        }
        if failure == RequestFailure::Unsupported {
            self.peers.does_not_speak(&sent.peer, sent.protocol);
        }
        self.ended_without_good(request, sent, RequestError::Failed(failure));
        self.pump_soon();
    }

    /// A request ends, once. Says whether it was with its peer, or still waited for room.
    fn end_request(&mut self, now: Now, request: RequestId) -> Option<(Sent, bool)> {
        let (sent, was_sent) = self.requests.end(request)?;
        self.cx.timers.cancel(Timer::Request(request));
        if was_sent {
            self.peers.note_ended(now.mono, sent.peer, sent.protocol);
        } else {
            self.peers.wait_no_more(&sent.peer, sent.protocol, request);
        }
        Some((sent, was_sent))
    }

    fn answered_well(&mut self, now: Now, peer: PeerId, request: RequestId) {
        self.cx.stats.requests_answered += 1;
        self.charge(now, peer, "P6.4", Conduct::ResponseOk, Cause::Request(request));
    }

    fn answered_badly(&mut self, now: Now, request: RequestId, sent: Sent, refusal: Refusal) {
        self.blame(now, sent.peer, request, refusal);
        self.ended_without_good(request, sent, RequestError::Refused(refusal));
    }

    /// A broken response costs its peer a failure (P6.4).
    pub(crate) fn blame(&mut self, now: Now, peer: PeerId, request: RequestId, refusal: Refusal) {
        self.note_refusal(peer, None, refusal);
        self.charge(now, peer, refusal.rule(), Conduct::BadMessage, Cause::Request(request));
    }

    fn ended_without_good(&mut self, request: RequestId, sent: Sent, error: RequestError) {
        self.cx.stats.requests_failed += 1;
        match sent.purpose {
            Purpose::Page { start, .. } => self.page_failed(request, sent.peer, start),
            Purpose::TxList { hash, command: None } => self.fetch_failed(&hash),
            Purpose::TxList { .. } | Purpose::Head { .. } | Purpose::Commitments { .. } | Purpose::Parent { .. } => {}
        }
        if let Some(command) = sent.purpose.command() {
            self.cx.finish(command, Outcome::RequestFailed { peer: sent.peer, error });
        }
    }
}

/// P6.4: in range, in order, without a gap, not too many, each linked to the one before and good in itself.
fn read_page(body: &Bytes, start: u64, count: u32, slasher: Option<alloy_primitives::Address>) -> PageRead {
    let mut read = PageRead { items: Vec::new(), broken: None };
    let page = match CommitmentsPage::decode(body) {
        Ok(page) if page.len() > count as usize => {
            read.broken = Some(Refusal::NotAsked);
            return read;
        }
        Ok(page) => page,
        Err(error) => {
            read.broken = Some(Refusal::Malformed(error));
            return read;
        }
    };
    let mut last: Option<B256> = None;
    for (item, number) in page.iter().zip(start..) {
        let good = item.map_err(Refusal::Malformed).and_then(|item| {
            commitment::well_formed(&item, slasher)?;
            if item.preconf().block_number != U256::from(number) {
                return Err(Refusal::NotAsked);
            }
            if last.is_some_and(|last| last != item.preconf().parent_preconfirmation_hash) {
                return Err(Refusal::BrokenPage);
            }
            Ok(item)
        });
        match good {
            Ok(item) => {
                last = Some(crypto::preconfirmation_hash(&item));
                read.items.push(item);
            }
            Err(refusal) => {
                read.broken = Some(refusal);
                break;
            }
        }
    }
    read
}

fn read_txlist(body: &Bytes, asked: B256, cap: usize) -> Result<RawTxList, Refusal> {
    let list = RawTxList::decode(body, cap).map_err(Refusal::Malformed)?;
    if list.hash == asked { Ok(list) } else { Err(Refusal::NotAsked) }
}
