//! What the machine says of a txlist, and how it finds a missing one (T1–T6, P5.6).
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

/// A peer gossips the commitment that names this hash.
fn name(node: &mut Node, writer: &mut Writer, hash: B256) -> Vec<Output> {
    let signed = writer.write(|preconf| preconf.raw_tx_list_hash = hash);
    node.commitment(9, &signed)
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
    name(&mut node, &mut Writer::new(1), keccak256([1; 1000]));
    assert_eq!(judged(&mut node, honest(vec![1; 1000])), (vec![Accept], vec![]));
}

#[test]
fn t2_ignores_one_that_is_here_already() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.block(9, &writer.block());
    let jobs = node.core.stats().jobs;
    let again = node.txlist(9, &Writer::new(1).block().1);
    assert_eq!((verdicts(&again), refusals(&again)), (vec![Ignore], vec![Refusal::Duplicate]));
    assert_eq!(node.core.stats().jobs, jobs);
}

#[test]
fn t3_ignores_what_nothing_names_over_the_quota_and_takes_what_is_named() {
    let quota = ByteLimit { bytes: 9_000, window: Duration::from_secs(10) };
    let mut node = Node::with(Config { txlist_cap: 5_000, txlist_quota: quota, ..Config::new(CHAIN) });
    node.connect(9);
    assert_eq!(judged(&mut node, honest(vec![1; 4_500])).0, [], "it waits");
    assert_eq!(judged(&mut node, honest(vec![2; 10])).0, [], "it counts as 4 KiB");
    assert_eq!(judged(&mut node, honest(vec![3; 10])), (vec![Ignore], vec![Refusal::OverQuota]));
    name(&mut node, &mut Writer::new(1), keccak256([4; 5_000]));
    assert_eq!(judged(&mut node, honest(vec![4; 5_000])), (vec![Accept], vec![]));
    node.wait(Duration::from_secs(10));
    assert_eq!(judged(&mut node, honest(vec![3; 5_000])).0, [], "the quota is whole again");
}

#[test]
fn t3_what_is_named_later_is_taken_off_the_quota_again_once_a_list() {
    let quota = ByteLimit { bytes: 9_000, window: Duration::from_secs(10) };
    let (mut node, mut writer) = (Node::with(Config { txlist_cap: 5_000, txlist_quota: quota, ..Config::new(CHAIN) }), Writer::new(1));
    node.connect(9);
    for byte in 0..20u8 {
        let txlist = vec![byte; 5_000];
        assert_eq!(judged(&mut node, honest(txlist.clone())).0, [], "there is room for one, and there it is again");
        assert_eq!(verdicts(&name(&mut node, &mut writer, keccak256(&txlist))), [Accept, Accept], "the commitment, then the list");
    }
    judged(&mut node, honest(vec![100; 5_000]));
    for _ in 0..3 {
        // The same list named by more blocks gives nothing more back.
        name(&mut node, &mut writer, keccak256([0; 5_000]));
    }
    assert_eq!(judged(&mut node, honest(vec![101; 5_000])), (vec![Ignore], vec![Refusal::OverQuota]));
}

#[test]
fn t4_hashes_what_is_named_and_rejects_another_hash_than_it_claims() {
    let mut node = Node::connected_to(&[8, 9]);
    let jobs = node.core.stats().jobs;
    let outputs = node.gossip(8, Topic::TxLists, list(keccak256([1]), vec![2]));
    assert_eq!((verdicts(&outputs), node.core.stats().jobs), (vec![], jobs), "not hashed before it is named");
    let outputs = name(&mut node, &mut Writer::new(1), keccak256([1]));
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Accept, Reject], vec![Refusal::WrongHash]));
    assert_eq!((node.score(8), node.score(9)), (-1_000_000, 50_000));
    let outputs = node.gossip(8, Topic::TxLists, list(keccak256([1]), vec![3]));
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Reject], vec![Refusal::WrongHash]));
    assert_eq!(node.status().txlist_bytes, 0);
}

#[test]
fn t5_one_that_nothing_names_waits_for_its_verdict_and_is_ignored_in_time() {
    let mut node = Node::connected_to(&[9]);
    let config = Config::new(CHAIN);
    let due = node.now.after(config.verdict_timeout).mono;
    assert_eq!(judged(&mut node, honest(vec![1; 10])), (vec![], vec![]));
    assert!(matches!(node.core.poll_timeout(), Some((at, Timer::Orphan(_))) if at == due));
    assert_eq!(verdicts(&node.wait(config.verdict_timeout - Duration::from_millis(1))), []);
    let outputs = node.wait(Duration::from_millis(1));
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::Unnamed]));
    assert_eq!((node.score(9), node.core.stats().jobs), (0, 0), "not a point, and not a byte hashed");
    assert!(node.status().txlist_bytes > 0, "it is kept");
    assert_eq!(verdicts(&node.wait(config.orphan_for)), []);
    assert_eq!(node.status().txlist_bytes, 0);
}

#[test]
fn t5_one_that_is_named_in_time_is_accepted_paid_for_and_makes_its_block_ready() {
    let (mut node, mut writer) = (Node::connected_to(&[8, 9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.txlist(8, &txlist);
    node.wait(Config::new(CHAIN).verdict_timeout - Duration::from_millis(1));
    let outputs = node.commitment(9, &signed);
    assert_eq!((verdicts(&outputs), ready(&outputs)), (vec![Accept, Accept], vec![1]));
    assert_eq!((node.score(8), node.score(9)), (50_000, 50_000));
    assert!(requests(&node.wait(Duration::from_secs(1))).iter().all(|request| request.2 != Protocol::GetTxList), "it is not looked for");
}

#[test]
fn t5_one_that_is_named_after_its_verdict_is_stored_without_another_and_without_a_point() {
    let (mut node, mut writer) = (Node::connected_to(&[8, 9]), Writer::new(1));
    let blocks = [writer.block(), writer.block()];
    for (_, txlist) in &blocks {
        node.txlist(8, txlist);
    }
    assert_eq!(verdicts(&node.wait(Duration::from_secs(59))), [Ignore, Ignore]);
    let before = node.core.stats().accepted;
    let outputs = node.commitment(9, &blocks[0].0);
    assert_eq!((verdicts(&outputs), ready(&outputs)), (vec![Accept], vec![1]));
    assert!(!actions(&outputs).iter().any(|action| matches!(action, Action::SetScore { peer: of, .. } if *of == peer(8))));
    assert_eq!(node.core.stats().accepted, before + 1, "the commitment");
    node.wait(Duration::from_secs(1));
    let outputs = node.commitment(9, &blocks[1].0);
    assert_eq!((verdicts(&outputs), ready(&outputs)), (vec![Accept], vec![]), "a minute is over");
    assert!(node.wait(Duration::from_secs(1)).iter().any(|output| matches!(output, Output::Net(Action::SendRequest { .. }))));
}

#[test]
fn t5_a_wrong_one_that_is_named_after_its_verdict_costs_nothing_and_the_next_one_is_tried() {
    let (mut node, mut writer) = (Node::connected_to(&[7, 8, 9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.gossip(7, Topic::TxLists, list(keccak256(&txlist), vec![7]));
    node.wait(Duration::from_secs(3));
    node.txlist(8, &txlist);
    let outputs = node.commitment(9, &signed);
    assert_eq!((verdicts(&outputs), refusals(&outputs), ready(&outputs)), (vec![Accept, Accept], vec![Refusal::WrongHash], vec![1]));
    assert_eq!((node.score(7), node.score(8)), (0, 50_000));
}

#[test]
fn t5_wrong_ones_that_came_first_do_not_keep_the_right_one_out() {
    let (mut node, mut writer) = (Node::connected_to(&[5, 6, 7, 8, 9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    for wrong in [6, 7] {
        node.gossip(wrong, Topic::TxLists, list(keccak256(&txlist), vec![wrong]));
    }
    node.txlist(8, &txlist);
    let outputs = node.gossip(5, Topic::TxLists, list(keccak256(&txlist), vec![5]));
    assert_eq!(refusals(&outputs), [Refusal::NoRoom], "a fourth one");
    let outputs = node.commitment(9, &signed);
    assert_eq!((verdicts(&outputs), ready(&outputs)), (vec![Accept, Reject, Reject, Accept], vec![1]));
    assert_eq!([6, 7, 8].map(|name| node.score(name)), [-1_000_000, -1_000_000, 50_000]);
}

#[test]
fn t5_candidates_behind_the_right_one_are_ignored_unhashed() {
    let (mut node, mut writer) = (Node::connected_to(&[7, 8, 9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.txlist(8, &txlist);
    node.gossip(7, Topic::TxLists, list(keccak256(&txlist), vec![7]));
    let jobs = node.core.stats().jobs;
    let outputs = node.commitment(9, &signed);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Accept, Accept, Ignore], vec![Refusal::Duplicate]));
    assert_eq!((node.core.stats().jobs, node.score(7)), (jobs + 2, 0), "one signature, one hash");
}

#[test]
fn t5_three_wrong_ones_of_one_neighbourhood_make_room_for_one_from_elsewhere() {
    let (mut node, mut writer) = (Node::with(Config::new(CHAIN)), Writer::new(1));
    for (name, address) in [(5, "5.5.5.1"), (6, "5.5.5.2"), (7, "5.5.5.3"), (8, "8.8.8.8"), (9, "9.9.9.9")] {
        node.link(peer(name), Some(address), None);
    }
    let (signed, txlist) = writer.block();
    for wrong in [5, 6, 7] {
        node.gossip(wrong, Topic::TxLists, list(keccak256(&txlist), vec![wrong]));
    }
    let outputs = node.txlist(8, &txlist);
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::NoRoom]), "the newest of theirs");
    assert_eq!(ready(&node.commitment(9, &signed)), [1]);
}

#[test]
fn t5_a_flood_of_fifty_identities_keeps_nobody_elses_list_out() {
    let (mut node, mut writer) = (Node::with(Config::new(CHAIN)), Writer::new(1));
    let config = Config::new(CHAIN);
    node.link(peer(8), Some("8.8.8.8"), None);
    node.link(peer(9), Some("9.9.9.9"), None);
    // Eight of each of six neighbourhoods, as many as may connect from there (P8.3).
    for name in 100..148u8 {
        node.link(peer(name), Some(&format!("10{}.1.1.{name}", name % 6)), None);
    }
    let flood = |node: &mut Node, round: u8| {
        for name in 100..148u8 {
            for part in 0..4u8 {
                let txlist = [[name, round, part].as_slice(), &vec![0; 300_000]].concat();
                node.gossip(name, Topic::TxLists, honest(txlist));
                assert!(node.core.memory_bytes() <= memory_bound(&config) && node.status().txlist_bytes <= config.max_orphan_bytes);
            }
        }
    };
    flood(&mut node, 0);
    let jobs = node.core.stats().jobs;
    let blocks: Vec<_> = (0..3).map(|byte| vec![byte; 1 << 20]).collect();
    let signed: Vec<_> = blocks.iter().map(|txlist| writer.write(|preconf| preconf.raw_tx_list_hash = keccak256(txlist))).collect();
    for txlist in &blocks {
        let outputs = node.gossip(8, Topic::TxLists, honest(txlist.clone()));
        assert!(!verdicts(&outputs).is_empty() && node.score(8) == 0, "others give way");
    }
    flood(&mut node, 1);
    assert_eq!(node.core.stats().jobs, jobs, "nothing of it is hashed");
    for (number, signed) in (1..).zip(&signed) {
        assert_eq!(ready(&node.commitment(9, signed)), [number]);
    }
}

#[test]
fn t5_a_jump_of_the_clocks_ends_what_waits_and_nothing_else() {
    let (mut node, mut writer) = (Node::connected_to(&[8, 9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.txlist(8, &txlist);
    node.now.unix = UnixTime(0); // protocol validity's clock has no say in it
    assert_eq!(verdicts(&node.wait(Duration::from_secs(2))), []);
    node.now = Now { mono: node.now.mono.after(Duration::from_secs(3_600)), unix: UnixTime::from_secs(START + 2) };
    node.core.handle_timeout(node.now);
    let outputs = node.drain();
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::Unnamed]));
    assert_eq!(node.status().txlist_bytes, 0, "both of its deadlines are over");
    assert_eq!(ready(&node.block(9, &(signed, txlist))), [1]);
}

#[test]
fn t5_what_waits_is_in_a_snapshot_whole() {
    let (mut node, mut writer) = (Node::connected_to(&[7, 8, 9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.gossip(7, Topic::TxLists, list(keccak256(&txlist), vec![7]));
    node.txlist(8, &txlist);
    node.go_on_from_a_snapshot();
    node.wait(Duration::from_secs(2));
    node.go_on_from_a_snapshot();
    // In the midst of it, too: the first candidate is out to be hashed.
    node.quiet(gossip(9, Topic::Commitments, signed.as_bytes().to_vec()));
    let Some(Output::Job(recovery)) = node.core.poll_output() else { panic!("a signature") };
    node.quiet(Input::JobFinished(recovery.run()));
    let (mut jobs, mut outputs) = (Vec::new(), Vec::new());
    while let Some(output) = node.core.poll_output() {
        match output {
            Output::Job(job) => jobs.push(job),
            other => outputs.push(other),
        }
    }
    node.go_on_from_a_snapshot();
    assert_eq!((jobs.len(), verdicts(&outputs)), (1, vec![Accept]));
    let outputs = node.input(Input::JobFinished(jobs.remove(0).run()));
    assert_eq!((verdicts(&outputs), ready(&outputs)), (vec![Reject, Accept], vec![1]));
}

#[test]
fn t5_one_whose_commitment_falls_while_it_is_hashed_is_ignored() {
    let (mut node, mut writer) = (Node::connected_to(&[8, 9]), Writer::new(1));
    let (signed, txlist) = writer.block();
    node.txlist(8, &txlist);
    node.quiet(gossip(9, Topic::Commitments, signed.as_bytes().to_vec()));
    let Some(Output::Job(recovery)) = node.core.poll_output() else { panic!("a signature") };
    node.quiet(Input::JobFinished(recovery.run()));
    let hash =
        std::iter::from_fn(|| node.core.poll_output()).find_map(|output| if let Output::Job(job) = output { Some(job) } else { None });
    let tip = SyncTip { block_number: 1, preconfirmation_hash: Some(B256::repeat_byte(1)) };
    node.update(Update::MoveSyncTip(tip)).expect("a tip");
    let outputs = node.input(Input::JobFinished(hash.expect("the list is named").run()));
    assert_eq!((verdicts(&outputs), refusals(&outputs), node.score(8)), (vec![Ignore], vec![Refusal::Unnamed], 0));
}

#[test]
fn t5_p10_1_who_holds_most_gives_way_within_a_peers_share_the_newest_or_what_has_its_verdict() {
    let mut node = Node::with(Config { max_orphan_bytes: 6_000, max_orphan_bytes_per_peer: 3_000, ..Config::new(CHAIN) });
    node.connect(9);
    assert_eq!(judged(&mut node, honest(vec![1; 1_500])).0, []);
    assert_eq!(judged(&mut node, honest(vec![2; 1_500])), (vec![Ignore], vec![Refusal::NoRoom]));
    node.wait(Duration::from_secs(3));
    assert_eq!(judged(&mut node, honest(vec![2; 1_500])), (vec![], vec![]), "the first one has its verdict and gives way");
    assert_eq!(ready(&name(&mut node, &mut Writer::new(1), keccak256([2; 1_500]))), [1]);
}

#[test]
fn t6_two_blocks_that_name_one_waiting_list_are_both_ready_and_it_is_hashed_and_paid_once() {
    let (mut node, mut writer) = (Node::connected_to(&[8, 9]), Writer::new(1));
    let txlist = vec![1; 10];
    node.gossip(8, Topic::TxLists, honest(txlist.clone()));
    let jobs = node.core.stats().jobs;
    let first = name(&mut node, &mut writer, keccak256(&txlist));
    let second = name(&mut node, &mut writer, keccak256(&txlist));
    assert_eq!((ready(&first), ready(&second)), (vec![1], vec![2]));
    assert_eq!((node.core.stats().jobs, node.score(8)), (jobs + 3, 50_000), "two signatures, one hash");
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
