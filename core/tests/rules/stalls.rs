//! Ways in which a node once stood still, asked too much, or blamed the wrong peer. Each test goes in at the front door.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;

type Asked = (RequestId, PeerId, Protocol, Bytes);
type Block = (SignedCommitment, Bytes);

const SECOND: Duration = Duration::from_secs(1);

fn blocks(writer: &mut Writer, count: usize) -> Vec<Block> {
    (0..count).map(|_| writer.block()).collect()
}

fn only(protocol: Protocol, outputs: &[Output]) -> Vec<Asked> {
    requests(outputs).into_iter().filter(|request| request.2 == protocol).collect()
}

fn claims(node: &mut Node, request: &Asked, block: u64) -> Vec<Output> {
    let body = PreconfHead { block_number: U256::from(block), submission_window_end: U256::ZERO }.encode();
    node.input(Input::ResponseReceived { request: request.0, body })
}

/// Connects a peer; the request for its head that this brings.
fn greets(node: &mut Node, name: u8) -> Asked {
    node.open(name);
    only(Protocol::GetHead, &node.drain()).remove(0)
}

fn serves(node: &mut Node, request: &Asked, chain: &[Block]) -> Vec<Output> {
    let asked = GetCommitmentsRequest::decode(&request.3).unwrap();
    let start = usize::try_from(asked.start_block_number).unwrap() - 1;
    let page: Vec<_> = chain.iter().map(|(signed, _)| signed).skip(start).take(asked.max_count as usize).collect();
    node.input(Input::ResponseReceived { request: request.0, body: CommitmentsPage::encode(page.into_iter()) })
}

fn first_and_count(request: &Asked) -> (u64, u32) {
    let asked = GetCommitmentsRequest::decode(&request.3).unwrap();
    (u64::try_from(asked.start_block_number).unwrap(), asked.max_count)
}

/// Answers a request for a txlist with the one of its hash among these, or with "not found".
fn finds(node: &mut Node, request: &Asked, lists: &[&Bytes]) -> Vec<Output> {
    let hash = GetTxListRequest::decode(&request.3).unwrap().hash;
    let txlist = lists.iter().find(|list| keccak256(list) == hash).map(|list| (*list).clone()).unwrap_or_default();
    node.input(Input::ResponseReceived { request: request.0, body: RawTxList { hash, txlist }.encode() })
}

/// Lets peers that have these txlists and no commitments answer everything at once, for a while; all that comes out.
fn answering(node: &mut Node, outputs: Vec<Output>, span: Duration, lists: &[&Bytes]) -> Vec<Output> {
    let until = node.now.after(span);
    let (mut all, mut news) = (Vec::new(), outputs);
    loop {
        let asked = requests(&news);
        all.append(&mut news);
        for request in asked {
            news.extend(match request.2 {
                Protocol::GetHead => claims(node, &request, 0),
                Protocol::GetCommitments => serves(node, &request, &[]),
                Protocol::GetTxList => finds(node, &request, lists),
            });
        }
        if news.is_empty() {
            if node.now.mono >= until.mono {
                return all;
            }
            news = node.wait(Duration::from_millis(100));
        }
    }
}

fn asks_for(node: &mut Node, txlist: &Bytes, name: u8) -> (CommandId, Vec<Output>) {
    node.command(Command::GetTxList { hash: keccak256(txlist), peer: Some(peer(name)) }).unwrap()
}

fn moves_tip(node: &mut Node, block_number: u64, preconfirmation_hash: Option<B256>) -> Vec<Output> {
    node.update(Update::MoveSyncTip(SyncTip { block_number, preconfirmation_hash })).unwrap()
}

fn executes_again(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::App(Event::ExecuteAgain { .. })))
}

fn cancelled(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Net(Action::CancelRequest { .. })))
}

fn publishes(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Net(Action::Publish { .. })))
}

/// What a peer's faults took from it.
fn charges(node: &Node, name: u8) -> Vec<i64> {
    let changes = node.core.explain(node.now, peer(name)).into_iter();
    changes.filter(|change| matches!(change.reason, Reason::Conduct(_)) && change.delta < 0).map(|change| change.delta).collect()
}

#[test]
fn p9_3_a_tip_below_all_that_is_kept_keeps_the_chain() {
    let (mut node, mut writer) = (Node::with(Config { max_commitments: 8, ..Config::new(CHAIN) }), Writer::new(1));
    node.connect(9);
    for block in blocks(&mut writer, 20) {
        node.block(9, &block);
    }
    assert_eq!((node.head(), node.status().ready_to, node.status().commitments), (Some(20), 20, 8));
    let outputs = moves_tip(&mut node, 5, None);
    assert_eq!((node.head(), node.status().ready_to, node.status().lag), (Some(20), 20, Some(0)));
    assert!(!executes_again(&outputs) && ready(&outputs).is_empty());
    assert_eq!(ready(&node.block(9, &writer.block())), [21], "what comes next links");
}

/// A commitment that no schedule covers and nobody signed, well formed otherwise.
fn beyond_every_schedule(parent: &Block, number: u64) -> SignedCommitment {
    let mut writer = Writer { parent: preconfirmation_hash(&parent.0), number: number - 1, ..Writer::new(1) };
    let signed = writer.write(|preconf| {
        preconf.submission_window_end = U256::from(1_u64 << 40);
        preconf.raw_tx_list_hash = B256::repeat_byte(1);
    });
    SignedCommitment::new(signed.commitment().clone(), [0x55; 65])
}

#[test]
fn p6_9_a_page_that_no_schedule_covers_leaves_out_its_peer_and_nobody_else() {
    let (mut node, chain) = (Node::new(), blocks(&mut Writer::new(1), 4));
    let (liar, honest) = (greets(&mut node, 8), greets(&mut node, 9));
    chain[..2].iter().for_each(|block| drop(node.block(9, block)));
    let to_liar = only(Protocol::GetCommitments, &claims(&mut node, &liar, 3));
    assert_eq!((to_liar[0].1, first_and_count(&to_liar[0])), (peer(8), (3, 1)));
    let beyond = only(Protocol::GetCommitments, &claims(&mut node, &honest, 4));
    assert_eq!((beyond[0].1, first_and_count(&beyond[0])), (peer(9), (4, 1)));
    let garbage = CommitmentsPage::encode([&beyond_every_schedule(&chain[1], 3)].into_iter());
    let outputs = node.input(Input::ResponseReceived { request: to_liar[0].0, body: garbage });
    assert_eq!((node.status().lag, node.status().unbacked_claims), (Some(0), 2), "nobody has backed what it claims yet (P11.1)");
    let mut asked = only(Protocol::GetCommitments, &outputs);
    assert!(!asked.is_empty(), "the honest peer is asked at once");
    asked.extend(beyond);
    for request in &asked {
        assert_eq!(request.1, peer(9));
        serves(&mut node, request, &chain);
    }
    assert_eq!((node.head(), node.status().syncing), (Some(4), false));
}

#[test]
fn p6_9_a_peer_that_was_ahead_of_the_schedule_is_asked_again_when_the_schedule_comes() {
    let (mut node, mut writer) = (Node::unscheduled(Config::new(CHAIN)), Writer::new(1));
    let chain = blocks(&mut writer, 2);
    let head = greets(&mut node, 9);
    let first = only(Protocol::GetCommitments, &claims(&mut node, &head, 2));
    let outputs = serves(&mut node, &first[0], &chain);
    assert!(only(Protocol::GetCommitments, &outputs).is_empty(), "not again and again");
    assert_eq!((node.head(), node.status().lag, node.score(9) >= 0), (None, None, true));
    let outputs = node.update(Update::Schedule(windows(&[1]))).unwrap();
    let again = only(Protocol::GetCommitments, &outputs);
    serves(&mut node, &again[0], &chain);
    assert_eq!(node.head(), Some(2));
}

#[test]
fn p6_7_requests_that_wait_for_room_are_sent_and_end_with_their_answers() {
    let list = Bytes::from_static(b"a list that somebody has");
    let mut node = Node::new();
    let head = greets(&mut node, 9);
    claims(&mut node, &head, 0);
    let (mut commands, mut outputs) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let (command, asked) = asks_for(&mut node, &list, 9);
        commands.push(command);
        outputs.extend(answering(&mut node, asked, Duration::ZERO, &[&list]));
    }
    assert_eq!((only(Protocol::GetTxList, &outputs).len(), outcomes(&outputs).len()), (7, 7));
    let later = answering(&mut node, Vec::new(), SECOND * 11, &[&list]);
    assert_eq!(only(Protocol::GetTxList, &later).len(), 3);
    outputs.extend(later);
    let found = Outcome::TxList { peer: peer(9), txlist: Some(list) };
    assert_eq!(outcomes(&outputs), commands.into_iter().map(|command| (command, found.clone())).collect::<Vec<_>>());
    assert!(!cancelled(&outputs));
    assert_eq!(charges(&node, 9), [0_i64; 0], "nobody is charged");
}

#[test]
fn p6_7_a_request_that_never_left_fails_late_and_costs_nobody_anything() {
    // One at a time, and each answered just before its time is over: most of them find no room.
    let mut node = Node::with(Config { max_requests_per_peer: 1, heads_every: SECOND * 3600, ..Config::new(CHAIN) });
    let head = greets(&mut node, 9);
    claims(&mut node, &head, 0);
    let asked_at = node.now.mono;
    let list = Bytes::from_static(b"a list that nobody has");
    let mut under_way = Vec::new();
    for _ in 0..10 {
        under_way.extend(requests(&asks_for(&mut node, &list, 9).1));
    }
    assert_eq!(under_way.len(), 1);
    let (mut unsent, mut answered) = (0, 0);
    while unsent + answered < 10 {
        let mut outputs = node.wait(Duration::from_millis(9_900));
        for request in std::mem::take(&mut under_way) {
            outputs.extend(finds(&mut node, &request, &[]));
        }
        under_way.extend(only(Protocol::GetTxList, &outputs));
        assert!(!cancelled(&outputs), "nothing is there to be cancelled");
        for (_, outcome) in outcomes(&outputs) {
            match outcome {
                Outcome::TxList { txlist: None, .. } => answered += 1,
                Outcome::RequestFailed { .. } => {
                    // One window of the limit, and the timeout.
                    assert!(node.now.mono.since(asked_at) >= SECOND * 20, "given up too early");
                    unsent += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(node.now.mono.since(asked_at) < SECOND * 120, "each request ends (P6.5)");
    }
    assert!(answered >= 3 && unsent > 0, "{answered} answered, {unsent} never sent");
    assert_eq!(charges(&node, 9), [0_i64; 0], "nobody is charged");
}

#[test]
fn p9_3_a_txlist_that_a_tip_made_needless_is_looked_for_again_when_the_tip_goes_back() {
    let (mut node, mut writer) = (Node::new(), Writer::new(1));
    let head = greets(&mut node, 9);
    claims(&mut node, &head, 0);
    let chain = blocks(&mut writer, 3);
    node.block(9, &chain[0]);
    node.commitment(9, &chain[1].0);
    node.block(9, &chain[2]);
    assert_eq!(ready(&moves_tip(&mut node, 2, None)), [3]);
    assert_eq!(node.status().missing_txlists, 0);
    let outputs = moves_tip(&mut node, 1, None);
    assert!(outputs.contains(&Output::App(Event::ExecuteAgain { from: 2 })));
    assert_eq!((node.status().missing_txlists, node.status().lag), (1, Some(2)));
    let outputs = answering(&mut node, outputs, SECOND, &[&chain[1].1]);
    assert_eq!(only(Protocol::GetTxList, &outputs).len(), 1);
    assert_eq!((ready(&outputs), node.status().missing_txlists), (vec![2, 3], 0));
}

#[test]
fn p6_9_a_page_is_judged_though_gossip_has_passed_the_one_before_it() {
    let (mut node, chain) = (Node::new(), blocks(&mut Writer::new(1), 9));
    let (near, far) = (greets(&mut node, 8), greets(&mut node, 9));
    node.connect(7);
    chain[..2].iter().for_each(|block| drop(node.block(7, block)));
    chain[3..6].iter().for_each(|block| drop(node.block(7, block)));
    assert_eq!((node.head(), node.status().held), (Some(2), 3));
    let slow = only(Protocol::GetCommitments, &claims(&mut node, &near, 6));
    assert_eq!((slow[0].1, first_and_count(&slow[0])), (peer(8), (3, 4)));
    let fast = only(Protocol::GetCommitments, &claims(&mut node, &far, 9));
    assert_eq!((fast[0].1, first_and_count(&fast[0])), (peer(9), (7, 3)));
    serves(&mut node, &fast[0], &chain);
    assert_eq!(node.head(), Some(2), "it waits for what lies before it");
    let outputs = node.commitment(7, &chain[2].0);
    assert_eq!((node.head(), node.status().syncing), (Some(9), false));
    assert!(only(Protocol::GetCommitments, &outputs).is_empty(), "what is here is not asked for again");
}

#[test]
fn p5_7_an_eop_of_our_own_that_is_refused_as_a_fork_leaves_nothing_behind() {
    let (mut node, mut theirs) = (Node::connected_to(&[9]), Writer::new(1));
    node.block(9, &theirs.block());
    // We hand our window over on block 1, not knowing that block 2 is there.
    let mut ours = Writer { parent: theirs.parent, number: 1, timestamp: theirs.timestamp, ..Writer::new(1) };
    ours.hand_over(2);
    node.set_clock_to_window(1);
    node.block(9, &theirs.block());
    let (command, outputs) = node.command(Command::PublishCommitment(Box::new(ours.eop()))).unwrap();
    assert_eq!(outcomes(&outputs), [(command, Outcome::NotPublished(PublishError::Refused(Refusal::Fork)))]);
    assert!(!publishes(&outputs) && records(&outputs).is_empty());
    assert_eq!((node.head(), node.status().commitments), (Some(2), 2));
    ours.parent = theirs.parent;
    let (_, outputs) = node.command(Command::PublishCommitment(Box::new(ours.block().0))).unwrap();
    assert!(publishes(&outputs), "{outputs:?}");
    assert_eq!(node.head(), Some(3));
}

/// A block with a txlist of this length.
fn heavy(writer: &mut Writer, len: usize) -> Block {
    let txlist = Bytes::from(vec![u8::try_from(writer.number).unwrap(); len]);
    (writer.write(|preconf| preconf.raw_tx_list_hash = keccak256(&txlist)), txlist)
}

#[test]
fn p5_5_a_full_store_gives_way_to_the_txlist_that_is_needed_first() {
    // P10.1: room for two of four lists
    let config = Config { txlist_cap: 1_000, max_txlist_bytes: 2_600, ..Config::new(CHAIN) };
    let (mut node, mut writer) = (Node::with(config), Writer::new(1));
    let head = greets(&mut node, 9);
    claims(&mut node, &head, 0);
    let chain: Vec<_> = (0..4).map(|_| heavy(&mut writer, 1_000)).collect();
    chain.iter().for_each(|(signed, _)| drop(node.commitment(9, signed)));
    chain[1..].iter().for_each(|(_, txlist)| drop(node.txlist(9, txlist)));
    assert_eq!((node.status().ready_to, node.status().txlist_bytes <= 2_600), (0, true));
    let outputs = node.txlist(9, &chain[0].1);
    assert_eq!(verdicts(&outputs), [Verdict::Accept]);
    let lists: Vec<_> = chain.iter().map(|(_, txlist)| txlist).collect();
    let outputs = answering(&mut node, outputs, SECOND * 30, &lists);
    assert_eq!(ready(&outputs), [1, 2, 3, 4], "each in the end, and once");
    assert!(node.status().txlist_bytes <= 2_600);
}

#[test]
fn p5_5_a_full_store_gives_way_to_an_answer_as_well() {
    let config = Config { txlist_cap: 1_000, max_txlist_bytes: 2_600, ..Config::new(CHAIN) };
    let (mut node, mut writer) = (Node::with(config), Writer::new(1));
    let head = greets(&mut node, 9);
    claims(&mut node, &head, 0);
    let chain: Vec<_> = (0..4).map(|_| heavy(&mut writer, 1_000)).collect();
    chain.iter().for_each(|(signed, _)| drop(node.commitment(9, signed)));
    chain[2..].iter().for_each(|(_, txlist)| drop(node.txlist(9, txlist)));
    let lists: Vec<_> = chain.iter().map(|(_, txlist)| txlist).collect();
    assert_eq!(ready(&answering(&mut node, Vec::new(), SECOND * 30, &lists)), [1, 2, 3, 4]);
}

#[test]
fn p6_4_a_page_of_several_bad_items_costs_one_failure() {
    let mut node = Node::new();
    let head = greets(&mut node, 9);
    let page = only(Protocol::GetCommitments, &claims(&mut node, &head, 4));
    let unelected = blocks(&mut Writer { key: key(2), ..Writer::new(1) }, 4);
    let outputs = serves(&mut node, &page[0], &unelected);
    assert_eq!(refusals(&outputs), [Refusal::WrongSigner { settled: true }]);
    assert_eq!(charges(&node, 9), [-1_000_000]);
    assert_eq!(node.head(), None);
}

#[test]
fn p6_4_what_stands_before_the_first_bad_item_of_a_page_is_used_whichever_rule_the_item_breaks() {
    let elsewhere = |preconf: &mut Preconfirmation| {
        preconf.submission_window_end = U256::from(START + WINDOW_SECS / 2); // C6: no window ends there
        preconf.raw_tx_list_hash = B256::repeat_byte(1);
    };
    for (bad_signer, refusal) in [(true, Refusal::WrongSigner { settled: true }), (false, Refusal::WrongWindow { settled: true })] {
        let (mut node, mut writer) = (Node::new(), Writer::new(1));
        let head = greets(&mut node, 9);
        let page = only(Protocol::GetCommitments, &claims(&mut node, &head, 4));
        let mut chain = blocks(&mut writer, 2);
        let bad = if bad_signer {
            writer.key = key(2);
            writer.block()
        } else {
            (writer.write(elsewhere), Bytes::new())
        };
        chain.push(bad);
        chain.push(writer.block());
        let outputs = serves(&mut node, &page[0], &chain);
        assert_eq!((node.head(), refusals(&outputs)), (Some(2), vec![refusal]));
        assert_eq!(charges(&node, 9), [-1_000_000]);
    }
}

#[test]
fn p6_9_a_page_across_the_end_of_the_schedule_is_used_up_to_there() {
    let (mut node, mut writer) = (Node::unscheduled(Config::new(CHAIN)), Writer::new(1));
    node.update(Update::Schedule(windows(&[1]))).unwrap();
    let mut chain = blocks(&mut writer, 2);
    writer.hand_over(2);
    node.set_clock_to_window(1);
    chain.extend(blocks(&mut writer, 2));
    let head = greets(&mut node, 9);
    let page = only(Protocol::GetCommitments, &claims(&mut node, &head, 4));
    serves(&mut node, &page[0], &chain);
    assert_eq!((node.head(), node.status().lag), (Some(2), Some(2)));
    assert_eq!(charges(&node, 9), [0_i64; 0], "our schedule is no fault of its");
    let outputs = node.update(Update::Schedule(windows(&[1, 2]))).unwrap();
    let rest = only(Protocol::GetCommitments, &outputs);
    serves(&mut node, &rest[0], &chain);
    assert_eq!(node.head(), Some(4));
}

#[test]
fn p6_8_the_next_txlist_is_asked_for_as_soon_as_the_hash_of_the_last_answer_is_known() {
    let (mut node, mut writer) = (Node::with(Config { max_requests: 1, ..Config::new(CHAIN) }), Writer::new(1));
    let head = greets(&mut node, 9);
    claims(&mut node, &head, 0);
    let chain = blocks(&mut writer, 2);
    chain.iter().for_each(|(signed, _)| drop(node.commitment(9, signed)));
    let first = only(Protocol::GetTxList, &node.wait(Duration::from_millis(400)));
    assert_eq!(first.len(), 1);
    let second = only(Protocol::GetTxList, &finds(&mut node, &first[0], &[&chain[0].1]));
    assert_eq!(second.len(), 1, "not only when a timer comes by");
    assert_eq!(ready(&finds(&mut node, &second[0], &[&chain[1].1])), [2]);
}

#[test]
fn p9_3_a_fork_whose_txlist_is_here_is_ready_as_soon_as_the_tip_moves_there() {
    let (mut node, mut ours) = (Node::new(), Writer::new(1));
    let head = greets(&mut node, 9);
    claims(&mut node, &head, 0);
    node.block(9, &ours.block());
    let mut theirs = Writer { parent: ours.parent, number: 1, timestamp: ours.timestamp, ..Writer::new(1) };
    theirs.hand_over(2);
    node.set_clock_to_window(1);
    blocks(&mut ours, 2).iter().for_each(|block| drop(node.block(9, block)));
    let fork = blocks(&mut theirs, 2);
    fork.iter().for_each(|block| drop(node.block(9, block)));
    assert_eq!((node.head(), node.status().ready_to, node.status().commitments), (Some(3), 3, 5));
    let outputs = moves_tip(&mut node, 2, Some(preconfirmation_hash(&fork[0].0)));
    assert_eq!((ready(&outputs), node.status().missing_txlists), (vec![3], 0));
    assert_eq!(node.status().head.unwrap().1, preconfirmation_hash(&fork[1].0));
    let later = answering(&mut node, outputs, SECOND * 5, &[]);
    assert!(only(Protocol::GetTxList, &later).is_empty());
}

#[test]
fn settings_that_would_make_a_node_stall_are_refused() {
    let base = || Config::new(CHAIN);
    let largest = base().txlist_cap + 36;
    let limit = |bytes| ByteLimit { bytes, ..base().response_limit };
    let bad = [
        ("heads_every", Config { heads_every: Duration::from_nanos(500), ..base() }), // no time at all, in the clock's microseconds
        ("max_commitments", Config { max_commitments: 1, ..base() }),                 // a head, and no room for what follows it
        ("verdict_timeout", Config { verdict_timeout: SECOND * 6, ..base() }),        // P5.1: gossip has forgotten the message by then
        ("response_limit", Config { response_limit: limit(6 * largest), ..base() }),  // P6.7: seven are an honest peer's right
        ("max_requests_per_peer", Config { max_requests_per_peer: 5, ..base() }),     // P6.7: the same in flight as is served
    ];
    for (key, config) in bad {
        assert_eq!(config.check().map_err(|error| error.key), Err(key));
    }
    let good = [
        Config { verdict_timeout: SECOND * 2, ..base() },
        Config { response_limit: limit(8 * largest), ..base() },
        Config { max_requests_per_peer: 5, max_served_per_peer: 5, ..base() },
    ];
    good.iter().for_each(|config| assert_eq!(config.check(), Ok(())));
}
