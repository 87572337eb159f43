//! What an honest preconfer never says, whatever its disk, its peers and L1 do; and what a restart does not bring back (P5.9, P9.3).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::*;
use preconf_core::*;

/// What is published of this wish, refusals at once included.
fn tried(node: &mut Node, signed: &SignedCommitment) -> usize {
    publish(node, signed).map_or(0, |(_, outputs)| published(&outputs).len())
}

fn found(outputs: &[Output]) -> Vec<Fault> {
    let evidence = |output: &Output| match output {
        Output::App(Event::EvidenceFound { evidence, .. }) => Some(evidence.fault),
        _ => None,
    };
    outputs.iter().filter_map(evidence).collect()
}

fn tip(block_number: u64, hash: u8) -> SyncTip {
    SyncTip { block_number, preconfirmation_hash: Some(B256::repeat_byte(hash)) }
}

fn pages(outputs: &[Output]) -> Vec<(RequestId, PeerId)> {
    requests(outputs).into_iter().filter(|asked| asked.2 == Protocol::GetCommitments).map(|asked| (asked.0, asked.1)).collect()
}

/// A node of these records, and what came out when it took them back.
fn restored(records: Vec<Record>) -> (Node, Vec<Output>) {
    let mut node = Node::unscheduled(Config::new(CHAIN));
    let mut all = vec![Record::Began { at: UnixTime(0) }, Record::Schedule(windows(&[1, 2, 1, 2]))];
    all.extend(records);
    let outputs = node.update(Update::Restore(all)).unwrap();
    (node, outputs)
}

fn kept_of(node: &mut Node, from: u8, writer: &mut Writer, blocks: usize) -> Vec<Record> {
    (0..blocks).flat_map(|_| records(&node.block(from, &writer.block()))).collect()
}

// ---- P9.3, P6.9: the chain after a restart

#[test]
fn p9_3_what_l1_took_back_does_not_come_back_with_a_restart() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let mut kept = kept_of(&mut node, 9, &mut writer, 3);
    kept.extend(records(&node.update(Update::MoveSyncTip(tip(0, 0xdd))).unwrap()));
    assert_eq!(node.head(), None, "before the restart it is gone");
    let (node, outputs) = restored(kept);
    assert_eq!((node.head(), ready(&outputs)), (None, vec![]), "block 1 does not name the sync tip as its parent");
}

#[test]
fn p9_3_a_tail_of_the_chain_before_a_reorg_is_not_taken_for_the_chain() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let mut kept = kept_of(&mut node, 9, &mut writer, 5);
    kept.extend(records(&node.update(Update::MoveSyncTip(tip(0, 0xdd))).unwrap()));
    let mut anew = Writer { parent: B256::repeat_byte(0xdd), timestamp: START, window_end: START + WINDOW_SECS, ..Writer::new(1) };
    anew.hand_over(2);
    node.wait(Duration::from_secs(WINDOW_SECS));
    kept.extend(kept_of(&mut node, 9, &mut anew, 3));
    assert_eq!(node.head(), Some(3));
    // L1 settles something else at block 2: nothing of what is kept links to it.
    kept.extend(records(&node.update(Update::MoveSyncTip(tip(2, 0xee))).unwrap()));
    assert_eq!(node.head(), None);
    let (node, outputs) = restored(kept);
    assert_eq!((node.head(), ready(&outputs)), (None, vec![]), "blocks 4 and 5 are of the chain that L1 took back first");
}

#[test]
fn p9_3_a_tip_of_unknown_hash_does_not_bring_back_what_was_dropped() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let mut kept = kept_of(&mut node, 9, &mut writer, 5);
    kept.extend(records(&node.update(Update::MoveSyncTip(tip(2, 0xee))).unwrap()));
    assert_eq!(node.head(), None, "L1 settled another block 2, and nothing builds on it");
    kept.extend(records(&node.update(Update::MoveSyncTip(SyncTip { block_number: 4, preconfirmation_hash: None })).unwrap()));
    assert_eq!(node.head(), None);
    let (node, outputs) = restored(kept);
    assert_eq!((node.head(), ready(&outputs)), (None, vec![]), "block 5 builds on what L1 took back");
}

#[test]
fn p9_1_p9_3_what_this_life_knows_is_not_overridden_by_what_was_kept() {
    let mut node = Node::with(Config::new(CHAIN));
    node.update(Update::MoveSyncTip(tip(7, 0xdd))).unwrap();
    node.update(Update::Restore(vec![Record::SyncTip(tip(3, 0xcc))])).unwrap();
    assert_eq!(node.status().sync_tip, tip(7, 0xdd), "restore.rs: what this life knows already stays as it is");
}

#[test]
fn p6_9_a_txlist_that_was_not_on_disk_is_written_once_it_comes() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let block = writer.block();
    let kept: Vec<_> = records(&node.block(9, &block)).into_iter().filter(|record| !matches!(record, Record::TxList { .. })).collect();
    let (mut node, _) = restored(kept);
    node.connect(9);
    assert_eq!(node.head(), Some(1));
    let outputs = node.txlist(9, &block.1);
    assert_eq!(ready(&outputs), [1]);
    assert!(records(&outputs).iter().any(|record| matches!(record, Record::TxList { .. })), "or each restart fetches it again");
}

// ---- P5.9: one word in one window

#[test]
fn p5_9_nothing_is_said_after_our_own_eop_in_its_window_even_if_that_has_left_the_chain() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, eop) = (writer.block().0, writer.eop());
    assert_eq!((tried(&mut node, &first), tried(&mut node, &eop)), (1, 1));
    node.update(Update::MoveSyncTip(tip(2, 0xdd))).unwrap();
    let after = Writer { number: 2, timestamp: START + 2, parent: B256::repeat_byte(0xdd), ..Writer::new(1) }.block().0;
    let sent = tried(&mut node, &after);
    let evidence = Evidence { fault: Fault::AfterEop, first: eop, second: after };
    assert!(evidence.verify(DEFAULT_DOMAIN).is_ok(), "anybody who kept our EOP can prove it");
    assert_eq!(sent, 0);
}

#[test]
fn p5_9_nothing_is_said_after_our_own_eop_in_its_window_restarts_included() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, eop) = (writer.block().0, writer.eop());
    let mut kept = Vec::new();
    for signed in [&first, &eop] {
        kept.extend(records(&publish(&mut node, signed).unwrap().1));
    }
    // What we committed to is whole; the file of the chain was lost, or damaged and put aside.
    kept.retain(|record| matches!(record, Record::Committed(_)));
    let (mut node, _) = restored(kept);
    node.update(Update::MoveSyncTip(tip(2, 0xdd))).unwrap();
    let after = Writer { number: 2, timestamp: START + 2, parent: B256::repeat_byte(0xdd), ..Writer::new(1) }.block().0;
    assert_eq!(tried(&mut node, &after), 0);
}

#[test]
fn p5_9_a_word_of_a_window_that_is_not_over_is_never_forgotten() {
    // No store that says no a second time: that of the tests, or one of a host's own.
    let mut node = Node::with(Config { max_commitments: 2, ..Config::new(CHAIN) });
    node.update(Update::MoveSyncTip(tip(5, 0xaa))).unwrap();
    let mut writer = Writer { number: 5, ..Writer::new(1) };
    let blocks: Vec<_> = (0..4).map(|_| writer.block()).collect();
    for (signed, txlist) in &blocks {
        let block = Command::PublishBlock { commitment: Box::new(signed.clone()), txlist: txlist.clone() };
        let outputs = node.command(block).unwrap().1;
        assert_eq!(node.all_sent(&outputs), [Topic::Commitments, Topic::TxLists]);
    }
    node.update(Update::MoveSyncTip(tip(4, 0xdd))).unwrap();
    let mut anew = Writer { number: 4, parent: B256::repeat_byte(0xdd), ..Writer::new(1) };
    let (fifth, sixth) = (anew.block().0, anew.block().0);
    let broken = Evidence { fault: Fault::BrokenLink, first: fifth.clone(), second: blocks[0].0.clone() };
    assert!(broken.verify(DEFAULT_DOMAIN).is_ok());
    assert_eq!(tried(&mut node, &fifth), 0, "what was said of block 6 does not build on it (C9)");
    assert!(Evidence { fault: Fault::Equivocation, first: blocks[0].0.clone(), second: sixth.clone() }.verify(DEFAULT_DOMAIN).is_ok());
    assert_eq!(tried(&mut node, &sixth), 0, "one window, one block, two words");
}

#[test]
fn p5_9_what_l1_has_freed_is_free_after_a_restart_too() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.extend(records(&publish(&mut node, &writer.block().0).unwrap().1));
    }
    kept.extend(records(&node.update(Update::MoveSyncTip(tip(0, 0xdd))).unwrap()));
    kept.retain(|record| !matches!(record, Record::Commitment(_))); // another fault's
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.wait(Duration::from_secs(2 * WINDOW_SECS + 10));
    let mut all = vec![Record::Began { at: UnixTime(0) }, Record::Schedule(windows(&[1, 2, 1, 2]))];
    all.extend(kept);
    node.update(Update::Restore(all)).unwrap();
    let again = Writer {
        parent: B256::repeat_byte(0xdd),
        timestamp: START + 2 * WINDOW_SECS + 1,
        window_end: START + 3 * WINDOW_SECS,
        ..Writer::new(1)
    };
    assert_eq!(tried(&mut node, &again.clone().block().0), 1, "the tip that was kept took its parent back");
}

// ---- P5.9a: durable before public

#[test]
fn p5_9a_c5_what_is_recorded_too_late_is_not_published() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.disk_works = false;
    let (command, outputs) = publish(&mut node, &writer.block().0).unwrap();
    let id = outputs.iter().find_map(|output| if let Output::Persist { id, .. } = output { Some(*id) } else { None }).unwrap();
    let mut outputs = node.wait(Duration::from_secs(WINDOW_SECS + 60));
    outputs.extend(node.input(Input::Persisted { id }));
    let late = Outcome::NotPublished(PublishError::Refused(Refusal::Late));
    assert_eq!((published(&outputs).len(), node.head()), (0, None), "nobody would take it, and we must not stand on it alone");
    assert_eq!(outcomes(&outputs), [(command, late)]);
}

#[test]
fn p5_9a_what_was_recorded_and_finds_its_parent_too_late_is_not_published() {
    let mut writer = Writer::new(1);
    let (first, second) = (writer.block().0, writer.block().0);
    let own = OwnCommitment { signer: address_of(&key(1)), signed: second, txlist: None };
    let mut node = Node::unscheduled(Config { hold_for: Duration::from_secs(120), ..Config::new(CHAIN) });
    node.wait(Duration::from_secs(WINDOW_SECS - 1));
    node.update(Update::Restore(vec![
        Record::Began { at: UnixTime(0) },
        Record::Schedule(windows(&[1, 2])),
        Record::Committed(Box::new(own)),
    ]))
    .unwrap();
    node.connect(9);
    node.wait(Duration::from_secs(60));
    // Catch-up brings its parent: that may be late (P6.10), ours may not.
    let (_, outputs) = node.command(Command::GetHead { peer: Some(peer(9)) }).unwrap();
    let request = requests(&outputs)[0].0;
    let head = PreconfHead { block_number: U256::from(1), submission_window_end: U256::from(START + WINDOW_SECS) };
    let mut outputs = node.input(Input::ResponseReceived { request, body: head.encode() });
    outputs.extend(node.wait(Duration::from_millis(500)));
    for (request, _) in pages(&outputs) {
        outputs.extend(node.input(Input::ResponseReceived { request, body: CommitmentsPage::encode([&first].into_iter()) }));
    }
    assert!(node.head().is_some(), "its parent came: {outputs:?}");
    assert_eq!(published(&outputs).len(), 0);
}

#[test]
fn p5_9a_the_record_holds_the_list_that_was_published_before_its_commitment() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.command(Command::PublishTxList(txlist.clone())).unwrap();
    let (_, outputs) = publish(&mut node, &signed).unwrap();
    let lists: Vec<_> = records(&outputs)
        .into_iter()
        .filter_map(|record| if let Record::Committed(own) = record { Some(own.txlist) } else { None })
        .collect();
    assert_eq!(lists, [Some(txlist)], "commitment and list whole");
}

#[test]
fn p5_9a_a_recorded_commitment_goes_out_again_even_if_there_is_no_room_for_its_list() {
    let config =
        Config { txlist_cap: 4096, max_txlist_bytes: 4096, max_orphan_bytes: 4096, max_orphan_bytes_per_peer: 4096, ..Config::new(CHAIN) };
    let mut writer = Writer::new(1);
    let write = |writer: &mut Writer, byte: u8| {
        let txlist = Bytes::from(vec![byte; 3000]);
        (writer.write(|preconf| preconf.raw_tx_list_hash = keccak256(&txlist)), txlist)
    };
    let missing = writer.block();
    let (second, third) = (write(&mut writer, 2), write(&mut writer, 3));
    let signer = address_of(&key(1));
    let accepted = |signed: &SignedCommitment| Record::Commitment(std::sync::Arc::new(Accepted::of(signed.clone(), signer).unwrap()));
    let mut node = Node::unscheduled(config);
    let outputs = node
        .update(Update::Restore(vec![
            Record::Began { at: UnixTime(0) },
            Record::Schedule(windows(&[1, 2])),
            accepted(&missing.0),
            accepted(&second.0),
            Record::TxList { hash: keccak256(&second.1), txlist: second.1.clone() },
            Record::Committed(Box::new(OwnCommitment { signer, signed: third.0.clone(), txlist: Some(third.1.clone()) })),
        ]))
        .unwrap();
    assert_eq!(node.head(), Some(3), "{outputs:?}");
    assert_eq!(node.all_sent(&outputs), [Topic::Commitments, Topic::TxLists]);
}

#[test]
fn p6_9_a_stored_block_with_the_greatest_number_of_all_ends_nothing_and_does_not_go_on_for_ever() {
    let signed = Writer::new(1).write(|preconf| {
        (preconf.block_number, preconf.raw_tx_list_hash) = (U256::from(u64::MAX), B256::ZERO);
        preconf.eop = true;
    });
    let last = Record::Commitment(std::sync::Arc::new(Accepted::of(signed, address_of(&key(1))).unwrap()));
    let mut node = Node::unscheduled(Config::new(CHAIN));
    let tip = SyncTip { block_number: u64::MAX - 1, preconfirmation_hash: None };
    let outputs = node.update(Update::Restore(vec![Record::SyncTip(tip), last])).unwrap();
    assert!(outputs.is_empty(), "nothing can follow it: {outputs:?}");
    assert_eq!((node.head(), node.status().lag), (Some(u64::MAX), None));
}

#[test]
fn p5_9a_all_that_was_recorded_in_a_window_is_published_again_the_latest_among_it() {
    let mut writer = Writer::new(1);
    let signer = address_of(&key(1));
    let words: Vec<_> = (0..300).map(|_| writer.block().0).collect();
    let records = words.iter().map(|signed| Record::Committed(Box::new(OwnCommitment { signer, signed: signed.clone(), txlist: None })));
    let (mut node, mut outputs) = restored(records.collect());
    node.connect(9);
    // What goes out makes room.
    for _ in 0..4 {
        for (publish, ..) in published(&std::mem::take(&mut outputs)) {
            outputs.extend(node.input(Input::PublishFinished { publish, outcome: PublishOutcome::Sent }));
        }
    }
    assert_eq!(node.head(), Some(300), "its own last word is what a node that comes back must not lose");
}

// ---- P5.9b: our key elsewhere

#[test]
fn p5_9b_what_a_peer_shows_of_our_window_counts_on_whatever_chain_it_stands() {
    // Preconfer 2's window ends; its last block is known here as one, elsewhere as another. Ours follows; this node's disk is new.
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.wait(Duration::from_secs(WINDOW_SECS + 5));
    let config = Config::new(CHAIN);
    let (now, mut node) = (node.now, node);
    node.core = Core::new(config, [7; 32], now).unwrap();
    node.update(Update::Schedule(windows(&[2, 1, 2]))).unwrap();
    for name in 7..=9 {
        node.connect(name);
    }
    let (mut here, mut there) = (Writer::new(2), Writer { parent: B256::repeat_byte(0xbb), ..Writer::new(2) });
    let (known, _) = (here.block().0, there.write(|preconf| preconf.raw_tx_list_hash = B256::repeat_byte(0xcc)));
    node.commitment(9, &known);
    assert_eq!(node.head(), Some(1));
    here.hand_over(1);
    there.hand_over(1);
    let before: Vec<_> = (0..3).map(|_| there.block().0).collect();
    let anew = here.write(|preconf| preconf.raw_tx_list_hash = B256::repeat_byte(0xdd));
    let (_, mut outputs) = publish(&mut node, &anew).unwrap();
    let asked = pages(&outputs);
    assert_eq!(asked.len(), 3);
    for (request, _) in asked {
        outputs.extend(node.input(Input::ResponseReceived { request, body: CommitmentsPage::encode(before.iter()) }));
    }
    outputs.extend(node.wait(Duration::from_secs(3)));
    assert!(Evidence { fault: Fault::Equivocation, first: before[0].clone(), second: anew }.verify(DEFAULT_DOMAIN).is_ok());
    assert_eq!(published(&outputs).len(), 0, "three peers have shown what our key said of this very block");
}

#[test]
fn p5_9b_what_our_key_said_elsewhere_and_was_canonical_binds_after_l1_took_it_back() {
    // A node in reserve: its disk is old, the same key works at another.
    let mut node = Node::connected_to(&[9]);
    let theirs = Writer::new(1).block().0;
    node.commitment(9, &theirs);
    assert_eq!(node.head(), Some(1), "one that is canonical enters our records");
    node.update(Update::MoveSyncTip(tip(0, 0xdd))).unwrap();
    let ours = Writer { parent: B256::repeat_byte(0xdd), ..Writer::new(1) }.block().0;
    assert!(Evidence { fault: Fault::Equivocation, first: theirs, second: ours.clone() }.verify(DEFAULT_DOMAIN).is_ok());
    assert_eq!(tried(&mut node, &ours), 0);
}

#[test]
fn p5_9b_what_our_key_said_elsewhere_at_this_very_block_binds_when_it_is_held_no_more() {
    let mut node = Node::connected_to(&[9]);
    let theirs = Writer { parent: B256::repeat_byte(0xbb), ..Writer::new(1) }.write(|preconf| preconf.eop = true);
    node.update(Update::MoveSyncTip(SyncTip { block_number: 0, preconfirmation_hash: Some(Writer::new(1).parent) })).unwrap();
    node.commitment(9, &theirs);
    assert_eq!(node.status().held, 1);
    node.wait(Duration::from_secs(61));
    assert_eq!(node.status().held, 0);
    let ours = Writer::new(1).block().0;
    assert!(Evidence { fault: Fault::Equivocation, first: theirs, second: ours.clone() }.verify(DEFAULT_DOMAIN).is_ok());
    assert_eq!(tried(&mut node, &ours), 0);
}

#[test]
fn p5_9_the_operators_override_does_not_help_to_say_two_things_about_one_block() {
    let mut node = Node::connected_to(&[9]);
    node.update(Update::MoveSyncTip(SyncTip { block_number: 0, preconfirmation_hash: Some(Writer::new(1).parent) })).unwrap();
    let theirs = Writer { parent: B256::repeat_byte(0xbb), ..Writer::new(1) }.write(|preconf| preconf.eop = true);
    node.commitment(9, &theirs);
    assert_eq!(node.status().held, 1);
    node.update(Update::OverrideSyncing { window_end: START + WINDOW_SECS }).unwrap();
    let ours = Writer::new(1).block().0;
    assert!(Evidence { fault: Fault::Equivocation, first: theirs, second: ours.clone() }.verify(DEFAULT_DOMAIN).is_ok());
    assert_eq!(tried(&mut node, &ours), 0, "the proof of it is in our own memory");
}

#[test]
fn p5_9b_a_window_is_asked_about_though_another_one_is_being_asked_about() {
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.wait(Duration::from_secs(WINDOW_SECS + 4));
    node.core = Core::new(Config::new(CHAIN), [7; 32], node.now).unwrap();
    node.update(Update::Schedule(windows(&[1, 1]))).unwrap();
    for name in 1..=3 {
        node.connect(name);
    }
    let mut writer = Writer::new(1);
    let last_of_first = writer.block().0;
    writer.hand_over(1);
    let first_of_second = writer.block().0;
    let (_, mut outputs) = publish(&mut node, &last_of_first).unwrap(); // within its grace (C5)
    let (_, more) = publish(&mut node, &first_of_second).unwrap();
    outputs.extend(more);
    let empty = CommitmentsPage::encode(std::iter::empty());
    let asked = pages(&outputs);
    assert_eq!(asked.len(), 3);
    for (request, _) in asked {
        outputs.extend(node.input(Input::ResponseReceived { request, body: empty.clone() }));
    }
    let sent: Vec<_> = published(&outputs).into_iter().map(|(.., data)| data).collect();
    assert!(sent.iter().any(|data| data[..] == last_of_first.as_bytes()[..]));
    assert!(!sent.iter().any(|data| data[..] == first_of_second.as_bytes()[..]), "nobody was asked about its window");
}

#[test]
fn p5_9b_what_was_recorded_goes_out_again_only_after_peers_were_asked_where_records_do_not_reach_back() {
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.connect(9);
    let own = OwnCommitment { signer: address_of(&key(1)), signed: Writer::new(1).block().0, txlist: None };
    let outputs = node
        .update(Update::Restore(vec![
            Record::Began { at: UnixTime::from_secs(START + 1) },
            Record::Schedule(windows(&[1])),
            Record::Committed(Box::new(own)),
        ]))
        .unwrap();
    assert_eq!(published(&outputs).len(), 0, "it is the first publication of this process in this window");
}

// ---- C5, C8, C9: evidence

#[test]
fn c5_c8_a_block_after_its_signers_eop_is_evidence_however_late_it_comes() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, eop, after) = (writer.block().0, writer.eop(), writer.block().0);
    node.commitment(9, &first);
    node.commitment(9, &eop);
    node.wait(Duration::from_secs(WINDOW_SECS + 60));
    assert_eq!(found(&node.commitment(9, &after)), [Fault::AfterEop], "C8 holds for what is late");
}

#[test]
fn c5_what_was_told_already_costs_no_recovery_again() {
    // Whoever was elected in a window that is over signs as many contradictions as he likes; nobody is charged for them.
    let mut node = Node::connected_to(&[9]);
    node.commitment(9, &Writer::new(1).block().0);
    node.wait(Duration::from_secs(WINDOW_SECS + 60));
    let mut outputs = Vec::new();
    let (before, score) = (node.core.stats().jobs, node.score(9));
    for gas in 0..200u64 {
        let other = Writer::new(1).write(|preconf| (preconf.eop, preconf.gas_limit) = (true, U256::from(30_000_000 + gas)));
        outputs.extend(node.commitment(9, &other));
    }
    assert_eq!(found(&outputs), [Fault::Equivocation], "told once");
    assert_eq!(node.score(9), score, "not the carrier's fault");
    let recovered = node.core.stats().jobs - before;
    assert!(recovered <= 32, "C7: {recovered} recoveries that ended with neither accept nor charge");
}

#[test]
fn c5_c7_a_stranger_does_not_make_us_recover_late_signatures_at_will() {
    let mut node = Node::connected_to(&[9]);
    let open: Vec<_> = windows(&[1, 2, 1, 2]).into_iter().map(|window| Window { settled_at: None, ..window }).collect();
    node.update(Update::Schedule(open)).unwrap();
    node.commitment(9, &Writer::new(1).block().0);
    node.wait(Duration::from_secs(WINDOW_SECS + 60));
    let (before, score) = (node.core.stats().jobs, node.score(9));
    for gas in 0..200u64 {
        let forged = Writer::new(3).write(|preconf| (preconf.eop, preconf.gas_limit) = (true, U256::from(30_000_000 + gas)));
        let o = node.commitment(9, &forged);
        drop(o);
    }
    let recovered = node.core.stats().jobs - before;
    assert!(node.score(9) < score || recovered <= 32, "{recovered} recoveries, and nobody is charged");
}

#[test]
fn c9_nobody_is_accused_of_a_broken_link_where_the_settled_blocks_hash_is_not_known() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.commitment(9, &writer.block().0);
    node.update(Update::MoveSyncTip(SyncTip { block_number: 1, preconfirmation_hash: None })).unwrap();
    writer.parent = B256::repeat_byte(0xee); // what L1 settled at block 1, as its signer knows and our host does not
    assert_eq!(found(&node.commitment(9, &writer.block().0)), []);
}

// ---- P10.2

#[test]
fn p10_2_the_highest_block_number_of_all_ends_no_loop() {
    let eop = Writer { number: u64::MAX - 1, ..Writer::new(1) }.eop();
    let mut node = Node::connected_to(&[9]);
    node.update(Update::MoveSyncTip(SyncTip { block_number: u64::MAX - 1, preconfirmation_hash: None })).unwrap();
    let outputs = node.commitment(9, &eop);
    assert_eq!((ready(&outputs), refusals(&outputs)), (vec![], vec![Refusal::TooFarAhead]), "there would be no next one");
}

#[test]
fn p5_5_a_block_that_is_missing_on_disk_is_not_skipped() {
    // Its record was refused, or was in the damaged part of a file that was put aside.
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.update(Update::MoveSyncTip(tip(0, 0xaa))).unwrap();
    let blocks: Vec<_> = (0..4).map(|_| writer.block()).collect();
    let mut kept: Vec<_> = blocks.iter().flat_map(|block| records(&node.block(9, block))).collect();
    kept.retain(|record| !matches!(record, Record::Commitment(accepted) if accepted.block_number == 1));
    kept.push(Record::SyncTip(tip(0, 0xaa)));
    let (mut node, outputs) = restored(kept);
    node.connect(9);
    let mut all = ready(&outputs);
    all.extend(ready(&node.block(9, &blocks[0])));
    assert!(all.is_empty() || all[0] == 1, "ready, with ancestors down to the sync tip: {all:?}");
}

#[test]
fn p5_5_blocks_are_not_skipped_where_the_bound_was_lowered() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let mut kept = vec![Record::Began { at: UnixTime(0) }, Record::Schedule(windows(&[1, 2])), Record::SyncTip(tip(0, 0xaa))];
    kept.extend(kept_of(&mut node, 9, &mut writer, 5));
    let mut node = Node::unscheduled(Config { max_commitments: 2, ..Config::new(CHAIN) });
    let all = ready(&node.update(Update::Restore(kept)).unwrap());
    assert!(all.is_empty() || all[0] == 1, "what L1 has not settled may have to be executed again: {all:?}");
}

#[test]
fn p5_9a_what_was_recorded_waits_until_the_node_knows_where_it_is_however_high_that_is() {
    let mut writer = Writer { number: 5_000, ..Writer::new(1) };
    let own = OwnCommitment { signer: address_of(&key(1)), signed: writer.block().0, txlist: None };
    // The file of the chain was lost, and the sync tip with it; the host says it as soon as it runs.
    let (mut node, mut outputs) = restored(vec![Record::Committed(Box::new(own))]);
    outputs.extend(node.update(Update::MoveSyncTip(tip(5_000, 0xaa))).unwrap());
    assert_eq!(published(&outputs).len(), 1, "{outputs:?}");
}

#[test]
fn p5_9b_what_is_canonical_enters_our_records_where_a_word_that_was_never_public_stands() {
    let mut node = Node::connected_to(&[9]);
    node.update(Update::MoveSyncTip(tip(0, 0xaa))).unwrap();
    let mut theirs = Writer::new(1);
    let (public, ours) = (theirs.block().0, Writer::new(1).write(|preconf| preconf.raw_tx_list_hash = B256::repeat_byte(0xbb)));
    node.disk_works = false;
    let (_, outputs) = publish(&mut node, &ours).unwrap();
    let id = outputs.iter().find_map(|output| if let Output::Persist { id, .. } = output { Some(*id) } else { None }).unwrap();
    node.input(Input::PersistFailed { id, failure: StorageFailure::Io }); // and the disk has it all the same
    node.disk_works = true;
    node.commitment(9, &public); // our key at another host, or before a disk was lost
    let mut words = Vec::new();
    for _ in 0..2 {
        words.extend(records(&publish(&mut node, &theirs.block().0).unwrap().1));
    }
    let again = |record: &&Record| matches!(record, Record::Committed(own) if own.signed == public);
    assert_eq!(words.iter().filter(again).count(), 1, "told to the store once, not at each publication, which it refuses each time");
}

#[test]
fn p5_9b_a_word_that_was_never_public_is_not_published_against_what_was_canonical() {
    let mut theirs = Writer::new(1);
    let (public, second) = (theirs.block().0, theirs.block().0);
    let ours = Writer::new(1).write(|preconf| preconf.raw_tx_list_hash = B256::repeat_byte(0xbb));
    let mut node = Node::connected_to(&[9]);
    node.update(Update::MoveSyncTip(tip(0, 0xaa))).unwrap();
    node.disk_works = false;
    let (_, outputs) = publish(&mut node, &ours).unwrap();
    let mut disk: BTreeMap<u64, Record> = BTreeMap::new();
    let mut keep = |outputs: &[Output]| {
        for record in records(outputs) {
            if let Record::Committed(own) = &record {
                disk.entry(own.block_number()).or_insert(record); // as the store does: what was said first stays
            }
        }
    };
    keep(&outputs);
    let id = outputs.iter().find_map(|output| if let Output::Persist { id, .. } = output { Some(*id) } else { None }).unwrap();
    node.input(Input::PersistFailed { id, failure: StorageFailure::Io });
    node.disk_works = true;
    node.commitment(9, &public);
    let (_, outputs) = publish(&mut node, &second).unwrap();
    assert_eq!(published(&outputs).len(), 1);
    keep(&outputs);
    let mut all = vec![Record::SyncTip(tip(0, 0xaa))]; // the file of the chain is behind by what it gathers for 50 ms
    all.extend(disk.into_values());
    let (_, outputs) = restored(all);
    let ours = ours.as_bytes();
    assert!(!published(&outputs).iter().any(|(.., data)| data[..] == ours[..]), "block 1 of this window was said, and we know what");
}

#[test]
fn p5_9b_peers_are_asked_for_all_that_they_hold_of_a_window() {
    let mut node = Node::new();
    node.connect(9);
    let mut writer = Writer::new(1);
    let before: Vec<_> = (0..64).map(|_| writer.block().0).collect();
    let mut anew = writer.clone();
    let said = writer.block().0; // peers hold it too, behind the 64 that they are asked for
    let other = anew.write(|preconf| preconf.raw_tx_list_hash = B256::repeat_byte(0xbb));
    let (_, outputs) = publish(&mut node, &other).unwrap();
    let (request, _) = pages(&outputs)[0];
    let mut outputs = node.input(Input::ResponseReceived { request, body: CommitmentsPage::encode(before.iter()) });
    for (request, _) in pages(&outputs) {
        // Whatever more is asked for is answered.
        outputs.extend(node.input(Input::ResponseReceived { request, body: CommitmentsPage::encode([&said].into_iter()) }));
    }
    outputs.extend(node.wait(Duration::from_secs(2)));
    assert!(Evidence { fault: Fault::Equivocation, first: said, second: other }.verify(DEFAULT_DOMAIN).is_ok());
    assert_eq!(published(&outputs).len(), 0, "the window has more than 64 blocks, and nobody was asked for them");
}
