//! Why can a directory not be used, and why was something not written?

use std::fmt;
use std::io;
use std::path::PathBuf;

use preconf_core::{Address, B256, ChainId, StorageFailure};

/// Why a store cannot be opened. Nothing on disk was changed, but for the lock file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it (P5.9c).
    #[error("{} is in use{}: end that process, or give this one a directory of its own", path.display(), Holder(*pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other process.
        pid: Option<u32>,
    },
    /// The disk.
    #[error("cannot {what} {}: {error}{}", path.display(), Advice(failure(error)))]
    Disk {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It holds records of another chain.
    #[error("{} holds records of chain {}, and this node is on chain {}: give it a directory of its own", path.display(), found.0, expected.0)]
    OtherChain {
        /// The file.
        path: PathBuf,
        /// Its chain.
        found: ChainId,
        /// Ours.
        expected: ChainId,
    },
    /// It holds records that were signed under another domain.
    #[error("{} holds records of signing domain {found}, and this node has {expected}: give it a directory of its own", path.display())]
    OtherDomain {
        /// The file.
        path: PathBuf,
        /// Its domain.
        found: B256,
        /// Ours.
        expected: B256,
    },
    /// It holds what others than our keys committed to.
    #[error(
        "{} holds what {} committed to, and none of this node's keys ({}): give it a directory of its own, or allow other signers if the key was changed",
        path.display(), List(found), List(expected)
    )]
    OtherSigners {
        /// The file.
        path: PathBuf,
        /// Who signed what it holds.
        found: Vec<Address>,
        /// Our keys.
        expected: Vec<Address>,
    },
    /// Another version of this package wrote it.
    #[error("{} has form {found}, and this version reads form {expected}: use the version that wrote it, or export its commitments with that and import them into a new directory", path.display())]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// No thread could be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// What the system says, as what an operator can do about it.
pub(crate) fn failure(error: &io::Error) -> StorageFailure {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => StorageFailure::NoSpace,
        Kind::ReadOnlyFilesystem | Kind::PermissionDenied => StorageFailure::ReadOnly,
        Kind::NotFound | Kind::NotADirectory | Kind::StaleNetworkFileHandle => StorageFailure::Gone,
        _ => StorageFailure::Io,
    }
}

/// Why a database could not be read or written.
#[derive(Debug)]
pub(crate) enum DatabaseError {
    Io(io::Error),
    Damaged(String),
}

impl DatabaseError {
    pub(crate) fn failure(&self) -> StorageFailure {
        match self {
            Self::Io(error) => failure(error),
            Self::Damaged(_) => StorageFailure::Damaged,
        }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

impl From<redb::Error> for DatabaseError {
    fn from(error: redb::Error) -> Self {
        match error {
            // What is cut off, or is no database, reads so.
            redb::Error::Io(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::PreviousIo => Self::Io(io::Error::other("an earlier failure")),
            redb::Error::RepairAborted => Self::Damaged("it was not written to its end, and needs repair".to_owned()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// What an operator can do.
struct Advice(StorageFailure);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            StorageFailure::NoSpace => ": make room on that disk, or give a directory on another one",
            StorageFailure::ReadOnly => ": let this user write there, or give a directory where it may",
            StorageFailure::Gone => ": mount the disk that it is on, or give another directory",
            StorageFailure::Io | StorageFailure::Damaged => "",
        })
    }
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " by process {pid}"))
    }
}

struct List<'a>(&'a [Address]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
