//! How a message of our own gets out (P5.7–P5.9).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;

fn published(outputs: &[Output]) -> Vec<(PublishId, Topic, Bytes)> {
    let publish = |output: &Output| match output {
        Output::Net(Action::Publish { publish, topic, data }) => Some((*publish, *topic, data.clone())),
        _ => None,
    };
    outputs.iter().filter_map(publish).collect()
}

fn publish(node: &mut Node, signed: &SignedCommitment) -> Result<(CommandId, Vec<Output>), CommandError> {
    node.command(Command::PublishCommitment(Box::new(signed.clone())))
}

#[test]
fn p5_7_judges_stores_serves_and_publishes_its_own() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    let (command, outputs) = node.command(Command::PublishTxList(txlist.clone())).unwrap();
    let (id, topic, data) = published(&outputs)[0].clone();
    assert_eq!((topic, RawTxList::decode(&data, 1000).unwrap().hash), (Topic::TxLists, keccak256(&txlist)));
    let outputs = node.input(Input::PublishFinished { publish: id, outcome: PublishOutcome::Sent });
    assert_eq!(outcomes(&outputs), [(command, Outcome::Published(message_id(CHAIN, Topic::TxLists, &data)))]);
    let (command, outputs) = publish(&mut node, &signed).unwrap();
    assert_eq!(ready(&outputs), [1], "it counts as accepted at once");
    let (id, topic, data) = published(&outputs)[0].clone();
    assert_eq!((topic, &data[..]), (Topic::Commitments, &signed.as_bytes()[..]));
    let outputs = node.input(Input::PublishFinished { publish: id, outcome: PublishOutcome::Sent });
    assert_eq!(outcomes(&outputs), [(command, Outcome::Published(message_id(CHAIN, Topic::Commitments, &data)))]);
    let body = GetCommitmentsRequest { start_block_number: U256::from(1), max_count: 1 }.encode();
    let outputs = node.asked(9, Protocol::GetCommitments, body);
    let served = CommitmentsPage::encode([&signed].into_iter());
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Net(Action::Respond { response: Response::Commitments(page), .. }) if *page == served))
    );
}

#[test]
fn p5_7_refuses_its_own_that_breaks_a_rule_and_sends_nothing() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let refused = |refusal| CommandError::Publish(PublishError::Refused(refusal));
    let no_hash = writer.write(|_| {});
    assert_eq!(publish(&mut node, &no_hash).unwrap_err(), refused(Refusal::NoTxListHash));
    assert_eq!(node.command(Command::PublishTxList(Bytes::new())).unwrap_err(), refused(Refusal::EmptyTxList));
    let stranger = Writer { key: key(3), ..Writer::new(1) }.block().0;
    let (command, outputs) = publish(&mut node, &stranger).unwrap();
    let not = |refusal| Outcome::NotPublished(PublishError::Refused(refusal));
    assert_eq!(outcomes(&outputs), [(command, not(Refusal::WrongSigner { settled: true }))]);
    assert!(published(&outputs).is_empty());
    let first = Writer::new(1).block().0;
    node.commitment(9, &first);
    let orphan = Writer { number: 1, ..Writer::new(1) }.block().0;
    let (command, outputs) = publish(&mut node, &orphan).unwrap();
    assert_eq!(outcomes(&outputs), [(command, not(Refusal::ParentUnknown))]);
}

#[test]
fn p5_8_waits_for_a_peer_and_publishes_when_one_joins_the_topic() {
    let (mut node, mut writer) = (Node::new(), Writer::new(1));
    let (command, outputs) = publish(&mut node, &writer.block().0).unwrap();
    let (id, ..) = published(&outputs)[0].clone();
    assert!(node.input(Input::PublishFinished { publish: id, outcome: PublishOutcome::NoPeers }).is_empty());
    assert_eq!(node.status().unsent, 1);
    node.open(9);
    let (again, topic, _) = published(&node.drain())[0].clone();
    assert_eq!(topic, Topic::Commitments);
    let outputs = node.input(Input::PublishFinished { publish: again, outcome: PublishOutcome::Sent });
    assert!(matches!(outcomes(&outputs)[..], [(id, Outcome::Published(_))] if id == command));
    assert!(outcomes(&node.wait(Duration::from_secs(WINDOW_SECS + 13))).is_empty(), "told once");
}

#[test]
fn p5_8_tries_again_when_queues_were_full() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (_, outputs) = publish(&mut node, &writer.block().0).unwrap();
    let (id, ..) = published(&outputs)[0].clone();
    node.input(Input::PublishFinished { publish: id, outcome: PublishOutcome::Busy });
    assert_eq!(published(&node.wait(Duration::from_millis(500))).len(), 1);
    assert_eq!(node.core.stats().publish_retries, 1); // P5.8a
}

#[test]
fn p5_8_says_that_nobody_took_it_when_its_window_has_been_over_for_the_grace() {
    let (mut node, mut writer) = (Node::new(), Writer::new(1));
    let (command, outputs) = publish(&mut node, &writer.block().0).unwrap();
    let (id, ..) = published(&outputs)[0].clone();
    node.input(Input::PublishFinished { publish: id, outcome: PublishOutcome::NoPeers });
    assert!(outcomes(&node.wait(Duration::from_secs(WINDOW_SECS + 10))).is_empty());
    let outputs = node.wait(Duration::from_secs(1));
    assert_eq!(outcomes(&outputs), [(command, Outcome::NotPublished(PublishError::Unsent))]);
    assert_eq!(node.status().unsent, 0);
}

#[test]
fn p5_9_never_contradicts_what_it_published_before() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    publish(&mut node, &writer.block().0).unwrap();
    // Whatever became of the first one on the chain.
    node.update(Update::MoveSyncTip(SyncTip { block_number: 0, preconfirmation_hash: Some(B256::repeat_byte(5)) })).unwrap();
    assert_eq!(node.head(), None);
    let other = Writer { parent: B256::repeat_byte(5), ..Writer::new(1) }.block().0;
    let refused = CommandError::Publish(PublishError::Refused(Refusal::Equivocation));
    assert_eq!(publish(&mut node, &other).unwrap_err(), refused);
}

/// What came out to be kept, and what came out to be published, in order.
fn kept_and_published(outputs: &[Output]) -> Vec<Result<Record, Topic>> {
    let both = |output: &Output| match output {
        Output::Keep(record) => Some(Ok(record.clone())),
        Output::Net(Action::Publish { topic, .. }) => Some(Err(*topic)),
        _ => None,
    };
    outputs.iter().filter_map(both).collect()
}

#[test]
fn p5_9_holds_across_a_restart_for_whoever_stores_what_is_to_be_kept() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, second) = (writer.block().0, writer.block().0);
    let (_, outputs) = publish(&mut node, &first).unwrap();
    let record = Record::Committed { block_number: 1, hash: preconfirmation_hash(&first) };
    assert_eq!(kept_and_published(&outputs), [Ok(record.clone()), Err(Topic::Commitments)], "kept before it is said");

    let mut node = Node::connected_to(&[9]);
    node.update(Update::Restore(vec![record])).unwrap();
    let other = Writer::new(1).write(|preconf| preconf.eop = true);
    let refused = CommandError::Publish(PublishError::Refused(Refusal::Equivocation));
    assert_eq!(publish(&mut node, &other).unwrap_err(), refused);
    for signed in [&first, &second] {
        let (_, outputs) = publish(&mut node, signed).unwrap();
        assert_eq!(published(&outputs).len(), 1, "the same block may be said again, and the next one follows");
    }
}

#[test]
fn p5_9_a_restored_word_never_overrides_what_was_said_since_and_takes_bounded_room() {
    let mut node = Node::with(Config { max_commitments: 3, ..Config::new(CHAIN) });
    let first = Writer::new(1).block().0;
    publish(&mut node, &first).unwrap();
    let records = (1..=1000).map(|block_number| Record::Committed { block_number, hash: B256::repeat_byte(7) });
    node.update(Update::Restore(records.clone().take(3).collect())).unwrap();
    assert!(matches!(publish(&mut node, &first), Err(CommandError::Publish(PublishError::Refused(Refusal::Duplicate)))));
    node.update(Update::Restore(records.collect())).unwrap();
    assert!(node.core.memory_bytes() <= memory_bound(&Config { max_commitments: 3, ..Config::new(CHAIN) })); // P10.3
}

#[test]
fn p5_9_holds_for_two_wishes_whose_signers_are_recovered_at_once() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, tip) = (writer.block().0, B256::repeat_byte(5));
    let other = Writer { parent: tip, ..Writer::new(1) }.block().0;
    let mut jobs = Vec::new();
    for signed in [&first, &other] {
        node.core.handle_command(node.now, Command::PublishCommitment(Box::new(signed.clone()))).unwrap();
        while let Some(output) = node.core.poll_output() {
            if let Output::Job(job) = output {
                jobs.push(job);
            }
        }
    }
    assert_eq!(published(&node.input(Input::JobFinished(jobs[0].run()))).len(), 1);
    // The first one leaves the chain before the second one is concluded: only our own memory can still contradict it.
    node.update(Update::MoveSyncTip(SyncTip { block_number: 0, preconfirmation_hash: Some(tip) })).unwrap();
    let outputs = node.input(Input::JobFinished(jobs[1].run()));
    assert!(published(&outputs).is_empty());
    assert!(matches!(outcomes(&outputs)[..], [(_, Outcome::NotPublished(PublishError::Refused(Refusal::Equivocation)))]));
}
