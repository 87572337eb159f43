//! What does the store ask of a disk?
//!
//! So little that a test can play one that crashes: [`OsDisk`] is that of the system, and the tests of this package bring one that at a crash
//! keeps any part of what was not synced, entries of directories included.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use preconf_core::UnixTime;

pub use super::os::OsDisk;

/// Directories and files, and what time it is.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// The time by the system's clock.
    fn now(&self) -> UnixTime;

    /// Makes a directory that only we may enter, and those above it that are missing; they are there for good when this returns.
    ///
    /// # Errors
    /// The system's. That it is there already is none.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, and makes it if it is missing, until what is returned is dropped or the process ends. One that may only be read is
    /// locked, too.
    ///
    /// # Errors
    /// Somebody else has it, or the system's.
    fn lock(&self, path: &Path) -> Result<Lock, LockError>;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a file that is not there yet.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there, to read and to write; where the system lets it only be read, writing to it is what fails.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, at once and in place of what had it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Has what became of the names in a directory outlast a crash.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Which file has this name now.
    ///
    /// # Errors
    /// The system's; none has it.
    fn identity(&self, path: &Path) -> io::Result<FileId>;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// Is it empty?
    ///
    /// # Errors
    /// The system's.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Reads exactly so much.
    ///
    /// # Errors
    /// The system's; the file ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of it.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it, or makes it longer by zeros.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Has all that was written outlast a crash.
    ///
    /// # Errors
    /// The system's. What was not synced may be lost even when a later call succeeds, unless it is written again.
    fn sync(&self) -> io::Result<()>;

    /// Which file it is.
    ///
    /// # Errors
    /// The system's.
    fn identity(&self) -> io::Result<FileId>;
}

/// Names a file, whatever path leads to it: of a device and of the file on it. Zeros where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileId(pub u64, pub u64);

/// Holds a lock until it is dropped.
pub struct Lock(#[expect(dead_code, reason = "it is there to be dropped")] Box<dyn Any + Send + Sync>);

impl Lock {
    /// What lets go of it when it is dropped.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Box::new(guard))
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// Why a lock was not to be had.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; its id, if it could be read.
    Held(Option<u32>),
    /// The system's error.
    Io(io::Error),
}
