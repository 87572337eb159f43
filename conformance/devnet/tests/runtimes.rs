//! Does a devnet agree whatever its nodes live on?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::future::pending;

use clap::Parser;
use futures::FutureExt;
use preconf_devnet::{DevnetArgs, Home, Homes, run};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: DevnetArgs,
}

fn async_std() -> Home {
    Home {
        name: "async-std",
        environment: preconf_async_std::environment,
        run: |driver| async_std::task::spawn(driver.run()).map(|()| true).boxed(),
    }
}

async fn agrees_on(homes: Homes) {
    let line = "devnet --nodes 4 --blocks 6 --block-ms 200 --txlist-kib 4 --json";
    let name = homes.name;
    assert!(run(Line::parse_from(line.split(' ')).args, homes, pending()).await.unwrap(), "{name}");
}

#[tokio::test]
async fn a_devnet_agrees_on_tokio() {
    agrees_on(Homes::all(Home::tokio())).await;
}

#[tokio::test]
async fn a_devnet_agrees_on_async_std() {
    agrees_on(Homes::all(async_std())).await;
}

#[tokio::test]
async fn a_devnet_agrees_on_both_mixed() {
    agrees_on(Homes { name: "mixed", in_turn: vec![Home::tokio(), async_std()] }).await;
}

#[tokio::test]
async fn a_devnet_ends_when_it_is_told_to() {
    let stopped = run(Line::parse_from(["devnet"]).args, Homes::all(Home::tokio()), std::future::ready(())).await;
    assert_eq!(stopped.unwrap_err().to_string(), "interrupted");
}
