//! Who lives in a world, and what links them?

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_core::{Now, Time, Update};
use preconf_trace::Recorder;

use super::carry::ends;
use super::check::Failure;
use super::disk::Disk;
use super::link::{Link, Terms};
use super::node::{Mind, Node, NodeId, Setup};
use super::observe::Mark;
use super::puppet::Puppet;
use super::queue::Happening;
use super::world::World;
use crate::model::Model;

/// How long a node takes until it connects. Ours.
const UP_AFTER: Duration = Duration::from_millis(100);

impl World {
    /// An honest node with a machine of its own.
    ///
    /// # Panics
    /// A configuration that no node can start with.
    pub fn add_node(&mut self, setup: Setup) -> NodeId {
        let id = self.nodes.len();
        let core = self.machine(id, &setup);
        let began = setup.unix(self.now);
        self.nodes.push(Node::new(Mind::Machine(Box::new(core)), Some(setup), self.now));
        self.nodes[id].disk.began = Some(began);
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
        self.stop(node)?;
        self.start(node)
    }

    /// Takes a node down: its peers see their connections close. What it had not kept is gone.
    ///
    /// # Errors
    /// A rule of the world is broken.
    pub fn stop(&mut self, node: NodeId) -> Result<(), Failure> {
        if !self.nodes[node].up {
            return Ok(());
        }
        self.debts_due()?; // nobody asks it again
        for other in self.nodes[node].linked.clone() {
            self.disconnect(ends(node, other))?;
        }
        self.nodes[node].up = false;
        self.forget_offers(node);
        self.nodes[node].life += 1; // what is under way for it is lost
        let Self { nodes, dice, .. } = self;
        nodes[node].disk.crash(|| dice.chance(500_000));
        self.mark(&Mark::Down(node));
        Ok(())
    }

    /// A node that is down gets another disk: what it had kept is gone too (P5.9b).
    pub fn replace_disk(&mut self, node: NodeId) {
        if !self.nodes[node].up {
            self.nodes[node].disk = Disk::default();
            self.words_lost(node);
        }
    }

    /// Starts a node that is down, with the same identity and what it had kept.
    ///
    /// # Errors
    /// A rule of the world is broken.
    pub fn start(&mut self, node: NodeId) -> Result<(), Failure> {
        if self.nodes[node].up {
            return Ok(());
        }
        self.nodes[node].up = true;
        if let Some(setup) = self.nodes[node].setup.clone() {
            let core = self.machine(node, &setup);
            let began = setup.unix(self.now);
            self.nodes[node].reborn(core, self.now);
            self.nodes[node].disk.began.get_or_insert(began);
            let kept = self.nodes[node].disk.records();
            self.update(node, Update::Restore(kept))?.expect("what was kept is taken back");
            self.schedule_of(node);
            self.tip_of_start(node)?;
        }
        self.mark(&Mark::Up(node));
        let wished = |other: &NodeId| self.links.get(&ends(node, *other)).is_some_and(|link| link.is_wished);
        for other in self.nodes[node].linked.iter().copied().filter(wished).collect::<Vec<_>>() {
            self.after(UP_AFTER, Happening::Connect { ends: ends(node, other) });
        }
        Ok(())
    }

    fn machine(&mut self, node: NodeId, setup: &Setup) -> Recorder {
        let (seed, now) = (self.dice.seed(), Now { mono: Time::ZERO, unix: setup.unix(self.now) });
        for observer in &mut self.observers {
            observer.boot(self.now, node, &setup.config, seed, now);
        }
        if self.model_every > 0 && node.is_multiple_of(self.model_every) {
            self.models.insert(node, Model::new(&setup.config));
        }
        self.agreement.started(node);
        self.deliveries.started(self.now, node);
        let tape = self.tapes.as_mut().and_then(|tapes| tapes(node));
        Recorder::start(setup.config.clone(), seed, now, tape).expect("a configuration that a node can start with")
    }

    fn schedule_of(&mut self, node: NodeId) {
        let windows = self.nodes[node].setup.as_ref().map(|setup| setup.windows.clone()).unwrap_or_default();
        if !windows.is_empty() {
            let updated = self.update(node, Update::Schedule(windows)).expect("an empty node breaks no rule");
            updated.expect("a history's windows are in order");
        }
    }

    /// Links two nodes, of which the first dials; the connection comes up as soon as time goes on.
    pub fn link(&mut self, a: NodeId, b: NodeId, terms: Terms) {
        self.add_link(a, b, terms, true);
        self.after(Duration::ZERO, Happening::Connect { ends: ends(a, b) });
    }

    pub(crate) fn add_link(&mut self, dialer: NodeId, other: NodeId, terms: Terms, is_wished: bool) {
        if self.links.insert(ends(dialer, other), Link::new(terms, dialer, is_wished)).is_none() {
            self.nodes[dialer].linked.push(other);
            self.nodes[other].linked.push(dialer);
        }
    }

    /// Links a node to all that are there already.
    pub fn link_to_all(&mut self, node: NodeId, terms: Terms) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.link(node, other, terms.clone());
        }
    }
}
