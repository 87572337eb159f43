//! What does a catch-up cost beside the signatures that it must check?
//!
//! One node catches up 10 000 blocks from three peers in a simulated world, so in virtual time, with the limits of P6.6 kept. The same
//! signatures are recovered without anything around them. Both take turns, and the least time of each counts, since others may be using
//! the machine. The world's own work (links, digest, memory of recoveries) is part of the first figure.
//!
//! ```text
//! cargo run --release -p preconf-sim --example catch_up_cost [-- BLOCKS ROUNDS]
//! ```
//!
//! Exit status 1 when the ratio is above 1.3.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use preconf_core::{DEFAULT_DOMAIN, memory_bound, recover};
use preconf_sim::{Failure, History, HistoryPlan, Server, Setup, Terms, World};

/// Ours: what a catch-up may cost beside its signatures.
const MOST: f64 = 1.3;

fn main() -> Result<ExitCode, Failure> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().expect("BLOCKS and ROUNDS are numbers"));
    let (blocks, rounds) = (args.next().unwrap_or(10_000), args.next().unwrap_or(5));
    let history = History::write(HistoryPlan { blocks, per_window: 100, one_txlist: true, ..HistoryPlan::default() });
    let (mut bare, mut whole) = (Duration::MAX, Duration::MAX);
    for round in 0..rounds {
        let start = Instant::now();
        assert!(history.blocks.iter().all(|block| recover(&block.signed, DEFAULT_DOMAIN).is_some()));
        bare = bare.min(start.elapsed());
        whole = whole.min(catch_up(&history, round)?);
    }
    let ratio = whole.as_secs_f64() / bare.as_secs_f64();
    println!("bare signatures {bare:?}, catch-up {whole:?}: {ratio:.3} times as long, allowed is {MOST}");
    Ok(if ratio <= MOST { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn catch_up(history: &History, seed: u64) -> Result<Duration, Failure> {
    let mut world = World::new(seed);
    let setup = Setup::of(history);
    let bound = memory_bound(&setup.config);
    let node = world.add_node(setup);
    for _ in 0..3 {
        let peer = world.add_puppet(Server::new(history));
        world.link(node, peer, Terms::default());
    }
    let start = Instant::now();
    let done = world.run_until(Duration::from_secs(3_600), |world| world.status(node).ready_to == history.head())?;
    let took = start.elapsed();
    assert!(done, "not caught up after an hour of virtual time");
    if seed == 0 {
        let virtual_s = world.now().0 / 1_000_000;
        let bytes = world.core(node).memory_bytes();
        println!(
            "{} blocks in {virtual_s} s of virtual time, {} calls; {bytes} bytes in the end, bound {bound}",
            history.head(),
            world.steps()
        );
    }
    Ok(took)
}
