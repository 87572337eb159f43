//! A node starts on a store that is full: what it then has to say is more than may wait to be read (P6.9).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::fs;
use std::future::poll_fn;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use preconf_core::{
    Accepted, B256, Bytes, ChainId, DEFAULT_DOMAIN, PersistId, PreconfCommitment, Preconfirmation, Record, SecretKey, U256, address_of,
    keccak256, preconfirmation_hash, sign,
};
use preconf_store::{Options, RedbStore, Store};
use serde_json::{Value, json};

/// As many as are kept (P10.1).
const BLOCKS: u64 = 3_840;

#[test]
fn p6_9_a_node_starts_on_a_full_store_and_tells_every_block_of_it() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("full-store-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let (key, now) = (SecretKey::from_secret_bytes([7; 32]).unwrap(), UNIX_EPOCH.elapsed().unwrap().as_secs());
    let (signer, start, end) = (address_of(&key), now - 10, now + 1_000_000);
    let (data, schedule) = (folder.join("data"), folder.join("schedule.json"));
    let (store, _) = RedbStore::open(&data, &Options::new(ChainId(7), DEFAULT_DOMAIN)).unwrap();
    fs::write(&schedule, json!([{"start": start, "end": end, "preconfer": signer.to_string()}]).to_string()).unwrap();

    // T6: one list, many blocks.
    let txlist = Bytes::from_static(b"the same transactions");
    let (mut parent, mut records) = (B256::ZERO, vec![Record::TxList { hash: keccak256(&txlist), txlist: txlist.clone() }]);
    for number in 1..=BLOCKS {
        let preconf = Preconfirmation {
            block_number: U256::from(number),
            timestamp: U256::from(start + number),
            gas_limit: U256::from(30_000_000),
            raw_tx_list_hash: keccak256(&txlist),
            parent_preconfirmation_hash: parent,
            submission_window_end: U256::from(end),
            ..Preconfirmation::default()
        };
        let signed = sign(PreconfCommitment { preconf, ..PreconfCommitment::default() }, &key, DEFAULT_DOMAIN);
        parent = preconfirmation_hash(&signed);
        records.push(Record::Commitment(Arc::new(Accepted::of(signed, signer).unwrap())));
    }
    futures::executor::block_on(async {
        let mut store = Box::new(store);
        let count = records.len();
        records.into_iter().zip(1..).for_each(|(record, id)| store.persist(PersistId(id), record));
        for _ in 0..count {
            assert_eq!(poll_fn(|context| store.poll_done(context)).await.result, Ok(()));
        }
        store.close().await;
    });

    let args = ["run", "--chain-id", "7", "--listen", "/ip4/127.0.0.1/tcp/0", "--sync-tip", "0"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_preconf"));
    command.args(args).arg("--schedule").arg(&schedule).arg("--data-dir").arg(&data);
    let mut node = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.next().expect("it starts").starts_with("/ip4/127.0.0.1/tcp/"));
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    let ready = lines.filter(|line| line["event"] == "block_ready").map(|line| line["commitment"]["block_number"].as_u64().unwrap());
    assert!(ready.take(BLOCKS as usize).eq(1..=BLOCKS), "each once, in order");
    node.kill().unwrap();
    node.wait().unwrap();
    fs::remove_dir_all(&folder).unwrap();
}
