//! Runs one input of a target: `cargo run --example replay -- TARGET FILE...`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let target = preconf_fuzz::TARGETS.iter().find(|target| Some(target.name) == arguments.first().map(String::as_str));
    let (Some(target), [_, files @ ..]) = (target, &arguments[..]) else {
        let names: Vec<_> = preconf_fuzz::TARGETS.iter().map(|target| target.name).collect();
        eprintln!("usage: replay TARGET FILE..., where TARGET is one of {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    for file in files {
        match std::fs::read(file) {
            Ok(bytes) => (target.run)(&bytes),
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::FAILURE;
            }
        }
        println!("{file}: survived");
    }
    ExitCode::SUCCESS
}
