//! Whom the machine connects to and who must leave (P8).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(ip: &str, name: u8) -> String {
    format!("/ip4/{ip}/tcp/4001/p2p/{}", peer(name))
}

fn dial(node: &mut Node, address: String) -> Result<(DialId, CommandId), CommandError> {
    let (command, outputs) = node.command(Command::Dial { address })?;
    Ok((dials(&outputs)[0].0, command))
}

fn unreachable(dial: DialId) -> Input {
    Input::DialFailed { dial, failure: DialFailure::Unreachable }
}

fn dials(outputs: &[Output]) -> Vec<(DialId, String)> {
    let dial = |action| if let Action::Dial { dial, address } = action { Some((dial, address)) } else { None };
    actions(outputs).into_iter().filter_map(dial).collect()
}

fn disconnected(outputs: &[Output]) -> Vec<PeerId> {
    let peer = |action| if let Action::Disconnect { peer } = action { Some(peer) } else { None };
    actions(outputs).into_iter().filter_map(peer).collect()
}

#[test]
fn p8_1_a_dial_is_refused_with_its_reason_and_changes_nothing() {
    let mut node = Node::connected_to(&[1]);
    let refused = |node: &mut Node, address: String| match node.command(Command::Dial { address }) {
        Err(CommandError::Gated(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut node, "/ip4/192.0.2.1/tcp/1".to_owned()), GaterRefusal::NoPeerId);
    assert_eq!(refused(&mut node, at("192.0.2.1", 1)), GaterRefusal::Connected);
    dial(&mut node, at("192.0.2.2", 2)).unwrap();
    assert_eq!(refused(&mut node, at("192.0.2.3", 2)), GaterRefusal::Dialing);
    node.update(Update::BlockPeer { peer: peer(3) }).unwrap();
    assert_eq!(refused(&mut node, at("192.0.2.3", 3)), GaterRefusal::PeerBlocked);
    node.update(Update::BlockAddress { address: [192, 0, 2, 4].into() }).unwrap();
    assert_eq!(refused(&mut node, at("192.0.2.4", 4)), GaterRefusal::AddressBlocked);
    let subnet: Cidr = "198.51.100.0/24".parse().unwrap();
    node.update(Update::BlockSubnet { subnet }).unwrap();
    assert_eq!(refused(&mut node, at("198.51.100.4", 4)), GaterRefusal::SubnetBlocked(subnet));
    let gater = node.core.gater();
    assert_eq!((gater.blocked_peers().count(), gater.blocked_addresses().count(), gater.blocked_subnets().count()), (1, 1, 1));
    node.update(Update::UnblockPeer { peer: peer(3) }).unwrap();
    node.update(Update::UnblockAddress { address: [192, 0, 2, 4].into() }).unwrap();
    node.update(Update::UnblockSubnet { subnet }).unwrap();
    for address in [at("192.0.2.3", 3), at("192.0.2.4", 4)] {
        assert!(dial(&mut node, address).is_ok());
    }
}

#[test]
fn p8_1_an_invalid_subnet_is_an_error_and_a_blocked_one_holds_from_the_start() {
    assert_eq!("10.0.0.1/8".parse::<Cidr>().unwrap_err().key, "blocked_subnets");
    let gater = GaterConfig { blocked_subnets: vec!["203.0.113.0/24".parse().unwrap()], ..GaterConfig::default() };
    let mut node = Node::with(Config { gater, ..Config::new(CHAIN) });
    assert!(matches!(dial(&mut node, at("203.0.113.7", 1)), Err(CommandError::Gated(GaterRefusal::SubnetBlocked(_)))));
}

#[test]
fn p8_1_the_resolved_address_is_asked_about_again_either_way() {
    let mut node = Node::new();
    node.update(Update::BlockSubnet { subnet: "203.0.113.0/24".parse().unwrap() }).unwrap();
    let name = format!("/dns4/example.org/tcp/1/p2p/{}", peer(1));
    let (id, command) = dial(&mut node, name).unwrap();
    let (connection, outputs) = node.link(peer(1), Some("203.0.113.7"), Some(id));
    assert_eq!(actions(&outputs), [Action::CloseConnection { connection }]);
    let refusal = GaterRefusal::SubnetBlocked("203.0.113.0/24".parse().unwrap());
    assert_eq!(outcomes(&outputs), [(command, Outcome::Gated(refusal))]);
    let (connection, outputs) = node.link(peer(2), Some("203.0.113.8"), None);
    assert_eq!(outputs, [Output::Net(Action::CloseConnection { connection })], "nobody hears of it");
    assert_eq!(node.status().peers, 0);
    assert!(node.unlink(peer(2), connection).is_empty());
    assert_eq!(node.core.stats().connections_refused["subnet_blocked"], 2);
}

#[test]
fn p8_1_a_block_closes_what_stands() {
    let mut node = Node::new();
    let (connection, _) = node.link(peer(1), Some("203.0.113.7"), None);
    node.link(peer(2), Some("198.51.100.1"), None);
    let outputs = node.update(Update::BlockSubnet { subnet: "203.0.113.0/24".parse().unwrap() }).unwrap();
    assert_eq!(actions(&outputs), [Action::CloseConnection { connection }]);
    let outputs = node.update(Update::BlockPeer { peer: peer(2) }).unwrap();
    assert_eq!(actions(&outputs), [Action::Block { peer: peer(2) }]);
    let outputs = node.update(Update::BlockPeer { peer: peer(2) }).unwrap();
    assert!(outputs.is_empty(), "once is enough");
}

#[test]
fn p8_1_protected_peers_pass_the_redial_limit() {
    let gater = GaterConfig { redial_limit: Some(1), ..GaterConfig::default() };
    let mut node = Node::with(Config { gater, ..Config::new(CHAIN) });
    let (id, _) = dial(&mut node, at("192.0.2.1", 1)).unwrap();
    node.input(unreachable(id));
    assert!(matches!(dial(&mut node, at("192.0.2.1", 1)), Err(CommandError::Gated(GaterRefusal::Redialed { limit: 1, .. }))));
    node.update(Update::Protect { peer: peer(1) }).unwrap();
    assert!(dial(&mut node, at("192.0.2.1", 1)).is_ok());
    node.update(Update::Unprotect { peer: peer(1) }).unwrap();
    assert_eq!(node.core.gater().protected_peers().count(), 0);
}

#[test]
fn p8_2_no_more_dials_than_the_preset_allows_are_under_way() {
    let mut node = Node::with(Config { connections: ConnectionLimits::TEST, ..Config::new(CHAIN) });
    let first = dial(&mut node, at("192.0.2.1", 1)).unwrap();
    for name in 2..=8 {
        dial(&mut node, at("192.0.2.1", name)).unwrap();
    }
    assert_eq!(dial(&mut node, at("192.0.2.1", 9)), Err(CommandError::TooManyDials { max: 8 }));
    let outputs = node.input(unreachable(first.0));
    assert_eq!(outcomes(&outputs), [(first.1, Outcome::NotConnected(DialFailure::Unreachable))]);
    assert!(dial(&mut node, at("192.0.2.1", 9)).is_ok());
}

#[test]
fn p8_3_one_neighbourhood_cannot_surround_a_node() {
    let mut node = Node::new();
    let links: Vec<_> = (1..=8).map(|name| node.link(peer(name), Some(&format!("203.0.113.{name}")), None).0).collect();
    assert_eq!(node.status().peers, 8);
    let (connection, outputs) = node.link(peer(9), Some("203.0.113.99"), None);
    assert_eq!(actions(&outputs), [Action::CloseConnection { connection }]);
    assert!(actions(&node.link(peer(10), Some("203.0.114.1"), None).1).is_empty(), "next door is free");
    for name in 11..=30 {
        assert!(actions(&node.link(peer(name), Some("127.0.0.1"), None).1).is_empty(), "loopback is exempt");
    }
    node.unlink(peer(1), links[0]);
    assert!(actions(&node.link(peer(9), Some("203.0.113.99"), None).1).is_empty(), "room again");
}

/// Four peers are wanted, two of them by our own dials.
fn small() -> Node {
    let connections = ConnectionLimits { target_peers: 4, reserved_outbound: 2, ..ConnectionLimits::TEST };
    Node::with(Config { connections, ..Config::new(CHAIN) })
}

#[test]
fn p8_4_over_its_share_the_worst_inbound_peer_goes_and_the_newest_among_equals() {
    let mut node = small();
    let (worst, _) = node.link(peer(1), None, None);
    node.link(peer(2), None, None);
    node.gossip(1, Topic::Commitments, &[0u8; 3][..]);
    let (_, outputs) = node.link(peer(3), None, None);
    assert_eq!(disconnected(&outputs), [peer(1)]);
    let (again, outputs) = node.link(peer(1), None, None);
    assert_eq!(actions(&outputs), [Action::CloseConnection { connection: again }], "who was told to leave leaves");
    let (fourth, outputs) = node.link(peer(4), None, None);
    assert_eq!(disconnected(&outputs), [peer(4)], "nobody is told twice, and who was here first stays");
    for (name, connection) in [(1, worst), (1, again), (4, fourth)] {
        node.unlink(peer(name), connection);
    }
    assert_eq!(node.status().peers, 2);
    assert_eq!(node.core.stats().peers_pruned, 2);
}

/// Twelve peers are wanted, four of them by our own dials; eight have come, long ago. Newcomers have two places.
fn settled() -> Node {
    let connections = ConnectionLimits { target_peers: 12, reserved_outbound: 4, ..ConnectionLimits::TEST };
    let mut node = Node::with(Config { connections, ..Config::new(CHAIN) });
    (1..=8).for_each(|name| assert!(disconnected(&node.link(peer(name), None, None).1).is_empty()));
    node.wait(Duration::from_secs(30));
    node
}

#[test]
fn p8_4_a_newcomer_has_time_to_show_itself_and_the_newest_of_the_others_goes_for_it() {
    let mut node = settled();
    assert_eq!(disconnected(&node.link(peer(9), None, None).1), [peer(8)]);
    assert_eq!(disconnected(&node.link(peer(10), None, None).1), [peer(7)]);
    assert_eq!(disconnected(&node.link(peer(11), None, None).1), [peer(11)], "newcomers have two places");
    node.wait(Duration::from_secs(30));
    assert_eq!(disconnected(&node.link(peer(12), None, None).1), [peer(10)], "whose time is over, and who earned nothing");
    assert_eq!(disconnected(&node.link(peer(13), None, None).1), [peer(9)]);
}

#[test]
fn p8_4_a_newcomer_that_does_wrong_is_the_first_to_go() {
    let mut node = settled();
    assert_eq!(disconnected(&node.link(peer(9), None, None).1), [peer(8)]);
    node.gossip(9, Topic::Commitments, &[0u8; 3][..]);
    assert_eq!(disconnected(&node.link(peer(10), None, None).1), [peer(9)]);
}

#[test]
fn p8_4_slots_are_kept_for_our_own_dials() {
    let mut node = small();
    for name in [1, 2] {
        assert!(disconnected(&node.link(peer(name), None, None).1).is_empty());
    }
    for name in [3, 4] {
        let (id, _) = dial(&mut node, at("192.0.2.1", name)).unwrap();
        assert!(disconnected(&node.link(peer(name), None, Some(id)).1).is_empty());
    }
    let (id, _) = dial(&mut node, at("192.0.2.1", 5)).unwrap();
    assert_eq!(disconnected(&node.link(peer(5), None, Some(id)).1), [peer(2)], "a fifth peer, and an inbound one goes");
}

#[test]
fn p8_4_a_peer_whose_outbound_connection_closes_counts_as_inbound() {
    let mut node = small();
    let (id, _) = dial(&mut node, at("192.0.2.1", 3)).unwrap();
    let (ours, _) = node.link(peer(3), None, Some(id));
    for name in [3, 1, 2] {
        assert!(disconnected(&node.link(peer(name), None, None).1).is_empty());
    }
    assert_eq!(disconnected(&node.unlink(peer(3), ours)), [peer(2)], "three came to us, and there is room for two");
}

#[test]
fn p8_4_protected_peers_never_leave_for_others() {
    let mut node = small();
    node.update(Update::Trust { peer: peer(1) }).unwrap();
    node.update(Update::Protect { peer: peer(2) }).unwrap();
    for name in [1, 2, 3] {
        node.link(peer(name), None, None);
    }
    let (_, outputs) = node.link(peer(4), None, None);
    assert_eq!(disconnected(&outputs), [peer(4)]);
    node.update(Update::Unprotect { peer: peer(2) }).unwrap();
    node.update(Update::Unprotect { peer: peer(1) }).unwrap();
    let (_, outputs) = node.link(peer(5), None, None);
    assert_eq!(disconnected(&outputs), [peer(5)]);
    assert!(node.core.gater().is_protected(peer(1)) && !node.core.gater().is_protected(peer(2)), "trust protects");
}

fn with_static(addresses: &[String]) -> Node {
    Node::with(Config { static_peers: addresses.to_vec(), ..Config::new(CHAIN) })
}

#[test]
fn p8_5_a_static_peer_is_redialed_for_ever_with_growing_pauses() {
    let mut node = with_static(&[at("192.0.2.1", 1)]);
    let mut pauses = Vec::new();
    let mut asked = node.now.mono;
    for _ in 0..40 {
        let tries = loop {
            let (due, _) = node.core.poll_timeout().expect("a static peer is never given up");
            let tries = dials(&node.wait(due.since(node.now.mono)));
            if !tries.is_empty() {
                break tries;
            }
        };
        assert_eq!(tries[0].1, at("192.0.2.1", 1));
        pauses.push(node.now.mono.since(asked));
        asked = node.now.mono;
        node.input(unreachable(tries[0].0));
    }
    assert_eq!(pauses[0], Duration::ZERO, "the first at once");
    assert!(pauses[1..].iter().all(|pause| (SECOND..=300 * SECOND).contains(pause)), "{pauses:?}");
    assert!(pauses[10..].iter().all(|pause| *pause >= 150 * SECOND), "{pauses:?}");
}

#[test]
fn p8_5_a_static_peer_that_leaves_is_dialed_again_and_one_that_hangs_up_at_once_ever_more_slowly() {
    let mut node = with_static(&[at("192.0.2.1", 1), format!("/dns4/example.org/tcp/1/p2p/{}", peer(1))]);
    let mut pause = |stays: Duration, limit: Duration| {
        let before = node.now.mono;
        let tries = dials(&node.wait(limit));
        assert_eq!(tries.len(), 1, "within {limit:?} of {before:?}");
        let (connection, _) = node.link(peer(1), Some("192.0.2.1"), Some(tries[0].0));
        assert!(dials(&node.wait(stays)).is_empty(), "it is connected");
        node.unlink(peer(1), connection);
        tries[0].1.clone()
    };
    assert_eq!(pause(90 * SECOND, SECOND), at("192.0.2.1", 1));
    assert!(pause(SECOND, 2 * SECOND).starts_with("/dns4/"), "its addresses take turns");
    pause(SECOND, 4 * SECOND);
    pause(90 * SECOND, 8 * SECOND);
    pause(SECOND, 2 * SECOND);
    assert!(node.core.gater().is_protected(peer(1)));
}

#[test]
fn p8_5_a_static_peer_that_the_gate_refuses_for_now_is_tried_again() {
    let mut node = with_static(&[at("192.0.2.1", 1)]);
    node.update(Update::BlockPeer { peer: peer(1) }).unwrap();
    assert!(dials(&node.wait(60 * SECOND)).is_empty());
    node.update(Update::UnblockPeer { peer: peer(1) }).unwrap();
    assert_eq!(dials(&node.wait(300 * SECOND)).len(), 1);
}

#[test]
fn p8_5_a_static_peer_without_an_id_stops_the_start() {
    let config = Config { static_peers: vec!["/ip4/192.0.2.1/tcp/1".to_owned()], ..Config::new(CHAIN) };
    let error = config.check().unwrap_err();
    assert_eq!((error.key, error.value.as_str()), ("static_peers", "/ip4/192.0.2.1/tcp/1"));
}

#[test]
fn p8_5_a_dial_that_our_own_side_refuses_makes_no_pause_longer() {
    let mut node = with_static(&[at("192.0.2.1", 1)]);
    for _ in 0..20 {
        let before = node.now.mono;
        let tries = loop {
            let (due, _) = node.core.poll_timeout().expect("a static peer is never given up");
            let tries = dials(&node.wait(due.since(node.now.mono)));
            if !tries.is_empty() {
                break tries;
            }
        };
        assert!(node.now.mono.since(before) <= 2 * SECOND);
        node.input(Input::DialFailed { dial: tries[0].0, failure: DialFailure::Denied });
    }
}

#[test]
fn p8_1_a_dial_that_our_own_side_refuses_does_not_count_for_the_redial_limit() {
    let gater = GaterConfig { redial_limit: Some(1), ..GaterConfig::default() };
    let mut node = Node::with(Config { gater, ..Config::new(CHAIN) });
    for failure in [DialFailure::Denied, DialFailure::Denied, DialFailure::Undialable] {
        let (id, command) = dial(&mut node, at("192.0.2.1", 1)).unwrap();
        assert_eq!(outcomes(&node.input(Input::DialFailed { dial: id, failure })), [(command, Outcome::NotConnected(failure))]);
    }
    assert!(matches!(dial(&mut node, at("192.0.2.1", 1)), Err(CommandError::Gated(GaterRefusal::Redialed { limit: 1, .. }))));
}

#[test]
fn p7_1_a_remembered_peer_that_cannot_be_reached_is_charged_unless_the_lack_is_ours() {
    let rows = [
        (DialFailure::Unreachable, Some(-1_562_500)),
        (DialFailure::WrongPeer, Some(-1_562_500)),
        (DialFailure::Undialable, None),
        (DialFailure::Denied, None),
    ];
    for (failure, charged) in rows {
        let mut node = Node::new();
        let (connection, _) = node.link(peer(1), None, None);
        node.unlink(peer(1), connection);
        for name in [1, 2] {
            let (id, _) = dial(&mut node, at("192.0.2.1", name)).unwrap();
            node.input(Input::DialFailed { dial: id, failure });
        }
        let last = |name| node.core.explain(node.now, peer(name)).last().map(|change| (change.rule, change.score));
        assert_eq!(last(1), charged.map(|score| ("P7.1", score)), "{failure:?}");
        assert_eq!(last(2), None, "a stranger is not remembered for being away");
    }
}

fn closed(outputs: &[Output]) -> Vec<ConnectionId> {
    let close = |action| if let Action::CloseConnection { connection } = action { Some(connection) } else { None };
    actions(outputs).into_iter().filter_map(close).collect()
}

#[test]
fn p8_5a_a_peer_that_comes_again_keeps_its_newest_connection() {
    let mut node = Node::new();
    let (old, _) = node.link(peer(1), None, None);
    node.wait(Duration::from_secs(5));
    let (new, outputs) = node.link(peer(1), None, None);
    assert_eq!(closed(&outputs), [], "what is asked over the old one has its time");
    assert!(matches!(node.core.poll_timeout(), Some((at, _)) if at <= node.now.mono.after(Duration::from_secs(10))));
    assert_eq!(closed(&node.wait(Duration::from_secs(9))), []);
    assert_eq!(closed(&node.wait(SECOND)), [old]);
    node.unlink(peer(1), old);
    assert_eq!(closed(&node.wait(Duration::from_secs(60))), [], "the newest stays");
    assert_eq!(node.status().peers, 1);
    node.unlink(peer(1), new);
}

#[test]
fn p8_5a_two_ends_that_dial_each_other_at_one_time_lose_neither_connection() {
    for per_peer in [2, 4] {
        let mut node = Node::with(config_with(per_peer));
        let (id, _) = dial(&mut node, at("192.0.2.1", 1)).unwrap();
        node.link(peer(1), Some("192.0.2.1"), None);
        node.wait(Duration::from_secs(4));
        let (_, outputs) = node.link(peer(1), Some("192.0.2.1"), Some(id));
        assert_eq!(closed(&outputs), [], "the other end may choose the other one, and none would be left");
        assert_eq!(closed(&node.wait(Duration::from_secs(60))), []);
    }
}

#[test]
fn p8_5a_a_peer_that_dials_twice_within_seconds_has_come_again() {
    let mut node = Node::with(config_with(4));
    let (old, _) = node.link(peer(1), None, None);
    node.wait(SECOND);
    node.link(peer(1), None, None);
    assert_eq!(closed(&node.wait(Duration::from_secs(10))), [old]);
}

#[test]
fn p8_5a_the_newest_is_never_refused_for_an_older_one_and_the_last_is_never_closed() {
    let mut node = Node::with(config_with(3));
    let (first, _) = node.link(peer(1), None, None);
    let (second, outputs) = node.link(peer(1), None, None);
    assert_eq!(closed(&outputs), [], "there is room for a third");
    let (third, outputs) = node.link(peer(1), None, None);
    assert_eq!(closed(&outputs), [first], "and now for the next");
    node.unlink(peer(1), first);
    node.wait(Duration::from_secs(5));
    node.link(peer(1), None, None);
    node.unlink(peer(1), second);
    let (fifth, _) = node.link(peer(1), None, None);
    node.unlink(peer(1), fifth);
    node.unlink(peer(1), third);
    assert_eq!(closed(&node.wait(Duration::from_secs(60))), [], "one is left, whatever it had to make room for");
    assert_eq!(node.status().peers, 1);
}

#[test]
fn p8_5a_a_peer_that_came_again_and_does_not_greet_is_disconnected_so_that_both_greet_anew() {
    // It never went away: its gossip greets on a first connection only, and ours has forgotten what it said on that.
    for greets in [false, true] {
        let mut node = Node::connected_to(&[1]);
        node.wait(Duration::from_secs(6));
        node.link(peer(1), None, None);
        if greets {
            node.input(Input::PeerSubscribed { peer: peer(1), topic: Topic::Commitments });
        }
        assert_eq!(disconnected(&node.wait(Duration::from_secs(5))).is_empty(), greets);
    }
}

#[test]
fn p8_5a_what_ends_with_a_connection_that_we_close_is_no_fault_of_the_peers() {
    let mut node = Node::connected_to(&[1]);
    node.wait(Duration::from_secs(6));
    node.link(peer(1), None, None);
    node.input(Input::PeerSubscribed { peer: peer(1), topic: Topic::Commitments });
    node.wait(Duration::from_secs(9));
    let (_, outputs) = node.command(Command::GetHead { peer: Some(peer(1)) }).unwrap();
    let request = requests(&outputs)[0].0;
    assert_eq!(closed(&node.wait(SECOND)).len(), 1);
    let score = |node: &Node| node.core.peers(node.now)[0].score;
    let before = score(&node);
    node.input(Input::RequestFailed { request, failure: RequestFailure::Closed });
    assert_eq!(score(&node), before);
}

#[test]
fn p8_5a_a_replacement_takes_no_new_place_in_its_neighbourhood() {
    let mut node = Node::new();
    for name in 1..=8 {
        node.link(peer(name), Some(&format!("45.0.0.{name}")), None);
    }
    node.wait(Duration::from_secs(6));
    let (ninth, outputs) = node.link(peer(9), Some("45.0.0.9"), None);
    assert_eq!(closed(&outputs), [ninth], "P8.3: it is full");
    let (_, outputs) = node.link(peer(1), Some("45.0.0.200"), None);
    assert_eq!(closed(&outputs), [], "and this one has its place there");
}

fn config_with(per_peer: u32) -> Config {
    let mut config = Config::new(CHAIN);
    config.connections.per_peer = per_peer;
    config
}
