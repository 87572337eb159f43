//! Says what an input of `machine_bytes` does, move by move: `cargo run --example tell -- FILE`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: tell FILE");
        return ExitCode::FAILURE;
    };
    match std::fs::read(&path) {
        Ok(bytes) => {
            let reached = preconf_fuzz::tell(&bytes, |line| println!("{line}"));
            println!("{reached:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
