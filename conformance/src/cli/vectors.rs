//! `vectors DIR [--json]`

use std::path::PathBuf;
use std::process::ExitCode;

use preconf_vectors::Report;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder.
    dir: PathBuf,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let report = match preconf_vectors::run_dir(&args.dir) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{}: {error}", args.dir.display());
            return ExitCode::FAILURE;
        }
    };
    if args.json {
        println!("{}", report.to_json());
    } else {
        print_table(&report);
    }
    if report.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
