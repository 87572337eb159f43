//! Two nodes on loopback: gossip, the three requests, and what happens when one of them is slow or dies.

use futures::channel::oneshot;
use preconf_node::preconf_core::{
    B256, CommandError, DialFailure, Event, MAX_TXLIST_BYTES, PublishError, Refusal, RequestError, RequestFailure, SignedCommitment,
    Source, Topic, U256, keccak256, message_id,
};
use preconf_node::{HandleError, NetworkConfig, NetworkEvent};

use crate::blocks::{Chain, TIP, txlist};
use crate::line::Line;
use crate::nodes::{CHAIN, TestNode, config, ready};
use crate::runtime::{Runtime, on_all_pairs, soon};

on_all_pairs!(
    a_commitment_and_a_txlist_of_2_mib_reach_the_other_node,
    all_three_requests_are_answered,
    what_breaks_a_rule_of_our_own_is_refused_and_not_sent,
    a_dial_that_leads_nowhere_says_so,
    peers_of_the_configuration_are_dialed_at_start_by_name_too,
    an_application_that_does_not_read_loses_nothing,
    killing_a_node_in_the_middle_of_a_transfer_leaves_the_others_running,
);

/// Starts two connected nodes.
async fn pair<A: Runtime, B: Runtime>(chain: &Chain) -> (TestNode, TestNode) {
    let (alice, bob) = (TestNode::of::<A>(chain, config()).await, TestNode::of::<B>(chain, config()).await);
    bob.connect(&alice, &alice.address).await;
    (alice, bob)
}

async fn a_commitment_and_a_txlist_of_2_mib_reach_the_other_node<A: Runtime, B: Runtime>() {
    // P2.1, P2.2, P5.5
    let mut chain = Chain::new();
    let (alice, mut bob) = pair::<A, B>(&chain).await;
    let txlist = txlist(MAX_TXLIST_BYTES, 1);
    let block = chain.block(&txlist);
    let named = soon("publication", alice.handle.publish_commitment(block.clone())).await;
    assert_eq!(named, Ok(message_id(CHAIN, Topic::Commitments, block.as_bytes())));
    soon("publication", alice.handle.publish_txlist(txlist.clone())).await.expect("it is sent");

    let from = alice.handle.local_peer_id();
    let accepted = bob.until("the commitment", |event| match event {
        NetworkEvent::Core(Event::CommitmentAccepted { commitment, source: Source::Gossip(peer) }) if peer == from => Some(commitment),
        _ => None,
    });
    assert_eq!(accepted.await.signed, block);
    let (number, bytes) = bob.until("a ready block", ready).await;
    assert_eq!(number, TIP + 1);
    assert!(bytes == Some(txlist), "the txlist arrives as it was sent");

    let status = bob.handle.status().await.expect("a running node");
    assert_eq!(status.node.head.map(|(number, _)| number), Some(TIP + 1));
    assert_eq!((status.node.ready_to, status.node.lag, status.node.peers), (TIP + 1, Some(0), 1));
    let peers = bob.handle.peers().await.expect("a running node");
    assert_eq!(peers.iter().map(|peer| peer.peer).collect::<Vec<_>>(), [from]);
    alice.stop().await;
    bob.stop().await;
}

async fn all_three_requests_are_answered<A: Runtime, B: Runtime>() {
    // P6.1, P6.2, P6.3
    let mut chain = Chain::new();
    let (alice, mut bob) = pair::<A, B>(&chain).await;
    let from = alice.handle.local_peer_id();
    let (head_of, empty) = soon("a head", bob.handle.get_head(Some(from))).await.expect("an answer");
    assert_eq!((head_of, empty.block_number, empty.submission_window_end), (from, U256::from(TIP), U256::ZERO));

    let txlist = txlist(MAX_TXLIST_BYTES, 2);
    let blocks = [chain.block(&txlist), chain.block(b"small")];
    for block in &blocks {
        soon("publication", alice.handle.publish_commitment(block.clone())).await.expect("it is sent");
    }
    soon("publication", alice.handle.publish_txlist(txlist.clone())).await.expect("it is sent");
    bob.until("a ready block", ready).await;

    let (_, head) = soon("a head", bob.handle.get_head(Some(from))).await.expect("an answer");
    assert_eq!(head.block_number, U256::from(TIP + 2));
    let page = soon("a page", bob.handle.get_commitments(TIP + 1, 256, Some(from))).await.expect("an answer");
    assert_eq!(page, (from, blocks.to_vec()));
    let (_, found) = soon("a txlist", bob.handle.get_raw_txlist(keccak256(&txlist), Some(from))).await.expect("an answer");
    assert!(found == Some(txlist), "the txlist arrives as it was sent");
    let unknown = soon("an answer", bob.handle.get_raw_txlist(B256::repeat_byte(9), Some(from))).await;
    assert_eq!(unknown, Ok((from, None)));
    alice.stop().await;
    bob.stop().await;
}

async fn what_breaks_a_rule_of_our_own_is_refused_and_not_sent<A: Runtime, B: Runtime>() {
    // P5.7
    let mut chain = Chain::new();
    let alice = TestNode::of::<A>(&chain, config()).await;
    let block = chain.block(b"txs");
    let mut signature = *block.signature();
    signature[3] ^= 1;
    let forged = SignedCommitment::new(block.commitment().clone(), signature);
    let refused = soon("a refusal", alice.handle.publish_commitment(forged)).await.expect_err("another signer, or none");
    assert!(
        matches!(refused, HandleError::NotPublished(PublishError::Refused(Refusal::WrongSigner { settled: true } | Refusal::BadSignature))),
        "{refused:?}"
    );
    let alone = soon("a refusal", alice.handle.get_head(None)).await.expect_err("nobody to ask");
    assert!(matches!(alone, HandleError::Refused(CommandError::NoPeer(_))), "{alone:?}");
    alice.stop().await;
}

async fn a_dial_that_leads_nowhere_says_so<A: Runtime, B: Runtime>() {
    let chain = Chain::new();
    let (alice, gone) = (TestNode::of::<A>(&chain, config()).await, TestNode::of::<B>(&chain, config()).await);
    let address = gone.address.clone();
    gone.stop().await;
    let result = soon("the dial's end", alice.handle.dial(address.clone())).await;
    assert_eq!(result, Err(HandleError::NotReached { address, failure: DialFailure::Unreachable }));
    alice.stop().await;
}

async fn peers_of_the_configuration_are_dialed_at_start_by_name_too<A: Runtime, B: Runtime>() {
    let chain = Chain::new();
    let mut alice = TestNode::of::<A>(&chain, config()).await;
    let named = alice.address.to_string().replace("/ip4/127.0.0.1", "/dns4/localhost");
    let bob = TestNode::of::<B>(&chain, NetworkConfig { peers: vec![named.parse().expect("a multiaddr")], ..config() }).await;
    let us = bob.handle.local_peer_id();
    alice
        .until("a connection", |event| match event {
            NetworkEvent::Core(Event::PeerConnected { peer }) if peer == us => Some(()),
            _ => None,
        })
        .await;
    bob.stop().await;
    // An orderly end is seen at once on the other side.
    alice
        .until("the end of the connection", |event| match event {
            NetworkEvent::Core(Event::PeerDisconnected { peer }) if peer == us => Some(()),
            _ => None,
        })
        .await;
    alice.stop().await;
}

async fn an_application_that_does_not_read_loses_nothing<A: Runtime, B: Runtime>() {
    const BLOCKS: u64 = 60;
    let mut chain = Chain::new();
    let alice = TestNode::of::<A>(&chain, config()).await;
    // Room for two events, so that nearly every one meets a full channel.
    let mut bob = TestNode::of::<B>(&chain, NetworkConfig { event_capacity: 2, ..config() }).await;
    let connecting = bob.handle.dial(alice.address.clone());
    soon("a connection", connecting).await.expect("alice listens");
    for n in 0..BLOCKS {
        let txs = txlist(1000, n as u8);
        soon("publication", alice.handle.publish_commitment(chain.block(&txs))).await.expect("it is sent");
        soon("publication", alice.handle.publish_txlist(txs)).await.expect("it is sent");
    }
    // Nobody has read yet, and our own user is served all the same.
    soon("publication", bob.handle.publish_txlist(txlist(1000, 255))).await.expect("it is sent");
    let status = soon("an answer", bob.handle.status()).await.expect("a running node");
    assert!(status.node.head.is_none_or(|(number, _)| number < TIP + BLOCKS), "strangers wait while nobody reads: {status:?}");
    for number in TIP + 1..=TIP + BLOCKS {
        assert_eq!(bob.until("a ready block", ready).await.0, number);
    }
    // A burst from one honest peer is read as fast as it can be judged: nothing of it is refused for want of room.
    let refusals = bob.handle.status().await.expect("a running node").stats.refusals;
    assert!(!refusals.contains_key("no_room"), "{refusals:?}");
    alice.stop().await;
    bob.stop().await;
}

async fn killing_a_node_in_the_middle_of_a_transfer_leaves_the_others_running<A: Runtime, B: Runtime>() {
    let mut chain = Chain::new();
    let (alice, mut bob) = (TestNode::of::<A>(&chain, config()).await, TestNode::of::<B>(&chain, config()).await);
    let mut carol = TestNode::of::<A>(&chain, config()).await;
    let mut line = Line::to(&alice.address);
    bob.connect(&alice, &line.address).await;
    carol.connect(&alice, &alice.address).await;
    carol.connect(&bob, &bob.address).await;
    let txlist_1 = txlist(MAX_TXLIST_BYTES, 1);
    soon("publication", alice.handle.publish_commitment(chain.block(&txlist_1))).await.expect("it is sent");
    soon("publication", alice.handle.publish_txlist(txlist_1.clone())).await.expect("it is sent");
    bob.until("a ready block", ready).await;
    carol.until("a ready block", ready).await;

    line.stall_after(MAX_TXLIST_BYTES / 2);
    let from = alice.handle.local_peer_id();
    let (answer, asking) = oneshot::channel();
    let asker = bob.handle.clone();
    B::spawn(Box::pin(async move {
        let _ = answer.send(asker.get_raw_txlist(keccak256(&txlist_1), Some(from)).await);
    }));
    soon("the middle of the transfer", line.stalled()).await;
    alice.task.abort(); // no farewell
    drop(line);
    let end = soon("the request's end", asking).await.expect("an answer");
    assert_eq!(end, Err(HandleError::RequestFailed { peer: from, error: RequestError::Failed(RequestFailure::Closed) }));

    let txlist_2 = txlist(MAX_TXLIST_BYTES, 2);
    soon("publication", bob.handle.publish_commitment(chain.block(&txlist_2))).await.expect("it is sent");
    soon("publication", bob.handle.publish_txlist(txlist_2)).await.expect("it is sent");
    assert_eq!(carol.until("a ready block", ready).await.0, TIP + 2);
    bob.stop().await;
    carol.stop().await;
}
