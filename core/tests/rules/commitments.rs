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
    let open = windows(&[2]).into_iter().map(|window| Window { settled_at: None, ..window }).collect();
    node.update(Update::Schedule(open)).unwrap();
    node.connect(9);
    let outputs = node.commitment(9, &Writer::new(1).block().0);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::WrongSigner { settled: false }]));
}

#[test]
fn c7_a_window_that_was_settled_lately_may_not_be_known_to_who_forwards() {
    // P9.1, P7.10: the grace is 60 s from when L1 made it final.
    let settled_at = START - 30;
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.update(Update::Schedule(vec![Window { settled_at: Some(settled_at), ..windows(&[2])[0] }])).unwrap();
    node.connect(9);
    let mut writer = Writer::new(1);
    let no_window = Writer { window_end: START + WINDOW_SECS - 1, ..Writer::new(2) }.block().0;
    for (signed, refusal) in
        [(writer.block().0, Refusal::WrongSigner { settled: false }), (no_window.clone(), Refusal::WrongWindow { settled: false })]
    {
        let outputs = node.commitment(9, &signed);
        assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![refusal]));
    }
    node.wait(Duration::from_secs(29)); // the clock says START + 30
    assert_eq!(verdicts(&node.commitment(9, &writer.block().0)), [Ignore], "the last moment of the grace");
    node.wait(Duration::from_micros(1));
    let outputs = node.commitment(9, &writer.block().0);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Reject], vec![Refusal::WrongSigner { settled: true }]));
    let outputs = node.commitment(9, &no_window);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Reject], vec![Refusal::WrongWindow { settled: true }]));
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
    node.set_clock_to_window(1);
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

/// Half a minute before the first window ends.
fn before_the_handoff(names: &[u8]) -> (Node, Writer) {
    let mut node = Node::connected_to(names);
    node.now.unix = UnixTime::from_secs(START + WINDOW_SECS - 30);
    (node, Writer::new(1))
}

/// The second window's preconfer builds on what the first one has said so far.
fn taken_over(writer: &Writer) -> Writer {
    let mut other = Writer { parent: writer.parent, number: writer.number, timestamp: writer.timestamp, ..Writer::new(1) };
    other.hand_over(2);
    other
}

#[test]
fn c6a_who_is_elected_for_a_later_window_does_not_take_the_chain_before_it() {
    let (mut node, mut writer) = before_the_handoff(&[8, 9]);
    node.block(9, &writer.block());
    let mut thief = taken_over(&writer);
    let early = [thief.block().0, thief.block().0];
    for signed in &early {
        assert_eq!(verdicts(&node.commitment(8, signed)), [], "it waits");
    }
    assert_eq!((node.head(), node.status().held), (Some(1), 2));
    let outputs = node.wait(Duration::from_secs(3));
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore, Ignore], vec![Refusal::Early, Refusal::ParentUnknown]));
    assert_eq!(
        node.block(9, &writer.block()).iter().filter(|output| matches!(output, Output::App(Event::CommitmentAccepted { .. }))).count(),
        1
    );
    assert_eq!((node.head(), node.score(8)), (Some(2), 0), "the window's own preconfer goes on, and nobody is charged");
}

#[test]
fn c6a_an_early_commitment_is_taken_two_seconds_before_its_window_begins() {
    let (mut node, mut writer) = before_the_handoff(&[8, 9]);
    node.commitment(9, &writer.block().0);
    writer.hand_over(2);
    let next = writer.block().0;
    node.commitment(8, &next);
    let begins = node.now.after(Duration::from_secs(28));
    let mut wakes = Vec::new();
    while let Some((at, timer)) = node.core.poll_timeout().filter(|(at, _)| *at <= begins.mono) {
        wakes.extend(matches!(timer, Timer::WindowBegins(_)).then_some(at));
        node.wait(at.since(node.now.mono));
    }
    assert_eq!((wakes, node.head()), (vec![begins.mono], Some(2)));
}

#[test]
fn c6a_a_window_that_was_handed_over_is_the_next_ones_at_once() {
    let (mut node, mut writer) = before_the_handoff(&[8, 9]);
    let (first, eop) = (writer.block().0, writer.eop());
    node.commitment(9, &first);
    let mut thief = taken_over(&Writer { number: 1, parent: preconfirmation_hash(&first), ..writer.clone() });
    let early = thief.block().0;
    assert_eq!(verdicts(&node.commitment(8, &early)), []);
    writer.hand_over(2);
    let next = writer.block().0;
    assert_eq!(verdicts(&node.commitment(9, &next)), [], "its parent is not here");
    let asked = requests(&node.wait(Duration::from_millis(100)));
    assert_eq!(
        asked.iter().filter(|(.., protocol, _)| *protocol == Protocol::GetCommitments).count(),
        1,
        "the EOP is asked for at once (P5.2)"
    );
    // The EOP comes: what builds on it is accepted, what would have stood in its place is a fork.
    let outputs = node.commitment(9, &eop);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Accept, Accept, Ignore], vec![Refusal::Fork]));
    assert_eq!(node.head(), Some(3));
}

#[test]
fn c6a_what_lies_further_ahead_than_anything_is_held_is_ignored() {
    let (mut node, mut writer) = before_the_handoff(&[9]);
    node.commitment(9, &writer.block().0);
    node.now.unix = UnixTime(node.now.unix.0 - 32_000_001); // 62 s and a microsecond ahead: the grace, and as long as anything is held
    let outputs = node.commitment(9, &taken_over(&writer).block().0);
    assert_eq!((verdicts(&outputs), refusals(&outputs), node.status().held), (vec![Ignore], vec![Refusal::Early], 0));
}

#[test]
fn c6a_our_own_early_commitment_is_refused_and_says_so() {
    let (mut node, mut writer) = before_the_handoff(&[9]);
    node.commitment(9, &writer.block().0);
    let (command, outputs) = publish(&mut node, &taken_over(&writer).block().0).unwrap();
    let refused = Outcome::NotPublished(PublishError::Refused(Refusal::Early));
    assert_eq!(outcomes(&outputs), [(command, refused)]);
    assert_eq!(PublishError::Refused(Refusal::Early).to_string(), "refused by rule C6a: its window has not begun");
}

#[test]
fn c6a_a_clock_that_is_set_back_makes_it_wait_again() {
    let (mut node, mut writer) = before_the_handoff(&[9]);
    node.commitment(9, &writer.block().0);
    let next = taken_over(&writer).block().0;
    node.commitment(9, &next);
    node.now.unix = UnixTime(node.now.unix.0 - 20_000_000);
    node.wait(Duration::from_secs(28));
    assert_eq!((node.head(), node.status().held), (Some(1), 1), "its timer is due, its window is not");
    node.wait(Duration::from_secs(20));
    assert_eq!(node.head(), Some(2));
}

/// Connects a peer from an address, and drops what comes of it.
fn from(node: &mut Node, name: u8, address: &str) {
    node.link(peer(name), Some(address), None);
    node.drain();
}

/// Commitments in windows that no schedule covers, each at a number of its own.
fn unscheduled(name: u8, count: u64) -> impl Iterator<Item = SignedCommitment> {
    let window_end = START + 1_000 * WINDOW_SECS;
    let numbers = u64::from(name) * 29..;
    numbers.take(count as usize).map(move |number| Writer { window_end, number, timestamp: window_end - 9, ..Writer::new(name) }.block().0)
}

#[test]
fn p5_1_what_waits_for_a_schedule_takes_nobody_elses_room() {
    let mut node = Node::connected_to(&[9]);
    for name in 10..26 {
        node.connect(name);
        unscheduled(name, 64).for_each(|signed| drop(node.commitment(name, &signed)));
    }
    assert_eq!(node.status().held, 256, "as many as wait for a schedule at most");
    let mut writer = Writer::new(1);
    let first = writer.block().0;
    let children: Vec<_> = (0..64).map(|_| writer.block().0).collect();
    for child in &children {
        assert_eq!(refusals(&node.commitment(9, child)), []);
    }
    assert_eq!(node.status().held, 256 + 64);
    node.commitment(9, &first);
    assert_eq!(node.head(), Some(65));
}

#[test]
fn p5_1_a_neighbourhood_holds_what_one_peer_may() {
    let mut node = Node::connected_to(&[]);
    for name in 1..=4 {
        from(&mut node, name, &format!("203.0.113.{name}"));
        unscheduled(name, 32).for_each(|signed| drop(node.commitment(name, &signed)));
    }
    assert_eq!(node.status().held, 64, "four peers of one /24");
    from(&mut node, 5, "198.51.100.5");
    unscheduled(5, 65).for_each(|signed| drop(node.commitment(5, &signed)));
    assert_eq!(node.status().held, 128, "another one is not kept out");
    // Where none is counted (P8.3), each address counts by itself.
    from(&mut node, 6, "10.0.0.6");
    from(&mut node, 7, "10.0.0.7");
    unscheduled(6, 40).for_each(|signed| drop(node.commitment(6, &signed)));
    unscheduled(7, 40).for_each(|signed| drop(node.commitment(7, &signed)));
    assert_eq!(node.status().held, 208);
}

#[test]
fn c7_signatures_that_cost_nobody_anything_are_not_recovered_without_end() {
    // P9.1: under a window that some may not know yet, whoever signs is ignored, and neither pays.
    let mut node = Node::unscheduled(Config::new(CHAIN));
    let open = windows(&[1]).into_iter().map(|window| Window { settled_at: None, ..window }).collect();
    node.update(Update::Schedule(open)).unwrap();
    let flood = |node: &mut Node, name: u8| {
        let before = node.core.stats().jobs;
        for number in 0..100 {
            node.commitment(name, &Writer { number, ..Writer::new(2) }.block().0);
        }
        node.core.stats().jobs - before
    };
    let floods: Vec<u64> = (1..=5)
        .map(|name| {
            from(&mut node, name, &format!("203.0.113.{name}"));
            flood(&mut node, name)
        })
        .collect();
    assert_eq!(floods, [32, 32, 32, 32, 0], "32 a peer and 128 a neighbourhood");
    node.connect(9);
    assert_eq!(verdicts(&node.commitment(9, &Writer::new(1).block().0)), [Accept], "and nobody else is kept out");
    node.wait(Duration::from_secs(10));
    assert_eq!(flood(&mut node, 5), 32);
}
