//! Where a node believes that others see it (P8.11).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::net::IpAddr;
use std::time::Duration;

use crate::support::*;
use preconf_core::*;

const MINUTE: Duration = Duration::from_secs(60);

fn with(discovery: DiscoveryConfig) -> Node {
    Node::with(Config { discovery: Some(discovery), ..Config::new(CHAIN) })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A peer that we dialed at this address.
fn dialed(node: &mut Node, name: u8, at: &str) -> ConnectionId {
    let family = if ip(at).is_ipv4() { "ip4" } else { "ip6" };
    let address = format!("/{family}/{at}/tcp/1/p2p/{}", peer(name));
    let (_, outputs) = node.command(Command::Dial { address }).unwrap();
    let dial = actions(&outputs).into_iter().find_map(|action| if let Action::Dial { dial, .. } = action { Some(dial) } else { None });
    node.link(peer(name), Some(at), dial).0
}

/// What discovery is told when a peer says where it sees us.
fn says(node: &mut Node, name: u8, address: &str) -> Vec<IpAddr> {
    let outputs = node.input(Input::AddressSeen { peer: peer(name), address: ip(address) });
    actions(&outputs).into_iter().filter_map(|action| if let Action::SeenAt { address } = action { Some(address) } else { None }).collect()
}

/// Five peers that we dialed, each in a neighbourhood of its own.
fn five() -> Node {
    let mut node = with(DiscoveryConfig::PROD);
    for name in 1..=5 {
        dialed(&mut node, name, &format!("11.0.{name}.1"));
    }
    node
}

#[test]
fn p8_11_an_address_is_believed_when_three_neighbourhoods_agree_and_told_once() {
    let mut node = five();
    assert!(says(&mut node, 1, "203.0.113.7").is_empty());
    assert!(says(&mut node, 1, "203.0.113.7").is_empty(), "one peer has one word");
    assert!(says(&mut node, 2, "::ffff:203.0.113.7").is_empty());
    assert_eq!(says(&mut node, 3, "203.0.113.7"), [ip("203.0.113.7")]);
    assert!(says(&mut node, 4, "203.0.113.7").is_empty(), "that is known");
}

#[test]
fn p8_11_peers_of_one_neighbourhood_have_one_word_together() {
    let mut node = with(DiscoveryConfig::PROD);
    for name in 1..=6 {
        dialed(&mut node, name, &format!("11.0.{}.{name}", name / 6));
    }
    for name in 1..=6 {
        assert!(says(&mut node, name, "203.0.113.7").is_empty(), "five of them are neighbours");
    }
}

#[test]
fn p8_11_who_came_to_us_has_no_word() {
    let mut node = with(DiscoveryConfig::PROD);
    for name in 1..=5 {
        node.link(peer(name), Some(&format!("11.0.{name}.1")), None);
        assert!(says(&mut node, name, "203.0.113.7").is_empty());
    }
}

#[test]
fn p8_11_more_must_agree_than_differ() {
    let mut node = five();
    assert!(says(&mut node, 1, "198.51.100.1").is_empty());
    assert!(says(&mut node, 2, "198.51.100.2").is_empty());
    assert!(says(&mut node, 3, "198.51.100.3").is_empty());
    dialed(&mut node, 6, "11.0.6.1");
    for name in [4, 5, 6] {
        assert!(says(&mut node, name, "203.0.113.7").is_empty(), "three of six");
    }
    assert_eq!(says(&mut node, 1, "203.0.113.7"), [ip("203.0.113.7")], "four of six");
}

#[test]
fn p8_11_old_words_do_not_count() {
    let mut node = five();
    says(&mut node, 1, "203.0.113.7");
    says(&mut node, 2, "203.0.113.7");
    node.wait(10 * MINUTE);
    assert!(says(&mut node, 3, "203.0.113.7").is_empty());
    says(&mut node, 1, "203.0.113.7");
    assert_eq!(says(&mut node, 2, "203.0.113.7"), [ip("203.0.113.7")]);
}

#[test]
fn p8_11_a_node_that_moves_is_believed_again_but_not_at_every_word() {
    let mut node = five();
    (1..=3).for_each(|name| drop(says(&mut node, name, "203.0.113.7")));
    for name in 1..=5 {
        assert!(says(&mut node, name, "203.0.113.8").is_empty(), "a record is not changed twice in five minutes");
    }
    node.wait(5 * MINUTE);
    assert_eq!(says(&mut node, 1, "203.0.113.8"), [ip("203.0.113.8")]);
    assert!(says(&mut node, 2, "203.0.113.8").is_empty());
}

#[test]
fn p8_11_addresses_that_nobody_could_dial_are_not_believed() {
    let mut node = five();
    for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "127.0.0.1", "10.0.0.1", "fe80::1"] {
        for name in 1..=5 {
            assert!(says(&mut node, name, address).is_empty(), "{address}");
        }
    }
}

#[test]
fn p8_11_who_is_nearby_sees_another_side_of_us() {
    let mut node = with(DiscoveryConfig::DEV);
    for name in 1..=3 {
        dialed(&mut node, name, &format!("10.0.0.{name}"));
    }
    for name in 1..=3 {
        assert!(says(&mut node, name, "203.0.113.7").is_empty(), "nobody nearby can know");
    }
    says(&mut node, 1, "10.0.0.9");
    says(&mut node, 2, "10.0.0.9");
    assert_eq!(says(&mut node, 3, "10.0.0.9"), [ip("10.0.0.9")], "on a network of one's own, each address is a neighbourhood");
}

#[test]
fn p8_11_a_peer_reached_over_one_family_says_nothing_of_the_other() {
    let mut node = with(DiscoveryConfig::PROD);
    // A single IPv6 network has as many neighbourhoods as one likes.
    for name in 6..=9 {
        dialed(&mut node, name, &format!("2001:db8:{name}::1"));
    }
    for name in 6..=9 {
        assert!(says(&mut node, name, "198.51.100.9").is_empty());
    }
}

#[test]
fn p8_11_both_families_are_learned_each_by_itself() {
    let mut node = five();
    (1..=5).for_each(|name| drop(says(&mut node, name, "203.0.113.7")));
    for name in 6..=8 {
        dialed(&mut node, name, &format!("2001:db8:{name}::1"));
    }
    says(&mut node, 6, "2001:db8:99::7");
    says(&mut node, 7, "2001:db8:99::7");
    assert_eq!(says(&mut node, 8, "2001:db8:99::7"), [ip("2001:db8:99::7")]);
}

#[test]
fn p8_11_an_address_is_told_again_each_five_minutes_so_that_it_outlasts_other_votes() {
    let mut node = five();
    (1..=3).for_each(|name| drop(says(&mut node, name, "203.0.113.7")));
    node.wait(5 * MINUTE);
    assert_eq!(says(&mut node, 1, "203.0.113.7"), [ip("203.0.113.7")]);
    assert!(says(&mut node, 2, "203.0.113.7").is_empty());
}

#[test]
fn p8_11_a_crowd_of_words_costs_bounded_memory() {
    let mut node = with(DiscoveryConfig::PROD);
    let mut held = Vec::new();
    // A word outlives its peer, so one peer after another from ever new neighbourhoods leaves one each.
    for n in 0..600 {
        let connection = dialed(&mut node, 1, &format!("11.{}.{}.1", n / 200, n % 200));
        says(&mut node, 1, "203.0.113.7");
        node.unlink(peer(1), connection);
        held.push(node.core.memory_bytes());
    }
    assert!(held[100] < held[200], "each costs something");
    assert_eq!(held[300], held[599], "until there are as many as are kept");
}
