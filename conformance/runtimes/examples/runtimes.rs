//! What does a node cost on async-std beside one on tokio?
//!
//! Two nodes over loopback, on the one runtime and on the other in turns. *One by one*: a commitment is published when the one before has
//! been accepted, and the time from the call to the event is taken. *Burst*: all at once. *Idle*: both are connected and have nothing to say.
//! Processor time is that of the whole process, so of both nodes and of who measures. The least of each figure counts, since others may be
//! using the machine.
//!
//! ```text
//! cargo run --release -p preconf-runtimes --example runtimes [-- ROUNDS]
//! ```
//!
//! Exit status 1 when a figure of async-std is above 1.15 times tokio's, or an idle node takes more than 0.5 % of a core. Linux only.

#[path = "../tests/both_runtimes/blocks.rs"]
mod blocks;
#[path = "../tests/both_runtimes/nodes.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod nodes;
#[path = "../tests/both_runtimes/runtime.rs"]
#[expect(dead_code, unused_macros, unused_imports, reason = "the tests need more of it")]
mod runtime;

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::future::join_all;
use futures_timer::Delay;
use preconf_node::NetworkEvent;
use preconf_node::preconf_core::Event;

use crate::blocks::{Chain, txlist};
use crate::nodes::{TestNode, config};
use crate::runtime::{AsyncStd, Runtime, Tokio, soon};

/// What async-std may take beside tokio. Ours.
const MOST: f64 = 1.15;
/// The share of a core that an idle node may take. Ours.
const MOST_IDLE: f64 = 0.005;
/// Commitments published one by one in a round.
const PACED: u64 = 500;
/// Commitments published at once in a round: no more than the machine lets wait (its `max_unsent`).
const BURST: u64 = 200;
/// Bursts in a round, so that its processor time is long beside the clock's 10 ms.
const BURSTS: u64 = 5;
/// How long idleness is watched in a round.
const WATCH: Duration = Duration::from_secs(4);
/// What gossipsub needs to build its mesh: two heartbeats of 500 ms and a little more.
const MESH_PAUSE: Duration = Duration::from_millis(1_200);

/// What was measured; of several, the least of each.
#[derive(Clone, Copy, Debug)]
struct Figures {
    p50: Duration,
    paced: Duration,
    burst: Duration,
    idle: f64,
}

impl Figures {
    fn least(self, other: Self) -> Self {
        Self {
            p50: self.p50.min(other.p50),
            paced: self.paced.min(other.paced),
            burst: self.burst.min(other.burst),
            idle: self.idle.min(other.idle),
        }
    }
}

fn main() -> ExitCode {
    let rounds: u32 = std::env::args().nth(1).map_or(5, |arg| arg.parse().expect("ROUNDS is a number"));
    let mut least: Option<(Figures, Figures)> = None;
    for _ in 0..rounds {
        let (tokio, async_std) = (block_on(measure::<Tokio>()), block_on(measure::<AsyncStd>()));
        least = Some(least.map_or((tokio, async_std), |least| (least.0.least(tokio), least.1.least(async_std))));
    }
    let Some((tokio, async_std)) = least else { return ExitCode::SUCCESS };
    println!("{:<34} {:>10} {:>10} {:>7}", "", "tokio", "async-std", "ratio");
    let mut is_fine = true;
    for (what, tokio, async_std) in [
        ("one by one, publish to accept, p50", tokio.p50, async_std.p50),
        ("one by one, processor time each", tokio.paced, async_std.paced),
        ("burst, processor time each", tokio.burst, async_std.burst),
    ] {
        let ratio = async_std.as_secs_f64() / tokio.as_secs_f64();
        is_fine &= ratio <= MOST;
        println!("{what:<34} {:>7} µs {:>7} µs {ratio:>7.3}", tokio.as_micros(), async_std.as_micros());
    }
    println!("{:<34} {:>8.3} % {:>8.3} %", "idle node, share of a core", tokio.idle * 100.0, async_std.idle * 100.0);
    is_fine &= tokio.idle <= MOST_IDLE && async_std.idle <= MOST_IDLE;
    println!("allowed are a ratio of {MOST} and {} % idle", MOST_IDLE * 100.0);
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure<R: Runtime>() -> Figures {
    let mut chain = Chain::new();
    let (alice, mut bob) = (TestNode::of::<R>(&chain, config()).await, TestNode::of::<R>(&chain, config()).await);
    bob.connect(&alice, &alice.address).await;
    Delay::new(MESH_PAUSE).await;
    // One txlist for all blocks, so that only commitments are measured.
    let txs = txlist(1_000, 1);
    soon("publication", alice.handle.publish_txlist(txs.clone())).await.expect("it is sent");

    let blocks: Vec<_> = (0..PACED + BURSTS * BURST).map(|_| chain.block(&txs)).collect();
    let (paced_blocks, burst_blocks) = blocks.split_at(PACED as usize);

    let began = processor_time();
    let mut delays = Vec::new();
    for block in paced_blocks.iter().cloned() {
        let start = Instant::now();
        soon("publication", alice.handle.publish_commitment(block)).await.expect("it is sent");
        bob.until("acceptance", accepted).await;
        delays.push(start.elapsed());
    }
    let paced = (processor_time() - began) / PACED as u32;
    delays.sort_unstable();

    let began = processor_time();
    for burst in burst_blocks.chunks(BURST as usize) {
        let publications = join_all(burst.iter().map(|block| alice.handle.publish_commitment(block.clone())));
        assert!(soon("publication", publications).await.iter().all(Result::is_ok));
        for _ in burst {
            bob.until("acceptance", accepted).await;
        }
    }
    let burst = (processor_time() - began) / (BURSTS * BURST) as u32;

    Delay::new(MESH_PAUSE).await; // what was sent is forgotten first
    let began = processor_time();
    Delay::new(WATCH).await;
    let idle = (processor_time() - began).as_secs_f64() / WATCH.as_secs_f64() / 2.0;

    alice.stop().await;
    bob.stop().await;
    Figures { p50: delays[delays.len() / 2], paced, burst, idle }
}

fn accepted(event: NetworkEvent) -> Option<()> {
    matches!(event, NetworkEvent::Core(Event::CommitmentAccepted { .. })).then_some(())
}

/// Processor time of the process so far, in steps of 10 ms.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux has it");
    // Behind the name, which may hold anything, the 12th and 13th field: ticks in user and in kernel mode.
    let fields = stat.rsplit(')').next().expect("a name in parentheses").split_whitespace().skip(11);
    Duration::from_millis(10) * fields.take(2).map(|ticks| ticks.parse::<u32>().expect("a number")).sum::<u32>()
}
