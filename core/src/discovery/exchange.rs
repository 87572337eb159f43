//! Who leaves although there is room, so that somebody new can show what it is worth (P8.10)?
//!
//! Whoever fills a node's slots first would keep them, since nobody is looked for while they are full (P8.6): a node that starts in a table
//! full of hostile records would hear of nobody else. So at every `exchange_every` a full node gives up one of the peers that its own dials
//! brought and that discovery knows. It is dialed again after all others.
//!
//! | of these peers | sort key | |
//! |---|---|---|
//! | all | score, the highest first; the last to come first | the first half, rounded up, is safe |
//! | the rest | the first to come first | the first one goes |
//!
//! Of equals the later are the better half: each has the same time to show itself, and nobody stays for ever. The only one stays.

use std::cmp::Reverse;

use crate::id::PeerId;
use crate::machine::Core;
use crate::peer::pruning::Stay;
use crate::peer::table::Side;
use crate::time::{Now, Time, Timer};

impl Core {
    /// A peer has come: if there are as many as we want, one of them is exchanged in a while.
    pub(crate) fn plan_exchange(&mut self, now: Now) {
        if let Some(config) = self.cx.config.discovery
            && self.has_peers_enough()
        {
            self.cx.timers.set_if_idle(Timer::Exchange, now.mono.after(config.exchange_every));
        }
    }

    /// P8.10: a full node gives up a peer. When it has gone, others are looked for and dialed.
    pub(crate) fn exchange_due(&mut self, now: Now) {
        if !self.has_peers_enough() {
            return; // the next peer that fills the last slot sets the timer
        }
        if let Some(peer) = self.least_shown(now.mono) {
            tracing::debug!(%peer, "a slot for somebody new");
            if let Some(candidate) = self.discovery.candidates.get_mut(&peer) {
                candidate.given_up = Some(now.mono);
            }
            self.cx.stats.discovery.exchanged += 1;
            self.disconnect(peer);
        }
        self.plan_exchange(now); // nobody could go: perhaps later
    }

    /// Who goes, by the table of this module's head.
    fn least_shown(&self, now: Time) -> Option<PeerId> {
        let is_ours = |(peer, stay): &(PeerId, Stay)| stay.side == Side::Outbound && self.discovery.candidates.get(peer).is_some();
        let mut ours: Vec<(PeerId, Stay)> = self.peers.may_leave(&self.reputation, now).filter(is_ours).collect();
        ours.sort_unstable_by_key(|(_, stay)| (Reverse(stay.score), Reverse(stay.arrival)));
        let rest = ours.iter().skip(ours.len().div_ceil(2));
        rest.min_by_key(|(_, stay)| stay.arrival).map(|(peer, _)| *peer)
    }
}
