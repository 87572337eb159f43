//! Connections, dials, identify and the block list.

mod common;

use common::{World, config, key};
use libp2p_core::transport::MemoryTransport;
use preconf_core::{Action, ChainId, DialFailure, Direction, Input, SupportedProtocols};
use preconf_libp2p::{GossipScores, Net, NetConfig, NetError, upgrade};

#[test]
fn both_ends_hear_of_a_connection_and_only_the_dialer_of_its_dial() {
    let mut world = World::of(2);
    let (alice, bob) = (world.id(0), world.id(1));
    let address = world.addresses[1].clone();
    let asked = world.dial(0, &address);
    let opened = world.until(0, |input| matches!(input, Input::ConnectionOpened { .. }));
    let Input::ConnectionOpened { peer, direction, address, dial, .. } = opened else { unreachable!() };
    assert_eq!((peer, direction, address, dial), (bob, Direction::Outbound, None, Some(asked)));
    let opened = world.until(1, |input| matches!(input, Input::ConnectionOpened { .. }));
    let Input::ConnectionOpened { peer, direction, dial, .. } = opened else { unreachable!() };
    assert_eq!((peer, direction, dial), (alice, Direction::Inbound, None));
}

#[test]
fn a_second_connection_has_a_name_of_its_own_and_closes_by_it() {
    let mut world = World::of(2);
    let address = world.addresses[1].clone();
    let mut opened = Vec::new();
    for _ in 0..2 {
        world.dial(0, &address);
        match world.until(0, |input| matches!(input, Input::ConnectionOpened { .. })) {
            Input::ConnectionOpened { connection, .. } => opened.push(connection),
            _ => unreachable!(),
        }
    }
    assert_ne!(opened[0], opened[1]);
    let peer = world.id(1);
    world.apply(0, Action::Disconnect { peer });
    for connection in opened {
        world.until(0, |input| *input == Input::ConnectionClosed { peer, connection });
    }
}

#[test]
fn one_connection_of_two_can_be_closed() {
    // P8.1: the gater may refuse the address of one and not of the other.
    let mut world = World::of(2);
    let (address, peer) = (world.addresses[1].clone(), world.id(1));
    let mut opened = Vec::new();
    for _ in 0..2 {
        world.dial(0, &address);
        match world.until(0, |input| matches!(input, Input::ConnectionOpened { .. })) {
            Input::ConnectionOpened { connection, .. } => opened.push(connection),
            _ => unreachable!(),
        }
    }
    world.apply(0, Action::CloseConnection { connection: opened[0] });
    world.until(0, |input| *input == Input::ConnectionClosed { peer, connection: opened[0] });
    world.apply(0, Action::CloseConnection { connection: opened[0] }); // closed already: nothing happens
    world.apply(0, Action::CloseConnection { connection: opened[1] });
    world.until(0, |input| *input == Input::ConnectionClosed { peer, connection: opened[1] });
}

#[test]
fn more_connections_with_one_peer_than_allowed_are_refused() {
    // P8.2: the test preset allows two.
    let mut world = World::of(2);
    let address = world.addresses[1].clone();
    for _ in 0..2 {
        world.dial(0, &address);
        world.until(0, |input| matches!(input, Input::ConnectionOpened { .. }));
    }
    let third = world.dial(0, &address);
    world.until(0, |input| *input == Input::DialFailed { dial: third, failure: DialFailure::Denied });
}

#[test]
fn a_dial_that_leads_nowhere_fails_by_its_name_and_says_why() {
    // P7.1: only a peer that was really tried can be charged.
    let mut world = World::of(2);
    let (alice, bob) = (world.addresses[0].clone(), world.addresses[1].clone());
    let other = |address: &str| address.replace(&world.id(1).to_string(), &world.id(0).to_string());
    let failures = [
        ("not an address".to_owned(), DialFailure::Undialable),
        (String::new(), DialFailure::Undialable),
        ("/ip4/127.0.0.1/tcp/1".to_owned(), DialFailure::Undialable), // this world's transport knows memory only
        ("/memory/4242424242".to_owned(), DialFailure::Unreachable),
        (other(&bob), DialFailure::WrongPeer),
        (alice, DialFailure::WrongPeer), // ourselves
    ];
    for (address, failure) in failures {
        let dial = world.dial(0, &address);
        world.until(0, |input| *input == Input::DialFailed { dial, failure });
    }
}

#[test]
fn identify_tells_what_of_our_chain_a_peer_speaks() {
    // P2.5: of another chain's protocols nothing counts, but gossipsub has one name on every chain.
    let mut world = World::of(2);
    world.add(NetConfig { chain_id: ChainId(1), ..config() }, key());
    let all = SupportedProtocols { get_head: true, get_commitments: true, get_txlist: true, gossip: true };
    for (other, wanted) in [(1, all), (2, SupportedProtocols { gossip: true, ..SupportedProtocols::default() })] {
        let address = world.addresses[other].clone();
        world.dial(0, &address);
        let them = world.id(other);
        world.until(0, |input| *input == Input::PeerIdentified { peer: them, protocols: wanted });
    }
}

#[test]
fn a_blocked_peer_is_cut_off_both_ways_until_it_is_taken_back() {
    let mut world = World::of(2);
    world.join(0, 1);
    let (alice, bob) = (world.id(0), world.id(1));
    world.forget();
    let addresses = world.addresses.clone();
    world.apply(0, Action::Block { peer: bob });
    world.until(0, |input| matches!(input, Input::ConnectionClosed { peer, .. } if *peer == bob));
    world.until(1, |input| matches!(input, Input::ConnectionClosed { peer, .. } if *peer == alice));

    let ours = world.dial(0, &addresses[1]);
    world.until(0, |input| *input == Input::DialFailed { dial: ours, failure: DialFailure::Denied });
    // The blocking end refuses after the handshake: the other may see the connection for a moment, and then it is gone.
    let theirs = world.dial(1, &addresses[0]);
    world.until(1, |input| {
        matches!(input, Input::DialFailed { dial, .. } if *dial == theirs)
            || matches!(input, Input::ConnectionClosed { peer, .. } if *peer == alice)
    });
    assert!(!world.unread(0).iter().any(|input| matches!(input, Input::ConnectionOpened { .. })), "{:?}", world.unread(0));

    world.apply(0, Action::Unblock { peer: bob });
    let again = world.dial(0, &addresses[1]);
    world.until(0, |input| matches!(input, Input::ConnectionOpened { dial, .. } if *dial == Some(again)));
}

#[test]
fn a_score_set_that_gossipsub_refuses_stops_the_start_with_its_words() {
    // P7
    let start = |scores| {
        let (key, config) = (key(), NetConfig { gossip_scores: scores, ..config() });
        let transport = upgrade(MemoryTransport::new(), &key).expect("a key");
        Net::new(config, key, transport, |_| {}).map(|_| ())
    };
    assert!(start(GossipScores::default()).is_ok());
    let penalties = GossipScores {
        ip_colocation_weight: -5_000_000,
        behaviour_weight: -10_000_000,
        slow_peer_weight: -200_000,
        ..GossipScores::default()
    };
    assert!(start(penalties).is_ok());
    let wrong = GossipScores { behaviour_weight: 1, ..GossipScores::default() };
    let error = start(wrong).expect_err("a reward where a penalty belongs");
    assert!(matches!(&error, NetError::Scores(words) if words.contains("behaviour_penalty_weight")), "{error}");
}

#[test]
fn a_listening_address_names_its_node() {
    let world = World::of(1);
    let (address, id) = (&world.addresses[0], world.id(0));
    assert!(address.ends_with(&format!("/p2p/{id}")), "{address} of {id}");
}

#[test]
fn an_address_that_the_transport_does_not_know_cannot_be_listened_on() {
    let mut world = World::of(1);
    let error = world.nets[0].listen("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect_err("memory only");
    assert!(matches!(error, NetError::Listen(_)), "{error}");
}
