//! When do we look for others (P8.2, P8.6)?
//!
//! | peers | look-ups so far | the next begins |
//! |---|---|---|
//! | as many as wanted | any | when one leaves |
//! | fewer | under `eager_lookups` | `eager_every` after the last |
//! | none | any | `eager_every` after the last |
//! | fewer, but some | more | `every` after the last |
//!
//! One at a time: while one is under way, the next waits for its end, or for [`LOOKUP_LIMIT`]. One timer stands for both.

use std::time::Duration;

use crate::discovery::config::DiscoveryConfig;
use crate::id::LookupId;
use crate::machine::Core;
use crate::output::Action;
use crate::time::{Now, Time, Timer};

/// How long a look-up may take before it is given up. Ours: discv5 gives a query up after a minute.
const LOOKUP_LIMIT: Duration = Duration::from_secs(60);

/// The look-ups.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Lookups {
    under_way: Option<LookupId>,
    /// When the last one began.
    began: Time,
}

impl Core {
    /// As many peers as we want: nobody is looked for (P8.6).
    pub(crate) fn has_peers_enough(&self) -> bool {
        self.peers.staying().all >= self.cx.config.connections.target_peers as usize
    }

    /// P8.2: it is time to look, or the look-up under way has had its time.
    pub(crate) fn look_up_due(&mut self, now: Now) {
        let Some(config) = self.cx.config.discovery else { return };
        if self.discovery.lookups.under_way.take().is_some() {
            self.cx.stats.discovery.lookups_failed += 1;
            return self.look_again(now);
        }
        self.expire_candidates(now);
        if self.has_peers_enough() {
            return; // P8.6: the next peer that leaves sets the timer
        }
        let lookup = self.cx.mint.lookups.next(LookupId);
        self.discovery.lookups = Lookups { under_way: Some(lookup), began: now.mono };
        self.cx.stats.discovery.lookups += 1;
        self.cx.timers.set(Timer::LookUp, now.mono.after(LOOKUP_LIMIT));
        self.cx.act(Action::LookUp { lookup });
        self.plan_dials(now, &config);
    }

    /// A look-up is through, with records found before or with none.
    pub(crate) fn lookup_finished(&mut self, now: Now, lookup: LookupId, succeeded: bool) {
        if self.discovery.lookups.under_way != Some(lookup) {
            return; // given up before, or never begun
        }
        self.discovery.lookups.under_way = None;
        let took = now.mono.since(self.discovery.lookups.began);
        tracing::debug!(%lookup, succeeded, ?took, "look-up finished");
        if succeeded {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.cx.stats.discovery.lookup_micros = self.cx.stats.discovery.lookup_micros.saturating_add(micros);
        } else {
            self.cx.stats.discovery.lookups_failed += 1;
        }
        self.look_again(now);
    }

    /// P8.6: sets when to look next, unless a look-up is under way or nobody is wanted.
    pub(crate) fn look_again(&mut self, now: Now) {
        let Some(config) = self.cx.config.discovery else { return };
        if self.discovery.lookups.under_way.is_some() || self.has_peers_enough() {
            return;
        }
        let next = self.discovery.lookups.began.after(self.pause(&config));
        self.cx.timers.set(Timer::LookUp, next.max(now.mono.after(Duration::from_micros(1))));
    }

    fn pause(&self, config: &DiscoveryConfig) -> Duration {
        let is_young = self.cx.stats.discovery.lookups < config.eager_lookups;
        if is_young || self.peers.len() == 0 { config.eager_every } else { config.every }
    }
}
