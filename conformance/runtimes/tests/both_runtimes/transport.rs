//! What does a transport do with peers that break off, refuse, crowd in, or come while it closes?

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};

use futures::future::join_all;
use libp2p_core::transport::{Transport as _, TransportError};
use preconf_node::{Keypair, Multiaddr};

use crate::runtime::{Runtime, on_all_pairs, on_each_runtime};
use crate::sockets::{DIAL, Server, Told, address, dial, on, words};

/// How many come at once.
const CROWD: usize = 200;

on_all_pairs!(
    peers_that_close_their_half_are_let_go_and_others_are_served,
    two_hundred_connections_at_once_all_stand,
    a_listener_that_closes_under_load_is_told_once_and_keeps_who_is_in,
    ipv6_and_ipv4_share_a_port,
);
on_each_runtime!(
    a_dial_that_is_refused_says_so,
    a_port_that_is_taken_says_so,
    an_address_of_another_kind_is_not_supported,
    a_wildcard_is_told_as_an_address_of_the_machine,
);

/// The socket address behind `/ip4/…/tcp/…` or `/ip6/…/tcp/…`.
fn socket(address: &Multiaddr) -> String {
    let parts: Vec<_> = address.to_string().split('/').map(str::to_owned).collect(); // "", ip4, <ip>, tcp, <port>
    if parts[1] == "ip6" { format!("[{}]:{}", parts[2], parts[4]) } else { format!("{}:{}", parts[2], parts[4]) }
}

async fn peers_that_close_their_half_are_let_go_and_others_are_served<A: Runtime, B: Runtime>() {
    let mut server = Server::listen::<A>("/ip4/127.0.0.1/tcp/0").await.expect("a free port");
    // One says nothing, one half of the first word of the negotiation; both can still hear.
    for first_bytes in [&b""[..], b"\x13/multi"] {
        let mut peer = TcpStream::connect(socket(&server.address)).expect("it listens");
        peer.write_all(first_bytes).expect("it listens");
        peer.shutdown(Shutdown::Write).expect("it is open");
        let Told::Upgraded(Err(error)) = server.next().await else { panic!("no handshake without words") };
        assert!(words(&error).contains("Multistream select failed"), "{}", words(&error));
    }
    let connected = dial::<B>(&server.address.to_string()).await.expect("it goes on");
    assert_eq!(connected.peer, server.peer);
    assert!(matches!(server.next().await, Told::Upgraded(Ok(_))));
}

async fn two_hundred_connections_at_once_all_stand<A: Runtime, B: Runtime>() {
    let mut server = Server::listen::<A>("/ip4/127.0.0.1/tcp/0").await.expect("a free port");
    let to = server.address.to_string();
    let mut crowd: Vec<_> =
        join_all((0..CROWD).map(|_| dial::<B>(&to))).await.into_iter().map(|dialed| dialed.expect("all get in")).collect();
    let mut peers = Vec::new();
    for _ in 0..CROWD {
        let Told::Upgraded(Ok(peer)) = server.next().await else { panic!("all get in") };
        peers.push(peer);
    }
    peers.sort_unstable();
    peers.dedup();
    assert_eq!(peers.len(), CROWD, "each is somebody else");
    assert!(crowd.iter_mut().all(|connected| connected.peer == server.peer && connected.stands()));
}

async fn a_listener_that_closes_under_load_is_told_once_and_keeps_who_is_in<A: Runtime, B: Runtime>() {
    let mut server = Server::listen::<A>("/ip4/127.0.0.1/tcp/0").await.expect("a free port");
    let to = server.address.to_string();
    let mut first = dial::<B>(&to).await.expect("it listens");
    assert!(matches!(server.next().await, Told::Upgraded(Ok(_))));
    let crowd = join_all((0..CROWD).map(|_| dial::<B>(&to)));
    server.close();
    // Each of them gets in or is told that it does not; none waits for ever.
    let (mut got_in, mut closed) = (crowd.await.into_iter().filter_map(Result::ok).collect::<Vec<_>>(), 0);
    while closed == 0 {
        match server.next().await {
            Told::Closed(reason) => {
                reason.expect("it was asked to");
                closed += 1;
            }
            Told::Upgraded(_) => {}
            Told::Address(address) => panic!("it listens no more, and says {address}"),
        }
    }
    drop(TcpListener::bind(socket(&server.address)).expect("the port is free"));
    let refused = dial::<B>(&to).await.map(drop).expect_err("nobody listens");
    assert!(words(&refused).contains("Connection refused"), "{}", words(&refused));
    got_in.retain_mut(|connected| connected.stands());
    assert!(first.stands(), "and of the crowd {} stand", got_in.len());
}

async fn ipv6_and_ipv4_share_a_port<A: Runtime, B: Runtime>() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let six = Server::listen::<A>("/ip6/::1/tcp/0").await.expect("a free port");
    assert_eq!(dial::<B>(&six.address.to_string()).await.expect("it listens").peer, six.peer);
    let all_six = Server::listen::<A>("/ip6/::/tcp/0").await.expect("a free port");
    let port = socket(&all_six.address).rsplit(':').next().expect("a port").to_owned();
    // A port that the one has is free for the other, whoever is first: an IPv6 socket takes no IPv4 connections.
    let four = Server::listen::<B>(&format!("/ip4/127.0.0.1/tcp/{port}")).await.expect("another family");
    assert_eq!(dial::<B>(&format!("/ip6/::1/tcp/{port}")).await.expect("it listens").peer, all_six.peer);
    assert_eq!(dial::<A>(&format!("/ip4/127.0.0.1/tcp/{port}")).await.expect("it listens").peer, four.peer);
}

async fn a_dial_that_is_refused_says_so<R: Runtime>() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it is bound"); // closed again at once
    let refused = dial::<R>(&format!("/ip4/127.0.0.1/tcp/{}", nobody.port())).await.map(drop).expect_err("nobody listens");
    assert!(words(&refused).contains("Connection refused"), "{}", words(&refused));
}

async fn a_port_that_is_taken_says_so<R: Runtime>() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().expect("it is bound").port());
    let error = Server::listen::<R>(&at).await.map(drop).expect_err("it is taken");
    assert!(words(&error).contains("Address already in use"), "{}", words(&error));
}

async fn an_address_of_another_kind_is_not_supported<R: Runtime>() {
    let work = on::<R, _>(async {
        let mut transport = R::transport(&Keypair::generate_secp256k1()).expect("a key for noise");
        for other in ["/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/1", "/ip4/127.0.0.1", "/tcp/1", "/memory/1", "/ip4/127.0.0.1/udp/1"] {
            let dialed = transport.dial(address(other), DIAL).map(drop);
            assert!(matches!(dialed, Err(TransportError::MultiaddrNotSupported(_))), "{other}: {dialed:?}");
        }
    });
    work.await;
}

async fn a_wildcard_is_told_as_an_address_of_the_machine<R: Runtime>() {
    let mut server = Server::listen::<R>("/ip4/0.0.0.0/tcp/0").await.expect("a free port");
    let mut told = server.address.clone();
    while !told.to_string().starts_with("/ip4/127.0.0.1/tcp/") {
        assert!(!told.to_string().contains("/0.0.0.0/") && !told.to_string().contains("/ip6/"), "{told}");
        let Told::Address(next) = server.next().await else { panic!("every machine has a loopback address") };
        told = next;
    }
    assert_eq!(dial::<R>(&told.to_string()).await.expect("it listens there").peer, server.peer);
}
