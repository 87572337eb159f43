//! `preconf store`: what an operator does with a data directory while no node runs on it.
//!
//! Exit status 0: all is well; 1: something is damaged or refused, and stdout or stderr says what; 2: flags that make no sense. What is damaged
//! is never made worse: only `accept` writes where something is, and keeps the old file beside it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use preconf_core::{B256, ChainId, DEFAULT_DOMAIN, OwnCommitment, Record, recover_any};
use preconf_store::{
    AcceptedDamage, Flaws, ImportError, Imported, Inspection, Interchange, OpenError, Options, accept_damage, export, import, inspect,
};
use serde_json::{Value, json};

use crate::hexes;
use crate::text_file::{self, FileError};

/// Longest file that is imported, in bytes. Ours: twice as many commitments as a store ever holds, at 1.2 KiB each.
const MAX_FILE_BYTES: u64 = 160 << 20;
/// Commitments that are shown to a person, the newest ones. Ours: a screen of them.
const SHOWN: usize = 20;

/// `preconf store`.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Say what is in the directory, and whether it is damaged. Changes nothing.
    Show(ReadArgs),
    /// Check every row and every signature of what was committed to. Changes nothing.
    Verify(ReadArgs),
    /// Write what was committed to as JSON, so that a key can move to another machine. Stop the node for good before: what it commits to later
    /// is not in the file.
    Export(ExportArgs),
    /// Add what another machine's keys committed to, all of it or nothing; what contradicts what is there is refused and named. Do this before
    /// the node that has the key now runs for the first time. The directory is made if it is missing.
    Import(ImportArgs),
    /// Take what can be read of damaged commitments for all that there are, so that the node publishes again. The damaged file is kept beside
    /// the new one. If what is lost may be of a window that is still open, wait for its end first: a preconfer that contradicts itself is
    /// slashed, and all that then stands between is that peers are asked before the first publication in a window. JSON says "damaged", "kept"
    /// and "aside".
    Accept(ReadArgs),
}

#[derive(Debug, Args)]
struct ReadArgs {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    which: Which,
    /// Where to write it: a file that is not there yet. Default: stdout.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The node's data directory. No node may run on it meanwhile.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The L2 chain of the node, as in `preconf run`. A file or a directory of another one is refused.
    #[arg(long, value_name = "N")]
    chain_id: u64,
    /// The chain's signing domain: 32 bytes as hex. The default is the protocol's placeholder.
    #[arg(long, value_name = "HEX", value_parser = hexes::hash)]
    domain: Option<B256>,
    /// What `preconf store export` wrote; "-" is stdin.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object {"added", "known"} instead of text.
    #[arg(long)]
    json: bool,
}

/// A directory, and whose it must be.
#[derive(Debug, Args)]
struct Which {
    /// The node's data directory. No node may run on it meanwhile.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The L2 chain that the directory must be of. Without it: whichever it is of.
    #[arg(long, value_name = "N")]
    chain_id: Option<u64>,
    /// The signing domain that it must be of: 32 bytes as hex. Without it: whichever it is of.
    #[arg(long, value_name = "HEX", value_parser = hexes::hash)]
    domain: Option<B256>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum StoreError {
    /// The directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The import.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// There is no store.
    #[error("{} holds no store: give the directory that `preconf run --data-dir` has", .0.display())]
    Nothing(PathBuf),
    /// Its chain cannot be read.
    #[error("{} is damaged where it says of which chain it is: give --chain-id, and --domain if the chain has its own", .0.display())]
    NoChain(PathBuf),
    /// It is of another chain.
    #[error("{} is of chain {}, and --chain-id says {expected}", path.display(), found.0)]
    OtherChain {
        /// The directory.
        path: PathBuf,
        /// Its chain.
        found: ChainId,
        /// The flag's.
        expected: u64,
    },
    /// It is of another signing domain.
    #[error("{} is of signing domain {found}, and --domain says {expected}", path.display())]
    OtherDomain {
        /// The directory.
        path: PathBuf,
        /// Its domain.
        found: B256,
        /// The flag's.
        expected: B256,
    },
    /// The file of an import.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error("{}: {error}; allowed is what `preconf store export` writes", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The file of an export.
    #[error("cannot write {}: {error}; give a file that is not there yet, on a disk with room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl StoreError {
    /// Do the flags make no sense?
    fn is_misuse(&self) -> bool {
        matches!(self, Self::NoChain(_))
    }
}

/// Does what `preconf store` asks.
pub(crate) fn run(args: &StoreArgs) -> ExitCode {
    let result = match &args.command {
        StoreCommand::Show(args) => show(args),
        StoreCommand::Verify(args) => verify(args),
        StoreCommand::Export(args) => write_out(args),
        StoreCommand::Import(args) => take_in(args),
        StoreCommand::Accept(args) => accept(args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            if error.is_misuse() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// All that is in a directory that is whose it should be.
fn look(which: &Which) -> Result<Inspection, StoreError> {
    let dir = &which.data_dir;
    let inspection = inspect(dir, None)?;
    let Some((chain, domain, _)) = inspection.identity else {
        return if inspection.is_intact() { Err(StoreError::Nothing(dir.to_owned())) } else { Ok(inspection) };
    };
    let path = dir.to_owned();
    match (which.chain_id, which.domain) {
        (Some(expected), _) if expected != chain.0 => Err(StoreError::OtherChain { path, found: chain, expected }),
        (_, Some(expected)) if expected != domain => Err(StoreError::OtherDomain { path, found: domain, expected }),
        _ => Ok(inspection),
    }
}

fn show(args: &ReadArgs) -> Result<bool, StoreError> {
    let inspection = look(&args.which)?;
    if args.json {
        println!("{}", shown(&inspection));
        return Ok(inspection.is_intact());
    }
    print!("{inspection}");
    for record in &inspection.records {
        if let Record::SyncTip(tip) = record {
            println!("the sync tip is block {}", tip.block_number);
        }
    }
    if let Some((lowest, highest)) = heights(&inspection) {
        println!("the chain is stored from block {lowest} to {highest}");
    }
    let bans = inspection.records.iter().filter(|record| matches!(record, Record::Peer { ban_ends: Some(_), .. })).count();
    println!("{bans} peers were banned when it was written");
    let committed: Vec<&OwnCommitment> = inspection.committed().collect();
    let newest = &committed[committed.len().saturating_sub(SHOWN)..];
    if !newest.is_empty() {
        println!("\nwhat its keys committed to, the newest {} of {} (`preconf store export` has all):", newest.len(), committed.len());
    }
    for own in newest {
        println!("window until {}, block {}: {} by {}", own.window_end(), own.block_number(), own.hash(), own.signer);
    }
    Ok(inspection.is_intact())
}

/// All that a script may want to know, commitments by age.
fn shown(inspection: &Inspection) -> Value {
    let counts: serde_json::Map<String, Value> =
        inspection.counts().into_iter().map(|(name, count)| (name.replace(' ', "_"), json!(count))).collect();
    let commitment = |own: &OwnCommitment| {
        json!({
            "signer": own.signer.to_string(),
            "window_end": own.window_end(),
            "block_number": own.block_number(),
            "hash": own.hash().to_string(),
            "parent": own.signed.preconf().parent_preconfirmation_hash.to_string(),
            "txlist_len_bytes": own.txlist.as_ref().map(|txlist| txlist.len()),
        })
    };
    let tip = inspection.records.iter().find_map(|record| if let Record::SyncTip(tip) = record { Some(tip.block_number) } else { None });
    let peer = |record: &Record| match record {
        Record::Peer { peer, score, as_of, ban_ends } => Some(json!({
            "peer": peer.to_string(),
            "score_millionths": score,
            "as_of": as_of.secs(),
            "ban_ends": ban_ends.map(|ends| ends.secs()),
        })),
        _ => None,
    };
    json!({
        "chain_id": inspection.identity.map(|(chain, _, _)| chain.0),
        "domain": inspection.identity.map(|(_, domain, _)| domain.to_string()),
        "began": inspection.identity.map(|(_, _, began)| began.secs()),
        "intact": inspection.is_intact(),
        "damage": damage(inspection),
        "counts": counts,
        "sync_tip": tip,
        "chain": heights(inspection).map(|(lowest, highest)| json!({"lowest": lowest, "highest": highest})),
        "commitments": inspection.committed().map(commitment).collect::<Vec<_>>(),
        "peers": inspection.records.iter().filter_map(peer).collect::<Vec<_>>(),
    })
}

fn damage(inspection: &Inspection) -> Value {
    json!({"commitments": texts(&inspection.commitments), "chain": texts(&inspection.chain)})
}

fn texts(flaws: &Flaws) -> Vec<String> {
    let more = (flaws.more > 0).then(|| format!("and {} more", flaws.more));
    flaws.told.iter().map(ToString::to_string).chain(more).collect()
}

/// The lowest and the highest block of the chain that is stored.
fn heights(inspection: &Inspection) -> Option<(u64, u64)> {
    let numbers = inspection.records.iter().filter_map(|record| match record {
        Record::Commitment(accepted) => Some(accepted.block_number),
        _ => None,
    });
    numbers.fold(None, |range, number| range.map_or(Some((number, number)), |(low, high)| Some((number.min(low), number.max(high)))))
}

fn verify(args: &ReadArgs) -> Result<bool, StoreError> {
    let inspection = look(&args.which)?;
    let domain = inspection.identity.map(|(_, domain, _)| domain).or(args.which.domain).unwrap_or(DEFAULT_DOMAIN);
    let is_forged = |own: &&OwnCommitment| recover_any(&own.signed, domain) != Some(own.signer);
    let forged: Vec<&OwnCommitment> = inspection.committed().filter(is_forged).collect();
    let is_good = inspection.is_intact() && forged.is_empty();
    let committed = inspection.committed().count();
    if args.json {
        let forged: Vec<String> = forged.iter().map(|own| own.hash().to_string()).collect();
        println!("{}", json!({"ok": is_good, "damage": damage(&inspection), "commitments": committed, "unsigned": forged}));
        return Ok(is_good);
    }
    for (what, flaws) in [("what its keys committed to", &inspection.commitments), ("all the rest", &inspection.chain)] {
        for text in texts(flaws) {
            println!("damaged, {what}: {text}");
        }
    }
    for own in forged {
        println!("not signed by {}: {} (block {}, window until {})", own.signer, own.hash(), own.block_number(), own.window_end());
    }
    let dir = args.which.data_dir.display();
    if is_good {
        println!("intact: {committed} commitments of its own, each signed, and {} records in all", inspection.records.len());
    }
    if !inspection.commitments.is_empty() {
        println!(
            "A node follows on this directory, and publishes nothing. {committed} commitments can be read; `preconf store accept --data-dir \
             {dir}` takes them for all that there are."
        );
    }
    if !inspection.chain.is_empty() {
        println!("The next start of a node moves chain.redb aside and goes on with what can be read of it; nothing is to be done.");
    }
    Ok(is_good)
}

fn write_out(args: &ExportArgs) -> Result<bool, StoreError> {
    look(&args.which)?;
    let (interchange, flaws) = export(&args.which.data_dir)?;
    let text = interchange.to_json() + "\n";
    match &args.file {
        None => io::stdout().write_all(text.as_bytes()).map_err(|error| StoreError::Write { path: "stdout".into(), error })?,
        Some(path) => {
            write_new(path, text.as_bytes()).map_err(|error| StoreError::Write { path: path.clone(), error })?;
            println!("{} commitments are in {}", interchange.commitments.len(), path.display());
        }
    }
    if !flaws.is_empty() {
        eprintln!("error: what was committed to is damaged, and what cannot be read of it is not in the export: {flaws}");
    }
    Ok(flaws.is_empty())
}

/// Writes a file that was not there, and is there whole or not at all.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path); // half of it would look like all that there is
    }
    written
}

fn take_in(args: &ImportArgs) -> Result<bool, StoreError> {
    let interchange = load(&args.file)?;
    let options = Options::new(ChainId(args.chain_id), args.domain.unwrap_or(DEFAULT_DOMAIN));
    let Imported { added, known } = import(&args.data_dir, &options, &interchange)?;
    if args.json {
        println!("{}", json!({"added": added, "known": known}));
    } else {
        println!("{added} commitments were added to {}, {known} were there already", args.data_dir.display());
    }
    Ok(true)
}

fn load(path: &Path) -> Result<Interchange, StoreError> {
    let text = text_file::load(path, MAX_FILE_BYTES)?;
    Interchange::from_json(&text).map_err(|error| StoreError::Content { path: path.to_owned(), error })
}

fn accept(args: &ReadArgs) -> Result<bool, StoreError> {
    let inspection = look(&args.which)?;
    let said = inspection.identity.map(|(chain, domain, _)| (chain, domain));
    let given = args.which.chain_id.map(|chain| (ChainId(chain), args.which.domain.unwrap_or(DEFAULT_DOMAIN)));
    let (chain, domain) = said.or(given).ok_or_else(|| StoreError::NoChain(args.which.data_dir.clone()))?;
    let accepted = accept_damage(&args.which.data_dir, &Options::new(chain, domain))?;
    if args.json {
        let aside = accepted.as_ref().and_then(|accepted| accepted.aside.as_ref()).map(|path| path.display().to_string());
        let kept = accepted.as_ref().map(|accepted| accepted.kept);
        println!("{}", json!({"damaged": accepted.is_some(), "kept": kept, "aside": aside}));
        return Ok(true);
    }
    let Some(AcceptedDamage { kept, aside }) = accepted else {
        println!("what was committed to is not damaged: nothing was done");
        return Ok(true);
    };
    println!("{kept} commitments could be read, and are now all that this node knows to have made");
    if let Some(aside) = aside {
        println!("the damaged file is now {}", aside.display());
    }
    println!("the node may publish again; it asks its peers what they hold before the first publication in a window (P5.9b)");
    Ok(true)
}
