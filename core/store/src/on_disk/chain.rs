//! `chain.redb`: all that could be learned again, if need be, and bans.
//!
//! | table           | key               | value                                                    |
//! |-----------------|-------------------|----------------------------------------------------------|
//! | `meta`          | `identity`, `sizes` | whose file it is; bytes of txlists and of evidence     |
//! | `state`         | `schedule`, `tip` | the one that stands                                      |
//! | `chain`         | block number      | a commitment of the chain                                |
//! | `txlists`       | hash              | its bytes                                                |
//! | `txlist_ages`   | count             | which txlist came then, and its length                   |
//! | `evidence`      | count             | which evidence came then                                 |
//! | `evidence_keys` | its hash          | where it stands in `evidence`                            |
//! | `peers`         | peer id           | how it stands (P7.7)                                     |
//! | `known`         | peer id           | a node of use (P8.9)                                     |
//!
//! Invariant: `txlists` and `txlist_ages` name the same lists, `evidence` and `evidence_keys` the same evidence, and `sizes` is their sum.

use std::collections::BTreeMap;
use std::sync::Arc;

use preconf_core::{Accepted, B256, Bytes, Evidence, KnownNode, PeerId, Record, SyncTip, UnixTime, Window};
use redb::{ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::identity::{Identity, Label, META};
use super::report::{Flaw, Flaws};
use super::rows::{Rows, scan};
use super::seal::{self, Signed};
use crate::key::{Key, is_clean_peer};
use crate::limits::Limits;

pub(crate) const FILE: &str = "chain.redb";

const STATE: &str = "state";
const CHAIN: &str = "chain";
const TXLISTS: &str = "txlists";
const AGES: &str = "txlist_ages";
const EVIDENCE: &str = "evidence";
const EVIDENCE_KEYS: &str = "evidence_keys";
const PEERS: &str = "peers";
const KNOWN: &str = "known";
const SIZES: &[u8] = b"sizes";
const SCHEDULE: &[u8] = b"schedule";
const TIP: &[u8] = b"tip";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sizes {
    txlists: u64,
    evidence: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Standing {
    score: i64,
    as_of: UnixTime,
    ban_ends: Option<UnixTime>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    pub(crate) label: Option<Label>,
    /// In the order in which a restart is given them.
    pub(crate) records: Vec<Record>,
}

/// Reads all that is readable.
pub(crate) fn read(transaction: &ReadTransaction, flaws: &mut Flaws) -> Chain {
    let label = Label::read(transaction, flaws);
    let mut records = Vec::new();
    if let Some(Label::Foreign { .. }) = label {
        return Chain { label, records };
    }
    let (mut schedule, mut tip) = (None, None);
    scan(transaction, STATE, flaws, |key, value, _| {
        match key {
            SCHEDULE => schedule = Some(seal::decode::<Vec<Window>>(value).ok_or("it is no schedule")?),
            TIP => tip = Some(seal::decode::<SyncTip>(value).ok_or("it is no sync tip")?),
            _ => return Err("it is nothing that we wrote"),
        }
        Ok(())
    });
    records.extend(schedule.map(Record::Schedule));
    records.extend(tip.map(Record::SyncTip));
    scan(transaction, CHAIN, flaws, |key, value, _| {
        let Signed { signer, signed } = seal::decode(value).ok_or("it is no commitment")?;
        let accepted = Accepted::of(signed, signer).ok_or("it was never accepted")?;
        if key != accepted.block_number.to_be_bytes() {
            return Err("it is another commitment");
        }
        records.push(Record::Commitment(Arc::new(accepted)));
        Ok(())
    });
    let mut sizes = Sizes { txlists: read_txlists(transaction, flaws, &mut records), evidence: 0 };
    scan(transaction, EVIDENCE, flaws, |_, value, _| {
        sizes.evidence += value.len() as u64;
        let (evidence, signer) = seal::decode::<(Evidence, _)>(value).ok_or("it is no evidence")?;
        records.push(Record::Evidence { evidence: Box::new(evidence), signer });
        Ok(())
    });
    scan(transaction, PEERS, flaws, |key, value, _| {
        let peer = PeerId::from_bytes(key).ok_or("its key is no peer id")?;
        let Standing { score, as_of, ban_ends } = seal::decode(value).ok_or("it is no standing")?;
        records.push(Record::Peer { peer, score, as_of, ban_ends });
        Ok(())
    });
    scan(transaction, KNOWN, flaws, |key, value, _| {
        let node: KnownNode = seal::decode(value).ok_or("it is no node")?;
        if node.record.peer.as_bytes() != key {
            return Err("it is another node");
        }
        records.push(Record::Known(Box::new(node)));
        Ok(())
    });
    let mut written = None;
    scan(transaction, META, &mut Flaws::default(), |key, value, _| {
        if key == SIZES {
            written = seal::decode(value);
        }
        Ok(())
    });
    if written != Some(sizes) {
        flaws.push(Flaw::table(META, format!("its sizes are {written:?}, and what is readable has {sizes:?}")));
    }
    Chain { label, records }
}

/// Reads txlists, oldest first, and tells their bytes.
fn read_txlists(transaction: &ReadTransaction, flaws: &mut Flaws, records: &mut Vec<Record>) -> u64 {
    let (mut lists, mut bytes) = (BTreeMap::new(), 0);
    scan(transaction, TXLISTS, flaws, |key, value, _| {
        bytes += value.len() as u64;
        let hash = B256::try_from(key).map_err(|_| "its key is no hash")?;
        lists.insert(hash, Bytes::copy_from_slice(value));
        Ok(())
    });
    scan(transaction, AGES, flaws, |_, value, _| {
        let (hash, _): (B256, u64) = seal::decode(value).ok_or("it names no txlist")?;
        let txlist = lists.remove(&hash).ok_or("its txlist is missing")?;
        records.push(Record::TxList { hash, txlist });
        Ok(())
    });
    for (hash, txlist) in lists {
        flaws.push(Flaw::row(TXLISTS, hash.as_slice(), "nothing says how old it is"));
        records.push(Record::TxList { hash, txlist });
    }
    bytes
}

/// Begins a file with these records.
pub(crate) fn begin<'a>(
    transaction: &WriteTransaction,
    identity: &Identity,
    records: impl Iterator<Item = &'a Record>,
    now: UnixTime,
    limits: &Limits,
) -> Result<(), redb::Error> {
    identity.write(transaction)?;
    Rows::open(transaction, META)?.put(SIZES, &seal::encode(&Sizes::default()))?;
    write(transaction, records, now, limits)
}

/// Writes records, oldest first, and forgets what is over the bounds.
pub(crate) fn write<'a>(
    transaction: &WriteTransaction,
    records: impl Iterator<Item = &'a Record>,
    now: UnixTime,
    limits: &Limits,
) -> Result<(), redb::Error> {
    let mut tables = Tables::open(transaction)?;
    for record in records {
        tables.put(record)?;
    }
    tables.trim(now, limits)?;
    tables.meta.put(SIZES, &seal::encode(&tables.sizes)).map(drop)
}

struct Tables<'t> {
    meta: Rows<'t>,
    state: Rows<'t>,
    chain: Rows<'t>,
    txlists: Rows<'t>,
    ages: Rows<'t>,
    evidence: Rows<'t>,
    evidence_keys: Rows<'t>,
    peers: Rows<'t>,
    known: Rows<'t>,
    sizes: Sizes,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        let open = |name| Rows::open(transaction, name);
        let meta = open(META)?;
        let sizes = meta.get(SIZES)?.and_then(|(sizes, _)| seal::decode(&sizes));
        Ok(Self {
            sizes: sizes.ok_or_else(|| redb::Error::Corrupted("the sizes are missing".to_owned()))?,
            meta,
            state: open(STATE)?,
            chain: open(CHAIN)?,
            txlists: open(TXLISTS)?,
            ages: open(AGES)?,
            evidence: open(EVIDENCE)?,
            evidence_keys: open(EVIDENCE_KEYS)?,
            peers: open(PEERS)?,
            known: open(KNOWN)?,
        })
    }

    fn put(&mut self, record: &Record) -> Result<(), redb::Error> {
        match record {
            Record::Began { .. } | Record::Committed(_) => {} // the other file's
            Record::Schedule(windows) => drop(self.state.put(SCHEDULE, &seal::encode(windows))?),
            Record::SyncTip(tip) => drop(self.state.put(TIP, &seal::encode(tip))?),
            Record::Commitment(accepted) => {
                let signed = Signed { signer: accepted.signer, signed: accepted.signed.clone() };
                self.chain.put(&accepted.block_number.to_be_bytes(), &seal::encode(&signed))?;
            }
            Record::ChainDropped { from } => {
                while let Some(key) = self.chain.last_key()?.filter(|key| key.as_slice() >= &from.to_be_bytes()[..]) {
                    self.chain.remove(&key)?;
                }
            }
            Record::TxList { hash, txlist } => self.put_txlist(*hash, txlist)?,
            Record::Evidence { evidence, signer } => self.put_evidence(record, &seal::encode(&(evidence, signer)))?,
            Record::Peer { peer, .. } if is_clean_peer(record) => drop(self.peers.remove(peer.as_bytes())?),
            Record::Peer { peer, score, as_of, ban_ends } => {
                let standing = Standing { score: *score, as_of: *as_of, ban_ends: *ban_ends };
                self.peers.put(peer.as_bytes(), &seal::encode(&standing))?;
            }
            Record::Known(node) => drop(self.known.put(node.record.peer.as_bytes(), &seal::encode(node))?),
        }
        Ok(())
    }

    fn put_txlist(&mut self, hash: B256, txlist: &Bytes) -> Result<(), redb::Error> {
        if !self.txlists.contains(hash.as_slice())? {
            let len = txlist.len() as u64;
            self.ages.put(&next(&self.ages)?, &seal::encode(&(hash, len)))?;
            self.txlists.put(hash.as_slice(), txlist)?;
            self.sizes.txlists += len;
        }
        Ok(())
    }

    fn put_evidence(&mut self, record: &Record, value: &[u8]) -> Result<(), redb::Error> {
        let Key::Evidence(hash) = Key::of(record) else { return Ok(()) };
        if !self.evidence_keys.contains(hash.as_slice())? {
            let age = next(&self.evidence)?;
            self.evidence.put(&age, value)?;
            self.evidence_keys.put(hash.as_slice(), &age)?;
            self.sizes.evidence += value.len() as u64;
        }
        Ok(())
    }

    fn trim(&mut self, now: UnixTime, limits: &Limits) -> Result<(), redb::Error> {
        while self.chain.len()? > limits.commitments as u64 {
            let Some(lowest) = self.chain.first_key()? else { break };
            self.chain.remove(&lowest)?;
        }
        while self.sizes.txlists > limits.txlist_bytes {
            let Some(oldest) = self.ages.first_key()? else { break };
            if let Some((hash, len)) = self.ages.get(&oldest)?.and_then(|(value, _)| seal::decode::<(B256, u64)>(&value)) {
                self.txlists.remove(hash.as_slice())?;
                self.sizes.txlists = self.sizes.txlists.saturating_sub(len);
            }
            self.ages.remove(&oldest)?;
        }
        while self.sizes.evidence > limits.evidence_bytes {
            let Some(oldest) = self.evidence.first_key()? else { break };
            self.drop_evidence(&oldest)?;
        }
        // P7.6: the least recently seen without a ban first.
        trim_by(&mut self.peers, limits.peers, |value| {
            seal::decode::<Standing>(value).map_or((false, UnixTime(0)), |peer| (peer.ban_ends.is_some_and(|ends| ends > now), peer.as_of))
        })?;
        trim_by(&mut self.known, limits.known, |value| seal::decode::<KnownNode>(value).map_or(UnixTime(0), |node| node.last_success))
    }

    fn drop_evidence(&mut self, age: &[u8]) -> Result<(), redb::Error> {
        if let Some((value, _)) = self.evidence.get(age)? {
            if let Some((evidence, signer)) = seal::decode(&value)
                && let Key::Evidence(hash) = Key::of(&Record::Evidence { evidence: Box::new(evidence), signer })
            {
                self.evidence_keys.remove(hash.as_slice())?;
            }
            self.sizes.evidence = self.sizes.evidence.saturating_sub(value.len() as u64);
        }
        self.evidence.remove(age).map(drop)
    }
}

/// The count after the highest, as a key.
fn next(rows: &Rows<'_>) -> Result<[u8; 8], redb::Error> {
    let last = rows.last_key()?.and_then(|key| key.first_chunk().copied()).map_or(0, u64::from_be_bytes);
    Ok((last + 1).to_be_bytes())
}

/// Drops what comes first by this measure until there are no more than so many.
fn trim_by<T: Ord>(rows: &mut Rows<'_>, max: usize, measure: impl Fn(&[u8]) -> T) -> Result<(), redb::Error> {
    let Some(excess) = usize::try_from(rows.len()?).ok().and_then(|len| len.checked_sub(max)).filter(|excess| *excess > 0) else {
        return Ok(());
    };
    let mut all: Vec<(T, Vec<u8>)> = rows.all()?.into_iter().map(|(key, value)| (measure(&value), key)).collect();
    all.sort();
    for (_, key) in all.iter().take(excess) {
        rows.remove(key)?;
    }
    Ok(())
}
