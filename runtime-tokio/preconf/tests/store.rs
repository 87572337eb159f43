//! What the program keeps on disk, as its operator meets it: crashes, disks that fail, directories of others, damage, and `preconf store`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use preconf_core::{
    B256, Bytes, PreconfCommitment, Preconfirmation, SecretKey, SignedCommitment, U256, address_of, keccak256, preconfirmation_hash, sign,
};
use serde_json::{Value, json};

/// Longer than anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// P10.4: how soon a node with a failing disk answers, and ends.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
const END_LIMIT: Duration = Duration::from_secs(5);
/// Signs in place of the chain's placeholder, so that the flag is tried too.
const DOMAIN: B256 = B256::repeat_byte(0x44);

fn preconf(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preconf")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Exit status, stdout, stderr.
fn store(args: &[&str]) -> (i32, String, String) {
    let output = preconf(&[&["store"], args].concat());
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn store_json(args: &[&str]) -> (i32, Value) {
    let (code, out, error) = store(&[args, &["--json"]].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("exactly one object: {out}{error}")))
}

/// A scene of one test: a directory of its own, and one window of one preconfer's that has begun.
struct Scene {
    folder: PathBuf,
    schedule: String,
    start: u64,
    end: u64,
}

impl Scene {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let (start, end) = (UNIX_EPOCH.elapsed().unwrap().as_secs() - 100, UNIX_EPOCH.elapsed().unwrap().as_secs() + 3_600);
        let schedule = folder.join("schedule.json");
        let windows = json!([{"start": start, "end": end, "preconfer": address_of(&Self::key()).to_string()}]);
        fs::write(&schedule, windows.to_string()).unwrap();
        Self { schedule: schedule.to_str().unwrap().to_owned(), folder, start, end }
    }

    fn key() -> SecretKey {
        SecretKey::from_secret_bytes([7; 32]).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A chain of blocks upon each other. Another `word`, another chain.
    fn chain(&self, word: &str, len: u64) -> Vec<Block> {
        let (mut parent, mut blocks) = (B256::ZERO, Vec::new());
        for number in 1..=len {
            let block = self.block(number, parent, format!("{word} {number}").into());
            parent = block.hash;
            blocks.push(block);
        }
        blocks
    }

    fn block(&self, number: u64, parent: B256, txlist: Bytes) -> Block {
        let preconf = Preconfirmation {
            block_number: U256::from(number),
            timestamp: U256::from(self.start + number),
            gas_limit: U256::from(30_000_000),
            raw_tx_list_hash: keccak256(&txlist),
            parent_preconfirmation_hash: parent,
            submission_window_end: U256::from(self.end),
            ..Preconfirmation::default()
        };
        let signed = sign(PreconfCommitment { preconf, ..PreconfCommitment::default() }, &Self::key(), DOMAIN);
        Block { hash: preconfirmation_hash(&signed), signed, txlist }
    }

    /// A node on a directory of this scene's, with a peer that hears it.
    fn pair(&self, dir: &str) -> (Node, Node) {
        let peer = Node::start(&self.schedule, &["--ephemeral"]);
        let node = Node::start(&self.schedule, &["--data-dir", dir, "--peer", &peer.address]);
        peer.event("peer_connected");
        (node, peer)
    }
}

struct Block {
    hash: B256,
    signed: SignedCommitment,
    txlist: Bytes,
}

impl Block {
    fn publish(&self) -> Value {
        json!({"command": "publish_block", "ssz": hex_of(self.signed.as_bytes()), "txlist": hex_of(&self.txlist)})
    }
}

fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// What each file of a directory holds, but for the lock.
fn contents(dir: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    named.filter(|(name, _)| name != "LOCK").collect()
}

/// Changes one byte of each place in a file where this stands.
fn spoil(path: &Path, text: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let places: Vec<usize> = (0..bytes.len().saturating_sub(text.len())).filter(|at| bytes[*at..].starts_with(text)).collect();
    assert!(!places.is_empty(), "it is stored as it is");
    places.into_iter().for_each(|at| bytes[at + text.len() / 2] ^= 1);
    fs::write(path, bytes).unwrap();
}

/// `preconf run`, its lines, and its log.
struct Node {
    child: Child,
    lines: Receiver<String>,
    log: Option<JoinHandle<String>>,
    address: String,
    next_id: u64,
}

impl Node {
    fn start(schedule: &str, more: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_preconf")), schedule, more)
    }

    /// By a command that runs the program with the arguments that it is given.
    fn start_by(mut command: Command, schedule: &str, more: &[&str]) -> Self {
        let domain = DOMAIN.to_string();
        let args = ["run", "--chain-id", "7", "--listen", "/ip4/127.0.0.1/tcp/0", "--schedule", schedule, "--domain", &domain];
        command.args(args).arg("--publish-from-stdin").args(more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            let _ = stderr.read_to_string(&mut log);
            log
        });
        let mut node = Self { child, lines, log: Some(log), address: String::new(), next_id: 0 };
        node.address = match node.lines.recv_timeout(LIMIT) {
            Ok(line) => line,
            Err(error) => panic!("no address: {error}; {}", node.kill()),
        };
        assert!(node.address.starts_with("/ip4/127.0.0.1/tcp/"), "{}", node.address);
        node
    }

    /// Reads on until a line is the one.
    fn wait_for(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = serde_json::from_str(&self.lines.recv_timeout(LIMIT).expect("a line in time")).unwrap();
            if is_it(&line) {
                return line;
            }
        }
    }

    fn event(&self, name: &str) -> Value {
        self.wait_for(|line| line["event"] == name)
    }

    fn accepts(&self, block: &Block) {
        self.wait_for(|line| line["event"] == "commitment_accepted" && line["commitment"]["hash"] == block.hash.to_string());
    }

    /// Sends a command without waiting; gives its id.
    fn tell(&mut self, mut command: Value) -> u64 {
        self.next_id += 1;
        command["id"] = json!(self.next_id);
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
        self.next_id
    }

    fn ask(&mut self, command: Value) -> Value {
        let id = self.tell(command);
        self.wait_for(|line| line["id"] == id)
    }

    fn publishes(&mut self, block: &Block) {
        let answer = self.ask(block.publish());
        assert_eq!(answer["result"]["hash"], block.hash.to_string(), "{answer}");
    }

    /// The error says all of this.
    fn refuses(&mut self, block: &Block, parts: &[&str]) {
        let answer = self.ask(block.publish());
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("published: {answer}"));
        parts.iter().for_each(|part| assert!(error.contains(part), "no {part:?} in: {error}"));
    }

    /// P10.4: whatever the disk does.
    fn answers_in_time(&mut self) -> Value {
        let began = Instant::now();
        let status = self.ask(json!({"command": "status"}));
        assert!(began.elapsed() < ANSWER_LIMIT, "after {:?}", began.elapsed());
        status["result"].clone()
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Ends it by SIGTERM, in time and well; gives its log.
    fn end(mut self) -> String {
        assert!(Command::new("kill").args(["-TERM", &self.pid()]).status().unwrap().success());
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < END_LIMIT, "SIGTERM does not end it");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.kill()
    }

    /// Ends it as a crash does; gives its log.
    fn kill(&mut self) -> String {
        let _ = self.child.kill(); // it may be gone already
        let _ = self.child.wait();
        self.log.take().map_or_else(String::new, |log| log.join().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn p5_9_a_key_moves_to_another_machine_with_its_promises() {
    let scene = Scene::new("moves");
    let (chain, other) = (scene.chain("one way", 3), scene.chain("another way", 1));
    let (old, new, file) = (scene.path("old"), scene.path("new"), scene.path("promises.json"));
    let domain = DOMAIN.to_string();
    let (mut node, peer) = scene.pair(&old);
    chain[..2].iter().for_each(|block| node.publishes(block));
    node.end();

    let (code, shown) = store_json(&["show", "--data-dir", &old]);
    assert_eq!((code, &shown["intact"], &shown["chain_id"], &shown["domain"]), (0, &json!(true), &json!(7), &json!(domain)), "{shown}");
    assert_eq!(shown["counts"]["own_commitments"], 2);
    let hashes = |shown: &Value| shown["commitments"].as_array().unwrap().iter().map(|own| own["hash"].clone()).collect::<Vec<_>>();
    assert_eq!(hashes(&shown), [chain[0].hash.to_string(), chain[1].hash.to_string()]);
    let (code, out, error) = store(&["show", "--data-dir", &old]);
    assert_eq!(code, 0, "{error}");
    for part in ["chain 7", "2 own commitments", "commitments.redb is intact", &format!("block 2: {}", chain[1].hash)] {
        assert!(out.contains(part), "no {part:?} in: {out}");
    }

    let (code, out, error) = store(&["export", "--data-dir", &old, "--file", &file]);
    assert_eq!((code, out), (0, format!("2 commitments are in {file}\n")), "{error}");
    let (code, out, _) = store(&["export", "--data-dir", &old]);
    assert_eq!((code, &out), (0, &fs::read_to_string(&file).unwrap()), "the same to stdout");
    let (code, _, error) = store(&["export", "--data-dir", &old, "--file", &file]);
    assert!(code == 1 && error.contains("not there yet"), "never over another file: {error}");

    let import = |dir: &str, file: &str| store(&["import", "--data-dir", dir, "--chain-id", "7", "--domain", &domain, "--file", file]);
    assert_eq!(import(&new, &file).1, format!("2 commitments were added to {new}, 0 were there already\n"));
    assert_eq!(import(&new, &file).1, format!("0 commitments were added to {new}, 2 were there already\n"));
    assert_eq!(hashes(&store_json(&["show", "--data-dir", &new]).1), hashes(&shown));
    // Where the key lives now, its word holds.
    let mut node = Node::start(&scene.schedule, &["--data-dir", &new, "--peer", &peer.address]);
    assert_eq!(node.event("publishing_again")["hash"], chain[0].hash.to_string(), "P5.9a");
    node.refuses(&other[0], &["C8", "committed to another block"]);
    node.publishes(&chain[2]);
    peer.accepts(&chain[2]);
    node.end();

    // What says something else is refused whole, and named.
    let (mut node, _peer) = scene.pair(&scene.path("third"));
    node.publishes(&other[0]);
    node.end();
    let before = contents(&scene.path("third"));
    let (code, out, error) = import(&scene.path("third"), &file);
    assert_eq!((code, out), (1, String::new()));
    for part in [other[0].hash, chain[0].hash].map(|hash| hash.to_string()) {
        assert!(error.contains(&part), "no {part} in: {error}");
    }
    assert_eq!(contents(&scene.path("third")), before);
    let (code, _, error) = store(&["import", "--data-dir", &new, "--chain-id", "8", "--domain", &domain, "--file", &file]);
    assert!(code == 1 && error.contains("chain 7"), "{error}");
    fs::write(&file, "{}").unwrap();
    let (code, _, error) = import(&new, &file);
    assert!(code == 1 && error.contains("preconf store export"), "{error}");
}

#[test]
fn p5_9a_with_damaged_commitments_a_node_follows_and_publishes_nothing_until_told() {
    let scene = Scene::new("damaged");
    let chain = scene.chain("one way", 3);
    let dir = scene.path("data");
    let (mut node, _peer) = scene.pair(&dir);
    node.publishes(&chain[0]);
    node.end();
    spoil(&Path::new(&dir).join("commitments.redb"), chain[0].signed.as_bytes());

    for command in ["show", "verify"] {
        let (code, out, error) = store(&[command, "--data-dir", &dir]);
        assert!(code == 1 && out.contains("commitments.redb is damaged") || out.contains("damaged, what its keys"), "{out}{error}");
    }
    let (mut node, mut peer) = scene.pair(&dir);
    peer.accepts(&chain[0]); // it serves what is not damaged
    peer.publishes(&chain[1]);
    node.accepts(&chain[1]); // it follows
    node.refuses(&chain[2], &["P5.9a", "damaged", "preconf store verify"]);
    node.answers_in_time();
    let log = node.end();
    assert!(!log.contains("panicked"), "{log}");

    // The log has the command that helps.
    let command = log.split('`').find(|part| part.starts_with("preconf store accept")).unwrap_or_else(|| panic!("{log}"));
    let (code, accepted) = store_json(&command.split(' ').skip(2).collect::<Vec<_>>());
    assert_eq!((code, &accepted["damaged"], &accepted["kept"]), (0, &json!(true), &json!(0)), "{accepted}");
    assert!(Path::new(accepted["aside"].as_str().unwrap()).exists(), "kept for whoever wants to know why");
    let (code, out, _) = store(&["accept", "--data-dir", &dir]);
    assert_eq!((code, out.as_str()), (0, "what was committed to is not damaged: nothing was done\n"));
    assert_eq!(store(&["verify", "--data-dir", &dir, "--chain-id", "7"]).0, 0);
    let mut node = Node::start(&scene.schedule, &["--data-dir", &dir, "--peer", &peer.address]);
    node.publishes(&chain[2]);
    peer.accepts(&chain[2]);
}

#[test]
fn p5_9c_a_second_process_on_a_directory_is_refused_and_told_who_has_it() {
    let scene = Scene::new("two");
    let chain = scene.chain("one way", 2);
    let dir = scene.path("data");
    let (mut first, peer) = scene.pair(&dir);
    first.publishes(&chain[0]);
    let run = ["run", "--chain-id", "7", "--listen", "/ip4/127.0.0.1/tcp/0", "--domain", &DOMAIN.to_string(), "--data-dir", &dir];
    for args in [&run[..], &["store", "show", "--data-dir", &dir], &["store", "accept", "--data-dir", &dir]] {
        let refused = preconf(args);
        let error = text(&refused.stderr);
        assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(1), String::new()), "{error}");
        assert!(error.contains(&format!("in use by process {}", first.pid())), "{error}");
    }
    first.publishes(&chain[1]);
    first.kill(); // the system frees the lock with the process, however that ended
    let again = Node::start(&scene.schedule, &["--data-dir", &dir, "--peer", &peer.address]);
    again.event("publishing_again");
    assert!(again.end().is_empty(), "nothing that an operator should look at");
}

#[test]
fn p5_9c_a_directory_of_another_chain_is_refused_and_left_as_it_is() {
    let scene = Scene::new("chains");
    let dir = scene.path("data");
    let (mut node, _peer) = scene.pair(&dir);
    node.publishes(&scene.chain("one way", 1)[0]);
    node.end();
    let before = contents(&dir);
    let run = |chain: &str, domain: &str| {
        let args = ["run", "--listen", "/ip4/127.0.0.1/tcp/0", "--schedule", &scene.schedule, "--data-dir", &dir];
        let output = preconf(&[&args[..], &["--chain-id", chain, "--domain", domain]].concat());
        (output.status.code(), text(&output.stderr))
    };
    let (ours, other) = (DOMAIN.to_string(), B256::repeat_byte(0x55).to_string());
    for ((code, error), parts) in [
        (run("8", &ours), ["chain 7", "chain 8"]),
        (run("7", &other), [ours.as_str(), other.as_str()]),
        (run("8", &other), ["chain 7", "a directory of its own"]),
    ] {
        assert_eq!(code, Some(1), "{error}");
        parts.iter().for_each(|part| assert!(error.contains(part), "no {part:?} in: {error}"));
        assert_eq!(contents(&dir), before);
    }
    let (code, _, error) = store(&["show", "--data-dir", &dir, "--chain-id", "8"]);
    assert!(code == 1 && error.contains("--chain-id says 8"), "{error}");
    let (code, _, error) = store(&["verify", "--data-dir", &scene.path("nowhere")]);
    assert!(code == 1 && error.contains("nowhere"), "{error}");
}

#[test]
fn p5_9a_without_a_disk_nothing_is_published_and_the_error_says_what_to_do() {
    let scene = Scene::new("diskless");
    let chain = scene.chain("one way", 2);
    let mut peer = Node::start(&scene.schedule, &["--ephemeral"]);
    let mut node = Node::start(&scene.schedule, &["--peer", &peer.address]);
    peer.event("peer_connected");
    peer.publishes(&chain[0]);
    node.accepts(&chain[0]);
    node.refuses(&chain[1], &["P5.9a", "--data-dir", "--ephemeral"]);
    assert_eq!(node.answers_in_time()["head"]["block_number"], 1);
    assert_eq!(peer.answers_in_time()["head"]["block_number"], 1, "nothing left the node");
}

#[test]
fn p10_4_a_node_whose_disk_is_gone_follows_answers_and_publishes_nothing() {
    let scene = Scene::new("gone");
    let chain = scene.chain("one way", 4);
    let dir = scene.path("data");
    let (mut node, mut peer) = scene.pair(&dir);
    node.publishes(&chain[0]);
    peer.accepts(&chain[0]);
    fs::remove_dir_all(&dir).unwrap();
    // P10.4: an event, an error to the caller, and a figure.
    let failed = Cell::new(false);
    let id = node.tell(chain[1].publish());
    let answer = node.wait_for(|line| {
        failed.set(failed.get() || line["event"] == "storage_failed");
        line["id"] == id
    });
    let error = answer["error"].as_str().unwrap_or_else(|| panic!("published: {answer}"));
    assert!(error.contains("P5.9a") && error.contains("directory is gone"), "{error}");
    if !failed.get() {
        node.event("storage_failed");
    }
    let status = node.answers_in_time();
    assert!(status["records"]["failed"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(peer.answers_in_time()["head"]["block_number"], 1, "not published is not published");
    // It follows: what others say reaches it, though it can keep nothing.
    let (mut twin, chain) = (Node::start(&scene.schedule, &["--ephemeral", "--peer", &peer.address]), chain);
    twin.wait_for(|line| line["event"] == "synced" || line["event"] == "commitment_accepted");
    twin.publishes(&chain[1]);
    twin.publishes(&chain[2]);
    node.accepts(&chain[2]);
    node.refuses(&chain[3], &["P5.9a", "directory is gone"]);
    assert_eq!(node.answers_in_time()["head"]["block_number"], 3);
    let log = node.end();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn p10_4_a_node_whose_disk_is_full_follows_answers_and_publishes_nothing() {
    let scene = Scene::new("full");
    let dir = scene.path("data");
    // No file may grow beyond 4 MiB; the system then says so, as when a disk is full.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_preconf")]);
    let peer = Node::start(&scene.schedule, &["--ephemeral"]);
    let mut node = Node::start_by(shell, &scene.schedule, &["--data-dir", &dir, "--peer", &peer.address]);
    peer.event("peer_connected");
    let (mut parent, mut kept, mut error) = (B256::ZERO, Vec::new(), None);
    for number in 1..=64 {
        let block = scene.block(number, parent, vec![number as u8; 256 << 10].into());
        let answer = node.ask(block.publish());
        if let Some(said) = answer["error"].as_str() {
            error = Some((block, said.to_owned()));
            break;
        }
        parent = block.hash;
        kept.push(block);
    }
    let (block, said) = error.expect("64 × 256 KiB do not fit");
    assert!(said.contains("P5.9a") && said.contains("disk is full"), "{said}");
    assert!(!kept.is_empty(), "it worked before");
    let status = node.answers_in_time();
    assert!(status["records"]["failed"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(status["head"]["block_number"], kept.len(), "{status}");
    kept.last().iter().for_each(|last| peer.accepts(last));
    let mut twin = Node::start(&scene.schedule, &["--ephemeral", "--peer", &peer.address]);
    twin.wait_for(|line| line["event"] == "synced" && line["head"] == kept.len());
    twin.publishes(&block);
    node.accepts(&block); // it follows
    node.answers_in_time();
    let log = node.end();
    assert!(!log.contains("panicked"), "{log}");

    // On a disk with room again nothing is missing of what was said.
    let (code, shown) = store_json(&["show", "--data-dir", &dir]);
    let hashes: Vec<_> = shown["commitments"].as_array().unwrap().iter().map(|own| own["hash"].clone()).collect();
    assert_eq!((code, &shown["intact"]), (0, &json!(true)), "{shown}");
    kept.iter().for_each(|block| assert!(hashes.contains(&json!(block.hash.to_string())), "{shown}"));
    let mut node = Node::start(&scene.schedule, &["--data-dir", &dir, "--peer", &peer.address]);
    let next = scene.block(kept.len() as u64 + 2, block.hash, Bytes::from_static(b"small"));
    node.wait_for(|line| line["event"] == "block_ready" && line["commitment"]["hash"] == block.hash.to_string());
    node.publishes(&next);
    peer.accepts(&next);
}

/// A life on a directory that takes nothing from its start on: it follows, says why it publishes nothing, answers and ends.
fn lives_on_what_it_can_read(scene: &Scene, command: Command, dir: &str, why: &str) -> (Node, Node, Vec<Block>) {
    let chain = scene.chain("one way", 4);
    let peer = Node::start(&scene.schedule, &["--ephemeral"]);
    let args = ["--data-dir", dir, "--peer", &peer.address, "--discovery-port", "0"]; // discovery keeps a file there, too
    let mut node = Node::start_by(command, &scene.schedule, &args);
    peer.accepts(&chain[0]); // P5.9a: what it said before it says again
    assert_eq!(node.answers_in_time()["head"]["block_number"], 1, "P6.9: what was stored is given back");
    node.refuses(&chain[1], &["P5.9a", why]);
    let mut twin = Node::start(&scene.schedule, &["--ephemeral", "--peer", &peer.address]);
    twin.accepts(&chain[0]);
    twin.publishes(&chain[1]);
    node.accepts(&chain[1]);
    assert!(node.answers_in_time()["records"]["failed"].as_u64().unwrap() > 0);
    (node, peer, chain)
}

/// A directory on which a node has published the first block.
fn used(scene: &Scene) -> String {
    let dir = scene.path("data");
    let (mut node, _peer) = scene.pair(&dir);
    node.publishes(&scene.chain("one way", 1)[0]);
    node.end();
    dir
}

#[test]
fn p10_4_a_disk_that_is_full_at_the_start_is_followed_on_and_told() {
    let scene = Scene::new("full-start");
    let dir = used(&scene);
    let full = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_preconf")]);
        shell
    };
    let (node, _peer, _) = lives_on_what_it_can_read(&scene, full(), &dir, "disk is full");
    let log = node.end();
    assert!(log.contains("WARN") && log.contains("nothing can be written to") && log.contains("make room"), "{log}");

    // Where nothing is stored there is nothing to go on with.
    let new = scene.path("new");
    let run = ["run", "--chain-id", "7", "--listen", "/ip4/127.0.0.1/tcp/0", "--schedule", &scene.schedule, "--data-dir", &new];
    let refused = full().args(run).stdin(Stdio::null()).output().unwrap();
    let error = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && error.contains(&new) && error.contains("make room on that disk"), "{error}");
}

#[test]
fn p10_4_a_directory_that_may_only_be_read_is_followed_on_until_it_takes_records_again() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let scene = Scene::new("read-only");
    let dir = used(&scene);
    let allow = |dir_mode, file_mode| {
        for entry in fs::read_dir(&dir).unwrap() {
            fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(file_mode)).unwrap();
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(dir_mode)).unwrap();
    };
    allow(0o500, 0o400);
    // Root is let through everywhere, unless it gives that up.
    let is_root = fs::metadata(&dir).unwrap().uid() == 0;
    let mut command = Command::new(if is_root { "setpriv" } else { "env" });
    command.args(is_root.then_some("--bounding-set=-dac_override")).arg(env!("CARGO_BIN_EXE_preconf"));
    let (mut node, peer, chain) = lives_on_what_it_can_read(&scene, command, &dir, "may not be written to");
    let (code, _, error) = store(&["show", "--data-dir", &dir]);
    assert!(code == 1 && error.contains("in use"), "P5.9c holds there, too: {error}");

    allow(0o700, 0o600);
    node.publishes(&chain[2]);
    peer.accepts(&chain[2]);
    let log = node.end();
    assert!(log.contains("WARN") && log.contains("nothing can be written to"), "{log}");
    let (_, shown) = store_json(&["show", "--data-dir", &dir]);
    assert_eq!(
        (&shown["intact"], &shown["counts"]["own_commitments"], &shown["chain"]["highest"]),
        (&json!(true), &json!(2), &json!(3)),
        "{shown}"
    );
}

#[test]
fn p10_4_a_damaged_chain_file_is_moved_aside_and_takes_no_word_with_it() {
    let scene = Scene::new("chain");
    let (chain, other) = (scene.chain("one way", 3), scene.chain("another way", 1));
    let dir = scene.path("data");
    let (mut node, peer) = scene.pair(&dir);
    chain[..2].iter().for_each(|block| node.publishes(block));
    node.end();
    fs::write(Path::new(&dir).join("chain.redb"), b"no database").unwrap();
    let (code, out, _) = store(&["verify", "--data-dir", &dir]);
    assert!(code == 1 && out.contains("chain.redb aside"), "{out}");

    let mut node = Node::start(&scene.schedule, &["--data-dir", &dir, "--peer", &peer.address]);
    node.refuses(&other[0], &["C8", "committed to another block"]);
    node.publishes(&chain[2]);
    peer.accepts(&chain[2]);
    let log = node.end();
    assert!(log.contains("WARN") && log.contains("chain.redb.damaged-"), "{log}");
    let aside: Vec<_> = contents(&dir).into_iter().filter(|(name, _)| name.starts_with("chain.redb.damaged-")).collect();
    assert_eq!(aside.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>(), [b"no database"]);
    let (code, shown) = store_json(&["show", "--data-dir", &dir]);
    assert_eq!((code, &shown["intact"], &shown["counts"]["own_commitments"]), (0, &json!(true), &json!(3)), "{shown}");
}
