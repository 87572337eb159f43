//! On which runtimes does `preconf devnet` have its nodes?
//!
//! The devnet itself is a package of its own, [`preconf_devnet`], which names no runtime but tokio.

use std::process::ExitCode;

use clap::Args;
#[cfg(feature = "async-std")]
use futures::FutureExt;
use preconf_devnet::{Home, Homes};

use crate::runtime::Runtime;
use crate::stop::Stop;
use crate::{fail, misused};

/// `preconf devnet`.
#[derive(Debug, Args)]
pub(crate) struct Devnet {
    #[command(flatten)]
    devnet: preconf_devnet::DevnetArgs,
    /// What the nodes live on: tokio, async-std, or mixed, which is one on tokio, the next on async-std, and so on.
    #[arg(long, value_name = "RUNTIME", default_value = "tokio", value_parser = homes)]
    runtime: Homes,
}

fn homes(text: &str) -> Result<Homes, String> {
    match text {
        "tokio" => Ok(Homes::all(home(Runtime::Tokio))),
        "async-std" => Ok(Homes::all(home(Runtime::async_std()?))),
        "mixed" => Ok(Homes { name: "mixed", in_turn: vec![home(Runtime::Tokio), home(Runtime::async_std()?)] }),
        _ => Err("allowed is tokio, async-std or mixed".to_owned()),
    }
}

fn home(runtime: Runtime) -> Home {
    match runtime {
        Runtime::Tokio => Home::tokio(),
        #[cfg(feature = "async-std")]
        Runtime::AsyncStd => {
            Home { name: "async-std", parts: preconf_async_std::parts, run: |driver| Runtime::AsyncStd.run(driver).end().boxed() }
        }
    }
}

/// Does what `preconf devnet` asks.
pub(crate) async fn run(args: Devnet) -> ExitCode {
    let mut stop = match Stop::new() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("error: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    match preconf_devnet::run(args.devnet, args.runtime, async move { stop.requested().await }).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is_misuse() => misused(&error),
        Err(error) => fail(&error),
    }
}
