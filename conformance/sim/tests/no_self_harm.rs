//! Do honest machines leave each other in peace, whatever happens between them (P7.10)?
//!
//! Each seed makes a schedule of its own: nodes whose clocks are up to 10 s apart elect each other, over links that lose, delay, repeat and
//! reorder; cuts come and go, nodes restart, dial each other and catch up in small pages, and their users ask a lot. A run fails when an
//! honest node prunes or bans another, charges it with more than absence, or refuses it a request for asking too much.
//!
//! The same schedules must fail with P6.7 or P7.2a switched off, both by configuration, or they would prove nothing.
//!
//! `SIM_SCHEDULES=100000` runs as many, on all cores; `SIM_SEED=n` repeats one.

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_core::{B256, Command, POINT, RateLimit, ScoreRules};
use preconf_sim::{
    Dice, Election, Failure, JobOrder, NodeId, Setup, Terms, Violation, World, at_scale, each_seed, each_seed_on_all_cores, peer_id,
};

const MILLIONTHS: u64 = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);
/// P7.10 says 10 s between any two.
const MAX_SKEW_MICROS: u64 = 10_000_000;
/// Faults and wishes of one schedule.
const DISTURBANCES: usize = 12;
/// How long blocks are made. The schedules that end before it are quiet at the end.
const BLOCKS_FOR_SECS: u64 = 20;

/// What is the same in all schedules of a test.
#[derive(Clone, Copy, Default)]
struct Rules {
    /// What node 0 believes that others let it ask (P6.7).
    believes: RateLimit,
    /// What nodes charge each other (P7).
    score: ScoreRules,
}

/// One random schedule, from its first step to rest.
fn schedule(seed: u64, rules: Rules) -> Result<[u8; 32], Failure> {
    let (mut world, mut dice) = (World::new(seed), Dice::new(!seed));
    world.allow_forks(); // clocks that stand apart have two preconfers build on one parent (C9)
    let nodes = 2 + dice.below(3) as usize;
    let (earliest, latest) = clocks(&mut dice);
    for node in 0..nodes {
        let mut setup = Setup::plain();
        setup.skew_micros = match node {
            0 => earliest,
            1 => latest, // at least two nodes are as far apart as this schedule has it
            _ => earliest + dice.below(1 + (latest - earliest).unsigned_abs()) as i64,
        };
        setup.drops = dice.below(MILLIONTHS / 4) as u32;
        setup.executes = true;
        if dice.chance(500_000) {
            setup.jobs = JobOrder::After(Duration::ZERO..Duration::from_millis(100));
        }
        // Catch-up of a few blocks then takes as many requests as that of thousands does in life.
        (setup.config.page_near, setup.config.page_far) = (1 + dice.below(3) as u32, 4);
        setup.config.score = rules.score;
        setup.config.static_peers = (0..node).map(|other| world.address_of(other)).collect(); // P8.5: failed dials weigh most
        if node == 0 && rules.believes != RateLimit::default() {
            setup.config.request_limit = rules.believes;
            setup.config.response_limit.bytes = 1 << 40; // what it believes of others must fit what it serves itself
        }
        let id = world.add_node(setup);
        world.link_to_all(id, terms(&mut dice));
    }
    world.elect(election(&mut dice, nodes))?;
    for _ in 0..DISTURBANCES {
        world.run_for(Duration::from_millis(dice.below(2_000)))?;
        blameless(&world, nodes)?; // a restart forgets what the node has charged
        disturb(&mut world, &mut dice, nodes)?;
    }
    for a in 0..nodes {
        (a + 1..nodes).for_each(|b| world.heal(a, b));
    }
    world.run_for(30 * SECOND)?;
    blameless(&world, nodes)?;
    Ok(world.digest())
}

/// The two clocks that are furthest apart.
fn clocks(dice: &mut Dice) -> (i64, i64) {
    let apart = dice.below(MAX_SKEW_MICROS + 1) as i64;
    let earliest = dice.below(MAX_SKEW_MICROS + 1) as i64 - MAX_SKEW_MICROS as i64;
    (earliest, earliest + apart)
}

fn election(dice: &mut Dice, nodes: usize) -> Election {
    let window_secs = 4 + dice.below(9);
    let mut news_of_windows = BTreeMap::new();
    if dice.chance(300_000) {
        news_of_windows.insert(dice.below(nodes as u64) as NodeId, Duration::from_millis(dice.below(4_000)));
    }
    Election {
        seats: (0..nodes).collect(),
        window_secs,
        windows: 1 + BLOCKS_FOR_SECS / window_secs,
        every: Duration::from_millis(700 + dice.below(1_300)),
        txlist_bytes: 100,
        patience: Duration::from_millis(dice.below(3_000)),
        settles_after: dice.chance(500_000).then_some(12 * SECOND),
        news_of_windows,
    }
}

fn terms(dice: &mut Dice) -> Terms {
    let slow = Duration::from_millis(1 + dice.below(2_000));
    let (loss, repeats) = (dice.below(MILLIONTHS / 4) as u32, dice.below(MILLIONTHS / 4) as u32);
    let latency = Duration::from_millis(1)..slow + Duration::from_millis(1);
    Terms { latency, loss, repeats, reorders: dice.chance(500_000), ..Terms::default() }
}

/// Something goes wrong, or a user wants a lot.
fn disturb(world: &mut World, dice: &mut Dice, nodes: usize) -> Result<(), Failure> {
    let node = |dice: &mut Dice| dice.below(nodes as u64) as NodeId;
    let (a, b) = (node(dice), node(dice));
    match dice.below(6) {
        0 => world.cut(a, b, Duration::from_millis(dice.below(20_000))),
        1 => world.heal(a, b),
        2 => world.restart(a)?,
        3 => {
            let changed = terms(dice);
            world.terms(|terms| *terms = changed.clone());
        }
        4 => {
            // Down for a while, and its peers dial in vain.
            world.stop(a)?;
            world.run_for(Duration::from_millis(dice.below(4_000)))?;
            world.start(a)?;
        }
        _ => {
            for _ in 0..dice.below(20) {
                let peer = dice.chance(500_000).then(|| peer_id(b));
                let ask = match dice.below(3) {
                    0 => Command::GetHead { peer },
                    1 => Command::GetCommitments { start: 1, count: 1 + dice.below(256) as u32, peer },
                    _ => Command::GetTxList { hash: B256::ZERO, peer },
                };
                let _ = world.command(a, ask)?; // a refusal is an answer too
            }
        }
    }
    Ok(())
}

/// Nobody holds more against another than that it was not there.
fn blameless(world: &World, nodes: usize) -> Result<(), Failure> {
    let pairs = (0..nodes).flat_map(|node| (0..nodes).map(move |peer| (node, peer)));
    pairs.into_iter().try_for_each(|(node, peer)| world.charged_only_for_absence(node, peer))
}

#[test]
fn p7_10_no_honest_node_is_ever_pruned_or_banned_by_another() -> Result<(), Failure> {
    each_seed_on_all_cores(0..at_scale("SIM_SCHEDULES", 100, 5_000), |seed| schedule(seed, Rules::default()).map(drop))
}

#[test]
fn a_schedule_is_the_same_each_time() -> Result<(), Failure> {
    each_seed(0..20, |seed| schedule(seed, Rules::default()))
}

#[test]
fn p7_10_the_same_schedules_fail_when_a_node_does_not_keep_to_the_limits() {
    // P6.7 switched off.
    let mut generous = RateLimit::default();
    generous.limit *= 100;
    let rules = Rules { believes: generous, ..Rules::default() };
    let failed = (0..100).find_map(|seed| schedule(seed, rules).err()).expect("a failure");
    assert!(matches!(failed.violation, Violation::OverLimit { .. } | Violation::HonestPeerBlamed { .. }), "{failed}");
}

#[test]
fn p7_10_the_same_schedules_fail_when_absence_counts_like_malice() {
    // P7.2a switched off: absence goes as low as anything.
    let score = ScoreRules { absence_floor: -10 * POINT, ..ScoreRules::default() };
    let rules = Rules { score, ..Rules::default() };
    let failed = (0..100).find_map(|seed| schedule(seed, rules).err()).expect("a failure");
    assert!(matches!(failed.violation, Violation::HonestPeerPunished { rule: "P7.1" | "P6.5", .. }), "{failed}");
}
