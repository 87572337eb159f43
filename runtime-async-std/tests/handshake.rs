//! What does a peer cost that connects and then never finishes its handshake?

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use libp2p_core::transport::{ListenerId, Transport as _, TransportEvent};
use multiaddr::{Multiaddr, Protocol};
use preconf_async_std::preconf_libp2p::upgrade_within;
use preconf_async_std::{Keypair, Tcp};

/// How long a handshake may take here.
const LIMIT: Duration = Duration::from_millis(200);
/// How many never finish theirs.
const SILENT: usize = 50;

fn socket(address: &Multiaddr) -> SocketAddr {
    let parts: Vec<_> = address.iter().collect();
    let [Protocol::Ip4(ip), Protocol::Tcp(port)] = parts[..] else { panic!("{address} is no socket") };
    SocketAddr::new(ip.into(), port)
}

#[test]
fn silent_peers_are_let_go_in_time_and_leave_nothing_behind() {
    async_std::task::block_on(async {
        let keypair = Keypair::generate_secp256k1();
        let mut transport = upgrade_within(LIMIT, Tcp::new(), &keypair).expect("a key for noise");
        transport.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr")).expect("a free port");
        let Some(TransportEvent::NewAddress { listen_addr, .. }) = transport.next().await else { panic!("no address") };

        let silent: Vec<_> = (0..SILENT).map(|_| TcpStream::connect(socket(&listen_addr)).expect("it listens")).collect();
        let (mut handshakes, began) = (Vec::new(), Instant::now());
        while handshakes.len() < SILENT {
            let event = transport.next().await.expect("a transport never ends");
            handshakes.push(event.into_incoming().expect("they come in").0);
        }
        for handshake in join_all(handshakes).await {
            assert!(handshake.is_err_and(|error| error.to_string().contains("Timeout")));
        }
        assert!(began.elapsed() >= LIMIT, "nobody is let go early");

        // Each of them has heard the first word of the negotiation and then the end: the sockets are closed.
        for mut peer in silent {
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).expect("an orderly end");
            assert!(heard.len() < 64, "{} bytes for nothing", heard.len());
        }
    });
}
