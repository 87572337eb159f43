//! `commitments.redb`: what our own keys have committed to.
//!
//! | table         | key                              | value                                                    |
//! |---------------|----------------------------------|----------------------------------------------------------|
//! | `meta`        | `identity`, `tally`              | whose file it is; how many commitments, and their sum    |
//! | `own`         | window's end, number, signer     | the signed commitment                                    |
//! | `own_txlists` | the same                         | the txlist it names, as long as it may be published again |
//!
//! Invariant: `tally` is the count of the rows of `own` and the sum of their checksums, so that a row which is lost without a trace is
//! missed. What was said first stays (P5.9).

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_core::{Address, Bytes, OwnCommitment, Record, StorageFailure, UnixTime, preconfirmation_hash};
use redb::{ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::identity::{Identity, Label, META};
use super::report::{Flaw, Flaws};
use super::rows::{Rows, scan};
use super::seal::{self, Signed};
use crate::key::Key;
use crate::limits::Limits;

pub(crate) const FILE: &str = "commitments.redb";

const OWN: &str = "own";
const TXLISTS: &str = "own_txlists";
const TALLY: &[u8] = b"tally";
/// What was said in a window that ended less than this before is never forgotten, whatever the bounds. Ours: longer than any reorg.
const NEVER_YOUNGER: Duration = Duration::from_secs(24 * 3600);

/// A row's key: big-endian, so that they stand in order of age.
type RowKey = [u8; 36];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    count: u64,
    sum: u64,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) label: Option<Label>,
    /// By age.
    pub(crate) commitments: Vec<OwnCommitment>,
}

impl Own {
    /// The records of a restart, the file's beginning first.
    pub(crate) fn records(self) -> impl Iterator<Item = Record> {
        let began = match self.label {
            Some(Label::Ours(identity)) => Some(Record::Began { at: identity.began }),
            _ => None,
        };
        began.into_iter().chain(self.commitments.into_iter().map(|own| Record::Committed(Box::new(own))))
    }

    pub(crate) fn signers(&self) -> Vec<Address> {
        let mut signers: Vec<Address> = self.commitments.iter().map(|own| own.signer).collect();
        signers.sort_unstable();
        signers.dedup();
        signers
    }
}

pub(crate) fn row_key(window_end: u64, block_number: u64, signer: Address) -> RowKey {
    let mut key = [0; 36];
    key[..8].copy_from_slice(&window_end.to_be_bytes());
    key[8..16].copy_from_slice(&block_number.to_be_bytes());
    key[16..].copy_from_slice(signer.as_slice());
    key
}

fn key_of(own: &OwnCommitment) -> RowKey {
    row_key(own.window_end(), own.block_number(), own.signer)
}

/// The window's end in a row's key.
fn window_end(key: &[u8]) -> u64 {
    key.first_chunk().map_or(u64::MAX, |end| u64::from_be_bytes(*end))
}

/// Reads all that is readable.
pub(crate) fn read(transaction: &ReadTransaction, flaws: &mut Flaws) -> Own {
    let label = Label::read(transaction, flaws);
    if let Some(Label::Foreign { .. }) = label {
        return Own { label, commitments: Vec::new() }; // nobody knows what its rows mean
    }
    let mut tally = Tally::default();
    let mut rows: BTreeMap<Vec<u8>, OwnCommitment> = BTreeMap::new();
    scan(transaction, OWN, flaws, |key, value, check| {
        let Signed { signer, signed } = seal::decode(value).ok_or("it is no commitment")?;
        let own = OwnCommitment { signer, signed, txlist: None };
        if key_of(&own) != key {
            return Err("it is another commitment");
        }
        tally = tally.with(check);
        rows.insert(key.to_vec(), own);
        Ok(())
    });
    scan(transaction, TXLISTS, flaws, |key, value, _| {
        rows.get_mut(key).ok_or("its commitment is missing")?.txlist = Some(Bytes::copy_from_slice(value));
        Ok(())
    });
    let mut written = None;
    scan(transaction, META, &mut Flaws::default(), |key, value, _| {
        if key == TALLY {
            written = seal::decode::<Tally>(value);
        }
        Ok(())
    });
    match written {
        Some(written) if written == tally => {}
        Some(written) => {
            let others = if written.count == tally.count { ", and they are others" } else { "" };
            flaws.push(Flaw::table(OWN, format!("{} rows are readable of {}{others}", tally.count, written.count)));
        }
        None => flaws.push(Flaw::table(META, "it does not say how many commitments there are")),
    }
    Own { label, commitments: rows.into_values().collect() }
}

/// Is there anything wrong?
pub(crate) fn check(transaction: &ReadTransaction, flaws: &mut Flaws) {
    read(transaction, flaws);
}

/// Begins a file.
pub(crate) fn begin(
    transaction: &WriteTransaction,
    identity: &Identity,
    commitments: &[OwnCommitment],
    now: UnixTime,
    limits: &Limits,
) -> Result<(), redb::Error> {
    identity.write(transaction)?;
    Rows::open(transaction, META)?.put(TALLY, &seal::encode(&Tally::default()))?;
    write(transaction, commitments, now, limits).map(drop)
}

/// Writes what was not said yet, forgets what is old, and tells for each whether it is what is kept.
pub(crate) fn write(
    transaction: &WriteTransaction,
    batch: &[OwnCommitment],
    now: UnixTime,
    limits: &Limits,
) -> Result<Vec<Result<(), StorageFailure>>, redb::Error> {
    let mut meta = Rows::open(transaction, META)?;
    let mut rows = Rows::open(transaction, OWN)?;
    let mut txlists = Rows::open(transaction, TXLISTS)?;
    let Some((tally, _)) = meta.get(TALLY)? else { return Err(redb::Error::Corrupted("the tally is missing".to_owned())) };
    let mut tally: Tally = seal::decode(&tally).ok_or_else(|| redb::Error::Corrupted("the tally makes no sense".to_owned()))?;
    let mut results = Vec::with_capacity(batch.len());
    for own in batch {
        let key = key_of(own);
        match rows.get(&key)? {
            None => {
                let stored = Signed { signer: own.signer, signed: own.signed.clone() };
                tally = tally.with(rows.put(&key, &seal::encode(&stored))?);
            }
            Some((kept, _)) => {
                let kept: Option<Signed> = seal::decode(&kept);
                if kept.is_none_or(|kept| preconfirmation_hash(&kept.signed) != own.hash()) {
                    let key = Key::of_own(own);
                    tracing::error!(?key, hash = %own.hash(), "another commitment is kept in this place (P5.9)");
                    results.push(Err(StorageFailure::Io));
                    continue;
                }
            }
        }
        if let Some(txlist) = &own.txlist
            && !txlists.contains(&key)?
        {
            txlists.put(&key, txlist)?;
        }
        results.push(Ok(()));
    }
    let bound = row_key(before(now, limits.own_txlists_for), 0, Address::ZERO);
    for key in txlists.keys(..&bound[..])? {
        txlists.remove(&key)?;
    }
    tally = forget(&mut rows, &mut txlists, tally, now, limits)?;
    meta.put(TALLY, &seal::encode(&tally))?;
    Ok(results)
}

/// Forgets what is over the bounds, oldest first.
fn forget(rows: &mut Rows<'_>, txlists: &mut Rows<'_>, mut tally: Tally, now: UnixTime, limits: &Limits) -> Result<Tally, redb::Error> {
    let (old, young) = (before(now, limits.own_for), before(now, NEVER_YOUNGER));
    while tally.count > limits.own_at_least as u64 {
        let Some(key) = rows.first_key()? else { break };
        let end = window_end(&key);
        if end >= young || (end >= old && tally.count <= limits.own_at_most as u64) {
            break;
        }
        let check = rows.get(&key)?.map_or(0, |(_, check)| check);
        rows.remove(&key)?;
        txlists.remove(&key)?;
        tally = Tally { count: tally.count - 1, sum: tally.sum.wrapping_sub(check) };
    }
    Ok(tally)
}

fn before(now: UnixTime, span: Duration) -> u64 {
    now.secs().saturating_sub(span.as_secs())
}

impl Tally {
    fn with(self, check: u64) -> Self {
        Self { count: self.count + 1, sum: self.sum.wrapping_add(check) }
    }
}

#[cfg(test)]
mod tests {
    use preconf_core::{ChainId, DEFAULT_DOMAIN, PreconfCommitment, SecretKey, U256, address_of, sign};
    use redb::backends::InMemoryBackend;
    use redb::{Builder, Database, ReadableDatabase};

    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1000);

    fn own(block_number: u64) -> OwnCommitment {
        let key = SecretKey::from_secret_bytes([1; 32]).expect("not zero");
        let mut commitment = PreconfCommitment::default();
        commitment.preconf.block_number = U256::from(block_number);
        commitment.preconf.submission_window_end = U256::from(2000);
        OwnCommitment { signer: address_of(&key), signed: sign(commitment, &key, DEFAULT_DOMAIN), txlist: None }
    }

    fn change(database: &Database, change: impl FnOnce(&WriteTransaction)) {
        let transaction = database.begin_write().expect("memory");
        change(&transaction);
        transaction.commit().expect("memory");
    }

    fn flaws(database: &Database) -> Flaws {
        let mut flaws = Flaws::default();
        read(&database.begin_read().expect("memory"), &mut flaws);
        flaws
    }

    #[test]
    fn a_row_that_is_lost_without_a_trace_is_missed() {
        let database = Builder::new().create_with_backend(InMemoryBackend::new()).expect("memory");
        let identity = Identity { schema: crate::on_disk::identity::SCHEMA, chain: ChainId(7), domain: DEFAULT_DOMAIN, began: NOW };
        let all = [own(1), own(2)];
        change(&database, |transaction| begin(transaction, &identity, &all, NOW, &Limits::default()).expect("memory"));
        assert_eq!(flaws(&database), Flaws::default());
        change(&database, |transaction| drop(Rows::open(transaction, OWN).expect("memory").remove(&key_of(&own(1)))));
        assert_eq!(flaws(&database).to_string(), "table own: 1 rows are readable of 2");
        // As a row of an older copy of the file would.
        let signed = own(3).signed;
        let value = seal::encode(&Signed { signer: own(3).signer, signed });
        change(&database, |transaction| drop(Rows::open(transaction, OWN).expect("memory").put(&key_of(&own(3)), &value)));
        assert_eq!(flaws(&database).to_string(), "table own: 2 rows are readable of 2, and they are others");
    }
}
