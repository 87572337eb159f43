//! Who leaves although there is room, so that somebody new can show what it is worth (P8.10)?
//!
//! Whoever fills a node's places first would keep them, since nobody is looked for while they are full (P8.6): a node that starts in a table
//! full of hostile records would hear of nobody else. So at every `exchange_every` a full node gives up one of the peers that its own dials
//! brought. Some are looked at, by dice. The better half of them by score is safe, of equals the later ones; of the rest it is the one that
//! has been there longest, so that each has the same time to show itself. It is dialed again after all others.

use std::cmp::Reverse;

use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;
use crate::peer::pruning::Rank;
use crate::time::{Now, Timer};

/// How many of the peers that our own dials brought are looked at for one that makes room. Ours: a third of those that production has room
/// for (P8.2); a fair sample, that costs some microseconds.
const LOOKED_AT: usize = 32;

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
            return; // the next peer that fills the last place sets the timer
        }
        if let Some(peer) = self.least_shown() {
            tracing::debug!(%peer, "a place for somebody new");
            self.discovery.candidates.change(&peer, |candidate| candidate.given_up = Some(now.mono));
            self.cx.stats.discovery.exchanged += 1;
            self.peers.send_off(&peer);
            self.cx.act(Action::Disconnect { peer });
        }
        self.plan_exchange(now); // nobody could go: perhaps later
    }

    /// Of those looked at whom our dials brought and discovery knows, the worse half by score; of these, who came first.
    fn least_shown(&mut self) -> Option<PeerId> {
        let seat = self.any_seat();
        let found = |(_, peer): &(Rank, PeerId)| self.discovery.candidates.get(peer).is_some();
        let mut ours: Vec<(Rank, PeerId)> = self.peers.outbound_from(seat).take(LOOKED_AT).filter(found).collect();
        // Of equals the later are the better half: the earlier had their time, and would stay for ever.
        ours.sort_by_key(|(rank, _)| (Reverse(rank.score), rank.arrival));
        let better = ours.len().div_ceil(2); // the only one stays
        ours.into_iter().skip(better).min_by_key(|(rank, _)| Reverse(rank.arrival)).map(|(_, peer)| peer)
    }
}
