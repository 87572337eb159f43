//! Does every node get everything, though a fifth of the gossip is lost (P11.2, P5.2, P5.6, P6.9, P7.10)?
//!
//! A message that is lost on arrival is lost for good, as gossipsub's duplicate cache makes it, and its finder does not forward it.

use std::time::Duration;

use preconf_sim::{Failure, History, HistoryPlan, Setup, Terms, World, at_scale, each_seed};

const A_FIFTH: u32 = 200_000;
/// Source: P11.2.
const WITHOUT_GAPS_AFTER: Duration = Duration::from_secs(2);

fn lossy(seed: u64, history: &History, nodes: usize, every: Duration) -> Result<[u8; 32], Failure> {
    let mut world = World::new(seed);
    for _ in 0..nodes {
        let node = world.add_node(Setup { drops: A_FIFTH, ..Setup::of(history) });
        world.link_to_all(node, Terms::default());
    }
    world.run_for(Duration::from_secs(1))?;
    world.publish(history, every, &[0, 1]);
    let length = every * u32::try_from(history.head() + 10).unwrap_or(u32::MAX);
    world.run_until(length, |world| (0..2).any(|node| world.status(node).head.is_some_and(|(head, _)| head == history.head())))?;
    let all_ready = |world: &World| (0..nodes).all(|node| world.status(node).ready_to == history.head());
    world.run_until(Duration::from_secs(120), all_ready)?;
    let last = world.last_loss().max(world.last_block());
    for node in 0..nodes {
        let at = world.ready_at(node, history.head());
        let late = at.map(|at| at.since(last));
        assert!(late.is_some_and(|late| late <= WITHOUT_GAPS_AFTER), "seed {seed}, node {node}: ready {late:?} after the last loss");
        assert_eq!(world.ready(node), history.ready_sequence(), "seed {seed}, node {node}");
    }
    world.settle(Duration::from_secs(30))?;
    Ok(world.digest())
}

#[test]
fn p11_2_five_nodes_have_every_block_two_seconds_after_the_last_loss() -> Result<(), Failure> {
    let history = History::write(HistoryPlan::default());
    each_seed(0..at_scale("SIM_SEEDS", 10, 100), |seed| lossy(seed, &history, 5, Duration::from_millis(500)))
}

#[test]
fn p11_2_two_nodes_have_every_block_two_seconds_after_the_last_loss() -> Result<(), Failure> {
    let history = History::write(HistoryPlan::default());
    each_seed(0..at_scale("SIM_SEEDS", 10, 100), |seed| lossy(seed, &history, 2, Duration::from_secs(1)))
}

#[test]
fn p11_2_twenty_nodes_have_every_block_two_seconds_after_the_last_loss() -> Result<(), Failure> {
    let history = History::write(HistoryPlan { blocks: 30, ..HistoryPlan::default() });
    each_seed(0..at_scale("SIM_SEEDS", 3, 30), |seed| lossy(seed, &history, 20, Duration::from_secs(2)))
}
