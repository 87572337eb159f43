//! `preconf-conformance vectors DIR [--json]`: runs golden vectors; exit status 1 when any of them fails.
//! `preconf-conformance replay FILE`: relives a trace; exit status 1 when a step differs.

mod cli;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use preconf_conformance::vectors::{self, Report};

#[derive(Parser)]
#[command(version, about = "Holds the core against golden data")]
struct Args {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand)]
enum Check {
    /// Run every file of a folder of vectors.
    Vectors {
        /// The folder.
        dir: PathBuf,
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Relive a trace: does the machine still say what it said?
    Replay(cli::replay::ReplayArgs),
}

fn main() -> ExitCode {
    match Args::parse().check {
        Check::Vectors { dir, json } => vectors(&dir, json),
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

fn vectors(dir: &Path, json: bool) -> ExitCode {
    let report = match vectors::run_dir(dir) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{}: {error}", dir.display());
            return ExitCode::FAILURE;
        }
    };
    if json {
        print_json(&report)
    } else {
        print_table(&report)
    }
    if report.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_json(report: &Report) {
    println!("{}", report.to_json());
}

fn print_table(report: &Report) {
    println!("{:<24}{:>8}{:>8}{:>9}", "file", "passed", "failed", "pending");
    for file in &report.files {
        println!("{:<24}{:>8}{:>8}{:>9}", file.name, file.passed, file.failures.len(), file.pending);
        for failure in &file.failures {
            println!("    {}: {}", failure.row, failure.problem);
        }
    }
    println!("{:<24}{:>8}{:>8}{:>9}", "in all", report.passed(), report.failed(), report.pending());
}
