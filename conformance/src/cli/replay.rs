//! `preconf-conformance replay FILE`: relives a trace; exit status 0 only if the machine says in every step what it said then.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use preconf_core::{B256, Bytes, Change, Now, PeerId};
use preconf_replay::{Parting, Relived, words};
use preconf_report::{Reliving, Report, RunKind, Summary};
use preconf_trace::Replay;
use serde_json::{Value, json};

/// `preconf-conformance replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The trace, as `preconf run --record FILE` or the simulator writes it, or a segment of `preconf run --record-ring DIR` in its place.
    file: PathBuf,
    /// Stop after this step and show it.
    #[arg(long, value_name = "STEP", value_parser = clap::value_parser!(u64).range(1..))]
    until: Option<u64>,
    /// Show how the score of a peer came about, as of the last step that is relived.
    #[arg(long, value_name = "PEER", conflicts_with = "diff")]
    explain: Option<PeerId>,
    /// Show the first step in which this other trace parts from FILE; exit status 0 only if there is none.
    #[arg(long, value_name = "OTHER", conflicts_with = "until")]
    diff: Option<PathBuf>,
    /// Write a page about what is relived: one file that needs no network.
    #[arg(long, value_name = "FILE", conflicts_with = "diff")]
    html: Option<PathBuf>,
    /// Print one JSON object instead of words.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand; is all well?
pub(crate) fn run(args: &ReplayArgs) -> Result<bool, Box<dyn Error>> {
    match &args.diff {
        Some(other) => diff(args, other),
        None => relive(args),
    }
}

fn open(path: &Path) -> Result<Replay<BufReader<File>>, Box<dyn Error>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // What a segment of a ring names lies beside it.
    let txlist = |hash: &B256| std::fs::read(path.with_file_name("txlists").join(hash.to_string())).ok().map(Bytes::from);
    Ok(Replay::segment(BufReader::new(file), &[], txlist).map_err(|error| format!("{}: {error}", path.display()))?)
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

fn relive(args: &ReplayArgs) -> Result<bool, Box<dyn Error>> {
    let mut replay = open(&args.file)?;
    let page = args.html.as_deref().map(|path| File::create(path).map_err(|error| unwritable(path, &error))).transpose()?;
    let mut now = replay.header().start;
    let began = Instant::now();
    let mut reliving = Reliving::of(replay.header());
    let relived = preconf_replay::relive(&mut replay, args.until, |step, _| {
        now = step.step.now;
        reliving.step(step);
    });
    let too_short = args.until.filter(|until| relived.ok() && relived.steps < *until);
    let ok = relived.ok() && too_short.is_none();
    let summary = Summary { wall_time: Some(began.elapsed()), ..summary(args, &relived, reliving.span()) };
    let report = Report::new(summary, reliving.into_timeline());
    if let (Some(mut file), Some(path)) = (page, &args.html) {
        file.write_all(report.html().as_bytes()).map_err(|error| unwritable(path, &error))?;
    }
    let ledger = args.explain.map(|peer| (peer, replay.core().explain(now, peer)));
    if args.json {
        println!("{}", relived_json(ok, report.json(), &relived, ledger.as_ref()));
        return Ok(ok);
    }
    let header = replay.header();
    println!("chain {}, recorded by version {}, started at {}", header.config.chain_id.0, header.build, words::now(header.start));
    if replay.steps_before() > 0 {
        println!("{} steps of this node's life are in segments before it", replay.steps_before());
    }
    match (&relived.difference, &relived.error) {
        (Some(difference), _) => println!("{} steps match, then the machine says something else:\n{difference}", relived.steps - 1),
        (None, Some(error)) => println!("{} steps match, then: {error}", relived.steps),
        (None, None) => println!("{} steps match", relived.steps),
    }
    if let Some(ending) = relived.ending {
        println!("{}", words::ending(ending));
    }
    if let Some(until) = too_short {
        println!("there is no step {until}");
    }
    if let Some(last) = relived.last.as_ref().filter(|_| args.until.is_some() && relived.difference.is_none()) {
        println!("{last}");
    }
    if let Some((peer, changes)) = &ledger {
        print_ledger(*peer, now, changes);
    }
    Ok(ok)
}

fn summary(args: &ReplayArgs, relived: &Relived, virtual_time: Duration) -> Summary {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let until = args.until.map(|until| format!(" --until {until}")).unwrap_or_default();
    let difference = relived.difference.as_ref().map(|step| format!("step {} does not say what it said: {}", step.step, step.told));
    Summary {
        kind: RunKind::Replay,
        scenario: name(&args.file),
        nodes: 1,
        virtual_time,
        steps: relived.steps,
        digest: hex::encode(relived.digest),
        violations: difference.into_iter().chain(relived.error.as_ref().map(ToString::to_string)).collect(),
        command: format!("cargo run --release -p preconf-conformance -- replay {}{until}", args.file.display()),
        ..Summary::default()
    }
}

fn print_ledger(peer: PeerId, now: Now, changes: &[Change]) {
    println!("the score of {peer} at {}:", words::time(now.mono));
    if changes.is_empty() {
        println!("  nothing is on record");
    }
    for change in changes {
        println!("  {}", words::change(change));
    }
}

/// The object of any run, and beside it what only a replay knows.
fn relived_json(ok: bool, mut report: Value, relived: &Relived, ledger: Option<&(PeerId, Vec<Change>)>) -> Value {
    let change = |change: &Change| {
        json!({
            "at": change.at.0,
            "rule": change.rule,
            "reason": format!("{:?}", change.reason),
            "cause": words::cause(change.cause),
            "delta": change.delta,
            "score": change.score,
        })
    };
    let ledger =
        ledger.map(|(peer, changes)| json!({ "peer": peer.to_string(), "changes": changes.iter().map(change).collect::<Vec<_>>() }));
    report["ok"] = json!(ok);
    report["ending"] = json!(relived.ending.map(words::ending));
    report["difference"] = json!(relived.difference.as_ref().map(|step| step.json()));
    report["last"] = json!(relived.last.as_ref().map(|step| step.json()));
    report["error"] = json!(relived.error.as_ref().map(ToString::to_string));
    report["ledger"] = json!(ledger);
    report
}

fn diff(args: &ReplayArgs, other: &Path) -> Result<bool, Box<dyn Error>> {
    let paths = [args.file.as_path(), other];
    let parting = preconf_replay::part(&mut open(paths[0])?, &mut open(paths[1])?)
        .map_err(|(which, error)| format!("{}: {error}", paths[which].display()))?;
    if args.json {
        println!("{}", parting_json(&parting));
    } else {
        print_parting(&parting, paths);
    }
    Ok(parting.is_none())
}

fn print_parting(parting: &Parting, paths: [&Path; 2]) {
    for value in &parting.headers {
        println!("started with another {value}");
    }
    println!("{} steps are the same", parting.common);
    let Some(why) = parting.why else {
        return println!("and then both end");
    };
    println!("then {}", why.words());
    for ((path, step), ending) in paths.into_iter().zip([&parting.left, &parting.right]).zip(parting.endings) {
        match (step, ending) {
            (Some(step), _) => println!("{}: {step}", path.display()),
            (None, Some(ending)) => println!("{}: {}", path.display(), words::ending(ending)),
            (None, None) => println!("{}: ends", path.display()),
        }
    }
}

fn parting_json(parting: &Parting) -> Value {
    json!({
        "ok": parting.is_none(),
        "headers": parting.headers,
        "common": parting.common,
        "why": parting.why.map(|why| why.words()),
        "endings": parting.endings.map(|ending| ending.map(words::ending)),
        "left": parting.left.as_ref().map(|step| step.json()),
        "right": parting.right.as_ref().map(|step| step.json()),
    })
}
