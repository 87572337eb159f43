//! What does a node remember across restarts?
//!
//! One file, `records.json`, in a directory of the node's own: what it committed to (P5.9), how its peers stand (P7.7), which nodes are of use
//! (P8.9). It is written as a whole beside its place and then moved there, so a crash leaves either the old one or the new one. A file that
//! makes no sense is put aside, not overwritten: it may tell what went wrong.
//!
//! Bounded like the machine's own tables: what falls off is the lowest block, or the node that was of use longest ago.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use preconf_core::{B256, ChainId, ChainLabel, KnownNode, NodeRecord, PeerId, Record, UnixTime};
use preconf_tokio::NetworkEvent;
use serde::{Deserialize, Serialize};

use crate::hexes;

const FILE: &str = "records.json";
/// Commitments that are kept, as many as a machine remembers. Source: P10.1.
const MAX_COMMITTED: usize = 3840;
/// Peers that are kept. Source: P7.6.
const MAX_PEERS: usize = 4096;
/// Nodes of use that are kept. Source: P8.8.
const MAX_KNOWN: usize = 1024;

/// Why nothing can be remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The directory or the file.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// The store of a node that has one.
#[derive(Debug)]
pub(super) struct Memory(Option<Store>);

impl Memory {
    /// Opens the directory, if one is named, and gives what an earlier life of the node left in it.
    pub(super) fn open(directory: Option<&Path>) -> Result<(Self, Vec<Record>), StoreError> {
        let Some(directory) = directory else { return Ok((Self(None), Vec::new())) };
        let (store, records) = Store::open(directory)?;
        Ok((Self(Some(store)), records))
    }

    /// Keeps what must outlive the process. A commitment of ours is written before anything else is told (P5.9).
    pub(super) fn persist(&mut self, event: &NetworkEvent) -> Result<(), StoreError> {
        if let (NetworkEvent::Persist(record), Some(store)) = (event, &mut self.0) {
            store.put(record);
            if matches!(record, Record::Committed { .. }) {
                store.save()?;
            }
        }
        Ok(())
    }

    /// Writes what the file does not say yet.
    pub(super) fn save(&mut self) -> Result<(), StoreError> {
        self.0.as_mut().filter(|store| store.is_new).map_or(Ok(()), Store::save)
    }
}

/// The records of one node.
#[derive(Debug)]
struct Store {
    path: PathBuf,
    committed: BTreeMap<u64, B256>,
    peers: BTreeMap<PeerId, PeerForm>,
    known: BTreeMap<PeerId, KnownForm>,
    /// Is there something that the file does not say yet?
    is_new: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    committed: Vec<CommittedForm>,
    peers: Vec<PeerForm>,
    known: Vec<KnownForm>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommittedForm {
    block_number: u64,
    hash: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerForm {
    peer: String,
    score: i64,
    as_of_micros: u64,
    ban_ends_micros: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownForm {
    peer: String,
    sequence: u64,
    /// `None` for a record without a label.
    chain_id: Option<u64>,
    addresses: Vec<String>,
    record: String,
    last_success_micros: u64,
}

impl Store {
    /// Opens a directory, makes it if it is not there, and gives what an earlier life of the node left in it.
    fn open(directory: &Path) -> Result<(Self, Vec<Record>), StoreError> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { what, path, error }
        };
        fs::create_dir_all(directory).map_err(io("make", directory))?;
        let path = directory.join(FILE);
        let mut store =
            Self { path: path.clone(), committed: BTreeMap::new(), peers: BTreeMap::new(), known: BTreeMap::new(), is_new: false };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((store, Vec::new())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(io("read", &path)(error)),
        };
        match read(&text) {
            Ok(records) => {
                records.iter().for_each(|record| store.put(record));
                store.is_new = false;
                Ok((store, records))
            }
            Err(error) => {
                let aside = directory.join(format!("{FILE}.corrupt"));
                fs::rename(&path, &aside).map_err(io("put aside", &path))?;
                let (path, aside) = (path.display(), aside.display());
                tracing::warn!(%path, %aside, error, "the node's records make no sense; they are put aside, and it starts without");
                Ok((store, Vec::new()))
            }
        }
    }

    /// Takes a record in.
    fn put(&mut self, record: &Record) {
        self.is_new = true;
        match record {
            Record::Committed { block_number, hash } => drop(self.committed.insert(*block_number, *hash)),
            // P7.7: a score of 0 without a ban need not be kept.
            Record::Peer { peer, score: 0, ban_ends: None, .. } => drop(self.peers.remove(peer)),
            Record::Peer { peer, score, as_of, ban_ends } => {
                let form =
                    PeerForm { peer: peer.to_string(), score: *score, as_of_micros: as_of.0, ban_ends_micros: ban_ends.map(|ends| ends.0) };
                self.peers.insert(*peer, form);
            }
            Record::Known(node) => drop(self.known.insert(node.record.peer, known_form(node))),
        }
        while self.committed.len() > MAX_COMMITTED {
            self.committed.pop_first();
        }
        drop_oldest(&mut self.peers, MAX_PEERS, |form| form.as_of_micros);
        drop_oldest(&mut self.known, MAX_KNOWN, |form| form.last_success_micros);
    }

    /// Writes everything, so that a crash at any moment leaves a whole file.
    fn save(&mut self) -> Result<(), StoreError> {
        let form = FileForm {
            committed: self
                .committed
                .iter()
                .map(|(number, hash)| CommittedForm { block_number: *number, hash: hash.to_string() })
                .collect(),
            peers: self.peers.values().cloned().collect(),
            known: self.known.values().cloned().collect(),
        };
        let text = serde_json::to_string_pretty(&form).expect("strings and numbers are JSON");
        write(&self.path, &text).map_err(|error| StoreError::Io { what: "write", path: self.path.clone(), error })?;
        self.is_new = false;
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?; // or the move could reach the disk before the bytes do
    fs::rename(&beside, path)
}

fn drop_oldest<T>(forms: &mut BTreeMap<PeerId, T>, max: usize, age: impl Fn(&T) -> u64) {
    while forms.len() > max {
        let oldest = forms.iter().min_by_key(|(_, form)| age(form)).map(|(peer, _)| *peer);
        oldest.and_then(|peer| forms.remove(&peer));
    }
}

fn known_form(node: &KnownNode) -> KnownForm {
    let KnownNode { record, last_success } = node;
    KnownForm {
        peer: record.peer.to_string(),
        sequence: record.sequence,
        chain_id: if let ChainLabel::Chain(chain) = record.chain { Some(chain.0) } else { None },
        addresses: record.addresses.clone(),
        record: record.text.clone(),
        last_success_micros: last_success.0,
    }
}

fn read(text: &str) -> Result<Vec<Record>, String> {
    let FileForm { committed, peers, known } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let peer = |text: &str| text.parse::<PeerId>().map_err(|error| format!("{text:?}: {error}"));
    let mut records = Vec::with_capacity(committed.len() + peers.len() + known.len());
    for CommittedForm { block_number, hash } in committed {
        let hash = hexes::hash(&hash).map_err(|error| format!("block {block_number}: {error}"))?;
        records.push(Record::Committed { block_number, hash });
    }
    for form in peers {
        let (as_of, ban_ends) = (UnixTime(form.as_of_micros), form.ban_ends_micros.map(UnixTime));
        records.push(Record::Peer { peer: peer(&form.peer)?, score: form.score, as_of, ban_ends });
    }
    for form in known {
        let record = NodeRecord {
            peer: peer(&form.peer)?,
            sequence: form.sequence,
            chain: form.chain_id.map_or(ChainLabel::Missing, |chain| ChainLabel::Chain(ChainId(chain))),
            addresses: form.addresses,
            text: form.record,
        };
        records.push(Record::Known(Box::new(KnownNode { record, last_success: UnixTime(form.last_success_micros) })));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("preconf-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn peer(name: u8) -> PeerId {
        PeerId::from_bytes(&[0, 1, name]).expect("three bytes")
    }

    fn all() -> Vec<Record> {
        let record = NodeRecord {
            peer: peer(2),
            sequence: 7,
            chain: ChainLabel::Chain(ChainId(1)),
            addresses: vec!["/ip4/203.0.113.1/tcp/1".to_owned()],
            text: "enr:-x".to_owned(),
        };
        vec![
            Record::Committed { block_number: 9, hash: B256::repeat_byte(9) },
            Record::Peer { peer: peer(1), score: -6_000_000, as_of: UnixTime(3), ban_ends: Some(UnixTime(4)) },
            Record::Known(Box::new(KnownNode { record, last_success: UnixTime(5) })),
        ]
    }

    #[test]
    fn every_kind_of_record_comes_back() {
        // P5.9, P7.7, P8.9
        let directory = directory("back");
        let (mut store, none) = Store::open(&directory).expect("a directory");
        assert_eq!(none, []);
        all().iter().for_each(|record| store.put(record));
        assert!(store.is_new);
        store.save().expect("written");
        let (store, records) = Store::open(&directory).expect("a directory");
        assert_eq!(records, all());
        assert!(!store.is_new);
        fs::remove_dir_all(&directory).expect("ours");
    }

    #[test]
    fn a_corrupt_file_is_put_aside_and_the_node_starts_without_it() {
        let directory = directory("corrupt");
        fs::create_dir_all(&directory).expect("a directory");
        for text in ["", "{", r#"{"committed": [], "peers": [], "known": [], "more": 1}"#] {
            fs::write(directory.join(FILE), text).expect("written");
            let (_, records) = Store::open(&directory).expect("a directory");
            assert_eq!(records, []);
            assert!(!directory.join(FILE).exists());
            assert_eq!(fs::read_to_string(directory.join("records.json.corrupt")).expect("kept"), text);
        }
        fs::remove_dir_all(&directory).expect("ours");
    }

    #[test]
    fn the_newest_records_stay_within_the_bounds() {
        let (mut store, _) = Store::open(&directory("bounds")).expect("a directory");
        for block_number in 0..MAX_COMMITTED as u64 + 10 {
            store.put(&Record::Committed { block_number, hash: B256::ZERO });
        }
        assert_eq!((store.committed.len(), store.committed.first_key_value().map(|(number, _)| *number)), (MAX_COMMITTED, Some(10)));
        store.put(&all()[1]);
        store.put(&Record::Peer { peer: peer(1), score: 0, as_of: UnixTime(9), ban_ends: None });
        assert!(store.peers.is_empty(), "a clean name need not be kept");
    }
}
