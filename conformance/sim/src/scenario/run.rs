//! How is a scenario played?

use std::time::{Duration, Instant};

use preconf_core::Time;

use super::file::{Fault, Scenario};
use super::must::Keeper;
use super::report::{Bans, Report};
use super::stage::{Stage, millionths};
use super::timeline::Turn;
use crate::{Failure, Mark, NodeId, World};

/// How often the world is looked at as a whole. Ours: short beside anything that must hold, long beside a step.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many models a run has where nobody says otherwise. Ours: the small scenarios have one for each node, the large ones stay fast.
const MODELS: usize = 8;

/// What a run changes of its scenario.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Honest nodes.
    pub nodes: Option<usize>,
    /// How long it goes on, in seconds of its own time.
    pub seconds: Option<u64>,
    /// Switches the scenario's defence off.
    pub without_defence: bool,
    /// Beside every so manieth machine stands a model; 0 for none. A scenario's own choice is some eight of them.
    pub model_every: Option<usize>,
    /// Threads that do the machines' jobs; 0 has the world do them itself. It changes nothing but the time that it takes.
    pub job_threads: usize,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Seconds of its own time so far.
    pub at_s: u64,
    /// Seconds that it takes, settling not counted.
    pub of_s: u64,
}

impl Scenario {
    /// The scenario with its changes.
    #[must_use]
    pub fn changed(&self, change: &Change) -> Self {
        let mut scenario = self.clone();
        if let Some(nodes) = change.nodes {
            scenario.nodes.honest = nodes;
            if nodes > 20 && scenario.nodes.degree == 0 {
                scenario.nodes.degree = 20; // links of all to all grow with the square
            }
        }
        scenario.seconds = change.seconds.unwrap_or(scenario.seconds);
        if let Some(defence) = self.defence.as_ref().filter(|_| change.without_defence) {
            scenario.config = scenario.config.over(&defence.off);
        }
        scenario
    }

    /// Plays the scenario from a seed.
    pub fn run(&self, seed: u64, change: &Change) -> Report {
        self.run_with(seed, change, |_| {}, |_| {})
    }

    /// The same, with somebody who prepares the empty world (to look on, or to record it), and somebody who wants to know how far it is.
    pub fn run_with(&self, seed: u64, change: &Change, prepare: impl FnOnce(&mut World), progress: impl FnMut(Progress)) -> Report {
        let (start, scenario) = (Instant::now(), self.changed(change));
        let (mut stage, mut violations) = (Stage::new(&scenario, seed), Vec::new());
        prepare(&mut stage.world);
        stage.world.job_threads(change.job_threads);
        stage.world.model_every(change.model_every.unwrap_or((scenario.nodes.honest / MODELS).max(1)));
        let played = stage.open(&scenario, seed).and_then(|()| stage.play(&scenario, seed, progress, &mut violations));
        let failure = played.err();
        violations.extend(failure.as_ref().map(ToString::to_string));
        let world = &stage.world;
        Report {
            ok: violations.is_empty(),
            scenario: self.name.clone(),
            seed,
            nodes: world.len(),
            virtual_s: world.now().0 as f64 / 1e6,
            wall_s: start.elapsed().as_secs_f64(),
            steps: world.steps(),
            trace_digest: hex::encode(world.digest()),
            violations,
            failure,
            propagation_ms: world.propagation(),
            bans: Bans {
                honest: world.bans().filter(|(_, peer)| world.is_honest(*peer)).count(),
                hostile: world.bans().filter(|(_, peer)| !world.is_honest(*peer)).count(),
            },
        }
    }
}

impl Stage {
    fn play(
        &mut self,
        scenario: &Scenario,
        seed: u64,
        mut progress: impl FnMut(Progress),
        violations: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let begins = self.world.now();
        let turns: Vec<(Time, Turn)> = scenario.timeline(seed).into_iter().map(|(at, turn)| (begins.after(at), turn)).collect();
        let ends = begins.after(Duration::from_secs(scenario.seconds));
        let mut keeper = Keeper::new(scenario, self.honest, begins);
        let mut turns = turns.into_iter().peekable();
        while self.world.now() < ends {
            let next = self.world.now().after(LOOK_EVERY).min(ends);
            while let Some((at, turn)) = turns.next_if(|(at, _)| *at <= next) {
                self.world.run_for(at.since(self.world.now()))?;
                self.turn(scenario, &turn)?;
            }
            self.world.run_for(next.since(self.world.now()))?;
            violations.extend(keeper.look(&self.world));
            if !violations.is_empty() {
                return Ok(());
            }
            progress(Progress { at_s: self.world.now().since(begins).as_secs(), of_s: scenario.seconds });
        }
        for (_, turn) in turns {
            match turn {
                Turn::Begin(_) | Turn::Crash(_) => {}
                Turn::End(_) | Turn::Start { .. } => self.turn(scenario, &turn)?,
            }
        }
        self.world.stall(Duration::from_secs(1 << 32));
        self.world.settle(Duration::from_secs(scenario.settle_s))?;
        violations.extend(keeper.close(&self.world));
        Ok(())
    }

    fn turn(&mut self, scenario: &Scenario, turn: &Turn) -> Result<(), Failure> {
        match *turn {
            Turn::Begin(index) => self.begin(&scenario.faults[index]),
            Turn::End(index) => self.end(&scenario.faults[index]),
            Turn::Crash(node) => self.world.stop(node),
            Turn::Start { node, new_disk } => {
                if new_disk {
                    self.world.replace_disk(node);
                }
                self.world.start(node)
            }
        }
    }

    fn begin(&mut self, fault: &Fault) -> Result<(), Failure> {
        let (hit, world) = (fault.hits(self.honest), &mut self.world);
        world.mark(&Mark::FaultBegins(fault.label().to_owned(), hit.clone()));
        match *fault {
            Fault::Drops { rate, .. } => hit.iter().for_each(|node| world.drops(*node, millionths(rate))),
            Fault::Partition { noticed_s, .. } => between(world, &hit, self.honest, |world, a, b| {
                world.cut(a, b, Duration::from_secs_f64(noticed_s));
            }),
            Fault::Restart { .. } | Fault::Leave { .. } => hit.iter().try_for_each(|node| world.stop(*node))?,
            Fault::Join { .. } => {
                between(world, &hit, self.honest, |world, a, b| world.cut(a, b, Duration::ZERO));
                hit.iter().try_for_each(|node| world.start(*node))?;
            }
            Fault::ClockJump { by_s, .. } => hit.iter().for_each(|node| world.jump_clock(*node, (by_s * 1e6) as i64)),
            Fault::LateSchedule { .. } => {} // from the start
            Fault::Crashes { .. } => {}      // each has its turns
            Fault::Stall { for_s, .. } => world.stall(Duration::from_secs_f64(for_s)),
            Fault::Reorg { depth, for_s, .. } => world.reorg(depth, Duration::from_secs_f64(for_s)),
        }
        Ok(())
    }

    fn end(&mut self, fault: &Fault) -> Result<(), Failure> {
        let (hit, world) = (fault.hits(self.honest), &mut self.world);
        world.mark(&Mark::FaultEnds(fault.label().to_owned(), hit.clone()));
        match fault {
            Fault::Drops { .. } => hit.iter().for_each(|node| world.drops(*node, 0)),
            Fault::Partition { .. } | Fault::Join { .. } => between(world, &hit, self.honest, World::heal),
            Fault::Restart { new_disk, .. } => {
                if *new_disk {
                    hit.iter().for_each(|node| world.replace_disk(*node));
                }
                hit.iter().try_for_each(|node| world.start(*node))?;
            }
            Fault::Crashes { .. }
            | Fault::Leave { .. }
            | Fault::ClockJump { .. }
            | Fault::LateSchedule { .. }
            | Fault::Stall { .. }
            | Fault::Reorg { .. } => {}
        }
        Ok(())
    }
}

/// Every pair of honest nodes of which one is among those that are hit and the other is not.
fn between(world: &mut World, hit: &[NodeId], honest: usize, act: impl Fn(&mut World, NodeId, NodeId)) {
    for a in hit {
        for b in (0..honest).filter(|b| !hit.contains(b)) {
            act(world, *a, b);
        }
    }
}
