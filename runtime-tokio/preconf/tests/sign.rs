//! Does `preconf sign` make what a node takes, with a key file and with a command that signs, and nothing that no node would?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use preconf_core::{
    B256, DEFAULT_DOMAIN, PreconfCommitment, Preconfirmation, SecretKey, SignedCommitment, U256, address_of, keccak256, sign,
};
use serde_json::{Value, json};

/// Longer than anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
const TXLIST: &[u8] = b"opaque bytes of a transaction list";

fn preconf(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preconf")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A directory of the test's own, empty at its start.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("sign-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A preconfer's key, in a file of its own.
fn key(folder: &std::path::Path, secret: u8) -> (String, SecretKey) {
    let path = folder.join(format!("{secret}.key"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(&path).unwrap(), "{}", format!("{secret:02x}").repeat(32)).unwrap();
    (path.to_str().unwrap().to_owned(), SecretKey::from_secret_bytes([secret; 32]).unwrap())
}

/// Errors name what is wrong and what is allowed; nothing is printed that could be published.
fn refuses(args: &[&str], code: i32, parts: &[&str]) {
    let output = preconf(args);
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(code), String::new()), "{error}");
    parts.iter().for_each(|part| assert!(error.contains(part), "no {part:?} in: {error}"));
}

/// `preconf run` with commands from stdin.
struct Node {
    child: Child,
    lines: Receiver<String>,
}

impl Node {
    fn start(schedule: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_preconf"))
            .args([
                "run",
                "--chain-id",
                "7",
                "--listen",
                "/ip4/127.0.0.1/tcp/0",
                "--schedule",
                schedule,
                "--ephemeral",
                "--publish-from-stdin",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        lines.recv_timeout(LIMIT).expect("its address");
        Self { child, lines }
    }

    fn tell(&mut self, command: &Value) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
    }

    fn event(&self, name: &str) -> Value {
        loop {
            let line: Value = serde_json::from_str(&self.lines.recv_timeout(LIMIT).expect("a line in time")).unwrap();
            assert_eq!(line["error"], Value::Null, "{line}");
            if line["event"] == name {
                return line;
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_chain_is_made_by_hand_without_a_line_of_code() {
    // P4.1, P4.2, C3, C9, C10
    let folder = directory("chain");
    let (file, secret) = key(&folder, 7);
    let (start, end) = (now() - 100, now() + 3_600);
    let (schedule, txlist) = (folder.join("schedule.json"), folder.join("txlist.bin"));
    fs::write(&schedule, json!([{"start": start, "end": end, "preconfer": address_of(&secret).to_string()}]).to_string()).unwrap();
    fs::write(&txlist, TXLIST).unwrap();
    let end = end.to_string();
    let signed = |number: u64, parent: &str, more: &[&str]| -> Value {
        let (number, time) = (number.to_string(), (start + number).to_string());
        let args = ["sign", "--key", &file, "--block-number", &number, "--parent", parent, "--window-end", &end, "--timestamp", &time];
        let output = preconf(&[&args[..], &["--json"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("exactly one object")
    };
    let first = signed(1, "none", &["--txlist", txlist.to_str().unwrap()]);
    assert_eq!(first["txlist_hash"], keccak256(TXLIST).to_string());
    let second = signed(2, first["hash"].as_str().unwrap(), &["--txlist-hex", &hex::encode(TXLIST)]);
    let third = signed(3, second["hash"].as_str().unwrap(), &["--eop"]);
    assert_eq!((&third["txlist"], &third["txlist_hash"]), (&Value::Null, &Value::Null));

    let mut node = Node::start(schedule.to_str().unwrap());
    for block in [&first, &second, &third] {
        assert_eq!(block["signer"], address_of(&secret).to_string());
        node.tell(&match &block["txlist"] {
            Value::Null => json!({"id": 1, "command": "publish_commitment", "ssz": block["ssz"]}),
            txlist => json!({"id": 1, "command": "publish_block", "ssz": block["ssz"], "txlist": txlist}),
        });
        assert_eq!(node.event("block_ready")["commitment"]["hash"], block["hash"]);
    }
}

#[test]
fn every_field_is_what_its_flag_says_and_the_plain_output_is_the_ssz_alone() {
    let folder = directory("fields");
    let (file, secret) = key(&folder, 7);
    let domain = "44".repeat(32);
    let [parent, coinbase, slasher, prover] =
        [("aa", 32), ("bb", 20), ("cc", 20), ("dd", 20)].map(|(byte, len): (&str, _)| byte.repeat(len));
    let args = ["sign", "--key", &file, "--domain", &domain, "--block-number", "9", "--parent", &parent, "--window-end", "2000"];
    let numbers =
        ["--timestamp", "1999", "--eop", "--gas-limit", "5", "--anchor-block", "6", "--proposal-id", "8", "--txlist-hex", "0x0102"];
    let addresses = ["--coinbase", &coinbase, "--slasher", &slasher, "--prover-auth", &prover];
    let output = preconf(&[&args[..], &numbers, &addresses].concat());
    let promised = Preconfirmation {
        eop: true,
        block_number: U256::from(9),
        timestamp: U256::from(1999),
        gas_limit: U256::from(5),
        coinbase: [0xbb; 20].into(),
        anchor_block_number: U256::from(6),
        raw_tx_list_hash: keccak256([1, 2]),
        parent_preconfirmation_hash: B256::repeat_byte(0xaa),
        submission_window_end: U256::from(2000),
        prover_auth: [0xdd; 20].into(),
        proposal_id: U256::from(8),
    };
    let expected = sign(PreconfCommitment { preconf: promised, slasher_address: [0xcc; 20].into() }, &secret, B256::repeat_byte(0x44));
    assert_eq!(text(&output.stdout), format!("0x{}\n", hex::encode(expected.as_bytes())));
    assert_eq!(text(&output.stderr), "", "the domain is the chain's own");
    let warned = preconf(&["sign", "--key", &file, "--block-number", "9", "--parent", "none", "--window-end", "9999999999", "--eop"]);
    assert!(warned.status.success() && text(&warned.stderr).contains("placeholder"), "{}", text(&warned.stderr));
}

#[test]
fn what_no_node_would_take_is_not_signed_and_the_flag_is_named() {
    let folder = directory("refused");
    let (file, _) = key(&folder, 7);
    let block = ["--block-number", "1", "--parent", "none", "--window-end", "2000", "--timestamp", "1999"];
    let with = |more: &[&'static str]| [&block[..], more].concat();
    let refuses = |more: &[&str], parts: &[&str]| refuses(&[&["sign", "--key", file.as_str()], more].concat(), 2, parts);
    refuses(&with(&[]), &["--txlist", "--txlist-hex", "--eop", "C3"]);
    refuses(&with(&["--txlist-hex", ""]), &["--txlist-hex gives 0 bytes", "allowed are 1 to 2097152"]);
    refuses(&with(&["--txlist-hex", "zz"]), &["'zz'", "--txlist-hex", "not hex digits"]);
    refuses(&with(&["--eop", "--slasher", "0x01"]), &["'0x01'", "--slasher", "1 bytes where 20 are expected"]);
    refuses(&with(&["--eop", "--signer-command", "true"]), &["--key", "cannot be used with"]);
    let long = folder.join("long.bin");
    fs::write(&long, vec![1; (2 << 20) + 1]).unwrap();
    refuses(
        &[&block[..], &["--txlist", long.to_str().unwrap()]].concat(),
        &["--txlist gives at least 2097153 bytes", "allowed are 1 to 2097152"],
    );
    let late = ["--block-number", "1", "--parent", "none", "--window-end", "2000", "--timestamp", "2001", "--eop"];
    refuses(&late, &["--timestamp = 2001", "--window-end = 2000", "C6"]);
    let no_number = ["--block-number", "0", "--parent", "none", "--window-end", "2000", "--eop"];
    refuses(&no_number, &["'0'", "--block-number", "1.."]);
    let no_parent = ["--block-number", "1", "--window-end", "2000", "--eop"];
    refuses(&no_parent, &["--parent <HASH|none>"]);
}

#[test]
fn nobody_signs_without_a_key_or_a_command() {
    let block = ["--block-number", "1", "--parent", "none", "--window-end", "2000", "--timestamp", "1999", "--eop"];
    refuses(&[&["sign"], &block[..]].concat(), 2, &["--key <FILE>|--signer-command <COMMAND>"]);
    refuses(&[&["sign", "--signer-command", "true"], &block[..]].concat(), 2, &["--signer <ADDRESS>"]);
    refuses(&[&["sign", "--key", "no such file"], &block[..]].concat(), 1, &["no such file", "preconf key new"]);
    let missing =
        ["sign", "--key", "x", "--block-number", "1", "--parent", "none", "--window-end", "9999999999", "--txlist", "no such list"];
    refuses(&missing, 1, &["--txlist = no such list"]);
}

#[cfg(unix)]
#[test]
fn a_command_signs_and_what_it_answers_is_checked() {
    let (secret, other) = (SecretKey::from_secret_bytes([7; 32]).unwrap(), SecretKey::from_secret_bytes([8; 32]).unwrap());
    let address = address_of(&secret).to_string();
    let commitment = PreconfCommitment {
        preconf: Preconfirmation {
            eop: true,
            block_number: U256::from(1),
            timestamp: U256::from(1999),
            gas_limit: U256::from(30_000_000),
            coinbase: address_of(&secret),
            submission_window_end: U256::from(2000),
            ..Preconfirmation::default()
        },
        ..PreconfCommitment::default()
    };
    let signed = |key| sign(commitment.clone(), key, DEFAULT_DOMAIN);
    let answer = |signed: &SignedCommitment| hex::encode(signed.signature());
    let folder = directory("command");
    let question = folder.join("question.json");
    let block =
        ["--block-number", "1", "--parent", "none", "--window-end", "2000", "--timestamp", "1999", "--eop", "--signer-timeout", "2"];
    let args = |command: &str| -> Vec<String> {
        let who = ["--log", "off", "sign", "--signer", &address, "--signer-command", command];
        [&who[..], &block].concat().into_iter().map(str::to_owned).collect()
    };
    let run = |command: &str| preconf(&args(command).iter().map(String::as_str).collect::<Vec<_>>());
    let refuses = |command: &str, parts: &[&str]| refuses(&args(command).iter().map(String::as_str).collect::<Vec<_>>(), 1, parts);

    let output = run(&format!("cat > '{}'; echo 0x{}", question.display(), answer(&signed(&secret))));
    assert_eq!(text(&output.stdout), format!("0x{}\n", hex::encode(signed(&secret).as_bytes())), "{}", text(&output.stderr));
    let asked: Value = serde_json::from_str(&fs::read_to_string(&question).unwrap()).expect("one line of JSON");
    assert_eq!(asked["hash"], preconf_core::signing_hash(&signed(&secret), DEFAULT_DOMAIN).to_string());
    assert_eq!((&asked["signer"], &asked["domain"]), (&json!(address), &json!(DEFAULT_DOMAIN.to_string())));
    let told = &asked["commitment"];
    assert_eq!((&told["block_number"], &told["eop"], &told["submission_window_end"]), (&json!(1), &json!(true), &json!(2000)), "{told}");

    // P4.3, P4.4
    refuses(&format!("echo {}", answer(&signed(&other))), &[&address, "is not of", &address_of(&other).to_string()]);
    let mut high = *signed(&secret).signature();
    high[32] = 0xf0; // any s above half the order
    refuses(&format!("echo {}", hex::encode(high)), &["high s", "P4.4"]);
    refuses("echo 0x11", &["1 bytes where 65 are expected", "r ‖ s ‖ v"]);
    refuses("echo out of office >&2; exit 3", &["out of office", "exit status: 3"]);
    refuses("exec sleep 600", &["within 2s", "--signer-timeout"]);
}
