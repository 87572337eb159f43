//! What does recording cost a node? Lives a trace again, with and without a recorder, and prints both.
//!
//! ```sh
//! cargo run --release --bin preconf -- devnet --record traces
//! cargo run --release -p preconf-replay --example recording_cost -- traces/node-0.trace
//! ```
//!
//! A clock scatters by more than recording costs, so what is to be proven is counted: with `bare` or `recorded` behind the trace the program
//! lives it once and prints nothing, and the instructions of two such lives are compared.
//!
//! ```sh
//! export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000 # or each byte of a long copy counts as an instruction
//! for how in read bare recorded; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/recording_cost traces/node-0.trace $how 2>&1 | grep refs
//! done
//! ```
//!
//! `read` only reads the trace; what the other two take beyond it is the life itself. In it are the machine and its jobs, signatures and
//! hashes, as in a node; not the network, which is most of what a node does: Noise, Yamux, gossipsub. So the share that is seen here is more
//! than the share of a node. Seen on x86-64: 2.3 % with the devnet's defaults, 2.1 % with `--blocks 60 --block-ms 200 --txlist-kib 512`.

use std::error::Error;
use std::io::{Sink, sink};
use std::time::{Duration, Instant};

use preconf_core::{Input, Job, Output};
use preconf_trace::{Call, Header, Reader, Recorder, Step, Tape};

/// Ours: the least of so many runs is near what an idle machine would take.
const RUNS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("recording_cost TRACE [read|bare|recorded]")?;
    let trace = std::fs::read(path)?;
    let mut reader = Reader::new(&trace[..])?;
    let mut steps = Vec::new();
    while let Some(step) = reader.step()? {
        steps.push(step);
    }
    let life = |recorded| live(reader.header(), steps.clone(), recorded);
    match arguments.next().as_deref() {
        None => {}
        Some("read") => return Ok(()),
        Some("bare") => return life(false).map(|_| ()),
        Some("recorded") => return life(true).map(|_| ()),
        Some(other) => return Err(format!("{other:?} is none of read, bare, recorded").into()),
    }
    let (mut bare, mut recorded) = (Duration::MAX, Duration::MAX);
    for _ in 0..RUNS {
        // In turn, so that what else the machine does meanwhile hits both.
        (bare, recorded) = (bare.min(life(false)?), recorded.min(life(true)?));
    }
    let count = steps.len().max(1);
    let per_step = |span: Duration| span.as_nanos() / count as u128;
    println!("{count} steps, {} bytes each", trace.len() / count);
    println!(
        "the machine and its jobs {} ns a step, recorded {} ns: {:.2} % more",
        per_step(bare),
        per_step(recorded),
        100.0 * (recorded.as_secs_f64() / bare.as_secs_f64() - 1.0)
    );
    Ok(())
}

/// One life; what it took.
fn live(header: &Header, steps: Vec<Step>, recorded: bool) -> Result<Duration, Box<dyn Error>> {
    let tape = recorded.then(|| Tape { to: sink(), max_bytes: u64::MAX });
    let mut node = Recorder::<Sink>::start(header.config.clone(), header.seed, header.start, tape)?;
    let (began, mut jobs) = (Instant::now(), Vec::<Job>::new());
    for Step { now, call, .. } in steps {
        match call {
            Call::Input(input) => node.handle_input(now, input),
            Call::JobDone(id) => {
                let place = jobs.iter().position(|job| job.id == id).ok_or("a job that was not started")?;
                node.handle_input(now, Input::JobFinished(jobs.swap_remove(place).run()));
            }
            Call::Command(command) => drop(node.handle_command(now, command)),
            Call::Update(update) => drop(node.handle_update(now, update)),
            Call::Timeout => node.handle_timeout(now),
        }
        while let Some(output) = node.poll_output() {
            if let Output::Job(job) = output {
                jobs.push(job);
            }
        }
    }
    Ok(began.elapsed())
}
