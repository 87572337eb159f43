//! Do honest nodes leave each other alone, whatever the network does (P7.10)?
//!
//! Links break and heal, messages are lost, repeated and reordered, clocks stand up to 10 s apart, jobs come back in any order, nodes
//! restart with an empty memory. The world ends every run in which an honest node prunes or bans another (P7.10), drops its request as
//! over a limit (P6.7; a restarted node cannot remember for a while what it asked), or tells a block out of order (P5.5). Preconfers do not
//! restart here: what only their memory held would be gone for good.

use std::time::Duration;

use preconf_sim::{Dice, Failure, History, HistoryPlan, JobOrder, Setup, Terms, World, at_scale, each_seed};

const NODES: usize = 6;
const PRECONFERS: usize = 2;
const ROUNDS: usize = 15;
/// Half of what clocks may be apart. Source: P7.10.
const MOST_SKEW_MICROS: u64 = 5_000_000;

fn rough(seed: u64, history: &History) -> Result<[u8; 32], Failure> {
    let mut dice = Dice::new(!seed);
    let mut world = World::new(seed);
    for _ in 0..NODES {
        let skew = dice.below(2 * MOST_SKEW_MICROS + 1).cast_signed() - MOST_SKEW_MICROS.cast_signed();
        let jobs = if dice.chance(500_000) { JobOrder::AtOnce } else { JobOrder::After(Duration::ZERO..Duration::from_millis(30)) };
        let node = world.add_node(Setup { skew_micros: skew, drops: 100_000, jobs, ..Setup::of(history) });
        let far = Duration::from_millis(10 + dice.below(400));
        world.link_to_all(node, Terms { latency: Duration::from_millis(5)..far, loss: 50_000, repeats: 100_000, ..Terms::default() });
    }
    world.run_for(Duration::from_secs(2))?;
    world.publish(history, Duration::from_secs(1), &(0..PRECONFERS).collect::<Vec<_>>());
    for _ in 0..ROUNDS {
        for _ in 0..dice.below(6) {
            let (a, b) = two_of(&mut dice);
            world.cut(a, b, dice.span(&(Duration::from_millis(100)..Duration::from_secs(8))));
        }
        for _ in 0..dice.below(6) {
            let (a, b) = two_of(&mut dice);
            world.heal(a, b);
        }
        if dice.chance(300_000) {
            world.restart(PRECONFERS + dice.below((NODES - PRECONFERS) as u64) as usize)?;
        }
        world.run_for(dice.span(&(Duration::from_millis(500)..Duration::from_secs(6))))?;
    }
    world.calm();
    let all_ready = |world: &World| (0..NODES).all(|node| world.status(node).ready_to == history.head());
    let done = world.run_until(Duration::from_secs(180), all_ready)?;
    let stand: Vec<_> = (0..NODES).map(|node| world.status(node)).collect();
    assert!(done, "seed {seed}: not every block is ready everywhere: {stand:#?}");
    world.settle(Duration::from_secs(60))?;
    Ok(world.digest())
}

fn two_of(dice: &mut Dice) -> (usize, usize) {
    let a = dice.below(NODES as u64) as usize;
    (a, (a + 1 + dice.below(NODES as u64 - 1) as usize) % NODES)
}

#[test]
fn p7_10_honest_nodes_never_prune_or_ban_each_other_whatever_the_network_does() -> Result<(), Failure> {
    let history = History::write(HistoryPlan::default());
    each_seed(0..at_scale("SIM_SEEDS", 10, 100), |seed| rough(seed, &history))
}
