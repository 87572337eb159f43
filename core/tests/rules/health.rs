//! Can the node say how far every block is, and does it never call itself level while something is missing (P11.1)?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;
use proptest::prelude::*;

/// The stages from the sync tip's successor on.
fn stages(node: &Node) -> Vec<Stage> {
    let health = node.core.health(node.now, 0);
    let first = node.status().sync_tip.block_number + 1;
    assert!(health.iter().map(|block| block.block_number).eq((first..).take(health.len())), "ascending, without a gap");
    health.iter().map(|block| block.stage).collect()
}

type Asked = (RequestId, PeerId, Protocol, Bytes);

/// A peer that says what its head is, and what it is asked then.
fn claims(node: &mut Node, name: u8, head: u64) -> Vec<Asked> {
    node.open(name);
    let asked = requests(&node.drain());
    tells(node, &asked[0], head)
}

fn tells(node: &mut Node, asked: &Asked, head: u64) -> Vec<Asked> {
    let claimed = PreconfHead { block_number: U256::from(head), submission_window_end: U256::ZERO };
    requests(&node.input(Input::ResponseReceived { request: asked.0, body: claimed.encode() }))
}

fn serves(node: &mut Node, asked: &Asked, page: &[SignedCommitment]) -> Vec<Output> {
    node.input(Input::ResponseReceived { request: asked.0, body: CommitmentsPage::encode(page.iter()) })
}

/// First block and count of a request for commitments.
fn start_and_count(asked: &Asked) -> (u64, u32) {
    let body = GetCommitmentsRequest::decode(&asked.3).unwrap();
    (u64::try_from(body.start_block_number).unwrap(), body.max_count)
}

/// The one commitment with this number, on a parent that nobody here has.
fn lone(number: u64) -> SignedCommitment {
    Writer { number: number - 1, parent: B256::repeat_byte(5), ..Writer::new(1) }.block().0
}

/// A node that knows the hash of its sync tip, so that nothing but block 1 links to it.
fn node() -> (Node, Writer) {
    let (mut node, writer) = (Node::new(), Writer::new(1));
    let tip = SyncTip { block_number: 0, preconfirmation_hash: Some(writer.parent) };
    node.update(Update::MoveSyncTip(tip)).unwrap();
    (node, writer)
}

#[test]
fn every_block_up_to_the_best_that_is_backed_is_at_its_stage() {
    // P11.1
    let (mut node, mut writer) = node();
    claims(&mut node, 9, 7);
    assert_eq!((stages(&node), node.status().lag), (vec![], None), "a claim is a word");
    let blocks: Vec<_> = (0..7).map(|_| writer.block()).collect();
    node.block(9, &blocks[0]);
    node.update(Update::MarkExecuted { block_number: 1 }).unwrap();
    node.block(9, &blocks[1]);
    node.commitment(9, &blocks[2].0);
    node.commitment(9, &blocks[4].0);
    // Its signer is still being recovered.
    node.quiet(gossip(9, Topic::Commitments, blocks[5].0.as_bytes().to_vec()));
    let expected = [Stage::Executed, Stage::Ready, Stage::Linked, Stage::Missing, Stage::Valid];
    assert_eq!(stages(&node), expected);
    node.commitment(9, &blocks[6].0);
    let status = node.status();
    assert_eq!((status.executed_to, status.ready_to, status.best, status.lag), (1, 2, 7, Some(5)));
    let tail: Vec<_> = node.core.health(node.now, 5).iter().map(|block| (block.block_number, block.stage)).collect();
    assert_eq!(tail, [(5, Stage::Valid), (6, Stage::Valid), (7, Stage::Valid)]);
}

#[test]
fn a_block_that_waits_for_the_schedule_is_seen_and_a_fork_is_valid() {
    // P11.1, C6, C9
    let (mut node, mut writer) = node();
    claims(&mut node, 9, 1);
    let mut beyond = Writer { window_end: START + 5 * WINDOW_SECS, timestamp: START + 4 * WINDOW_SECS, ..Writer::new(1) };
    node.commitment(9, &lone(2));
    node.commitment(9, &beyond.block().0);
    assert_eq!(stages(&node), [Stage::Seen, Stage::Valid]);
    let (first, mut other) = (writer.block().0, Writer::new(2));
    node.commitment(9, &first);
    other.hand_over(2);
    node.set_clock_to_window(1);
    other.key = key(2);
    let fork = other.block().0;
    node.commitment(9, &fork);
    let child = other.block().0;
    node.commitment(9, &child);
    claims(&mut node, 8, 2);
    assert_eq!(stages(&node), [Stage::Linked, Stage::Valid], "the first stays linked; the other one's child lies beside");
}

#[test]
fn lag_is_not_0_while_a_signed_block_waits_for_its_parent() {
    // P11.1: even before any peer has claimed a head.
    let (mut node, mut writer) = node();
    node.connect(9);
    let blocks: Vec<_> = (0..3).map(|_| writer.block()).collect();
    node.block(9, &blocks[0]);
    assert_eq!((node.status().lag, stages(&node)), (Some(0), vec![Stage::Ready]));
    node.block(9, &blocks[2]);
    assert_eq!((node.status().lag, stages(&node)), (Some(2), vec![Stage::Ready, Stage::Missing, Stage::Valid]));
    node.block(9, &blocks[1]);
    assert_eq!((node.status().lag, stages(&node)), (Some(0), vec![Stage::Ready; 3]));
}

proptest! {
    #[test]
    fn lag_is_0_exactly_when_every_block_is_ready_in_every_order(messages in Just((0..8).collect::<Vec<usize>>()).prop_shuffle()) {
        // P11.1
        let (mut node, mut writer) = node();
        let blocks: Vec<_> = (0..4).map(|_| writer.block()).collect();
        claims(&mut node, 9, 4);
        let mut before = Vec::new();
        for message in messages {
            // Two messages a block.
            let (signed, txlist) = &blocks[message / 2];
            drop(if message % 2 == 0 { node.commitment(9, signed) } else { node.txlist(9, txlist) });
            let after = stages(&node);
            let gaps = after.iter().filter(|stage| **stage < Stage::Ready).count() as u64;
            // Before the first commitment nobody has said where the chain is.
            prop_assert_eq!(node.status().lag, (!after.is_empty()).then_some(gaps), "{:?}", after);
            prop_assert!(after.iter().zip(&before).all(|(after, before)| after >= before), "{:?} became {:?}", before, after);
            before = after;
        }
        prop_assert_eq!((node.status().lag, before), (Some(0), vec![Stage::Ready; 4]));
    }
}

#[test]
fn a_chain_far_above_is_listed_in_pages() {
    // P10.1, P11.1
    let (mut node, mut writer) = node();
    let best = u64::MAX - 1;
    let asked = claims(&mut node, 9, u64::MAX);
    let probe = asked.iter().find(|asked| asked.2 == Protocol::GetCommitments && start_and_count(asked) == (best, 1)).expect("a probe");
    serves(&mut node, probe, &[lone(best)]);
    node.block(9, &writer.block());
    let health = node.core.health(node.now, 0);
    assert_eq!((health.len(), health[0].stage, health[1].stage), (MAX_HEALTH_BLOCKS, Stage::Ready, Stage::Missing));
    let next = node.core.health(node.now, MAX_HEALTH_BLOCKS as u64 + 1);
    assert_eq!((next.len(), next[0].block_number), (MAX_HEALTH_BLOCKS, MAX_HEALTH_BLOCKS as u64 + 1));
    assert_eq!(node.core.health(node.now, u64::MAX - 1).len(), 1, "the highest head that a claim can have");
}

#[test]
fn p11_1_what_a_peer_claims_is_probed_and_is_no_figure_before_it_is_backed() {
    let mut node = Node::new();
    assert_eq!(node.status().lag, None, "nobody has said anything");
    let asked = claims(&mut node, 9, 1_000);
    assert_eq!((asked[0].1, start_and_count(&asked[0])), (peer(9), (1_000, 1)), "before any page");
    let (status, info) = (node.status(), node.core.peers(node.now)[0]);
    assert_eq!((status.best, status.lag, status.unbacked_claims), (0, None, 1));
    assert_eq!((info.claimed_head, info.backed_head), (Some(1_000), None));
    assert!(node.core.health(node.now, 0).is_empty());
    serves(&mut node, &asked[0], &[lone(1_000)]);
    let (status, info) = (node.status(), node.core.peers(node.now)[0]);
    assert_eq!((status.best, status.lag, status.unbacked_claims, info.backed_head), (1_000, Some(1_000), 0, Some(1_000)));
    assert_eq!((stages(&node).len(), stages(&node)[999]), (1_000, Stage::Valid));
    // Its pages stay out for longer than anything is held: there is a gap all the same.
    node.wait(Duration::from_secs(100));
    assert_eq!(node.status().lag, Some(1_000));
    node.update(Update::Disconnect { peer: peer(9) }).unwrap();
    node.input(Input::ConnectionClosed { peer: peer(9), connection: ConnectionId(1) });
    assert_eq!((node.status().best, node.status().lag), (0, None), "whoever is alone does not know where the chain is");
}

#[test]
fn p11_1_one_word_that_the_chain_stands_still_lasts_as_long_as_its_peer() {
    let mut node = Node::new();
    claims(&mut node, 9, 0);
    node.open(8);
    assert_eq!(node.status().lag, Some(0));
    node.update(Update::Disconnect { peer: peer(9) }).unwrap();
    node.input(Input::ConnectionClosed { peer: peer(9), connection: ConnectionId(1) });
    assert_eq!((node.status().peers, node.status().lag), (1, None), "the one that is left has said nothing");
}

#[test]
fn p11_1_a_height_that_nobody_elected_has_signed_is_not_backed() {
    let forged = Writer { number: 999, key: key(2), ..Writer::new(1) }.block().0;
    let unscheduled =
        Writer { number: 999, window_end: START + 50 * WINDOW_SECS, timestamp: START + 49 * WINDOW_SECS, ..Writer::new(1) }.block().0;
    for (page, score) in [(vec![forged], -1_000_000), (vec![unscheduled], 0), (vec![], 0)] {
        let mut node = Node::new();
        let asked = claims(&mut node, 9, 1_000);
        let before = node.score(9);
        serves(&mut node, &asked[0], &page);
        assert_eq!((node.status().best, node.core.peers(node.now)[0].backed_head), (0, None));
        assert!(node.score(9) - before <= 50_000 && (score == 0 || node.score(9) < 0), "{}", node.score(9));
    }
}

#[test]
fn p11_1_fifty_silent_claimants_of_everything_own_no_figure_and_hide_no_gap() {
    let (mut node, mut writer) = (Node::new(), Writer::new(1));
    let honest = 100;
    // Whoever is asked: strangers claim everything and say nothing more, one peer has a chain of 300.
    let mut chain: Vec<SignedCommitment> = (0..300).map(|_| writer.block().0).collect();
    let answers = |node: &mut Node, chain: &[SignedCommitment], mut asked: Vec<Asked>| {
        while let Some(request) = asked.pop() {
            let outputs = match request.2 {
                Protocol::GetHead => {
                    let head = if request.1 == peer(honest) { chain.len() as u64 } else { u64::MAX };
                    asked.extend(tells(node, &request, head));
                    continue;
                }
                Protocol::GetCommitments if request.1 == peer(honest) => {
                    let (start, count) = start_and_count(&request);
                    let page: Vec<_> = chain.iter().skip(start as usize - 1).take(count as usize).cloned().collect();
                    serves(node, &request, &page)
                }
                Protocol::GetCommitments | Protocol::GetTxList => continue,
            };
            asked.extend(requests(&outputs));
        }
    };
    for name in 1..=50 {
        node.open(name);
        let (_, mut outputs) = node.command(Command::GetHead { peer: Some(peer(name)) }).unwrap();
        outputs.extend(node.drain());
        answers(&mut node, &chain, requests(&outputs));
    }
    let status = node.status();
    assert_eq!((status.best, status.lag, status.unbacked_claims), (0, None, 50));
    let mut known_after = None;
    for second in 0..120_u64 {
        if second == 5 {
            node.open(honest);
            let (_, outputs) = node.command(Command::GetHead { peer: Some(peer(honest)) }).unwrap();
            answers(&mut node, &chain, requests(&outputs));
        }
        if second > 60 {
            let next = writer.block();
            node.block(honest, &next);
            chain.push(next.0);
        }
        let outputs = node.wait(Duration::from_secs(1));
        answers(&mut node, &chain, requests(&outputs));
        let status = node.status();
        assert!(status.best <= chain.len() as u64 && status.lag.is_none_or(|lag| lag <= chain.len() as u64), "{second}: {status:?}");
        assert!(second < 6 || status.lag != Some(0), "{second}: no list is here, so there is a gap: {status:?}");
        known_after = known_after.or(status.lag.map(|_| second));
    }
    assert_eq!((known_after, node.status().best), (Some(5), chain.len() as u64), "the honest peer is asked as soon as it claims");
}

#[test]
fn what_a_reorg_takes_back_is_no_longer_executed() {
    // P9.3, P11.1
    let (mut node, mut writer) = node();
    node.connect(9);
    let blocks: Vec<_> = (0..3).map(|_| writer.block()).collect();
    blocks.iter().for_each(|block| drop(node.block(9, block)));
    let hash = |i: usize| Some(preconfirmation_hash(&blocks[i].0));
    node.update(Update::MarkExecuted { block_number: 3 }).unwrap();
    node.update(Update::MoveSyncTip(SyncTip { block_number: 2, preconfirmation_hash: hash(1) })).unwrap();
    assert_eq!(stages(&node), [Stage::Executed]);
    node.update(Update::MoveSyncTip(SyncTip { block_number: 1, preconfirmation_hash: hash(0) })).unwrap();
    assert_eq!(stages(&node), [Stage::Ready, Stage::Ready], "both must be executed again");
    node.update(Update::MoveSyncTip(SyncTip { block_number: 1, preconfirmation_hash: Some(B256::repeat_byte(3)) })).unwrap();
    assert_eq!((stages(&node), node.status().lag), (vec![], Some(0)));
}

#[test]
fn p10_4_a_block_that_the_host_could_not_execute_is_told_again_after_growing_pauses() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    for _ in 0..3 {
        node.block(9, &writer.block());
    }
    node.update(Update::MarkExecuted { block_number: 1 }).unwrap();
    let fail = |node: &mut Node, secs| {
        let outputs = node.update(Update::MarkFailed { block_number: 2 }).unwrap();
        let told = Event::ExecutionFailed { block_number: 2, again_in: Duration::from_secs(secs) };
        assert!(outputs.contains(&Output::App(told)));
        assert!(ready(&node.wait(Duration::from_millis(1_000 * secs - 1))).is_empty());
        let outputs = node.wait(Duration::from_millis(1));
        assert!(outputs.contains(&Output::App(Event::ExecuteAgain { from: 2 })));
        assert_eq!(ready(&outputs), [2, 3]);
    };
    fail(&mut node, 1);
    fail(&mut node, 2);
    node.update(Update::MarkExecuted { block_number: 2 }).unwrap();
    assert!(ready(&node.wait(Duration::from_secs(120))).is_empty(), "it got through");
    for not_ready in [2, 4] {
        let refused = node.update(Update::MarkFailed { block_number: not_ready }).unwrap_err();
        assert_eq!(refused, UpdateError::NotReady { block_number: not_ready });
    }
}

#[test]
fn p5_3_an_eop_with_a_txlist_is_executed_before_the_handoff() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let txlist = Bytes::from_static(b"the last transactions");
    let eop = writer.write(|preconf| (preconf.eop, preconf.raw_tx_list_hash) = (true, keccak256(&txlist)));
    let told = |outputs: &[Output]| -> Vec<&'static str> {
        let told = |output: &Output| match output {
            Output::App(Event::BlockReady { .. }) => Some("ready"),
            Output::App(Event::Handoff { .. }) => Some("handoff"),
            _ => None,
        };
        outputs.iter().filter_map(told).collect()
    };
    assert_eq!(told(&node.commitment(9, &eop)), [""; 0], "there is something to be executed first");
    assert_eq!(told(&node.txlist(9, &txlist)), ["ready", "handoff"]);
}

#[test]
fn p7_1_p7_8_points_are_earned_by_what_is_shown() {
    let chain: Vec<_> = {
        let mut writer = Writer::new(1);
        (0..3).map(|_| writer.block().0).collect()
    };
    let mut node = Node::connected_to(&[9]);
    chain[..2].iter().for_each(|signed| drop(node.commitment(9, signed)));
    let asks = |node: &mut Node| requests(&node.command(Command::GetHead { peer: Some(peer(8)) }).unwrap().1);
    node.connect(8);
    // Idle: it answers, and says nothing that anybody could use.
    for _ in 0..3 {
        let head = asks(&mut node);
        tells(&mut node, &head[0], 0);
    }
    assert_eq!(node.score(8), 0);
    let head = asks(&mut node);
    tells(&mut node, &head[0], 2);
    assert_eq!(node.score(8), 50_000, "our head is the best that is backed");
    // What it claims above that is worth nothing until it is shown, and then it is paid for once.
    let head = asks(&mut node);
    let page = tells(&mut node, &head[0], 3);
    assert_eq!(node.score(8), 50_000);
    serves(&mut node, &page[0], &chain[2..]);
    assert_eq!((node.score(8), node.head()), (100_000, Some(3)));
    // P7.8: nor is being served.
    for _ in 0..4 {
        node.asked(8, Protocol::GetHead, GetHeadRequest::BYTES.to_vec());
    }
    assert_eq!(node.score(8), 100_000);
}
