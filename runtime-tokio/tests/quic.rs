//! QUIC beside TCP, behind the feature `quic`.
#![cfg(feature = "quic")]

use std::future::poll_fn;
use std::pin::Pin;

use futures::StreamExt;
use libp2p_core::Endpoint;
use libp2p_core::muxing::StreamMuxer;
use libp2p_core::transport::{DialOpts, ListenerId, PortUse, Transport as _, TransportEvent};
use preconf_tokio::preconf_libp2p::Transport;
use preconf_tokio::{Keypair, Multiaddr, transport};

const DIAL: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

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

fn address(text: &str) -> Multiaddr {
    text.parse().expect("a multiaddr")
}

#[tokio::test]
async fn quic_leads_to_the_peer_too_by_address_and_by_name() {
    let keypair = Keypair::generate_secp256k1();
    let mut server = transport(&keypair).expect("a key for noise");
    server.listen_on(ListenerId::next(), address("/ip4/127.0.0.1/udp/0/quic-v1")).expect("a free port");
    let Some(TransportEvent::NewAddress { listen_addr, .. }) = server.next().await else { panic!("no address") };
    serve(server);
    let port = listen_addr.to_string().replace("/ip4/127.0.0.1", "");
    for host in ["/ip4/127.0.0.1", "/dns4/localhost"] {
        let mut dialer = transport(&Keypair::generate_secp256k1()).expect("a key for noise");
        let dial = dialer.dial(address(&format!("{host}{port}")), DIAL).expect("a QUIC address can be dialed");
        serve(dialer); // the dialer's socket, too, is driven by its transport
        let (peer, _) = dial.await.expect("the peer answers");
        assert_eq!(peer, keypair.public().to_peer_id());
    }
}
