//! Do the golden vectors hold?
//!
//! The files were written from the text of the [protocol](preconf_core::protocol) by an implementation that shares no code with ours. Each has a
//! module of its own here, with the rows as they stand in the file and what the core's public surface must say of them. Reading is strict: an
//! unknown file, an unknown or a missing field, an empty list, a missing file are failures, because a check that skips what it does not know
//! cannot fail.
//!
//! The committed files lie beside this package's manifest, in `conformance/vectors`.

#![cfg_attr(docsrs, feature(doc_cfg))]

use std::io;
use std::path::Path;

mod chunks;
mod commitments;
mod frames;
mod gossip;
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

type Run = fn(&[u8], &[u8]) -> Result<Tally, Unreadable>;

/// Every file that a folder of vectors has, and what runs it, given its text and that of `commitments.json`.
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

/// What lies beside the committed files because they are a package too; nothing else may.
const PACKAGE: [&str; 6] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src", "tests"];

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
    names.retain(|name| FILES.iter().all(|(known, _)| known != name) && !PACKAGE.contains(&name.as_str()));
    // Unreadable commitments leave no chain here; their own run says why.
    let commitments = std::fs::read(dir.join("commitments.json")).unwrap_or_default();
    let known = FILES.iter().map(|(name, _)| match std::fs::read(dir.join(name)) {
        Ok(text) => run_file(name, &text, &commitments),
        Err(error) => FileReport::failed(name, Problem::NoFile(error.kind())),
    });
    let unknown = names.iter().map(|name| FileReport::failed(name, Problem::UnknownFile));
    Ok(Report { files: known.chain(unknown).collect() })
}

/// Runs one file, given its name, its text, and the text of `commitments.json`, whose chain other files count on.
pub fn run_file(name: &str, text: &[u8], commitments: &[u8]) -> FileReport {
    let Some((_, run)) = FILES.iter().find(|(known, _)| *known == name) else {
        return FileReport::failed(name, Problem::UnknownFile);
    };
    match run(text, commitments) {
        Ok(tally) => FileReport { name: name.to_owned(), passed: tally.passed, pending: 0, failures: tally.failures },
        Err(unreadable) => FileReport::failed(name, Problem::Unreadable(unreadable)),
    }
}

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
