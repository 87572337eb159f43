//! Does what a node was told replay to the same outputs, whatever it lived on?

use std::fs::{self, File};
use std::io::BufReader;
use std::path::PathBuf;

use preconf_node::{NetworkConfig, RecordConfig};
use preconf_replay::relive;
use preconf_trace::{Ending, Replay};

use crate::blocks::{Chain, TIP, txlist};
use crate::nodes::{TestNode, config, ready};
use crate::runtime::{Runtime, on_all_pairs, soon};

on_all_pairs!(a_recorded_node_replays_digest_for_digest);

/// A file that no other test and no other pair of runtimes writes.
fn file<A: 'static, B: 'static>(who: &str) -> PathBuf {
    let pair = format!("{}-{}", std::any::type_name::<A>(), std::any::type_name::<B>()).replace("::", ".");
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{pair}-{who}.trace"))
}

async fn a_recorded_node_replays_digest_for_digest<A: Runtime, B: Runtime>() {
    let mut chain = Chain::new();
    let files = [file::<A, B>("alice"), file::<A, B>("bob")];
    let recorded = |file: &PathBuf| NetworkConfig { record: Some(RecordConfig { keep: 0, ..RecordConfig::new(file) }), ..config() };
    let alice = TestNode::of::<A>(&chain, recorded(&files[0])).await;
    let mut bob = TestNode::of::<B>(&chain, recorded(&files[1])).await;
    bob.connect(&alice, &alice.address).await;
    for seed in 1..=20 {
        let txs = txlist(1_000, seed);
        soon("publication", alice.handle.publish_commitment(chain.block(&txs))).await.expect("it is sent");
        soon("publication", alice.handle.publish_txlist(txs)).await.expect("it is sent");
    }
    while bob.until("a ready block", ready).await.0 < TIP + 20 {}
    alice.stop().await;
    bob.stop().await;
    for path in files {
        let trace = BufReader::new(File::open(&path).expect("it was written"));
        let relived = relive(&mut Replay::open(trace).expect("a trace"), None, |_, _| {});
        assert!(relived.ok() && relived.steps > 40, "{relived:?}");
        assert!(matches!(relived.ending, Some(Ending::Closed)), "{relived:?}");
        fs::remove_file(path).expect("it is there");
    }
}
