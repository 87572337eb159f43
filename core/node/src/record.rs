//! Where does a node's trace go, and how does it get there without the loop ever waiting for a disk?
//!
//! The machine's [`Recorder`](preconf_trace::Recorder) writes into memory; pieces of work take it from there to the file, one at a time, on
//! the threads that slow work has. A disk that stays more than [`MAX_BEHIND_BYTES`] behind, or fails, ends the recording with one warning;
//! the node goes on.
//!
//! A *ring* ([`RecordConfig::ring`]) has the last of what happened, in segments that each begin with a snapshot of the machine, across
//! starts: what was last night is there in the morning. What ends a segment early, a disk that is full or behind, costs what happens until the
//! next one is begun; so does a folder that cannot be read or made when the node starts (P10.4).
//!
//! Else every start of a node begins a new file, and only a start brings a machine into the state of its trace. The file before becomes
//! `FILE.1`, that one `FILE.2`, and so on; the oldest goes. So what is on the disk always replays from its beginning, and what one setting
//! of `keep` leaves is never more than `max_bytes * (keep + 1)`; files of an earlier, larger `keep` are not touched. A node that fills its file
//! goes on unrecorded.
//!
//! **A stranger can end a recording.** What strangers send is in it whole, also what costs them nothing (a txlist over its quota is ignored):
//! 128 messages of 2 MiB fill the default 256 MiB, and a burst of [`MAX_BEHIND_BYTES`] that a disk cannot follow ends it at once. No share
//! is kept for each peer: a step that is left out would leave the rest without a replay. So a trace shows the time from a start until it is
//! full, with one warning in the log where it ends; it is no evidence that nothing came after.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;
use preconf_core::{B256, Bytes, ConfigError};
use preconf_trace::{NamedTxLists, Tape};

use crate::jobs::JobRunner;
use crate::ring::Ring;

/// Most bytes that may wait for the disk, beside one snapshot with which a segment of a ring begins. Ours: sixteen of the longest txlists.
const MAX_BEHIND_BYTES: usize = 32 << 20;

/// How a node is recorded.
///
/// ```
/// use preconf_node::RecordConfig;
/// let record = RecordConfig { keep: 1, ..RecordConfig::new("/var/lib/preconf/node.trace") };
/// assert_eq!(record.max_bytes, 256 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordConfig {
    /// The file; one that is there becomes `FILE.1`. Of a ring: the folder.
    pub path: PathBuf,
    /// Is it a ring of segments, which is never full? Default: no.
    pub is_ring: bool,
    /// How many earlier files are kept. Default 3. Ours: those of a node that crashes a few times before somebody looks.
    pub keep: u32,
    /// Most bytes of one file; of a ring, of all that is in its folder, txlists included. Default 256 MiB, of a ring 1 GiB. Ours: hours of a calm network; a flood fills it in minutes or less, since what
    /// strangers send is in it whole, and a full file ends the recording until the next start.
    pub max_bytes: u64,
}

impl RecordConfig {
    /// Records to this file, with the defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_ring: false, keep: 3, max_bytes: 256 << 20 }
    }

    /// Records the last of what happens to this folder, with the defaults. Ours: 1 GiB, of which the txlists of a full node are 256 MiB.
    pub fn ring(path: impl Into<PathBuf>) -> Self {
        Self { is_ring: true, max_bytes: 1 << 30, ..Self::new(path) }
    }

    /// When a segment of a ring is ended. Ours: so that one in sixteen of what is kept goes at a time.
    pub(crate) fn segment_bytes(&self) -> u64 {
        (self.max_bytes / 16).min(64 << 20)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.keep > 1_000 {
            return Err(ConfigError { key: "record.keep", value: self.keep.to_string(), allowed: "0 to 1000" });
        }
        if self.max_bytes < 64 << 10 {
            return Err(ConfigError { key: "record.max_bytes", value: self.max_bytes.to_string(), allowed: "64 KiB or more" });
        }
        Ok(())
    }

    /// Makes room and begins a new file.
    pub(crate) fn open(&self) -> io::Result<File> {
        let numbered = |number: u32| if number == 0 { self.path.clone() } else { with_number(&self.path, number) };
        for number in (0..self.keep).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        File::create(&self.path)
    }
}

fn with_number(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// Begins to write behind the loop's back. What still waits when everything else is over, [`Remainder`] writes.
pub(crate) fn tape(to: impl Write + Send + 'static, max_bytes: u64, runner: Arc<dyn JobRunner>) -> (Tape<Behind>, Remainder) {
    let (to, rest) = behind(One(to), runner);
    (Tape { to, max_bytes }, rest)
}

/// The same for any sink.
pub(crate) fn behind(to: impl Sink + Send + 'static, runner: Arc<dyn JobRunner>) -> (Behind, Remainder) {
    let shared = Arc::new(Shared { waiting: Mutex::default(), sink: Mutex::new(Box::new(to)) });
    let rest = Remainder { shared: Some(Arc::clone(&shared)), runner: Arc::clone(&runner) };
    (Behind { shared, runner }, rest)
}

impl Behind {
    /// What is written from here on is of a new segment. What failed before it is forgotten.
    ///
    /// What it begins with, up to the first flush, is a snapshot of the machine: it is as long as that is, which has a bound of its own, and
    /// counts only when another segment is to begin while it still waits.
    pub(crate) fn begin_segment(&mut self, txlists: NamedTxLists) -> io::Result<()> {
        let mut waiting = self.shared.waiting();
        if waiting.bytes.len() > MAX_BEHIND_BYTES {
            return Err(too_far_behind(waiting.bytes.len()));
        }
        waiting.failed = None;
        waiting.is_beginning = true;
        let at = waiting.bytes.len();
        waiting.segments.push_back((at, txlists));
        Ok(())
    }
}

/// Takes a trace into memory and sees that it gets to its file.
pub(crate) struct Behind {
    shared: Arc<Shared>,
    runner: Arc<dyn JobRunner>,
}

/// A file, or files, one after the other.
pub(crate) trait Sink: Write {
    /// What is written from here on is of a new segment, which names these txlists.
    fn begin(&mut self, txlists: &[(B256, Bytes)]) -> io::Result<()>;
}

impl Sink for Ring {
    fn begin(&mut self, txlists: &[(B256, Bytes)]) -> io::Result<()> {
        Self::begin(self, txlists)
    }
}

/// Only a ring has segments.
struct One<W>(W);

impl<W: Write> Write for One<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Sink for One<W> {
    fn begin(&mut self, _: &[(B256, Bytes)]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What nobody has written yet. To be finished, or dropped, after the recorder.
pub(crate) struct Remainder {
    /// `None` once somebody else sees to it.
    shared: Option<Arc<Shared>>,
    runner: Arc<dyn JobRunner>,
}

impl Remainder {
    /// Has it written by the runner, and waits for that. Whoever stops waiting loses nothing but the news: the work goes on.
    pub(crate) async fn finish(mut self) {
        let Some(shared) = self.shared.take().filter(|shared| !shared.is_written()) else { return };
        let (done, written) = oneshot::channel::<()>();
        self.runner.run(Box::new(move || {
            shared.write_out();
            let _ = done.send(()); // nobody may wait any more
        }));
        let _ = written.await; // a runner that is itself at its end drops the work
    }
}

impl Drop for Remainder {
    /// For a driver that is dropped in the middle: nobody can be relied on any more, so this waits for the disk.
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.write_out();
        }
    }
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// Locked only by whoever writes, and before `waiting`.
    sink: Mutex<Box<dyn Sink + Send>>,
}

/// What the file does not have yet.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Before which of these bytes a segment begins, and the txlists that it names.
    segments: VecDeque<(usize, NamedTxLists)>,
    /// How many of these bytes are what segments begin with, and is one just beginning?
    beginning: usize,
    is_beginning: bool,
    /// Is a piece of work on its way to write it?
    is_fetched: bool,
    /// The disk said no; told once.
    failed: Option<io::Error>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is there nothing left to do? A disk that failed gets no more.
    fn is_written(&self) -> bool {
        let waiting = self.waiting();
        !waiting.is_fetched && (waiting.is_empty() || waiting.failed.is_some())
    }

    /// Writes until nothing waits.
    fn write_out(&self) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut bytes, mut segments) = (Vec::new(), VecDeque::new());
        loop {
            bytes.clear();
            {
                let mut waiting = self.waiting();
                if waiting.is_empty() || waiting.failed.is_some() {
                    waiting.is_fetched = false;
                    return;
                }
                mem::swap(&mut bytes, &mut waiting.bytes);
                waiting.beginning = 0;
                mem::swap(&mut segments, &mut waiting.segments);
            }
            if let Err(error) = write(&mut **sink, &bytes, segments.drain(..)) {
                let mut waiting = self.waiting();
                waiting.failed = Some(error);
                (waiting.bytes, waiting.beginning) = (Vec::new(), 0); // nobody will write it
                waiting.segments.clear();
            }
        }
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.segments.is_empty()
    }
}

/// Writes these bytes, and begins a segment wherever one begins among them.
fn write(sink: &mut (dyn Sink + Send), bytes: &[u8], segments: impl Iterator<Item = (usize, NamedTxLists)>) -> io::Result<()> {
    let mut done = 0;
    for (at, txlists) in segments {
        sink.write_all(&bytes[done..at])?;
        sink.begin(&txlists)?;
        done = at;
    }
    sink.write_all(&bytes[done..])?;
    sink.flush()
}

fn too_far_behind(waiting: usize) -> io::Error {
    let text = format!("the disk is too far behind: {waiting} bytes wait for it, and {MAX_BEHIND_BYTES} may; record to a faster one");
    io::Error::new(io::ErrorKind::WouldBlock, text)
}

impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut waiting = self.shared.waiting();
        if let Some(error) = &waiting.failed {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        if waiting.is_beginning {
            waiting.beginning += bytes.len();
        } else if waiting.bytes.len() - waiting.beginning + bytes.len() > MAX_BEHIND_BYTES {
            return Err(too_far_behind(waiting.bytes.len()));
        }
        waiting.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut waiting = self.shared.waiting();
        waiting.is_beginning = false;
        if waiting.is_empty() || mem::replace(&mut waiting.is_fetched, true) {
            return Ok(());
        }
        drop(waiting); // a runner may do the work on the spot
        let shared = Arc::clone(&self.shared);
        self.runner.run(Box::new(move || shared.write_out()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::jobs::BoxedWork;

    /// Keeps work until it is told to do it.
    #[derive(Default)]
    struct Held(Mutex<VecDeque<BoxedWork>>);

    impl Held {
        fn run_all(&self) -> usize {
            let works = mem::take(&mut *self.0.lock().expect("no panic"));
            let count = works.len();
            works.into_iter().for_each(|work| work());
            count
        }
    }

    impl JobRunner for Held {
        fn run(&self, work: BoxedWork) {
            self.0.lock().expect("no panic").push_back(work);
        }

        fn width(&self) -> usize {
            1
        }
    }

    /// A disk in memory, that may be full.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<Vec<u8>>>, usize);

    impl Disk {
        fn of(room: usize) -> Self {
            Self(Arc::default(), room)
        }

        fn len(&self) -> usize {
            self.0.lock().expect("no panic").len()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().expect("no panic");
            if disk.len() + bytes.len() > self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn behind(disk: &Disk) -> (Behind, Remainder, Arc<Held>) {
        let runner = Arc::new(Held::default());
        let (tape, rest) = tape(disk.clone(), 1 << 30, Arc::clone(&runner) as Arc<dyn JobRunner>);
        (tape.to, rest, runner)
    }

    #[test]
    fn each_start_begins_a_new_file_and_only_so_many_old_ones_stay() {
        let folder = std::env::temp_dir().join(format!("preconf-record-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let record = RecordConfig { keep: 2, ..RecordConfig::new(folder.join("node.trace")) };
        for start in 0..5 {
            record.open().expect("a file").write_all(&[start]).expect("room");
        }
        let read = |name: &str| fs::read(folder.join(name)).ok();
        assert_eq!(["node.trace", "node.trace.1", "node.trace.2"].map(read), [Some(vec![4]), Some(vec![3]), Some(vec![2])]);
        assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 3);
        let record = RecordConfig { keep: 0, ..record };
        record.open().expect("a file");
        assert_eq!(["node.trace", "node.trace.1"].map(read), [Some(vec![]), Some(vec![3])], "nothing is kept, and nothing else is touched");
        fs::remove_dir_all(&folder).expect("it was there");
        assert_eq!(record.open().expect_err("no folder").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_bad_value_names_its_key() {
        let key = |record: RecordConfig| record.check().expect_err("refused").key;
        assert_eq!(key(RecordConfig { keep: 1_001, ..RecordConfig::new("x") }), "record.keep");
        assert_eq!(key(RecordConfig { max_bytes: 1, ..RecordConfig::new("x") }), "record.max_bytes");
        assert_eq!(RecordConfig::new("x").check(), Ok(()));
    }

    #[test]
    fn nothing_is_written_on_the_loop_and_one_piece_of_work_is_out_at_a_time() {
        let disk = Disk::of(usize::MAX);
        let (mut to, _rest, runner) = behind(&disk);
        to.write_all(&[1; 100]).expect("room");
        assert_eq!(runner.run_all(), 0, "bytes wait for a flush");
        to.flush().expect("room");
        to.write_all(&[2; 1000]).expect("room");
        to.flush().expect("room");
        assert_eq!(disk.len(), 0);
        assert_eq!((runner.run_all(), disk.len()), (1, 1_100));
        to.write_all(&[3; 7]).expect("room");
        to.flush().expect("room");
        assert_eq!((runner.run_all(), disk.len()), (1, 1_107));
    }

    #[test]
    fn a_disk_that_is_too_far_behind_ends_it() {
        let disk = Disk::of(usize::MAX);
        let (mut to, _rest, _runner) = behind(&disk);
        to.write_all(&vec![0; MAX_BEHIND_BYTES]).expect("room");
        assert_eq!(to.write_all(&[0]).expect_err("too far").kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_snapshot_may_be_longer_than_what_else_may_wait_and_only_one_does() {
        let ring = std::env::temp_dir().join(format!("preconf-record-snapshot-{}", std::process::id()));
        let _ = fs::remove_dir_all(&ring);
        let runner = Arc::new(Held::default());
        let (mut to, _rest) = super::behind(Ring::new(&ring, 1 << 30), Arc::clone(&runner) as Arc<dyn JobRunner>);
        let piece = vec![0; MAX_BEHIND_BYTES / 2 + 1];
        let snapshot = |to: &mut Behind| {
            to.begin_segment(Vec::new())?;
            (0..3).try_for_each(|_| to.write_all(&piece))?;
            to.flush()
        };
        snapshot(&mut to).expect("it has room of its own");
        to.write_all(&piece).expect("and the steps have theirs");
        assert_eq!(to.write_all(&piece).expect_err("which ends").kind(), io::ErrorKind::WouldBlock);
        assert_eq!(snapshot(&mut to).expect_err("the first one still waits").kind(), io::ErrorKind::WouldBlock);
        runner.run_all();
        assert_eq!(fs::metadata(ring.join("00000001.trace")).expect("there").len(), 4 * piece.len() as u64);
        snapshot(&mut to).expect("all is written");
        drop(to);
        runner.run_all();
        fs::remove_dir_all(&ring).expect("ours");
    }

    #[test]
    fn a_full_disk_is_told_at_the_next_write() {
        let disk = Disk::of(10);
        let (mut to, _rest, runner) = behind(&disk);
        to.write_all(&[0; 11]).expect("room in memory");
        to.flush().expect("nothing is known yet");
        to.write_all(&[0; 100]).expect("room in memory");
        runner.run_all();
        assert_eq!(to.write_all(&[0]).expect_err("full").kind(), io::ErrorKind::StorageFull);
        assert_eq!(to.shared.waiting().bytes.capacity(), 0, "what nobody will write takes no memory");
    }

    #[test]
    fn at_an_orderly_end_the_loop_waits_for_the_disk_but_never_writes_itself() {
        let disk = Disk::of(usize::MAX);
        let (mut to, rest, runner) = behind(&disk);
        to.write_all(&[1; 50]).expect("room");
        drop(to);
        let mut finish = Box::pin(rest.finish());
        assert_eq!((&mut finish).now_or_never(), None);
        assert_eq!(disk.len(), 0);
        assert_eq!((runner.run_all(), disk.len()), (1, 50));
        assert_eq!(finish.now_or_never(), Some(()));
    }

    #[test]
    fn a_disk_that_hangs_at_the_end_can_be_left_behind() {
        let disk = Disk::of(usize::MAX);
        let (mut to, rest, runner) = behind(&disk);
        to.write_all(&[1; 50]).expect("room");
        drop(to);
        assert_eq!(rest.finish().now_or_never(), None); // and dropped
        assert_eq!(disk.len(), 0, "the loop has not written");
        runner.run_all();
        assert_eq!(disk.len(), 50);
    }

    #[test]
    fn the_rest_is_written_even_by_a_runtime_that_runs_nothing_more() {
        let disk = Disk::of(usize::MAX);
        let (mut to, rest, runner) = behind(&disk);
        to.write_all(&[1; 50]).expect("room");
        to.flush().expect("room");
        drop(to);
        drop(rest);
        assert_eq!(disk.len(), 50);
        runner.run_all();
        assert_eq!(disk.len(), 50, "and not twice");
    }
}
