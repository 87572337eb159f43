//! The default transport finds peers by name.

mod common;

use std::io;
use std::pin::Pin;

use common::soon;
use futures::StreamExt;
use futures::future::poll_fn;
use libp2p_core::Endpoint;
use libp2p_core::muxing::StreamMuxer;
use libp2p_core::transport::{DialOpts, ListenerId, PortUse, Transport as _, TransportEvent};
use libp2p_identity::PeerId;
use preconf_tokio::preconf_libp2p::Transport;
use preconf_tokio::{Keypair, Multiaddr, transport};

const DIAL: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

/// Listens on a loopback port and greets whoever comes. Says who and where (`/tcp/…`) it is.
async fn listener() -> (PeerId, String) {
    let keypair = Keypair::generate_secp256k1();
    let mut transport = transport(&keypair).expect("a key for noise");
    transport.listen_on(ListenerId::next(), address("/ip4/127.0.0.1/tcp/0")).expect("a free port");
    let Some(TransportEvent::NewAddress { listen_addr, .. }) = soon("an address", transport.next()).await else {
        panic!("a listener's first event is its address")
    };
    serve(transport);
    (keypair.public().to_peer_id(), listen_addr.to_string().replace("/ip4/127.0.0.1", ""))
}

fn serve(mut transport: Transport) {
    tokio::spawn(async move {
        while let Some(event) = transport.next().await {
            let Some((upgrade, _)) = event.into_incoming() else { continue };
            tokio::spawn(async move {
                let Ok((_, mut connection)) = upgrade.await else { return };
                let _ = poll_fn(|context| Pin::new(&mut connection).poll(context)).await; // a connection lives while it is driven
            });
        }
    });
}

async fn dial(to: &str) -> io::Result<PeerId> {
    let mut transport = transport(&Keypair::generate_secp256k1()).expect("a key for noise");
    let dial = transport.dial(address(to), DIAL).map_err(io::Error::other)?;
    let (peer, _connection) = soon("the dial's end", dial).await?;
    Ok(peer)
}

fn address(text: &str) -> Multiaddr {
    text.parse().expect("a multiaddr")
}

#[tokio::test]
async fn a_name_leads_to_the_peer_behind_it() {
    let (peer, port) = listener().await;
    assert_eq!(dial(&format!("/dns4/localhost{port}")).await.expect("the name is known"), peer);
    assert_eq!(dial(&format!("/dns4/localhost{port}/p2p/{peer}")).await.expect("the name is known"), peer);
    assert_eq!(dial(&format!("/ip4/127.0.0.1{port}")).await.expect("an address is no name"), peer);
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // Where `localhost` is ::1 as well, nobody listens there.
    let (peer, port) = listener().await;
    assert_eq!(dial(&format!("/dns/localhost{port}")).await.expect("one of its addresses answers"), peer);
}

#[tokio::test]
async fn a_name_without_an_address_fails_the_dial() {
    let error = dial("/dns4/node.invalid/tcp/1").await.expect_err("no such name, ever (RFC 6761)");
    assert!(!error.to_string().is_empty());
}

#[tokio::test]
async fn a_dial_keeps_no_listener_of_a_transport_that_is_gone() {
    let mut dialer = transport(&Keypair::generate_secp256k1()).expect("a key for noise");
    dialer.listen_on(ListenerId::next(), address("/ip4/127.0.0.1/tcp/0")).expect("a free port");
    let Some(TransportEvent::NewAddress { listen_addr, .. }) = soon("an address", dialer.next()).await else { panic!("no address") };
    let pending = dialer.dial(address("/dns4/localhost/tcp/1"), DIAL).expect("a name can be dialed");
    drop(dialer);
    let mut next = transport(&Keypair::generate_secp256k1()).expect("a key for noise");
    next.listen_on(ListenerId::next(), listen_addr).expect("the port is free again");
    drop(pending);
}

#[tokio::test]
async fn a_name_cannot_be_listened_on() {
    let mut transport = transport(&Keypair::generate_secp256k1()).expect("a key for noise");
    assert!(transport.listen_on(ListenerId::next(), address("/dns4/localhost/tcp/0")).is_err());
}

#[cfg(feature = "quic")]
#[tokio::test]
async fn quic_leads_to_the_peer_too_by_address_and_by_name() {
    let keypair = Keypair::generate_secp256k1();
    let mut server = transport(&keypair).expect("a key for noise");
    server.listen_on(ListenerId::next(), address("/ip4/127.0.0.1/udp/0/quic-v1")).expect("a free port");
    let Some(TransportEvent::NewAddress { listen_addr, .. }) = soon("an address", server.next()).await else { panic!("no address") };
    serve(server);
    let port = listen_addr.to_string().replace("/ip4/127.0.0.1", "");
    for host in ["/ip4/127.0.0.1", "/dns4/localhost"] {
        let mut dialer = transport(&Keypair::generate_secp256k1()).expect("a key for noise");
        let dial = dialer.dial(address(&format!("{host}{port}")), DIAL).expect("a QUIC address can be dialed");
        serve(dialer); // the dialer's socket, too, is driven by its transport
        let (peer, _) = soon("the dial's end", dial).await.expect("the peer answers");
        assert_eq!(peer, keypair.public().to_peer_id());
    }
}
