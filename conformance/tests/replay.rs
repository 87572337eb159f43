//! A trace recorded anywhere replays anywhere, and whatever is wrong with one is said with its place.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use preconf_core::{Address, Bytes, Topic};
use preconf_replay::Why;
use preconf_sim::{Answer, Failure, History, HistoryPlan, JobOrder, Setup, Terms, Traces, World, peer_id};
use preconf_trace::{Ending, Reader, Replay, Writer};
use serde_json::Value;

const NODES: usize = 3;
/// The peer that sends garbage.
const LIAR: usize = NODES;

/// Three nodes build blocks while messages are lost, jobs come back late, one node restarts, and a peer sends garbage.
fn scene(seed: u64, blocks: u64, recorded: bool) -> Result<([u8; 32], Option<Traces>), Failure> {
    let history = History::write(HistoryPlan { blocks, ..HistoryPlan::default() });
    let mut world = World::new(seed);
    let traces = recorded.then(|| world.record_all());
    for _ in 0..NODES {
        let jobs = JobOrder::After(Duration::ZERO..Duration::from_millis(20));
        let node = world.add_node(Setup { jobs, drops: 100_000, ..Setup::of(&history) });
        world.link_to_all(node, Terms { loss: 50_000, repeats: 100_000, ..Terms::default() });
    }
    assert_eq!(world.add_puppet(|_, _: &Bytes| Answer::Never), LIAR);
    world.link(0, LIAR, Terms::default());
    world.run_for(Duration::from_secs(1))?;
    world.publish(&history, Duration::from_millis(500), &[0, 1]);
    world.inject(0, LIAR, Topic::Commitments, Bytes::from_static(b"garbage"), Duration::from_millis(200));
    world.run_for(Duration::from_secs(2))?;
    world.restart(2)?;
    world.run_for(Duration::from_secs(8))?;
    world.settle(Duration::from_secs(60))?;
    Ok((world.digest(), traces))
}

/// The traces of all lives of all nodes, in order.
fn traces(seed: u64, blocks: u64) -> Vec<Vec<u8>> {
    let (_, traces) = scene(seed, blocks, true).unwrap();
    let traces = traces.unwrap();
    (0..NODES).flat_map(|node| traces.of(node)).collect()
}

#[test]
fn every_life_of_every_simulated_node_replays_step_for_step() {
    let traces = traces(1, 10);
    assert_eq!(traces.len(), NODES + 1, "one node lived twice");
    for trace in &traces {
        let mut replay = Replay::open(&trace[..]).unwrap();
        let relived = preconf_replay::relive(&mut replay, None, |_, _| {});
        assert!(relived.ok(), "{relived:#?}");
        assert_eq!(relived.ending, Some(Ending::Closed));
        assert!(relived.steps > 20);
    }
}

#[test]
fn a_recorded_world_runs_as_an_unrecorded_one_does() {
    assert_eq!(scene(2, 6, true).unwrap().0, scene(2, 6, false).unwrap().0);
    assert_ne!(scene(2, 6, false).unwrap().0, scene(3, 6, false).unwrap().0, "another seed, another digest");
}

#[test]
fn another_process_relives_a_trace_to_the_same_digest() {
    let file = file("process.trace", &traces(4, 6)[0]);
    let here = preconf_replay::relive(&mut Replay::open(fs::File::open(&file).unwrap()).unwrap(), None, |_, _| {});
    let there = json(&program(&file, &["--json"]), true);
    assert_eq!((there["ok"].as_bool(), there["steps"].as_u64()), (Some(true), Some(here.steps)));
    assert_eq!(there["trace_digest"], hex::encode(here.digest));
    assert_eq!(there["ending"], "the node ended");
}

#[test]
fn a_replay_writes_a_page_and_the_object_of_any_run() {
    let trace = file("page.trace", &traces(12, 4)[0]);
    let page = trace.with_extension("html");
    let report = json(&program(&trace, &["--json", "--html", page.to_str().unwrap()]), true);
    let keys = ["ok", "scenario", "seed", "nodes", "virtual_s", "wall_s", "steps", "trace_digest", "violations", "propagation_ms", "bans"];
    assert!(keys.iter().all(|key| report.get(key).is_some()), "{report}");
    assert!(report["virtual_s"].as_f64().unwrap() > 10.0, "{report}");
    let html = fs::read_to_string(page).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("page.trace"), "{html}");
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_that_names_it() {
    let trace = file("no_page.trace", &traces(12, 1)[0]);
    let page = trace.with_extension("nowhere").join("page.html");
    let output = program(&trace, &["--html", page.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains(&format!("{} cannot be written", page.display())), "{output:?}");
    assert!(output.stdout.is_empty(), "nothing was relived: {output:?}");
}

#[test]
fn a_trace_that_is_cut_or_damaged_says_where() {
    let trace = traces(5, 2).remove(0);
    let offsets = offsets(&trace);
    let middle = offsets.len() / 2;
    let (start, next) = (offsets[middle] as usize, offsets[middle + 1] as usize);

    let cut = file("cut.trace", &trace[..next - 1]);
    let told = text(&program(&cut, &[]), true);
    assert!(told.contains(&format!("{middle} steps match\ncut: the record at byte {start} is not whole")), "{told}");

    let mut damaged = trace.clone();
    damaged[next - 5] ^= 1;
    let damaged = file("damaged.trace", &damaged);
    let told = text(&program(&damaged, &[]), false);
    let expected = format!("{middle} steps match, then: corrupt at byte {start}, in step {}: its checksum", middle + 1);
    assert!(told.contains(&expected), "{told}");
    let report = json(&program(&damaged, &["--json"]), false);
    assert!(report["error"].as_str().unwrap().contains(&format!("byte {start}")), "{report}");

    let nothing = file("nothing.trace", b"not a trace");
    let output = program(&nothing, &[]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no trace"), "{output:?}");
}

#[test]
fn a_cut_anywhere_and_a_damage_anywhere_are_found() {
    // core/trace/tests/damage.rs tries every byte of a short life; here is every 97th of a long one.
    let trace = traces(6, 2).remove(0);
    let offsets = offsets(&trace);
    for at in (0..trace.len()).step_by(97) {
        let before = offsets.partition_point(|offset| *offset <= at as u64).saturating_sub(1) as u64;
        if let Ok(mut reader) = Reader::new(&trace[..at]) {
            while reader.step().unwrap().is_some() {}
            assert_eq!(reader.steps(), before, "cut at {at}");
            assert!(matches!(reader.ending(), Some(Ending::Cut { .. })), "cut at {at}");
        }
        let mut damaged = trace.clone();
        damaged[at] ^= 0x10;
        let Ok(mut reader) = Reader::new(&damaged[..]) else { continue };
        while let Ok(Some(_)) = reader.step() {}
        assert_eq!((reader.steps(), reader.ending()), (before, None), "byte {at}");
    }
}

#[test]
fn a_machine_that_says_something_else_is_shown_at_its_first_step() {
    // The machine is the same, so another one is played by another configuration: it wants a slasher that no block names (C2).
    let trace = traces(7, 4).remove(1);
    let changed = file("changed.trace", &with_slasher(&trace));
    let told = text(&program(&changed, &[]), false);
    let parts = ["then the machine says something else", "told      ", "recorded  ", "now       ", "by C2", "wakes     "];
    assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    let report = json(&program(&changed, &["--json"]), false);
    assert_eq!(report["difference"]["step"], report["steps"]);
    assert_ne!(report["difference"]["recorded"]["digest"], report["difference"]["now"]["digest"]);
}

#[test]
fn a_replay_stops_where_it_is_told_to_and_explains_a_score() {
    let file = file("until.trace", &traces(8, 4)[0]);
    let told = text(&program(&file, &["--until", "12"]), true);
    assert!(told.contains("12 steps match") && told.contains("step 12, byte "), "{told}");
    let whole = json(&program(&file, &["--json"]), true);
    let liar = peer_id(LIAR).to_string();
    // The garbage came in the second second; by and by its charge decays.
    let early = (1..whole["steps"].as_u64().unwrap()).find_map(|step| {
        let report = json(&program(&file, &["--json", "--until", &step.to_string(), "--explain", &liar]), true);
        let changes = report["ledger"]["changes"].as_array().unwrap().clone();
        (!changes.is_empty()).then_some((step, changes))
    });
    let (step, changes) = early.unwrap();
    assert_eq!((changes[0]["rule"].as_str(), changes[0]["score"].as_i64()), (Some("C1"), Some(-1_000_000)));
    let told = text(&program(&file, &["--until", &step.to_string(), "--explain", &liar]), true);
    assert!(told.contains("gossip_rejected") && told.contains("-1.000000"), "{told}");
    let output = program(&file, &["--until", "1000000"]);
    assert!(!output.status.success(), "there is no such step");
}

#[test]
fn two_traces_part_at_a_step_that_is_shown() {
    let trace = traces(9, 3).remove(0);
    let mut reader = Reader::new(&trace[..]).unwrap();
    // The same life, but at its twentieth step time passes instead.
    let mut other = Vec::new();
    let mut to = Writer::new(&mut other, reader.header(), u64::MAX).unwrap();
    while let Some(step) = reader.step().unwrap() {
        let call = if step.number == 20 { preconf_trace::Call::Timeout } else { step.call };
        to.step(step.now, &call, step.mark).unwrap();
    }
    to.finish().unwrap();
    let parting = preconf_replay::part(&mut Replay::open(&trace[..]).unwrap(), &mut Replay::open(&other[..]).unwrap()).unwrap();
    assert_eq!((parting.common, parting.why), (19, Some(Why::Told)));
    let (left, right) = (file("left.trace", &trace), file("right.trace", &other));
    let told = text(&program(&left, &["--diff", right.to_str().unwrap()]), false);
    assert!(told.contains("19 steps are the same\nthen their machines were told different things"), "{told}");
    assert!(told.contains("right.trace: step 20") && told.contains("told      time had passed"), "{told}");
    let same = json(&program(&left, &["--json", "--diff", left.to_str().unwrap()]), true);
    assert_eq!(same["why"], Value::Null);

    // The trailer is not there: the same steps, and another end.
    let open = file("open.trace", &trace[..trace.len() - 1]);
    let told = text(&program(&left, &["--diff", open.to_str().unwrap()]), false);
    assert!(told.contains("then they end differently") && told.contains("left.trace: the node ended"), "{told}");
    assert!(told.contains("open.trace: cut: the record at byte"), "{told}");

    let slashed = file("slashed.trace", &with_slasher(&trace));
    let told = text(&program(&left, &["--diff", slashed.to_str().unwrap()]), false);
    assert!(told.contains("started with another slasher: None  <>  0x"), "{told}");
}

#[test]
fn the_golden_trace_replays_on_every_machine() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/rough.trace");
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(&path, traces(10, 24).remove(0)).unwrap();
    }
    let trace = fs::read(&path).unwrap();
    assert!(trace.len() < 100 << 10, "{} bytes", trace.len());
    let mut replay = Replay::open(&trace[..]).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    let relived = preconf_replay::relive(&mut replay, None, |step, _| {
        kinds.extend(
            step.outputs.iter().map(|output| preconf_replay::words::output(output).split(':').next().unwrap_or_default().to_owned()),
        );
    });
    assert!(relived.ok(), "the machine has changed; traces/README.md says what to do:\n{relived:#?}");
    assert_eq!(relived.ending, Some(Ending::Closed));
    assert!(kinds.len() > 5 && relived.steps > 50, "a trace with something in it: {} steps, {kinds:?}", relived.steps);
}

/// The same trace of a node that wants a slasher in every commitment.
fn with_slasher(trace: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(trace).unwrap();
    let mut header = reader.header().clone();
    header.config.slasher = Some(Address::repeat_byte(1));
    let mut changed = Vec::new();
    let mut to = Writer::new(&mut changed, &header, u64::MAX).unwrap();
    while let Some(step) = reader.step().unwrap() {
        to.step(step.now, &step.call, step.mark).unwrap();
    }
    to.finish().unwrap();
    changed
}

/// Where each step begins, and where the trailer does.
fn offsets(trace: &[u8]) -> Vec<u64> {
    let mut reader = Reader::new(&trace[..trace.len() - 1]).unwrap();
    let mut offsets: Vec<_> = std::iter::from_fn(|| reader.step().unwrap()).map(|step| step.offset).collect();
    let Some(Ending::Cut { offset }) = reader.ending() else { panic!("its trailer is cut") };
    offsets.push(offset);
    offsets
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("replay");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn program(file: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preconf-conformance")).arg("replay").arg(file).args(more).output().unwrap()
}

fn text(output: &Output, ok: bool) -> String {
    assert_eq!(output.status.success(), ok, "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output, ok: bool) -> Value {
    serde_json::from_str(&text(output, ok)).unwrap()
}
