//! Do the golden vectors hold?
//!
//! The files were written from PROTOCOL.md by an implementation that shares no code with ours. Each has a module of its own here, with the
//! rows as they stand in the file and what the core's public surface must say of them. Reading is strict: an unknown file, an unknown or a
//! missing field, an empty list, a missing file are failures.

use std::io;
use std::path::Path;

use preconf_core::SignedCommitment;

mod chunks;
mod commitments;
mod frames;
mod ids;
mod invalid;
mod message_ids;
mod rate_limits;
mod report;
mod reputation;
mod reqresp;
mod text;
mod txlists;
mod verdict;

pub use report::{Failure, FileReport, Problem, Report};
use report::{Tally, Unreadable};

type Run = fn(&[u8], &[SignedCommitment]) -> Result<Tally, Unreadable>;

/// Every file that a folder of vectors has, and what runs it. The commitments of the chain in `commitments.json` go to each: others count
/// on them.
const FILES: [(&str, Run); 9] = [
    ("commitments.json", |text, _| commitments::run(text)),
    ("frames.json", |text, _| frames::run(text)),
    ("ids.json", |text, _| ids::run(text)),
    ("invalid.json", |text, _| invalid::run(text)),
    ("message_ids.json", |text, _| message_ids::run(text)),
    ("rate_limits.json", |text, _| rate_limits::run(text)),
    ("reputation.json", |text, _| reputation::run(text)),
    ("reqresp.json", reqresp::run),
    ("txlists.json", |text, _| txlists::run(text)),
];

/// Runs a folder of vectors.
///
/// # Errors
/// The folder cannot be listed. All else, unreadable files among it, stands in the report.
pub fn run_dir(dir: &Path) -> io::Result<Report> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let chain = std::fs::read(dir.join("commitments.json")).map(|text| commitments::chain(&text)).unwrap_or_default();
    let mut files: Vec<FileReport> = FILES
        .iter()
        .map(|(name, run)| match std::fs::read(dir.join(name)) {
            Ok(text) => run_text(name, *run, &text, &chain),
            Err(error) => FileReport::failed(name, Problem::NoFile(error.kind())),
        })
        .collect();
    let unknown = names.iter().filter(|name| FILES.iter().all(|(known, _)| known != name));
    files.extend(unknown.map(|name| FileReport::failed(name, Problem::UnknownFile)));
    Ok(Report { files })
}

fn run_text(name: &str, run: Run, text: &[u8], chain: &[SignedCommitment]) -> FileReport {
    match run(text, chain) {
        Ok(tally) => FileReport { name: name.to_owned(), passed: tally.passed, pending: tally.pending, failures: tally.failures },
        Err(unreadable) => FileReport::failed(name, Problem::Unreadable(unreadable)),
    }
}
