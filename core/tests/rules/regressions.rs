//! Defects once found in other implementations of this protocol. Each test names the defect that it keeps out.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use Verdict::{Accept, Ignore, Reject};
use preconf_core::*;

/// Who asks for data, and does nothing else.
const ASKER: u8 = 7;

fn signed_by(commitment: &SignedCommitment, signature: [u8; 65]) -> SignedCommitment {
    SignedCommitment::new(commitment.commitment().clone(), signature)
}

/// What the node answers when a peer asks for a txlist.
fn serves(node: &mut Node, txlist: &Bytes) -> bool {
    let asked = node.asked(ASKER, Protocol::GetTxList, GetTxListRequest { hash: keccak256(txlist) }.encode());
    asked
        .iter()
        .any(|output| matches!(output, Output::Net(Action::Respond { response: Response::TxList(list), .. }) if list.txlist == txlist))
}

/// The commitments with which the node answers a request for one number.
fn served_at(node: &mut Node, number: u64) -> Vec<SignedCommitment> {
    let body = GetCommitmentsRequest { start_block_number: U256::from(number), max_count: 1 }.encode();
    let page = |output: &Output| match output {
        Output::Net(Action::Respond { response: Response::Commitments(page), .. }) => Some(page.clone()),
        _ => None,
    };
    let page = node.asked(ASKER, Protocol::GetCommitments, body).iter().find_map(page).unwrap();
    CommitmentsPage::decode(&page).unwrap().iter().map(Result::unwrap).collect()
}

/// The head that the node tells others.
fn served_head(node: &mut Node) -> PreconfHead {
    let head = |output: &Output| match output {
        Output::Net(Action::Respond { response: Response::Head(head), .. }) => Some(*head),
        _ => None,
    };
    node.asked(ASKER, Protocol::GetHead, GetHeadRequest::BYTES.to_vec()).iter().find_map(head).unwrap()
}

/// Defect: a commitment for an old block was acted upon before its signer was known, and its txlist dropped as outdated.
#[test]
fn an_old_block_number_with_a_random_signature_deletes_no_txlist() {
    // P5.4a
    let (mut node, mut writer) = (Node::connected_to(&[9, 8, ASKER]), Writer::new(1));
    let blocks: Vec<_> = (0..3).map(|_| writer.block()).collect();
    blocks.iter().for_each(|block| drop(node.block(9, block)));
    let before = node.status();
    for (seed, (signed, txlist)) in (1..).zip(&blocks) {
        // The very commitment, and one that names the same txlist at another place, under signatures that recover to somebody or nobody.
        let moved = Writer { number: 0, ..Writer::new(1) }.write(|preconf| preconf.raw_tx_list_hash = keccak256(txlist));
        for target in [signed, &moved] {
            for filler in [seed, 0x7f, 0xff] {
                let mut signature = [filler; 65];
                signature[64] = filler % 4;
                node.commitment(8, &signed_by(target, signature));
            }
        }
        assert!(serves(&mut node, txlist), "the txlist of block {seed} is still here");
    }
    let after = node.status();
    assert_eq!((after.head, after.txlist_bytes, after.commitments), (before.head, before.txlist_bytes, before.commitments));
}

/// Defect: the head was the highest number ever seen, linked or not.
#[test]
fn a_huge_block_number_leaves_the_head_alone() {
    // C4, P5.4a, P6.1
    let (mut node, mut writer) = (Node::connected_to(&[9, 8, ASKER]), Writer::new(1));
    node.block(9, &writer.block());
    // Signed by the elected preconfer itself, at every size that arithmetic could trip over.
    for number in [U256::from(1) << 200, U256::MAX, U256::from(u64::MAX), U256::from(u64::MAX) + U256::ONE, U256::from(769)] {
        let mut liar = Writer { parent: writer.parent, timestamp: writer.timestamp, ..Writer::new(1) };
        let huge = liar.write(|preconf| (preconf.block_number, preconf.eop) = (number, true));
        node.commitment(9, &huge);
        assert_eq!(served_head(&mut node).block_number, U256::from(1), "{number}");
        node.wait(Duration::from_secs(11)); // past the request limit's window
    }
    // A stranger that only claims such a head gets no further: nobody backs it.
    node.open(7);
    let outputs = node.drain();
    let claimed = PreconfHead { block_number: U256::MAX, submission_window_end: U256::MAX };
    node.input(Input::ResponseReceived { request: requests(&outputs)[0].0, body: claimed.encode() });
    assert_eq!(served_head(&mut node).block_number, U256::from(1));
    assert_eq!(verdicts(&node.block(9, &writer.block())), [Accept, Accept], "the chain goes on");
    assert_eq!(node.head(), Some(2));
}

/// Defect: the node took txlists apart, and ended when one could not be; or ended with the host that could not execute one.
#[test]
fn a_txlist_that_nobody_can_read_and_a_host_that_fails_end_nothing() {
    // P10.2, P10.4
    let (mut node, mut writer) = (Node::connected_to(&[9, ASKER]), Writer::new(1));
    let garbage = Bytes::from(vec![0xff; 1000]);
    let first = writer.write(|preconf| preconf.raw_tx_list_hash = keccak256(&garbage));
    assert_eq!(verdicts(&node.commitment(9, &first)), [Accept]);
    let outputs = node.txlist(9, &garbage);
    assert_eq!((verdicts(&outputs), ready(&outputs)), (vec![Accept], vec![1]), "opaque bytes here; the host decides what they are worth");
    // The host never gets through block 1, asks for what is not there, and tries again; the rest goes on meanwhile.
    for number in 2..=4 {
        assert_eq!(ready(&node.block(9, &writer.block())), [number]);
        assert_eq!(node.update(Update::MarkExecuted { block_number: 9 }).unwrap_err(), UpdateError::NotReady { block_number: 9 });
    }
    let status = node.status();
    assert_eq!((status.head.unwrap().0, status.ready_to, status.executed_to), (4, 4, 0));
    node.update(Update::MarkExecuted { block_number: 1 }).unwrap();
    assert_eq!(node.status().executed_to, 1);
}

/// Defect: whoever asked for data was rewarded for every answer that it got.
#[test]
fn asking_for_data_earns_no_score() {
    // P7.8
    let (mut node, mut writer) = (Node::connected_to(&[9, 8, ASKER]), Writer::new(1));
    let block = writer.block();
    node.block(9, &block);
    for _ in 0..6 {
        assert!(serves(&mut node, &block.1));
        served_head(&mut node);
        served_at(&mut node, 1);
    }
    assert_eq!(node.score(ASKER), 0);
    assert!(node.core.explain(node.now, peer(ASKER)).is_empty(), "not even a change that cancels out");
}

/// Defect: a response was rewarded before its content was compared with what had been asked for.
#[test]
fn a_txlist_of_another_hash_is_never_rewarded() {
    // T4, P6.4
    let (mut node, mut writer) = (Node::connected_to(&[9, 8, ASKER]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.commitment(9, &signed);
    let (hash, other) = (keccak256(&txlist), Bytes::from_static(b"another list"));
    // By gossip: other bytes under the right name.
    let outputs = node.gossip(8, Topic::TxLists, RawTxList { hash, txlist: other.clone() }.encode());
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Reject], vec![Refusal::WrongHash]));
    assert_eq!(node.score(8), -1_000_000);
    // As an answer: other bytes under the right name, and a good list that nobody asked for.
    for wrong in [RawTxList { hash, txlist: other.clone() }, RawTxList { hash: keccak256(&other), txlist: other.clone() }] {
        let (score, asked) = (node.score(9), node.command(Command::GetTxList { hash, peer: Some(peer(9)) }).unwrap());
        let outputs = node.input(Input::ResponseReceived { request: requests(&asked.1)[0].0, body: wrong.encode() });
        assert!(matches!(outcomes(&outputs)[..], [(_, Outcome::RequestFailed { error: RequestError::Refused(_), .. })]));
        assert!(ready(&outputs).is_empty() && node.score(9) < score, "it costs a failure");
    }
    assert_eq!(ready(&node.txlist(9, &txlist)), [1], "the right one is still welcome");
}

/// Defect: what a node published itself was neither stored nor served, because only messages of others were.
#[test]
fn a_publisher_stores_serves_and_counts_its_own_block() {
    // P5.7
    let (mut node, mut writer) = (Node::connected_to(&[8, ASKER]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.command(Command::PublishTxList(txlist.clone())).unwrap();
    let (_, outputs) = node.command(Command::PublishCommitment(Box::new(signed.clone()))).unwrap();
    assert_eq!(ready(&outputs), [1]);
    assert_eq!(served_head(&mut node).block_number, U256::from(1));
    assert_eq!(served_at(&mut node, 1), *std::slice::from_ref(&signed));
    assert!(serves(&mut node, &txlist));
    let outputs = node.commitment(8, &signed);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::Duplicate]), "and knows it when it comes back");
}

/// Defect: commitments were kept by block number, so that whoever spoke last for a number replaced what stood there.
#[test]
fn the_last_word_for_a_block_number_replaces_nothing() {
    // P5.4a, C8, C9
    let (mut node, mut writer) = (Node::connected_to(&[9, 8, ASKER]), Writer::new(1));
    let parent = writer.block();
    node.block(9, &parent);
    let mut fork = Writer { parent: writer.parent, number: 1, ..Writer::new(1) };
    fork.hand_over(2);
    node.set_clock_to_window(1);
    let mut twice = Writer { parent: writer.parent, number: 1, timestamp: writer.timestamp, ..Writer::new(1) };
    let first = writer.block();
    node.block(9, &first);
    let (before, txlist_bytes) = (node.status().head, node.status().txlist_bytes);
    for (other, refusal) in [(twice.eop(), Refusal::Equivocation), (fork.block().0, Refusal::Fork)] {
        let outputs = node.commitment(8, &other);
        assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![refusal]));
        assert_eq!(served_at(&mut node, 2), *std::slice::from_ref(&first.0));
    }
    assert!(serves(&mut node, &first.1));
    assert_eq!((node.status().head, node.status().txlist_bytes), (before, txlist_bytes));
    assert_eq!(verdicts(&node.block(9, &writer.block())), [Accept, Accept], "the first one's children go on");
}
