//! The program `preconf`, as its users meet it: flags, files, stdin, stdout, exit status.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use preconf_core::{
    B256, Bytes, Command as Wish, MAX_TXLIST_BYTES, PreconfCommitment, Preconfirmation, SecretKey, SignedCommitment, U256, address_of,
    keccak256, sign,
};
use preconf_trace::{Call, Ending, Reader, Replay};
use serde_json::{Value, json};

/// Longer than anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Signs in place of the chain's placeholder, so that the flag is tried too.
const DOMAIN: B256 = B256::repeat_byte(0x44);

/// A peer id that no node of any test has.
const NOBODY: &str = "16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp";

/// Far more than any of these runs takes, on a busy machine too.
const LONGEST_RUN: Duration = Duration::from_secs(180);

/// Runs the program to its end, which must come: one that goes on where it should refuse fails the test instead of holding it up.
fn preconf(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_preconf"));
    command.args(args);
    let (done, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(command.output()));
    let output = end.recv_timeout(LONGEST_RUN).unwrap_or_else(|_| panic!("preconf {args:?} did not end within {LONGEST_RUN:?}"));
    output.expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A directory of the test's own, empty at its start.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a directory of our own");
    path
}

#[test]
fn a_key_is_made_once_kept_secret_and_shown_again() {
    let file = directory("key").join("node.key");
    let file = file.to_str().expect("UTF-8");
    let made = preconf(&["key", "new", "--file", file]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let kept = std::fs::read_to_string(file).expect("a file");
    assert_eq!(kept.trim().len(), 64);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "only its owner may read a key");
    }
    let shown = preconf(&["key", "show", "--file", file]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("peer id  16Uiu2") && shown.contains("address  0x"), "{shown}");
    assert!(text(&made.stdout).ends_with(&shown));
    assert!(!shown.contains(kept.trim()) && !text(&made.stdout).contains(kept.trim()), "a secret is never printed");

    let again = preconf(&["key", "new", "--file", file]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("never overwritten"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read_to_string(file).expect("a file"), kept);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused_by_every_command_unless_it_is_allowed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = directory("readable-key");
    let (key, schedule) = (folder.join("node.key"), folder.join("schedule.json"));
    let (key, schedule) = (key.to_str().expect("UTF-8"), schedule.to_str().expect("UTF-8"));
    std::fs::write(schedule, "[]").expect("written");
    assert!(preconf(&["key", "new", "--file", key]).status.success());
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let run = ["run", "--chain-id", "1", "--listen", "/ip4/127.0.0.1/tcp/0", "--schedule", schedule, "--key", key];
    let bootnode = ["bootnode", "--listen", "127.0.0.1:0", "--key", key];
    for args in [&["key", "show", "--file", key][..], &["enr", "show", "--file", key], &run, &bootnode] {
        let refused = preconf(args);
        let error = text(&refused.stderr);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{args:?}: {error}");
        assert!(error.contains(&format!("{key} has mode 0644")) && error.contains(&format!("`chmod 600 {key}`")), "{error}");
    }
    for args in [["key", "show"], ["enr", "show"]] {
        let allowed = preconf(&[&args[..], &["--file", key, "--allow-readable-key"]].concat());
        assert!(allowed.status.success() && text(&allowed.stderr).contains("WARN"), "{}", text(&allowed.stderr));
    }
    let node = Node::start(schedule, &["--key", key, "--allow-readable-key"]);
    assert!(text(&preconf(&["key", "show", "--file", key, "--allow-readable-key"]).stdout).contains(node.peer_id()));
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).expect("ours");
    assert!(text(&preconf(&["key", "show", "--file", key]).stdout).contains(node.peer_id()));
}

#[test]
fn a_bad_flag_or_file_says_what_is_allowed() {
    let file = directory("bad").join("bad.json");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&file, "[\n{\"start\": 2, \"end\": 1, \"preconfer\": \"0x0101010101010101010101010101010101010101\"}]")
        .expect("written");
    let fails = |args: &[&str], code: i32, parts: &[&str]| {
        let output = preconf(args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(output.stdout.is_empty());
        parts.iter().for_each(|part| assert!(error.contains(part), "no {part:?} in: {error}"));
    };
    if cfg!(feature = "devnet") {
        fails(&["devnet", "--nodes", "1"], 2, &["--nodes", "1", "2..=64"]);
        fails(&["devnet", "--nodes", "3", "--late", "2"], 2, &["--late = 2", "allowed is 0 to 1"]);
        for drop in ["1", "-0.1", "NaN", "some"] {
            fails(&["devnet", "--drop", drop], 2, &["--drop <SHARE>", drop, "allowed is 0 or more and less than 1"]);
        }
        fails(&["devnet", "--runtime", "smol"], 2, &["--runtime", "smol", "allowed is tokio, async-std or mixed"]);
    }
    fails(&["key", "show", "--file", path], 1, &["bad.json", "64 hex digits", "preconf key new"]);
    let run = ["run", "--chain-id", "1", "--listen", "/ip4/127.0.0.1/tcp/0", "--schedule"];
    fails(&[&run[..], &[path]].concat(), 1, &["bad.json:2:", "end = 1: must be greater than start = 2", "allowed is"]);
    fails(&["run", "--chain-id", "1", "--listen", "here", "--schedule", path], 2, &["--listen", "here", "/ip4/"]);
    std::fs::write(&file, "[]").expect("written");
    let run = [&run[..], &[path]].concat();
    if !cfg!(feature = "async-std") {
        fails(&[&run[..], &["--runtime", "async-std"]].concat(), 2, &["built without async-std", "--features async-std"]);
    }
    fails(&[&run[..], &["--block-subnet", "10.0.0.1/8"]].concat(), 2, &["--block-subnet", "10.0.0.1/8", "such as 10.0.0.0/8"]);
    fails(&[&run[..], &["--preset", "huge"]].concat(), 2, &["--preset", "huge", "prod, dev, test"]);
    fails(&[&run[..], &["--trusted", "me"]].concat(), 2, &["--trusted", "me", "base58"]);
    fails(&[&run[..], &["--static-peer", "/ip4/127.0.0.1/tcp/1"]].concat(), 2, &["static_peers", "/p2p/"]);
    fails(&["--log", "a=b=c", "key", "show"], 2, &["--log", "a=b=c", "allowed is"]);
}

#[cfg(feature = "devnet")]
#[test]
fn a_devnet_with_a_late_and_a_hostile_node_agrees_on_every_block() {
    let folder = directory("devnet-traces");
    let args = ["devnet", "--nodes", "4", "--blocks", "6", "--block-ms", "200", "--txlist-kib", "4", "--json", "--record"];
    let output = preconf(&[&args[..], &[folder.to_str().expect("UTF-8")]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in ["node-0", "node-1", "node-2", "late-0"] {
        assert!(relive(&folder.join(format!("{name}.trace"))) > 50, "a life with something in it");
    }
    let report: Value = serde_json::from_slice(&output.stdout).expect("exactly one object");
    assert_eq!((&report["ok"], &report["blocks"]), (&json!(true), &json!(6)));
    assert!(report["propagation_ms"]["p50"].as_f64().expect("measured") <= report["propagation_ms"]["p99"].as_f64().expect("measured"));
    let nodes = report["nodes"].as_array().expect("nodes");
    let roles: Vec<_> = nodes.iter().map(|node| node["role"].as_str().expect("a role")).collect();
    assert_eq!(roles, ["honest", "honest", "honest", "late", "hostile"]);
    for node in &nodes[..4] {
        assert_eq!((&node["head_hash"], &node["ready"]), (&nodes[0]["head_hash"], &json!(6)), "{node}");
    }
    assert!(nodes[4]["rejected"].as_u64().expect("a count") > 0 && nodes[4]["accepted"] == 0, "{}", nodes[4]);
    // P7.4, P7.9: it is out, and each node can say by which rules.
    let opinions = report["hostile"].as_array().expect("opinions");
    assert!(opinions.iter().any(|opinion| opinion["standing"] == "pruned" || opinion["standing"] == "banned"), "{opinions:?}");
    for opinion in opinions {
        let why = opinion["why"].as_array().expect("lines");
        let sum: i64 = why.iter().map(|line| line["delta_millionths"].as_i64().expect("a number")).sum();
        assert_eq!(opinion["score_millionths"], sum, "{opinion}");
        assert!(why.iter().all(|line| line["rule"].as_str().is_some_and(|rule| !rule.is_empty())), "{opinion}");
    }
}

/// Relives what a node was told over real sockets; each step must say what it said then.
fn relive(trace: &Path) -> u64 {
    let mut replay = Replay::open(BufReader::new(File::open(trace).expect("a trace"))).expect("a trace");
    while let Some(step) = replay.step().expect("whole") {
        assert!(step.matches(), "{}: {step:#?}", trace.display());
    }
    assert_eq!(replay.ending(), Some(Ending::Closed), "{}", trace.display());
    replay.steps()
}

#[test]
#[cfg(unix)]
fn a_node_records_each_of_its_lives_to_a_file_of_its_own() {
    let folder = directory("run-traces");
    let block = block("run-traces");
    let trace = folder.join("node.trace");
    for life in 0..3 {
        let mut node = Node::start(&block.schedule, &["--record", trace.to_str().expect("UTF-8"), "--record-keep", "1"]);
        if life == 1 {
            let refused = node.ask(json!({"command": "get_head"}));
            assert!(refused["error"].is_string(), "it knows nobody: {refused}");
        }
        assert_eq!(node.interrupt(), Some(0));
    }
    let asked = |trace: &Path| {
        relive(trace);
        let mut reader = Reader::new(BufReader::new(File::open(trace).expect("a trace"))).expect("a trace");
        std::iter::from_fn(|| reader.step().expect("whole")).any(|step| matches!(step.call, Call::Command(Wish::GetHead { .. })))
    };
    assert!(asked(&folder.join("node.trace.1")), "the second life");
    assert!(!asked(&trace), "the third");
    assert!(!folder.join("node.trace.2").exists(), "the first one's file is gone");
}

#[test]
#[cfg(unix)]
fn a_node_records_the_last_of_its_lives_to_a_ring_whose_segments_replay_each_by_itself() {
    let (folder, block) = (directory("run-ring"), block("run-ring"));
    let (ring, data) = (folder.join("ring"), folder.join("data"));
    let args = ["--record-ring", ring.to_str().expect("UTF-8"), "--record-mib", "16", "--data-dir", data.to_str().expect("UTF-8")];
    for life in 0..2 {
        let mut node = Node::start(&block.schedule, &args);
        if life == 0 {
            // Nobody is there to hear it, so it is not answered; but it is this node's.
            node.send(json!({"command": "publish_block", "ssz": hex_of(block.signed.as_bytes()), "txlist": hex_of(&block.txlist)}));
            node.event("block_ready");
        }
        // Both lives together are told more than fits.
        let window = |n: u64| json!({"start": 9_000_000_000 + n, "end": 9_000_000_001 + n, "preconfer": format!("0x{}", "77".repeat(20))});
        let wish = json!({"command": "update_schedule", "windows": (0..4_000).map(window).collect::<Vec<_>>()});
        (0..80).for_each(|_| assert!(node.ask(wish.clone())["error"].is_null()));
        assert_eq!(node.interrupt(), Some(0));
    }
    let mut segments: Vec<PathBuf> = std::fs::read_dir(&ring).expect("a folder").map(|entry| entry.expect("read").path()).collect();
    segments.retain(|path| path.extension().is_some_and(|kind| kind == "trace"));
    segments.sort();
    assert!(segments.len() > 1, "{segments:?}");
    assert!(!ring.join("00000001.trace").exists(), "the oldest is gone");
    let mut endings = Vec::new();
    for segment in &segments {
        let beside = |hash: &B256| std::fs::read(ring.join("txlists").join(hash.to_string())).ok().map(Bytes::from);
        let trace = BufReader::new(File::open(segment).expect("a segment"));
        let mut replay = Replay::segment(trace, &[], beside).expect("it replays by itself");
        while let Some(step) = replay.step().expect("whole") {
            assert!(step.matches(), "{}: {step:#?}", segment.display());
        }
        endings.push(replay.ending());
    }
    assert_eq!(endings.last(), Some(&Some(Ending::Closed)), "{endings:?}");
    let files = |folder: &Path| std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("read").metadata().expect("there"));
    let bytes: u64 = files(&ring).chain(files(&ring.join("txlists"))).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum();
    assert!(bytes <= 16 << 20, "{bytes}");
}

#[cfg(all(feature = "devnet", feature = "async-std"))]
#[test]
fn a_devnet_agrees_on_async_std_and_on_both_runtimes_mixed() {
    for (runtime, homes) in [("async-std", ["async-std"; 4]), ("mixed", ["tokio", "async-std", "tokio", "async-std"])] {
        let shape = ["devnet", "--nodes", "4", "--blocks", "6", "--block-ms", "200", "--txlist-kib", "4", "--json"];
        let output = preconf(&[&shape[..], &["--runtime", runtime]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("exactly one object");
        assert_eq!((&report["ok"], &report["runtime"]), (&json!(true), &json!(runtime)));
        let nodes = report["nodes"].as_array().expect("nodes");
        for (node, home) in nodes.iter().zip(homes) {
            assert_eq!((&node["runtime"], &node["head_hash"], &node["ready"]), (&json!(home), &nodes[0]["head_hash"], &json!(6)), "{node}");
        }
    }
}

#[cfg(feature = "devnet")]
#[test]
fn a_devnet_that_loses_a_fifth_of_its_gossip_has_every_block_within_two_seconds() {
    // P11.1, P11.2
    let args = ["devnet", "--nodes", "4", "--blocks", "8", "--block-ms", "200", "--txlist-kib", "4", "--drop", "0.2", "--json"];
    let output = preconf(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("exactly one object");
    let nodes = report["nodes"].as_array().expect("nodes");
    for node in &nodes[..4] {
        assert_eq!((&node["ready"], &node["executed"], &node["lag"]), (&json!(8), &json!(8), &json!(0)), "{node}");
        assert_eq!(node["head_hash"], nodes[0]["head_hash"]);
    }
    let accepted: u64 = nodes[..3].iter().map(|node| node["accepted"].as_u64().expect("a count")).sum();
    assert!(accepted < 2 * 8 * 2, "two of the three hear of each block's commitment and txlist, had nothing been lost");
}

/// `preconf run`, its lines, and what it was told.
struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    address: String,
    next_id: u64,
}

impl Node {
    fn start(schedule: &str, more: &[&str]) -> Self {
        let domain = DOMAIN.to_string();
        let args = ["run", "--chain-id", "7", "--listen", "/ip4/127.0.0.1/tcp/0", "--schedule", schedule, "--domain", &domain];
        let ephemeral = if more.contains(&"--data-dir") { None } else { Some("--ephemeral") };
        let mut child = Command::new(env!("CARGO_BIN_EXE_preconf"))
            .args(args)
            .arg("--publish-from-stdin")
            .args(ephemeral)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (told, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let stdin = child.stdin.take();
        let mut node = Self { child, stdin, lines, address: String::new(), next_id: 0 };
        node.address = node.line();
        assert!(node.address.starts_with("/ip4/127.0.0.1/tcp/") && node.address.contains("/p2p/16Uiu2"), "{}", node.address);
        node
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("a line in time")
    }

    /// Reads on until a line is the one.
    fn wait_for(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = serde_json::from_str(&self.line()).expect("a JSON line");
            if is_it(&line) {
                return line;
            }
        }
    }

    fn event(&self, name: &str) -> Value {
        self.wait_for(|line| line["event"] == name)
    }

    /// Sends a command without waiting; gives its id.
    fn send(&mut self, mut command: Value) -> u64 {
        self.next_id += 1;
        command["id"] = json!(self.next_id);
        writeln!(self.stdin.as_mut().expect("open"), "{command}").expect("the program reads stdin");
        self.next_id
    }

    fn ask(&mut self, command: Value) -> Value {
        let id = self.send(command);
        self.wait_for(|line| line["id"] == id)
    }

    fn peer_id(&self) -> &str {
        self.address.rsplit('/').next().expect("a peer id")
    }

    #[cfg(unix)]
    fn interrupt(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill starts").success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Block {
    signed: SignedCommitment,
    txlist: Bytes,
    schedule: String,
}

/// A block with the longest txlist, and a file with the window that it lies in.
fn block(name: &str) -> Block {
    let key = SecretKey::from_secret_bytes([7; 32]).expect("a secret");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let (start, end) = (now - 100, now + 3_600);
    let txlist: Bytes = (0..MAX_TXLIST_BYTES as u64 / 8).flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).collect();
    let preconf = Preconfirmation {
        block_number: U256::from(1),
        timestamp: U256::from(now),
        gas_limit: U256::from(30_000_000),
        raw_tx_list_hash: keccak256(&txlist),
        submission_window_end: U256::from(end),
        ..Preconfirmation::default()
    };
    let signed = sign(PreconfCommitment { preconf, ..PreconfCommitment::default() }, &key, DOMAIN);
    let file = directory(name).join("schedule.json");
    let windows = json!([{"start": start, "end": end, "preconfer": address_of(&key).to_string()}]);
    std::fs::write(&file, windows.to_string()).expect("written");
    Block { signed, txlist, schedule: file.to_str().expect("UTF-8").to_owned() }
}

fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[test]
fn two_nodes_find_each_other_gossip_a_block_and_answer_all_three_requests() {
    // P2.3, P5.5, P5.7, P6.1-P6.3
    let block = block("run");
    let mut alice = Node::start(&block.schedule, &[]);
    let mut bob = Node::start(&block.schedule, &["--peer", &alice.address]);
    assert_eq!(alice.event("peer_connected")["peer"], bob.peer_id());

    let txlist = alice.send(json!({"command": "publish_txlist", "txlist": hex_of(&block.txlist)}));
    let commitment = alice.send(json!({"command": "publish_commitment", "ssz": hex_of(block.signed.as_bytes())}));
    let mut answered = [false; 2];
    while answered != [true; 2] {
        let answer = alice.wait_for(|line| line["id"] == txlist || line["id"] == commitment);
        assert!(answer["result"]["message_id"].is_string(), "{answer}");
        answered[usize::from(answer["id"] == commitment)] = true;
    }

    let ready = bob.event("block_ready");
    assert_eq!(ready["txlist_len_bytes"], MAX_TXLIST_BYTES);
    let hash = ready["commitment"]["hash"].clone();
    assert_eq!(hash, preconf_core::preconfirmation_hash(&block.signed).to_string());

    let head = bob.ask(json!({"command": "get_head", "peer": alice.peer_id()}));
    assert_eq!((&head["result"]["peer"], &head["result"]["head"]["block_number"]), (&json!(alice.peer_id()), &json!(1)), "{head}");
    let page = bob.ask(json!({"command": "get_commitments", "start": 1, "count": 10}));
    assert_eq!(page["result"]["commitments"], json!([{"block_number": 1, "hash": hash, "ssz": hex_of(block.signed.as_bytes())}]));
    let wanted = keccak256(&block.txlist).to_string();
    let answer = bob.ask(json!({"command": "get_raw_txlist", "hash": wanted, "peer": alice.peer_id()}));
    assert!(answer["result"]["txlist"] == hex_of(&block.txlist), "another txlist than was published");
    let nothing = alice.ask(json!({"command": "get_raw_txlist", "hash": B256::ZERO.to_string()}));
    assert_eq!(nothing["result"]["found"], false, "{nothing}");

    let status = bob.ask(json!({"command": "status"}));
    assert_eq!(status["result"]["head"], json!({"block_number": 1, "hash": hash}), "{status}");
    assert_eq!((&status["result"]["ready_to"], &status["result"]["lag"]), (&json!(1), &json!(0)), "{status}");
    let health = |stage: &str| json!({"blocks": [{"block_number": 1, "stage": stage}]});
    assert_eq!(bob.ask(json!({"command": "health"}))["result"], health("ready"));
    assert!(bob.ask(json!({"command": "mark_failed", "block_number": 2}))["error"].is_string(), "it was never ready");
    assert_eq!(bob.ask(json!({"command": "mark_executed", "block_number": 1}))["result"], json!({}));
    assert_eq!(bob.ask(json!({"command": "health"}))["result"], health("executed"));
    assert_eq!(bob.ask(json!({"command": "move_sync_tip", "block_number": 1, "hash": hash}))["result"], json!({}));
    assert_eq!(bob.ask(json!({"command": "health"}))["result"], json!({"blocks": []}), "settled");
    let peers = bob.ask(json!({"command": "peers"}));
    assert_eq!(peers["result"]["peers"][0]["peer"], alice.peer_id(), "{peers}");
}

#[test]
fn p8_1_an_operator_blocks_protects_trusts_and_asks_by_command() {
    let block = block("operator");
    let mut alice = Node::start(&block.schedule, &["--block-subnet", "203.0.113.0/24"]);
    let mut bob = Node::start(&block.schedule, &["--peer", &alice.address]);
    let (alice_id, bob_id) = (alice.peer_id().to_owned(), bob.peer_id().to_owned());
    alice.event("peer_connected");
    for (verb, key, value) in [("protect", "peer", &*bob_id), ("block", "target", "192.0.2.7"), ("trust", "peer", &*bob_id)] {
        assert_eq!(alice.ask(json!({"command": verb, key: value}))["result"], json!({}), "{verb}");
    }
    let lists = alice.ask(json!({"command": "lists"}))["result"].take();
    assert_eq!(lists["blocked_addresses"], json!(["192.0.2.7"]));
    assert_eq!(lists["blocked_subnets"], json!(["203.0.113.0/24"]));
    assert_eq!((&lists["protected"], &lists["trusted"]), (&json!([&bob_id]), &json!([&bob_id])), "{lists}");
    // P7.9: what is explained sums to the score.
    let sum =
        |changes: &Value| changes.as_array().expect("a list").iter().filter_map(|change| change["delta_millionths"].as_i64()).sum::<i64>();
    let (mut why, began) = (json!([]), Instant::now());
    while why == json!([]) {
        assert!(began.elapsed() < LIMIT, "a good answer is worth something");
        bob.ask(json!({"command": "get_head", "peer": &alice_id})); // refused until she has said what she speaks
        why = bob.ask(json!({"command": "explain", "peer": &alice_id}))["result"]["changes"].take();
    }
    let score = bob.ask(json!({"command": "peers"}))["result"]["peers"][0]["score_millionths"].as_i64();
    assert!(score > Some(0) && score <= Some(sum(&why)), "{why}: it may have decayed meanwhile, never grown");
    // A blocked peer is out at once.
    assert_eq!(alice.ask(json!({"command": "block", "target": &bob_id}))["result"], json!({}));
    alice.event("peer_disconnected");
    assert_eq!(alice.ask(json!({"command": "lists"}))["result"]["blocked_peers"], json!([&bob_id]));
    assert_eq!(alice.ask(json!({"command": "unblock", "target": &bob_id}))["result"], json!({}));
    assert_eq!(alice.ask(json!({"command": "lists"}))["result"]["blocked_peers"], json!([]));
}

#[test]
fn a_bad_command_is_answered_and_the_node_goes_on() {
    let block = block("bad-command");
    let mut node = Node::start(&block.schedule, &[]);
    let error = |answer: Value, part: &str| {
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("no error: {answer}")).to_owned();
        assert!(error.contains(part), "no {part:?} in: {error}");
    };
    error(node.ask(json!({"command": "peers", "all": true})), "unknown field `all`");
    error(node.ask(json!({"command": "get_head"})), "no connected peer");
    error(node.ask(json!({"command": "publish_commitment", "ssz": "0x00"})), "ssz");
    let too_long = vec![1; MAX_TXLIST_BYTES + 1];
    error(node.ask(json!({"command": "publish_txlist", "txlist": hex_of(&too_long)})), "2097153");
    let mut forged = *block.signed.as_bytes();
    forged[97] ^= 1; // another coinbase than was signed
    error(node.ask(json!({"command": "publish_commitment", "ssz": hex_of(&forged)})), "C7");
    error(node.ask(json!({"command": "dial", "addr": "/ip4/127.0.0.1/tcp/1"})), "the address names no peer"); // P8.1
    let nobody = format!("/ip4/127.0.0.1/tcp/1/p2p/{NOBODY}");
    error(node.ask(json!({"command": "dial", "addr": nobody})), "nobody was reached");
    assert_eq!(node.ask(json!({"command": "status"}))["result"]["head"], Value::Null);
}

#[cfg(unix)]
#[test]
fn a_node_dials_on_command_outlives_its_stdin_and_ends_in_good_order() {
    let block = block("end");
    let mut alice = Node::start(&block.schedule, &["--seed", "1"]);
    let mut bob = Node::start(&block.schedule, &["--seed", "2"]);
    let dialed = bob.ask(json!({"command": "dial", "addr": alice.address}));
    assert_eq!(dialed["result"]["peer"], alice.peer_id(), "{dialed}");
    assert_eq!(alice.event("peer_connected")["peer"], bob.peer_id());
    drop(alice.stdin.take());
    assert_eq!(bob.interrupt(), Some(0));
    assert_eq!(alice.event("peer_disconnected")["peer"], bob.peer_id());
    assert_eq!(alice.interrupt(), Some(0));
}

#[test]
fn a_node_finds_its_static_peer_and_keeps_a_blocked_subnet_out_either_way() {
    // P8.1, P8.2, P8.5
    let block = block("gate");
    let mut alice = Node::start(&block.schedule, &["--preset", "test", "--trusted", NOBODY]);
    let address = alice.address.clone();
    let bob = Node::start(&block.schedule, &["--static-peer", &address]);
    assert_eq!(alice.event("peer_connected")["peer"], bob.peer_id());
    let mut carol = Node::start(&block.schedule, &["--block-subnet", "127.0.0.0/8"]);
    let refused = carol.ask(json!({"command": "dial", "addr": address}));
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("the subnet 127.0.0.0/8 is blocked")), "{refused}");
    let reached = alice.ask(json!({"command": "dial", "addr": carol.address}));
    assert_eq!(reached["result"]["peer"], carol.peer_id(), "{reached}");
    assert_eq!(alice.event("peer_disconnected")["peer"], carol.peer_id());
    let status = carol.ask(json!({"command": "status"}));
    assert_eq!((&status["result"]["peers"], &status["result"]["connections_refused"]), (&json!(0), &json!({"subnet_blocked": 1})));
}

#[test]
fn a_node_that_sees_a_preconfer_sign_two_blocks_prints_a_proof_that_verifies() {
    // C8, P5.4
    let block = block("evidence");
    let mut other = block.signed.commitment().clone();
    other.preconf.eop = true;
    let other = sign(other, &SecretKey::from_secret_bytes([7; 32]).expect("a secret"), DOMAIN);

    let mut watcher = Node::start(&block.schedule, &[]);
    let mut alice = Node::start(&block.schedule, &["--peer", &watcher.address]);
    alice.send(json!({"command": "publish_commitment", "ssz": hex_of(block.signed.as_bytes())}));
    watcher.event("commitment_accepted");
    // Carol takes the other block for the first, because she is alone until she has said it.
    let mut carol = Node::start(&block.schedule, &[]);
    carol.send(json!({"command": "publish_commitment", "ssz": hex_of(other.as_bytes())}));
    carol.event("commitment_accepted");
    carol.ask(json!({"command": "dial", "addr": watcher.address}));

    let line = watcher.event("evidence_found");
    let signer = address_of(&SecretKey::from_secret_bytes([7; 32]).expect("a secret")).to_string();
    assert_eq!((&line["fault"], &line["signer"], &line["block_number"]), (&json!("equivocation"), &json!(signer), &json!(1)));
    let file = directory("evidence-file").join("evidence.json");
    std::fs::write(&file, line.to_string()).expect("written");
    let verified = preconf(&["evidence", "verify", file.to_str().expect("UTF-8"), "--domain", &DOMAIN.to_string()]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
    assert!(text(&verified.stdout).starts_with(&format!("Proven: {signer} signed two different blocks with number 1.")));
    assert_eq!(watcher.ask(json!({"command": "status"}))["result"]["head"]["hash"], {
        preconf_core::preconfirmation_hash(&block.signed).to_string() // P5.4a
    });
}
