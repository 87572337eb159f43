//! What the machine says of a commitment from gossip (C1–C10, P5.1, P5.5).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use Verdict::{Accept, Ignore, Reject};
use preconf_core::*;

#[test]
fn accepts_a_good_commitment_and_its_txlist_and_says_that_the_block_is_ready() {
    // C10, T5, P5.5
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    let outputs = node.commitment(9, &signed);
    assert_eq!(verdicts(&outputs), [Accept]);
    assert!(ready(&outputs).is_empty());
    let outputs = node.txlist(9, &txlist);
    assert_eq!(verdicts(&outputs), [Accept]);
    assert_eq!(ready(&outputs), [1]);
    assert_eq!(node.head(), Some(1));
    assert_eq!(node.score(9), 100_000);
}

/// One bad commitment, the verdict it deserves, and by which rule.
fn refused(change: impl FnOnce(&mut Writer) -> Vec<u8>) -> (Vec<Verdict>, Vec<Refusal>) {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let first = writer.block();
    node.block(9, &first);
    let outputs = node.gossip(9, Topic::Commitments, change(&mut writer));
    assert_eq!(node.head(), Some(1), "a refused commitment changes nothing");
    (verdicts(&outputs), refusals(&outputs))
}

fn bytes(signed: &SignedCommitment) -> Vec<u8> {
    signed.as_bytes().to_vec()
}

#[test]
fn c1_rejects_what_is_no_commitment() {
    let (verdicts, refusals) = refused(|writer| bytes(&writer.block().0)[1..].to_vec());
    assert_eq!((verdicts, refusals[0].rule()), (vec![Reject], "C1"));
    let (verdicts, _) = refused(|writer| [&[2], &bytes(&writer.block().0)[1..]].concat());
    assert_eq!(verdicts, [Reject]);
}

#[test]
fn c2_rejects_another_slasher_only_where_one_is_configured() {
    let mut node = Node::with(Config { slasher: Some(Address::repeat_byte(1)), ..Config::new(CHAIN) });
    node.connect(9);
    let outputs = node.commitment(9, &Writer::new(1).block().0);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Reject], vec![Refusal::WrongSlasher]));
}

#[test]
fn c3_rejects_a_block_without_a_txlist_hash() {
    let (verdicts, refusals) = refused(|writer| bytes(&writer.write(|_| {})));
    assert_eq!((verdicts, refusals), (vec![Reject], vec![Refusal::NoTxListHash]));
}

#[test]
fn c4_ignores_duplicates_and_blocks_out_of_sight() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let first = writer.block();
    node.block(9, &first);
    assert_eq!(refusals(&node.commitment(9, &first.0)), [Refusal::Duplicate]);
    let far = Writer { number: 769, ..Writer::new(1) }.block().0;
    assert_eq!(refusals(&node.commitment(9, &far)), [Refusal::TooFarAhead]);
    let huge = Writer::new(1).write(|preconf| (preconf.eop, preconf.block_number) = (true, U256::from(1) << 200));
    let outputs = node.commitment(9, &huge);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::TooFarAhead]));
    node.update(Update::MoveSyncTip(SyncTip { block_number: 5, preconfirmation_hash: None })).unwrap();
    assert_eq!(refusals(&node.commitment(9, &writer.block().0)), [Refusal::Stale]);
    assert_eq!(node.score(9), 100_000, "nobody is charged");
}

#[test]
fn c5_ignores_what_comes_too_long_after_its_window() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.wait(Duration::from_secs(WINDOW_SECS + 11));
    assert_eq!(verdicts(&node.commitment(9, &writer.block().0)), [Accept]);
    node.wait(Duration::from_secs(1));
    assert_eq!(refusals(&node.commitment(9, &writer.block().0)), [Refusal::Late]);
}

#[test]
fn c6_rejects_a_window_that_is_not_and_a_time_outside_of_it() {
    let settled = vec![Refusal::WrongWindow { settled: true }];
    let (verdicts, refusals) = refused(|writer| {
        writer.window_end += 1;
        bytes(&writer.block().0)
    });
    assert_eq!((verdicts, refusals), (vec![Reject], settled.clone()));
    let (_, refusals) = refused(|writer| {
        writer.timestamp = START + WINDOW_SECS;
        bytes(&writer.block().0)
    });
    assert_eq!(refusals, settled);
}

#[test]
fn c6_only_ignores_a_mismatch_while_the_window_is_not_settled() {
    // P9.1
    let mut node = Node::unscheduled(Config::new(CHAIN));
    let open = windows(&[2]).into_iter().map(|window| Window { settled: false, ..window }).collect();
    node.update(Update::Schedule(open)).unwrap();
    node.connect(9);
    let outputs = node.commitment(9, &Writer::new(1).block().0);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::WrongSigner { settled: false }]));
}

#[test]
fn c6_holds_what_the_schedule_does_not_cover_yet() {
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.connect(9);
    assert_eq!(verdicts(&node.commitment(9, &Writer::new(1).block().0)), []);
    let outputs = node.update(Update::Schedule(windows(&[1]))).unwrap();
    assert_eq!(verdicts(&outputs), [Accept]);
    assert_eq!(node.head(), Some(1));
}

#[test]
fn c7_rejects_the_wrong_signer_and_ignores_the_high_s_form() {
    let (verdicts, refusals) = refused(|writer| {
        writer.key = key(2);
        bytes(&writer.block().0)
    });
    assert_eq!((verdicts, refusals), (vec![Reject], vec![Refusal::WrongSigner { settled: true }]));
    let (verdicts, refusals) = refused(|writer| {
        let signed = writer.block().0;
        let mut high = *signed.signature();
        let s = SecretKey::from_secret_bytes(high[32..64].try_into().unwrap()).unwrap();
        high[32..64].copy_from_slice(&s.negate().to_secret_bytes());
        high[64] ^= 1;
        bytes(&SignedCommitment::new(signed.commitment().clone(), high))
    });
    assert_eq!((verdicts, refusals), (vec![Ignore], vec![Refusal::HighS])); // P4.4
}

#[test]
fn c7_garbage_never_costs_a_recovery() {
    let mut node = Node::connected_to(&[9]);
    node.gossip(9, Topic::Commitments, vec![7; 382]);
    node.gossip(9, Topic::Commitments, vec![0; 382]);
    node.gossip(9, Topic::Commitments, vec![0; 100]);
    assert_eq!(node.core.stats().jobs, 0);
}

#[test]
fn c8_ignores_another_block_of_the_same_signer_at_the_same_number() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let other = Writer::new(1).write(|preconf| preconf.eop = true);
    let first = writer.block();
    node.block(9, &first);
    let outputs = node.commitment(9, &other);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::Equivocation]));
    assert_eq!(node.status().head.unwrap().1, preconfirmation_hash(&first.0), "the first valid one stays (P5.4a)");
}

#[test]
fn c8_ignores_a_block_after_its_signers_eop() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let outputs = node.commitment(9, &writer.eop());
    let next = address_of(&key(2));
    let handed = |output: &Output| matches!(output, Output::App(Event::Handoff { next: Some(to), .. }) if *to == next);
    assert!(outputs.iter().any(handed), "an EOP hands over to the next window's preconfer (P5.3)");
    assert_eq!(ready(&outputs), [1], "an EOP without a txlist needs none (P5.3)");
    assert_eq!(refusals(&node.commitment(9, &writer.block().0)), [Refusal::AfterEop]);
    let mut writer = Writer { number: 1, parent: node.status().head.unwrap().1, ..writer };
    writer.hand_over(2);
    assert_eq!(verdicts(&node.commitment(9, &writer.block().0)), [Accept]);
}

#[test]
fn c9_holds_a_child_until_its_parent_comes_and_asks_its_sender_for_the_gap() {
    // P5.1, P5.2
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, second, third) = (writer.block().0, writer.block().0, writer.block().0);
    assert_eq!(verdicts(&node.commitment(9, &first)), [Accept]);
    assert_eq!(verdicts(&node.commitment(9, &third)), []);
    let asked = requests(&node.wait(Duration::from_millis(100)));
    let (_, who, protocol, body) = asked[0].clone();
    assert_eq!((who, protocol), (peer(9), Protocol::GetCommitments));
    assert_eq!(GetCommitmentsRequest::decode(&body), Ok(GetCommitmentsRequest { start_block_number: U256::from(2), max_count: 1 }));
    assert_eq!(verdicts(&node.commitment(9, &second)), [Accept, Accept]);
    assert_eq!(node.head(), Some(3));
}

#[test]
fn p5_1_gives_a_held_message_its_verdict_in_time_and_still_takes_it_when_its_parent_comes() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, second) = (writer.block().0, writer.block().0);
    // A tip that is known, so that the second block cannot be taken for the first.
    let parent = first.preconf().parent_preconfirmation_hash;
    node.update(Update::MoveSyncTip(SyncTip { block_number: 0, preconfirmation_hash: Some(parent) })).unwrap();
    node.commitment(9, &second);
    let outputs = node.wait(Duration::from_millis(2_999));
    assert_eq!(verdicts(&outputs), []);
    let outputs = node.wait(Duration::from_millis(1));
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::ParentUnknown]));
    let score = node.score(9);
    let outputs = node.commitment(9, &first);
    assert_eq!(verdicts(&outputs), [Accept], "the second has had its verdict");
    assert_eq!(node.head(), Some(2));
    assert_eq!(node.score(9), score + 50_000, "and is not paid for");
}

#[test]
fn p5_1_gives_up_a_held_message_after_a_minute() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    writer.block();
    writer.block();
    node.commitment(9, &writer.block().0);
    assert_eq!(node.status().held, 1);
    node.wait(Duration::from_secs(60));
    assert_eq!(node.status().held, 0);
}

#[test]
fn c9_refuses_a_child_that_breaks_a_parent_rule_without_a_charge() {
    let (verdicts, refusals) = refused(|writer| {
        writer.timestamp -= 1;
        bytes(&writer.block().0)
    });
    assert_eq!((verdicts, refusals), (vec![Ignore], vec![Refusal::ParentRule(ParentRule::Timestamp)]));
}

#[test]
fn c9_keeps_a_fork_of_another_preconfer_beside_the_chain() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let first = writer.block();
    node.block(9, &first);
    let mut other = Writer { ..Writer::new(1) };
    (other.parent, other.number, other.timestamp) = (writer.parent, writer.number, writer.timestamp);
    other.hand_over(2);
    node.block(9, &writer.block());
    let outputs = node.commitment(9, &other.block().0);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::Fork]));
    assert!(outputs.iter().any(|output| matches!(output, Output::App(Event::Forked { .. }))));
    assert_eq!(node.status().commitments, 3);
}

#[test]
fn results_of_jobs_in_any_order_conclude_the_same() {
    let mut writer = Writer::new(1);
    let chain: Vec<_> = (0..6).map(|_| writer.block().0).collect();
    let run = |order: &dyn Fn(&mut Vec<Job>)| {
        let mut node = Node::connected_to(&[9]);
        for signed in &chain {
            node.quiet(gossip(9, Topic::Commitments, bytes(signed)));
        }
        let mut jobs = Vec::new();
        while let Some(output) = node.core.poll_output() {
            if let Output::Job(job) = output {
                jobs.push(job);
            }
        }
        order(&mut jobs);
        let outputs: Vec<_> = jobs.iter().flat_map(|job| node.input(Input::JobFinished(job.run()))).collect();
        (verdicts(&outputs), node.head())
    };
    let in_order = run(&|_| {});
    assert_eq!(in_order, (vec![Accept; 6], Some(6)));
    assert_eq!(run(&|jobs| jobs.reverse()), in_order);
    assert_eq!(run(&|jobs| jobs.swap(0, 3)), in_order);
}
