//! What is wrong with what is stored?

use std::fmt;
use std::path::PathBuf;

use preconf_core::{B256, StorageFailure};

/// Flaws that are told; more are only counted. Ours: enough for any screen.
const MAX_FLAWS: usize = 64;

/// One thing that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// In which table; empty where the whole file is meant.
    pub table: &'static str,
    /// Which row, by its key; empty where the whole table is meant.
    pub key: Vec<u8>,
    /// What is wrong with it.
    pub what: String,
}

impl Flaw {
    pub(crate) fn file(what: impl Into<String>) -> Self {
        Self { table: "", key: Vec::new(), what: what.into() }
    }

    pub(crate) fn table(table: &'static str, what: impl Into<String>) -> Self {
        Self { table, key: Vec::new(), what: what.into() }
    }

    pub(crate) fn row(table: &'static str, key: &[u8], what: impl Into<String>) -> Self {
        Self { table, key: key.to_vec(), what: what.into() }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, key, what } = self;
        match (table.is_empty(), key.is_empty()) {
            (true, _) => write!(f, "the file: {what}"),
            (false, true) => write!(f, "table {table}: {what}"),
            (false, false) => write!(f, "table {table}, row {}: {what}", hex::encode(key)),
        }
    }
}

/// What is damaged in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// The first of them.
    pub told: Vec<Flaw>,
    /// How many more there are.
    pub more: usize,
}

impl Flaws {
    pub(crate) fn push(&mut self, flaw: Flaw) {
        if self.told.len() < MAX_FLAWS {
            self.told.push(flaw);
        } else {
            self.more += 1;
        }
    }

    /// Is nothing damaged?
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

impl From<Flaw> for Flaws {
    fn from(flaw: Flaw) -> Self {
        Self { told: vec![flaw], more: 0 }
    }
}

impl fmt::Display for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, flaw) in self.told.iter().enumerate() {
            write!(f, "{}{flaw}", if at == 0 { "" } else { "; " })?;
        }
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

/// What was found when a store was opened, beside its records. Worth a line in the log where it is not as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Is the store new?
    pub is_new: bool,
    /// What we committed to.
    pub commitments: Commitments,
    /// All the rest.
    pub chain: Rest,
    /// What an older version of the program left, and was taken over.
    pub legacy: Option<Legacy>,
    /// Why nothing could be written to the directory. What it holds was given back all the same; a write fails until the disk takes one.
    pub unwritable: Option<StorageFailure>,
}

/// How the file of what we committed to is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commitments {
    /// As it was left.
    Intact,
    /// Damaged. What is readable of it was given back; the file is not written to, and every commitment of ours fails with
    /// [`preconf_core::StorageFailure::Damaged`], until the operator accepts it with
    /// [`accept_damage`](crate::accept_damage).
    Damaged(Flaws),
}

/// How the file of all the rest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// As it was left.
    Intact,
    /// It was not there, and is now.
    New,
    /// It was damaged, and another stands in its place.
    Replaced {
        /// Where the damaged one is now.
        aside: PathBuf,
        /// What is wrong with it.
        flaws: Flaws,
        /// How many records were taken over from it.
        kept: usize,
    },
}

/// What was found in `records.json`, the store of versions before this package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Legacy {
    /// Where the file is now.
    pub aside: PathBuf,
    /// Peers that were taken over.
    pub peers: usize,
    /// Nodes of use that were taken over.
    pub known: usize,
    /// What it says that we committed to, as block number and hash. Its windows are not in it, so it cannot be taken over: before the first
    /// publication in a window peers are asked instead (P5.9b).
    pub committed: Vec<(u64, B256)>,
    /// Entries that make no sense.
    pub unreadable: usize,
}

impl fmt::Display for Legacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { aside, peers, known, committed, unreadable } = self;
        write!(f, "records of an older version: {peers} peers and {known} known nodes were taken over")?;
        if let (Some((first, _)), Some((last, _))) = (committed.iter().min(), committed.iter().max()) {
            let count = committed.len();
            write!(f, "; what was committed to ({count} blocks, {first} to {last}) names no windows, so peers are asked instead (P5.9b)")?;
        }
        if *unreadable > 0 {
            write!(f, "; {unreadable} entries make no sense")?;
        }
        write!(f, "; the file is now {}", aside.display())
    }
}
