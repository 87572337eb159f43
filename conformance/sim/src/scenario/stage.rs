//! How is the stage set?

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_core::{ChainId, ChainLabel, DiscoveryConfig, NodeRecord};

use super::adversaries::{Equivocator, Flood, Liar, SlowReader, Stranger, Sybil, TxListFlood, Withholder};
use super::file::{Adversary, Fault, Finding, Links, Scenario, Tail};
use crate::{CHAIN, Dice, DiskTerms, Election, Failure, JobOrder, NodeId, Setup, Terms, World, peer_id};

/// A world with everybody in it.
pub(crate) struct Stage {
    pub(crate) world: World,
    /// Honest nodes are the first ones.
    pub(crate) honest: usize,
}

pub(crate) fn millionths(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1e6) as u32
}

/// The last so many of a number of nodes.
pub(crate) fn last(share: f64, of: usize) -> Vec<NodeId> {
    let count = (share * of as f64).round() as usize;
    (of.saturating_sub(count)..of).collect()
}

fn tail(tail: Option<Tail>) -> (u32, Duration) {
    tail.map_or((0, Duration::ZERO), |tail| (millionths(tail.share), Duration::from_millis(tail.ms)))
}

fn terms(links: &Links) -> Terms {
    let [least, most] = links.latency_ms.map(Duration::from_millis);
    Terms {
        latency: least..most.max(least + Duration::from_micros(1)),
        tail: tail(links.tail),
        bandwidth: links.bandwidth_kib.map(|kib| kib << 10),
        loss: millionths(links.loss),
        repeats: millionths(links.repeats),
        reorders: !links.ordered,
    }
}

impl Stage {
    /// An empty stage.
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        Self { world: World::new(seed), honest: scenario.nodes.honest }
    }

    /// Brings everybody on, and lets the preconfers begin.
    pub(crate) fn open(&mut self, scenario: &Scenario, seed: u64) -> Result<(), Failure> {
        // The world's own dice go on by its events; what is set up from a scenario has dice of its own.
        let (world, mut dice) = (&mut self.world, Dice::new(!seed));
        let (honest, terms) = (scenario.nodes.honest, terms(&scenario.links));
        world.usual_terms(terms.clone());
        if scenario.must.may_fork {
            world.allow_forks();
        }
        for _ in 0..honest {
            let setup = setup(scenario, &mut dice);
            world.add_node(setup);
        }
        match &scenario.discovery {
            Some(finding) => list(world, finding),
            None => link_honest(world, &mut dice, honest, scenario.nodes.degree, &terms),
        }
        let mut seats: Vec<NodeId> = (0..scenario.blocks.preconfers.min(honest)).collect();
        for adversary in &scenario.adversaries {
            add(world, &mut dice, adversary, honest, scenario.nodes.degree, &terms, &mut seats);
        }
        for fault in &scenario.faults {
            if let Fault::Join { count, .. } = fault {
                (honest - count..honest).try_for_each(|node| world.stop(node))?;
            }
        }
        let blocks = &scenario.blocks;
        let late = scenario.faults.iter().filter_map(|fault| match fault {
            Fault::LateSchedule { by_s, share } => Some((Duration::from_secs_f64(*by_s), last(*share, honest))),
            _ => None,
        });
        let news_of_windows: BTreeMap<_, _> = late.flat_map(|(by, nodes)| nodes.into_iter().map(move |node| (node, by))).collect();
        let settles = scenario.config.settles.unwrap_or(true);
        world.run_for(Duration::from_secs(1))?; // connections and meshes come up
        world.elect(Election {
            seats,
            window_secs: blocks.window_s,
            windows: (scenario.seconds + 600) / blocks.window_s + 2,
            every: Duration::from_millis(blocks.every_ms),
            txlist_bytes: blocks.txlist_bytes,
            patience: Duration::from_secs_f64(blocks.patience_s),
            settles_after: blocks.settles_after_s.filter(|_| settles).map(Duration::from_secs),
            news_of_windows,
        })
    }
}

fn setup(scenario: &Scenario, dice: &mut Dice) -> Setup {
    let mut setup = Setup { executes: true, drops: millionths(scenario.nodes.drops), ..Setup::plain() };
    let skew = (scenario.nodes.skew_s * 1e6) as u64;
    setup.skew_micros = dice.below(2 * skew + 1).cast_signed() - skew.cast_signed();
    if let Some([least, most]) = scenario.nodes.jobs_ms {
        setup.jobs = JobOrder::After(Duration::from_millis(least)..Duration::from_millis(most));
    }
    setup.disk = disk(scenario);
    if scenario.discovery.is_some() {
        setup.config.discovery = Some(DiscoveryConfig::PROD);
    }
    scenario.config.apply(&mut setup.config);
    setup
}

fn disk(scenario: &Scenario) -> DiskTerms {
    let disks = &scenario.disks;
    let [least, most] = disks.takes_ms.map(Duration::from_millis);
    DiskTerms {
        takes: least..most,
        tail: tail(disks.tail),
        fails: millionths(disks.fails),
        confirms_queued: scenario.config.confirms_durable == Some(false),
    }
}

/// The records that are in the table before anybody looks; no node of the world has one of their ids.
fn list(world: &mut World, finding: &Finding) {
    for number in 0..finding.gone + finding.foreign {
        let [_, a, b, c] = (number as u32).to_be_bytes();
        let chain = ChainLabel::Chain(if number < finding.gone { CHAIN } else { ChainId(CHAIN.0 + 1) });
        let addresses = vec![format!("/ip4/{}.{b}.{c}.1/tcp/4000", 100 + a)];
        world.list(NodeRecord { peer: peer_id(1_000_000 + number), sequence: 1, chain, addresses, text: String::new() });
    }
}

/// All to all, or a ring with random ways across it, so that nobody is left out.
fn link_honest(world: &mut World, dice: &mut Dice, honest: usize, degree: usize, terms: &Terms) {
    if degree == 0 || degree + 1 >= honest {
        for node in 0..honest {
            (0..node).for_each(|other| world.link(other, node, terms.clone())); // who joins last is found by the others
        }
        return;
    }
    for node in 0..honest {
        world.link(node, (node + 1) % honest, terms.clone());
        for _ in 1..degree / 2 {
            let other = dice.below(honest as u64) as usize;
            if other != node && !world.are_linked(node, other) {
                world.link(node, other, terms.clone());
            }
        }
    }
}

fn add(world: &mut World, dice: &mut Dice, adversary: &Adversary, honest: usize, degree: usize, terms: &Terms, seats: &mut Vec<NodeId>) {
    let mut added = Vec::new();
    match *adversary {
        Adversary::EquivocatingPreconfer => added.push(world.add_puppet(Equivocator::default())),
        Adversary::TxlistWithheld { asks } => added.push(world.add_puppet(Withholder::new(asks))),
        Adversary::MalformedFlood { count, per_s } => added.extend((0..count).map(|_| world.add_puppet(Flood::new(per_s, honest)))),
        Adversary::ValidTxlistFlood { count, per_s, kib } => {
            added.extend((0..count).map(|_| world.add_puppet(TxListFlood::new(per_s, kib << 10))));
        }
        Adversary::SlowReaders { count, .. } => added.extend((0..count).map(|_| world.add_puppet(SlowReader::default()))),
        Adversary::Strangers { count, .. } => {
            for index in 0..count {
                let node = world.add_puppet(Stranger::default());
                world.place(node, std::net::Ipv4Addr::new(198, 18, (index / 4) as u8, (index % 4) as u8 + 1));
                added.push(node);
            }
        }
        Adversary::LyingHeads { count } => added.extend((0..count).map(|_| world.add_puppet(Liar::default()))),
        Adversary::HostileRecords { share } => {
            for _ in 0..(honest as f64 * share / (1.0 - share)).round() as usize {
                let node = world.add_puppet(Sybil::new(honest, Duration::from_millis(dice.below(1_000)), Duration::from_secs(10)));
                let record = world.record_of(node);
                world.list(record);
                world.start_puppet(node);
            }
        }
        Adversary::Sybils { share, at_s } => {
            let count = (honest as f64 * share / (1.0 - share)).round() as usize;
            for index in 0..count {
                let at = Duration::from_secs_f64(at_s) + Duration::from_millis(dice.below(1_000));
                let node = world.add_puppet(Sybil::new(honest, at, Duration::from_secs(1)));
                // One host, one /24.
                world.place(node, std::net::Ipv4Addr::new(198, 18, (index / 250) as u8, (index % 250) as u8 + 1));
                world.start_puppet(node);
            }
        }
    }
    if matches!(adversary, Adversary::EquivocatingPreconfer | Adversary::TxlistWithheld { .. }) {
        seats.extend(&added);
    }
    let terms = match *adversary {
        Adversary::SlowReaders { bytes_per_s, .. } | Adversary::Strangers { bytes_per_s, .. } => {
            Terms { bandwidth: Some(bytes_per_s), ..terms.clone() }
        }
        _ => terms.clone(),
    };
    for node in added {
        let mut to: Vec<NodeId> = (0..honest).collect();
        if degree > 0 {
            dice.shuffle(&mut to);
            to.truncate(degree);
        }
        to.into_iter().for_each(|other| world.link(node, other, terms.clone()));
    }
}
