//! A disk that crashes as badly as a disk may.
//!
//! A crash keeps of what was not synced whatever the dice say: each write whole, in part by sectors, or not at all, and each change of a
//! directory or not. The process that was there sees only errors from then on. A sync that fails loses what it should have written, and the
//! file reads as if it had not: later syncs do not bring it back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use preconf_core::UnixTime;
use preconf_store::disk::{Disk, DiskFile, FileId, Lock, LockError};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a disk writes at once.
const SECTOR: usize = 512;

/// A disk, and a life of the process that uses it.
#[derive(Clone)]
pub(crate) struct SimDisk {
    world: Arc<Mutex<World>>,
    life: u64,
}

struct World {
    dice: ChaCha8Rng,
    now: UnixTime,
    /// Which life of the process may still touch anything.
    life: u64,
    files: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    /// Changes so far.
    writes: u64,
    crash_at: Option<u64>,
    /// From this change on a name is taken away.
    vanish_at: Option<(u64, PathBuf)>,
    failing: Option<io::ErrorKind>,
    failing_sync: bool,
}

#[derive(Default)]
struct Inode {
    view: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

#[derive(Clone)]
enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        let world = World {
            dice: ChaCha8Rng::seed_from_u64(seed),
            now: UnixTime::from_secs(1_000_000),
            life: 0,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            locks: BTreeSet::new(),
            writes: 0,
            crash_at: None,
            vanish_at: None,
            failing: None,
            failing_sync: false,
        };
        Self { world: Arc::new(Mutex::new(world)), life: 0 }
    }

    pub(crate) fn writes(&self) -> u64 {
        self.world().writes
    }

    /// Crashes at the change after so many more.
    pub(crate) fn crash_after(&self, writes: u64) {
        let mut world = self.world();
        world.crash_at = Some(world.writes + writes);
    }

    /// Somebody removes a file after so many more changes.
    pub(crate) fn vanish_after(&self, writes: u64, path: &Path) {
        let mut world = self.world();
        world.vanish_at = Some((world.writes + writes, path.to_owned()));
    }

    /// Has it been removed?
    pub(crate) fn has_vanished(&self) -> bool {
        self.world().vanish_at.is_none()
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.world().life != self.life
    }

    /// Has every change fail, or no more.
    pub(crate) fn fail(&self, failing: Option<io::ErrorKind>) {
        self.world().failing = failing;
    }

    /// Has every sync fail, or no more.
    pub(crate) fn fail_sync(&self, failing: bool) {
        self.world().failing_sync = failing;
    }

    pub(crate) fn set_now(&self, now: UnixTime) {
        self.world().now = now;
    }

    /// The machine loses power, if it has not yet, and comes up again.
    pub(crate) fn crash(&self) -> Self {
        let mut world = self.world();
        if world.life == self.life {
            world.crash();
        }
        Self { world: self.world.clone(), life: world.life }
    }

    /// The process is killed: what it wrote stays in the system's cache.
    pub(crate) fn kill(&self) -> Self {
        let mut world = self.world();
        world.life += 1;
        world.locks.clear();
        Self { world: self.world.clone(), life: world.life }
    }

    /// What is in a file, and safe.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.files[world.names[path]].durable.clone()
    }

    /// Puts something else into a file.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut world = self.world();
        let file = world.names[path];
        world.files[file] = Inode { view: bytes.clone(), durable: bytes, pending: Vec::new() };
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.world().names.keys().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics in here")
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.world();
        if world.life == self.life { Ok(world) } else { Err(io::Error::other("this process is dead")) }
    }

    /// Before a change: does it still happen?
    fn change(&self) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.alive()?;
        world.writes += 1;
        let writes = world.writes;
        if let Some((_, path)) = world.vanish_at.take_if(|(at, _)| writes > *at) {
            world.names.remove(&path);
        }
        world.failing.map_or(Ok(()), |kind| Err(io::Error::from(kind)))?;
        Ok(world)
    }

    /// After a change, which a crash may have kept or not.
    fn changed(&self, mut world: MutexGuard<'_, World>) -> io::Result<()> {
        if world.crash_at.is_some_and(|at| world.writes > at) {
            world.crash();
            return Err(io::Error::other("the power is gone"));
        }
        Ok(())
    }
}

impl World {
    fn coin(&mut self) -> bool {
        self.dice.next_u32().is_multiple_of(2)
    }

    fn crash(&mut self) {
        self.life += 1;
        self.crash_at = None;
        self.failing = None;
        self.failing_sync = false;
        self.locks.clear();
        // Now and then everything or nothing, which no row of coins would give.
        let mood = self.dice.next_u32() % 4;
        for at in 0..self.files.len() {
            for change in std::mem::take(&mut self.files[at].pending) {
                match (mood, change) {
                    (0, _) => {}
                    (1, change) => self.files[at].durable_apply(&change),
                    (_, Change::Write(offset, bytes)) => self.tear(at, offset, &bytes),
                    (_, change) if self.coin() => self.files[at].durable_apply(&change),
                    (_, _) => {}
                }
            }
            self.files[at].view = self.files[at].durable.clone();
        }
        for change in std::mem::take(&mut self.pending_names) {
            if mood == 1 || (mood > 1 && self.coin()) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
    }

    /// A write of which each sector arrives, or not.
    fn tear(&mut self, at: usize, offset: usize, bytes: &[u8]) {
        let whole = self.dice.next_u32() % 3;
        let mut done = 0;
        while done < bytes.len() {
            let end = bytes.len().min(done + SECTOR - (offset + done) % SECTOR);
            if whole == 0 || (whole == 1 && self.coin()) {
                self.files[at].durable_apply(&Change::Write(offset + done, bytes[done..end].to_vec()));
            }
            done = end;
        }
    }
}

impl Inode {
    fn durable_apply(&mut self, change: &Change) {
        change.apply(&mut self.durable);
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                if bytes.len() < offset + data.len() {
                    bytes.resize(offset + data.len(), 0);
                }
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
            Self::Len(len) => bytes.resize(*len, 0),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Unlink(path) => drop(names.remove(path)),
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Disk for SimDisk {
    fn now(&self) -> UnixTime {
        self.world().now
    }

    /// The directory itself is taken for granted: what is in it is what is tested.
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        self.alive().map(drop)
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        let mut world = self.alive().map_err(LockError::Io)?;
        if !world.locks.insert(path.to_owned()) {
            return Err(LockError::Held(Some(1)));
        }
        Ok(Lock::new(Unlock { disk: self.clone(), path: path.to_owned() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.alive()?;
        Ok(world
            .names
            .keys()
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.change()?;
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = world.files.len();
        world.files.push(Inode::default());
        let change = NameChange::Link(path.to_owned(), file);
        change.apply(&mut world.names);
        world.pending_names.push(change);
        self.changed(world)?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = *self.alive()?.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.change()?;
        let file = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let change = NameChange::Rename(from.to_owned(), to.to_owned(), file);
        change.apply(&mut world.names);
        world.pending_names.push(change);
        self.changed(world)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.change()?;
        if !world.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Unlink(path.to_owned());
        change.apply(&mut world.names);
        world.pending_names.push(change);
        self.changed(world)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut world = self.change()?;
        for change in std::mem::take(&mut world.pending_names) {
            change.apply(&mut world.durable_names);
        }
        self.changed(world)
    }

    fn identity(&self, path: &Path) -> io::Result<FileId> {
        let world = self.alive()?;
        if path == Path::new("/node") {
            return Ok(FileId(1, u64::MAX)); // the directory
        }
        Ok(FileId(1, *world.names.get(path).ok_or(io::ErrorKind::NotFound)? as u64))
    }
}

struct Unlock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        if let Ok(mut world) = self.disk.alive() {
            world.locks.remove(&self.path);
        }
    }
}

struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.file)
    }
}

impl SimFile {
    fn apply(&self, change: Change) -> io::Result<()> {
        let mut world = self.disk.change()?;
        let file = &mut world.files[self.file];
        change.apply(&mut file.view);
        file.pending.push(change);
        self.disk.changed(world)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.alive()?.files[self.file].view.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let world = self.disk.alive()?;
        let bytes = world.files[self.file].view.get(offset as usize..offset as usize + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.apply(Change::Write(offset as usize, bytes.to_vec()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.apply(Change::Len(len as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.change()?;
        let pending = std::mem::take(&mut world.files[self.file].pending);
        if world.failing_sync {
            // What arrived all the same, arrived; the rest is lost, and reads as if it were there. A length is the file system's own, and
            // comes with its journal.
            for change in pending {
                match change {
                    Change::Write(offset, bytes) if world.coin() => world.tear(self.file, offset, &bytes),
                    Change::Write(..) => {}
                    Change::Len(_) => world.files[self.file].durable_apply(&change),
                }
            }
            return Err(io::Error::other("a sync failed"));
        }
        // The crash during a sync is the one before it, with a part of what it should have written.
        if world.crash_at.is_some_and(|at| world.writes > at) {
            world.files[self.file].pending = pending;
            return self.disk.changed(world);
        }
        for change in pending {
            world.files[self.file].durable_apply(&change);
        }
        Ok(())
    }

    fn identity(&self) -> io::Result<FileId> {
        drop(self.disk.alive()?);
        Ok(FileId(1, self.file as u64))
    }
}
