//! `sim NAME|FILE [--nodes N] [--seed S | --seeds A..B] [--seconds T] [--html F] [--trace DIR] [--json]`, `sim --all`, `sim --list`
//!
//! Several seeds are played on as many threads as there are processors, each in a world of its own; what is printed comes in their order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use preconf_report::{Spectator, Summary};
use preconf_sim::World;
use preconf_sim::scenario::{self, Change, Report, Scenario};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A committed scenario, or a file.
    #[arg(required_unless_present_any = ["list", "all"])]
    scenario: Option<String>,
    /// Name the committed scenarios, and what each shows.
    #[arg(long)]
    list: bool,
    /// Play every committed scenario.
    #[arg(long, conflicts_with_all = ["scenario", "list"])]
    all: bool,
    /// Honest nodes, in place of the scenario's own number.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=10_000))]
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
    /// Switch the scenario's defence off: it must fail then. With --all, of those that have one.
    #[arg(long)]
    without_defence: bool,
    /// Put a naive model beside every so manieth machine; 0 for none. Without it, some eight machines have one.
    #[arg(long, value_name = "NODES")]
    model_every: Option<usize>,
    /// Threads that do the machines' jobs in each world; 0 has the world do them itself.
    #[arg(long, default_value_t = 0)]
    job_threads: usize,
    /// Write a page about the run, which needs nothing but a browser.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "all"])]
    html: Option<PathBuf>,
    /// Write the trace of every machine into a folder, one file for each of its lives; `replay` relives them.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["seeds", "all"])]
    trace: Option<PathBuf>,
    /// Print one JSON object a run.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    if args.list {
        for scenario in scenario::all() {
            println!("{:<26}{}", scenario.name, scenario.about);
        }
        return ExitCode::SUCCESS;
    }
    let scenarios = match find(args) {
        Ok(scenarios) => scenarios,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let change = Change {
        nodes: args.nodes.map(|nodes| nodes as usize),
        seconds: args.seconds,
        without_defence: args.without_defence,
        model_every: args.model_every,
        job_threads: args.job_threads,
    };
    if let [scenario] = &scenarios[..]
        && (args.html.is_some() || args.trace.is_some())
    {
        return watch(args, scenario, &change).unwrap_or_else(|error| {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        });
    }
    let range = args.seeds.clone().unwrap_or(args.seed..args.seed + 1);
    let plays: Vec<(&Scenario, u64)> = scenarios.iter().flat_map(|scenario| range.clone().map(move |seed| (scenario, seed))).collect();
    let failed = play_all(&plays, &change, args);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn find(args: &Args) -> Result<Vec<Scenario>, Box<dyn Error>> {
    let mut scenarios = match &args.scenario {
        Some(name) => vec![Scenario::find(name)?],
        None => scenario::all(),
    };
    if args.without_defence {
        scenarios.retain(|scenario| scenario.defence.is_some());
    }
    if scenarios.is_empty() {
        let name = args.scenario.as_deref().unwrap_or_default();
        return Err(format!("--without-defence: {name} has no [defence] that could be switched off").into());
    }
    Ok(scenarios)
}

/// Plays one seed, and writes down what happens. The error names the file that could not be written.
fn watch(args: &Args, scenario: &Scenario, change: &Change) -> Result<ExitCode, String> {
    // Nobody waits an hour to learn that its page has no place.
    let page = args.html.as_deref().map(|path| File::create(path).map(|file| (path, file)).map_err(|error| unwritable(path, &error)));
    let page = page.transpose()?;
    if let Some(dir) = &args.trace {
        fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    }
    let spectator = Rc::new(RefCell::new(Spectator::default()));
    let bar = bar(&[(scenario, args.seed)], change);
    let mut recorded = None;
    let prepare = |world: &mut World| {
        if args.html.is_some() {
            world.observe(spectator.clone());
        }
        if let Some(dir) = &args.trace {
            recorded = Some(world.record_in(dir));
        }
    };
    let report = scenario.run_with(args.seed, change, prepare, |progress| bar.set_position(progress.at_s));
    bar.finish_and_clear();
    print(&report, args);
    if let Some((path, mut file)) = page {
        let summary = Summary {
            scenario: scenario.name.clone(),
            seed: Some(report.seed),
            nodes: report.nodes,
            virtual_time: Duration::from_secs_f64(report.virtual_s),
            steps: report.steps,
            digest: report.trace_digest.clone(),
            violations: report.violations.clone(),
            command: repeat(&report, args),
            ..Summary::default()
        };
        let page = preconf_report::Report::new(summary, spectator.take().into_timeline()).html();
        file.write_all(page.as_bytes()).map_err(|error| unwritable(path, &error))?;
    }
    // After the page: it shows the run whether or not there is a trace of it.
    let dir = args.trace.as_deref().unwrap_or(Path::new(""));
    let unwritten = recorded.transpose().map_err(|error| unwritable(dir, &error))?.and_then(|unwritten| unwritten.take());
    if let Some((path, error)) = unwritten {
        return Err(unwritable(&path, &error));
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

/// Plays them on all processors, prints them in order, and says how many failed.
fn play_all(plays: &[(&Scenario, u64)], change: &Change, args: &Args) -> usize {
    let bar = bar(plays, change);
    let (next, done) = (AtomicUsize::new(0), Mutex::new((0, BTreeMap::new(), 0)));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(plays.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((scenario, seed)) = plays.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = scenario.run_with(
                        *seed,
                        change,
                        |_| {},
                        |progress| {
                            if plays.len() == 1 {
                                bar.set_position(progress.at_s);
                            }
                        },
                    );
                    let mut done = done.lock().expect("nobody panics while printing");
                    let (printed, waiting, failed) = &mut *done;
                    *failed += usize::from(!report.ok);
                    waiting.insert((report.scenario.clone(), *seed), report);
                    // What comes next in order may be here already.
                    while let Some(report) =
                        plays.get(*printed).and_then(|(scenario, seed)| waiting.remove(&(scenario.name.clone(), *seed)))
                    {
                        bar.suspend(|| print(&report, args));
                        *printed += 1;
                        if plays.len() > 1 {
                            bar.set_position(*printed as u64);
                        }
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    done.into_inner().map_or(plays.len(), |(_, _, failed)| failed)
}

fn bar(plays: &[(&Scenario, u64)], change: &Change) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (len, unit) = match plays {
        [(scenario, _)] => (change.seconds.unwrap_or(scenario.seconds), "virtual s"),
        _ => (plays.len() as u64, "runs"),
    };
    let style = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{elapsed}}"));
    ProgressBar::new(len).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(report: &Report, args: &Args) {
    if args.json {
        println!("{}", serde_json::to_string(report).expect("a report is plain data"));
    } else {
        let Report { scenario, seed, nodes, virtual_s, wall_s, steps, propagation_ms, bans, .. } = report;
        let ms = |figure: Option<f64>| figure.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
        println!(
            "{} {scenario:<26}seed {seed:<4}{nodes:>5} nodes{virtual_s:>9.1} s in{wall_s:>7.2} s{steps:>10} calls  \
             p50 {:>6} ms  p99 {:>7} ms  bans {}+{}",
            if report.ok { "ok  " } else { "FAIL" },
            ms(propagation_ms.p50),
            ms(propagation_ms.p99),
            bans.honest,
            bans.hostile
        );
    }
    if report.ok {
        return;
    }
    for violation in &report.violations {
        eprintln!("    {violation}");
    }
    eprintln!("    repeat with: {}", repeat(report, args));
    let dir = ["conformance/seeds", "seeds"].map(Path::new).into_iter().find(|dir| dir.is_dir());
    if let Some(dir) = dir.filter(|_| is_news(report, args))
        && let Some(file) = persist(dir, report, args)
    {
        eprintln!("    noted in {}", file.display());
    }
}

fn repeat(report: &Report, args: &Args) -> String {
    let name = args.scenario.as_deref().unwrap_or(&report.scenario);
    let mut command = format!("cargo run --release -p preconf-conformance -- sim {name} --seed {}", report.seed);
    if let Some(nodes) = args.nodes {
        command += &format!(" --nodes {nodes}");
    }
    if let Some(seconds) = args.seconds {
        command += &format!(" --seconds {seconds}");
    }
    if let Some(every) = args.model_every {
        command += &format!(" --model-every {every}");
    }
    if args.without_defence {
        command += " --without-defence";
    }
    command
}

/// Does a failing seed show something wrong that others can see too? A run that was made to fail does not, nor one that another length or
/// size kept from what its scenario wants, as long as it broke no rule of the world; and what is not committed nobody else can play.
fn is_news(report: &Report, args: &Args) -> bool {
    let is_committed = args.scenario.as_deref().is_none_or(|name| Scenario::named(name).is_some());
    let is_as_written = args.nodes.is_none() && args.seconds.is_none();
    !args.without_defence && is_committed && (is_as_written || report.failure.is_some())
}

/// Notes a failing seed with its story.
fn persist(dir: &Path, report: &Report, args: &Args) -> Option<PathBuf> {
    let file = dir.join(format!("{}.txt", report.scenario));
    let story = report.violations.first().map_or("", String::as_str).replace('\n', " ");
    let (nodes, seconds) = (args.nodes.unwrap_or(0), args.seconds.unwrap_or(0));
    let line = format!("{} {nodes} {seconds} # {story}\n", report.seed);
    if !fs::read_to_string(&file).is_ok_and(|text| text.contains(&line)) {
        OpenOptions::new().create(true).append(true).open(&file).and_then(|mut file| file.write_all(line.as_bytes())).ok()?;
    }
    Some(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails loudly")]
mod tests {
    use clap::Parser;
    use preconf_core::{Time, Timer};
    use preconf_sim::{Failure, Violation};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Line::parse_from([&["sim"], line].concat()).args
    }

    #[test]
    fn a_seed_that_breaks_a_rule_is_noted_once_with_its_story() {
        let mut report = Scenario::named("calm").unwrap().run(3, &Change { seconds: Some(1), nodes: Some(3), ..Change::default() });
        let short = args(&["calm", "--seconds", "1", "--nodes", "3"]);
        assert!(!report.ok && !is_news(&report, &short), "it was too short for what the scenario wants");
        assert!(is_news(&report, &args(&["calm"])) && !is_news(&report, &args(&["calm", "--without-defence"])));
        let violation = Violation::DueTimerLeft { timer: Timer::Decay };
        report.failure = Some(Failure { seed: 3, at: Time::ZERO, node: 0, violation });
        assert!(is_news(&report, &short), "no length excuses that");
        report.violations = vec!["two\nlines".to_owned()];
        let dir = std::env::temp_dir().join(format!("preconf-seeds-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let noted = [persist(&dir, &report, &short), persist(&dir, &report, &short)];
        assert_eq!(fs::read_to_string(noted[1].as_ref().unwrap()).unwrap(), "3 3 1 # two lines\n");
        fs::remove_dir_all(dir).unwrap();
    }
}
