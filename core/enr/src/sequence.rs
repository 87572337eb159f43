//! Which sequence number does a node's next record have?
//!
//! Of a node's records others keep the one with the highest number, so a record counts only if its number is above all that its node has
//! signed before. The numbers are unix milliseconds, here and nowhere else: without any memory a later record beats an earlier one, as long as
//! one changes less than a thousand times a second and the clock does not go back. [`SequenceFile`] is the memory for where it does.
//!
//! The file says up to which number all are taken. A node reserves [`AHEAD`] of them before it tells its first record, since discovery may
//! change the record, and tell it, before anybody could write; and so again when half of them are used. What a life of it leaves unused is
//! behind the clock a second later.
//!
//! Invariant: no record whose number is above what the file says leaves a node that has one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use preconf_core::UnixTime;

/// The file's name in a node's data directory.
pub const SEQUENCE_FILE: &str = "enr.seq";
/// Numbers that are reserved in advance. Ours: a record changes a few times at the start, then rarely; by the clock it is one second.
const AHEAD: u64 = 1024;
/// Longest file that may be one: the digits of the largest number and the end of the line.
const MAX_FILE_BYTES: u64 = 21;
/// Highest number that is believed. Ours: half of all there are, so that digits that a disk made up leave room for records to come.
const MAX_STORED: u64 = u64::MAX / 2;

/// The number of a record that is signed now and beats all up to `last`.
///
/// ```
/// use preconf_core::UnixTime;
/// use preconf_enr::next_sequence;
/// assert_eq!(next_sequence(UnixTime::from_secs(7), None), 7_000);
/// assert_eq!(next_sequence(UnixTime::from_secs(7), Some(9_000)), 9_001, "the clock went back");
/// ```
pub fn next_sequence(now: UnixTime, last: Option<u64>) -> u64 {
    let by_clock = now.0 / 1_000;
    by_clock.max(last.map_or(1, |last| last.saturating_add(1)))
}

/// Why the numbers that are taken are not remembered.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}, where the sequence number of this node's record is kept: {error}", path.display())]
pub struct SequenceError {
    /// What was tried.
    what: &'static str,
    /// With what.
    path: PathBuf,
    /// What the system says.
    error: io::Error,
}

/// The numbers that a node's earlier records had, kept in a file.
#[derive(Debug)]
pub struct SequenceFile {
    path: PathBuf,
    /// All up to this one are taken; none is known to be.
    taken: Option<u64>,
}

impl SequenceFile {
    /// Reads [`SEQUENCE_FILE`] in a directory, which is made if it is not there.
    ///
    /// A file that makes no sense is put aside with a warning: the clock decides then, as if there had been none.
    ///
    /// # Errors
    /// The directory cannot be made, or the file not read.
    pub fn open(directory: &Path) -> Result<Self, SequenceError> {
        let path = directory.join(SEQUENCE_FILE);
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |error| SequenceError { what, path, error }
        };
        fs::create_dir_all(directory).map_err(failed("make", directory))?;
        let taken = match read(&path).map_err(failed("read", &path))? {
            Stored::Nothing => None,
            Stored::Number(taken) => Some(taken),
            Stored::Damaged => {
                let aside = directory.join(format!("{SEQUENCE_FILE}.corrupt"));
                fs::rename(&path, &aside).map_err(failed("put aside", &path))?;
                tracing::warn!(
                    path = %path.display(), aside = %aside.display(),
                    "the sequence number of this node's record makes no sense; it is put aside, and the clock decides: if that went back, \
                     others keep the old record until it is past the old one's time"
                );
                None
            }
        };
        Ok(Self { path, taken })
    }

    /// The number of a record that is signed now: above all that are taken, and above one of this node's that was seen. Nobody may hear of
    /// it before it is [reserved](Self::reserve).
    pub fn next(&self, now: UnixTime, seen: Option<u64>) -> u64 {
        next_sequence(now, self.taken.max(seen))
    }

    /// Takes all numbers up to this one, on disk before this returns.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn reserve(&mut self, up_to: u64) -> Result<(), SequenceError> {
        let failed = |error| SequenceError { what: "write", path: self.path.clone(), error };
        // `preconf enr show` may have taken some meanwhile.
        let others = if let Stored::Number(taken) = read(&self.path).map_err(failed)? { taken } else { 0 };
        let taken = up_to.max(others).max(self.taken.unwrap_or(0));
        write(&self.path, taken).map_err(failed)?;
        self.taken = Some(taken);
        Ok(())
    }

    /// Are there fewer numbers left behind this one than may be used before anybody could write?
    pub fn is_short_at(&self, sequence: u64) -> bool {
        self.taken.is_none_or(|taken| taken.saturating_sub(sequence) < AHEAD / 2)
    }

    /// Sees to it that a record with this number may change some times, which is all there is to do unless they [run short](Self::is_short_at).
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn follow(&mut self, sequence: u64) -> Result<(), SequenceError> {
        if self.is_short_at(sequence) { self.reserve(sequence.saturating_add(AHEAD)) } else { Ok(()) }
    }
}

enum Stored {
    Nothing,
    Number(u64),
    Damaged,
}

fn read(path: &Path) -> io::Result<Stored> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::Nothing),
        Err(error) => return Err(error),
    };
    let number = str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
    Ok(number.filter(|number| *number <= MAX_STORED).map_or(Stored::Damaged, Stored::Number))
}

/// Writes beside the file's place and moves it there, so that a crash at any moment leaves the old number or the new one.
fn write(path: &Path, number: u64) -> io::Result<()> {
    let beside = path.with_extension(format!("seq.new-{}", std::process::id())); // another process may write too
    let mut file = File::create(&beside)?;
    writeln!(file, "{number}")?;
    file.sync_all()?; // or the move could reach the disk before the bytes do
    fs::rename(&beside, path)?;
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?; // the move itself
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_000_000);

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("preconf-sequence-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    /// A life of a node: the number of its first record.
    fn life(directory: &Path, now: UnixTime) -> u64 {
        let mut file = SequenceFile::open(directory).expect("a directory");
        let first = file.next(now, None);
        file.follow(first).expect("written");
        first
    }

    #[test]
    fn p8_7_a_restart_beats_every_record_before_it_also_when_the_clock_went_back() {
        let directory = directory("back");
        let first = life(&directory, NOW);
        assert_eq!(first, 1_000_000_000, "unix milliseconds");
        let mut before = first;
        for back in [0, 1, 3_600, 900_000, 1_000_000] {
            let next = life(&directory, UnixTime::from_secs(1_000_000 - back));
            assert!(next > before + AHEAD / 2, "{next} after {before}, and the changes that it may have had");
            before = next;
        }
        let later = UnixTime::from_secs(2_000_000);
        assert_eq!(life(&directory, later), 2_000_000_000, "the clock decides again");
        fs::remove_dir_all(&directory).expect("ours");
    }

    #[test]
    fn p8_7_no_number_is_used_before_it_is_reserved_on_disk() {
        let directory = directory("reserved");
        let mut file = SequenceFile::open(&directory).expect("a directory");
        let first = file.next(NOW, None);
        let stored = || fs::read_to_string(directory.join(SEQUENCE_FILE)).expect("a file").trim().parse::<u64>().expect("a number");
        for sequence in first..first + 3 * AHEAD {
            file.follow(sequence).expect("written");
            assert!(stored() >= sequence + AHEAD / 2, "room for changes that are told before they are followed");
        }
        fs::remove_dir_all(&directory).expect("ours");
    }

    #[test]
    fn p8_7_what_another_process_took_is_not_taken_back() {
        let directory = directory("two");
        let mut node = SequenceFile::open(&directory).expect("a directory");
        let first = node.next(NOW, None);
        node.follow(first).expect("written");
        let mut shown = SequenceFile::open(&directory).expect("a directory");
        let number = shown.next(UnixTime::from_secs(2_000_000), None);
        shown.reserve(number).expect("written");
        node.follow(first + AHEAD).expect("written");
        assert!(SequenceFile::open(&directory).expect("a directory").next(NOW, None) > number);
        fs::remove_dir_all(&directory).expect("ours");
    }

    #[test]
    fn p8_7_a_record_of_ours_that_was_seen_is_beaten() {
        let directory = directory("seen");
        let file = SequenceFile::open(&directory).expect("a directory");
        assert_eq!(file.next(NOW, Some(5_000_000_000)), 5_000_000_001);
        assert_eq!(file.next(NOW, Some(5)), 1_000_000_000);
        fs::remove_dir_all(&directory).expect("ours");
    }

    #[test]
    fn p8_7_a_damaged_file_is_put_aside_and_the_clock_decides() {
        let directory = directory("damaged");
        fs::create_dir_all(&directory).expect("a directory");
        for bytes in [&b""[..], b"7", b"seven\n", b"-7\n", b"18446744073709551615\n", b"7\n7\n", &[0xff; 9], &[b'1'; 4096]] {
            fs::write(directory.join(SEQUENCE_FILE), bytes).expect("written");
            assert_eq!(life(&directory, NOW), 1_000_000_000, "{bytes:?}");
            assert_eq!(fs::read(directory.join("enr.seq.corrupt")).expect("kept"), bytes);
        }
        fs::remove_dir_all(&directory).expect("ours");
    }

    #[test]
    fn a_directory_that_cannot_be_had_is_named() {
        let directory = directory("file");
        fs::write(&directory, "a file").expect("written");
        let error = SequenceFile::open(&directory).expect_err("no directory").to_string();
        assert!(error.contains(&directory.display().to_string()), "{error}");
        fs::remove_file(&directory).expect("ours");
    }
}
