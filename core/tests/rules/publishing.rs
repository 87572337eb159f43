//! How a message of our own gets out (P5.7–P5.9).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;

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
    let (mut node, mut writer) = (Node::connected_to(&[]), Writer::new(1));
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
    let (mut node, mut writer) = (Node::connected_to(&[]), Writer::new(1));
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

/// What we committed to, among what came out to be kept.
fn committed(outputs: &[Output]) -> Vec<OwnCommitment> {
    let own = |record| if let Record::Committed(own) = record { Some(*own) } else { None };
    records(outputs).into_iter().filter_map(own).collect()
}

fn words(writers: impl IntoIterator<Item = SignedCommitment>) -> Vec<Record> {
    let signer = address_of(&key(1));
    writers.into_iter().map(|signed| Record::Committed(Box::new(OwnCommitment { signer, signed, txlist: None }))).collect()
}

#[test]
fn p5_9_holds_across_a_restart_for_whoever_stores_what_is_to_be_kept() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, second) = (writer.block().0, writer.block().0);
    let (_, outputs) = publish(&mut node, &first).unwrap();
    let kept = records(&outputs);
    assert_eq!(committed(&outputs), [OwnCommitment { signer: address_of(&key(1)), signed: first.clone(), txlist: None }]);

    let mut node = Node::connected_to(&[9]);
    let again = node.update(Update::Restore(kept)).unwrap();
    assert_eq!(published(&again).len(), 1, "P5.9a: it is still valid");
    let other = Writer::new(1).write(|preconf| preconf.eop = true);
    let refused = CommandError::Publish(PublishError::Refused(Refusal::Equivocation));
    assert_eq!(publish(&mut node, &other).unwrap_err(), refused);
    let (_, outputs) = publish(&mut node, &second).unwrap();
    assert_eq!(published(&outputs).len(), 1, "the next one follows");
}

#[test]
fn p5_9_a_restored_word_never_overrides_what_was_said_since_and_takes_bounded_room() {
    let mut node = Node::with(Config { max_commitments: 3, ..Config::new(CHAIN) });
    let first = Writer::new(1).block().0;
    publish(&mut node, &first).unwrap();
    node.update(Update::Restore(words([Writer::new(1).write(|preconf| preconf.eop = true)]))).unwrap();
    assert!(matches!(publish(&mut node, &first), Err(CommandError::Publish(PublishError::Refused(Refusal::Duplicate)))));
    let mut writer = Writer::new(1);
    node.update(Update::Restore(words((0..1000).map(|_| writer.block().0)))).unwrap();
    assert!(node.core.memory_bytes() <= memory_bound(&Config { max_commitments: 3, ..Config::new(CHAIN) })); // P10.3
}

/// What the disk has not answered yet, in order.
fn unanswered(outputs: &[Output]) -> Vec<PersistId> {
    let own = |output: &Output| match output {
        Output::Persist { id, record: Record::Committed(_) } => Some(*id),
        _ => None,
    };
    outputs.iter().filter_map(own).collect()
}

#[test]
fn p5_9a_nothing_of_ours_leaves_before_its_record_is_on_disk() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.disk_works = false;
    let (signed, txlist) = writer.block();
    let block = Command::PublishBlock { commitment: Box::new(signed.clone()), txlist: txlist.clone() };
    let (command, mut outputs) = node.command(block).unwrap();
    let id = unanswered(&outputs)[0];
    outputs.extend(node.wait(Duration::from_secs(60)));
    let is_told = |output: &Output| matches!(output, Output::App(Event::CommitmentAccepted { .. } | Event::BlockReady { .. }));
    assert!(published(&outputs).is_empty() && outcomes(&outputs).is_empty() && !outputs.iter().any(is_told));
    assert_eq!(node.head(), None);
    let body = GetCommitmentsRequest { start_block_number: U256::from(1), max_count: 1 }.encode();
    let served = node.asked(9, Protocol::GetCommitments, body);
    let answered = |output: &Output| match output {
        Output::Net(Action::Respond { response: Response::Commitments(page), .. }) => Some(page.clone()),
        _ => None,
    };
    assert_eq!(served.iter().find_map(answered), Some(CommitmentsPage::encode(std::iter::empty())));

    let outputs = node.input(Input::Persisted { id });
    assert_eq!(ready(&outputs), [1]);
    let commitment = published(&outputs)[0].0;
    let list = published(&node.input(Input::PublishFinished { publish: commitment, outcome: PublishOutcome::Sent }))[0].0;
    let outputs = node.input(Input::PublishFinished { publish: list, outcome: PublishOutcome::Sent });
    let name = message_id(CHAIN, Topic::Commitments, signed.as_bytes());
    assert_eq!(outcomes(&outputs), [(command, Outcome::Published(name))]);
}

#[test]
fn t5_our_own_commitment_leaves_before_its_list_however_long_that_takes() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    let (command, mut outputs) = node.command(Command::PublishBlock { commitment: Box::new(signed), txlist }).unwrap();
    for outcome in [PublishOutcome::NoPeers, PublishOutcome::Busy, PublishOutcome::Busy] {
        let (publish, topic, _) = published(&outputs)[0].clone();
        assert_eq!((published(&outputs).len(), topic), (1, Topic::Commitments));
        assert!(published(&node.input(Input::PublishFinished { publish, outcome })).is_empty());
        outputs = node.input(Input::PeerSubscribed { peer: peer(9), topic: Topic::TxLists });
        assert!(published(&outputs).is_empty(), "the list has somebody to go to, and waits");
        outputs = node.input(Input::PeerSubscribed { peer: peer(9), topic: Topic::Commitments });
    }
    let publish = published(&outputs)[0].0;
    let outputs = node.input(Input::PublishFinished { publish, outcome: PublishOutcome::Sent });
    assert!(outcomes(&outputs).is_empty(), "a block is out when both are");
    let (publish, topic, _) = published(&outputs)[0].clone();
    assert_eq!((published(&outputs).len(), topic), (1, Topic::TxLists));
    let outputs = node.input(Input::PublishFinished { publish, outcome: PublishOutcome::Sent });
    assert!(matches!(outcomes(&outputs)[..], [(ended, Outcome::Published(_))] if ended == command));
}

#[test]
fn p5_9a_a_record_that_cannot_be_written_is_an_error_and_the_block_stays_bound_to_its_hash() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.disk_works = false;
    let signed = writer.block().0;
    let (command, outputs) = publish(&mut node, &signed).unwrap();
    let id = unanswered(&outputs)[0];
    let outputs = node.input(Input::PersistFailed { id, failure: StorageFailure::NoSpace });
    assert_eq!(outcomes(&outputs), [(command, Outcome::NotPublished(PublishError::NotRecorded(StorageFailure::NoSpace)))]);
    assert!(outputs.contains(&Output::App(Event::StorageFailed { failure: StorageFailure::NoSpace })), "P10.4");
    assert!(published(&outputs).is_empty());
    let other = Writer::new(1).write(|preconf| preconf.eop = true);
    assert_eq!(publish(&mut node, &other).unwrap_err(), CommandError::Publish(PublishError::Refused(Refusal::Equivocation)));
    node.disk_works = true;
    let (_, outputs) = publish(&mut node, &signed).unwrap();
    assert_eq!(published(&outputs).len(), 1, "the same may be offered again");
}

#[test]
fn p5_9a_what_follows_waits_behind_what_is_being_recorded() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.disk_works = false;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (_, outputs) = publish(&mut node, &writer.block().0).unwrap();
        ids.extend(unanswered(&outputs));
    }
    assert_eq!(ids.len(), 1, "what is not known to hold is not recorded");
    for number in 1..=3 {
        let outputs = node.input(Input::Persisted { id: ids[0] });
        assert_eq!((published(&outputs).len(), node.head()), (1, Some(number)));
        ids = unanswered(&outputs);
    }
    assert!(ids.is_empty());
}

#[test]
fn p5_9a_what_follows_something_that_was_not_recorded_finds_no_parent() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.disk_works = false;
    let (_, outputs) = publish(&mut node, &writer.block().0).unwrap();
    let id = unanswered(&outputs)[0];
    let (second, _) = publish(&mut node, &writer.block().0).unwrap();
    let (third, _) = publish(&mut node, &writer.block().0).unwrap();
    let outcome = Outcome::NotPublished(PublishError::Refused(Refusal::ParentUnknown));
    let outputs = node.input(Input::PersistFailed { id, failure: StorageFailure::Io });
    assert_eq!(outcomes(&outputs)[1..], [(second, outcome.clone()), (third, outcome)]);
    assert_eq!(node.status().unsent, 0);
}

#[test]
fn p5_9a_a_block_that_was_recorded_is_published_whole_after_a_restart_once_the_node_knows_where_it_is() {
    let mut writer = Writer::new(1);
    let (first, (second, txlist)) = (writer.block().0, writer.block());
    let own = OwnCommitment { signer: address_of(&key(1)), signed: second, txlist: Some(txlist) };
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.connect(9);
    let outputs = node.update(Update::Restore(vec![Record::Committed(Box::new(own))])).unwrap();
    assert!(published(&outputs).is_empty(), "nobody has said who is elected");
    let outputs = node.update(Update::Schedule(windows(&[1, 2]))).unwrap();
    assert!(published(&outputs).is_empty(), "its parent is not known");
    let outputs = node.commitment(9, &first);
    assert_eq!(node.all_sent(&outputs), [Topic::Commitments, Topic::TxLists]);
    assert!(records(&outputs).iter().all(|record| !matches!(record, Record::Committed(_))), "it is on disk");
}

#[test]
fn p5_9a_what_was_recorded_and_finds_no_place_in_time_is_told() {
    let mut writer = Writer::new(1);
    writer.block();
    let mut node = Node::connected_to(&[9]);
    let mut outputs = node.update(Update::Restore(words([writer.block().0]))).unwrap();
    outputs.extend(node.wait(Duration::from_secs(61)));
    let again = outputs.iter().find_map(|output| match output {
        Output::App(Event::PublishingAgain { command, block_number: 2, .. }) => Some(*command),
        _ => None,
    });
    let outcome = Outcome::NotPublished(PublishError::Refused(Refusal::ParentUnknown));
    assert_eq!(outcomes(&outputs), [(again.unwrap(), outcome)]);
}

#[test]
fn p5_9a_a_host_without_storage_publishes_only_if_it_says_that_it_is_ephemeral() {
    let signed = Writer::new(1).block().0;
    let mut node = Node::with(Config { storage: Storage::Absent, ..Config::new(CHAIN) });
    assert_eq!(publish(&mut node, &signed).unwrap_err(), CommandError::Publish(PublishError::NoStorage));
    let mut node = Node::with(Config { storage: Storage::Ephemeral, ..Config::new(CHAIN) });
    let (_, outputs) = publish(&mut node, &signed).unwrap();
    assert_eq!((published(&outputs).len(), records(&outputs)), (1, vec![]));
}

#[test]
fn p5_9_after_an_l1_reorg_a_preconfer_does_its_work_anew_in_its_next_window() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    for _ in 0..3 {
        publish(&mut node, &writer.block().0).unwrap();
    }
    node.wait(Duration::from_secs(2 * WINDOW_SECS + 10));
    let parent = B256::repeat_byte(0xdd);
    let anew = |timestamp| Writer { parent, timestamp, window_end: START + 3 * WINDOW_SECS, ..Writer::new(1) }.block().0;
    let again = anew(START + 2 * WINDOW_SECS + 1);
    let refused = CommandError::Publish(PublishError::Refused(Refusal::Equivocation));
    assert_eq!(publish(&mut node, &again).unwrap_err(), refused, "its first window still binds");
    node.update(Update::MoveSyncTip(SyncTip { block_number: 0, preconfirmation_hash: Some(parent) })).unwrap();
    assert_eq!(published(&publish(&mut node, &again).unwrap().1).len(), 1);
}

#[test]
fn p5_9b_while_our_own_key_has_said_in_this_window_what_we_do_not_know_ours_is_refused() {
    let mut writer = Writer::new(1);
    let theirs: Vec<_> = (0..3).map(|_| writer.block().0).collect();
    let ours = Writer::new(1).write(|preconf| preconf.raw_tx_list_hash = B256::repeat_byte(0xbb));
    let syncing = Outcome::NotPublished(PublishError::Refused(Refusal::Syncing));
    let mut node = Node::connected_to(&[9]);
    node.commitment(9, &theirs[2]); // its parents are unknown: held
    let (command, outputs) = publish(&mut node, &ours).unwrap();
    assert_eq!((outcomes(&outputs), published(&outputs)), (vec![(command, syncing)], vec![]));
    node.update(Update::OverrideSyncing { window_end: START + WINDOW_SECS }).unwrap();
    assert_eq!(published(&publish(&mut node, &ours).unwrap().1).len(), 1, "the operator knows better");

    let mut node = Node::connected_to(&[9]);
    for signed in &theirs {
        node.commitment(9, signed);
    }
    let (_, outputs) = publish(&mut node, &writer.block().0).unwrap();
    assert_eq!(published(&outputs).len(), 1, "it follows what is canonical");
    let numbers: Vec<_> = committed(&outputs).iter().map(OwnCommitment::block_number).collect();
    assert_eq!(numbers, [3, 2, 1, 4], "what our key said elsewhere, and is canonical, enters our records");
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

/// Pages that are asked of peers, of the commitments from block 1 on.
fn pages(outputs: &[Output]) -> Vec<RequestId> {
    requests(outputs).into_iter().filter(|asked| asked.2 == Protocol::GetCommitments).map(|asked| asked.0).collect()
}

#[test]
fn p5_9b_on_a_new_disk_peers_are_asked_once_a_window_what_they_hold_of_it() {
    let mut node = Node::new();
    for name in 1..=5 {
        node.connect(name);
    }
    let mut writer = Writer::new(1);
    let (_, outputs) = publish(&mut node, &writer.block().0).unwrap();
    let asked = pages(&outputs);
    assert_eq!((asked.len(), published(&outputs)), (3, vec![]));
    let empty = CommitmentsPage::encode(std::iter::empty());
    node.input(Input::RequestFailed { request: asked[0], failure: RequestFailure::Closed });
    let answer = |request| Input::ResponseReceived { request, body: empty.clone() };
    assert!(published(&node.input(answer(asked[1]))).is_empty());
    assert!(published(&node.input(answer(asked[2]))).is_empty(), "two of three");
    let outputs = node.wait(Duration::from_secs(2));
    assert_eq!(published(&outputs).len(), 1, "two seconds are enough");
    let (_, outputs) = publish(&mut node, &writer.block().0).unwrap();
    assert_eq!((pages(&outputs), published(&outputs).len()), (vec![], 1), "once a window");
}

#[test]
fn p5_9b_three_answers_are_enough() {
    let mut node = Node::new();
    for name in 1..=3 {
        node.connect(name);
    }
    let (_, outputs) = publish(&mut node, &Writer::new(1).block().0).unwrap();
    let mut outputs = Vec::from_iter(
        pages(&outputs)
            .into_iter()
            .map(|request| node.input(Input::ResponseReceived { request, body: CommitmentsPage::encode(std::iter::empty()) })),
    );
    assert_eq!(published(&outputs.pop().unwrap()).len(), 1);
    assert!(outputs.iter().all(|outputs| published(outputs).is_empty()));
}

#[test]
fn p5_9b_a_preconfer_that_comes_back_on_a_new_disk_does_not_contradict_what_peers_show_it() {
    let mut writer = Writer::new(1);
    let before: Vec<_> = (0..5).map(|_| writer.block().0).collect();
    let anew = Writer::new(1).write(|preconf| preconf.raw_tx_list_hash = B256::repeat_byte(0xbb));
    let mut node = Node::new();
    node.connect(9);
    let (command, outputs) = publish(&mut node, &anew).unwrap();
    let body = CommitmentsPage::encode(before.iter());
    let mut outputs = node.input(Input::ResponseReceived { request: pages(&outputs)[0], body });
    outputs.extend(node.wait(Duration::from_secs(2)));
    assert_eq!(node.head(), Some(5), "what the peer shows is taken into the chain");
    let outcome = Outcome::NotPublished(PublishError::Refused(Refusal::Equivocation));
    assert_eq!((outcomes(&outputs), published(&outputs)), (vec![(command, outcome)], vec![]));
    let (_, outputs) = publish(&mut node, &writer.block().0).unwrap();
    assert_eq!(published(&outputs).len(), 1, "and the node goes on from there");
}

#[test]
fn p5_9b_a_bare_claim_stops_nobody_and_the_operator_may_spare_the_question() {
    let mut node = Node::new();
    node.open(9);
    let head = requests(&node.drain())[0].0;
    let body = PreconfHead { block_number: U256::from(700), submission_window_end: U256::from(START + WINDOW_SECS) }.encode();
    node.input(Input::ResponseReceived { request: head, body });
    let signed = Writer::new(1).block().0;
    publish(&mut node, &signed).unwrap();
    assert_eq!(published(&node.wait(Duration::from_secs(2))).len(), 1);
    let mut node = Node::new();
    node.update(Update::OverrideSyncing { window_end: START + WINDOW_SECS }).unwrap();
    assert_eq!(published(&publish(&mut node, &signed).unwrap().1).len(), 1);
}

#[test]
fn p6_9_a_restart_goes_on_where_it_was_and_serves_what_it_had() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let blocks: Vec<_> = (0..4).map(|_| writer.block()).collect();
    let mut kept = records(&node.update(Update::Schedule(windows(&[1, 2]))).unwrap());
    for block in &blocks[..3] {
        kept.extend(records(&node.block(9, block)));
    }
    kept.extend(records(&node.update(Update::MoveSyncTip(SyncTip { block_number: 1, preconfirmation_hash: None })).unwrap()));
    let mut node = Node::unscheduled(Config::new(CHAIN));
    let outputs = node.update(Update::Restore(kept)).unwrap();
    node.connect(9);
    assert_eq!((node.head(), node.status().sync_tip.block_number), (Some(3), 1));
    assert_eq!(ready(&outputs), [2, 3], "what L1 has not settled may have to be executed again");
    let again = |record: &Record| matches!(record, Record::Commitment(_) | Record::TxList { .. });
    assert!(!records(&outputs).iter().any(again), "it is on disk");
    let body = GetCommitmentsRequest { start_block_number: U256::from(1), max_count: 9 }.encode();
    let served = CommitmentsPage::encode(blocks[..3].iter().map(|(signed, _)| signed));
    let is_served =
        |output: &Output| matches!(output, Output::Net(Action::Respond { response: Response::Commitments(page), .. }) if *page == served);
    assert!(node.asked(9, Protocol::GetCommitments, body).iter().any(is_served));
    let outputs = node.block(9, &blocks[3]);
    assert_eq!(ready(&outputs), [4], "the schedule is known, and the next block follows");
}

#[test]
fn p5_9d_the_caller_learns_who_has_shown_its_publication() {
    let (mut node, mut writer) = (Node::connected_to(&[7, 8, 9]), Writer::new(1));
    let signed = writer.block().0;
    let (command, outputs) = publish(&mut node, &signed).unwrap();
    let seen = |outputs: &[Output]| -> Vec<(CommandId, u64, PeerId, usize)> {
        let seen = |output: &Output| match output {
            Output::App(Event::PublicationSeen { command, block_number, peer, peers, .. }) => {
                Some((*command, *block_number, *peer, *peers))
            }
            _ => None,
        };
        outputs.iter().filter_map(seen).collect()
    };
    assert_eq!(seen(&outputs), []);
    let head = |node: &mut Node, name, number: u64| {
        let (command, outputs) = node.command(Command::GetHead { peer: Some(peer(name)) }).unwrap();
        assert!(outcomes(&outputs).is_empty(), "{command}");
        let body = PreconfHead { block_number: U256::from(number), ..PreconfHead::default() }.encode();
        node.input(Input::ResponseReceived { request: requests(&outputs)[0].0, body })
    };
    assert_eq!(seen(&head(&mut node, 7, 0)), [], "its head is below it");
    assert_eq!(seen(&head(&mut node, 7, 1)), [(command, 1, peer(7), 1)]);
    assert_eq!(seen(&head(&mut node, 7, 1)), [], "once for each");
    assert_eq!(seen(&node.commitment(8, &signed)), [(command, 1, peer(8), 2)], "a copy comes back");
    let other = Writer::new(1).write(|preconf| preconf.eop = true);
    assert_eq!(seen(&node.commitment(9, &other)), [], "another block of that number says nothing");
}
