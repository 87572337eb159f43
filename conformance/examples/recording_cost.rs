//! What does recording cost? Lives a trace again, with and without a recorder, and prints both.
//!
//! ```sh
//! cargo run --release --bin preconf -- devnet --record traces
//! cargo run --release -p preconf-conformance --example recording_cost -- traces/node-0.trace
//! ```
//!
//! Only the machine's own work is timed, and the recorder's: no job, no network, no disk. Of a node's whole work both are a small part.

use std::error::Error;
use std::io::{Sink, sink};
use std::time::{Duration, Instant};

use preconf_core::{Input, Job, JobDone, Output};
use preconf_trace::{Call, Header, Reader, Recorder, Replay, Step, Tape};

/// Ours: the least of so many runs is near what an idle machine would take.
const RUNS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("recording_cost TRACE")?;
    let trace = std::fs::read(path)?;
    let mut reader = Reader::new(&trace[..])?;
    let mut steps = Vec::new();
    while let Some(step) = reader.step()? {
        steps.push(step);
    }
    let results = results(&trace)?;
    let least = |recorded| (0..RUNS).filter_map(|_| live(reader.header(), &steps, &results, recorded)).min().unwrap_or_default();
    let (bare, recorded) = (least(false), least(true));
    let count = steps.len().max(1);
    let per_step = |span: Duration| span.as_nanos() / count as u128;
    println!("{count} steps, {} bytes each", trace.len() / count);
    println!(
        "the machine {} ns a step, recorded {} ns: {} ns more",
        per_step(bare),
        per_step(recorded),
        per_step(recorded.saturating_sub(bare))
    );
    Ok(())
}

/// What each job found, in the order in which the results came back.
fn results(trace: &[u8]) -> Result<Vec<JobDone>, Box<dyn Error>> {
    let (mut replay, mut jobs, mut results) = (Replay::open(trace)?, Vec::<Job>::new(), Vec::new());
    while let Some(step) = replay.step()? {
        if let Call::JobDone(id) = step.step.call {
            results.extend(jobs.iter().find(|job| job.id == id).map(Job::run));
            jobs.retain(|job| job.id != id);
        }
        jobs.extend(step.outputs.into_iter().filter_map(|output| if let Output::Job(job) = output { Some(job) } else { None }));
    }
    Ok(results)
}

/// One life; what it took.
fn live(header: &Header, steps: &[Step], results: &[JobDone], recorded: bool) -> Option<Duration> {
    let tape = recorded.then(|| Tape { to: sink(), max_bytes: u64::MAX });
    let mut node = Recorder::<Sink>::start(header.config.clone(), header.seed, header.start, tape).ok()?;
    let (steps, mut results) = (steps.to_vec(), results.iter());
    let began = Instant::now();
    for Step { now, call, .. } in steps {
        match call {
            Call::Input(input) => node.handle_input(now, input),
            Call::JobDone(_) => node.handle_input(now, Input::JobFinished(*results.next()?)),
            Call::Command(command) => drop(node.handle_command(now, command)),
            Call::Timeout => node.handle_timeout(now),
        }
        while node.poll_output().is_some() {}
    }
    Some(began.elapsed())
}
