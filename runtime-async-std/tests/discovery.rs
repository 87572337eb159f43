//! Nodes on async-std find each other with discv5, whose thread ends with the node.
#![cfg(feature = "discv5")]

use std::net::UdpSocket;
use std::time::Duration;

use async_std::future::timeout;
use preconf_async_std::preconf_core::{ChainId, Config, DiscoveryConfig, Event};
use preconf_async_std::preconf_enr::Bootnode;
use preconf_async_std::{
    Discv5Config, Keypair, NetworkConfig, NetworkDriver, NetworkEvent, NetworkEvents, NetworkHandle, discv5, environment,
};

/// Far more than it takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
const CHAIN: ChainId = ChainId(167_000);

fn here(bootnodes: Vec<Bootnode>) -> Discv5Config {
    Discv5Config { listen: vec![([127, 0, 0, 1], 0).into()], bootnodes, ..Discv5Config::new(Some(CHAIN)) }
}

fn start(bootnode: &Bootnode) -> (NetworkHandle, NetworkEvents) {
    let core = Config { discovery: Some(DiscoveryConfig::TEST), ..Config::new(CHAIN) };
    let mut config = NetworkConfig::new(core, Keypair::generate_secp256k1());
    config.listen.push("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr"));
    let mut environment = environment(&config).expect("a key");
    environment.discovery = Box::new(discv5(here(vec![bootnode.clone()]), &config.keypair).expect("a free port"));
    let (driver, handle, events) = NetworkDriver::new(config, environment).expect("a node that starts");
    async_std::task::spawn(driver.run());
    (handle, events)
}

async fn met(events: &mut NetworkEvents) {
    let search = async {
        loop {
            if let NetworkEvent::Core(Event::PeerConnected { .. }) = events.recv().await.expect("the node runs") {
                return;
            }
        }
    };
    timeout(LIMIT, search).await.expect("a connection in time");
}

#[async_std::test]
async fn two_nodes_on_async_std_find_each_other_through_a_boot_node() {
    let boot = discv5(here(Vec::new()), &Keypair::generate_secp256k1()).expect("a free port");
    let bootnode = Bootnode::Record(Box::new(boot.first_record().clone()));
    let ((alice, mut alices), (bob, mut bobs)) = (start(&bootnode), start(&bootnode));
    met(&mut alices).await;
    met(&mut bobs).await;
    assert_eq!(alice.peers().await.expect("alice runs")[0].peer, bob.local_peer_id());
}

#[test]
fn the_socket_is_free_again_when_discovery_is_dropped() {
    let discovery = discv5(here(Vec::new()), &Keypair::generate_secp256k1()).expect("a free port");
    let socket = discovery.first_record().udp4_socket().expect("a bound socket");
    assert!(UdpSocket::bind(socket).is_err(), "it is ours");
    drop(discovery);
    UdpSocket::bind(socket).expect("and no longer");
}
