//! Where do the segments of a trace go that is never full?
//!
//! ```text
//!  DIR/00000041.trace     a segment: it begins with a snapshot of the machine, and replays by itself
//!  DIR/00000041.txlists   which txlists its snapshot names, 32 bytes each
//!  DIR/txlists/HASH       their bytes, each once for all segments
//! ```
//!
//! The oldest segments go, and with them the txlists that no other one names, before anything is written that would make all of it longer than
//! may be. Txlists count in full. A crash at any moment leaves at most the last segment cut, and perhaps txlists that nobody names: the
//! next start clears those away. Nothing is synced: a trace is for people, and no promise.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use preconf_core::{B256, Bytes};

/// The folder of the txlists.
const TXLISTS: &str = "txlists";

/// The files of a ring.
#[derive(Debug)]
pub(crate) struct Ring {
    folder: PathBuf,
    max_bytes: u64,
    /// The oldest first. The last one is being written while there is a `file`.
    segments: VecDeque<Segment>,
    txlists: BTreeMap<B256, u64>,
    file: Option<File>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    txlists: BTreeSet<B256>,
}

impl Ring {
    /// Goes on in a folder, which is made if it is missing.
    pub(crate) fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        make_dir(&folder.join(TXLISTS))?;
        let mut ring = Self { folder: folder.to_owned(), max_bytes, segments: VecDeque::new(), txlists: BTreeMap::new(), file: None };
        let mut numbers = BTreeSet::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.split_once('.')?.0.parse::<u64>().ok());
            numbers.extend(number);
        }
        for number in numbers {
            let names = fs::read(ring.path(number, "txlists")).unwrap_or_default();
            let txlists: BTreeSet<B256> = names.chunks_exact(32).map(B256::from_slice).collect();
            let bytes = fs::metadata(ring.path(number, "trace")).map_or(0, |file| file.len()) + names.len() as u64;
            ring.segments.push_back(Segment { number, bytes, txlists });
        }
        for entry in fs::read_dir(folder.join(TXLISTS))? {
            let entry = entry?;
            match entry.file_name().to_str().and_then(|name| name.parse::<B256>().ok()) {
                Some(hash) => drop(ring.txlists.insert(hash, entry.metadata()?.len())),
                None => fs::remove_file(entry.path())?, // a crash left it half written
            }
        }
        ring.clear()?;
        ring.make_room(0)?;
        Ok(ring)
    }

    /// Begins a segment that names these txlists.
    pub(crate) fn begin(&mut self, txlists: &[(B256, Bytes)]) -> io::Result<()> {
        self.file = None;
        let new: Vec<&(B256, Bytes)> = txlists.iter().filter(|(hash, _)| !self.txlists.contains_key(hash)).collect();
        let names = txlists.iter().flat_map(|(hash, _)| hash.0).collect::<Vec<u8>>();
        let number = self.segments.back().map_or(1, |last| last.number + 1);
        // First, so that room is not made of what it needs.
        self.segments.push_back(Segment { number, bytes: 0, txlists: txlists.iter().map(|(hash, _)| *hash).collect() });
        let bytes = names.len() as u64 + new.iter().map(|(_, list)| list.len() as u64).sum::<u64>();
        let begun = self.make_room(bytes).and_then(|()| {
            for (hash, list) in new {
                self.put(*hash, list)?;
            }
            fs::write(self.path(number, "txlists"), &names)?;
            File::create(self.path(number, "trace"))
        });
        match begun {
            Ok(file) => {
                self.last().bytes = names.len() as u64;
                self.file = Some(file);
                Ok(())
            }
            Err(error) => {
                self.drop_last();
                Err(error)
            }
        }
    }

    fn put(&mut self, hash: B256, list: &Bytes) -> io::Result<()> {
        let (path, beside) = (self.txlist(&hash), self.folder.join(TXLISTS).join("new"));
        fs::write(&beside, list)?;
        fs::rename(&beside, path)?;
        self.txlists.insert(hash, list.len() as u64);
        Ok(())
    }

    /// Has so much more fit, by what is oldest. What is being written stays.
    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        while self.bytes() + bytes > self.max_bytes {
            if self.segments.len() < 2 {
                let text = format!("{} bytes of {} are taken by this segment and its txlists alone", self.bytes(), self.max_bytes);
                return Err(io::Error::new(io::ErrorKind::StorageFull, text));
            }
            let oldest = self.segments.pop_front().map_or(0, |oldest| oldest.number);
            for kind in ["trace", "txlists"] {
                remove(&self.path(oldest, kind))?;
            }
            self.clear()?;
        }
        Ok(())
    }

    /// Removes the txlists that no segment names.
    fn clear(&mut self) -> io::Result<()> {
        let named: BTreeSet<B256> = self.segments.iter().flat_map(|segment| segment.txlists.iter().copied()).collect();
        let unnamed: Vec<B256> = self.txlists.keys().filter(|hash| !named.contains(*hash)).copied().collect();
        for hash in unnamed {
            remove(&self.txlist(&hash))?;
            self.txlists.remove(&hash);
        }
        Ok(())
    }

    /// A segment that could not be begun.
    fn drop_last(&mut self) {
        self.file = None;
        if let Some(last) = self.segments.pop_back() {
            for kind in ["trace", "txlists"] {
                let _ = remove(&self.path(last.number, kind)); // the next start looks again
            }
            let _ = self.clear();
        }
    }

    fn last(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("one is being written")
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() + self.txlists.values().sum::<u64>()
    }

    fn path(&self, number: u64, kind: &str) -> PathBuf {
        self.folder.join(format!("{number:08}.{kind}"))
    }

    fn txlist(&self, hash: &B256) -> PathBuf {
        self.folder.join(TXLISTS).join(hash.to_string())
    }
}

impl Write for Ring {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.make_room(bytes.len() as u64)?;
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("no segment is begun"))?;
        let written = file.write(bytes)?;
        self.last().bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// It tells what a log tells, and is nobody else's.
fn make_dir(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
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
        let mut ring = Ring::open(&folder, 1_000).expect("a folder");
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
        let mut ring = Ring::open(&folder, 1_000).expect("a folder");
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
        let mut ring = Ring::open(&folder, 1_000).expect("a folder");
        ring.begin(&[list(1, 100)]).expect("room");
        ring.write_all(&[0; 100]).expect("room");
        drop(ring);
        fs::write(folder.join(TXLISTS).join("new"), b"half").expect("room");
        fs::write(folder.join(TXLISTS).join(B256::repeat_byte(9).to_string()), b"nobody's").expect("room");
        let mut ring = Ring::open(&folder, 1_000).expect("a folder");
        assert_eq!(files(&folder).0, ["00000001.trace", "00000001.txlists", "0x010101"]);
        ring.begin(&[list(1, 100)]).expect("room");
        assert_eq!(files(&folder).0, ["00000001.trace", "00000001.txlists", "00000002.trace", "00000002.txlists", "0x010101"]);
        drop(ring);
        let ring = Ring::open(&folder, 150).expect("a smaller bound");
        assert_eq!((ring.segments.len(), ring.bytes()), (1, 132));
        fs::remove_dir_all(&folder).expect("ours");
    }
}
