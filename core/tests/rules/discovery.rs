//! When the machine looks for others, whom it takes, and whom it dials (P8.2, P8.6 to P8.9).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::*;
use preconf_core::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const EVERYTHING: Spoken = Spoken { get_head: true, get_commitments: true, get_txlist: true, gossip: true };

fn config(discovery: DiscoveryConfig) -> Config {
    Config { discovery: Some(discovery), ..Config::new(CHAIN) }
}

fn searching() -> Node {
    Node::with(config(DiscoveryConfig::PROD))
}

/// The peer with this number.
fn stranger(number: u32) -> PeerId {
    let [a, b, c, d] = number.to_be_bytes();
    PeerId::from_bytes(&[0, 4, a, b, c, d]).unwrap()
}

/// A record of our chain, each in a neighbourhood of its own.
fn record(number: u32) -> NodeRecord {
    let [_, a, b, c] = number.to_be_bytes();
    NodeRecord {
        peer: stranger(number),
        sequence: 1,
        chain: ChainLabel::Chain(CHAIN),
        addresses: vec![format!("/ip4/{}.{b}.{c}.1/tcp/4001", 11 + a)],
        text: String::new(),
    }
}

fn found(node: &mut Node, record: NodeRecord) {
    assert_eq!(node.input(Input::RecordFound { record: Box::new(record) }), [], "it is dialed when its turn comes");
}

fn lookups(outputs: &[Output]) -> Vec<LookupId> {
    let lookup = |action| if let Action::LookUp { lookup } = action { Some(lookup) } else { None };
    actions(outputs).into_iter().filter_map(lookup).collect()
}

fn dials(outputs: &[Output]) -> Vec<(DialId, PeerId, String)> {
    let dial = |action| match action {
        Action::Dial { dial, address } => {
            let (place, peer) = address.rsplit_once("/p2p/").unwrap();
            Some((dial, peer.parse().unwrap(), place.to_owned()))
        }
        _ => None,
    };
    actions(outputs).into_iter().filter_map(dial).collect()
}

/// Waits for the next look-up, ends it at once, and tells how long it took to come.
fn next_lookup(node: &mut Node) -> Duration {
    let before = node.now.mono;
    let (due, timer) = node.core.poll_timeout().expect("a look-up is planned");
    assert_eq!(timer, Timer::LookUp);
    let begun = lookups(&node.wait(due.since(before)));
    let [lookup] = begun[..] else { panic!("{begun:?}") };
    node.input(Input::LookupFinished { lookup, succeeded: true });
    node.now.mono.since(before)
}

fn identify(node: &mut Node, peer: PeerId, spoken: Spoken) -> Vec<Output> {
    node.input(Input::PeerIdentified { peer, spoken })
}

#[test]
fn p8_2_production_looks_every_5_s_200_times_and_then_every_20_s() {
    let mut node = searching();
    node.link(peer(1), None, None);
    assert_eq!(next_lookup(&mut node), Duration::ZERO, "the first at once");
    for count in 2..=200 {
        assert_eq!(next_lookup(&mut node), 5 * SECOND, "look-up {count}");
    }
    for _ in 0..10 {
        assert_eq!(next_lookup(&mut node), 20 * SECOND);
    }
    assert_eq!((node.core.stats().discovery.lookups, node.core.stats().discovery.lookups_failed), (210, 0));
}

#[test]
fn p8_6_a_node_without_any_peer_looks_as_eagerly_as_a_young_one() {
    let mut node = searching();
    let (connection, _) = node.link(peer(1), None, None);
    for _ in 0..=200 {
        next_lookup(&mut node);
    }
    assert_eq!(next_lookup(&mut node), 20 * SECOND);
    node.unlink(peer(1), connection);
    assert_eq!(next_lookup(&mut node), 5 * SECOND);
}

#[test]
fn p8_6_one_look_up_at_a_time_and_one_that_never_ends_is_given_up() {
    let mut node = searching();
    let first = lookups(&node.wait(Duration::ZERO));
    assert_eq!(first.len(), 1);
    assert!(lookups(&node.wait(59 * SECOND)).is_empty(), "the first is still under way");
    let second = lookups(&node.wait(2 * SECOND));
    assert_eq!(second.len(), 1);
    assert_eq!(node.core.stats().discovery.lookups_failed, 1);
    assert!(node.input(Input::LookupFinished { lookup: first[0], succeeded: true }).is_empty());
    assert!(lookups(&node.wait(30 * SECOND)).is_empty(), "the end of a look-up that was given up ends no other");
    node.input(Input::LookupFinished { lookup: second[0], succeeded: false });
    assert_eq!(lookups(&node.wait(SECOND)).len(), 1, "it took longer than the pause");
    assert_eq!(node.core.stats().discovery.lookups_failed, 2);
}

#[test]
fn p8_6_nobody_is_looked_for_while_there_are_peers_enough() {
    let connections = ConnectionLimits { target_peers: 2, reserved_outbound: 0, ..ConnectionLimits::TEST };
    let mut node = Node::with(Config { connections, ..config(DiscoveryConfig::PROD) });
    let (connection, _) = node.link(peer(1), None, None);
    next_lookup(&mut node);
    node.link(peer(2), None, None);
    assert!(lookups(&node.wait(HOUR)).is_empty());
    found(&mut node, record(1));
    assert!(dials(&node.wait(HOUR)).is_empty(), "nor is anybody dialed");
    node.unlink(peer(1), connection);
    let outputs = node.wait(SECOND);
    assert_eq!((lookups(&outputs).len(), dials(&outputs).len()), (1, 1), "one has left");
}

#[test]
fn a_node_without_discovery_neither_looks_nor_takes_records() {
    let mut node = Node::new();
    found(&mut node, record(1));
    assert!(actions(&node.wait(HOUR)).is_empty());
    assert_eq!(node.core.stats().discovery, DiscoveryStats::default());
}

#[test]
fn p8_7_a_record_of_another_chain_is_never_dialed() {
    let mut node = searching();
    for (number, chain) in [(1, ChainLabel::Chain(ChainId(1))), (2, ChainLabel::Unreadable), (3, ChainLabel::Missing)] {
        found(&mut node, NodeRecord { chain, ..record(number) });
    }
    found(&mut node, NodeRecord { addresses: vec!["/ip4/0.0.0.0/tcp/1".to_owned()], ..record(4) });
    let dialed = dials(&node.wait(SECOND));
    assert_eq!(dialed.iter().map(|(_, peer, _)| *peer).collect::<Vec<_>>(), [stranger(3)], "an older node writes no label");
    let counts = node.core.stats().discovery;
    assert_eq!((counts.found, counts.wrong_chain, counts.unlabelled, counts.no_address, counts.dialed), (4, 2, 0, 1, 1));
    let mut strict = Node::with(config(DiscoveryConfig { accept_unlabelled: false, ..DiscoveryConfig::PROD }));
    found(&mut strict, NodeRecord { chain: ChainLabel::Missing, ..record(3) });
    assert!(dials(&strict.wait(HOUR)).is_empty());
    assert_eq!(strict.core.stats().discovery.unlabelled, 1);
}

#[test]
fn p2_5_an_unlabelled_node_that_speaks_nothing_of_ours_is_dropped_and_left_alone() {
    let mut node = searching();
    found(&mut node, NodeRecord { chain: ChainLabel::Missing, ..record(1) });
    let (dial, peer, _) = dials(&node.wait(SECOND)).remove(0);
    let (connection, _) = node.link(peer, Some("11.0.0.1"), Some(dial));
    identify(&mut node, peer, Spoken { gossip: true, ..Spoken::default() });
    assert!(actions(&node.wait(10 * SECOND)).contains(&Action::Disconnect { peer }));
    node.unlink(peer, connection);
    for _ in 0..30 {
        found(&mut node, NodeRecord { chain: ChainLabel::Missing, ..record(1) });
        assert!(dials(&node.wait(60 * SECOND)).is_empty(), "half an hour of look-ups that name it again");
    }
    let counts = node.core.stats().discovery;
    assert_eq!((counts.dialed, counts.connected, counts.useless), (1, 1, 1));
    assert_eq!(node.score(1), 0, "it is at no fault");
}

#[test]
fn p8_8_a_flood_of_100_000_records_costs_bounded_memory_and_no_more_dials_than_the_budget() {
    let mut node = searching();
    let bound = memory_bound(&config(DiscoveryConfig::PROD));
    let mut under_way = BTreeSet::new();
    for number in 0..100_000 {
        let long = NodeRecord { text: "x".repeat(404), addresses: vec![record(number).addresses.remove(0); 4], ..record(number) };
        found(&mut node, long);
        if number % 100 == 0 {
            // A second passes, and some of the dials under way fail.
            let begun = dials(&node.wait(SECOND));
            under_way.extend(begun.into_iter().map(|(dial, ..)| dial));
            assert!(under_way.len() <= 30, "three quarters of the 40 that may be under way");
            if number % 300 == 0
                && let Some(dial) = under_way.pop_first()
            {
                node.input(Input::DialFailed { dial, failure: DialFailure::Unreachable });
            }
            let turns = node.now.mono.0 / 1_000_000 + 1;
            assert!(node.core.stats().discovery.dialed <= turns * 8, "8 each second");
            assert!(node.core.memory_bytes() <= bound, "{} of {bound}", node.core.memory_bytes());
        }
    }
    let counts = node.core.stats().discovery;
    assert_eq!((counts.found, counts.candidates), (100_000, 1024));
    assert!(counts.dialed > 300, "{}", counts.dialed);
    assert!(counts.no_room > 97_000, "the newest lose, but for those that failed or grew old: {}", counts.no_room);
}

#[test]
fn p8_8_a_flood_does_not_wash_out_who_came_before_it() {
    let mut node = searching();
    let ours: Vec<_> = (0..100).map(record).collect();
    for record in &ours {
        found(&mut node, record.clone());
    }
    for number in 1_000..10_000 {
        found(&mut node, record(number));
    }
    let wanted: BTreeSet<_> = ours.iter().map(|record| record.peer).collect();
    let mut dialed = BTreeSet::new();
    for _ in 0..1_000 {
        for (dial, peer, _) in dials(&node.wait(SECOND)) {
            dialed.insert(peer);
            node.input(Input::DialFailed { dial, failure: DialFailure::Unreachable });
        }
    }
    assert!(wanted.is_subset(&dialed));
}

#[test]
fn p8_8_one_neighbourhood_is_no_more_candidates_than_it_may_have_connections() {
    let mut node = searching();
    for host in 1..=100 {
        found(&mut node, NodeRecord { addresses: vec![format!("/ip4/203.0.113.{host}/tcp/1")], ..record(host) });
    }
    assert_eq!(node.core.stats().discovery.candidates, 8);
    for _ in 0..3 {
        for (dial, ..) in dials(&node.wait(SECOND)) {
            node.input(Input::DialFailed { dial, failure: DialFailure::Unreachable });
        }
    }
    found(&mut node, NodeRecord { addresses: vec!["/ip4/203.0.113.200/tcp/1".to_owned()], ..record(200) });
    assert_eq!(node.core.stats().discovery.candidates, 8);
    assert_eq!(dials(&node.wait(SECOND)).first().map(|(_, peer, _)| *peer), Some(stranger(200)), "who failed gave way");
}

#[test]
fn p8_8_new_neighbourhoods_come_first_and_who_failed_comes_last() {
    let mut node = searching();
    node.link(peer(1), Some("203.0.113.1"), None);
    let near = |host: u32| NodeRecord { addresses: vec![format!("/ip4/203.0.113.{host}/tcp/1")], ..record(host) };
    (2..=5).for_each(|host| found(&mut node, near(host)));
    (1_000..1_006).for_each(|number| found(&mut node, record(number)));
    let first = dials(&node.wait(Duration::ZERO));
    let (far, beside): (Vec<_>, Vec<_>) = first.iter().partition(|(_, _, place)| !place.starts_with("/ip4/203.0.113."));
    assert_eq!((far.len(), beside.len()), (6, 2));
    assert!(first[..6].iter().all(|(_, _, place)| !place.starts_with("/ip4/203.0.113.")), "{first:?}");
    for (dial, ..) in &first {
        node.input(Input::DialFailed { dial: *dial, failure: DialFailure::Unreachable });
    }
    let second = dials(&node.wait(SECOND));
    assert_eq!(second.len(), 2, "the two that were not tried yet; the others rest");
    assert!(second.iter().all(|(_, peer, _)| !first.iter().any(|(_, tried, _)| tried == peer)));
}

#[test]
fn p8_8_who_is_not_reached_is_tried_again_with_growing_pauses_at_each_address_and_then_forgotten() {
    let mut node = searching();
    let addresses = vec!["/ip4/203.0.113.1/tcp/1".to_owned(), "/ip4/203.0.113.1/udp/1/quic-v1".to_owned()];
    found(&mut node, NodeRecord { addresses: addresses.clone(), ..record(1) });
    let (mut tries, mut at) = (Vec::new(), Vec::new());
    while node.now.mono < Time::ZERO.after(24 * HOUR) {
        let before = node.now.mono;
        for (dial, _, place) in dials(&node.wait(SECOND)) {
            tries.push(place);
            at.push(before);
            node.input(Input::DialFailed { dial, failure: DialFailure::Unreachable });
        }
    }
    assert_eq!(tries.len(), 8, "{tries:?}");
    assert_eq!(tries[..2], addresses);
    let pauses: Vec<_> = at.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    for (pause, floor) in pauses.iter().zip([30, 60, 120, 240, 480, 960, 1920]) {
        assert!((floor..=floor * 3 / 2 + 2).contains(pause), "{pauses:?}");
    }
    assert_eq!(node.core.stats().discovery.candidates, 0);
}

#[test]
fn p8_8_a_newer_record_replaces_an_older_one_and_never_the_other_way_round() {
    let mut node = searching();
    let at = |place: &str, sequence| NodeRecord { sequence, addresses: vec![place.to_owned()], ..record(1) };
    found(&mut node, at("/ip4/203.0.113.1/tcp/1", 5));
    found(&mut node, at("/ip4/203.0.113.2/tcp/1", 6));
    found(&mut node, at("/ip4/203.0.113.3/tcp/1", 4));
    let places: Vec<_> = dials(&node.wait(SECOND)).into_iter().map(|(_, _, place)| place).collect();
    assert_eq!(places, ["/ip4/203.0.113.2/tcp/1"]);
    assert_eq!(node.core.stats().discovery.candidates, 1);
}

#[test]
fn p8_8_who_is_connected_is_not_dialed_and_who_left_is_dialed_again_after_a_rest() {
    let mut node = searching();
    let (connection, _) = node.link(stranger(1), None, None);
    found(&mut node, record(1));
    assert!(dials(&node.wait(HOUR)).is_empty());
    node.unlink(stranger(1), connection);
    assert!(dials(&node.wait(SECOND)).is_empty());
    assert_eq!(dials(&node.wait(50 * SECOND)).len(), 1);
}

#[test]
fn p8_8_an_outbound_place_that_a_second_connection_leaves_is_taken_at_once() {
    let connections = ConnectionLimits { established_out: 1, reserved_outbound: 1, ..ConnectionLimits::TEST };
    let mut node = Node::with(Config { connections, ..config(DiscoveryConfig::PROD) });
    found(&mut node, record(1));
    let [(dial, first, _)] = &dials(&node.wait(Duration::ZERO))[..] else { panic!("one is dialed") };
    let (ours, _) = node.link(*first, None, Some(*dial));
    node.link(*first, None, None);
    found(&mut node, record(2));
    assert!(dials(&node.wait(4 * SECOND)).is_empty(), "the only outbound place is taken");
    node.unlink(*first, ours);
    assert_eq!(dials(&node.wait(Duration::ZERO)).len(), 1, "the peer stays, as one that came to us");
}

#[test]
fn p8_8_an_address_that_cannot_be_dialed_from_here_says_nothing_against_its_node() {
    let mut node = searching();
    found(&mut node, record(1));
    for _ in 0..20 {
        let (dial, ..) = dials(&node.wait(50 * SECOND)).remove(0);
        node.input(Input::DialFailed { dial, failure: DialFailure::Undialable });
    }
    assert_eq!(node.core.stats().discovery.candidates, 1, "nobody has failed");
}

#[test]
fn p8_8_a_newer_record_that_finds_no_room_costs_a_node_nothing() {
    let mut node = searching();
    let near = |host: u32| NodeRecord { addresses: vec![format!("/ip4/203.0.113.{host}/tcp/1")], ..record(host) };
    (1..=8).for_each(|host| found(&mut node, near(host)));
    found(&mut node, record(1_000));
    found(&mut node, NodeRecord { sequence: 2, addresses: near(9).addresses, ..record(1_000) });
    assert_eq!(node.core.stats().discovery.candidates, 9);
    let places: Vec<_> = (0..2).flat_map(|_| dials(&node.wait(SECOND))).map(|(_, _, place)| place).collect();
    assert!(places.contains(&record(1_000).addresses[0]), "{places:?}");
}

#[test]
fn p8_8_the_dead_who_were_of_use_once_keep_no_neighbourhood_shut() {
    let place = |host: u32| vec![format!("/ip4/203.0.113.{host}/tcp/1")];
    let known = |host: u32| KnownNode {
        record: NodeRecord { addresses: place(host), text: format!("enr:-{host}"), ..record(host) },
        last_success: UnixTime::from_secs(START),
    };
    let mut node = searching();
    node.update(Update::Restore((1..=8).map(|host| Record::Known(Box::new(known(host)))).collect())).unwrap();
    for _ in 0..300 {
        for (dial, ..) in dials(&node.wait(60 * SECOND)) {
            node.input(Input::DialFailed { dial, failure: DialFailure::Unreachable });
        }
    }
    found(&mut node, record(1_000)); // somebody fresh elsewhere
    found(&mut node, NodeRecord { addresses: place(100), ..record(100) });
    assert_eq!(node.core.stats().discovery.no_room, 0);
    assert_eq!(node.core.stats().discovery.candidates, 9, "one of the dead gave way");
}

#[test]
fn p8_8_a_blocked_node_is_not_dialed_and_costs_no_dial() {
    let mut node = searching();
    node.update(Update::BlockPeer { peer: stranger(1) }).unwrap();
    found(&mut node, record(1));
    found(&mut node, record(2));
    let dialed = dials(&node.wait(SECOND));
    assert_eq!(dialed.iter().map(|(_, peer, _)| *peer).collect::<Vec<_>>(), [stranger(2)]);
    assert_eq!(node.core.stats().discovery.dialed, 1);
}

/// A node that found one of use, and what it had stored.
fn one_of_use() -> (Node, Vec<Record>) {
    let mut node = searching();
    found(&mut node, NodeRecord { text: "enr:-the-record".to_owned(), ..record(1) });
    let (dial, peer, _) = dials(&node.wait(SECOND)).remove(0);
    node.link(peer, Some("11.0.0.1"), Some(dial));
    let kept = records(&identify(&mut node, peer, EVERYTHING));
    (node, kept)
}

#[test]
fn p8_9_a_node_that_speaks_our_protocols_is_kept_once_in_a_while() {
    let (mut node, kept) = one_of_use();
    let known =
        KnownNode { record: NodeRecord { text: "enr:-the-record".to_owned(), ..record(1) }, last_success: UnixTime::from_secs(START + 2) };
    assert_eq!(kept, [Record::Known(Box::new(known))]);
    assert!(records(&identify(&mut node, stranger(1), EVERYTHING)).is_empty(), "that was just said");
    assert_eq!(node.core.stats().discovery.connected, 1);
}

#[test]
fn p8_9_who_was_connected_for_days_is_not_forgotten_when_the_connection_breaks() {
    let mut node = searching();
    let (connection, _) = node.link(stranger(1), None, None);
    found(&mut node, record(1));
    node.wait(30 * HOUR);
    node.unlink(stranger(1), connection);
    assert_eq!(dials(&node.wait(60 * SECOND)).len(), 1);
}

#[test]
fn p8_9_a_restarted_node_finds_back_without_a_bootnode() {
    let (_, kept) = one_of_use();
    let mut node = searching();
    found(&mut node, record(2));
    let outputs = node.update(Update::Restore(kept)).unwrap();
    assert_eq!(actions(&outputs), [Action::Introduce { record: "enr:-the-record".to_owned() }]);
    let dialed = dials(&node.wait(Duration::ZERO));
    assert_eq!(dialed.iter().map(|(_, peer, _)| *peer).collect::<Vec<_>>(), [stranger(1), stranger(2)], "the proven one first");
}

#[test]
fn p8_9_what_was_known_long_ago_or_of_another_chain_is_not_taken_back() {
    let (_, kept) = one_of_use();
    let Record::Known(known) = &kept[0] else { panic!("{kept:?}") };
    let month_ago = KnownNode { last_success: UnixTime::from_secs(START - 31 * 86_400), ..(**known).clone() };
    let elsewhere = KnownNode { record: NodeRecord { chain: ChainLabel::Chain(ChainId(1)), ..record(2) }, ..(**known).clone() };
    let mut node = searching();
    let records = [month_ago, elsewhere].map(|known| Record::Known(Box::new(known))).to_vec();
    node.update(Update::Restore(records)).unwrap();
    assert!(dials(&node.wait(HOUR)).is_empty());
}

/// A node that wants four peers and has dialed them all: strangers 1 to 4, each in a neighbourhood of its own.
fn full() -> (Node, Vec<ConnectionId>) {
    let connections = ConnectionLimits { target_peers: 4, reserved_outbound: 2, ..ConnectionLimits::TEST };
    let mut node = Node::with(Config { connections, ..config(DiscoveryConfig::PROD) });
    (1..=4).for_each(|number| found(&mut node, record(number)));
    let begun = dials(&node.wait(Duration::ZERO));
    let mut links: Vec<_> = begun.into_iter().map(|(dial, peer, _)| (peer, node.link(peer, None, Some(dial)).0)).collect();
    links.sort_unstable();
    assert_eq!(links.len(), 4);
    (node, links.into_iter().map(|(_, connection)| connection).collect())
}

fn sent_away(outputs: &[Output]) -> Vec<PeerId> {
    let away = |action| if let Action::Disconnect { peer } = action { Some(peer) } else { None };
    actions(outputs).into_iter().filter_map(away).collect()
}

#[test]
fn p8_10_a_full_node_gives_up_a_peer_each_minute_and_then_looks_for_others() {
    let (mut node, links) = full();
    let quiet = node.wait(59 * SECOND);
    assert_eq!(sent_away(&quiet), []);
    let outputs = node.wait(SECOND);
    let [gone] = sent_away(&outputs)[..] else { panic!("{outputs:?}") };
    let index = (1..=4).position(|number| stranger(number) == gone).expect("one of ours");
    let more = node.unlink(gone, links[index]);
    let outputs = [more, node.wait(SECOND)].concat();
    assert!(dials(&outputs).is_empty(), "who had to go is not called back at once");
    found(&mut node, record(5));
    let begun = dials(&node.wait(SECOND));
    assert_eq!(begun.iter().map(|(_, peer, _)| *peer).collect::<Vec<_>>(), [stranger(5)], "its place is somebody else's");
    assert_eq!(node.core.stats().discovery.exchanged, 1);
}

#[test]
fn p8_10_who_proved_its_worth_stays_and_of_the_others_the_longest_here_goes() {
    let (mut node, links) = full();
    // A message that no rule allows lowers strangers 3 and 4 below the others.
    for name in [4, 3] {
        let data = Bytes::from_static(&[0; 3]);
        node.input(Input::GossipReceived { peer: stranger(name), message: MessageId([name as u8; 20]), topic: Topic::Commitments, data });
    }
    let gone = sent_away(&node.wait(60 * SECOND));
    let first = if links[2] < links[3] { 3 } else { 4 }; // connections are numbered as they come
    assert_eq!(gone, [stranger(first)]);
}

#[test]
fn p8_10_of_many_one_goes_each_minute_too_though_most_were_not_found() {
    let connections = ConnectionLimits { target_peers: 150, reserved_outbound: 50, ..ConnectionLimits::PROD };
    let mut node = Node::with(Config { connections, ..config(DiscoveryConfig::PROD) });
    (1..=100).for_each(|number| drop(node.link(stranger(number), None, None)));
    (101..=150).for_each(|number| found(&mut node, record(number)));
    let mut links = Vec::new();
    while links.len() < 50 {
        for (dial, peer, _) in dials(&node.wait(SECOND)) {
            links.push((peer, node.link(peer, None, Some(dial)).0));
        }
    }
    // Ten have done nothing wrong: fewer than the better half of any sample.
    let wrong = links.split_off(10);
    for (number, (peer, _)) in wrong.iter().enumerate() {
        let (message, data) = (MessageId([number as u8; 20]), Bytes::from_static(&[0; 3]));
        node.input(Input::GossipReceived { peer: *peer, message, topic: Topic::Commitments, data });
    }
    let [gone] = sent_away(&node.wait(60 * SECOND))[..] else { panic!("one goes") };
    assert!(wrong.iter().any(|(peer, _)| *peer == gone), "{gone}");
}

#[test]
fn p8_10_whoever_does_nothing_keeps_no_place_however_early_it_came() {
    let (mut node, mut links) = full();
    let mut gone = Vec::new();
    // Nobody earns anything, and each who had to go is back before the next one goes.
    for _ in 0..4 {
        let [peer] = sent_away(&node.wait(60 * SECOND))[..] else { panic!("one goes each minute") };
        let index = (1..=4).position(|number| stranger(number) == peer).expect("one of ours");
        gone.push(peer);
        let outputs = [node.unlink(peer, links[index]), node.wait(50 * SECOND)].concat();
        let (dial, again, _) = dials(&outputs)[0];
        links[index] = node.link(again, None, Some(dial)).0;
    }
    gone.sort();
    gone.dedup();
    assert_eq!(gone.len(), 4, "each once");
}

#[test]
fn p8_10_what_it_was_being_asked_is_not_held_against_who_has_to_go() {
    let (mut node, links) = full();
    let spoken = Spoken { get_head: true, get_commitments: true, get_txlist: true, gossip: true };
    for number in 1..=4 {
        node.input(Input::PeerIdentified { peer: stranger(number), spoken });
    }
    node.wait(55 * SECOND);
    for number in 1..=4 {
        node.command(Command::GetHead { peer: Some(stranger(number)) }).unwrap();
    }
    let [gone] = sent_away(&node.wait(5 * SECOND))[..] else { panic!("one goes") };
    let index = (1..=4).position(|number| stranger(number) == gone).expect("one of ours");
    let before: i64 = node.core.explain(node.now, gone).iter().map(|change| change.delta).sum();
    node.unlink(gone, links[index]);
    let after: i64 = node.core.explain(node.now, gone).iter().map(|change| change.delta).sum();
    assert_eq!(after, before);
}

#[test]
fn p8_10_who_had_to_go_comes_back_when_nobody_else_is_there() {
    let (mut node, links) = full();
    let [gone] = sent_away(&node.wait(60 * SECOND))[..] else { panic!("one goes") };
    let index = (1..=4).position(|number| stranger(number) == gone).expect("one of ours");
    node.unlink(gone, links[index]);
    let begun = dials(&node.wait(50 * SECOND));
    assert_eq!(begun.iter().map(|(_, peer, _)| *peer).collect::<Vec<_>>(), [gone], "after a rest");
}

#[test]
fn p8_10_protected_peers_and_those_that_came_to_us_are_not_exchanged() {
    let (mut node, _) = full();
    (1..=4).for_each(|number| drop(node.update(Update::Protect { peer: stranger(number) }).unwrap()));
    assert_eq!(sent_away(&node.wait(HOUR)), []);
    let connections = ConnectionLimits { target_peers: 2, reserved_outbound: 0, ..ConnectionLimits::TEST };
    let mut node = Node::with(Config { connections, ..config(DiscoveryConfig::PROD) });
    for number in [1, 2] {
        node.link(stranger(number), None, None);
        found(&mut node, record(number));
    }
    assert_eq!(sent_away(&node.wait(HOUR)), []);
}
