//! `preconf-stack NAME|FILE [--nodes N] [--seed S | --seeds A..B] [--seconds T] [--jobs N] [--shard K/N] [--json]`, `preconf-stack --list`
//!
//! Plays the shipped node in a simulated world. Exit status 0 when everything held, 1 when something did not, 2 when nothing could be played.

mod child;

use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use clap::Parser;
use preconf_stack::{Change, Report, Scenario, scenario};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use self::child::{RUN_LIMIT, output_within};

#[derive(Parser)]
#[command(version, about = "Plays the shipped node, real libp2p included, in virtual time from one seed")]
struct Args {
    /// A committed scenario, or a file.
    #[arg(required_unless_present_any = ["list", "all"])]
    scenario: Option<String>,
    /// Name the committed scenarios, and what each shows.
    #[arg(long)]
    list: bool,
    /// Play every committed scenario.
    #[arg(long, conflicts_with_all = ["scenario", "list"])]
    all: bool,
    /// Nodes, in place of the scenario's own number.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    nodes: Option<u32>,
    /// The seed.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..u64::MAX))]
    seed: u64,
    /// Every seed from A up to B, without B.
    #[arg(long, value_name = "A..B", value_parser = preconf_sim::seed_range, conflicts_with = "seed")]
    seeds: Option<Range<u64>>,
    /// Seconds of its own time, in place of the scenario's own.
    #[arg(long)]
    seconds: Option<u64>,
    /// Runs at a time, each a process. As many as there are processors, unless said otherwise.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: Option<u32>,
    /// Of all runs, only every N-th, from the K-th on: K from 0. So a batch system splits a night over machines.
    #[arg(long, value_name = "K/N", value_parser = shard)]
    shard: Option<(u64, u64)>,
    /// Print one JSON object a run.
    #[arg(long)]
    json: bool,
    /// Write every event of every node, a line each.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "all"])]
    events: Option<PathBuf>,
    /// Print log lines with their virtual time and node, of these targets: `info`, or `libp2p_gossipsub=debug,preconf_node=trace`.
    #[arg(long, value_name = "TARGETS", conflicts_with_all = ["seeds", "all"])]
    log: Option<Targets>,
    /// Play it again from the same seed with another file's events beside, and name the first that differs.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "all", "events"])]
    diff: Option<PathBuf>,
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let (which, of) = text.split_once('/').ok_or("not of the form K/N")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let (which, of) = (number(which)?, number(of)?);
    if which < of { Ok((which, of)) } else { Err(format!("{which} is not below {of}; shards are counted from 0")) }
}

fn main() -> ExitCode {
    if !preconf_interpose::IS_SUPPORTED {
        eprintln!("skipped: the real stack is simulated on Linux with glibc only");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let played = run(&args);
    played.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn run(args: &Args) -> Result<ExitCode, String> {
    if args.list {
        for scenario in scenario::all() {
            println!("{:<22}{}", scenario.pure.name, scenario.pure.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let names: Vec<String> = match &args.scenario {
        Some(name) => vec![name.clone()],
        None => scenario::all().into_iter().map(|scenario| scenario.pure.name).collect(),
    };
    for name in &names {
        Scenario::find(name).map_err(|error| error.to_string())?;
    }
    let seeds = args.seeds.clone().unwrap_or(args.seed..args.seed + 1);
    let runs = (0..).zip(names.iter().flat_map(|name| seeds.clone().map(move |seed| (name, seed))));
    let runs: Vec<(&String, u64)> = match args.shard {
        Some((which, of)) => runs.filter(|(index, _)| index % of == which).map(|(_, run)| run).collect(),
        None => runs.map(|(_, run)| run).collect(),
    };
    match &runs[..] {
        [(name, seed)] => play_here(args, name, *seed),
        _ => play_all(args, &runs),
    }
}

/// One run, in this process.
fn play_here(args: &Args, name: &str, seed: u64) -> Result<ExitCode, String> {
    preconf_interpose::fix_addresses().map_err(|error| format!("this program could not start itself anew: {error}"))?;
    let scenario = Scenario::find(name).map_err(|error| error.to_string())?;
    if let Some(targets) = &args.log {
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .with_filter(targets.clone().with_target("preconf_stack", tracing::Level::INFO));
        tracing_subscriber::registry().with(lines).init();
    }
    let keeps_lines = args.events.is_some() || args.diff.is_some();
    let change = Change { nodes: args.nodes.map(|nodes| nodes as usize), seconds: args.seconds, keeps_lines };
    let played = scenario.play(seed, &change)?;
    print(&played.report, args);
    if let Some(path) = &args.events {
        fs::write(path, played.lines.join("\n") + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &args.diff {
        differ(path, &played.lines)?;
    }
    Ok(if played.report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Names the first event that is another one than in a file.
fn differ(path: &Path, lines: &[String]) -> Result<(), String> {
    let before = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let before: Vec<&str> = before.lines().collect();
    let at = before.iter().zip(lines).position(|(before, now)| before != now).unwrap_or(before.len().min(lines.len()));
    if at == before.len() && at == lines.len() {
        println!("the same {at} events");
        return Ok(());
    }
    let end = "(nothing more)";
    println!("after {at} events that are the same:");
    println!("  there: {}", before.get(at).copied().unwrap_or(end));
    println!("  here:  {}", lines.get(at).map_or(end, String::as_str));
    Ok(())
}

/// Each run in a process of its own; what they say is printed in their order.
fn play_all(args: &Args, runs: &[(&String, u64)]) -> Result<ExitCode, String> {
    let program = env::current_exe().map_err(|error| format!("this program does not find itself: {error}"))?;
    let jobs = args.jobs.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), |jobs| jobs as usize);
    let (next, done) = (AtomicUsize::new(0), Mutex::new((vec![None; runs.len()], 0, 0)));
    let bar = std::io::stderr().is_terminal();
    thread::scope(|scope| {
        for _ in 0..jobs.min(runs.len()) {
            scope.spawn(|| {
                while let Some((name, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = child(&program, args, name, *seed);
                    let mut done = done.lock().expect("nobody panics while printing");
                    let (reports, printed, failed) = &mut *done;
                    let index = runs.iter().position(|run| run == &(*name, *seed)).expect("it is one of them");
                    reports[index] = Some(report);
                    while let Some(report) = reports.get_mut(*printed).and_then(Option::take) {
                        match &report {
                            Ok(report) => print(report, args),
                            Err(error) => eprintln!("FAIL {error}"),
                        }
                        *failed += usize::from(!report.is_ok_and(|report| report.ok));
                        *printed += 1;
                    }
                    if bar {
                        eprint!("\r{printed} of {} runs, {failed} failed ", runs.len());
                        let _unseen = std::io::stderr().flush();
                    }
                }
            });
        }
    });
    if bar {
        eprintln!();
    }
    let failed = done.into_inner().map_or(runs.len(), |(_, _, failed)| failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn child(program: &Path, args: &Args, name: &str, seed: u64) -> Result<Report, String> {
    let mut command = Command::new(program);
    command.args([name, "--json", "--seed", &seed.to_string()]);
    if let Some(nodes) = args.nodes {
        command.args(["--nodes", &nodes.to_string()]);
    }
    if let Some(seconds) = args.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    let output = output_within(&mut command, RUN_LIMIT).map_err(|error| format!("{name}, seed {seed}: {error}"))?;
    let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    serde_json::from_str(&last)
        .map_err(|_| format!("{name}, seed {seed}: it ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

fn print(report: &Report, args: &Args) {
    if args.json {
        println!("{}", serde_json::to_string(report).expect("a report is plain data"));
        return;
    }
    let Report { scenario, seed, nodes, virtual_s, wall_s, propagation_ms, useful_share, node_seconds_per_cpu_s, blocks, .. } = report;
    let ms = |figure: Option<f64>| figure.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
    println!(
        "{} {scenario:<22}seed {seed:<5}{nodes:>4} nodes{virtual_s:>8.1} s in{wall_s:>7.2} s  {blocks:>5} blocks  p50 {:>7} ms  p99 {:>8} ms  \
         useful {:>5.1} %  {node_seconds_per_cpu_s:>6.0} node-s a cpu-s",
        if report.ok { "ok  " } else { "FAIL" },
        ms(propagation_ms.p50),
        ms(propagation_ms.p99),
        useful_share * 100.0,
    );
    for violation in &report.violations {
        println!("    {violation}");
    }
    if !report.ok {
        let name = args.scenario.as_deref().unwrap_or(scenario);
        let nodes = args.nodes.map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
        let seconds = args.seconds.map_or_else(String::new, |seconds| format!(" --seconds {seconds}"));
        println!("    repeat with: cargo run --release -p preconf-stack -- {name} --seed {seed}{nodes}{seconds}");
    }
}
