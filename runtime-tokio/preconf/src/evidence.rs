//! `preconf evidence`: is a preconfer's fault proven, and whose is it?
//!
//! Needs no node, no network and no schedule: a bundle proves what it proves by its bytes alone. Exit status 0: proven; 1: not proven; 2: the
//! file is no bundle or cannot be read.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use preconf_bundle::{Bundle, BundleError};
use preconf_core::{B256, DEFAULT_DOMAIN, Promise};

use crate::hexes;
use crate::text_file::{self, FileError};

/// Longest file that is read. Ours: many times a bundle, which is about 2 KiB.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// `preconf evidence`.
#[derive(Debug, Args)]
pub(crate) struct EvidenceArgs {
    #[command(subcommand)]
    command: EvidenceCommand,
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Say what a bundle proves, and of whom, or why it proves nothing.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// A bundle, or a line "evidence_found" of `preconf run`, which holds one; "-" is stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Your chain's signing domain: 32 bytes as hex. A bundle under another one then proves nothing. Without it the bundle's own is taken.
    #[arg(long, value_name = "HEX", value_parser = hexes::hash)]
    domain: Option<B256>,
}

/// Why a file is no bundle.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error("{}: {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: BundleError,
    },
}

/// Does what `preconf evidence` asks.
pub(crate) fn run(args: &EvidenceArgs) -> ExitCode {
    let EvidenceCommand::Verify(VerifyArgs { file, domain }) = &args.command;
    match load(file) {
        Ok(bundle) => {
            let (proven, words) = explain(&bundle, *domain);
            println!("{words}");
            if proven { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn load(path: &Path) -> Result<Bundle, LoadError> {
    let text = text_file::load(path, MAX_FILE_BYTES)?;
    parse(&text).map_err(|error| LoadError::Content { path: path.to_owned(), error })
}

/// Reads a bundle, or the line of `preconf run` that holds one.
fn parse(text: &str) -> Result<Bundle, BundleError> {
    let mut value: serde_json::Value = serde_json::from_str(text)?;
    let bundle = value.get_mut("bundle").map(serde_json::Value::take);
    Bundle::from_json(bundle.unwrap_or(value))
}

/// Is it proven, and what is there to say?
fn explain(bundle: &Bundle, domain: Option<B256>) -> (bool, String) {
    if let Some(domain) = domain.filter(|domain| *domain != bundle.domain) {
        return (false, format!("Not proven: the bundle is of another signing domain, {}, than {domain}.", bundle.domain));
    }
    let proof = match bundle.verify() {
        Ok(proof) => proof,
        Err(reason) => return (false, format!("Not proven: {reason}.")),
    };
    let promise = |Promise { hash, block_number, window_end }| format!("{hash} (block {block_number}, window until {window_end})");
    let note = if bundle.domain == DEFAULT_DOMAIN { " (the placeholder: it does not say on which chain)" } else { "" };
    let words = format!(
        "Proven: {proof}.\n\nfault   {}\nsigner  {}\nfirst   {}\nsecond  {}\ndomain  {}{note}",
        proof.fault.label(),
        proof.signer,
        promise(proof.first),
        promise(proof.second),
        bundle.domain,
    );
    (true, words)
}
