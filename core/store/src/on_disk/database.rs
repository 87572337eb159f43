//! One redb file: looked at, made, written to, and given up in time.
//!
//! What is on disk must be true at every moment, so:
//!
//! - A file is made under another name, synced, and then moved to its place: a file that is in its place was once whole.
//! - Every commit is redb's in two phases with the state of its allocator, so that a process that is killed leaves a file which needs no
//!   repair. One that needs it all the same is not written to again.
//! - Before a file is opened, it is read and checked through an overlay, which changes nothing.
//! - A failed sync may have left in the system's cache what is not on disk, for us or for the process before us. The one thing that later
//!   commits build on without writing it again is the header; redb writes and syncs that whenever it opens a file, and what was read of the
//!   file is given to nobody before. A disk that takes nothing at the start is the exception: there it is given as it was read.
//! - redb stops at its first error, and takes what it reads at its word. After an error it is closed, and the file opened anew.
//! - What has lost its name is gone, however well it is written: the path is looked up before a write is confirmed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use preconf_core::{StorageFailure, UnixTime};
use redb::{Builder, Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::backend::{Direct, Overlay};
use super::disk::{Disk, DiskFile, FileId};
use super::error::DatabaseError;
use super::report::{Flaw, Flaws};

/// Memory that redb may use for pages of one file. Ours: rows are written once and read at the start.
const CACHE_BYTES: usize = 8 << 20;

/// Where a database belongs.
#[derive(Clone, Debug)]
pub(crate) struct DatabasePath {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) name: &'static str,
}

impl DatabasePath {
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(self.name)
    }

    /// Where a damaged one goes.
    pub(crate) fn aside(&self, now: UnixTime) -> PathBuf {
        self.dir.join(format!("{}.damaged-{}", self.name, now.secs()))
    }

    /// Where a new one is made.
    fn beside(&self) -> PathBuf {
        self.dir.join(format!("{}.new", self.name))
    }

    /// Is this the name of one that was not finished?
    pub(crate) fn is_unfinished(&self, name: &str) -> bool {
        name.strip_prefix(self.name) == Some(".new")
    }

    /// Is this the name of a damaged one?
    pub(crate) fn is_aside(&self, name: &str) -> bool {
        name.strip_prefix(self.name).is_some_and(|rest| rest.starts_with(".damaged-"))
    }

    /// Makes a database and puts it in its place, in place of what is there.
    pub(crate) fn make(&self, fill: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) -> Result<(), DatabaseError> {
        let beside = self.beside();
        match self.disk.remove(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(DatabaseError::Io(error)),
            _ => {}
        }
        let file = self.disk.create(&beside).map_err(DatabaseError::Io)?;
        guard(|| {
            let database = builder(None).create_with_backend(Direct(file.clone()))?;
            commit(&database, fill)
        })?;
        file.sync().map_err(DatabaseError::Io)?;
        self.disk.rename(&beside, &self.path()).map_err(DatabaseError::Io)?;
        self.disk.sync_dir(&self.dir).map_err(DatabaseError::Io)
    }

    /// Copies the file, byte for byte, and gives the copy its name when it is whole.
    pub(crate) fn copy(&self, name: &Path) -> io::Result<()> {
        let beside = self.beside();
        match self.disk.remove(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (from, to) = (self.disk.open(&self.path())?, self.disk.create(&beside)?);
        let (len, mut at, mut piece) = (from.len()?, 0, vec![0; 1 << 20]);
        while at < len {
            let part = (len - at).min(piece.len() as u64) as usize;
            from.read_at(at, &mut piece[..part])?;
            to.write_at(at, &piece[..part])?;
            at += part as u64;
        }
        to.sync()?;
        self.disk.rename(&beside, name)?;
        self.disk.sync_dir(&self.dir)
    }
}

/// Reads a file without writing to it, and tells where redb had to mend it for that.
pub(crate) fn peek<T>(
    file: &Arc<dyn DiskFile>,
    flaws: &mut Flaws,
    read: impl FnOnce(&ReadTransaction, &mut Flaws) -> Result<T, redb::Error>,
) -> Result<T, DatabaseError> {
    let repaired = Arc::new(AtomicBool::new(false));
    let value = guard(|| {
        if file.is_empty()? {
            return Err(redb::Error::Corrupted("it is empty".to_owned())); // redb would begin a new one in it
        }
        let mend = repaired.clone();
        let mut builder = builder(None);
        builder.set_repair_callback(move |_| mend.store(true, Ordering::Relaxed));
        let mut database = builder.create_with_backend(Overlay::new(file.clone())?)?;
        let value = read(&database.begin_read()?, flaws)?;
        // Last, since it mends, and may fall back on an older state. It looks at what no row tells: a page that is in use and counts as
        // free would be written over.
        if !guard(|| Ok(database.check_integrity()?)).unwrap_or(false) {
            flaws.push(Flaw::file("its pages are not as they were written"));
        }
        Ok(value)
    })?;
    if repaired.load(Ordering::Relaxed) {
        flaws.push(Flaw::file("it was not written to its end, and needs repair"));
    }
    Ok(value)
}

/// What must hold before a file is written to again.
pub(crate) type Check = fn(&ReadTransaction, &mut Flaws);

/// A database that is written to.
#[derive(Debug)]
pub(crate) struct Live {
    at: DatabasePath,
    /// The file as it was when the store was opened. Another one in its place, an older copy say, is not ours to go on with.
    id: FileId,
    database: Option<Database>,
    check: Check,
}

impl Live {
    /// Opens a file that was just looked at, or made.
    pub(crate) fn open(at: DatabasePath, check: Check) -> Result<Self, DatabaseError> {
        let mut live = Self::unopened(at, check)?;
        live.begin()?;
        Ok(live)
    }

    /// A file that was just looked at, on a disk that takes no writes: it is opened once the disk takes one.
    pub(crate) fn unopened(at: DatabasePath, check: Check) -> Result<Self, DatabaseError> {
        let id = at.disk.identity(&at.path()).map_err(DatabaseError::Io)?;
        Ok(Self { at, id, database: None, check })
    }

    pub(crate) fn at(&self) -> &DatabasePath {
        &self.at
    }

    /// Commits what `fill` writes. Ok means: it is on disk, in a file that is found under its name.
    pub(crate) fn write<T>(&mut self, fill: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, StorageFailure> {
        self.try_write(fill).map_err(|error| {
            let (path, failure) = (self.at.path(), error.failure());
            tracing::debug!(path = %path.display(), %error, ?failure, "a write failed");
            self.give_up();
            failure
        })
    }

    fn try_write<T>(&mut self, fill: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, DatabaseError> {
        if self.database.is_none() {
            self.reopen()?;
        }
        let database = self.database.as_ref().ok_or_else(|| DatabaseError::Io(io::ErrorKind::NotFound.into()))?;
        let value = guard(|| commit(database, fill))?;
        self.look_up()?; // never confirm what was written into a file without a name
        Ok(value)
    }

    /// Is the file still found under its name?
    fn look_up(&self) -> Result<(), DatabaseError> {
        match self.at.disk.identity(&self.at.path()) {
            Ok(id) if id == self.id => Ok(()),
            Ok(_) => Err(DatabaseError::Io(io::ErrorKind::NotFound.into())),
            Err(error) => Err(DatabaseError::Io(error)),
        }
    }

    /// Opens the file, the one that it was.
    fn find(&self) -> Result<Arc<dyn DiskFile>, DatabaseError> {
        let file = self.at.disk.open(&self.at.path()).map_err(DatabaseError::Io)?;
        let id = file.identity().map_err(DatabaseError::Io)?;
        if id == self.id { Ok(file) } else { Err(DatabaseError::Io(io::ErrorKind::NotFound.into())) }
    }

    /// After an error: is the file still what it should be?
    fn reopen(&mut self) -> Result<(), DatabaseError> {
        let file = self.find()?;
        let mut flaws = Flaws::default();
        peek(&file, &mut flaws, |transaction, flaws| {
            (self.check)(transaction, flaws);
            Ok(())
        })?;
        if flaws.is_empty() { self.begin() } else { Err(DatabaseError::Damaged(flaws.to_string())) }
    }

    fn begin(&mut self) -> Result<(), DatabaseError> {
        let file = self.find()?;
        // A repair would be a write to what is damaged.
        let abort = |session: &mut redb::RepairSession| session.abort();
        self.database = Some(guard(|| Ok(builder(Some(abort)).create_with_backend(Direct(file.clone()))?))?);
        Ok(())
    }

    /// Closes the database. In doubt what was under way is on disk, or it is not.
    fn give_up(&mut self) {
        let database = self.database.take();
        let _ = guard(|| {
            drop(database);
            Ok(())
        });
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.give_up();
    }
}

fn builder(repair: Option<fn(&mut redb::RepairSession)>) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    if let Some(repair) = repair {
        builder.set_repair_callback(repair);
    }
    builder
}

fn commit<T>(database: &Database, fill: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    let mut transaction = database.begin_write()?; // with immediate durability, as they all are unless told
    transaction.set_quick_repair(true);
    let value = fill(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// Has redb do something. A panic of its own tells that the file is not what it should be.
fn guard<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, DatabaseError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(DatabaseError::from),
        Err(_) => Err(DatabaseError::Damaged("it makes no sense to the database".to_owned())),
    }
}
