//! Can the node say how far every block is, and does it never call itself level while something is missing (P11.1)?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;
use proptest::prelude::*;

/// The stages from the sync tip's successor on.
fn stages(node: &Node) -> Vec<Stage> {
    let health = node.core.health(node.now, 0);
    let first = node.status().sync_tip.block_number + 1;
    assert!(health.iter().map(|block| block.block_number).eq((first..).take(health.len())), "ascending, without a gap");
    health.iter().map(|block| block.stage).collect()
}

/// A peer that says what its head is.
fn claims(node: &mut Node, name: u8, head: u64) {
    node.open(name);
    let asked = requests(&node.drain());
    let claimed = PreconfHead { block_number: U256::from(head), submission_window_end: U256::ZERO };
    node.input(Input::ResponseReceived { request: asked[0].0, body: claimed.encode() });
}

/// A node that knows the hash of its sync tip, so that nothing but block 1 links to it.
fn node() -> (Node, Writer) {
    let (mut node, writer) = (Node::new(), Writer::new(1));
    let tip = SyncTip { block_number: 0, preconfirmation_hash: Some(writer.parent) };
    node.update(Update::MoveSyncTip(tip)).unwrap();
    (node, writer)
}

#[test]
fn every_block_up_to_the_best_claim_is_at_its_stage() {
    // P11.1
    let (mut node, mut writer) = node();
    claims(&mut node, 9, 7);
    assert_eq!((stages(&node), node.status().lag), (vec![Stage::Missing; 7], 7));
    let blocks: Vec<_> = (0..7).map(|_| writer.block()).collect();
    node.block(9, &blocks[0]);
    node.update(Update::MarkExecuted { block_number: 1 }).unwrap();
    node.block(9, &blocks[1]);
    node.commitment(9, &blocks[2].0);
    node.commitment(9, &blocks[4].0);
    // Its signer is still being recovered.
    node.quiet(gossip(9, Topic::Commitments, blocks[5].0.as_bytes().to_vec()));
    let expected = [Stage::Executed, Stage::Ready, Stage::Linked, Stage::Missing, Stage::Valid, Stage::Seen, Stage::Missing];
    assert_eq!(stages(&node), expected);
    let status = node.status();
    assert_eq!((status.executed_to, status.ready_to, status.best, status.lag), (1, 2, 7, 5));
    let tail: Vec<_> = node.core.health(node.now, 6).iter().map(|block| (block.block_number, block.stage)).collect();
    assert_eq!(tail, [(6, Stage::Seen), (7, Stage::Missing)]);
}

#[test]
fn a_block_that_waits_for_the_schedule_is_seen_and_a_fork_is_valid() {
    // P11.1, C6, C9
    let (mut node, mut writer) = node();
    claims(&mut node, 9, 1);
    let mut beyond = Writer { window_end: START + 5 * WINDOW_SECS, timestamp: START + 4 * WINDOW_SECS, ..Writer::new(1) };
    node.commitment(9, &beyond.block().0);
    assert_eq!(stages(&node), [Stage::Seen]);
    let (first, mut other) = (writer.block().0, Writer::new(2));
    node.commitment(9, &first);
    other.hand_over(2);
    other.key = key(2);
    let fork = other.block().0;
    node.commitment(9, &fork);
    let child = other.block().0;
    node.commitment(9, &child);
    claims(&mut node, 8, 2);
    assert_eq!(stages(&node), [Stage::Linked, Stage::Valid], "the first stays linked; the other one's child lies beside");
}

#[test]
fn lag_is_not_0_while_a_signed_block_waits_for_its_parent() {
    // P11.1: even before any peer has claimed a head.
    let (mut node, mut writer) = node();
    node.connect(9);
    let blocks: Vec<_> = (0..3).map(|_| writer.block()).collect();
    node.block(9, &blocks[0]);
    assert_eq!((node.status().lag, stages(&node)), (0, vec![Stage::Ready]));
    node.block(9, &blocks[2]);
    assert_eq!((node.status().lag, stages(&node)), (2, vec![Stage::Ready, Stage::Missing, Stage::Valid]));
    node.block(9, &blocks[1]);
    assert_eq!((node.status().lag, stages(&node)), (0, vec![Stage::Ready; 3]));
}

proptest! {
    #[test]
    fn lag_is_0_exactly_when_every_block_is_ready_in_every_order(messages in Just((0..8).collect::<Vec<usize>>()).prop_shuffle()) {
        // P11.1
        let (mut node, mut writer) = node();
        let blocks: Vec<_> = (0..4).map(|_| writer.block()).collect();
        claims(&mut node, 9, 4);
        let mut before = vec![Stage::Missing; 4];
        for message in messages {
            // Two messages a block.
            let (signed, txlist) = &blocks[message / 2];
            drop(if message % 2 == 0 { node.commitment(9, signed) } else { node.txlist(9, txlist) });
            let after = stages(&node);
            let gaps = after.iter().filter(|stage| **stage < Stage::Ready).count() as u64;
            prop_assert_eq!(node.status().lag, gaps, "{:?}", after);
            prop_assert!(after.iter().zip(&before).all(|(after, before)| after >= before), "{:?} became {:?}", before, after);
            before = after;
        }
        prop_assert_eq!((node.status().lag, before), (0, vec![Stage::Ready; 4]));
    }
}

#[test]
fn a_claim_without_end_is_listed_in_pages() {
    // P10.1, P11.1
    let (mut node, mut writer) = node();
    claims(&mut node, 9, u64::MAX);
    node.block(9, &writer.block());
    let health = node.core.health(node.now, 0);
    assert_eq!((health.len(), health[0].stage, health[1].stage), (MAX_HEALTH_BLOCKS, Stage::Ready, Stage::Missing));
    let next = node.core.health(node.now, MAX_HEALTH_BLOCKS as u64 + 1);
    assert_eq!((next.len(), next[0].block_number), (MAX_HEALTH_BLOCKS, MAX_HEALTH_BLOCKS as u64 + 1));
    assert_eq!(node.core.health(node.now, u64::MAX - 1).len(), 1, "the highest head that a claim can have");
}

#[test]
fn what_a_reorg_takes_back_is_no_longer_executed() {
    // P9.3, P11.1
    let (mut node, mut writer) = node();
    node.connect(9);
    let blocks: Vec<_> = (0..3).map(|_| writer.block()).collect();
    blocks.iter().for_each(|block| drop(node.block(9, block)));
    let hash = |i: usize| Some(preconfirmation_hash(&blocks[i].0));
    node.update(Update::MarkExecuted { block_number: 3 }).unwrap();
    node.update(Update::MoveSyncTip(SyncTip { block_number: 2, preconfirmation_hash: hash(1) })).unwrap();
    assert_eq!(stages(&node), [Stage::Executed]);
    node.update(Update::MoveSyncTip(SyncTip { block_number: 1, preconfirmation_hash: hash(0) })).unwrap();
    assert_eq!(stages(&node), [Stage::Ready, Stage::Ready], "both must be executed again");
    node.update(Update::MoveSyncTip(SyncTip { block_number: 1, preconfirmation_hash: Some(B256::repeat_byte(3)) })).unwrap();
    assert_eq!((stages(&node), node.status().lag), (vec![], 0));
}

#[test]
fn p10_4_a_block_that_the_host_could_not_execute_is_told_again_after_growing_pauses() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    for _ in 0..3 {
        node.block(9, &writer.block());
    }
    node.update(Update::MarkExecuted { block_number: 1 }).unwrap();
    let fail = |node: &mut Node, secs| {
        let outputs = node.update(Update::MarkFailed { block_number: 2 }).unwrap();
        let told = Event::ExecutionFailed { block_number: 2, again_in: Duration::from_secs(secs) };
        assert!(outputs.contains(&Output::App(told)));
        assert!(ready(&node.wait(Duration::from_millis(1_000 * secs - 1))).is_empty());
        let outputs = node.wait(Duration::from_millis(1));
        assert!(outputs.contains(&Output::App(Event::ExecuteAgain { from: 2 })));
        assert_eq!(ready(&outputs), [2, 3]);
    };
    fail(&mut node, 1);
    fail(&mut node, 2);
    node.update(Update::MarkExecuted { block_number: 2 }).unwrap();
    assert!(ready(&node.wait(Duration::from_secs(120))).is_empty(), "it got through");
    for not_ready in [2, 4] {
        let refused = node.update(Update::MarkFailed { block_number: not_ready }).unwrap_err();
        assert_eq!(refused, UpdateError::NotReady { block_number: not_ready });
    }
}

#[test]
fn p5_3_an_eop_with_a_txlist_is_executed_before_the_handoff() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let txlist = Bytes::from_static(b"the last transactions");
    let eop = writer.write(|preconf| (preconf.eop, preconf.raw_tx_list_hash) = (true, keccak256(&txlist)));
    let told = |outputs: &[Output]| -> Vec<&'static str> {
        let told = |output: &Output| match output {
            Output::App(Event::BlockReady { .. }) => Some("ready"),
            Output::App(Event::Handoff { .. }) => Some("handoff"),
            _ => None,
        };
        outputs.iter().filter_map(told).collect()
    };
    assert_eq!(told(&node.commitment(9, &eop)), [""; 0], "there is something to be executed first");
    assert_eq!(told(&node.txlist(9, &txlist)), ["ready", "handoff"]);
}
