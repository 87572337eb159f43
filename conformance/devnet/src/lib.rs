//! A whole network in one process, on real sockets, that checks itself: what `preconf devnet` runs.
//!
//! ```text
//!  plan    who builds which block, in which window, with which bytes
//!  world   starts everyone, publishes block after block, waits until all have everything
//!  home    what a node lives on, which the caller says
//!  node    an honest node: driver, handle, events
//!  loss    which gossip never reaches an honest node
//!  hostile a peer without a machine that sends what malice makes
//!  record  is told what was published and what every node saw, and names what went wrong
//!  conduct what every node thinks of a hostile peer at the end, rule by rule
//!  report  the summary, for people and for machines; table is the same while it goes on
//! ```
//!
//! Numbers such as `P10.1` name rules of the protocol; [`preconf_core::protocol`] has the text of every one.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod conduct;
mod home;
mod hostile;
mod loss;
mod malice;
mod node;
mod plan;
mod record;
mod report;
mod table;
mod world;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, value_parser};
use preconf_core::RateLimit;
use preconf_libp2p::NetError;
use preconf_node::HandleError;

pub use self::home::{Home, Homes};
pub use self::node::NodeError;
use self::world::World;

/// Bytes of all txlists of a run. Source: what a node keeps (P10.1); with more, a late node could not catch up.
const MAX_TXLIST_BYTES: u64 = 256 << 20;

/// What a devnet is to be, as flags.
#[derive(Clone, Debug, Args)]
pub struct DevnetArgs {
    /// Honest nodes, late ones included.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u64).range(2..=64))]
    nodes: u64,
    /// Blocks to build.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u64).range(1..=3840))]
    blocks: u64,
    /// Milliseconds from one block to the next.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = value_parser!(u64).range(10..=60_000))]
    block_ms: u64,
    /// KiB of each block's txlist.
    #[arg(long, value_name = "KIB", default_value_t = 64, value_parser = value_parser!(u64).range(1..=2048))]
    txlist_kib: u64,
    /// Nodes that join half way and catch up.
    #[arg(long, value_name = "N", default_value_t = 1)]
    late: u64,
    /// Peers beside the nodes that send malformed, wrongly signed and wrong-hash messages.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(0..=16))]
    hostile: u64,
    /// Share of the gossip that is lost on arrival at every honest node, from 0 to less than 1. With any, every block must be ready on every
    /// node within 2 s of the last one (P11.2).
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    drop: f64,
    /// Record every step of every honest node to a file of its name in this folder, for `preconf-conformance replay`.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Decides keys, txlists, who dials whom and what is lost.
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    /// Print exactly one JSON object and no table.
    #[arg(long)]
    json: bool,
}

/// Why a devnet does not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// Flags that do not go together.
    #[error("{flag} = {value}: allowed is {allowed}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        allowed: String,
    },
    /// A node is not there.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A hostile peer does not start.
    #[error("a hostile peer does not start: {0}")]
    Hostile(#[from] Box<NetError>),
    /// Two nodes do not find each other.
    #[error("{from} cannot reach {to}: {error}")]
    Dial {
        /// Who dialed.
        from: String,
        /// Whom.
        to: String,
        /// Why not.
        error: Box<HandleError>,
    },
    /// A node no longer answers its handle.
    #[error("a node is gone: {0}")]
    Gone(#[from] HandleError),
    /// The nodes did not become a network.
    #[error("the nodes did not all find each other within {secs} s")]
    NoMesh {
        /// How long they had.
        secs: u64,
    },
    /// No folder to record to.
    #[error("cannot record to {path}: {error}", path = .path.display())]
    Record {
        /// The folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl DevnetError {
    /// Do flags make no sense together, though each by itself could be read?
    pub fn is_misuse(&self) -> bool {
        matches!(self, Self::Flag { .. })
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "allowed is 0 or more and less than 1, for example 0.2".to_owned())
}

impl DevnetArgs {
    fn check(&self) -> Result<(), DevnetError> {
        if self.late > self.nodes - 2 {
            let allowed = format!("0 to {} of {} nodes, so that two are there from the start", self.nodes - 2, self.nodes);
            return Err(DevnetError::Flag { flag: "--late", value: self.late, allowed });
        }
        let most = MAX_TXLIST_BYTES / (self.txlist_kib << 10);
        if self.blocks > most {
            let allowed = format!("1 to {most} with --txlist-kib {}: a node keeps 256 MiB of txlists", self.txlist_kib);
            return Err(DevnetError::Flag { flag: "--blocks", value: self.blocks, allowed });
        }
        if self.drop > 0.0 && self.late > 0 {
            self.check_late()?;
        }
        Ok(())
    }

    /// P6.7: nobody can have every block in time who may not ask for it in time.
    fn check_late(&self) -> Result<(), DevnetError> {
        let missed = self.blocks / 2;
        let wanted = missed + (missed as f64 * self.drop).ceil() as u64; // and of the other half what is lost
        let limit = RateLimit::default();
        let windows = 1 + missed * self.block_ms / limit.window.as_millis() as u64;
        let granted = u64::from(limit.limit - 1) * (self.nodes - self.late) * windows;
        if wanted > granted {
            let allowed = format!(
                "fewer with --drop and --late {}: a late node has to ask for about {wanted} txlists and may ask for {granted}; or more nodes, \
                 or --late 0",
                self.late
            );
            return Err(DevnetError::Flag { flag: "--blocks", value: self.blocks, allowed });
        }
        Ok(())
    }
}

/// Runs a devnet, on stdout and stderr, and says whether all went well. Needs a tokio runtime around it. Ends early when `stop` does.
///
/// # Errors
/// It does not come to its end.
pub async fn run(args: DevnetArgs, homes: Homes, stop: impl Future<Output = ()> + Send + 'static) -> Result<bool, DevnetError> {
    args.check()?;
    let prints_json = args.json;
    let (report, faults) = World::run(args, homes, Box::pin(stop)).await?;
    let text = if prints_json { serde_json::to_string(&report).expect("a report is plain data") + "\n" } else { report.text() };
    // Who no longer reads it still gets the exit status.
    let _ = io::stdout().write_all(text.as_bytes());
    for fault in &faults {
        eprintln!("error: {fault}");
    }
    Ok(report.ok)
}

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> DevnetArgs {
        DevnetArgs {
            nodes: 5,
            blocks: 20,
            block_ms: 500,
            txlist_kib: 64,
            late: 1,
            hostile: 1,
            drop: 0.0,
            record: None,
            seed: 7,
            json: false,
        }
    }

    #[test]
    fn two_nodes_at_least_are_there_from_the_start() {
        assert!(args().check().is_ok());
        let error = DevnetArgs { late: 4, ..args() }.check().expect_err("one would be alone");
        assert_eq!(error.to_string(), "--late = 4: allowed is 0 to 3 of 5 nodes, so that two are there from the start");
    }

    #[test]
    fn a_late_node_that_may_not_ask_for_all_in_time_is_not_sent_to_fail() {
        // P6.7, P11.2
        let lossy = DevnetArgs { blocks: 48, block_ms: 200, drop: 0.2, ..args() };
        let error = lossy.check().expect_err("24 missed and 5 of the rest, from 4 peers");
        let said =
            "--blocks = 48: allowed is fewer with --drop and --late 1: a late node has to ask for about 29 txlists and may ask for 28";
        assert!(error.to_string().starts_with(said), "{error}");
        let fine = [
            DevnetArgs { blocks: 46, ..lossy.clone() },
            DevnetArgs { nodes: 6, ..lossy.clone() },
            DevnetArgs { late: 0, ..lossy.clone() },
            DevnetArgs { block_ms: 500, ..lossy.clone() },
            DevnetArgs { drop: 0.0, ..lossy },
        ];
        assert!(fine.iter().all(|args| args.check().is_ok()));
    }

    #[test]
    fn no_run_holds_more_txlists_than_a_node_keeps() {
        // P10.1
        let error = DevnetArgs { blocks: 200, txlist_kib: 2048, ..args() }.check().expect_err("400 MiB");
        assert_eq!(error.to_string(), "--blocks = 200: allowed is 1 to 128 with --txlist-kib 2048: a node keeps 256 MiB of txlists");
    }
}
