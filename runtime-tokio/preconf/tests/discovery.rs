//! Real processes on loopback that know one boot node, or nobody (P8.2, P8.6 to P8.9).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a network may take to form. The claim; measured from the moment when the last process was started.
const FORMED_WITHIN: Duration = Duration::from_secs(20);
/// Far more than any single answer takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Nodes of the network.
const NODES: usize = 10;
/// Others that each must be connected to.
const ENOUGH: usize = 4;

/// A directory of the test's own, empty at its start.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("discovery-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a directory of our own");
    path
}

fn output(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preconf")).args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A process that is killed with the test.
struct Process {
    child: Child,
    lines: Receiver<String>,
    stdin: Option<ChildStdin>,
}

impl Process {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_preconf"));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        let (tell, lines) = channel();
        std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines, stdin }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("a line of output in time")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node that answers questions.
struct Node {
    process: Process,
    id: String,
}

impl Node {
    fn start(home: &Path, chain: u64, flags: &[&str]) -> Self {
        let (key, data, schedule) = (home.join("node.key"), home.join("data"), home.join("schedule.json"));
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        if !key.exists() {
            std::fs::create_dir_all(home).expect("ours");
            assert!(output(&["key", "new", "--file", &path(&key)]).status.success());
            std::fs::write(&schedule, "[]").expect("written");
        }
        let (chain, key, data, schedule) = (chain.to_string(), path(&key), path(&data), path(&schedule));
        let args = ["run", "--chain-id", &chain, "--key", &key, "--data-dir", &data, "--schedule", &schedule];
        let more = ["--listen", "/ip4/127.0.0.1/tcp/0", "--discovery-port", "0", "--preset", "test", "--publish-from-stdin"];
        let process = Process::start(&[&args[..], &more, flags].concat());
        let address = process.line();
        let (_, id) = address.split_once("/p2p/").expect("first the address");
        Self { id: id.to_owned(), process }
    }

    /// What the node says of itself; events that come before the answer are passed over.
    fn ask(&mut self, command: &str) -> Value {
        let stdin = self.process.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{}", json!({"id": 1, "command": command})).expect("written");
        loop {
            let line: Value = serde_json::from_str(&self.process.line()).expect("JSON");
            if line["id"] == 1 {
                return line["result"].clone();
            }
        }
    }

    fn peers(&mut self) -> BTreeSet<String> {
        let answer = self.ask("peers");
        answer["peers"].as_array().expect("a list").iter().map(|peer| peer["peer"].as_str().expect("an id").to_owned()).collect()
    }

    fn counter(&mut self, name: &str) -> u64 {
        self.ask("status")["discovery"][name].as_u64().expect("a number")
    }
}

/// Waits until each node is connected to enough of the others; says how long that took.
fn until_connected(nodes: &mut [Node], within: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let counts: Vec<usize> = nodes.iter_mut().map(|node| node.peers().len()).collect();
        if counts.iter().all(|count| *count >= ENOUGH) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < within, "peers after {:?}: {counts:?}", begun.elapsed());
        // Each look costs every node an answer; nothing tells a test that a count is reached.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Networks of ten processes, one at a time: thirty at once would measure the machine.
static ONE_NETWORK: Mutex<()> = Mutex::new(());

#[test]
fn p8_2_ten_nodes_that_know_one_boot_node_find_each_other_and_need_it_no_longer() {
    find_each_other("tokio", |_| "tokio");
}

#[cfg(feature = "async-std")]
#[test]
fn p8_2_ten_nodes_on_async_std_find_each_other_too() {
    find_each_other("async-std", |_| "async-std");
}

#[cfg(feature = "async-std")]
#[test]
fn p8_2_ten_nodes_on_either_runtime_find_each_other_too() {
    find_each_other("mixed", |n| ["tokio", "async-std"][n % 2]);
}

fn find_each_other(name: &str, runtime: impl Fn(usize) -> &'static str) {
    let _alone = ONE_NETWORK.lock().unwrap_or_else(PoisonError::into_inner);
    let home = directory(name);
    let boot = Process::start(&["bootnode", "--listen", "127.0.0.1:0"]);
    let record = boot.line();
    assert!(record.starts_with("enr:"), "{record}");
    let flags = |n| ["--bootnode", record.as_str(), "--runtime", runtime(n)];
    let place = |n: usize| home.join(n.to_string());
    let mut nodes: Vec<Node> = (0..NODES).map(|n| Node::start(&place(n), 167_000, &flags(n))).collect();
    // P8.7: it shares the boot node and the table, and nothing else.
    let mut stranger = Node::start(&home.join("stranger"), 1, &flags(0));
    let took = until_connected(&mut nodes, FORMED_WITHIN);
    println!("{name}: {NODES} nodes were connected to {ENOUGH} others each after {took:?}");

    let ours: BTreeSet<String> = nodes.iter().map(|node| node.id.clone()).collect();
    for node in &mut nodes {
        assert!(node.peers().is_subset(&ours), "nobody else is there to be met");
        // In this order, since both go on growing between the two questions.
        let connected = node.counter("p2p_discovery_connected");
        let dialed = node.counter("p2p_discovery_dialed");
        assert!(connected <= dialed, "{connected} of {dialed} dials");
    }
    let begun = Instant::now();
    while stranger.counter("p2p_discovery_wrong_chain") == 0 {
        assert!(begun.elapsed() < LIMIT, "the stranger never hears of the others");
        std::thread::sleep(Duration::from_millis(100)); // counters tell nobody when they change
    }
    assert_eq!(stranger.peers(), BTreeSet::new());
    assert_eq!(stranger.counter("p2p_discovery_dialed"), 0, "nor is the boot node, which has no address to dial");

    // P8.9: what it stored is all that it starts from.
    drop(boot);
    let mut first = nodes.remove(0);
    let id = first.id.clone();
    let begun = Instant::now();
    loop {
        let records = first.ask("status")["records"].clone();
        if records["waiting"] == 0 && records["written"].as_u64() > Some(4) {
            break; // the schedule, and nodes that were of use
        }
        assert!(begun.elapsed() < LIMIT, "nothing is stored");
        std::thread::sleep(Duration::from_millis(100)); // counters tell nobody when they change
    }
    drop(first); // killed, not asked
    let mut back = [Node::start(&place(0), 167_000, &["--runtime", runtime(0)])];
    assert_eq!(back[0].id, id);
    let took = until_connected(&mut back, FORMED_WITHIN);
    println!("{name}: one of them was back after {took:?} without the boot node");
    drop((back, nodes, stranger)); // before the directory in which they store
    std::fs::remove_dir_all(&home).expect("ours");
}

#[test]
fn p8_7_a_record_is_made_and_read_on_the_command_line() {
    let home = directory("enr");
    let key = home.join("node.key");
    let key = key.to_str().expect("UTF-8");
    let made = text(&output(&["key", "new", "--file", key]).stdout);
    let id = made.lines().find_map(|line| line.strip_prefix("peer id  ")).expect("an id");
    let shown = output(&["enr", "show", "--file", key, "--chain-id", "7", "--ip", "203.0.113.7", "--udp", "9000", "--tcp", "4001"]);
    let record = text(&shown.stdout);
    let told = text(&output(&["enr", "decode", record.trim()]).stdout);
    for line in [format!("peer id   {id}"), "chain     7".to_owned(), "discovery 203.0.113.7:9000".to_owned()] {
        assert!(told.lines().any(|told| told == line), "no {line:?} in {told}");
    }
    assert!(told.ends_with(&format!("address   /ip4/203.0.113.7/tcp/4001/p2p/{id}\n")), "{told}");

    let wrong = output(&["enr", "decode", &record.trim().replace("enr:", "ens:")]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("begins with \"enr:\""), "{}", text(&wrong.stderr));
    let wrong = output(&["enr", "show", "--file", key, "--ip", "0.0.0.0", "--udp", "9000"]);
    assert!(text(&wrong.stderr).contains("0.0.0.0 is no address that anybody can reach"), "{}", text(&wrong.stderr));
    std::fs::remove_dir_all(&home).expect("ours");
}

/// The sequence number that a record says.
fn sequence(record: &str) -> u64 {
    let told = text(&output(&["enr", "decode", record.trim()]).stdout);
    told.lines().find_map(|line| line.strip_prefix("sequence  ")).expect("a sequence number").parse().expect("a number")
}

#[test]
fn p8_7_a_shown_record_beats_a_running_nodes_and_its_next_start_beats_the_shown_also_when_the_clock_went_back() {
    let home = directory("sequence");
    let (key, data) = (home.join("node.key"), home.join("data"));
    let own_record = |node: &Node| loop {
        let line: Value = serde_json::from_str(&node.process.line()).expect("JSON");
        if line["event"] == "own_record" {
            return line["record"].as_str().expect("text").to_owned();
        }
    };
    let shown = |more: &[&str]| sequence(&text(&output(&[&["enr", "show", "--file", key.to_str().expect("UTF-8")], more].concat()).stdout));
    let data_dir = ["--data-dir", data.to_str().expect("UTF-8")];

    let node = Node::start(&home, 1, &[]);
    let first = sequence(&own_record(&node));
    drop(node);
    assert!(shown(&[]) > first, "by the clock alone");
    // As if the clock had been a day ahead and was put back.
    let ahead = first + 86_400_000;
    std::fs::write(data.join("enr.seq"), format!("{ahead}\n")).expect("written");
    let by_hand = shown(&data_dir);
    assert!(by_hand > ahead);
    let second = sequence(&own_record(&Node::start(&home, 1, &[])));
    assert!(second > by_hand);
    assert!(shown(&data_dir) > second);

    std::fs::write(data.join("enr.seq"), "no number").expect("written");
    let told = output(&[&["enr", "show", "--file", key.to_str().expect("UTF-8")], &data_dir[..]].concat());
    assert!(told.status.success() && sequence(&text(&told.stdout)) < ahead, "the clock decides");
    assert!(text(&told.stderr).contains("enr.seq.corrupt"), "{}", text(&told.stderr));
    let kept = std::fs::read_to_string(data.join("enr.seq.corrupt")).expect("put aside");
    assert_eq!(kept, "no number");
    std::fs::remove_dir_all(&home).expect("ours");
}

#[test]
fn p8_7_an_external_address_that_nothing_listens_for_is_warned_of() {
    let home = directory("external");
    let schedule = home.join("schedule.json");
    std::fs::write(&schedule, "[]").expect("written");
    let args = ["run", "--chain-id", "1", "--schedule", schedule.to_str().expect("UTF-8"), "--discovery-port", "0"];
    let warned = |listen: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_preconf"));
        command.args(args).args(["--external-ip", "203.0.113.9", "--listen"]).args(listen).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its address");
        child.kill().expect("it runs");
        text(&child.wait_with_output().expect("it ends").stderr)
    };
    let words = warned(&["/ip6/::1/tcp/0"]);
    assert!(words.contains("--external-ip is IPv4, and no --listen is"), "{words}");
    let words = warned(&["/ip4/127.0.0.1/tcp/0"]);
    assert!(!words.contains("--external-ip"), "{words}");
    std::fs::remove_dir_all(&home).expect("ours");
}
