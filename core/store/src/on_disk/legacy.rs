//! What did versions before this package leave?
//!
//! They kept all their records in one text file, `records.json`. Its peers and nodes of use are taken over, once; then the file is given
//! another name. What it says of our own commitments names no windows, so it is only told.

use std::io;
use std::sync::Arc;

use preconf_core::{B256, ChainId, ChainLabel, KnownNode, NodeRecord, PeerId, Record, UnixTime};
use serde::Deserialize;
use serde_json::Value;

use super::chain;
use super::database::Live;
use super::disk::DiskFile;
use super::error::OpenError;
use super::open::{Directory, disk_failed};
use super::report::Legacy;
use crate::key::Key;
use crate::limits::Limits;

const FILE: &str = "records.json";
const TAKEN: &str = "records.json.imported";
/// Longest file that is read. Ours: it held at most 3840 commitments, 4096 peers and 1024 nodes.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
struct CommittedForm {
    block_number: u64,
    hash: B256,
}

#[derive(Deserialize)]
struct PeerForm {
    peer: String,
    score: i64,
    as_of_micros: u64,
    ban_ends_micros: Option<u64>,
}

#[derive(Deserialize)]
struct KnownForm {
    peer: String,
    sequence: u64,
    chain_id: Option<u64>,
    addresses: Vec<String>,
    record: String,
    last_success_micros: u64,
}

/// Takes over what is of use, unless something newer of its kind is there, and says what it found.
pub(crate) fn take_over(
    directory: &Directory,
    chain: &mut Live,
    others: &mut Vec<Record>,
    limits: &Limits,
) -> Result<Option<Legacy>, OpenError> {
    let (path, aside) = (directory.dir.join(FILE), directory.dir.join(TAKEN));
    let text = match directory.disk.open(&path).and_then(|file| read(&file)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(disk_failed("read", &path))?,
    };
    let mut legacy = Legacy { aside: aside.clone(), ..Legacy::default() };
    let held: Vec<Key> = others.iter().map(Key::of).collect();
    let mut records = parse(&text, &mut legacy);
    records.retain(|record| !held.contains(&Key::of(record)));
    let now = directory.disk.now();
    chain
        .write(|transaction| chain::write(transaction, records.iter(), now, limits))
        .map_err(|failure| disk_failed("take over the records of", &path)(io::Error::other(failure)))?;
    others.append(&mut records);
    directory.disk.rename(&path, &aside).map_err(disk_failed("move aside", &path))?;
    directory.disk.sync_dir(&directory.dir).map_err(disk_failed("sync", &directory.dir))?;
    Ok(Some(legacy))
}

fn read(file: &Arc<dyn DiskFile>) -> io::Result<Vec<u8>> {
    let mut text = vec![0; file.len()?.min(MAX_BYTES) as usize];
    file.read_at(0, &mut text)?;
    Ok(text)
}

fn parse(text: &[u8], legacy: &mut Legacy) -> Vec<Record> {
    let form: Value = serde_json::from_slice(text).unwrap_or(Value::Null);
    legacy.unreadable += usize::from(!form.is_object());
    let mut records = Vec::new();
    for entry in entries(&form, "committed") {
        match serde_json::from_value::<CommittedForm>(entry) {
            Ok(CommittedForm { block_number, hash }) => legacy.committed.push((block_number, hash)),
            Err(_) => legacy.unreadable += 1,
        }
    }
    for entry in entries(&form, "peers") {
        let peer = serde_json::from_value(entry).ok().and_then(peer);
        legacy.peers += usize::from(peer.is_some());
        legacy.unreadable += usize::from(peer.is_none());
        records.extend(peer);
    }
    for entry in entries(&form, "known") {
        let node = serde_json::from_value(entry).ok().and_then(known);
        legacy.known += usize::from(node.is_some());
        legacy.unreadable += usize::from(node.is_none());
        records.extend(node);
    }
    records
}

fn entries(form: &Value, name: &str) -> impl Iterator<Item = Value> {
    form.get(name).and_then(Value::as_array).cloned().unwrap_or_default().into_iter()
}

fn peer(form: PeerForm) -> Option<Record> {
    let (peer, as_of, ban_ends) = (form.peer.parse().ok()?, UnixTime(form.as_of_micros), form.ban_ends_micros.map(UnixTime));
    Some(Record::Peer { peer, score: form.score, as_of, ban_ends })
}

fn known(form: KnownForm) -> Option<Record> {
    let KnownForm { peer, sequence, chain_id, addresses, record: text, last_success_micros } = form;
    let peer: PeerId = peer.parse().ok()?;
    let chain = chain_id.map_or(ChainLabel::Missing, |chain| ChainLabel::Chain(ChainId(chain)));
    let record = NodeRecord { peer, sequence, chain, addresses, text };
    Some(Record::Known(Box::new(KnownNode { record, last_success: UnixTime(last_success_micros) })))
}
