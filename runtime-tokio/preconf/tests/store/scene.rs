//! A preconfer's window, what it says in it, and nodes of the program that run and are spoken to.

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
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// P10.4: how soon a node with a failing disk answers, and ends.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(1);
pub(crate) const END_LIMIT: Duration = Duration::from_secs(5);
/// Signs in place of the chain's placeholder, so that the flag is tried too.
pub(crate) const DOMAIN: B256 = B256::repeat_byte(0x44);

pub(crate) fn preconf(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preconf")).args(args).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Exit status, stdout, stderr.
pub(crate) fn store(args: &[&str]) -> (i32, String, String) {
    let output = preconf(&[&["store"], args].concat());
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn store_json(args: &[&str]) -> (i32, Value) {
    let (code, out, error) = store(&[args, &["--json"]].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("exactly one object: {out}{error}")))
}

/// A scene of one test: a directory of its own, and one window of one preconfer's that has begun.
pub(crate) struct Scene {
    pub(crate) folder: PathBuf,
    pub(crate) schedule: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let (start, end) = (UNIX_EPOCH.elapsed().unwrap().as_secs() - 100, UNIX_EPOCH.elapsed().unwrap().as_secs() + 3_600);
        let schedule = folder.join("schedule.json");
        let windows = json!([{"start": start, "end": end, "preconfer": address_of(&Self::key()).to_string()}]);
        fs::write(&schedule, windows.to_string()).unwrap();
        Self { schedule: schedule.to_str().unwrap().to_owned(), folder, start, end }
    }

    pub(crate) fn key() -> SecretKey {
        SecretKey::from_secret_bytes([7; 32]).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A chain of blocks upon each other. Another `word`, another chain.
    pub(crate) fn chain(&self, word: &str, len: u64) -> Vec<Block> {
        let (mut parent, mut blocks) = (B256::ZERO, Vec::new());
        for number in 1..=len {
            let block = self.block(number, parent, format!("{word} {number}").into());
            parent = block.hash;
            blocks.push(block);
        }
        blocks
    }

    pub(crate) fn block(&self, number: u64, parent: B256, txlist: Bytes) -> Block {
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
    pub(crate) fn pair(&self, dir: &str) -> (Node, Node) {
        let peer = Node::start(&self.schedule, &["--ephemeral"]);
        let node = Node::start(&self.schedule, &["--data-dir", dir, "--peer", &peer.address]);
        peer.event("peer_connected");
        (node, peer)
    }
}

pub(crate) struct Block {
    pub(crate) hash: B256,
    pub(crate) signed: SignedCommitment,
    pub(crate) txlist: Bytes,
}

impl Block {
    pub(crate) fn publish(&self) -> Value {
        json!({"command": "publish_block", "ssz": hex_of(self.signed.as_bytes()), "txlist": hex_of(&self.txlist)})
    }
}

pub(crate) fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// What each file of a directory holds, but for the lock.
pub(crate) fn contents(dir: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    named.filter(|(name, _)| name != "LOCK").collect()
}

/// Changes one byte of each place in a file where this stands.
pub(crate) fn spoil(path: &Path, text: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let places: Vec<usize> = (0..bytes.len().saturating_sub(text.len())).filter(|at| bytes[*at..].starts_with(text)).collect();
    assert!(!places.is_empty(), "it is stored as it is");
    places.into_iter().for_each(|at| bytes[at + text.len() / 2] ^= 1);
    fs::write(path, bytes).unwrap();
}

/// `preconf run`, its lines, and its log.
pub(crate) struct Node {
    pub(crate) child: Child,
    pub(crate) lines: Receiver<String>,
    pub(crate) log: Option<JoinHandle<String>>,
    pub(crate) address: String,
    pub(crate) next_id: u64,
}

impl Node {
    pub(crate) fn start(schedule: &str, more: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_preconf")), schedule, more)
    }

    /// By a command that runs the program with the arguments that it is given.
    pub(crate) fn start_by(mut command: Command, schedule: &str, more: &[&str]) -> Self {
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
    pub(crate) fn wait_for(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = serde_json::from_str(&self.lines.recv_timeout(LIMIT).expect("a line in time")).unwrap();
            if is_it(&line) {
                return line;
            }
        }
    }

    pub(crate) fn event(&self, name: &str) -> Value {
        self.wait_for(|line| line["event"] == name)
    }

    pub(crate) fn accepts(&self, block: &Block) {
        self.wait_for(|line| line["event"] == "commitment_accepted" && line["commitment"]["hash"] == block.hash.to_string());
    }

    /// Sends a command without waiting; gives its id.
    pub(crate) fn tell(&mut self, mut command: Value) -> u64 {
        self.next_id += 1;
        command["id"] = json!(self.next_id);
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
        self.next_id
    }

    pub(crate) fn ask(&mut self, command: Value) -> Value {
        let id = self.tell(command);
        self.wait_for(|line| line["id"] == id)
    }

    pub(crate) fn publishes(&mut self, block: &Block) {
        let answer = self.ask(block.publish());
        assert_eq!(answer["result"]["hash"], block.hash.to_string(), "{answer}");
    }

    /// The error says all of this.
    pub(crate) fn refuses(&mut self, block: &Block, parts: &[&str]) {
        let answer = self.ask(block.publish());
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("published: {answer}"));
        parts.iter().for_each(|part| assert!(error.contains(part), "no {part:?} in: {error}"));
    }

    /// P10.4: whatever the disk does.
    pub(crate) fn answers_in_time(&mut self) -> Value {
        let began = Instant::now();
        let status = self.ask(json!({"command": "status"}));
        assert!(began.elapsed() < ANSWER_LIMIT, "after {:?}", began.elapsed());
        status["result"].clone()
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Ends it by SIGTERM, in time and well; gives its log.
    pub(crate) fn end(mut self) -> String {
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
    pub(crate) fn kill(&mut self) -> String {
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
