//! Does the order in which messages arrive change what a node concludes (C9, P5.1, P5.2, P5.5, P5.6, P6.9)?
//!
//! The same history of 50 blocks, with EOPs and two preconfers, reaches one node in random orders: some messages are lost, some come twice,
//! from any of three peers that serve requests honestly. 300 orders are tried, with `SIM_FULL=1` 10 000; `SIM_ORDERS` sets another number,
//! `SIM_SEED` one order.

use std::time::Duration;

use preconf_core::Topic;
use preconf_sim::{Dice, Failure, History, HistoryPlan, JobOrder, Server, Setup, Terms, World, at_scale, each_seed, seeds};

/// All messages reach the node within this time, those that are not lost.
const SPREAD: Duration = Duration::from_secs(5);
/// By then requests must have repaired what was lost.
const REPAIRED: Duration = Duration::from_secs(60);
const LOST_MILLIONTHS: u32 = 200_000;
const REPEATED_MILLIONTHS: u32 = 200_000;
const PEERS: usize = 3;

fn one_order(seed: u64, history: &History) -> Result<[u8; 32], Failure> {
    let mut dice = Dice::new(!seed);
    let mut world = World::new(seed);
    let jobs = if dice.chance(500_000) { JobOrder::AtOnce } else { JobOrder::After(Duration::ZERO..Duration::from_millis(20)) };
    let node = world.add_node(Setup { jobs, ..Setup::of(history) });
    for _ in 0..PEERS {
        let peer = world.add_puppet(Server::new(history));
        world.link(node, peer, Terms::default());
    }
    for block in history.blocks.iter() {
        let txlist = block.txlist_bytes().map(|data| (Topic::TxLists, data));
        for (topic, data) in txlist.into_iter().chain([(Topic::Commitments, block.commitment_bytes())]) {
            let copies = if dice.chance(LOST_MILLIONTHS) { 0 } else { 1 + u32::from(dice.chance(REPEATED_MILLIONTHS)) };
            for _ in 0..copies {
                let from = node + 1 + dice.below(PEERS as u64) as usize;
                world.inject(node, from, topic, data.clone(), dice.span(&(Duration::ZERO..SPREAD)));
            }
        }
    }
    world.run_for(SPREAD)?;
    world.settle(REPAIRED)?;
    assert_eq!(world.status(node).head.map(|(number, _)| number), Some(history.head()), "seed {seed}");
    assert_eq!(world.ready(node), history.ready_sequence(), "seed {seed}");
    for peer in node + 1..=node + PEERS {
        assert_eq!(world.charged(node, peer), 0, "seed {seed}: nobody is at fault, yet peer {peer} was charged");
    }
    Ok(world.digest())
}

#[test]
fn p5_5_every_order_of_arrival_ends_with_the_same_head_and_ready_sequence_and_nobody_charged() -> Result<(), Failure> {
    let history = History::write(HistoryPlan::default());
    for seed in seeds(0..at_scale("SIM_ORDERS", 300, 10_000)) {
        one_order(seed, &history)?;
    }
    Ok(())
}

#[test]
fn the_same_seed_makes_the_same_world_and_another_seed_another() -> Result<(), Failure> {
    let history = History::write(HistoryPlan::default());
    each_seed(0..10, |seed| one_order(seed, &history))?;
    assert_ne!(one_order(1, &history)?, one_order(2, &history)?);
    Ok(())
}
