//! What the machine says of a txlist, and how it finds a missing one (T1–T5, P5.6).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use Verdict::{Accept, Ignore, Reject};
use preconf_core::*;

fn list(hash: B256, txlist: Vec<u8>) -> Bytes {
    RawTxList { hash, txlist: txlist.into() }.encode()
}

fn honest(txlist: Vec<u8>) -> Bytes {
    list(keccak256(&txlist), txlist)
}

fn judged(node: &mut Node, data: Bytes) -> (Vec<Verdict>, Vec<Refusal>) {
    let outputs = node.gossip(9, Topic::TxLists, data);
    (verdicts(&outputs), refusals(&outputs))
}

#[test]
fn t1_rejects_what_is_malformed_or_too_long_and_ignores_an_empty_one() {
    let mut node = Node::with(Config { txlist_cap: 1000, ..Config::new(CHAIN) });
    node.connect(9);
    assert_eq!(judged(&mut node, Bytes::from_static(&[7; 35])).0, [Reject]);
    let too_long = Refusal::Malformed(DecodeError::TooLong { len: 1001, max: 1000 });
    assert_eq!(judged(&mut node, honest(vec![1; 1001])), (vec![Reject], vec![too_long]));
    assert_eq!(judged(&mut node, honest(vec![])), (vec![Ignore], vec![Refusal::EmptyTxList]));
    assert_eq!(node.core.stats().jobs, 0, "nothing of it is hashed");
    assert_eq!(judged(&mut node, honest(vec![1; 1000])), (vec![Accept], vec![]));
}

#[test]
fn t2_ignores_one_that_is_here_already() {
    let mut node = Node::connected_to(&[9]);
    judged(&mut node, honest(vec![1; 10]));
    assert_eq!(judged(&mut node, honest(vec![1; 10])), (vec![Ignore], vec![Refusal::Duplicate]));
    assert_eq!(node.core.stats().jobs, 1);
}

#[test]
fn t3_ignores_what_is_over_the_quota_before_hashing_it_unless_a_commitment_names_it() {
    let quota = ByteLimit { bytes: 3000, window: Duration::from_secs(10) };
    let mut node = Node::with(Config { txlist_cap: 2000, txlist_quota: quota, ..Config::new(CHAIN) });
    node.connect(9);
    judged(&mut node, honest(vec![1; 2000]));
    assert_eq!(judged(&mut node, honest(vec![2; 2000])), (vec![Ignore], vec![Refusal::OverQuota]));
    assert_eq!(node.core.stats().jobs, 1);
    let named = vec![3; 2000];
    let signed = Writer::new(1).write(|preconf| preconf.raw_tx_list_hash = keccak256(&named));
    node.commitment(9, &signed);
    assert_eq!(judged(&mut node, honest(named)), (vec![Accept], vec![]));
    node.wait(Duration::from_secs(10));
    assert_eq!(judged(&mut node, honest(vec![2; 2000])).0, [Accept]);
}

#[test]
fn t4_rejects_a_txlist_that_does_not_hash_to_what_it_claims() {
    let mut node = Node::connected_to(&[9]);
    assert_eq!(judged(&mut node, list(B256::ZERO, vec![1])), (vec![Reject], vec![Refusal::WrongHash]));
    assert_eq!(node.score(9), -1_000_000);
    assert_eq!(node.status().txlist_bytes, 0);
}

#[test]
fn t5_keeps_orphans_within_a_peers_share_for_a_minute() {
    let mut node = Node::with(Config { max_orphan_bytes: 4000, max_orphan_bytes_per_peer: 2000, ..Config::new(CHAIN) });
    node.connect(9);
    assert_eq!(judged(&mut node, honest(vec![1; 1500])).0, [Accept]);
    assert_eq!(judged(&mut node, honest(vec![2; 1500])), (vec![Ignore], vec![Refusal::NoRoom]));
    node.wait(Duration::from_secs(60));
    assert_eq!(node.status().txlist_bytes, 0);
    assert_eq!(judged(&mut node, honest(vec![2; 1500])).0, [Accept]);
}

#[test]
fn t5_a_strangers_txlists_cannot_displace_one_that_a_commitment_names() {
    let config =
        Config { max_txlist_bytes: 4000, txlist_cap: 2000, max_orphan_bytes: 4000, max_orphan_bytes_per_peer: 4000, ..Config::new(CHAIN) };
    let (mut node, mut writer) = (Node::with(config), Writer::new(1));
    node.connect(9);
    node.connect(8);
    let block = writer.block();
    node.block(9, &block);
    for byte in 0..50 {
        node.gossip(8, Topic::TxLists, honest(vec![byte; 1500]));
    }
    let outputs = node.asked(9, Protocol::GetTxList, GetTxListRequest { hash: keccak256(&block.1) }.encode());
    let served =
        |output: &Output| matches!(output, Output::Net(Action::Respond { response: Response::TxList(list), .. }) if list.txlist == block.1);
    assert!(outputs.iter().any(served));
}

#[test]
fn p5_6_asks_the_sender_of_the_commitment_first_then_others_with_growing_pauses() {
    let (mut node, mut writer) = (Node::connected_to(&[7, 8, 9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.commitment(9, &signed);
    assert!(requests(&node.wait(Duration::from_millis(399))).is_empty());
    let first = requests(&node.wait(Duration::from_millis(1)));
    assert_eq!((first[0].1, first[0].2), (peer(9), Protocol::GetTxList));
    let hash = keccak256(&txlist);
    let score = node.score(9);
    let not_found = RawTxList { hash, txlist: Bytes::new() }.encode();
    let second = requests(&node.input(Input::ResponseReceived { request: first[0].0, body: not_found }));
    assert_eq!(second.len(), 1, "the next one is asked at once");
    assert_ne!(second[0].1, peer(9));
    assert_eq!(node.score(9), score, "not found costs nothing");
    // The second one stalls: after a pause the third is asked as well.
    let third = fetches(&node.wait(Duration::from_millis(1_600)));
    assert_eq!(third.len(), 1);
    assert!(third[0].1 != peer(9) && third[0].1 != second[0].1);
    let outputs = node.input(Input::ResponseReceived { request: third[0].0, body: RawTxList { hash, txlist }.encode() });
    assert_eq!(ready(&outputs), [1]);
    assert_eq!(node.status().missing_txlists, 0);
}

#[test]
fn p5_6_the_first_round_without_success_is_followed_by_a_short_pause_and_later_ones_by_longer_pauses() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.commitment(9, &signed);
    let mut asked = fetches(&node.wait(Duration::from_millis(400)));
    for pause in [400, 800, 1_600] {
        assert_eq!(asked.len(), 1);
        let not_found = RawTxList { hash: keccak256(&txlist), txlist: Bytes::new() }.encode();
        assert!(fetches(&node.input(Input::ResponseReceived { request: asked[0].0, body: not_found })).is_empty());
        assert!(fetches(&node.wait(Duration::from_millis(pause - 1))).is_empty());
        asked = fetches(&node.wait(Duration::from_millis(1)));
    }
    // This one stalls: it is not asked a second time meanwhile.
    assert_eq!(asked.len(), 1);
    assert!(fetches(&node.wait(Duration::from_millis(9_999))).is_empty());
}

/// The requests for txlists that went out.
fn fetches(outputs: &[Output]) -> Vec<(RequestId, PeerId, Protocol, Bytes)> {
    requests(outputs).into_iter().filter(|request| request.2 == Protocol::GetTxList).collect()
}

#[test]
fn p5_6_a_wrong_hash_costs_one_failure_and_the_next_peer_is_asked() {
    let (mut node, mut writer) = (Node::connected_to(&[8, 9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.commitment(9, &signed);
    let first = requests(&node.wait(Duration::from_millis(400)));
    let score = node.score(9);
    let lie = RawTxList { hash: keccak256(&txlist), txlist: Bytes::from_static(b"other") }.encode();
    let outputs = node.input(Input::ResponseReceived { request: first[0].0, body: lie });
    assert_eq!(refusals(&outputs), [Refusal::WrongHash]);
    assert_eq!(node.score(9), score - 1_000_000);
    assert_eq!(requests(&outputs)[0].1, peer(8));
}

#[test]
fn p5_6_starts_over_when_every_peer_was_asked_in_vain() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.commitment(9, &signed);
    let first = requests(&node.wait(Duration::from_millis(400)));
    let none = RawTxList { hash: keccak256(&txlist), txlist: Bytes::new() }.encode();
    assert!(requests(&node.input(Input::ResponseReceived { request: first[0].0, body: none })).is_empty());
    let again = requests(&node.wait(Duration::from_secs(11)));
    assert!(again.iter().any(|request| request.2 == Protocol::GetTxList));
}

#[test]
fn p5_5_blocks_become_ready_in_order_whatever_order_their_txlists_come_in() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let blocks: Vec<_> = (0..4).map(|_| writer.block()).collect();
    for (signed, _) in &blocks {
        node.commitment(9, signed);
    }
    assert!(ready(&node.txlist(9, &blocks[2].1)).is_empty());
    assert!(ready(&node.txlist(9, &blocks[1].1)).is_empty());
    assert_eq!(ready(&node.txlist(9, &blocks[0].1)), [1, 2, 3]);
    assert_eq!(ready(&node.txlist(9, &blocks[3].1)), [4]);
    assert!(ready(&node.txlist(9, &blocks[3].1)).is_empty(), "each once");
}

#[test]
fn t6_a_list_that_a_later_block_needs_too_is_looked_for_when_the_first_one_is_settled() {
    // T6, P5.6
    let txlist = Bytes::from_static(b"an empty block, as every empty block is encoded");
    let mut writer = Writer::new(1);
    let blocks: Vec<_> = (0..2).map(|_| writer.write(|preconf| preconf.raw_tx_list_hash = keccak256(&txlist))).collect();
    let mut node = Node::connected_to(&[9]);
    for block in &blocks {
        node.commitment(9, block);
    }
    let tip = SyncTip { block_number: 1, preconfirmation_hash: Some(preconfirmation_hash(&blocks[0])) };
    node.update(Update::MoveSyncTip(tip)).expect("a tip");
    let outputs = node.wait(Config::new(CHAIN).txlist_grace);
    let asked = requests(&outputs);
    assert_eq!(asked.iter().map(|asked| asked.2).collect::<Vec<_>>(), [Protocol::GetTxList]);
    let body = RawTxList { hash: keccak256(&txlist), txlist }.encode();
    assert_eq!(ready(&node.input(Input::ResponseReceived { request: asked[0].0, body })), [2]);
}
