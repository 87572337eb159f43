//! Is what a peer gave our user signed by whom it should be (P6.4)?
//!
//! Commitments that our user asked for do not enter the chain, so nothing else looks at their signatures. They are handed over, and the peer is
//! paid, when every signer is recovered and, where the schedule reaches, is the one that is elected (C7).

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::Address;

use crate::cost::entry;
use crate::crypto;
use crate::cx::Cx;
use crate::error::Refusal;
use crate::id::{CommandId, JobId, PeerId, RequestId};
use crate::job::Work;
use crate::schedule::Schedule;
use crate::validate::v1::commitment;
use crate::wire::v1::{MAX_COMMITMENTS_PER_RESPONSE, SignedCommitment};

/// A page for our user whose signers are being recovered.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Page {
    peer: PeerId,
    command: CommandId,
    items: Vec<SignedCommitment>,
    /// Signers that have not come back yet.
    left: usize,
    flaw: Option<Refusal>,
}

/// A page whose signers are all known.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) request: RequestId,
    pub(crate) peer: PeerId,
    pub(crate) command: CommandId,
    /// The commitments, or what is wrong with the first bad one.
    pub(crate) items: Result<Vec<SignedCommitment>, Refusal>,
}

/// The pages for our user that are being checked.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct UserPages {
    pages: BTreeMap<RequestId, Page>,
    by_job: BTreeMap<JobId, (RequestId, usize)>,
}

impl UserPages {
    /// The most bytes of one page.
    pub(crate) const PAGE: usize = entry::<RequestId, Page>()
        + MAX_COMMITMENTS_PER_RESPONSE * (2 * size_of::<SignedCommitment>() + entry::<JobId, (RequestId, usize)>());

    /// How many are being checked.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// How many signers have not come back.
    pub(crate) fn jobs(&self) -> usize {
        self.by_job.len()
    }

    /// A page came. `Some` where there is nothing to wait for.
    pub(crate) fn arrived(
        &mut self,
        cx: &mut Cx,
        schedule: &Schedule,
        (request, peer, command): (RequestId, PeerId, CommandId),
        items: Vec<SignedCommitment>,
    ) -> Option<Checked> {
        // C6, P4.4: what can be said without a recovery is said first.
        let flaw = items.iter().find_map(|item| match commitment::window(item, schedule, cx.settled_before()) {
            Err(refusal) => Some(refusal),
            Ok(_) if crypto::is_high_s(item) => Some(Refusal::HighS),
            Ok(_) => None,
        });
        if items.is_empty() || flaw.is_some() {
            return Some(Checked { request, peer, command, items: flaw.map_or(Ok(items), Err) });
        }
        for (index, item) in items.iter().enumerate() {
            let job = cx.start(Work::Recover { commitment: Arc::new(item.clone()), domain: cx.config.domain });
            self.by_job.insert(job, (request, index));
        }
        self.pages.insert(request, Page { peer, command, left: items.len(), items, flaw: None });
        None
    }

    /// A signer came back, or none. `Some` with the last one of a page.
    pub(crate) fn signer_found(&mut self, cx: &Cx, schedule: &Schedule, job: JobId, signer: Option<Address>) -> Option<Checked> {
        let (request, index) = self.by_job.remove(&job)?;
        let page = self.pages.get_mut(&request)?;
        let known = cx.settled_before();
        let elected = match commitment::window(&page.items[index], schedule, known) {
            Ok(Some(window)) => commitment::elected(signer, &window, known).map(drop),
            Ok(None) => signer.map(drop).ok_or(Refusal::BadSignature), // nobody says any more, or yet, who was elected
            Err(refusal) => Err(refusal),
        };
        page.flaw = page.flaw.or(elected.err());
        page.left -= 1;
        if page.left > 0 {
            return None;
        }
        let Page { peer, command, items, flaw, .. } = self.pages.remove(&request)?;
        Some(Checked { request, peer, command, items: flaw.map_or(Ok(items), Err) })
    }
}
