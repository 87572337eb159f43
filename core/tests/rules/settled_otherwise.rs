//! What becomes of the chain when the schedule settles otherwise than was thought (C7, P9.1)?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;

#[test]
fn c7_what_was_accepted_under_a_window_that_settles_on_somebody_else_goes_with_all_that_builds_on_it() {
    // P9.1, P9.3
    let open = Window { settled_at: None, ..windows(&[1])[0] };
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.update(Update::Schedule(vec![open])).unwrap();
    node.connect(9);
    let mut writer = Writer::new(1);
    for _ in 0..3 {
        node.block(9, &writer.block());
    }
    assert_eq!((node.head(), node.status().ready_to), (Some(3), 3));
    node.update(Update::Schedule(vec![Window { preconfer: address_of(&key(2)), ..open }])).unwrap();
    assert_eq!(node.head(), Some(3), "L1 may still change its mind back");
    let settled = Window { preconfer: address_of(&key(2)), settled_at: Some(START), ..open };
    let outputs = node.update(Update::Schedule(vec![settled])).unwrap();
    assert!(outputs.contains(&Output::App(Event::ExecuteAgain { from: 1 })));
    assert!(records(&outputs).contains(&Record::ChainDropped { from: 1 }));
    assert_eq!((node.head(), node.status().ready_to, node.status().commitments), (None, 0, 0));
    let page = GetCommitmentsRequest { start_block_number: U256::from(1), max_count: 9 }.encode();
    let served = actions(&node.asked(9, Protocol::GetCommitments, page));
    let empty = |action: &Action| matches!(action, Action::Respond { response: Response::Commitments(page), .. } if page.len() == 4);
    assert!(served.iter().any(empty), "it is not served: {served:?}");
    // Who is elected builds there.
    let mut elected = Writer::new(2);
    let outputs = node.block(9, &elected.block());
    assert_eq!((verdicts(&outputs), ready(&outputs)), (vec![Verdict::Accept, Verdict::Accept], vec![1]));
    assert!(node.score(9) >= 0);
}

#[test]
fn c7_only_the_part_of_the_chain_that_is_wrong_goes() {
    let spans = windows(&[1, 2]);
    let open = |window: Window| Window { settled_at: None, ..window };
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.update(Update::Schedule(vec![spans[0], open(spans[1])])).unwrap();
    node.connect(9);
    let mut writer = Writer::new(1);
    node.block(9, &writer.block());
    node.wait(Duration::from_secs(WINDOW_SECS));
    writer.hand_over(2);
    node.block(9, &writer.block());
    node.block(9, &writer.block());
    assert_eq!(node.status().ready_to, 3);
    let outputs =
        node.update(Update::Schedule(vec![Window { preconfer: address_of(&key(3)), settled_at: Some(START), ..spans[1] }])).unwrap();
    assert!(records(&outputs).contains(&Record::ChainDropped { from: 2 }));
    assert!(outputs.contains(&Output::App(Event::ExecuteAgain { from: 2 })));
    let again = |output: &Output| matches!(output, Output::App(Event::CommitmentAccepted { .. } | Event::BlockReady { .. }));
    assert_eq!((node.head(), outputs.iter().filter(|output| again(output)).count()), (Some(1), 0), "block 1 stands as it stood");
}

#[test]
fn p9_3_what_l1_settled_stays_whatever_the_schedule_says_later() {
    let open = Window { settled_at: None, ..windows(&[1])[0] };
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.update(Update::Schedule(vec![open])).unwrap();
    node.connect(9);
    let mut writer = Writer::new(1);
    let blocks: Vec<_> = (0..2).map(|_| writer.block()).collect();
    blocks.iter().for_each(|block| drop(node.block(9, block)));
    let tip = SyncTip { block_number: 2, preconfirmation_hash: Some(preconfirmation_hash(&blocks[1].0)) };
    node.update(Update::MoveSyncTip(tip)).unwrap();
    let outputs = node.update(Update::Schedule(vec![Window { preconfer: address_of(&key(2)), settled_at: Some(START), ..open }])).unwrap();
    assert!(!outputs.iter().any(|output| matches!(output, Output::App(Event::ExecuteAgain { .. }))));
    assert_eq!(node.status().commitments, 2, "nodes that are behind still need them");
}
