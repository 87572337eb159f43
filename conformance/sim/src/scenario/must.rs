//! What must hold in a scenario beside what holds everywhere?
//!
//! Once a second the world is looked at as a whole, which costs one look at each node; the rest is asked at the end.

use std::time::Duration;

use preconf_core::Time;

use super::file::{Fault, Must, Scenario};
use crate::{NodeId, World, peer_id};

/// How long after a fault a node may still be behind. Ours: two rounds of asking for heads, and the catch-up.
const RECOVERY: Duration = Duration::from_secs(40);
/// Peers with which a node counts as found by the others. Ours: what ten real processes must come to, too.
const ENOUGH: usize = 4;

/// How long a node's figures may be behind what it could know, in seconds. Ours: two rounds of asking for heads while the chain moves, and the
/// patience with which a claim is probed.
const FIGURES_S: u64 = 5;
/// The same for a node that has no block yet, whose chain does not move: it asks for heads every `heads_every` (P6.9), 12 s.
const FIRST_FIGURES_S: u64 = 12 + FIGURES_S;

/// Keeps an eye on what must hold.
pub(crate) struct Keeper {
    must: Must,
    honest: usize,
    seconds: u64,
    /// While something is broken, nodes may be behind.
    troubled: Vec<(Time, Time)>,
    behind_since: Vec<Option<Time>>,
    /// Since when each has had too few peers, while it is up.
    lonely_since: Vec<Option<Time>>,
    /// Since when each has said something of itself that does not hold.
    wrong_since: Vec<Option<Time>>,
    /// The best head a second ago: what everybody has had time to hear of.
    best: u64,
}

/// When something is broken, or has been within [`RECOVERY`].
fn troubled(scenario: &Scenario, begins: Time) -> Vec<(Time, Time)> {
    let trouble = |fault: &Fault| {
        let from = begins.after(fault.at());
        (from, from.after(fault.span() + RECOVERY))
    };
    scenario.faults.iter().map(trouble).collect()
}

impl Scenario {
    /// Seconds in which no fault excuses a node that is behind: what [`Must::behind_s`] is held against.
    pub fn untroubled_s(&self) -> u64 {
        let troubled = troubled(self, Time::ZERO);
        let is_calm = |second: &u64| !troubled.iter().any(|(from, to)| (*from..=*to).contains(&Time::from_millis(second * 1_000)));
        (0..self.seconds).filter(is_calm).count() as u64
    }
}

impl Keeper {
    pub(crate) fn new(scenario: &Scenario, honest: usize, begins: Time) -> Self {
        Self {
            must: scenario.must.clone(),
            honest,
            seconds: scenario.seconds,
            troubled: troubled(scenario, begins),
            behind_since: vec![None; honest],
            lonely_since: vec![None; honest],
            wrong_since: vec![None; honest],
            best: 0,
        }
    }

    /// A look at the whole. What does not hold, in words.
    pub(crate) fn look(&mut self, world: &World) -> Option<String> {
        let now = world.now();
        let is_troubled = self.troubled.iter().any(|(from, to)| (*from..=*to).contains(&now));
        if let Some(told) = self.unformed(world).or_else(|| self.blamed(world)) {
            return Some(told);
        }
        let mut best = self.best;
        for node in (0..self.honest).filter(|node| world.is_up(*node)) {
            let head = world.head(node);
            best = best.max(head);
            if let Some(mib) = self.must.txlist_mib {
                let bytes = world.status(node).txlist_bytes;
                if bytes > mib << 20 {
                    return Some(format!("txlist_mib: node {node} keeps {bytes} bytes of txlists, {mib} MiB are allowed"));
                }
            }
            best = best.max(world.status(node).sync_tip.block_number);
            let Some(most) = self.must.behind_s else { continue };
            if head >= self.best || is_troubled {
                self.behind_since[node] = None;
                continue;
            }
            let since = *self.behind_since[node].get_or_insert(now);
            if now.since(since) > Duration::from_secs(most) {
                return Some(format!("behind_s: node {node} is at {head}, others were at {} {:?} ago", self.best, now.since(since)));
            }
        }
        let told = if self.must.honest_figures { self.wrong_figure(world, best, is_troubled) } else { None };
        self.best = best;
        told
    }

    /// Somebody who says of the chain what nobody can know, or does not say what it could (P11.1).
    fn wrong_figure(&mut self, world: &World, best: u64, is_troubled: bool) -> Option<String> {
        let now = world.now();
        for node in 0..self.honest {
            let status = world.is_up(node).then(|| world.status(node));
            if let Some(status) = &status
                && status.best > best
            {
                return Some(format!("honest_figures: node {node} says {}, the best that anybody has signed is {best}", status.best));
            }
            let has_peers = || world.neighbours(node).into_iter().any(|peer| world.is_honest(peer));
            let is_wrong = status.is_some_and(|status| match status.lag {
                Some(lag) => lag == 0 && world.head(node) < self.best,
                None => has_peers(),
            });
            if !is_wrong || is_troubled {
                self.wrong_since[node] = None;
                continue;
            }
            let since = *self.wrong_since[node].get_or_insert(now);
            let most = if world.head(node) == 0 { FIRST_FIGURES_S } else { FIGURES_S };
            if now.since(since) > Duration::from_secs(most) {
                let lag = world.status(node).lag;
                return Some(format!(
                    "honest_figures: node {node} is at {} and says lag {lag:?}; others were at {}",
                    world.head(node),
                    self.best
                ));
            }
        }
        None
    }

    /// Somebody who was up all the time that it may take to find others, and has not.
    fn unformed(&mut self, world: &World) -> Option<String> {
        let (secs, enough) = (self.must.formed_s?, ENOUGH.min(self.honest - 1));
        for (node, since) in self.lonely_since.iter_mut().enumerate() {
            if !world.is_up(node) || world.neighbours(node).len() >= enough {
                *since = None;
            } else if world.now().since(*since.get_or_insert(world.now())) > Duration::from_secs(secs) {
                return Some(format!("formed_s: node {node} has only {:?} for more than {secs} s", world.neighbours(node)));
            }
        }
        None
    }

    /// Somebody who charged an honest node with more than absence.
    fn blamed(&self, world: &World) -> Option<String> {
        let pairs = (0..self.honest).flat_map(|node| (0..self.honest).map(move |peer| (node, peer)));
        if !self.must.blameless {
            return None;
        }
        let mut charged = pairs.filter_map(|(node, peer)| world.charged_only_for_absence(node, peer).err());
        charged.next().map(|failure| failure.to_string())
    }

    /// The end. What does not hold, in words.
    pub(crate) fn close(&self, world: &World) -> Vec<String> {
        let mut broken: Vec<_> = self.blamed(world).into_iter().collect();
        let mut at_least = |what: &str, is: f64, least: Option<f64>| {
            if let Some(least) = least.filter(|least| is < *least) {
                broken.push(format!("{what}: {is:.2}, at least {least:.2} must be"));
            }
        };
        let hostile: Vec<_> = (self.honest..world.len()).collect();
        let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
        let out = hostile.iter().filter(|peer| world.put_out().any(|(_, out)| out == **peer)).count();
        let banned = hostile.iter().filter(|peer| world.bans().any(|(_, out)| out == **peer)).count();
        let prove = (0..self.honest).filter(|node| world.evidence_found(*node) > 0).count();
        let head = (0..self.honest).map(|node| world.head(node)).max().unwrap_or(0);
        at_least("hostile_out", share(out, hostile.len()), self.must.hostile_out);
        at_least("hostile_banned", share(banned, hostile.len()), self.must.hostile_banned);
        at_least("evidence", share(prove, self.honest), self.must.evidence);
        at_least("blocks_a_minute", head as f64 * 60.0 / self.seconds.max(1) as f64, self.must.blocks_a_minute);
        for node in (0..self.honest).filter(|node| world.is_up(*node)) {
            let peers = world.neighbours(node).into_iter().filter(|peer| world.is_honest(*peer)).count();
            at_least(&format!("honest_peers of node {node}"), peers as f64, self.must.honest_peers.map(|least| least as f64));
        }
        if let Some(least) = self.must.wrong_chain {
            let seen = (0..self.honest).map(|node| world.core(node).stats().discovery.wrong_chain).min().unwrap_or(0);
            at_least("wrong_chain", seen as f64, Some(least as f64));
            if world.foreign_dials() > 0 {
                broken.push(format!("wrong_chain: {} dials of nodes of another chain", world.foreign_dials()));
            }
        }
        let alone = |node: &NodeId| world.is_up(*node) && !world.neighbours(*node).iter().any(|peer| world.is_honest(*peer));
        let eclipsed = share((0..self.honest).filter(alone).count(), self.honest);
        if let Some(most) = self.must.eclipsed.filter(|most| eclipsed > *most) {
            broken.push(format!("eclipsed: {eclipsed:.3} of the honest nodes, at most {most:.3} may be"));
        }
        let crowded: u64 = (0..self.honest).map(|node| world.crowded_out(node)).sum();
        if let Some(most) = self.must.crowded_out.filter(|most| crowded > *most) {
            broken.push(format!("crowded_out: {crowded} requests of honest nodes, at most {most} may be"));
        }
        let up = (0..self.honest).filter(|node| world.is_up(*node));
        let liked: Vec<_> = up.flat_map(|node| world.peers(node)).filter(|info| info.score > 0).map(|info| info.peer).collect();
        let paid = share(hostile.iter().filter(|peer| liked.contains(&peer_id(**peer))).count(), hostile.len());
        if let Some(most) = self.must.hostile_paid.filter(|most| paid > *most) {
            broken.push(format!("hostile_paid: {paid:.3} of the hostile peers, at most {most:.3} may be"));
        }
        let p99 = world.propagation().p99.unwrap_or(f64::INFINITY); // nothing that arrives is no speed
        if let Some(most) = self.must.propagation_p99_ms.filter(|most| p99 > *most) {
            broken.push(format!("propagation_p99_ms: {p99:.1}, at most {most:.1} may be"));
        }
        broken
    }
}
