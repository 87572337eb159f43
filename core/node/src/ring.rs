//! Where do the segments of a trace go that is never full?
//!
//! ```text
//!  DIR/00000041.trace     a segment: it begins with a snapshot of the machine, and replays by itself
//!  DIR/00000041.txlists   which txlists its snapshot names, 32 bytes each
//!  DIR/txlists/HASH       their bytes, each once for all segments
//! ```
//!
//! The oldest segments go, and with them the txlists that no other one names, before anything is written that would make all of it longer than
//! may be. Txlists count in full. What alone is longer than all may be is refused before anything goes for it.
//!
//! The folder is looked at when the first segment begins, and again after every failure of that: whatever is wrong with it, the node starts and
//! goes on (P10.4), and each error names the path and what to do. Files that are not the ring's own are left alone.
//!
//! A crash at any moment leaves at most the last segment cut, and perhaps txlists that nobody names: the next start clears those away. A txlist
//! is trusted by its name and length, so it is synced before it has its name; the steps of a segment are not: a trace is for people, and no promise.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use preconf_core::{B256, Bytes};

/// The folder of the txlists.
const TXLISTS: &str = "txlists";
/// A txlist that has no name yet.
const UNNAMED: &str = "new";
/// What a segment's files end with.
const KINDS: [&str; 2] = ["trace", "txlists"];
/// The highest number of a segment. Ours: one a second for a century; a file with a higher one is not ours.
const MAX_NUMBER: u64 = 1 << 32;

/// The files of a ring.
#[derive(Debug)]
pub(crate) struct Ring {
    folder: PathBuf,
    max_bytes: u64,
    /// `None` until the folder could be read.
    files: Option<Files>,
}

/// What is in the folder.
#[derive(Debug, Default)]
struct Files {
    /// The oldest first. The last one is being written while there is a `file`.
    segments: VecDeque<Segment>,
    txlists: BTreeMap<B256, u64>,
    file: Option<File>,
    /// Is the last one being begun, or written? Then it stays, whatever goes.
    is_under_way: bool,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    txlists: BTreeSet<B256>,
}

impl Ring {
    /// A ring in a folder, which is made, or read, when the first segment begins.
    pub(crate) fn new(folder: &Path, max_bytes: u64) -> Self {
        Self { folder: folder.to_owned(), max_bytes, files: None }
    }

    /// Begins a segment that names these txlists.
    pub(crate) fn begin(&mut self, txlists: &[(B256, Bytes)]) -> io::Result<()> {
        let place = Place { folder: &self.folder, max_bytes: self.max_bytes };
        let mut files = match self.files.take() {
            Some(files) => files,
            None => Files::read(&place)?,
        };
        files.begin(&place, txlists)?;
        self.files = Some(files); // else it is read again
        Ok(())
    }
}

impl Write for Ring {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let place = Place { folder: &self.folder, max_bytes: self.max_bytes };
        let unbegun = || io::Error::other("no segment is begun");
        self.files.as_mut().ok_or_else(unbegun)?.write(&place, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where it all is, and how much it may be.
struct Place<'a> {
    folder: &'a Path,
    max_bytes: u64,
}

impl Place<'_> {
    fn path(&self, number: u64, kind: &str) -> PathBuf {
        self.folder.join(name(number, kind))
    }

    fn txlists(&self) -> PathBuf {
        self.folder.join(TXLISTS)
    }

    fn txlist(&self, hash: &B256) -> PathBuf {
        self.txlists().join(hash.to_string())
    }

    /// May one segment have so many bytes, its txlists among them?
    fn admits(&self, bytes: u64) -> io::Result<()> {
        if bytes <= self.max_bytes {
            return Ok(());
        }
        let (folder, max) = (self.folder.display(), self.max_bytes);
        let text = format!("{folder}: one segment and its txlists are {bytes} bytes, and all may be {max}; raise record.max_bytes");
        Err(io::Error::new(io::ErrorKind::StorageFull, text))
    }
}

impl Files {
    /// What an earlier life left, less what a crash left and what is more than may be.
    fn read(place: &Place<'_>) -> io::Result<Self> {
        make_dir(&place.txlists())?;
        let mut files = Self::default();
        let mut numbers = BTreeSet::new();
        for entry in fs::read_dir(place.folder).map_err(told(place.folder))? {
            numbers.extend(entry.map_err(told(place.folder))?.file_name().to_str().and_then(number_of));
        }
        for number in numbers {
            let names = present(fs::read, &place.path(number, "txlists"))?.unwrap_or_default();
            let trace = present(fs::metadata, &place.path(number, "trace"))?.map_or(0, |file| file.len());
            let txlists = names.chunks_exact(32).map(B256::from_slice).collect();
            files.segments.push_back(Segment { number, bytes: trace + names.len() as u64, txlists });
        }
        for entry in fs::read_dir(place.txlists()).map_err(told(&place.txlists()))? {
            let entry = entry.map_err(told(&place.txlists()))?;
            let name = entry.file_name();
            let hash = name.to_str().and_then(|name| name.parse::<B256>().ok().filter(|hash| hash.to_string() == name));
            if let Some(hash) = hash {
                files.txlists.insert(hash, entry.metadata().map_err(told(&entry.path()))?.len());
            }
        }
        remove(&place.txlists().join(UNNAMED))?; // a crash left it half written
        files.clear(place)?;
        files.make_room(place, 0)?;
        Ok(files)
    }

    fn begin(&mut self, place: &Place<'_>, txlists: &[(B256, Bytes)]) -> io::Result<()> {
        (self.file, self.is_under_way) = (None, false);
        let names = txlists.iter().flat_map(|(hash, _)| hash.0).collect::<Vec<u8>>();
        let len = |lists: &[&(B256, Bytes)]| lists.iter().map(|(_, list)| list.len() as u64).sum::<u64>();
        // Before anything goes for it.
        place.admits(names.len() as u64 + len(&txlists.iter().collect::<Vec<_>>()))?;
        let number = self.segments.back().map_or(1, |last| last.number + 1); // those that were read are at most `MAX_NUMBER`
        if number > MAX_NUMBER {
            let path = place.path(number - 1, "trace");
            let text = format!("{}: no segment has a higher number; move it elsewhere, with its .txlists", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        // One of another length is not what its name says.
        let new: Vec<&(B256, Bytes)> = txlists.iter().filter(|(hash, list)| self.txlists.get(hash) != Some(&(list.len() as u64))).collect();
        // First, so that room is not made of what it needs.
        self.segments.push_back(Segment { number, bytes: 0, txlists: txlists.iter().map(|(hash, _)| *hash).collect() });
        self.is_under_way = true;
        let begun = self.make_room(place, names.len() as u64 + len(&new)).and_then(|()| {
            for (hash, list) in new {
                self.put(place, *hash, list)?;
            }
            let path = place.path(number, "txlists");
            synced(&path, &names)?;
            sync_dir(&place.txlists())?;
            sync_dir(place.folder)?;
            let path = place.path(number, "trace");
            File::create(&path).map_err(told(&path))
        });
        match begun {
            Ok(file) => {
                self.last().bytes = names.len() as u64;
                self.file = Some(file);
                Ok(())
            }
            Err(error) => {
                self.drop_last(place);
                Err(error)
            }
        }
    }

    fn write(&mut self, place: &Place<'_>, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() {
            return Err(io::Error::other("no segment is begun"));
        }
        place.admits(self.bytes_of_last() + bytes.len() as u64)?;
        self.make_room(place, bytes.len() as u64)?;
        let Some(file) = &mut self.file else { return Ok(0) };
        let written = file.write(bytes).map_err(told(place.folder))?;
        self.last().bytes += written as u64;
        Ok(written)
    }

    /// It has its name when it is on the disk: a power loss between the two must not leave an empty one that is trusted by its name.
    fn put(&mut self, place: &Place<'_>, hash: B256, list: &Bytes) -> io::Result<()> {
        let (path, beside) = (place.txlist(&hash), place.txlists().join(UNNAMED));
        synced(&beside, list)?;
        fs::rename(&beside, &path).map_err(told(&path))?;
        self.txlists.insert(hash, list.len() as u64);
        Ok(())
    }

    /// Has so much more fit, by what is oldest. What is being begun or written stays; it alone fits, or was refused before.
    fn make_room(&mut self, place: &Place<'_>, bytes: u64) -> io::Result<()> {
        while self.bytes() + bytes > place.max_bytes {
            if self.segments.len() <= usize::from(self.is_under_way) {
                return Ok(());
            }
            let Some(oldest) = self.segments.pop_front() else { return Ok(()) };
            for kind in KINDS {
                remove(&place.path(oldest.number, kind))?;
            }
            self.clear(place)?;
        }
        Ok(())
    }

    /// Removes the txlists that no segment names.
    fn clear(&mut self, place: &Place<'_>) -> io::Result<()> {
        let named: BTreeSet<B256> = self.segments.iter().flat_map(|segment| segment.txlists.iter().copied()).collect();
        let unnamed: Vec<B256> = self.txlists.keys().filter(|hash| !named.contains(*hash)).copied().collect();
        for hash in unnamed {
            remove(&place.txlist(&hash))?;
            self.txlists.remove(&hash);
        }
        Ok(())
    }

    /// A segment that could not be begun.
    fn drop_last(&mut self, place: &Place<'_>) {
        self.is_under_way = false;
        if let Some(last) = self.segments.pop_back() {
            for kind in KINDS {
                let _ = remove(&place.path(last.number, kind)); // the next start looks again
            }
            let _ = self.clear(place);
        }
    }

    fn last(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("one is being written")
    }

    /// Those of the newest segment, its txlists among them.
    fn bytes_of_last(&self) -> u64 {
        let txlists = |segment: &Segment| segment.txlists.iter().filter_map(|hash| self.txlists.get(hash)).sum::<u64>();
        self.segments.back().map_or(0, |last| last.bytes + txlists(last))
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() + self.txlists.values().sum::<u64>()
    }
}

fn name(number: u64, kind: &str) -> String {
    format!("{number:08}.{kind}")
}

/// The number of the segment that a file of this name is of, if it is one of ours.
fn number_of(file: &str) -> Option<u64> {
    let (number, kind) = file.split_once('.')?;
    let number = number.parse::<u64>().ok().filter(|number| *number <= MAX_NUMBER)?;
    (KINDS.contains(&kind) && file == name(number, kind)).then_some(number)
}

/// Says where it was, and what to do.
fn told(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.to_owned();
    move |error| {
        let text = format!("{}: {error}; make it a place that this node may read and write, or record elsewhere", path.display());
        io::Error::new(error.kind(), text)
    }
}

/// What is found there, if there is anything.
fn present<T>(look: impl Fn(PathBuf) -> io::Result<T>, path: &Path) -> io::Result<Option<T>> {
    match look(path.to_owned()) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(told(path)(error)),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    present(fs::remove_file, path).map(|_| ())
}

/// Writes a file, and returns when it is on the disk.
fn synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(told(path))
}

/// Returns when the names in a folder are on the disk. Only Unix has that, and needs it.
fn sync_dir(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(told(folder))?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// It tells what a log tells, and is nobody else's.
fn make_dir(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(told(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("preconf-ring-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn list(name: u8, len: usize) -> (B256, Bytes) {
        (B256::repeat_byte(name), vec![name; len].into())
    }

    /// Names of all files, and their bytes in all.
    fn files(folder: &Path) -> (Vec<String>, u64) {
        let (mut names, mut bytes) = (Vec::new(), 0);
        for folder in [folder.to_owned(), folder.join(TXLISTS)] {
            for entry in fs::read_dir(folder).expect("there").map(|entry| entry.expect("read")).filter(|entry| entry.path().is_file()) {
                names.push(
                    entry.file_name().into_string().expect("text")[..8].to_owned()
                        + &entry.path().extension().map_or(String::new(), |kind| format!(".{}", kind.display())),
                );
                bytes += entry.metadata().expect("there").len();
            }
        }
        names.sort();
        (names, bytes)
    }

    #[test]
    fn the_oldest_segments_go_with_the_txlists_that_nobody_else_names() {
        let folder = folder("oldest");
        let mut ring = Ring::new(&folder, 1_000);
        ring.begin(&[list(1, 100), list(2, 100)]).expect("room");
        ring.write_all(&[0; 300]).expect("room");
        ring.begin(&[list(2, 100), list(3, 100)]).expect("room");
        ring.write_all(&[0; 200]).expect("room");
        assert_eq!(
            files(&folder),
            (
                ["00000001.trace", "00000001.txlists", "00000002.trace", "00000002.txlists", "0x010101", "0x020202", "0x030303"]
                    .map(str::to_owned)
                    .to_vec(),
                928
            )
        );
        ring.write_all(&[0; 73]).expect("room, once the oldest is gone");
        assert_eq!(files(&folder), (["00000002.trace", "00000002.txlists", "0x020202", "0x030303"].map(str::to_owned).to_vec(), 537));
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn it_never_has_more_than_it_may_and_goes_on_after_it_could_not() {
        let folder = folder("bound");
        let mut ring = Ring::new(&folder, 1_000);
        assert_eq!(ring.begin(&[list(1, 1_000)]).expect_err("too much").kind(), io::ErrorKind::StorageFull);
        assert_eq!(files(&folder), (vec![], 0), "nothing is left of what could not be begun");
        ring.begin(&[]).expect("room");
        ring.write_all(&[0; 1_000]).expect("room");
        assert_eq!(ring.write_all(&[0]).expect_err("too much").kind(), io::ErrorKind::StorageFull);
        ring.begin(&[]).expect("room");
        ring.write_all(&[0; 10]).expect("room, once the other is gone");
        assert_eq!(files(&folder).1, 10);
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn a_restart_goes_on_behind_what_is_there_and_clears_what_a_crash_left() {
        let folder = folder("restart");
        let mut ring = Ring::new(&folder, 1_000);
        ring.begin(&[list(1, 100)]).expect("room");
        ring.write_all(&[0; 100]).expect("room");
        drop(ring);
        fs::write(folder.join(TXLISTS).join("new"), b"half").expect("room");
        fs::write(folder.join(TXLISTS).join(B256::repeat_byte(9).to_string()), b"nobody's").expect("room");
        let mut ring = Ring::new(&folder, 1_000);
        ring.begin(&[list(1, 100)]).expect("room");
        assert_eq!(files(&folder).0, ["00000001.trace", "00000001.txlists", "00000002.trace", "00000002.txlists", "0x010101"]);
        drop(ring);
        let files = Files::read(&Place { folder: &folder, max_bytes: 150 }).expect("a smaller bound");
        assert_eq!((files.segments.len(), files.bytes()), (1, 132));
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn what_alone_is_over_the_bound_costs_nothing_that_is_there() {
        let folder = folder("over");
        let mut ring = Ring::new(&folder, 1_000);
        ring.begin(&[list(1, 100)]).expect("room");
        ring.write_all(&[0; 100]).expect("room");
        let before = files(&folder);
        let error = ring.begin(&[list(2, 1_000)]).expect_err("too much");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let error = error.to_string();
        assert!(error.contains("1032") && error.contains("1000") && error.contains("record.max_bytes"), "{error}");
        assert_eq!(files(&folder), before);
        ring.begin(&[]).expect("room");
        assert_eq!(ring.write_all(&[0; 1_001]).expect_err("too much").kind(), io::ErrorKind::StorageFull);
        assert!(folder.join("00000001.trace").exists(), "nor does a piece of a segment");
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn a_lowered_bound_makes_it_shorter_and_keeps_nobody_from_recording() {
        let folder = folder("lowered");
        let mut ring = Ring::new(&folder, 1_000);
        ring.begin(&[list(1, 500)]).expect("room");
        drop(ring);
        let mut ring = Ring::new(&folder, 100);
        ring.begin(&[]).expect("room, once the only one is gone");
        assert_eq!(files(&folder), (["00000001.trace", "00000001.txlists"].map(str::to_owned).to_vec(), 0));
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn a_txlist_that_a_power_loss_left_empty_is_written_again() {
        let folder = folder("empty");
        let mut ring = Ring::new(&folder, 1_000);
        ring.begin(&[list(1, 100)]).expect("room");
        let path = folder.join(TXLISTS).join(B256::repeat_byte(1).to_string());
        fs::write(&path, b"").expect("room");
        drop(ring);
        let mut ring = Ring::new(&folder, 1_000);
        ring.begin(&[list(1, 100)]).expect("room");
        assert_eq!(fs::read(&path).expect("there"), [1; 100]);
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_path_and_nothing_goes_for_it() {
        let folder = folder("unreadable");
        let mut ring = Ring::new(&folder, 1_000);
        ring.begin(&[list(1, 100)]).expect("room");
        drop(ring);
        let names = folder.join("00000001.txlists");
        fs::remove_file(&names).expect("there");
        fs::create_dir(&names).expect("a folder in its place, which cannot be read as a file");
        let mut ring = Ring::new(&folder, 1_000);
        let error = ring.begin(&[]).expect_err("unreadable").to_string();
        assert!(error.contains("00000001.txlists") && error.contains("record elsewhere"), "{error}");
        assert!(files(&folder).0.contains(&"0x010101".to_owned()), "its txlists are not taken for nobody's");
        fs::remove_dir(&names).expect("there");
        ring.begin(&[]).expect("it is looked at again");
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn files_of_others_are_neither_counted_nor_touched() {
        let folder = folder("others");
        fs::create_dir_all(folder.join(TXLISTS).join("a folder")).expect("a folder");
        let others = ["18446744073709551615.trace", "7.trace", "00000009.txt", "txlists/notes"];
        others.iter().for_each(|name| fs::write(folder.join(name), [0; 2_000]).expect("room"));
        let mut ring = Ring::new(&folder, 1_000);
        ring.begin(&[]).expect("room");
        assert!(folder.join("00000001.trace").exists());
        assert!(others.iter().all(|name| folder.join(name).exists()));
        drop(ring);
        fs::write(folder.join(name(MAX_NUMBER, "trace")), b"").expect("room");
        let error = Ring::new(&folder, 1_000).begin(&[]).expect_err("no number is left").to_string();
        assert!(error.contains("4294967296.trace") && error.contains("move it"), "{error}");
        fs::remove_dir_all(&folder).expect("ours");
    }
}
