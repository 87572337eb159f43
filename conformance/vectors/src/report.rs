//! What came out: per file and row, and why a row failed.

use std::fmt::Debug;
use std::io;

use serde_json::json;

/// Longest value that a problem quotes, in characters. Ours: a line of a terminal or two.
const MAX_QUOTE: usize = 160;

/// Text that is not what its file should hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(#[from] serde_json::Error);

/// Why a row, or a whole file, failed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The core says something else than the vector.
    #[error("{what}: the vector says {expected}, the core says {found}")]
    Differs {
        /// What was compared.
        what: &'static str,
        /// The vector's value.
        expected: String,
        /// The core's value.
        found: String,
    },
    /// The row's own fields do not fit each other.
    #[error("the row contradicts itself: {0}")]
    Contradiction(&'static str),
    /// A list without a row proves nothing.
    #[error("the list is empty")]
    Empty,
    /// The file is not what it should be.
    #[error("cannot be read: {0}")]
    Unreadable(Unreadable),
    /// A file that should be there cannot be opened.
    #[error("cannot be opened: {0}")]
    NoFile(io::ErrorKind),
    /// A file that nothing runs.
    #[error("no such file of vectors is known")]
    UnknownFile,
}

/// A row that failed.
#[derive(Debug)]
pub struct Failure {
    /// The row's name.
    pub row: String,
    /// Why.
    pub problem: Problem,
}

/// What came out of one file.
#[derive(Debug)]
pub struct FileReport {
    /// The file's name.
    pub name: String,
    /// Rows that hold.
    pub passed: usize,
    /// Rows that were read, but that the core cannot do yet. None at present.
    pub pending: usize,
    /// Rows that do not hold.
    pub failures: Vec<Failure>,
}

impl FileReport {
    pub(super) fn failed(name: &str, problem: Problem) -> Self {
        Self { name: name.to_owned(), passed: 0, pending: 0, failures: vec![Failure { row: "the whole file".to_owned(), problem }] }
    }
}

/// What came out of a folder.
#[derive(Debug)]
pub struct Report {
    /// Its files: the known ones in order, then those that nothing runs.
    pub files: Vec<FileReport>,
}

impl Report {
    /// Did nothing fail?
    pub fn ok(&self) -> bool {
        self.failed() == 0
    }

    /// Rows that hold.
    pub fn passed(&self) -> usize {
        self.files.iter().map(|file| file.passed).sum()
    }

    /// Rows that do not hold, and files that are no vectors.
    pub fn failed(&self) -> usize {
        self.files.iter().map(|file| file.failures.len()).sum()
    }

    /// Rows that the core cannot do yet.
    pub fn pending(&self) -> usize {
        self.files.iter().map(|file| file.pending).sum()
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        let failures = |file: &FileReport| -> Vec<_> {
            file.failures.iter().map(|failure| json!({ "row": failure.row, "problem": failure.problem.to_string() })).collect()
        };
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| {
                json!({
                    "file": file.name, "passed": file.passed, "failed": file.failures.len(), "pending": file.pending,
                    "failures": failures(file),
                })
            })
            .collect();
        json!({ "ok": self.ok(), "passed": self.passed(), "failed": self.failed(), "pending": self.pending(), "files": files })
    }
}

/// Counts the rows of one file.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failures: Vec<Failure>,
}

impl Tally {
    /// Checks every row of a list that must hold at least one.
    pub(super) fn check<T>(&mut self, rows: &[T], name: impl Fn(&T) -> &str, check: impl Fn(&T) -> Result<(), Problem>) {
        if rows.is_empty() {
            self.failures.push(Failure { row: "the whole list".to_owned(), problem: Problem::Empty });
        }
        for row in rows {
            match check(row) {
                Ok(()) => self.passed += 1,
                Err(problem) => self.failures.push(Failure { row: name(row).to_owned(), problem }),
            }
        }
    }
}

/// Compares what the vector says with what the core says.
pub(super) fn same<T: PartialEq + Debug + ?Sized>(what: &'static str, expected: &T, found: &T) -> Result<(), Problem> {
    if expected == found {
        return Ok(());
    }
    Err(Problem::Differs { what, expected: quote(expected), found: quote(found) })
}

/// Asks of the row's own fields that they fit each other.
pub(super) fn consistent(holds: bool, rule: &'static str) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(Problem::Contradiction(rule)) }
}

fn quote(value: &(impl Debug + ?Sized)) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
