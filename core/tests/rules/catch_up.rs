//! How the machine finds what it missed (P6.9, P6.10, P5.2), one step at a time.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;

type Asked = (RequestId, PeerId, Protocol, Bytes);

fn chain(blocks: usize) -> Vec<SignedCommitment> {
    let mut writer = Writer::new(1);
    (0..blocks).map(|_| writer.block().0).collect()
}

fn claims(node: &mut Node, request: &Asked, block: u64) -> Vec<Output> {
    let body = PreconfHead { block_number: U256::from(block), submission_window_end: U256::ZERO }.encode();
    node.input(Input::ResponseReceived { request: request.0, body })
}

fn serves(node: &mut Node, request: &Asked, chain: &[SignedCommitment]) -> Vec<Output> {
    let asked = GetCommitmentsRequest::decode(&request.3).unwrap();
    let start = usize::try_from(asked.start_block_number).unwrap() - 1;
    let page: Vec<_> = chain.iter().skip(start).take(asked.max_count as usize).collect();
    node.input(Input::ResponseReceived { request: request.0, body: CommitmentsPage::encode(page.into_iter()) })
}

fn pages(outputs: &[Output]) -> Vec<Asked> {
    requests(outputs).into_iter().filter(|request| request.2 == Protocol::GetCommitments).collect()
}

/// A node that has just been told of a head.
fn behind(names: &[u8], head: u64) -> (Node, Vec<Asked>) {
    let mut node = Node::new();
    let mut heads = Vec::new();
    for name in names {
        node.open(*name);
        heads.extend(requests(&node.drain()));
    }
    let outputs: Vec<_> = heads.iter().flat_map(|request| claims(&mut node, request, head)).collect();
    (node, pages(&outputs))
}

#[test]
fn asks_a_new_peer_for_its_head_and_pages_up_to_it() {
    let chain = chain(3);
    let (mut node, pages) = behind(&[9], 3);
    assert_eq!(GetCommitmentsRequest::decode(&pages[0].3), Ok(GetCommitmentsRequest { start_block_number: U256::from(1), max_count: 3 }));
    let outputs = serves(&mut node, &pages[0], &chain);
    assert_eq!(node.head(), Some(3));
    let progress: Vec<_> = outputs.iter().filter(|o| matches!(o, Output::App(Event::SyncProgress { .. } | Event::Synced { .. }))).collect();
    let last = [Event::SyncProgress { from: 0, at: 3, to: 3 }, Event::Synced { head: 3 }].map(Output::App);
    assert_eq!(progress, last.iter().collect::<Vec<_>>());
    assert_eq!(node.score(9), 50_000, "one good answer: a claim by itself is worth nothing");
}

#[test]
fn nothing_to_catch_up_with_asks_for_nothing() {
    let (node, pages) = behind(&[9], 0);
    assert!(pages.is_empty() && !node.status().syncing && node.status().lag == Some(0));
}

#[test]
fn moves_to_another_peer_when_one_fails_and_when_one_has_nothing() {
    let chain = chain(3);
    for fail in [true, false] {
        let (mut node, first) = behind(&[8, 9], 3);
        let outputs = if fail {
            node.input(Input::RequestFailed { request: first[0].0, failure: RequestFailure::Closed })
        } else {
            serves(&mut node, &first[0], &[])
        };
        let second = pages(&outputs);
        assert_ne!(second[0].1, first[0].1);
        serves(&mut node, &second[0], &chain);
        assert_eq!(node.head(), Some(3));
        assert!(!node.status().syncing);
    }
}

#[test]
fn a_broken_page_costs_its_peer_a_failure_and_what_stood_before_is_used() {
    let good = chain(3);
    let mut bad = good.clone();
    bad[1] = Writer { number: 1, key: key(2), parent: preconfirmation_hash(&good[0]), ..Writer::new(1) }.block().0; // links, but not elected
    bad[2] = Writer { number: 2, parent: preconfirmation_hash(&bad[1]), ..Writer::new(1) }.block().0;
    let (mut node, first) = behind(&[8, 9], 3);
    let outputs = serves(&mut node, &first[0], &bad);
    assert_eq!(node.head(), Some(1));
    let second = pages(&outputs);
    assert_ne!(second[0].1, first[0].1);
    assert!(refusals(&outputs).contains(&Refusal::WrongSigner { settled: true }));
    serves(&mut node, &second[0], &good);
    assert_eq!(node.head(), Some(3));
    let liar = if first[0].1 == peer(8) { 8 } else { 9 };
    assert_eq!(node.score(liar), 50_000 - 1_000_000);
}

#[test]
fn p6_4_a_page_costs_its_peer_one_failure_however_many_of_its_items_are_bad() {
    let not_elected = |before: &SignedCommitment, number| {
        Writer { number, key: key(2), parent: preconfirmation_hash(before), ..Writer::new(1) }.block().0
    };
    let good = chain(4);
    let forged = not_elected(&good[0], 1);
    let forged_again = not_elected(&forged, 2);
    let pages = [
        vec![good[0].clone(), forged.clone(), forged_again.clone()],
        vec![good[0].clone(), forged, good[2].clone(), good[3].clone()], // and the third does not link to the second
    ];
    for page in pages {
        let (mut node, first) = behind(&[9], 4);
        serves(&mut node, &first[0], &page);
        let faults = node.core.explain(node.now, peer(9)).iter().filter(|change| change.delta < 0).count();
        assert_eq!((faults, node.head()), (1, Some(1)));
    }
}

#[test]
fn a_head_that_nobody_backs_is_dropped() {
    let (mut node, pages) = behind(&[9], u64::MAX);
    let mut asked = pages;
    let mut rounds = 0;
    while let Some(request) = asked.pop() {
        asked.extend(self::pages(&serves(&mut node, &request, &[])));
        rounds += 1;
        assert!(rounds < 20, "asked again and again");
    }
    let status = node.status();
    assert_eq!((status.syncing, status.lag, status.head), (false, Some(0), None));
    assert_eq!(node.score(9), 0, "an empty page is no fault, and worth nothing");
}

#[test]
fn what_sync_brings_may_be_late() {
    // P6.10
    let (mut node, pages) = behind(&[9], 3);
    node.now = Now { unix: UnixTime::from_secs(START + 3 * WINDOW_SECS), ..node.now };
    serves(&mut node, &pages[0], &chain(3));
    assert_eq!(node.head(), Some(3));
}

#[test]
fn waits_for_the_schedule_and_goes_on_when_it_comes() {
    let chain = chain(2);
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.open(9);
    let head = requests(&node.drain());
    let first = pages(&claims(&mut node, &head[0], 2));
    serves(&mut node, &first[0], &chain);
    assert_eq!((node.head(), node.status().syncing), (None, false));
    assert_eq!(node.status().lag, None, "nothing that it could check says where the chain is (P11.1)");
    let outputs = node.update(Update::Schedule(windows(&[1]))).unwrap();
    serves(&mut node, &pages(&outputs)[0], &chain);
    assert_eq!(node.head(), Some(2));
}

#[test]
fn asks_for_heads_again_from_time_to_time() {
    let (mut node, _) = behind(&[9], 0);
    let asked = requests(&node.wait(Duration::from_secs(12)));
    assert_eq!(asked.len(), 1);
    let outputs = claims(&mut node, &asked[0], 2);
    assert_eq!(pages(&outputs).len(), 1);
}

#[test]
fn p9_3_a_reorg_of_l1_says_what_must_be_executed_again_and_makes_it_ready_again() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    for _ in 0..4 {
        node.block(9, &writer.block());
    }
    node.update(Update::MoveSyncTip(SyncTip { block_number: 3, preconfirmation_hash: None })).unwrap();
    assert_eq!(node.status().ready_to, 4);
    let outputs = node.update(Update::MoveSyncTip(SyncTip { block_number: 1, preconfirmation_hash: None })).unwrap();
    assert!(outputs.contains(&Output::App(Event::ExecuteAgain { from: 2 })));
    assert_eq!(ready(&outputs), [2, 3, 4]);
}

#[test]
fn p9_3_a_tip_on_a_fork_takes_the_chain_there() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let first = writer.block();
    node.block(9, &first);
    let mut other = Writer::new(1);
    (other.parent, other.number, other.timestamp) = (writer.parent, 1, writer.timestamp);
    other.hand_over(2);
    node.set_clock_to_window(1);
    let (ours, theirs) = (writer.block(), other.block());
    node.block(9, &ours);
    node.block(9, &theirs);
    assert_eq!(node.status().head.unwrap().1, preconfirmation_hash(&ours.0));
    // L1 settled the other one: what comes after it links, what came after ours does not.
    let tip = SyncTip { block_number: 2, preconfirmation_hash: Some(preconfirmation_hash(&theirs.0)) };
    node.update(Update::MoveSyncTip(tip)).unwrap();
    assert_eq!(node.head(), None);
    let outputs = node.block(9, &other.block());
    assert_eq!((node.head(), ready(&outputs)), (Some(3), vec![3]));
    assert_eq!(refusals(&node.commitment(9, &writer.block().0)), []);
    assert_eq!(node.status().held, 1, "it hangs on a block that is no more");
}

#[test]
fn p9_3_a_settled_block_needs_no_txlist_any_more() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let blocks: Vec<_> = (0..3).map(|_| writer.block()).collect();
    blocks.iter().for_each(|(signed, _)| drop(node.commitment(9, signed)));
    assert_eq!(node.status().missing_txlists, 3);
    node.update(Update::MoveSyncTip(SyncTip { block_number: 2, preconfirmation_hash: None })).unwrap();
    assert_eq!((node.status().missing_txlists, node.status().ready_to), (1, 2));
    assert_eq!(ready(&node.txlist(9, &blocks[2].1)), [3]);
}

#[test]
fn p11_2_peers_are_asked_for_their_heads_in_turn_while_the_chain_moves() {
    let (mut node, mut writer) = (Node::connected_to(&[7, 8, 9]), Writer::new(1));
    let block = writer.block();
    node.block(9, &block);
    let mut asked = Vec::new();
    for _ in 0..6 {
        // A third of 1.45 s: seven requests in ten seconds to each (P6.7).
        let heads = heads(&node.wait(Duration::from_micros(483_334)));
        assert_eq!(heads.len(), 1);
        claims(&mut node, &heads[0], 1);
        asked.push(heads[0].1);
    }
    let mut first = asked[..3].to_vec();
    first.sort();
    assert_eq!(first, [peer(7), peer(8), peer(9)]);
    assert_eq!(asked[..3], asked[3..], "in turn");
    node.wait(Duration::from_secs(20));
    let quiet = heads(&node.wait(Duration::from_secs(12)));
    assert!(quiet.len() <= 3, "a chain that stands still is asked about every 12 s: {}", quiet.len());
}

fn heads(outputs: &[Output]) -> Vec<Asked> {
    requests(outputs).into_iter().filter(|request| request.2 == Protocol::GetHead).collect()
}

#[test]
fn p6_9_a_run_that_nobody_backs_ends_at_once() {
    let (mut node, pages) = behind(&[9], 5);
    let outputs = serves(&mut node, &pages[0], &[]);
    assert!(outputs.contains(&Output::App(Event::Synced { head: 0 })));
    assert!(!node.status().syncing);
}

#[test]
fn c9_a_catch_up_along_another_chain_finds_where_it_parts() {
    // We have blocks 1 and 2; the peer has 1, and 2 to 5 of its own, and all that came of them by gossip was lost.
    let (mut node, mut ours) = (Node::connected_to(&[9]), Writer::new(1));
    let first = ours.block();
    let mut theirs = Writer { parent: ours.parent, number: 1, ..Writer::new(1) };
    theirs.hand_over(2);
    node.set_clock_to_window(1);
    let chain: Vec<_> = std::iter::once(first.0.clone()).chain((0..4).map(|_| theirs.block().0)).collect();
    node.block(9, &first);
    node.block(9, &ours.block());
    let (_, outputs) = node.command(Command::GetHead { peer: Some(peer(9)) }).unwrap();
    let mut asked = pages(&claims(&mut node, &heads(&outputs)[0], 5));
    let mut heard = Vec::new();
    for _ in 0..8 {
        let outputs: Vec<_> = std::mem::take(&mut asked).iter().flat_map(|request| serves(&mut node, request, &chain)).collect();
        heard.extend(outputs.clone());
        let later = node.wait(Duration::from_millis(200));
        asked = pages(&[outputs, later.clone()].concat());
        heard.extend(later);
    }
    let forks: Vec<_> = heard
        .iter()
        .filter(|output| matches!(output, Output::App(Event::Forked { canonical, .. }) if canonical.block_number == 2))
        .collect();
    assert_eq!(forks.len(), 1, "{heard:?}");
    assert_eq!((node.head(), node.score(9) >= 0), (Some(2), true), "and nobody is to blame");
}

#[test]
fn p6_9_a_page_that_many_could_not_bring_goes_to_whoever_has_not_been_asked() {
    // More than any choice looks at. Each is asked once; who cannot be reached is not charged, and its claim stands.
    let names: Vec<u8> = (1..=40).collect();
    let chain = chain(1);
    let mut node = Node::new();
    let mut pages_asked = Vec::new();
    for name in &names {
        node.open(*name);
        for request in heads(&node.drain()) {
            pages_asked.extend(pages(&claims(&mut node, &request, 1)));
        }
        // All of them claim the same, whether or not they were asked for it.
        let (command, outputs) = node.command(Command::GetHead { peer: Some(peer(*name)) }).unwrap();
        let asked = heads(&outputs);
        assert_eq!(asked.len(), 1, "command {command}");
        pages_asked.extend(pages(&claims(&mut node, &asked[0], 1)));
    }
    let mut asked = std::collections::BTreeSet::new();
    let mut next = pages_asked.pop().expect("a page is asked for");
    while asked.len() < names.len() - 1 {
        assert!(asked.insert(next.1), "each is asked once");
        let outputs = node.input(Input::RequestFailed { request: next.0, failure: RequestFailure::Unreachable });
        next = pages(&outputs).pop().unwrap_or_else(|| panic!("after {} peers nobody is asked", asked.len()));
    }
    serves(&mut node, &next, &chain);
    assert_eq!(node.head(), Some(1));
}

#[test]
fn p6_9_who_claims_much_and_says_nothing_waits_behind_those_who_answer() {
    let (mut node, first) = behind(&[1], 1);
    node.input(Input::RequestFailed { request: first[0].0, failure: RequestFailure::Timeout });
    let silent = first[0].1;
    // Another one claims less than the silent one does; as long as it answers, it is asked.
    let mut asked = Vec::new();
    for name in [2, 3] {
        node.open(name);
        let heads = heads(&node.drain());
        asked.extend(pages(&claims(&mut node, &heads[0], 1)));
    }
    assert!(!asked.is_empty() && asked.iter().all(|page| page.1 != silent), "{asked:?}");
}

#[test]
fn p6_9_a_peer_that_turns_out_to_serve_no_pages_backs_nothing() {
    let (mut node, first) = behind(&[1], 5);
    node.input(Input::RequestFailed { request: first[0].0, failure: RequestFailure::Unsupported });
    node.wait(Duration::from_secs(60));
    assert_eq!((node.status().syncing, node.status().lag), (false, Some(0)), "nobody is waited for who cannot answer");
}

#[test]
fn p6_9_who_was_silent_waits_behind_a_throttled_peer_that_answers() {
    let chain = chain(2);
    let (mut node, first) = behind(&[1, 3], 1);
    let [silent, other] = if first[0].1 == peer(1) { [1, 3] } else { [3, 1] };
    let outputs = node.input(Input::RequestFailed { request: first[0].0, failure: RequestFailure::Timeout });
    serves(&mut node, &pages(&outputs)[0], &chain);
    assert_eq!((node.head(), pages(&outputs)[0].1), (Some(1), peer(other)));
    let asked = claim_in_turn(&mut node, [other, 2, silent], 2);
    assert_eq!(asked.each_ref().map(Vec::len), [1, 0, 0]);
    let outputs = node.input(Input::RequestFailed { request: asked[0][0].0, failure: RequestFailure::Unreachable });
    assert_eq!(pages(&outputs)[0].1, peer(2));
}

/// Each claims this head when it is asked; peer 2 has just come, and is throttled. The pages that are asked for after each.
fn claim_in_turn(node: &mut Node, names: [u8; 3], head: u64) -> [Vec<Asked>; 3] {
    names.map(|name| {
        if !node.core.peers(node.now).iter().any(|info| info.peer == peer(name)) {
            node.open(name);
            let _ = node.drain();
        }
        while name == 2 && node.score(2) >= -1_000_000 {
            node.gossip(2, Topic::Commitments, &[0u8; 3][..]);
        }
        let (_, outputs) = node.command(Command::GetHead { peer: Some(peer(name)) }).unwrap();
        pages(&claims(node, &heads(&outputs)[0], head))
    })
}

#[test]
fn p6_9_who_was_silent_and_answers_again_waits_behind_nobody() {
    let chain = chain(2);
    let (mut node, first) = behind(&[1], 1);
    node.input(Input::RequestFailed { request: first[0].0, failure: RequestFailure::Timeout });
    // Nobody else is there: it is asked again with the next round of heads.
    let again = pages(&node.wait(Duration::from_secs(12)));
    serves(&mut node, &again[0], &chain);
    assert_eq!(node.head(), Some(1));
    // A throttled peer and the one that was silent claim a block, after one that does not bring it.
    let asked = claim_in_turn(&mut node, [3, 2, 1], 2);
    assert_eq!(asked.each_ref().map(Vec::len), [1, 0, 0]);
    let outputs = node.input(Input::RequestFailed { request: asked[0][0].0, failure: RequestFailure::Unreachable });
    assert_eq!(pages(&outputs)[0].1, peer(1));
}

#[test]
fn p6_9_who_serves_is_found_among_many_whose_rest_ends_at_one_moment() {
    let names: Vec<u8> = (1..=20).collect();
    for claimant in &names {
        let mut node = Node::connected_to(&names);
        node.wait(Duration::from_millis(500)); // nothing else is due when they have rested
        for name in &names {
            let ask = Command::GetCommitments { start: 1, count: 1, peer: Some(peer(*name)) };
            let (_, outputs) = node.command(ask).unwrap();
            node.input(Input::RequestFailed { request: pages(&outputs)[0].0, failure: RequestFailure::Closed });
        }
        let (_, outputs) = node.command(Command::GetHead { peer: Some(peer(*claimant)) }).unwrap();
        assert!(pages(&claims(&mut node, &heads(&outputs)[0], 100)).is_empty(), "everybody rests, the claimant too");
        let asked = pages(&node.wait(Duration::from_secs(10)));
        assert_eq!(asked.iter().map(|page| page.1).collect::<Vec<_>>(), [peer(*claimant); 3], "what backs its claim, and two pages");
    }
}

#[test]
fn p6_9_a_claim_of_the_last_number_there_is_ends_like_any_other() {
    for tip in [u64::MAX - 3, u64::MAX - 1, u64::MAX] {
        let mut node = Node::new();
        node.update(Update::MoveSyncTip(SyncTip { block_number: tip, preconfirmation_hash: None })).unwrap();
        node.open(9);
        let asked = heads(&node.drain());
        for page in pages(&claims(&mut node, &asked[0], u64::MAX)) {
            node.input(Input::ResponseReceived { request: page.0, body: CommitmentsPage::encode(std::iter::empty()) });
        }
        assert!(!node.status().syncing, "nobody backs it");
    }
}

#[test]
fn p5_2_a_peer_that_left_before_its_child_was_judged_leaves_no_claim_behind() {
    let mut node = Node::connected_to(&[8, 9]);
    let child = chain(2).remove(1);
    node.quiet(gossip(9, Topic::Commitments, child.as_bytes().to_vec()));
    let Some(Output::Job(job)) = node.core.poll_output() else { panic!("its signer must be recovered") };
    node.quiet(Input::ConnectionClosed { peer: peer(9), connection: ConnectionId(2) });
    node.input(Input::JobFinished(job.run()));
    node.wait(Duration::from_secs(1));
    assert_eq!((node.status().lag, node.status().syncing), (Some(2), false), "the child itself says that something is missing (P11.1)");
    node.wait(Duration::from_secs(60));
    assert_eq!((node.status().lag, node.status().syncing), (Some(0), false), "nothing of it outlives the child");
}

#[test]
fn p6_9_claims_that_nobody_backs_fall_however_many_they_are() {
    let names: Vec<u8> = (1..=60).collect();
    let mut node = Node::new();
    // One that could serve a page claims more than all the others, who cannot serve any.
    node.open(100);
    let asked = heads(&node.drain());
    claims(&mut node, &asked[0], 200);
    for name in &names {
        node.open(*name);
        node.quiet(Input::PeerIdentified {
            peer: peer(*name),
            protocols: SupportedProtocols { get_head: true, ..SupportedProtocols::default() },
        });
        let mut outputs = node.drain();
        if heads(&outputs).is_empty() {
            outputs = node.command(Command::GetHead { peer: Some(peer(*name)) }).unwrap().1;
        }
        claims(&mut node, &heads(&outputs)[0], 100);
    }
    let claimed = |node: &Node| node.core.peers(node.now).iter().filter(|info| info.claimed_head.unwrap_or(0) > 0).count();
    assert_eq!((claimed(&node), node.status().syncing), (61, true));
    node.input(Input::ConnectionClosed { peer: peer(100), connection: ConnectionId(1) });
    assert_eq!(claimed(&node), 0, "nobody who is left could back any");
    assert_eq!((node.status().syncing, node.status().lag), (false, Some(0)));
}

#[test]
fn p6_9_all_who_were_left_out_come_back_however_many_they_are() {
    let names: Vec<u8> = (1..=40).collect();
    let mut node = Node::unscheduled(Config { heads_every: Duration::from_secs(3600), ..Config::new(CHAIN) });
    let (chain, mut asked) = (chain(1), Vec::new());
    for name in &names {
        node.open(*name);
        let mut outputs = node.drain();
        if heads(&outputs).is_empty() {
            outputs.extend(node.command(Command::GetHead { peer: Some(peer(*name)) }).unwrap().1);
        }
        let head = heads(&outputs).remove(0);
        asked.extend(pages(&claims(&mut node, &head, 1)));
        // No window covers the one block: each that brings it is left out.
        while let Some(page) = asked.pop() {
            asked.extend(pages(&serves(&mut node, &page, &chain)));
        }
    }
    assert_eq!((node.status().syncing, node.head()), (false, None));
    let mut outputs = node.update(Update::Schedule(windows(&[1]))).unwrap();
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..10 {
        asked.extend(pages(&outputs));
        while let Some(page) = asked.pop() {
            met.insert(page.1);
            asked.extend(pages(&serves(&mut node, &page, &[]))); // nor has any of them the block now
        }
        outputs = node.wait(Duration::from_millis(1));
    }
    assert_eq!((met.len(), node.status().syncing), (40, false));
}

/// What peers will answer, and when.
#[derive(Default)]
struct Answers(std::collections::BTreeMap<(Time, RequestId), Bytes>);

impl Answers {
    /// Each peer answers as `of` says: after how long, and with what.
    fn take(&mut self, now: Time, outputs: &[Output], of: impl Fn(PeerId, Protocol, &Bytes) -> Option<(Duration, Bytes)>) {
        for (request, peer, protocol, body) in requests(outputs) {
            if let Some((after, answer)) = of(peer, protocol, &body) {
                self.0.insert((now.after(after), request), answer);
            }
        }
    }
}

#[test]
fn p6_9_a_crowd_that_drips_does_not_hold_a_catch_up() {
    // Twelve of other neighbourhoods have the chain, back its head, and bring of each page one block after 9.9 s. One peer is honest.
    let end = START + 5_000;
    let mut node = Node::unscheduled(Config::new(CHAIN));
    node.update(Update::Schedule(vec![Window { end, ..windows(&[1])[0] }])).unwrap();
    let mut writer = Writer { window_end: end, ..Writer::new(1) };
    let chain: Vec<_> = (0..900).map(|_| writer.block().0).collect();
    let honest = peer(13);
    let page = |body: &Bytes, most: usize| {
        let asked = GetCommitmentsRequest::decode(body).unwrap();
        let start = usize::try_from(asked.start_block_number).unwrap() - 1;
        let items = chain.iter().skip(start).take(most.min(asked.max_count as usize));
        CommitmentsPage::encode(items)
    };
    let answer = |who: PeerId, protocol: Protocol, body: &Bytes| match protocol {
        Protocol::GetHead => {
            let head = PreconfHead { block_number: U256::from(900), submission_window_end: U256::from(end) };
            Some((Duration::from_millis(50), head.encode()))
        }
        Protocol::GetCommitments if who == honest => Some((Duration::from_millis(100), page(body, 256))),
        Protocol::GetCommitments if GetCommitmentsRequest::decode(body).unwrap().max_count == 1 => {
            Some((Duration::from_millis(50), page(body, 1)))
        }
        Protocol::GetCommitments => Some((Duration::from_millis(9_900), page(body, 1))),
        Protocol::GetTxList => None,
    };
    let mut answers = Answers::default();
    for name in 1..=13 {
        let (_, outputs) = node.link(peer(name), Some(&format!("198.51.{name}.1")), None);
        answers.take(node.now.mono, &outputs, answer);
        let protocols = SupportedProtocols { get_head: true, get_commitments: true, get_txlist: false, gossip: true };
        let outputs = node.input(Input::PeerIdentified { peer: peer(name), protocols });
        answers.take(node.now.mono, &outputs, answer);
    }
    let begun = node.now.mono;
    while node.head() != Some(900) {
        let next = answers.0.first_key_value().map(|((at, _), _)| *at);
        let deadline = node.core.poll_timeout().map(|(at, _)| at);
        let at = next.into_iter().chain(deadline).min().unwrap();
        let outputs = node.wait(at.since(node.now.mono));
        answers.take(node.now.mono, &outputs, answer);
        while let Some(entry) = answers.0.first_entry().filter(|entry| entry.key().0 <= node.now.mono) {
            let ((_, request), body) = entry.remove_entry();
            let outputs = node.input(Input::ResponseReceived { request, body });
            answers.take(node.now.mono, &outputs, answer);
        }
        assert!(node.now.mono.since(begun) < Duration::from_secs(90), "at {:?} after {:?}", node.head(), node.now.mono.since(begun));
    }
    println!("caught up after {:?}", node.now.mono.since(begun));
}
