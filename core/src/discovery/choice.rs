//! Who is dialed next (P8.8)?
//!
//! At most every `dial_every`, and then as many of the best candidates as the budget lets: no more than `dials_at_once`, than are missing
//! to the peers that we want, than outbound connections are free, and than three quarters of the dials that may be under way, so that our
//! user's and the static peers' find room beside them.
//!
//! All that wait are looked at: not connected, not dialed already, and their pause is over. Those with the least keys are dialed:
//!
//! | sort key, in this order | why |
//! |---|---|
//! | it misbehaved when it was connected | whoever did no wrong first |
//! | failures since it was of use | |
//! | when it was given up for somebody new (P8.10) | who was not first, else who was longest ago |
//! | connections of its neighbourhood, and dials there in this turn | no single network decides what we hear |
//! | it was never of use | |
//! | no record has named it lately | |
//! | a lot, drawn when it was first named | |

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::counts::Counts;
use crate::discovery::candidates::{Candidate, LONGEST_REST, Taken};
use crate::discovery::config::DiscoveryConfig;
use crate::discovery::record::{NodeRecord, Unfit};
use crate::id::PeerId;
use crate::machine::Core;
use crate::peer::address::DialAddress;
use crate::peer::score::Standing;
use crate::peer::subnet::Cidr;
use crate::time::{Now, Time, Timer};

/// How long a connection must stand for its end not to count as a failure. Ours: who is full hangs up at once.
const STEADY: Duration = Duration::from_secs(60);
/// Tries that a peer of no use is taken to have failed at (P2.5). Ours: enough for the longest rest.
const USELESS: u32 = 7;

/// The sort key of this module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rating {
    is_bad: bool,
    failures: u32,
    given_up: Option<Time>,
    neighbours: usize,
    is_unproven: bool,
    is_old: bool,
    lot: u64,
}

impl Rating {
    /// The least that a candidate's key can be: what must be looked up elsewhere can only make it greater.
    fn at_least(now: Time, candidate: &Candidate) -> Self {
        Self {
            is_bad: false,
            failures: candidate.failures,
            given_up: candidate.given_up,
            neighbours: 0,
            is_unproven: !candidate.is_proven,
            is_old: candidate.is_old(now),
            lot: candidate.lot,
        }
    }
}

impl Core {
    /// A record was found. What it says is judged, kept within bounds, and dialed when its turn comes.
    pub(crate) fn record_found(&mut self, now: Now, record: NodeRecord) {
        let Some(config) = self.cx.config.discovery else { return };
        let counts = &mut self.cx.stats.discovery;
        counts.found += 1;
        match record.fit(self.cx.config.chain_id, &config) {
            Err(Unfit::WrongChain) => counts.wrong_chain += 1,
            Err(Unfit::Unlabelled) => counts.unlabelled += 1,
            Err(Unfit::NoAddress) => counts.no_address += 1,
            Ok(record) => match self.take_candidate(now, record) {
                Taken::NoRoom => self.cx.stats.discovery.no_room += 1,
                Taken::New | Taken::Known => self.plan_dials(now, &config),
            },
        }
        self.count_candidates();
    }

    /// Forgets whom nothing speaks for any more.
    pub(crate) fn expire_candidates(&mut self, now: Now) {
        self.discovery.candidates.expire(now.mono);
        self.count_candidates();
    }

    pub(crate) fn count_candidates(&mut self) {
        self.cx.stats.discovery.candidates = self.discovery.candidates.len() as u64;
    }

    pub(crate) fn take_candidate(&mut self, now: Now, record: NodeRecord) -> Taken {
        let (peer, lot) = (record.peer, self.cx.dice.any());
        let ips = record.addresses.iter().map(|address| DialAddress::of(address).ip);
        let neighbourhoods = ips.map(|ip| self.gater.neighbourhood(ip?)).collect();
        let taken = self.discovery.candidates.take(now.mono, record, neighbourhoods, lot);
        if taken == Taken::New && self.peers.get(&peer).is_some() {
            // It came to us before we heard of it.
            self.candidate_connected(now, &peer);
            self.candidate_identified(now, peer);
        }
        taken
    }

    /// Sets when candidates are chosen next, if anybody is wanted.
    pub(crate) fn plan_dials(&mut self, now: Now, config: &DiscoveryConfig) {
        if self.discovery.candidates.len() > 0 && self.dial_budget(config) > 0 {
            let next = self.discovery.last_turn.map_or(now.mono, |last| last.after(config.dial_every));
            self.cx.timers.set(Timer::DialFound, next.max(now.mono));
        }
    }

    /// How many candidates may be dialed now.
    fn dial_budget(&self, config: &DiscoveryConfig) -> usize {
        let (limits, staying) = (self.cx.config.connections, self.peers.staying());
        let (dialing, under_way) = (self.discovery.dialing.len(), self.dials.under_way());
        let share = (limits.pending_out as usize * 3 / 4).max(1);
        let outbound = staying.all - staying.inbound;
        let bounds = [
            config.dials_at_once as usize,
            share.saturating_sub(dialing),
            (limits.pending_out as usize).saturating_sub(under_way),
            (limits.target_peers as usize).saturating_sub(staying.all + dialing),
            (limits.established_out as usize).saturating_sub(outbound + under_way),
        ];
        bounds.into_iter().min().unwrap_or(0)
    }

    /// A turn of dialing: the best candidates, within the budget.
    pub(crate) fn found_peers_due(&mut self, now: Now) {
        let Some(config) = self.cx.config.discovery else { return };
        self.discovery.last_turn = Some(now.mono);
        self.expire_candidates(now);
        for (peer, address) in self.best_candidates(now, self.dial_budget(&config)) {
            match self.dial_found(now, address) {
                Ok(dial) => {
                    self.discovery.dialing.insert(dial);
                    self.cx.stats.discovery.dialed += 1;
                }
                Err(error) => {
                    tracing::debug!(%peer, %error, "a candidate is not dialed now");
                    self.candidate_failed(now, &config, &peer, 0); // our own side refused: no fault of its
                }
            }
        }
        if self.dial_budget(&config) > 0
            && let Some(next) = self.next_candidate_at(now.mono)
        {
            self.cx.timers.set(Timer::DialFound, next.max(now.mono.after(config.dial_every)));
        }
    }

    /// When there is somebody to dial: now, or at the end of the next pause.
    fn next_candidate_at(&self, now: Time) -> Option<Time> {
        let unconnected = || self.discovery.candidates.unconnected();
        let is_waiting = |candidate: &Candidate| candidate.rest_until <= now && !self.dials.is_dialing(&candidate.record.peer);
        if unconnected().any(is_waiting) {
            return Some(now);
        }
        unconnected().map(|candidate| candidate.rest_until).filter(|at| *at > now).min()
    }

    /// The best so many of those that wait, with their addresses. Whoever comes to the front has its key worked out to the end, and goes back
    /// to its place if it is greater than it seemed; so is whoever is of one neighbourhood with somebody that is chosen before it.
    fn best_candidates(&self, now: Now, most: usize) -> Vec<(PeerId, String)> {
        let waiting = self.discovery.candidates.unconnected().filter(|candidate| candidate.rest_until <= now.mono);
        let rated = |candidate| Reverse((Rating::at_least(now.mono, candidate), &candidate.record.peer));
        let mut rated: BinaryHeap<_> = if most > 0 { waiting.map(rated).collect() } else { BinaryHeap::new() };
        let (mut best, mut chosen) = (Vec::new(), Counts::<Cidr>::default());
        while best.len() < most
            && let Some(Reverse((rating, peer))) = rated.pop()
        {
            let Some((address, block)) = self.discovery.candidates.get(peer).and_then(Candidate::address) else { continue };
            let is_bad = self.reputation.standing(now.mono, peer) > Standing::Healthy;
            let neighbours = block.map_or(0, |block| self.gater.neighbourhood_count(block) + chosen.of(&block));
            let whole = Rating { is_bad, neighbours, ..rating };
            if whole > rating {
                rated.push(Reverse((whole, peer)));
            } else if !self.dials.is_dialing(peer) {
                block.into_iter().for_each(|block| chosen.raise(block));
                best.push((*peer, format!("{address}/p2p/{peer}")));
            }
        }
        best
    }

    /// A dial, whoever wished it, led nowhere; if it was to a candidate, it rests. What our own side refused counts as no failure.
    pub(crate) fn candidate_unreached(&mut self, now: Now, peer: &PeerId, failures: u32) {
        let Some(config) = self.cx.config.discovery else { return };
        self.candidate_failed(now, &config, peer, failures);
    }

    /// A dial has ended, or an outbound connection, so there may be room for the next.
    pub(crate) fn outbound_freed(&mut self, now: Now) {
        if let Some(config) = self.cx.config.discovery {
            self.plan_dials(now, &config);
        }
    }

    /// A peer's first connection stands.
    pub(crate) fn candidate_connected(&mut self, now: Now, peer: &PeerId) {
        if let Some(candidate) = self.discovery.candidates.get_mut(peer) {
            candidate.connected_since = Some(now.mono);
        }
    }

    /// P2.5: a connected peer turned out to be of no use; it is left alone for long.
    pub(crate) fn candidate_useless(&mut self, now: Now, peer: &PeerId) {
        let Some(config) = self.cx.config.discovery else { return };
        self.cx.stats.discovery.useless += u64::from(self.discovery.candidates.get(peer).is_some());
        self.candidate_failed(now, &config, peer, USELESS);
    }

    /// A peer's last connection is gone: there may be room for somebody else now.
    pub(crate) fn candidate_lost(&mut self, now: Now, peer: &PeerId) {
        let Some(config) = self.cx.config.discovery else { return };
        let mut was_steady = false;
        if let Some(candidate) = self.discovery.candidates.get_mut(peer) {
            let is_fine = |since| now.mono.since(since) >= STEADY || candidate.given_up >= Some(since); // P8.10: no fault of its own
            was_steady = candidate.connected_since.take().is_some_and(is_fine);
            candidate.heard = now.mono; // P8.9: while it was connected, nobody had to name it
        }
        self.candidate_failed(now, &config, peer, u32::from(!was_steady));
        self.look_again(now);
        self.plan_dials(now, &config);
    }

    /// Adds failures to a candidate and lets it rest, longer with each.
    fn candidate_failed(&mut self, now: Now, config: &DiscoveryConfig, peer: &PeerId, failures: u32) {
        let spread = self.cx.dice.below(1000).unwrap_or(0) as u32;
        let Some(candidate) = self.discovery.candidates.get_mut(peer) else { return };
        candidate.failures = candidate.failures.saturating_add(failures);
        candidate.turn = candidate.turn.wrapping_add(1);
        let doubled = config.retry_after.saturating_mul(1 << candidate.failures.saturating_sub(1).min(12));
        let rest = doubled.min(LONGEST_REST);
        // Up to half as long again: nodes that lost each other do not come back at one moment.
        let until = now.mono.after(rest + rest / 2 * spread / 1000);
        candidate.rest_until = candidate.rest_until.max(until);
    }
}
