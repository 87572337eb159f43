//! Who lives in a world, and what links them?

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_core::{Command, Core, Now, Time};

use super::check::Failure;
use super::link::{Link, Terms};
use super::node::{Mind, Node, NodeId, Setup};
use super::observe::Mark;
use super::puppet::Puppet;
use super::queue::Happening;
use super::world::World;

impl World {
    /// An honest node with a machine of its own.
    ///
    /// # Panics
    /// A configuration that no node can start with.
    pub fn add_node(&mut self, setup: Setup) -> NodeId {
        let id = self.nodes.len();
        let core = self.machine(id, &setup);
        self.nodes.push(Node::new(Mind::Machine(Box::new(core)), Some(setup), self.now));
        self.mark(&Mark::Up(id));
        self.schedule_of(id);
        id
    }

    /// A peer that is no machine, and that the honest ones owe nothing but P6.7.
    pub fn add_puppet(&mut self, puppet: impl Puppet + 'static) -> NodeId {
        self.nodes.push(Node::new(Mind::Puppet(Box::new(puppet), BTreeMap::new()), None, self.now));
        self.nodes.len() - 1
    }

    /// Takes a node down and starts it again at once, with the same identity and an empty memory but for what it had kept (P5.9).
    ///
    /// # Errors
    /// A rule of the world is broken.
    pub fn restart(&mut self, node: NodeId) -> Result<(), Failure> {
        let ends: Vec<_> = self.links.keys().filter(|(a, b)| *a == node || *b == node).copied().collect();
        for ends in &ends {
            self.disconnect(*ends)?;
        }
        if let Some(setup) = self.nodes[node].setup.clone() {
            self.mark(&Mark::Down(node));
            let core = self.machine(node, &setup);
            self.nodes[node].reborn(core, self.now);
            self.mark(&Mark::Up(node));
            let kept = self.nodes[node].kept.clone();
            self.command(node, Command::Restore(kept))?.expect("what was kept is taken back");
            self.schedule_of(node);
        }
        for ends in ends {
            self.after(Duration::from_millis(100), Happening::Connect { ends });
        }
        Ok(())
    }

    fn machine(&mut self, node: NodeId, setup: &Setup) -> Core {
        let (seed, now) = (self.dice.seed(), Now { mono: Time::ZERO, unix: setup.unix(self.now) });
        for observer in &mut self.observers {
            observer.boot(self.now, node, &setup.config, seed, now);
        }
        Core::new(setup.config.clone(), seed, now).expect("a configuration that a node can start with")
    }

    fn schedule_of(&mut self, node: NodeId) {
        let windows = self.nodes[node].setup.as_ref().map(|setup| setup.windows.clone()).unwrap_or_default();
        if !windows.is_empty() {
            let updated = self.command(node, Command::UpdateSchedule(windows)).expect("an empty node breaks no rule");
            updated.expect("a history's windows are in order");
        }
    }

    /// Links two nodes; the connection comes up as soon as time goes on.
    pub fn link(&mut self, a: NodeId, b: NodeId, terms: Terms) {
        let ends = (a.min(b), a.max(b));
        self.links.insert(ends, Link::new(terms));
        self.after(Duration::ZERO, Happening::Connect { ends });
    }

    /// Links a node to all that are there already.
    pub fn link_to_all(&mut self, node: NodeId, terms: Terms) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.link(node, other, terms.clone());
        }
    }
}
