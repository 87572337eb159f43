//! `preconf`: a preconfirmation node on the command line.
//!
//! `preconf run` is one node, `preconf devnet` a whole network in one process, `preconf key` makes and shows identities, `preconf enr` node
//! records, `preconf bootnode` is a network's first contact, `preconf sign` makes a signed commitment, `preconf store` looks after what a node
//! keeps, `preconf evidence` verifies what a node found. Results go to stdout, logs and errors to stderr. The exit status is 0 when all went
//! well, 1 when it did not, 2 for flags, or a file of evidence, that make no sense.
//!
//! Features: `devnet`, on by default, brings `preconf devnet`; `async-std` brings `--runtime async-std` and `mixed`; `quic` brings QUIC beside
//! TCP on tokio. Numbers such as `P5.9` name rules of the protocol; [`preconf_core::protocol`] has the text of every one.

mod bootnode;
#[cfg(feature = "devnet")]
mod devnet;
mod evidence;
mod hexes;
mod json;
mod key;
mod record;
mod run;
mod runtime;
mod sign;
mod signer_command;
mod stop;
mod store;
mod text_file;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is logged unless somebody says otherwise. Gossipsub prints the whole message when a queue is full; the glue tells and counts the same.
/// Discv5 warns of every stranger that does not answer.
const DEFAULT_LOG: &str = "warn,libp2p_gossipsub=error,discv5=error";
/// How long threads that still read or write may hold up the end. Ours: nothing that matters is left to them.
const EXIT_LIMIT: Duration = Duration::from_millis(200);

#[derive(Debug, Parser)]
#[command(name = "preconf", version, about = "Peer-to-peer network of L2 preconfirmations")]
struct Cli {
    /// What to log to stderr: a level, or filters such as "warn,preconf_core=debug". Default: RUST_LOG, else warnings.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a network of nodes in one process, let it build blocks, and check that all of them agree.
    #[cfg(feature = "devnet")]
    Devnet(devnet::Devnet),
    /// Run one node until Ctrl-C.
    Run(Box<run::RunArgs>),
    /// Run discovery alone, as a network's first contact, until Ctrl-C.
    Bootnode(bootnode::BootnodeArgs),
    /// Make or read a node record.
    Enr(record::EnrArgs),
    /// Verify evidence of a preconfer's fault.
    Evidence(evidence::EvidenceArgs),
    /// Make or show a node's key.
    Key(key::KeyArgs),
    /// Make a signed commitment, for `publish_commitment` of `preconf run --publish-from-stdin`.
    Sign(Box<sign::SignArgs>),
    /// Look after a data directory while no node runs on it: show, verify, export, import, accept damage.
    Store(store::StoreArgs),
}

fn main() -> ExitCode {
    let Cli { log, command } = Cli::parse();
    if let Err(error) = start_log(log) {
        return misused(&error);
    }
    match command {
        Command::Evidence(args) => evidence::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Key(args) => match key::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Command::Enr(args) => match record::run(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Command::Bootnode(args) => block_on(async {
            match bootnode::run(args).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            }
        }),
        Command::Run(args) => block_on(async {
            match run::run(*args).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) if error.is_misuse() => misused(&error),
                Err(error) => fail(&error),
            }
        }),
        Command::Sign(args) => block_on(async {
            match sign::run(*args).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) if error.is_misuse() => misused(&error),
                Err(error) => fail(&error),
            }
        }),
        #[cfg(feature = "devnet")]
        Command::Devnet(args) => block_on(devnet::run(args)),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// Flags that make no sense, though each by itself could be read.
fn misused(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(2)
}

/// A log filter that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error(
    "{key} = {value:?}: {error}; allowed is a level (error, warn, info, debug, trace, off) or filters such as \"warn,preconf_core=debug\""
)]
struct LogError {
    key: &'static str,
    value: String,
    error: ParseError,
}

fn start_log(flag: Option<String>) -> Result<(), LogError> {
    let (key, value) = match flag {
        Some(filter) => ("--log", filter),
        None => ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_default()),
    };
    let filter = if value.is_empty() { DEFAULT_LOG } else { &value };
    let filter = log_filter(filter).map_err(|error| LogError { key, value, error })?;
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).init();
    Ok(())
}

/// Levels, and levels of targets. Filters that also look into spans would bring automata of regular expressions along, and we have no spans.
fn log_filter(text: &str) -> Result<Targets, ParseError> {
    let parts: Vec<_> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.join(",").parse()
}

fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let code = runtime.block_on(work);
    runtime.shutdown_timeout(EXIT_LIMIT); // a read of stdin cannot be called off
    code
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::*;

    #[test]
    fn a_filter_is_a_level_or_a_list_of_targets_and_levels() {
        for (text, core, gossipsub, other) in [
            ("debug", LevelFilter::DEBUG, LevelFilter::DEBUG, LevelFilter::DEBUG),
            ("OFF", LevelFilter::OFF, LevelFilter::OFF, LevelFilter::OFF),
            (DEFAULT_LOG, LevelFilter::WARN, LevelFilter::ERROR, LevelFilter::WARN),
            ("warn, preconf_core=Debug,", LevelFilter::DEBUG, LevelFilter::WARN, LevelFilter::WARN),
            ("preconf_core::chain=trace,libp2p_gossipsub", LevelFilter::OFF, LevelFilter::TRACE, LevelFilter::OFF),
        ] {
            let filter = log_filter(text).expect("it makes sense");
            let most = |target: &str| {
                use tracing_subscriber::filter::LevelFilter as L;
                let mut levels = [L::ERROR, L::WARN, L::INFO, L::DEBUG, L::TRACE].into_iter().filter_map(L::into_level);
                levels.rfind(|level| filter.would_enable(target, level)).map_or(L::OFF, L::from_level)
            };
            assert_eq!((most("preconf_core"), most("libp2p_gossipsub"), most("other")), (core, gossipsub, other), "{text}");
        }
        for text in ["a=b=c", "preconf_core=loud"] {
            assert!(log_filter(text).is_err(), "{text}");
        }
    }
}
