//! Who is asked to back its claim (P11.1)?
//!
//! A claim is a word, so nothing that an operator sees follows it. Where it lies above all that is backed, its peer is asked for the commitment
//! at that number; one that the elected preconfer signed backs it. Whose commitment it is does not matter: it says how far the chain is.
//!
//! | what the peer brings | follows |
//! |---|---|
//! | a commitment that passes C7 | the height is backed, while the peer is connected and claims as much |
//! | nothing | the claim is dropped to our head: nobody backs it (P6.9) |
//! | no answer, or a broken one | the claim stands as a word; the next head that the peer tells is probed again |
//!
//! Those who may be probed are asked in the order of their sort key: how often on end they did not back a claim, what they claim, their id. So
//! a crowd that claims much and backs nothing waits behind everybody else, and never has more than half of what may be under way.

use std::time::Duration;

use alloy_primitives::U256;

use crate::id::PeerId;
use crate::request::wanted::{Purpose, Wanted, Whom};
use crate::sync::CatchUp;
use crate::wire::topics::Protocol;
use crate::wire::v1::GetCommitmentsRequest;

/// Probes under way at once. Ours: a quarter of the requests that may be (P6.6), so that the other things that are asked go on beside them.
const MAX_PROBES: usize = 16;
/// Those of them that go to peers which did not back their claims before.
const MAX_PROBES_OF_UNBACKED: usize = MAX_PROBES / 2;
/// How long another request for the same commitment, to somebody else, may take before the claim is probed all the same. Ours: a round trip on
/// a slow line, and no more, as that somebody may mean to say nothing.
pub(crate) const PROBE_PATIENCE: Duration = Duration::from_secs(1);

impl CatchUp {
    /// Who is asked next to back a claim above this number, while so many probes are under way.
    pub(crate) fn probes_wanted(&self, above: u64, under_way: usize) -> Vec<Wanted> {
        let is_here = |number| self.run.as_ref().is_some_and(|run| run.is_here(number));
        let mut open: Vec<_> = self.claims().to_probe(above).filter(|(_, number, _)| !is_here(*number)).collect();
        open.sort_unstable();
        let room = |(nth, (failed, ..)): &(usize, (u32, u64, PeerId))| {
            under_way + nth < if *failed == 0 { MAX_PROBES } else { MAX_PROBES_OF_UNBACKED }
        };
        open.into_iter().enumerate().take_while(room).map(|(_, (_, number, peer))| probe(peer, number)).collect()
    }

    /// This peer is asked to back what it claims.
    pub(crate) fn probing(&mut self, peer: &PeerId) {
        self.claims.probed(peer);
    }

    /// The peer has nothing at the number that it claims.
    pub(crate) fn claim_unbacked(&mut self, peer: &PeerId, head: u64) {
        self.claims.lower(peer, head);
    }

    /// A commitment with this number that the peer brought passed C7.
    pub(crate) fn height_backed(&mut self, peer: Option<&PeerId>, number: u64) {
        self.has_heard = true;
        if let Some(peer) = peer {
            self.claims.back(peer, number);
        }
    }

    /// Has anybody said where the chain is, so that a lag is more than a guess? Either a peer that claims no more than what is backed, or an
    /// elected preconfer by its signature.
    pub(crate) fn has_heard(&self, best: u64) -> bool {
        self.has_heard || self.claims.any_up_to(best)
    }
}

fn probe(peer: PeerId, number: u64) -> Wanted {
    let body = GetCommitmentsRequest { start_block_number: U256::from(number), max_count: 1 }.encode();
    Wanted { protocol: Protocol::GetCommitments, body, purpose: Purpose::Probe { number }, whom: Whom::Only(peer) }
}
