//! How the machine deals with peers: bans, trust, what survives a restart (P7), limits (P6.6–P6.8), who is of no use (P2.5).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;

const SECOND: Duration = Duration::from_secs(1);

/// Connected to peers that only gossip: none is asked for its head, so nothing is charged but what the test does.
fn hearing(names: &[u8]) -> Node {
    let mut node = Node::new();
    names.iter().for_each(|name| hear(&mut node, *name));
    node
}

fn hear(node: &mut Node, name: u8) {
    node.link(peer(name), None, None);
    node.input(Input::PeerIdentified { peer: peer(name), protocols: SupportedProtocols { gossip: true, ..SupportedProtocols::default() } });
    for topic in Topic::ALL {
        node.input(Input::PeerSubscribed { peer: peer(name), topic });
    }
}

/// Has a peer send so many malformed commitments at once.
fn offend(node: &mut Node, name: u8, times: usize) -> Vec<Output> {
    (0..times).flat_map(|_| node.gossip(name, Topic::Commitments, &[0u8; 3][..])).collect()
}

/// Has a peer offend until its ban falls; what came out of the step in which it fell.
fn banned(node: &mut Node, name: u8) -> Vec<Output> {
    offend(node, name, 4);
    node.wait(10 * SECOND);
    offend(node, name, 4);
    node.wait(30 * SECOND)
}

fn standing(node: &Node, name: u8) -> Standing {
    node.core.peers(node.now).iter().find(|info| info.peer == peer(name)).unwrap().standing
}

#[test]
fn p7_4_a_timer_bans_a_silent_peer_and_lets_it_back_in() {
    let mut node = hearing(&[9]);
    offend(&mut node, 9, 4);
    assert_eq!((node.score(9), standing(&node, 9)), (-4_000_000, Standing::Pruned));
    node.wait(10 * SECOND);
    offend(&mut node, 9, 4);
    assert_eq!(node.score(9), -7_600_000);
    let quiet = node.wait(Duration::from_millis(29_999));
    assert!(!actions(&quiet).contains(&Action::Block { peer: peer(9) }));
    let fell = node.wait(Duration::from_millis(1));
    assert!(actions(&fell).contains(&Action::Block { peer: peer(9) }));
    assert_eq!(standings(&fell), [(peer(9), Standing::Banned)]);
    assert_eq!(node.core.banned(node.now).len(), 0, "it is listed once its connections are gone");
    node.unlink(peer(9), ConnectionId(1));
    let ends = Time::from_millis(40_000 + 3_600_000);
    assert_eq!(node.core.banned(node.now), [(peer(9), ends)]);

    let (connection, refused) = node.link(peer(9), None, None);
    assert_eq!(actions(&refused), [Action::CloseConnection { connection }], "blocked both ways");
    let address = format!("/ip4/192.0.2.1/tcp/1/p2p/{}", peer(9));
    assert_eq!(node.command(Command::Dial { address: address.clone() }), Err(CommandError::Gated(GaterRefusal::Banned)));

    let quiet = node.wait(Duration::from_millis(3_599_999));
    assert!(!actions(&quiet).contains(&Action::Unblock { peer: peer(9) }));
    let over = node.wait(Duration::from_millis(1));
    assert_eq!(standings(&over), [(peer(9), Standing::Healthy)]);
    assert!(actions(&over).contains(&Action::Unblock { peer: peer(9) }));
    assert!(node.command(Command::Dial { address }).is_ok());
    assert_eq!(node.core.explain(node.now, peer(9)).iter().map(|change| change.delta).sum::<i64>(), 0);
}

#[test]
fn p7_4_pruned_peers_get_no_answer_and_are_asked_nothing() {
    let mut node = Node::connected_to(&[9]);
    offend(&mut node, 9, 3);
    let asked = node.asked(9, Protocol::GetHead, GetHeadRequest::BYTES.to_vec());
    assert_eq!(refusals(&asked), [Refusal::Pruned]);
    assert_eq!(node.command(Command::GetHead { peer: None }), Err(CommandError::NoPeer(Protocol::GetHead)));
}

#[test]
fn p7_4_a_ban_can_be_lifted_and_only_a_ban() {
    let mut node = hearing(&[9]);
    assert_eq!(node.update(Update::LiftBan { peer: peer(9) }), Err(UpdateError::NotBanned));
    banned(&mut node, 9);
    node.unlink(peer(9), ConnectionId(1));
    let outputs = node.update(Update::LiftBan { peer: peer(9) }).unwrap();
    assert!(actions(&outputs).contains(&Action::Unblock { peer: peer(9) }));
    assert_eq!(standings(&outputs), [(peer(9), Standing::Healthy)]);
    assert!(node.core.banned(node.now).is_empty());
    assert!(actions(&node.link(peer(9), None, None).1).is_empty(), "welcome back");
}

#[test]
fn p7_4_the_end_of_a_ban_does_not_lift_the_operators_own_block() {
    let mut node = hearing(&[9]);
    banned(&mut node, 9);
    node.update(Update::BlockPeer { peer: peer(9) }).unwrap();
    let over = node.wait(3_600 * SECOND);
    assert_eq!(standings(&over), [(peer(9), Standing::Healthy)]);
    assert!(!actions(&over).contains(&Action::Unblock { peer: peer(9) }));
    let outputs = node.update(Update::UnblockPeer { peer: peer(9) }).unwrap();
    assert_eq!(actions(&outputs), [Action::Unblock { peer: peer(9) }]);
}

#[test]
fn p7_4_a_flood_of_malformed_commitments_bans_within_45_s_and_costs_no_recovery() {
    let mut node = hearing(&[9, 8]);
    let start = node.now.mono;
    let banned_at = loop {
        let outputs = offend(&mut node, 9, 100);
        assert!(verdicts(&outputs).iter().all(|verdict| *verdict == Verdict::Reject));
        let outputs = node.wait(Duration::from_millis(100));
        if actions(&outputs).contains(&Action::Block { peer: peer(9) }) {
            break node.now.mono;
        }
        assert!(node.now.mono.since(start) < 45 * SECOND, "{}", node.score(9));
    };
    assert!(banned_at.since(start) <= 45 * SECOND);
    assert_eq!(node.core.stats().jobs, 0);
    assert_eq!(node.score(8), 0);
}

#[test]
fn p7_9_every_change_names_its_rule_and_cause_and_all_of_them_sum_to_the_score() {
    let mut node = hearing(&[9]);
    let explain = |node: &Node| node.core.explain(node.now, peer(9));
    let sums = |node: &Node| {
        let changes = explain(node);
        assert_eq!(changes.iter().map(|change| change.delta).sum::<i64>(), node.score(9), "{changes:?}");
        assert_eq!(changes.last().map_or(0, |change| change.score), node.score(9));
    };
    let message = message_id(CHAIN, Topic::Commitments, &[0; 3]);
    offend(&mut node, 9, 1);
    let changes = explain(&node);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].rule, changes[0].cause, changes[0].delta), ("C1", Cause::Message(message), -1_000_000));
    node.input(Input::RequestBroken { peer: peer(9) });
    sums(&node);
    node.wait(Duration::from_millis(10_100)); // a decay between two of them
    sums(&node);
    let (signed, _) = Writer::new(1).block();
    node.commitment(8, &signed);
    let list = Bytes::from_static(b"a list whose hash is another");
    node.gossip(9, Topic::TxLists, RawTxList { hash: signed.preconf().raw_tx_list_hash, txlist: list }.encode());
    sums(&node);
    let rules: Vec<_> = explain(&node).iter().map(|change| change.rule).collect();
    assert!(rules.contains(&"P7.3") && rules.last() == Some(&"T4"), "{rules:?}");
    // Far more than are kept: the oldest become one, and the sum stays.
    for _ in 0..200 {
        offend(&mut node, 9, 1);
        node.wait(Duration::from_millis(700));
        sums(&node);
    }
    assert!(explain(&node).len() <= 65, "the last 64, and what came before in one");
}

#[test]
fn p7_5_a_decay_is_told_at_once_of_everybody_with_a_score_and_of_nobody_else() {
    let names: Vec<u8> = (1..=100).collect();
    let mut node = hearing(&names);
    names.iter().take(60).for_each(|name| drop(offend(&mut node, *name, 1)));
    let told = |outputs: &[Output]| -> Vec<PeerId> {
        let decayed = |action| if let Action::SetScore { peer, score: -900_000 } = action { Some(peer) } else { None };
        actions(outputs).into_iter().filter_map(decayed).collect()
    };
    let outputs = node.wait(10 * SECOND);
    assert_eq!(told(&outputs), names.iter().take(60).map(|name| peer(*name)).collect::<Vec<_>>(), "each once");
    assert!(told(&node.wait(9 * SECOND)).is_empty());
}

#[test]
fn p7_5_a_driver_that_sleeps_through_decays_tells_the_last_score() {
    let mut node = hearing(&(1..=20).collect::<Vec<_>>());
    (1..=20).for_each(|name| drop(offend(&mut node, name, 1)));
    node.now = node.now.after(25 * SECOND);
    node.core.handle_timeout(node.now);
    let late = node.drain();
    let told = actions(&late).into_iter().filter(|action| matches!(action, Action::SetScore { score: -810_000, .. })).count();
    assert_eq!(told, 20);
}

#[test]
fn p7_5_gossipsub_hears_of_every_change_every_decay_and_every_return() {
    let mut node = hearing(&[9]);
    let told = |outputs: &[Output]| {
        let score = |action: Action| if let Action::SetScore { score, .. } = action { Some(score) } else { None };
        actions(outputs).into_iter().filter_map(score).collect::<Vec<_>>()
    };
    assert_eq!(told(&offend(&mut node, 9, 1)), [-1_000_000]);
    assert_eq!(told(&node.wait(10 * SECOND)), [-900_000]);
    node.unlink(peer(9), ConnectionId(1));
    assert!(told(&node.wait(10 * SECOND)).is_empty());
    assert_eq!(told(&node.link(peer(9), None, None).1), [-810_000], "gossipsub may have forgotten");
    assert_eq!(told(&node.wait(10 * SECOND)), [-729_000]);
}

#[test]
fn p7_6_trusted_peers_lose_nothing() {
    let mut node = Node::with(Config { trusted: vec![peer(9)], ..Config::new(CHAIN) });
    hear(&mut node, 9);
    banned(&mut node, 9);
    assert_eq!((node.score(9), standing(&node, 9)), (0, Standing::Healthy));
    assert_eq!(node.core.trusted().collect::<Vec<_>>(), [peer(9)]);
    node.update(Update::Distrust { peer: peer(9) }).unwrap();
    offend(&mut node, 9, 1);
    assert_eq!(node.score(9), -1_000_000);
}

#[test]
fn p7_6_trust_ends_a_ban() {
    let mut node = hearing(&[9]);
    banned(&mut node, 9);
    let outputs = node.update(Update::Trust { peer: peer(9) }).unwrap();
    assert!(actions(&outputs).contains(&Action::Unblock { peer: peer(9) }));
    assert!(node.core.gater().is_protected(peer(9)));
    let quiet = node.wait(3_600 * SECOND);
    assert!(standings(&quiet).is_empty(), "the old ban's timer is gone");
}

#[test]
fn p7_6_the_least_recently_seen_without_a_ban_is_forgotten_first() {
    let mut node = hearing(&[9]);
    banned(&mut node, 9);
    node.unlink(peer(9), ConnectionId(1));
    let stranger = |n: u16| PeerId::from_bytes(&[[0, 2], n.to_be_bytes()].concat()).unwrap();
    for n in 0..4_096 {
        let (connection, _) = node.link(stranger(n), None, None);
        node.input(Input::RequestBroken { peer: stranger(n) });
        node.unlink(stranger(n), connection);
        node.wait(Duration::from_millis(1));
    }
    assert!(node.core.explain(node.now, stranger(0)).is_empty(), "forgotten");
    assert!(!node.core.explain(node.now, stranger(1)).is_empty());
    assert_eq!(node.core.banned(node.now).len(), 1);
}

#[test]
fn p7_7_bans_and_bad_names_survive_a_restart() {
    let mut node = hearing(&[8, 9]);
    let mut kept = records(&banned(&mut node, 9));
    let pruned = offend(&mut node, 8, 3);
    kept.extend(records(&pruned));
    let ban_ends = UnixTime(node.now.unix.0 + 3_600_000_000);
    assert!(
        matches!(kept[0], Record::Peer { peer: banned, ban_ends: Some(ends), .. } if banned == peer(9) && ends == ban_ends),
        "{kept:?}"
    );
    assert!(matches!(kept.last(), Some(Record::Peer { peer: pruned, score: -3_000_000, .. }) if *pruned == peer(8)), "{kept:?}");

    let mut later = Node::new();
    later.now.unix = UnixTime(node.now.unix.0 + 60_000_000);
    let outputs = later.update(Update::Restore(kept)).unwrap(); // of each peer, the last one counts
    assert_eq!(actions(&outputs), [Action::Block { peer: peer(9) }]);
    assert_eq!(later.core.banned(later.now), [(peer(9), Time::from_millis(3_540_000))]);
    hear(&mut later, 8);
    assert_eq!(later.score(8), -1_594_323, "six decays in the minute between");
    let over = later.wait(3_540 * SECOND);
    assert!(actions(&over).contains(&Action::Unblock { peer: peer(9) }));
}

#[test]
fn p7_7_no_stored_ban_is_longer_than_any_ban_and_none_comes_back_when_it_is_over() {
    let mut node = Node::new();
    let now = node.now.unix;
    let record = |name: u8, ban_ends: UnixTime| Record::Peer { peer: peer(name), score: -6_000_000, as_of: now, ban_ends: Some(ban_ends) };
    let lifted = Record::Peer { peer: peer(3), score: 0, as_of: now, ban_ends: None };
    let records = vec![record(1, UnixTime(u64::MAX)), record(2, now), record(3, UnixTime(u64::MAX)), lifted];
    node.update(Update::Restore(records)).unwrap();
    assert_eq!(node.core.banned(node.now), [(peer(1), Time::from_millis(3_600_000))]);
    assert!(actions(&node.link(peer(2), None, None).1).is_empty());
}

#[test]
fn p7_1_a_stored_score_out_of_its_range_comes_back_within_it() {
    let mut node = Node::new();
    let as_of = UnixTime(node.now.unix.0 - 10_000_000); // one decay ago
    let record = |name, score| Record::Peer { peer: peer(name), score, as_of, ban_ends: None };
    node.update(Update::Restore(vec![record(8, i64::MIN), record(9, i64::MAX)])).unwrap();
    node.connect(8);
    node.connect(9);
    assert_eq!((node.score(8), node.score(9)), (-9_000_000, 9_000_000));
}

#[test]
fn p2_5_a_peer_of_another_chain_is_dropped_without_blame() {
    let mut node = Node::new();
    node.link(peer(9), None, None);
    node.input(Input::PeerIdentified { peer: peer(9), protocols: SupportedProtocols { gossip: true, ..SupportedProtocols::default() } });
    let outputs = node.wait(5 * SECOND);
    assert_eq!(actions(&outputs), [Action::Disconnect { peer: peer(9) }]);
    assert_eq!(node.score(9), 0);
}

#[test]
fn p6_6_a_peer_over_its_limit_gets_nothing_more_and_nobody_else_waits() {
    let mut node = Node::connected_to(&[8, 9]);
    let ask = |node: &mut Node, name| node.asked(name, Protocol::GetHead, GetHeadRequest::BYTES.to_vec());
    let served = |outputs: &[Output]| actions(outputs).iter().filter(|action| matches!(action, Action::Respond { .. })).count();
    for _ in 0..8 {
        assert_eq!(served(&ask(&mut node, 9)), 1);
    }
    let ninth = ask(&mut node, 9);
    assert_eq!((served(&ninth), refusals(&ninth)), (0, vec![Refusal::RateLimited]));
    for _ in 0..31 {
        ask(&mut node, 9);
    }
    assert_eq!(node.score(9), 0, "P7.10: a wire that stalls and then bursts is no malice");
    ask(&mut node, 9);
    assert_eq!(node.score(9), -250_000, "more than four windows' worth within 60 s");
    assert_eq!(served(&ask(&mut node, 8)), 1);
    node.wait(10 * SECOND);
    assert_eq!(served(&ask(&mut node, 9)), 1);
}

#[test]
fn p6_7_what_we_ask_stays_one_under_the_limit_and_the_rest_waits() {
    let mut node = Node::connected_to(&[9]);
    let answer = |node: &mut Node, outputs: &[Output]| {
        let mut sent: Vec<_> = requests(outputs).into_iter().filter(|(.., protocol, _)| *protocol == Protocol::GetTxList).collect();
        let mut answered = 0;
        while let Some((request, ..)) = sent.pop() {
            answered += 1;
            let body = RawTxList { hash: B256::ZERO, txlist: Bytes::new() }.encode();
            let outputs = node.input(Input::ResponseReceived { request, body });
            sent.extend(requests(&outputs).into_iter().filter(|(.., protocol, _)| *protocol == Protocol::GetTxList));
        }
        answered
    };
    let mut at_once = 0;
    for _ in 0..12 {
        let (_, outputs) = node.command(Command::GetTxList { hash: B256::ZERO, peer: Some(peer(9)) }).unwrap();
        at_once += answer(&mut node, &outputs);
    }
    assert_eq!(at_once, 7, "one fewer than a peer may send (P6.6)");
    let mut later = 0;
    for _ in 0..20 {
        let outputs = node.wait(SECOND);
        later += answer(&mut node, &outputs);
    }
    assert_eq!(later, 5, "the rest goes when there is room");
}

#[test]
fn p6_7_of_several_late_deadlines_the_room_of_one_is_not_taken_by_another_before_what_waits() {
    let mut node = Node::with(Config { max_requests: 1, ..Config::new(CHAIN) });
    node.connect(8); // it is asked for its head, and says nothing
    node.connect(9);
    node.command(Command::GetTxList { hash: B256::ZERO, peer: Some(peer(9)) }).unwrap();
    node.now = node.now.after(13 * SECOND);
    node.core.handle_timeout(node.now); // its time is over, and that until heads are asked for again
    let sent: Vec<_> = requests(&node.drain()).into_iter().map(|(_, peer, protocol, _)| (peer, protocol)).collect();
    assert_eq!(sent, [(peer(9), Protocol::GetTxList)]);
}

#[test]
fn p7_4_what_waits_for_a_pruned_peer_leaves_when_it_is_pardoned() {
    let mut node = Node::connected_to(&[9]);
    offend(&mut node, 9, 4);
    assert_eq!(standing(&node, 9), Standing::Pruned);
    let ask = Command::GetTxList { hash: B256::ZERO, peer: Some(peer(9)) };
    assert_eq!(requests(&node.command(ask).unwrap().1), []);
    let outputs = node.update(Update::Trust { peer: peer(9) }).unwrap();
    assert_eq!(requests(&outputs).into_iter().map(|(.., protocol, _)| protocol).collect::<Vec<_>>(), [Protocol::GetTxList]);
}

#[test]
fn p6_8_the_least_busy_healthy_peer_is_asked() {
    let mut node = Node::connected_to(&[7, 8, 9]);
    offend(&mut node, 7, 2); // throttled
    let named = |node: &mut Node, name| node.command(Command::GetTxList { hash: B256::ZERO, peer: Some(peer(name)) }).unwrap();
    named(&mut node, 8);
    for _ in 0..2 {
        named(&mut node, 9);
    }
    let (_, outputs) = node.command(Command::GetTxList { hash: B256::ZERO, peer: None }).unwrap();
    assert_eq!(requests(&outputs)[0].1, peer(8));
    for name in [8, 9] {
        node.unlink(peer(name), ConnectionId(u64::from(name) - 6));
    }
    let (_, outputs) = node.command(Command::GetTxList { hash: B256::ZERO, peer: None }).unwrap();
    assert_eq!(requests(&outputs)[0].1, peer(7), "throttled, but nobody better is there");
}

#[test]
fn p7_7_a_ban_holds_for_who_came_before_the_records_did() {
    let mut node = Node::new();
    node.connect(9);
    let ban_ends = Some(UnixTime(node.now.unix.0 + 3_000_000_000));
    let record = Record::Peer { peer: peer(9), score: -9_000_000, as_of: node.now.unix, ban_ends };
    let outputs = node.update(Update::Restore(vec![record.clone()])).unwrap();
    assert!(actions(&outputs).contains(&Action::Block { peer: peer(9) }));
    node.update(Update::LiftBan { peer: peer(9) }).unwrap();
    assert!(
        !actions(&node.update(Update::Restore(vec![record])).unwrap()).contains(&Action::Block { peer: peer(9) }),
        "this life knows better"
    );
}
