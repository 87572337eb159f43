//! `preconf-conformance vectors DIR` runs golden vectors, `sim NAME` plays scenarios, `replay FILE` relives a trace; exit status 1 when
//! anything fails.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Holds the core against golden data, plays whole networks of it, and relives what was recorded")]
struct Args {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand)]
enum Check {
    /// Run every file of a folder of vectors.
    Vectors(cli::vectors::Args),
    /// Play a scenario in a simulated network.
    Sim(cli::sim::Args),
    /// Relive a trace: does the machine still say what it said?
    Replay(cli::replay::ReplayArgs),
}

fn main() -> ExitCode {
    match Args::parse().check {
        Check::Vectors(args) => cli::vectors::run(&args),
        Check::Sim(args) => cli::sim::run(&args),
        Check::Replay(args) => match cli::replay::run(&args) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
