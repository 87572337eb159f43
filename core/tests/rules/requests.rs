//! What the machine asks and answers (P6.1–P6.8).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;

fn responses(outputs: &[Output]) -> Vec<Response> {
    let response = |output: &Output| match output {
        Output::Net(Action::Respond { response, .. }) => Some(response.clone()),
        _ => None,
    };
    outputs.iter().filter_map(response).collect()
}

fn dropped(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Net(Action::DropRequest { .. })))
}

fn head(block: u64, end: u64) -> PreconfHead {
    PreconfHead { block_number: U256::from(block), submission_window_end: U256::from(end) }
}

fn get(start: u64, count: u32) -> Bytes {
    GetCommitmentsRequest { start_block_number: U256::from(start), max_count: count }.encode()
}

fn page<'a>(signed: impl IntoIterator<Item = &'a SignedCommitment>) -> Bytes {
    CommitmentsPage::encode(signed.into_iter().collect::<Vec<_>>().into_iter())
}

/// A node that holds five blocks.
fn holder() -> (Node, Vec<SignedCommitment>) {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let blocks: Vec<_> = (0..5).map(|_| writer.block()).collect();
    for block in &blocks {
        node.block(9, block);
    }
    (node, blocks.into_iter().map(|(signed, _)| signed).collect())
}

#[test]
fn p6_1_answers_its_head_and_without_one_the_sync_tip() {
    let mut node = Node::connected_to(&[9]);
    node.update(Update::MoveSyncTip(SyncTip { block_number: 7, preconfirmation_hash: None })).unwrap();
    assert_eq!(responses(&node.asked(9, Protocol::GetHead, vec![4, 0, 0, 0])), [Response::Head(head(7, 0))]);
    let (mut node, _) = holder();
    assert_eq!(responses(&node.asked(9, Protocol::GetHead, vec![4, 0, 0, 0])), [Response::Head(head(5, START + WINDOW_SECS))]);
}

#[test]
fn p6_2_answers_gapless_commitments_from_the_start_within_the_count_and_the_budget() {
    let (mut node, chain) = holder();
    let mut asked = |start, count| responses(&node.asked(9, Protocol::GetCommitments, get(start, count)));
    assert_eq!(asked(2, 3), [Response::Commitments(page(&chain[1..4]))]);
    assert_eq!(asked(4, 256), [Response::Commitments(page(&chain[3..]))]);
    assert_eq!(asked(4, u32::MAX), [Response::Commitments(page(&chain[3..]))]);
    assert_eq!(asked(6, 1), [Response::Commitments(page([]))]);
    assert_eq!(asked(0, 9), [Response::Commitments(page([]))], "an unknown start: empty");
    assert_eq!(asked(1, 0), [Response::Commitments(page([]))]);
    let mut node = Node::with(Config { response_budget_bytes: 4 + 2 * 382, ..Config::new(CHAIN) });
    node.connect(9);
    chain.iter().for_each(|signed| drop(node.commitment(9, signed)));
    assert_eq!(responses(&node.asked(9, Protocol::GetCommitments, get(1, 9))), [Response::Commitments(page(&chain[..2]))]);
}

#[test]
fn p6_3_answers_a_txlist_or_the_echoed_hash_without_bytes() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let block = writer.block();
    node.block(9, &block);
    let hash = keccak256(&block.1);
    let mut asked = |hash| responses(&node.asked(9, Protocol::GetTxList, GetTxListRequest { hash }.encode()));
    assert_eq!(asked(hash), [Response::TxList(RawTxList { hash, txlist: block.1.clone() })]);
    assert_eq!(asked(B256::ZERO), [Response::TxList(RawTxList { hash: B256::ZERO, txlist: Bytes::new() })]);
    assert_eq!(node.score(9), 100_000, "asking gains nothing (P7.8)");
}

#[test]
fn a_broken_request_gets_no_answer_and_costs_a_failure() {
    let mut node = Node::connected_to(&[9]);
    let outputs = node.asked(9, Protocol::GetCommitments, vec![1; 35]);
    assert!(dropped(&outputs) && responses(&outputs).is_empty());
    assert_eq!(node.score(9), -1_000_000);
    node.input(Input::RequestBroken { peer: peer(9) }); // P3.4
    assert_eq!(node.score(9), -2_000_000);
}

#[test]
fn p6_4_a_page_must_be_what_was_asked_and_what_is_not_costs_a_failure() {
    let (_, chain) = holder();
    let bad = [
        (page(&chain[1..3]), Refusal::NotAsked),           // another start
        (page(&chain[0..4]), Refusal::NotAsked),           // too many
        (page([&chain[0], &chain[2]]), Refusal::NotAsked), // a gap
        (Bytes::from_static(&[4, 0, 0]), Refusal::Malformed(DecodeError::TooShort { len: 3, min: 4 })),
    ];
    for (body, refusal) in bad {
        let mut node = Node::connected_to(&[8]);
        let (command, outputs) = node.command(Command::GetCommitments { start: 1, count: 3, peer: Some(peer(8)) }).unwrap();
        let outputs = node.input(Input::ResponseReceived { request: requests(&outputs)[0].0, body });
        let failed = Outcome::RequestFailed { peer: peer(8), error: RequestError::Refused(refusal) };
        assert_eq!(outcomes(&outputs), [(command, failed)]);
        assert_eq!(node.score(8), -1_000_000);
    }
    let stray = Writer { number: 1, ..Writer::new(1) }.block().0;
    let mut node = Node::connected_to(&[8]);
    let (_, outputs) = node.command(Command::GetCommitments { start: 1, count: 3, peer: Some(peer(8)) }).unwrap();
    let outputs = node.input(Input::ResponseReceived { request: requests(&outputs)[0].0, body: page([&chain[0], &stray]) });
    assert_eq!(refusals(&outputs), [Refusal::BrokenPage]);
}

#[test]
fn p6_5_a_request_ends_once_and_what_comes_late_changes_nothing() {
    let mut node = Node::connected_to(&[8]);
    let (command, outputs) = node.command(Command::GetHead { peer: Some(peer(8)) }).unwrap();
    let request = requests(&outputs)[0].0;
    let outputs = node.wait(Duration::from_secs(10));
    let failed = Outcome::RequestFailed { peer: peer(8), error: RequestError::Failed(RequestFailure::Timeout) };
    assert_eq!(outcomes(&outputs), [(command, failed)]);
    let score = node.score(8);
    assert!(node.input(Input::ResponseReceived { request, body: head(9, 9).encode() }).is_empty());
    assert!(node.input(Input::RequestFailed { request, failure: RequestFailure::Closed }).is_empty());
    assert!(node.input(Input::ResponseReceived { request: RequestId(999), body: Bytes::new() }).is_empty());
    assert_eq!(node.score(8), score);
}

#[test]
fn fails_the_request_when_its_peer_leaves() {
    let mut node = Node::connected_to(&[8]);
    let (command, _) = node.command(Command::GetHead { peer: Some(peer(8)) }).unwrap();
    let outputs = node.input(Input::ConnectionClosed { peer: peer(8), connection: ConnectionId(1) });
    let failed = Outcome::RequestFailed { peer: peer(8), error: RequestError::Failed(RequestFailure::Closed) };
    assert_eq!(outcomes(&outputs), [(command, failed)]);
    assert!(node.wait(Duration::from_secs(60)).is_empty(), "nothing is left of it");
}

#[test]
fn p6_6_a_peer_over_the_limit_gets_no_answer_and_nobody_else_waits() {
    let (mut node, _) = holder();
    node.connect(8);
    for _ in 0..8 {
        assert_eq!(responses(&node.asked(9, Protocol::GetHead, vec![4, 0, 0, 0])).len(), 1);
    }
    let before = node.score(9);
    let outputs = node.asked(9, Protocol::GetHead, vec![4, 0, 0, 0]);
    assert!(dropped(&outputs));
    assert_eq!(refusals(&outputs), [Refusal::RateLimited]);
    assert_eq!(node.score(9), before, "four windows' worth may be over the limit before it is a fault");
    for _ in 0..32 {
        node.asked(9, Protocol::GetHead, vec![4, 0, 0, 0]);
    }
    assert_eq!(node.score(9), before - 250_000);
    assert_eq!(responses(&node.asked(8, Protocol::GetHead, vec![4, 0, 0, 0])).len(), 1);
    assert_eq!(responses(&node.asked(9, Protocol::GetCommitments, get(1, 1))).len(), 1, "another protocol has a limit of its own");
}

#[test]
fn p6_6_requests_in_flight_are_bounded_per_peer_and_in_all() {
    let mut node = Node::connected_to(&[9]);
    let ask = |node: &mut Node, name, channel| {
        let body = Bytes::from_static(&[4, 0, 0, 0]);
        node.input(Input::RequestReceived { peer: peer(name), channel: ChannelId(channel), protocol: Protocol::GetHead, body })
    };
    for channel in 1..=4 {
        assert_eq!(answered(&ask(&mut node, 9, channel)), [channel]);
    }
    assert!(ask(&mut node, 9, 5).is_empty(), "it waits");
    assert_eq!(answered(&node.input(Input::ChannelClosed { channel: ChannelId(1) })), [5]);
    assert!(ask(&mut node, 9, 6).is_empty());
    for name in 10..25 {
        node.connect(name);
        (0..4).for_each(|i| drop(ask(&mut node, name, 100 * u64::from(name) + i)));
    }
    node.connect(30);
    assert!(ask(&mut node, 30, 1_000_000).is_empty());
    let outputs = node.wait(Duration::from_secs(5));
    assert_eq!((answered(&outputs), dropped(&outputs)), (vec![6, 1_000_000], false), "and ends, with our head, after five seconds");
    assert_eq!(refusals(&outputs), [Refusal::Crowded; 2]);
    assert_eq!((node.score(9), node.score(30)), (0, 0), "a slow link is no fault (P7.10)");
}

/// The channels that are answered, in order.
fn answered(outputs: &[Output]) -> Vec<u64> {
    let channel = |output: &Output| match output {
        Output::Net(Action::Respond { channel, .. }) => Some(channel.0),
        _ => None,
    };
    outputs.iter().filter_map(channel).collect()
}

/// A node with one txlist of this length, and the body of a request for it.
fn holder_of(len: usize) -> (Node, Bytes) {
    let (mut node, mut writer) = (Node::connected_to(&[200]), Writer::new(1));
    let list = Bytes::from(vec![7; len]);
    node.commitment(200, &writer.write(|preconf| preconf.raw_tx_list_hash = keccak256(&list)));
    node.txlist(200, &list);
    (node, GetTxListRequest { hash: keccak256(&list) }.encode())
}

fn asks(node: &mut Node, peer: PeerId, channel: u64, protocol: Protocol, body: &Bytes) -> Vec<Output> {
    node.input(Input::RequestReceived { peer, channel: ChannelId(channel), protocol, body: body.clone() })
}

/// Bytes of the txlists that go out.
fn list_bytes(outputs: &[Output]) -> usize {
    responses(outputs).iter().map(|response| if let Response::TxList(list) = response { list.txlist.len() } else { 0 }).sum()
}

#[test]
fn p6_6_sixteen_strangers_who_do_not_read_starve_nobody() {
    let (mut node, body) = holder_of(1 << 20);
    (1..=30).for_each(|name| node.connect(name));
    let (mut channel, mut unread) = (0, std::collections::BTreeMap::<u64, Vec<ChannelId>>::new());
    let mut heads = 0;
    for second in 0..600_u64 {
        let mut outputs = node.wait(Duration::from_secs(1));
        for stale in unread.remove(&second).unwrap_or_default() {
            outputs.extend(node.input(Input::ChannelClosed { channel: stale })); // nobody has read a byte of it for 10 s
        }
        if second % 10 == 0 {
            for stranger in 1..=16 {
                for _ in 0..4 {
                    channel += 1;
                    outputs.extend(asks(&mut node, peer(stranger), 1_000_000 + channel, Protocol::GetTxList, &body));
                }
            }
        }
        unread.entry(second + 10).or_default().extend(answered(&outputs).into_iter().map(ChannelId));
        // Ten honest peers ask for the head, each every 10 s.
        heads += responses(&node.asked(20 + (second % 10) as u8, Protocol::GetHead, Bytes::from_static(&GetHeadRequest::BYTES))).len();
    }
    assert_eq!(heads, 600);
}

#[test]
fn p6_6_one_neighbourhood_has_its_share_of_the_answers_and_not_its_neighbours() {
    let (mut node, body) = holder_of(1_000);
    let stranger = |n: u8| PeerId::from_bytes(&[0, 2, 9, n]).unwrap();
    for n in 1..=8 {
        node.link(stranger(n), Some(&format!("203.0.113.{n}")), None);
    }
    let outputs: Vec<_> =
        (0..32).flat_map(|i| asks(&mut node, stranger(1 + i / 4), 1_000 + u64::from(i), Protocol::GetTxList, &body)).collect();
    assert_eq!(answered(&outputs).len(), 16, "sixteen of a neighbourhood, whoever asks there");
    let elsewhere = stranger(100);
    node.link(elsewhere, Some("198.51.100.1"), None);
    assert_eq!(answered(&asks(&mut node, elsewhere, 1, Protocol::GetTxList, &body)), [1]);
    let outputs = node.input(Input::ChannelClosed { channel: ChannelId(1_000) });
    assert_eq!(answered(&outputs).len(), 1, "the next one has the place");
    let outputs = node.wait(Duration::from_secs(5));
    let not_found =
        responses(&outputs).iter().filter(|response| matches!(response, Response::TxList(list) if list.txlist.is_empty())).count();
    assert_eq!(not_found, 15, "what waited for too long ends");
    assert!((1..=8).all(|n| node.core.explain(node.now, stranger(n)).is_empty()), "and nobody is charged");
}

#[test]
fn p6_6_fifty_strangers_do_not_order_more_than_there_is_and_who_asks_now_and_then_is_first() {
    let (mut node, body) = holder_of(2 << 20);
    // Four of each neighbourhood, and one peer in one of its own.
    let stranger = |n: u8| PeerId::from_bytes(&[0, 2, 9, n]).unwrap();
    for n in 0..50 {
        node.link(stranger(n), Some(&format!("203.0.{}.{n}", n / 4)), None);
    }
    node.link(stranger(100), Some("198.51.100.1"), None);
    let (mut bytes, mut channel, mut waited) = (0, 0, Vec::new());
    let mut outputs = Vec::new();
    for second in 0..60_u64 {
        for n in 0..50 {
            channel += 1;
            outputs.extend(asks(&mut node, stranger(n), channel, Protocol::GetTxList, &body));
        }
        let honest = 1_000_000 + second;
        if second % 12 == 11 {
            outputs.extend(asks(&mut node, stranger(100), honest, Protocol::GetTxList, &body));
        }
        for tenth in 0..10 {
            while !outputs.is_empty() {
                bytes += list_bytes(&outputs);
                for channel in answered(&std::mem::take(&mut outputs)) {
                    if channel >= 1_000_000 {
                        waited.push(tenth);
                    }
                    outputs.extend(node.input(Input::ChannelClosed { channel: ChannelId(channel) })); // a good line
                }
            }
            outputs.extend(node.wait(Duration::from_millis(100)));
        }
    }
    assert!(bytes <= 7 * (64 << 20), "{} MiB in 60 s", bytes >> 20);
    assert!(waited.len() == 5 && waited.iter().all(|tenths| *tenths <= 4), "tenths of a second: {waited:?}");
}

#[test]
fn p6_6_among_those_who_wait_the_newest_of_whoever_has_most_ends_first() {
    let (mut node, body) = holder_of(1_000);
    (1..=90).for_each(|name| node.connect(name));
    let mut channel = 0;
    let mut ended = Vec::new();
    for name in (1..=90).chain(1..=80) {
        for _ in 0..4 {
            channel += 1;
            let outputs = asks(&mut node, peer(name), channel, Protocol::GetTxList, &body);
            ended.extend(refusals(&outputs));
        }
    }
    assert!(!ended.is_empty() && ended.iter().all(|refusal| *refusal == Refusal::Crowded));
    let outputs = node.wait(Duration::from_secs(6));
    let last = responses(&outputs).len();
    assert_eq!(last, 256, "as many wait, and no more");
}

#[test]
fn p6_7_keeps_to_seven_requests_a_window_and_lets_the_rest_wait() {
    let mut node = Node::connected_to(&[9]);
    let mut sent = 0;
    for _ in 0..10 {
        // Each is answered at once, so only the pace holds us back.
        let (_, outputs) = node.command(Command::GetTxList { hash: B256::ZERO, peer: Some(peer(9)) }).unwrap();
        for (request, ..) in requests(&outputs) {
            sent += 1;
            node.input(Input::ResponseReceived { request, body: RawTxList { hash: B256::ZERO, txlist: Bytes::new() }.encode() });
        }
    }
    assert_eq!(sent, 7);
    assert_eq!(requests(&node.wait(Duration::from_millis(9_999))).iter().filter(|request| request.2 == Protocol::GetTxList).count(), 0);
}

#[test]
fn p6_7_who_waits_is_not_overtaken_though_the_host_did_not_say_that_it_is_time() {
    let mut node = Node::connected_to(&[9]);
    let ask = |node: &mut Node, hash: u8| {
        let (_, outputs) = node.command(Command::GetTxList { hash: B256::repeat_byte(hash), peer: Some(peer(9)) }).unwrap();
        requests(&outputs)
    };
    let asked = |requests: &[(RequestId, PeerId, Protocol, Bytes)]| requests.iter().map(|request| request.3[0]).collect::<Vec<_>>();
    for _ in 0..7 {
        let sent = ask(&mut node, 1);
        node.input(Input::ResponseReceived {
            request: sent[0].0,
            body: RawTxList { hash: B256::repeat_byte(1), txlist: Bytes::new() }.encode(),
        });
        node.wait(Duration::from_secs(1));
    }
    assert_eq!(asked(&ask(&mut node, 2)), [0; 0], "it waits until ten seconds after the first answer");
    node.now = node.now.after(Duration::from_secs(3));
    assert_eq!(asked(&ask(&mut node, 3)), [2], "it is time, and the one that waited goes");
    let next = node.wait(Duration::from_secs(1));
    assert_eq!(asked(&requests(&next).into_iter().filter(|request| request.2 == Protocol::GetTxList).collect::<Vec<_>>()), [3]);
}

#[test]
fn p6_8_chooses_a_peer_that_supports_the_protocol_with_least_in_flight_and_says_when_there_is_none() {
    let mut node = Node::new();
    assert_eq!(node.command(Command::GetHead { peer: None }).unwrap_err(), CommandError::NoPeer(Protocol::GetHead));
    assert_eq!(node.command(Command::GetHead { peer: Some(peer(9)) }).unwrap_err(), CommandError::NotConnected);
    node.open(9);
    node.input(Input::PeerIdentified { peer: peer(9), protocols: SupportedProtocols { gossip: true, ..SupportedProtocols::default() } });
    let unsupported = CommandError::Unsupported(Protocol::GetHead);
    assert_eq!(node.command(Command::GetHead { peer: Some(peer(9)) }).unwrap_err(), unsupported);
    let mut node = Node::connected_to(&[7, 8, 9]);
    let mut asked: Vec<_> =
        (0..3).flat_map(|_| requests(&node.command(Command::GetTxList { hash: B256::ZERO, peer: None }).unwrap().1)).collect();
    asked.sort_by_key(|request| request.1);
    assert_eq!(asked.iter().map(|request| request.1).collect::<Vec<_>>(), [peer(7), peer(8), peer(9)]);
}

#[test]
fn a_protocol_that_a_peer_turns_out_not_to_speak_is_not_asked_for_again() {
    let mut node = Node::connected_to(&[9]);
    let (_, outputs) = node.command(Command::GetHead { peer: Some(peer(9)) }).unwrap();
    node.input(Input::RequestFailed { request: requests(&outputs)[0].0, failure: RequestFailure::Unsupported });
    assert_eq!(node.score(9), 0, "no fault of its");
    assert_eq!(node.command(Command::GetHead { peer: None }).unwrap_err(), CommandError::NoPeer(Protocol::GetHead));
}

#[test]
fn p6_7_a_peer_that_drops_a_request_is_left_alone_for_a_window() {
    let mut node = Node::connected_to(&[9]);
    let (_, outputs) = node.command(Command::GetTxList { hash: B256::ZERO, peer: Some(peer(9)) }).unwrap();
    node.input(Input::RequestFailed { request: requests(&outputs)[0].0, failure: RequestFailure::Closed });
    assert_eq!(node.command(Command::GetTxList { hash: B256::ZERO, peer: None }).unwrap_err(), CommandError::NoPeer(Protocol::GetTxList));
    node.wait(Duration::from_millis(10_000));
    assert!(node.command(Command::GetTxList { hash: B256::ZERO, peer: None }).is_ok());
}

#[test]
fn p7_10_what_a_restarted_peer_cannot_remember_is_dropped_and_not_charged() {
    let mut node = Node::connected_to(&[9]);
    let ask = |node: &mut Node| node.asked(9, Protocol::GetHead, GetHeadRequest::BYTES.to_vec());
    let answers = |outputs: &[Output]| outputs.iter().any(|output| matches!(output, Output::Net(Action::Respond { .. })));
    node.quiet(Input::ConnectionClosed { peer: peer(9), connection: ConnectionId(1) });
    node.connect(9);
    let before = node.score(9); // it left a request of ours unanswered
    assert_eq!((0..8 + 32).filter(|_| answers(&ask(&mut node))).count(), 8, "P6.6: no more than anyone gets");
    assert_eq!(node.score(9), before, "four windows' worth is more than a node can forget");
    ask(&mut node);
    assert_eq!(node.score(9), before - 250_000, "more than that is its fault");
}

#[test]
fn p6_8_a_request_to_nobody_in_particular_waits_for_nobody_while_another_peer_has_room() {
    for (busy, free) in [(9, 8), (9, 10)] {
        let mut node = Node::connected_to(&[busy]);
        let ask = |node: &mut Node, hash: u8, peer| {
            requests(&node.command(Command::GetTxList { hash: B256::repeat_byte(hash), peer }).unwrap().1)
        };
        for _ in 0..7 {
            let sent = ask(&mut node, 1, Some(peer(busy)));
            let body = RawTxList { hash: B256::repeat_byte(1), txlist: Bytes::new() }.encode();
            node.input(Input::ResponseReceived { request: sent[0].0, body });
            node.wait(Duration::from_secs(1));
        }
        assert_eq!(ask(&mut node, 2, Some(peer(busy))), [], "it waits for the first of seven places");
        node.connect(free);
        node.now = node.now.after(Duration::from_secs(3)); // that place is free, and the host has not said that it is time
        let asked: Vec<_> = ask(&mut node, 3, None).into_iter().map(|asked| (asked.1, asked.3[0])).collect();
        assert_eq!(asked, [(peer(busy), 2), (peer(free), 3)]);
    }
}

#[test]
fn p6_4_commitments_for_our_user_are_checked_like_gossip() {
    let mut node = Node::connected_to(&[9]);
    let ask = |node: &mut Node, page: &[SignedCommitment]| {
        let before = node.score(9);
        let count = page.len().max(1) as u32;
        let (command, outputs) = node.command(Command::GetCommitments { start: 1, count, peer: Some(peer(9)) }).unwrap();
        let request = requests(&outputs)[0].0;
        let outputs = node.input(Input::ResponseReceived { request, body: CommitmentsPage::encode(page.iter()) });
        let [(ended, outcome)] = &outcomes(&outputs)[..] else { panic!("one outcome: {outputs:?}") };
        assert_eq!(*ended, command);
        (outcome.clone(), node.score(9) - before)
    };
    let pages = |name: u8| -> Vec<SignedCommitment> {
        let mut writer = Writer { key: key(name), ..Writer::new(1) };
        (0..3).map(|_| writer.block().0).collect()
    };
    let good = pages(1);
    assert_eq!(ask(&mut node, &good), (Outcome::Commitments { peer: peer(9), commitments: good.clone() }, 50_000));
    let (outcome, paid) = ask(&mut node, &pages(66));
    let wrong = RequestError::Refused(Refusal::WrongSigner { settled: true });
    assert_eq!((outcome, paid), (Outcome::RequestFailed { peer: peer(9), error: wrong }, -1_000_000), "signed by nobody who is elected");
    assert_eq!(ask(&mut node, &[]).0, Outcome::Commitments { peer: peer(9), commitments: vec![] });
}

/// A node that has asked a peer for its head, and the request.
fn asking() -> (Node, RequestId) {
    let mut node = Node::connected_to(&[9]);
    node.wait(Duration::from_secs(30)); // what it asked of itself has ended
    let (_, outputs) = node.command(Command::GetHead { peer: Some(peer(9)) }).unwrap();
    (node, requests(&outputs)[0].0)
}

fn has_failed(outputs: &[Output]) -> bool {
    outcomes(outputs).iter().any(|(_, outcome)| matches!(outcome, Outcome::RequestFailed { .. }))
}

#[test]
fn p6_5_while_we_do_not_read_nobody_is_silent() {
    // P7.10: our application is slow, and the answer has been there all along.
    let (mut node, request) = asking();
    let score = node.score(9);
    node.wait(Duration::from_secs(4));
    let since = Time(node.now.mono.0 - 1_000_000); // three seconds were read
    node.input(Input::ReadingStopped { since });
    assert!(!has_failed(&node.wait(Duration::from_secs(40))));
    node.input(Input::ReadingResumed);
    assert!(!has_failed(&node.wait(Duration::from_millis(6_999))));
    let head = PreconfHead { block_number: U256::ZERO, submission_window_end: U256::ZERO }.encode();
    let outputs = node.input(Input::ResponseReceived { request, body: head });
    assert!(matches!(outcomes(&outputs)[..], [(_, Outcome::Head { .. })]));
    assert!(node.score(9) >= score, "{} after {score}", node.score(9));
}

#[test]
fn p6_5_who_stays_silent_once_we_read_again_has_had_its_time() {
    let (mut node, _) = asking();
    node.wait(Duration::from_secs(4));
    node.input(Input::ReadingStopped { since: Time(node.now.mono.0 - 1_000_000) });
    node.wait(Duration::from_secs(40));
    node.input(Input::ReadingResumed);
    assert!(!has_failed(&node.wait(Duration::from_millis(6_999))));
    assert!(has_failed(&node.wait(Duration::from_millis(1))), "ten seconds in which we read");
}

#[test]
fn p6_5_a_process_that_stood_still_blames_nobody() {
    // It is called 45 s after the deadline that it had asked for; what came meanwhile is read next.
    let (mut node, request) = asking();
    let score = node.score(9);
    node.wait(Duration::from_secs(2));
    node.now = node.now.after(Duration::from_secs(45));
    node.core.handle_timeout(node.now);
    assert!(!has_failed(&node.drain()));
    // Its peer may have given us up, or libp2p the stream.
    let outputs = node.input(Input::RequestFailed { request, failure: RequestFailure::Timeout });
    assert!(has_failed(&outputs));
    assert!(node.score(9) >= score);
}
