//! `preconf-conformance vectors DIR [--json]`: runs golden vectors; exit status 1 when any of them fails.

use std::path::PathBuf;
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
}

fn main() -> ExitCode {
    let Check::Vectors { dir, json } = Args::parse().check;
    let report = match vectors::run_dir(&dir) {
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
