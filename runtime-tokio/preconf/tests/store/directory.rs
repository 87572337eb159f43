//! Whose directory is it, what is in it, and what of it is damaged (P5.9, P5.9a, P5.9c)?

use std::fs;
use std::path::Path;

use preconf_core::B256;
use serde_json::{Value, json};

use crate::scene::*;

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
