//! How does a simulated world become a timeline?

use std::collections::{BTreeMap, BTreeSet};

use preconf_core::{Action, Config, Event, Now, Output, PeerId, Time, Update};

use super::marks::Mark;
use super::scores::Side;
use super::timeline::Timeline;
use preconf_sim::{NodeId, Observer, peer_id};

/// Looks on at a [`World`](preconf_sim::World) and tells a timeline what it sees.
///
/// Machines are honest by definition; whoever else has a score or a ban is a puppet.
///
/// ```
/// use std::{cell::RefCell, rc::Rc, time::Duration};
/// use preconf_report::{Report, Spectator, Summary};
/// use preconf_sim::{Failure, History, HistoryPlan, Setup, Terms, World};
///
/// let spectator = Rc::new(RefCell::new(Spectator::default()));
/// let history = History::write(HistoryPlan { blocks: 3, ..HistoryPlan::default() });
/// let mut world = World::new(7);
/// world.observe(spectator.clone());
/// for _ in 0..2 {
///     let node = world.add_node(Setup::of(&history));
///     world.link_to_all(node, Terms::default());
/// }
/// world.publish(&history, Duration::from_secs(1), &[0, 1]);
/// world.run_for(Duration::from_secs(5))?;
///
/// let timeline = spectator.take().into_timeline();
/// assert_eq!(timeline.to_ready().total(), 3, "each block, from its publisher to the other one");
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug, Default)]
pub struct Spectator {
    timeline: Timeline,
    /// Row of each machine.
    rows: BTreeMap<NodeId, usize>,
    /// Peers that have a name.
    named: BTreeSet<PeerId>,
    /// Whom a fault that was told hits now: that it takes them down or brings them up says nothing more.
    hit: BTreeSet<NodeId>,
    down: BTreeSet<NodeId>,
    /// Whom the last fault that ended had hit, and when it did.
    over: (Time, BTreeSet<NodeId>),
    /// Who went down at this moment, and whether it is up again.
    downs: (Time, BTreeMap<NodeId, bool>),
}

impl Spectator {
    /// What was seen.
    pub fn into_timeline(mut self) -> Timeline {
        self.tell_downs();
        self.timeline
    }

    /// Adds a mark of one's own, such as a violation.
    pub fn add_mark(&mut self, at: Time, mark: Mark) {
        self.meanwhile(at);
        self.timeline.mark(at, mark);
    }

    /// A node that comes back within the moment in which it went down was restarted. So downs are told when that moment is over.
    fn meanwhile(&mut self, at: Time) {
        if at > self.downs.0 {
            self.tell_downs();
            self.downs.0 = at;
        }
    }

    fn tell_downs(&mut self) {
        let (at, downs) = std::mem::take(&mut self.downs);
        for (node, back) in downs {
            self.timeline.mark(at, Mark::fault(if back { "restarted" } else { "down" }).at_nodes([node]));
        }
    }

    /// Names a puppet the first time that somebody has an opinion of it.
    fn meet(&mut self, peer: &PeerId) {
        if self.named.insert(*peer) {
            let name = preconf_sim::node_of(peer).map_or_else(|| peer.to_string(), |node| format!("node {node}"));
            self.timeline.name_peer(*peer, name, Side::Hostile);
        }
    }
}

impl Observer for Spectator {
    fn boot(&mut self, at: Time, node: NodeId, _: &Config, _: [u8; 32], _: Now) {
        self.meanwhile(at);
        self.named.insert(peer_id(node));
        let timeline = &mut self.timeline;
        let row = *self.rows.entry(node).or_insert_with(|| {
            timeline.name_peer(peer_id(node), format!("node {node}"), Side::Honest);
            timeline.add_node(format!("node {node}"))
        });
        self.timeline.started(at, row);
    }

    fn call(&mut self, at: Time, node: NodeId, _: Now, call: preconf_sim::Call<'_>) {
        if let (preconf_sim::Call::Update(Update::MoveSyncTip(tip)), Some(row)) = (call, self.rows.get(&node).copied()) {
            self.meanwhile(at);
            self.timeline.settled(at, row, tip.block_number);
        }
    }

    fn output(&mut self, at: Time, node: NodeId, output: &Output) {
        self.meanwhile(at);
        if let Output::Net(Action::SetScore { peer, .. } | Action::Block { peer }) | Output::App(Event::StandingChanged { peer, .. }) =
            output
        {
            self.meet(peer);
        }
        if let Some(row) = self.rows.get(&node) {
            self.timeline.output(at, *row, output);
        }
    }

    fn mark(&mut self, at: Time, mark: &preconf_sim::Mark) {
        self.meanwhile(at);
        match mark {
            preconf_sim::Mark::FaultBegins(what, nodes) => {
                self.timeline.mark(at, Mark::fault(what).at_nodes(nodes.iter().copied()));
                self.hit.extend(nodes);
            }
            preconf_sim::Mark::FaultEnds(what, nodes) => {
                self.timeline.mark(at, Mark::relief(format!("{what}: over"), what).at_nodes(nodes.iter().copied()));
                // Who comes back, does so in the same moment.
                self.over = (at, nodes.iter().copied().filter(|node| self.hit.remove(node)).collect());
            }
            preconf_sim::Mark::Down(node) => {
                // Who is down from the first moment on has yet to join.
                if !self.hit.contains(node) && at > Time::ZERO {
                    self.down.insert(*node);
                    self.downs.1.insert(*node, false);
                }
                if let Some(row) = self.rows.get(node) {
                    self.timeline.stopped(at, *row);
                }
            }
            preconf_sim::Mark::Up(node) if self.hit.contains(node) || (self.over.0 == at && self.over.1.contains(node)) => {}
            preconf_sim::Mark::Up(node) => {
                let was_down = self.down.remove(node);
                if let Some(back) = self.downs.1.get_mut(node) {
                    *back = true;
                } else if was_down {
                    self.timeline.mark(at, Mark::relief("up again", "down").at_nodes([*node]));
                } else if at > Time::ZERO {
                    self.timeline.mark(at, Mark::note("joins").at_nodes([*node]));
                }
            }
            preconf_sim::Mark::Calm => self.timeline.mark(at, Mark::note("calm from here on")),
            preconf_sim::Mark::Published { .. } => {} // its own machine says so too
        }
    }
}
