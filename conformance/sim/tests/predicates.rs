//! Can each check of the simulated world fail?
//!
//! A check that nothing has ever failed proves nothing. So here a fault is planted between a machine and the world, or a world is built whose
//! nodes cannot agree; each check must speak up, and with its own words. Faults that no output shows (a verdict that never comes, a
//! deadline that is left) are planted beside the checks themselves, in `src/sim`.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use preconf_core::{
    Action, B256, Bytes, CommandId, Event, MAX_OUTPUTS_PER_STEP, MessageId, Outcome, Output, PublishId, Record, SecretKey, Standing, Time,
    Topic, Verdict, Window, address_of, message_id,
};
use preconf_sim::scenario::{Change, Fault, Scenario};
use preconf_sim::{
    Answer, CHAIN, Failure, History, HistoryPlan, Lost, NodeId, START, Setup, Slot, Terms, Violation, World, block_of, peer_id,
};

const SECOND: Duration = Duration::from_secs(1);
const POISON: &[u8] = b"poison";

/// Three nodes, ten blocks, a peer that never answers, and some garbage: all of it held by the checks, unless a fault is planted.
fn world(fault: impl FnMut(NodeId, Output) -> Vec<Output> + 'static) -> Result<(), Failure> {
    let (mut world, history, mut fault) = (World::new(7), History::write(HistoryPlan { blocks: 10, ..HistoryPlan::default() }), fault);
    world.plant(move |_, node, output| fault(node, output));
    for _ in 0..3 {
        let node = world.add_node(Setup { drops: 200_000, ..Setup::of(&history) });
        world.link_to_all(node, Terms::default());
    }
    let silent = world.add_puppet(|_, _: &Bytes| Answer::Never);
    world.link_to_all(silent, Terms::default());
    world.poison(Topic::Commitments, POISON);
    world.inject(2, silent, Topic::Commitments, Bytes::from_static(POISON), 2 * SECOND);
    world.publish(&history, SECOND, &[0, 1]);
    world.run_for(60 * SECOND)?;
    world.settle(30 * SECOND)
}

/// The world with a fault at the first output that `fault` changes.
fn once(mut fault: impl FnMut(NodeId, &Output) -> Option<Vec<Output>> + 'static) -> Violation {
    let mut done = false;
    // The schedule that a node is given to begin with is recorded before the world has begun.
    let is_early = |output: &Output| matches!(output, Output::Persist { record: Record::Schedule(_), .. });
    let failed =
        world(move |node, output| match Some(&output).filter(|output| !done && !is_early(output)).and_then(|output| fault(node, output)) {
            Some(instead) => {
                done = true;
                instead
            }
            None => vec![output],
        });
    failed.expect_err("the fault is noticed").violation
}

#[test]
fn without_a_fault_everything_holds() {
    world(|_, output| vec![output]).unwrap();
}

#[test]
fn p5_5_a_block_that_is_not_told_ready_is_missed() {
    let violation = once(|_, output| matches!(output, Output::App(Event::BlockReady { .. })).then(Vec::new));
    assert_eq!(violation, Violation::OutputLost(Lost::Counted { what: "blocks ready", counted: 1, taken: 0 }));
}

#[test]
fn p5_5_a_block_that_is_told_twice_is_noticed() {
    let violation = once(|_, output| matches!(output, Output::App(Event::BlockReady { .. })).then(|| vec![output.clone(); 2]));
    assert_eq!(violation, Violation::ReadyOutOfOrder { number: 1, expected: 2 });
}

#[test]
fn p5_a_verdict_that_is_lost_is_missed() {
    let violation = once(|_, output| matches!(output, Output::Net(Action::ReportGossip { .. })).then(Vec::new));
    assert!(matches!(violation, Violation::OutputLost(Lost::Counted { counted: 1, taken: 0, .. })), "{violation}");
}

#[test]
fn p5_a_verdict_for_another_message_is_noticed() {
    let violation = once(|_, output| match output {
        Output::Net(Action::ReportGossip { peer, verdict, .. }) => {
            Some(vec![Output::Net(Action::ReportGossip { message: MessageId([9; 20]), peer: *peer, verdict: *verdict })])
        }
        _ => None,
    });
    assert_eq!(violation, Violation::VerdictUnasked { message: MessageId([9; 20]) });
}

#[test]
fn c1_garbage_that_is_accepted_is_noticed() {
    let poison = message_id(CHAIN, Topic::Commitments, POISON);
    let violation = once(move |_, output| match output {
        Output::Net(Action::ReportGossip { message, peer, .. }) if *message == poison => {
            Some(vec![Output::Net(Action::ReportGossip { message: poison, peer: *peer, verdict: Verdict::Accept })])
        }
        _ => None,
    });
    assert_eq!(violation, Violation::AcceptedPoison { message: poison });
}

#[test]
fn p6_6_an_answer_that_is_lost_is_missed() {
    let violation = once(|_, output| matches!(output, Output::Net(Action::Respond { .. })).then(Vec::new));
    assert_eq!(violation, Violation::OutputLost(Lost::Counted { what: "requests answered", counted: 1, taken: 0 }));
}

#[test]
fn p6_5_a_request_whose_end_is_lost_is_missed() {
    let violation = once(|_, output| matches!(output, Output::Net(Action::CancelRequest { .. })).then(Vec::new));
    assert!(matches!(violation, Violation::OutputLost(Lost::End { .. })), "{violation}");
}

#[test]
fn p6_5_a_request_that_is_sent_twice_is_noticed() {
    let violation = once(|_, output| matches!(output, Output::Net(Action::SendRequest { .. })).then(|| vec![output.clone(); 2]));
    assert!(matches!(violation, Violation::RequestTwice { .. }), "{violation}");
}

#[test]
fn p5_9a_a_commitment_that_is_published_before_its_record_is_on_disk_is_noticed() {
    let violation = once(|_, output| match output {
        Output::Persist { record: Record::Committed(own), .. } => {
            let data = Bytes::copy_from_slice(own.signed.as_bytes());
            Some(vec![output.clone(), Output::Net(Action::Publish { publish: PublishId(99), topic: Topic::Commitments, data })])
        }
        _ => None,
    });
    assert!(matches!(violation, Violation::OutputLost(Lost::Record { .. })), "{violation}");
}

#[test]
fn p7_10_an_honest_peer_that_is_put_out_is_noticed() {
    let peer = peer_id(1);
    let pruned = Output::App(Event::StandingChanged { peer, standing: Standing::Pruned, rule: "P7.1" });
    for (said, standing) in [(pruned, Standing::Pruned), (Output::Net(Action::Block { peer }), Standing::Banned)] {
        let violation = once(move |node, output| (node == 0).then(|| vec![output.clone(), said.clone()]));
        assert!(matches!(violation, Violation::HonestPeerPunished { peer: 1, standing: is, .. } if is == standing), "{violation}");
    }
}

#[test]
fn p5_4_evidence_that_proves_nothing_is_noticed() {
    let (history, fault) = (History::write(HistoryPlan::default()), preconf_core::Fault::Equivocation);
    let first = history.blocks[0].signed.clone();
    let evidence = std::sync::Arc::new(preconf_core::Evidence { fault, second: first.clone(), first });
    let told = Output::App(Event::EvidenceFound { evidence, signer: preconf_core::Address::ZERO, block_number: 1 });
    let violation = once(move |_, output| Some(vec![output.clone(), told.clone()]));
    assert!(matches!(violation, Violation::FalseEvidence { .. }), "{violation}");
}

#[test]
fn a_command_that_ends_twice_is_noticed() {
    let command = CommandId(1 << 40);
    let told = Output::App(Event::CommandFinished { command, outcome: Outcome::Connected(peer_id(1)) });
    assert_eq!(once(move |_, output| Some(vec![output.clone(), told.clone()])), Violation::EndedTwice { command });
}

#[test]
fn a_step_that_says_too_much_is_noticed() {
    let violation = once(|_, output| Some(vec![output.clone(); MAX_OUTPUTS_PER_STEP + 1]));
    assert!(matches!(violation, Violation::TooManyOutputs { outputs } if outputs > MAX_OUTPUTS_PER_STEP), "{violation}");
}

/// A block 1 of each of two preconfers, whose windows follow one another: both are honest, if neither saw the other's (C9).
fn two_first_blocks() -> (Vec<Window>, [Bytes; 2]) {
    let keys = [1, 2].map(|byte| SecretKey::from_secret_bytes([byte; 32]).unwrap());
    let windows = [0, 1].map(|place| {
        let start = START + 10 * place as u64;
        Window { start, end: start + 10, preconfer: address_of(&keys[place]), settled_at: Some(0) }
    });
    let block = |place: usize| {
        let slot =
            Slot { key: keys[place], window: windows[place], number: 1, parent: B256::ZERO, timestamp: windows[place].end, is_last: true };
        Bytes::copy_from_slice(block_of(&slot, None, true).0.as_bytes())
    };
    (windows.to_vec(), [block(0), block(1)])
}

/// Two connected nodes, of which each is shown its own block 1, and hears of the other's only if gossip passes between them.
fn fork(blocks: &[Bytes; 2], windows: &[Window], is_allowed: bool, passes: bool) -> Result<(), Failure> {
    let mut world = World::new(7);
    if is_allowed {
        world.allow_forks();
    }
    for _ in 0..2 {
        let node = world.add_node(Setup { windows: windows.to_vec(), ..Setup::plain() });
        world.link_to_all(node, Terms { loss: if passes { 0 } else { 1_000_000 }, ..Terms::default() });
    }
    world.run_for(12 * SECOND)?;
    for (node, block) in blocks.iter().enumerate() {
        world.inject(node, 1 - node, Topic::Commitments, block.clone(), Duration::ZERO);
        if passes {
            world.inject(1 - node, node, Topic::Commitments, block.clone(), SECOND);
        }
    }
    world.run_for(60 * SECOND)
}

#[test]
fn c9_a_fork_between_connected_nodes_is_noticed_where_none_is_allowed() {
    let (windows, blocks) = two_first_blocks();
    let failed = fork(&blocks, &windows, false, true).expect_err("they differ");
    assert!(matches!(failed.violation, Violation::Disagree { number: 1, .. }), "{failed}");
    assert_eq!(failed.at.0, 12_000_000, "in the step that makes them differ");
}

#[test]
fn c9_a_fork_is_borne_where_forks_are_allowed_whether_it_is_reported_or_cannot_be() {
    let (windows, blocks) = two_first_blocks();
    fork(&blocks, &windows, true, true).unwrap();
    fork(&blocks, &windows, true, false).unwrap(); // both are level, and a head tells its number alone
}

#[test]
fn p5_9_an_honest_preconfer_that_contradicts_itself_is_noticed_even_where_forks_are_allowed() {
    let [one, other] = [100, 101].map(|txlist_bytes| History::write(HistoryPlan { blocks: 1, txlist_bytes, ..HistoryPlan::default() }));
    let blocks = [&one, &other].map(|history| history.block(1).unwrap().commitment_bytes());
    let failed = fork(&blocks, &one.windows, true, true).expect_err("one signer, two blocks");
    assert!(matches!(failed.violation, Violation::Disagree { number: 1, .. }), "{failed}");
}

#[test]
fn what_a_scenario_demands_of_time_can_fail_in_each_that_demands_it() {
    for scenario in preconf_sim::scenario::all().into_iter().filter(|scenario| scenario.must.behind_s.is_some()) {
        let untroubled = scenario.untroubled_s();
        assert!(untroubled >= 30, "{}: only {untroubled} s in which a node that is behind would be noticed", scenario.name);
    }
    // Nodes that lose all gossip, and long after the last fault of their scenario all requests too, hear of no block any more.
    let mute = |at: Time, node: NodeId, output: Output| {
        let is_lost = node >= 5 && at > Time::from_millis(135_000) && matches!(output, Output::Net(Action::SendRequest { .. }));
        if is_lost { Vec::new() } else { vec![output] }
    };
    for name in ["partition_and_heal", "half_restart", "l1_reorg"] {
        let mut scenario: Scenario = Scenario::named(name).unwrap();
        scenario.faults.push(Fault::Drops { at_s: 10.0, for_s: 0.0, share: 0.3, rate: 1.0 });
        let report = scenario.run_with(0, &Change::default(), |world| world.plant(mute), |_| {});
        assert!(report.violations.iter().any(|violation| violation.contains("behind_s")), "{name}: {:?}", report.violations);
    }
}
