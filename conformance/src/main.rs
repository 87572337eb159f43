//! `preconf-conformance vectors DIR` runs golden vectors, `preconf-conformance sim NAME` plays scenarios; exit status 1 when anything fails.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Holds the core against golden data, and plays whole networks of it")]
struct Args {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand)]
enum Check {
    /// Run every file of a folder of vectors.
    Vectors(command::vectors::Args),
    /// Play a scenario in a simulated network.
    Sim(command::sim::Args),
}

fn main() -> ExitCode {
    match Args::parse().check {
        Check::Vectors(args) => command::vectors::run(&args),
        Check::Sim(args) => command::sim::run(&args),
    }
}
