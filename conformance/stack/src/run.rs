//! How is a scenario played on the real stack, and what must hold?

use std::time::{Duration, Instant};

use preconf_interpose as interpose;
use preconf_sim::scenario::{Fault, Turn};
use preconf_sim::{Dice, NodeId, START};

use crate::checks::{self, Calm};
use crate::net::{MILLI, SECOND, lock as net};
use crate::preconfer::{BEGINS_S, lock as office};
use crate::report::{Latencies, Report};
use crate::scenario::Scenario;
use crate::watch::lock as seen;
use crate::world::World;

/// Length of an L1 slot. Source: P9.2.
const L1_SLOT: u64 = 12 * SECOND;
/// How long after a fault a node may still be catching up. Ours: that of the simulator's checks.
const RECOVERY: Duration = Duration::from_secs(40);
/// How long gossip needs to form after the start. Ours: connections, subscriptions, and a few heartbeats.
const FORMING: Duration = Duration::from_secs(10);

/// What a run changes of its scenario.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Honest nodes.
    pub nodes: Option<usize>,
    /// How long it goes on, in seconds of its own time.
    pub seconds: Option<u64>,
    /// Keep every event as a line.
    pub keeps_lines: bool,
}

/// What came of a run, and every event in words where they were wanted.
pub struct Played {
    /// What it showed.
    pub report: Report,
    /// The events.
    pub lines: Vec<String>,
}

impl Scenario {
    /// The scenario with its changes.
    #[must_use]
    pub fn changed(&self, change: &Change) -> Self {
        let mut scenario = self.clone();
        scenario.pure.nodes.honest = change.nodes.unwrap_or(scenario.pure.nodes.honest);
        scenario.pure.seconds = change.seconds.unwrap_or(scenario.pure.seconds);
        if scenario.pure.nodes.honest > 20 && scenario.pure.nodes.degree == 0 {
            scenario.pure.nodes.degree = 16; // lines of all to all grow with the square
        }
        scenario
    }

    /// Plays the scenario from a seed, on a thread of its own. A process can do it once: ids that libp2p counts go on.
    ///
    /// # Errors
    /// This machine, or this binary, cannot be trusted to answer for its clock and chance.
    pub fn play(&self, seed: u64, change: &Change) -> Result<Played, String> {
        let (scenario, change) = (self.changed(change), *change);
        let thread = std::thread::Builder::new().name("world".to_owned()).stack_size(32 << 20);
        let thread = thread.spawn(move || {
            let started = Instant::now();
            interpose::enter(seed, START * SECOND)?;
            let mut played = play(&scenario, seed, change.keeps_lines);
            {
                let _real = interpose::Foreign::new();
                played.report.wall_s = started.elapsed().as_secs_f64();
            }
            let processor_s = interpose::processor_time().as_secs_f64();
            played.report.node_seconds_per_cpu_s = played.report.nodes as f64 * played.report.virtual_s / processor_s.max(1e-6);
            Ok(played)
        });
        thread.map_err(|error| format!("no thread: {error}"))?.join().unwrap_or_else(|_| Err("the world panicked".to_owned()))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn play(scenario: &Scenario, seed: u64, keeps_lines: bool) -> Played {
    let begins = BEGINS_S * SECOND;
    let ends = begins + scenario.pure.seconds * SECOND;
    let mut world = World::new(scenario, seed, ends, keeps_lines);
    let mut agenda = agenda(scenario, seed, begins, ends);
    agenda.sort_by_key(|(at, _)| *at);
    for (at, next) in agenda {
        world.run_until(at);
        match next {
            Next::L1Block => world.l1_block(),
            Next::Reset => {
                let woken = net(&world.net).reset_one();
                woken.into_iter().for_each(std::task::Waker::wake);
            }
            Next::Stop(node) => world.executor.suspend(node, true),
            Next::GoOn(node) => world.executor.suspend(node, false),
            Next::Turn(turn) => take_turn(&mut world, scenario, turn),
        }
        if !seen(&world.seen).violations.is_empty() {
            break;
        }
    }
    world.run_until(ends);
    office(&world.office).resumes = u64::MAX;
    settle(&mut world, scenario, ends);
    judge(&mut world, scenario, seed)
}

enum Next {
    L1Block,
    Reset,
    Stop(NodeId),
    GoOn(NodeId),
    Turn(Turn),
}

/// Everything that happens at a time that is known beforehand.
fn agenda(scenario: &Scenario, seed: u64, begins: u64, ends: u64) -> Vec<(u64, Next)> {
    let mut agenda: Vec<(u64, Next)> = Vec::new();
    for (at, turn) in scenario.pure.timeline(seed) {
        let at = begins + nanos(at);
        if at < ends || matches!(turn, Turn::End(_) | Turn::Start { .. }) {
            agenda.push((at.min(ends), Next::Turn(turn)));
        }
    }
    agenda.extend((1..).map(|slot| begins + slot * L1_SLOT).take_while(|at| *at < ends).map(|at| (at, Next::L1Block)));
    if let Some(every) = scenario.stack.resets_every_ms {
        let every = every.max(1) * MILLI;
        agenda.extend((1..).map(|count| begins + count * every).take_while(|at| *at < ends).map(|at| (at, Next::Reset)));
    }
    if let Some(stops) = scenario.stack.stops {
        let (mut dice, [least, most]) = (Dice::new(seed.rotate_left(7)), stops.for_ms.map(Duration::from_millis));
        let mut free_at = vec![0; scenario.pure.nodes.honest];
        for at in (1..).map(|count| begins + count * stops.every_ms.max(1) * MILLI).take_while(|at| *at < ends) {
            let node = usize::try_from(dice.below(free_at.len() as u64)).unwrap_or(0);
            let goes_on = (at + nanos(dice.span(&(least..most)))).min(ends);
            if free_at[node] <= at {
                free_at[node] = goes_on + 1;
                agenda.extend([(at, Next::Stop(node)), (goes_on, Next::GoOn(node))]);
            }
        }
    }
    agenda
}

fn take_turn(world: &mut World, scenario: &Scenario, turn: Turn) {
    let honest = scenario.pure.nodes.honest;
    let (fault, is_begin) = match turn {
        Turn::Begin(index) => (&scenario.pure.faults[index], true),
        Turn::End(index) => (&scenario.pure.faults[index], false),
        Turn::Crash(node) => return world.crash(node),
        Turn::Start { node, new_disk } => {
            if new_disk {
                world.replace_disk(node);
            }
            return world.start(node);
        }
    };
    let hit = fault.hits(honest);
    match (fault, is_begin) {
        (Fault::Partition { .. }, _) => {
            for a in &hit {
                for b in (0..honest).filter(|b| !hit.contains(b)) {
                    let mut net = net(&world.net);
                    if is_begin { net.cut(*a, b) } else { net.heal(interpose::now(), *a, b) }
                }
            }
        }
        (Fault::Restart { .. } | Fault::Leave { .. }, true) => hit.iter().for_each(|node| world.crash(*node)),
        (Fault::Restart { new_disk, .. }, false) => {
            for node in hit {
                if *new_disk {
                    world.replace_disk(node);
                }
                world.start(node);
            }
        }
        (Fault::ClockJump { by_s, .. }, true) => hit.iter().for_each(|node| world.jump_clock(*node, (by_s * 1e9) as i64)),
        (Fault::Stall { for_s, .. }, true) => {
            office(&world.office).resumes = interpose::now() + nanos(Duration::from_secs_f64(*for_s));
        }
        // Who left stays away, a clock stays as it was set, and preconfers go on by themselves.
        (Fault::Leave { .. } | Fault::ClockJump { .. } | Fault::Stall { .. }, false) => {}
        // Each of its crashes and starts is a turn of its own.
        (Fault::Crashes { .. }, _) => {}
        (Fault::Drops { .. } | Fault::Join { .. } | Fault::LateSchedule { .. } | Fault::Reorg { .. }, _) => {
            unreachable!("a scenario of the stack has no {fault:?}: reading it refuses that")
        }
    }
}

/// Waits until everybody who is up has everything, for as long as the scenario allows.
fn settle(world: &mut World, scenario: &Scenario, ends: u64) {
    let last = ends + scenario.pure.settle_s * SECOND;
    while interpose::now() < last && seen(&world.seen).violations.is_empty() {
        let next = (interpose::now() + SECOND).min(last);
        world.run_until(next);
        if (interpose::now() / SECOND).is_multiple_of(12) {
            world.l1_block();
        }
        if unsettled(world, scenario).is_none() {
            return;
        }
    }
}

/// Who lacks something, in words.
fn unsettled(world: &mut World, scenario: &Scenario) -> Option<String> {
    let mut best: Option<(NodeId, Option<_>)> = None;
    for node in 0..scenario.pure.nodes.honest {
        if !world.is_up(node) {
            continue;
        }
        let Some(status) = world.status(node) else {
            return Some(format!("P10.4: node {node} is up and does not answer"));
        };
        let status = status.node;
        let head = status.head.map_or(0, |(number, _)| number);
        let lacks = head.saturating_sub(status.ready_to);
        if lacks > scenario.stack.may_lack {
            return Some(format!("P5.5: node {node} knows of block {head} and is ready to {} only", status.ready_to));
        }
        if scenario.stack.may_lack == 0 && (status.requests, status.held, status.unsent, status.jobs) != (0, 0, 0, 0) {
            let (requests, held, unsent, jobs) = (status.requests, status.held, status.unsent, status.jobs);
            return Some(format!("P6.5: node {node} still has {requests} requests, {held} held, {unsent} unsent, {jobs} jobs"));
        }
        match &best {
            Some((other, known)) if *known != status.head => {
                return Some(format!("nodes {other} and {node} stand at {known:?} and {:?}", status.head));
            }
            Some(_) => {}
            None => best = Some((node, status.head)),
        }
    }
    None
}

fn judge(world: &mut World, scenario: &Scenario, seed: u64) -> Played {
    let mut violations = std::mem::take(&mut seen(&world.seen).violations);
    if violations.is_empty() {
        violations.extend(unsettled(world, scenario).map(|what| format!("it does not settle: {what}")));
    }
    let charged = scenario.stack.slow_application.and_then(|_| world.charged(scenario.pure.nodes.honest - 1));
    let refused = office(&world.office).refused.clone();
    let watch = seen(&world.seen);
    let highest = watch.l1.blocks().map(|made| made.number).max().unwrap_or(0);
    let must = &scenario.pure.must;
    violations.extend(charged);
    if let Some(least) = must.blocks_a_minute {
        let rate = highest as f64 * 60.0 / scenario.pure.seconds as f64;
        if rate < least {
            violations.push(format!("blocks_a_minute: {rate:.1}, at least {least} are wanted (refused: {refused:?})"));
        }
    }
    let mut took: Vec<f64> = Vec::new();
    for block in watch.l1.blocks() {
        let others = watch.nodes.iter().filter(|(node, _)| watch.makers.get(&block.hash) != Some(node));
        let ready = others.filter_map(|(_, seen)| seen.ready_at.get(&block.hash));
        took.extend(ready.map(|at| at.saturating_sub(block.at.0 * 1_000) as f64 / 1e6));
    }
    let latency = Latencies::of(took);
    violations.extend(checks::propagation(&latency, must.propagation_p99_ms));
    let is_calm = calm(scenario);
    let calm_arrivals = || watch.nodes.values().flat_map(|seen| &seen.came).filter(|(at, _)| is_calm(*at));
    let calm = Calm {
        lasted: Duration::from_secs((BEGINS_S..BEGINS_S + scenario.pure.seconds).filter(|at| is_calm(at * SECOND)).count() as u64),
        block_every: Duration::from_millis(scenario.pure.blocks.every_ms),
        came: calm_arrivals().count(),
        by_gossip: calm_arrivals().filter(|(_, by_gossip)| *by_gossip).count(),
    };
    violations.extend(calm.check(scenario.stack.by_gossip));
    if interpose::trips() > 0 {
        violations.push(format!("{} tripwires: this run depends on more than its seed", interpose::trips()));
    }
    let traffic = net(&world.net).traffic();
    let useful: u64 = watch.nodes.values().map(|seen| seen.useful_bytes).sum();
    let report = Report {
        ok: violations.is_empty(),
        scenario: scenario.pure.name.clone(),
        seed,
        nodes: scenario.pure.nodes.honest,
        virtual_s: interpose::now() as f64 / 1e9,
        wall_s: 0.0,
        steps: watch.events(),
        polls: world.executor.polls(),
        trace_digest: format!("{:016x}", watch.digest()),
        wire_digest: format!("{:016x}", net(&world.net).digest()),
        schedule_digest: format!("{:016x}", world.executor.digest()),
        useful_share: useful as f64 / traffic.bytes.max(1) as f64,
        node_seconds_per_cpu_s: 0.0,
        blocks: highest,
        refused_blocks: refused,
        by_gossip: calm.share(),
        traffic,
        propagation_ms: latency,
        violations,
    };
    let lines = watch.lines.clone().unwrap_or_default();
    drop(watch);
    Played { report, lines }
}

/// When nothing is broken, nor has been lately.
fn calm(scenario: &Scenario) -> impl Fn(u64) -> bool + use<> {
    let begins = BEGINS_S * SECOND;
    let mut troubled = vec![(0, nanos(FORMING))];
    for fault in &scenario.pure.faults {
        let from = begins + nanos(fault.at());
        troubled.push((from, from + nanos(fault.span() + RECOVERY)));
    }
    let stack = &scenario.stack;
    if stack.resets_every_ms.is_some() || stack.stops.is_some() || stack.slow_application.is_some() {
        troubled.push((0, u64::MAX));
    }
    move |at| !troubled.iter().any(|(from, to)| (*from..=*to).contains(&at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_up_and_does_not_answer_is_named() {
        let world = std::thread::Builder::new().stack_size(32 << 20).spawn(|| {
            // Symbols may be missing in a test binary: nothing here depends on the seed.
            let _ = interpose::enter(1, START * SECOND);
            let scenario = Scenario::find("five").expect("committed");
            let mut world = World::new(&scenario, 1, u64::MAX, false);
            world.run_until(SECOND);
            let silent = Some("P10.4: node 0 is up and does not answer");
            assert_ne!(unsettled(&mut world, &scenario).as_deref(), silent);
            world.executor.suspend(0, true);
            assert_eq!(unsettled(&mut world, &scenario).as_deref(), silent);
            world.crash(0);
            assert_ne!(unsettled(&mut world, &scenario).as_deref(), silent, "who is down need not");
        });
        world.expect("a thread").join().expect("all of it holds");
    }
}
