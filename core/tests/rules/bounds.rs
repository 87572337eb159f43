//! No stranger can make a node grow past its bounds (P10).
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use preconf_core::*;

/// A node of small bounds, so that they are met quickly.
fn small() -> Config {
    Config {
        max_held: 32,
        max_held_per_peer: 8,
        max_commitments: 16,
        max_txlist_bytes: 40_000,
        max_orphan_bytes: 20_000,
        max_orphan_bytes_per_peer: 5_000,
        txlist_cap: 4_000,
        max_unsent: 4,
        max_unsent_bytes: 10_000,
        ..Config::new(CHAIN)
    }
}

fn within_bounds(node: &Node) {
    let (held, bound) = (node.core.memory_bytes(), memory_bound(&small()));
    assert!(held <= bound, "{held} bytes held, {bound} allowed");
}

/// Blocks by the elected signer that all name parents nobody has.
fn orphans(count: u64) -> impl Iterator<Item = SignedCommitment> {
    (0..count).map(|i| Writer { number: 10 + i, parent: B256::from(U256::from(i + 1)), ..Writer::new(1) }.block().0)
}

#[test]
fn p5_1_held_messages_are_bounded_in_all_per_peer_and_per_place() {
    let mut node = Node::with(small());
    (1..=9).for_each(|name| node.connect(name));
    let orphans: Vec<_> = orphans(80).collect();
    for signed in &orphans[..20] {
        node.commitment(1, signed);
        within_bounds(&node);
    }
    assert_eq!(node.status().held, 8, "one peer");
    for (signed, name) in orphans.iter().zip((2..=9).cycle()) {
        node.commitment(name, signed);
        within_bounds(&node);
    }
    assert_eq!(node.status().held, 32, "all peers; the newest lost");
    node.wait(Duration::from_secs(60));
    assert_eq!(node.status().held, 0);
    for i in 0..8u8 {
        let signed = Writer { number: 10, parent: B256::repeat_byte(i), ..Writer::new(1) }.block().0;
        node.commitment(i + 1, &signed);
    }
    assert_eq!(node.status().held, 4, "one (window, block number)");
}

#[test]
fn commitments_that_were_ready_give_way_and_those_still_needed_stay() {
    let (mut node, mut writer) = (Node::with(small()), Writer::new(1));
    node.connect(9);
    for _ in 0..50 {
        node.block(9, &writer.block());
        within_bounds(&node);
        assert!(node.status().commitments <= 16);
    }
    assert_eq!((node.head(), node.status().ready_to), (Some(50), 50));
    // Nothing of this is ready: room for it ends, and the head with it, but nothing is lost.
    let stuck: Vec<_> = (0..30).map(|_| writer.block()).collect();
    for (signed, _) in &stuck {
        node.commitment(9, signed);
        within_bounds(&node);
    }
    let head = node.head().unwrap();
    assert!((51..=66).contains(&head), "{head}");
    for (_, txlist) in &stuck[..(head - 50) as usize] {
        node.txlist(9, txlist);
    }
    assert_eq!(node.status().ready_to, head);
}

#[test]
fn txlists_are_bounded_in_bytes_and_the_ones_of_executed_blocks_give_way() {
    let (mut node, mut writer) = (Node::with(small()), Writer::new(1));
    node.connect(9);
    for byte in 0..40u8 {
        let txlist = Bytes::from(vec![byte; 3_000]);
        let signed = writer.write(|preconf| preconf.raw_tx_list_hash = keccak256(&txlist));
        node.block(9, &(signed, txlist));
        node.wait(Duration::from_secs(5)); // within the peer's quota
        within_bounds(&node);
        assert!(node.status().txlist_bytes <= 60_000);
    }
    assert_eq!(node.status().ready_to, 40);
}

#[test]
fn our_own_messages_wait_within_bounds_and_one_too_many_is_refused() {
    let mut node = Node::with(small());
    for byte in 0..3 {
        let (_, outputs) = node.command(Command::PublishTxList(vec![byte; 3_000].into())).unwrap();
        for output in outputs {
            if let Output::Net(Action::Publish { publish, .. }) = output {
                node.input(Input::PublishFinished { publish, outcome: PublishOutcome::NoPeers });
            }
        }
        within_bounds(&node);
    }
    let full = CommandError::Publish(PublishError::QueueFull { max: 4, max_bytes: 10_000 });
    assert_eq!(node.command(Command::PublishTxList(vec![9; 3_000].into())).unwrap_err(), full);
}

#[test]
fn p7_6_peers_are_remembered_within_a_bound() {
    let mut node = Node::with(small());
    for i in 0..5_000u64 {
        let peer = PeerId::from_bytes(&i.to_be_bytes()).unwrap();
        let opened = |connection| Input::ConnectionOpened { peer, connection, direction: Direction::Inbound, address: None, dial: None };
        node.input(opened(ConnectionId(i)));
        node.input(Input::GossipReceived { peer, message: MessageId([0; 20]), topic: Topic::Commitments, data: Bytes::new() });
        if i % 2 == 0 {
            node.input(Input::ConnectionClosed { peer, connection: ConnectionId(i) });
        }
    }
    within_bounds(&node);
    assert_eq!(node.status().peers, 1024, "the others were sent away");
}

#[test]
fn strangers_are_not_heard_while_nobody_drains_the_outputs() {
    // P10.1
    let mut node = Node::with(small());
    node.connect(9);
    for _ in 0..100_000 {
        node.quiet(gossip(9, Topic::Commitments, Bytes::new()));
    }
    assert!(node.core.stats().unheard > 0);
    within_bounds(&node);
    node.drain();
    assert_eq!(verdicts(&node.gossip(9, Topic::Commitments, Bytes::new())), [Verdict::Reject]);
}

#[test]
fn jobs_under_way_are_bounded_for_one_peer_and_in_all() {
    let mut node = Node::with(small());
    (1..=30).for_each(|name| node.connect(name));
    let blocks: Vec<_> = (0..600).map(|i| Writer { number: i, parent: B256::from(U256::from(i)), ..Writer::new(1) }.block()).collect();
    for ((signed, txlist), name) in blocks.iter().zip((1..=30).cycle()) {
        node.quiet(gossip(1, Topic::Commitments, signed.as_bytes().to_vec()));
        node.quiet(gossip(name, Topic::Commitments, signed.as_bytes().to_vec()));
        let list = RawTxList { hash: keccak256(txlist), txlist: txlist.clone() };
        node.quiet(gossip(name, Topic::TxLists, list.encode()));
    }
    let status = node.status();
    assert!(status.jobs <= 1024 + 30 * 8, "{} jobs", status.jobs);
    within_bounds(&node);
    node.drain();
    assert_eq!(node.status().jobs, 0);
    within_bounds(&node);
}

#[test]
fn no_input_in_any_order_makes_it_panic() {
    // P10.2: ids that were never handed out, peers that were never there, times that go back.
    let mut node = Node::with(small());
    let stranger = peer(99);
    let inputs = [
        Input::ConnectionClosed { peer: stranger, connection: ConnectionId(7) },
        Input::DialFailed { dial: DialId(7), failure: DialFailure::Unreachable },
        Input::PeerIdentified { peer: stranger, spoken: Spoken::default() },
        Input::AddressSeen { peer: stranger, address: [203, 0, 113, 7].into() },
        Input::PeerSubscribed { peer: stranger, topic: Topic::TxLists },
        Input::PeerUnsubscribed { peer: stranger, topic: Topic::TxLists },
        gossip(99, Topic::Commitments, vec![0; 382]),
        gossip(99, Topic::TxLists, vec![0; 36]),
        Input::RequestReceived { peer: stranger, channel: ChannelId(0), protocol: Protocol::GetHead, body: Bytes::new() },
        Input::RequestBroken { peer: stranger },
        Input::ChannelClosed { channel: ChannelId(7) },
        Input::ResponseReceived { request: RequestId(7), body: Bytes::new() },
        Input::RequestFailed { request: RequestId(7), failure: RequestFailure::BadFrame },
        Input::PublishFinished { publish: PublishId(7), outcome: PublishOutcome::Busy },
        Input::JobFinished(JobDone { id: JobId(7), found: Found::Hash(B256::ZERO) }),
        Input::JobFinished(JobDone { id: JobId(7), found: Found::Signer(None) }),
    ];
    for now in [node.now, Now { mono: Time(u64::MAX), unix: UnixTime(u64::MAX) }, Now::default()] {
        node.now = now;
        for input in &inputs {
            node.input(input.clone());
            node.core.handle_timeout(now);
        }
        node.update(Update::MoveSyncTip(SyncTip { block_number: u64::MAX, preconfirmation_hash: None })).unwrap();
        node.update(Update::MoveSyncTip(SyncTip { block_number: 0, preconfirmation_hash: None })).unwrap();
    }
    within_bounds(&node);
}
