//! A disk that is gone, full or read-only, from the start or later (P10.4).

use std::cell::Cell;
use std::fs;
use std::process::{Command, Stdio};

use preconf_core::{B256, Bytes};
use serde_json::json;

use crate::scene::*;

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
