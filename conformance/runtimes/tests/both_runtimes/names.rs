//! Are peers found by name?

use futures::StreamExt;
use libp2p_core::transport::{ListenerId, Transport as _, TransportEvent};
use preconf_node::Keypair;

use crate::runtime::{Runtime, on_all_pairs, on_each_runtime, soon};
use crate::sockets::{DIAL, Server, address, dial, on};

on_all_pairs!(a_name_leads_to_the_peer_behind_it, every_address_of_a_name_is_tried);
on_each_runtime!(
    a_name_without_an_address_fails_the_dial,
    a_dial_keeps_no_listener_of_a_transport_that_is_gone,
    a_name_cannot_be_listened_on,
);

/// A listener on a loopback port, and that port as `/tcp/…`.
async fn listener<R: Runtime>() -> (Server, String) {
    let server = Server::listen::<R>("/ip4/127.0.0.1/tcp/0").await.expect("a free port");
    let port = server.address.to_string().replace("/ip4/127.0.0.1", "");
    (server, port)
}

async fn a_name_leads_to_the_peer_behind_it<A: Runtime, B: Runtime>() {
    let (server, port) = listener::<A>().await;
    let peer = server.peer;
    for to in [format!("/dns4/localhost{port}"), format!("/dns4/localhost{port}/p2p/{peer}"), format!("/ip4/127.0.0.1{port}")] {
        assert_eq!(dial::<B>(&to).await.expect("the name is known").peer, peer, "{to}");
    }
}

async fn every_address_of_a_name_is_tried<A: Runtime, B: Runtime>() {
    // Where `localhost` is ::1 as well, nobody listens there.
    let (server, port) = listener::<A>().await;
    assert_eq!(dial::<B>(&format!("/dns/localhost{port}")).await.expect("one of its addresses answers").peer, server.peer);
}

async fn a_name_without_an_address_fails_the_dial<R: Runtime>() {
    let Err(error) = dial::<R>("/dns4/node.invalid/tcp/1").await else { panic!("no such name, ever (RFC 6761)") };
    assert!(!error.to_string().is_empty());
}

async fn a_dial_keeps_no_listener_of_a_transport_that_is_gone<R: Runtime>() {
    let work = on::<R, _>(async {
        let mut dialer = R::transport(&Keypair::generate_secp256k1()).expect("a key for noise");
        dialer.listen_on(ListenerId::next(), address("/ip4/127.0.0.1/tcp/0")).expect("a free port");
        let Some(TransportEvent::NewAddress { listen_addr, .. }) = dialer.next().await else { panic!("no address") };
        let pending = dialer.dial(address("/dns4/localhost/tcp/1"), DIAL).expect("a name can be dialed");
        drop(dialer);
        let mut next = R::transport(&Keypair::generate_secp256k1()).expect("a key for noise");
        next.listen_on(ListenerId::next(), listen_addr).expect("the port is free again");
        drop(pending);
    });
    soon("both transports", work).await;
}

async fn a_name_cannot_be_listened_on<R: Runtime>() {
    assert!(Server::listen::<R>("/dns4/localhost/tcp/0").await.is_err());
}
