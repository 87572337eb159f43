//! Bytes drive a small network, and a naive model beside every machine in it.
//!
//! Whatever links do and strangers say in between, honest nodes never punish each other (P7.10), never accept what breaks a rule, tell
//! blocks in order (P5.5), and say of every message what their models say: the simulator checks that after every step. In the end the world
//! heals, and every node must come to have the whole chain, block for block, and come to rest.

use std::sync::OnceLock;
use std::time::Duration;

use preconf_core::{RawTxList, Topic};
use preconf_sim::{Failure, History, HistoryPlan, JobOrder, NodeId, Server, Setup, Terms, World};

use crate::dice::Dice;
use crate::machine::spoil;

/// Nodes that publish; they do not restart, for what only their memory held would be gone for good.
const PRECONFERS: usize = 2;
/// Honest nodes.
const NODES: usize = 4;
/// The peer that is no node, and says what nobody honest would.
const STRANGER: NodeId = NODES;
/// Moves of one input. Ours: an input ends within some tens of milliseconds.
const MAX_MOVES: usize = 40;
/// Half of what clocks may be apart. Source: P7.10.
const MOST_SKEW_MICROS: i64 = 5_000_000;
/// How long a healed world may take until every block is ready everywhere. Ours: as the rough network's.
const HEALS_WITHIN: Duration = Duration::from_secs(180);
/// How long it may take to come to rest after that.
const RESTS_WITHIN: Duration = Duration::from_secs(60);

/// What an input made of its world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lived {
    /// Blocks that every node has in the end.
    pub blocks: usize,
    /// Links that were cut.
    pub cuts: usize,
    /// Nodes that were restarted.
    pub restarts: usize,
    /// Bad messages that were injected.
    pub poison: usize,
    /// Calls of machines.
    pub steps: u64,
}

/// Runs one input.
///
/// # Panics
/// Something does not hold on the way, or the healed world does not come to rest with the whole chain everywhere.
pub fn sim_model(data: &[u8]) -> Lived {
    live(data).unwrap_or_else(|failure| panic!("{failure}"))
}

fn history() -> &'static History {
    static HISTORY: OnceLock<History> = OnceLock::new();
    HISTORY.get_or_init(|| History::write(HistoryPlan { blocks: 12, per_window: 4, ..HistoryPlan::default() }))
}

fn live(data: &[u8]) -> Result<Lived, Failure> {
    let (history, mut dice, mut lived) = (history(), Dice::new(data), Lived::default());
    let mut world = World::new(u64::from(dice.byte()));
    world.model_every(1);
    for _ in 0..NODES {
        let how = dice.byte();
        let skew_micros = i64::from(how & 7) * 2 * MOST_SKEW_MICROS / 7 - MOST_SKEW_MICROS;
        let jobs = if how & 8 == 0 { JobOrder::AtOnce } else { JobOrder::After(Duration::ZERO..Duration::from_millis(30)) };
        let node = world.add_node(Setup { skew_micros, jobs, ..Setup::of(history) });
        world.link_to_all(node, Terms::default());
    }
    let stranger = world.add_puppet(Server::up_to(history, 0));
    assert_eq!(stranger, STRANGER, "nodes are numbered as they come");
    world.link_to_all(stranger, Terms::default());
    world.run_for(Duration::from_secs(2))?;
    world.publish(history, Duration::from_millis(500), &(0..PRECONFERS).collect::<Vec<_>>());
    for _ in 0..MAX_MOVES {
        if dice.is_exhausted() {
            break;
        }
        make(&mut world, &mut dice, &mut lived)?;
    }
    world.calm();
    let has_all = |world: &World| (0..NODES).all(|node| world.status(node).ready_to == history.head());
    assert!(world.run_until(HEALS_WITHIN, has_all)?, "not every block is ready everywhere: {:?}", stand(&world));
    world.settle(RESTS_WITHIN)?;
    for node in 0..NODES {
        let (told, all) = (world.ready(node), history.ready_sequence());
        // In one life each block once, in order; what was settled before a restart need not be told again, but nothing was settled here.
        assert_eq!(told, all, "P5.5: node {node} was told another chain");
    }
    Ok(Lived { blocks: history.head() as usize, steps: world.steps(), ..lived })
}

/// One move: three bytes that say what, where and how.
fn make(world: &mut World, dice: &mut Dice<'_>, lived: &mut Lived) -> Result<(), Failure> {
    let (what, place, how) = (dice.byte() % 8, usize::from(dice.byte()), dice.byte());
    let (a, b) = (place % (NODES + 1), place / (NODES + 1) % (NODES + 1));
    match what {
        0 => world.run_for(Duration::from_millis(20 * u64::from(how)))?,
        1 if a != b => {
            lived.cuts += 1;
            world.cut(a, b, Duration::from_millis(30 * u64::from(how)));
        }
        2 if a != b => world.heal(a, b),
        3 => {
            lived.restarts += 1;
            world.restart(PRECONFERS + place % (NODES - PRECONFERS))?;
        }
        4 => {
            let (loss, repeats) = (u32::from(how % 16) * 20_000, u32::from(how / 16) * 20_000);
            world.terms(|terms| (terms.loss, terms.repeats, terms.reorders) = (loss, repeats, place.is_multiple_of(2)));
        }
        5 => {
            // Never as it is: that would be an honest message.
            let block = &history().blocks[place % history().blocks.len()];
            let data = spoil(block.signed.as_bytes(), how.max(1));
            world.poison(Topic::Commitments, &data);
            world.inject(place % NODES, STRANGER, Topic::Commitments, data, Duration::from_millis(u64::from(how)));
            lived.poison += 1;
        }
        6 => {
            let block = &history().blocks[place % history().blocks.len()];
            if let Some((hash, txlist)) = block.txlist.clone() {
                let data = spoil(&RawTxList { hash, txlist }.encode(), how);
                world.inject(place % NODES, STRANGER, Topic::TxLists, data, Duration::from_millis(u64::from(how)));
            }
        }
        _ => world.run_for(Duration::from_millis(u64::from(how)))?,
    }
    Ok(())
}

fn stand(world: &World) -> Vec<(u64, Option<u64>)> {
    (0..NODES).map(|node| world.status(node)).map(|status| (status.ready_to, status.lag)).collect()
}
