//! Two nodes that meet late, part, and meet again.

use preconf_node::preconf_core::{CommandError, Config, Event, GaterRefusal, PeerId, Storage, Update};
use preconf_node::{HandleError, Keypair, NetworkConfig, NetworkEvent};

use crate::blocks::{Chain, TIP, txlist};
use crate::nodes::{CHAIN, TestNode, config, ready};
use crate::runtime::{Runtime, on_all_pairs, soon};

on_all_pairs!(
    who_comes_late_catches_up_and_fetches_what_it_missed,
    a_static_peer_that_restarts_is_dialed_again,
    who_is_blocked_stays_out_until_unblocked,
);

fn connected(peer: PeerId) -> impl FnMut(NetworkEvent) -> Option<()> {
    move |event| (event == NetworkEvent::Core(Event::PeerConnected { peer })).then_some(())
}

fn disconnected(peer: PeerId) -> impl FnMut(NetworkEvent) -> Option<()> {
    move |event| (event == NetworkEvent::Core(Event::PeerDisconnected { peer })).then_some(())
}

async fn who_comes_late_catches_up_and_fetches_what_it_missed<A: Runtime, B: Runtime>() {
    // P5.6, P6.9
    const BLOCKS: u64 = 150; // more than two pages near the head
    const FETCHED: u64 = 3; // within the seven txlists that P6.7 lets a node ask for at once
    let mut chain = Chain::new();
    let alice = TestNode::of::<A>(&chain, config()).await;
    let mut carol = TestNode::of::<A>(&chain, config()).await; // without company nothing is sent
    carol.connect(&alice, &alice.address).await;
    for n in 0..BLOCKS {
        let txs = txlist(1000, n as u8);
        soon("publication", alice.handle.publish_commitment(chain.block(&txs))).await.expect("it is sent");
        soon("publication", alice.handle.publish_txlist(txs)).await.expect("it is sent");
    }
    while carol.until("a ready block", ready).await.0 < TIP + BLOCKS {}
    carol.stop().await;

    let mut bob = TestNode::of::<B>(&chain, config()).await;
    bob.connect(&alice, &alice.address).await;
    let mut blocks = Vec::new();
    let synced = bob.until("the end of the catch-up", |event| match event {
        NetworkEvent::Core(Event::Synced { head }) if head == TIP + BLOCKS => Some(()),
        event => {
            blocks.extend(ready(event));
            None
        }
    });
    synced.await;
    while (blocks.len() as u64) < FETCHED {
        blocks.push(bob.until("a ready block", ready).await);
    }
    for (n, (number, bytes)) in (0..FETCHED).zip(blocks) {
        assert!(number == TIP + 1 + n && bytes == Some(txlist(1000, n as u8)), "block {number} comes {n}th");
    }
    alice.stop().await;
    bob.stop().await;
}

async fn a_static_peer_that_restarts_is_dialed_again<A: Runtime, B: Runtime>() {
    // P8.5
    let (chain, keypair) = (Chain::new(), Keypair::generate_secp256k1());
    let alice = TestNode::of::<A>(&chain, NetworkConfig { keypair: keypair.clone(), ..config() }).await;
    let (peer, address) = (alice.handle.local_peer_id(), alice.address.clone());
    let core = Config { static_peers: vec![address.to_string()], storage: Storage::Ephemeral, ..Config::new(CHAIN) };
    let mut bob = TestNode::of::<B>(&chain, NetworkConfig { core, ..config() }).await;
    // Asked, and not read from its events: it may have been connected before it had said where it listens, and that was waited for.
    let met = async { while !bob.handle.peers().await.expect("a running node").iter().any(|info| info.peer == peer) {} };
    soon("the static peer", met).await;
    alice.stop().await;
    bob.until("its end", disconnected(peer)).await;
    let mut listen = address;
    listen.pop(); // the peer's id
    let alice = TestNode::of::<A>(&chain, NetworkConfig { keypair, listen: vec![listen], ..config() }).await;
    bob.until("the static peer again", connected(peer)).await;
    alice.stop().await;
    bob.stop().await;
}

async fn who_is_blocked_stays_out_until_unblocked<A: Runtime, B: Runtime>() {
    // P8.1
    let chain = Chain::new();
    let (alice, mut bob) = (TestNode::of::<A>(&chain, config()).await, TestNode::of::<B>(&chain, config()).await);
    bob.connect(&alice, &alice.address).await;
    let (us, peer) = (alice.handle.local_peer_id(), bob.handle.local_peer_id());
    alice.handle.update(Update::BlockPeer { peer }).await.expect("room for one");
    bob.until("the end of the connection", disconnected(us)).await;
    // Neither way: we do not dial it, and what it dials does not stand.
    let refused = soon("a refusal", alice.handle.dial(bob.address.clone())).await;
    assert_eq!(refused, Err(HandleError::Refused(CommandError::Gated(GaterRefusal::PeerBlocked))));
    let knocking = soon("the dial's end", bob.handle.dial(alice.address.clone())).await;
    if knocking.is_ok() {
        bob.until("the end of the connection", disconnected(us)).await; // both handshakes were over before it was recognized
    }
    // One end may notice before the other.
    let gone = async { while !alice.handle.peers().await.expect("a running node").is_empty() {} };
    soon("nobody is connected", gone).await;

    alice.handle.update(Update::UnblockPeer { peer }).await.expect("it is blocked");
    assert_eq!(soon("a connection", alice.handle.dial(bob.address.clone())).await, Ok(peer));
    alice.stop().await;
    bob.stop().await;
}
