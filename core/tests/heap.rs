//! Does the machine count what the allocator gives it (P10.3)?
//!
//! Table by table: a story fills it, and the heap must not have grown by more than what the machine says that it did, within 2 %.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

#[path = "support/mod.rs"]
mod support;

use std::alloc::System;
use std::net::IpAddr;
use std::time::Duration;

use cap::Cap;
use preconf_core::*;
use support::*;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// By how much a story lets the heap grow, and what the machine counts of that.
fn grown(config: Config, story: impl FnOnce(&mut Node)) -> (usize, usize) {
    let mut node = Node::with(config);
    let (heap, counted) = (HEAP.allocated(), node.core.memory_bytes());
    story(&mut node);
    (HEAP.allocated().saturating_sub(heap), node.core.memory_bytes().saturating_sub(counted))
}

/// An id of the longest kind that libp2p makes of keys.
fn peer_of(kind: u8, number: u16) -> PeerId {
    PeerId::from_bytes(&[&[0, 36, kind][..], &number.to_be_bytes(), &[7; 33]].concat()).unwrap()
}

/// Tells the machine something, and drops what comes of it.
fn tell(node: &mut Node, input: Input) {
    node.core.handle_input(node.now, input);
    while node.core.poll_output().is_some() {}
}

fn gossip_of(peer: PeerId, topic: Topic, data: Bytes) -> Input {
    Input::GossipReceived { peer, message: message_id(CHAIN, topic, &data), topic, data }
}

fn commitment_of(peer: PeerId, signed: &SignedCommitment) -> Input {
    gossip_of(peer, Topic::Commitments, Bytes::copy_from_slice(signed.as_bytes()))
}

fn chain_of_3840(node: &mut Node) {
    let end = START + 9_000;
    let window = Window { start: START, end, preconfer: address_of(&key(1)), settled_at: Some(0) };
    node.update(Update::Schedule(vec![window])).unwrap();
    let mut writer = Writer { window_end: end, ..Writer::new(1) };
    for _ in 0..3_840 {
        node.commitment(9, &writer.block().0);
    }
    assert_eq!(node.head(), Some(3_840));
}

fn held(node: &mut Node) {
    let mut writer = Writer::new(1);
    writer.block();
    for number in 0..512 {
        let signed = writer.write(|preconf| preconf.raw_tx_list_hash = B256::repeat_byte(1));
        node.input(commitment_of(peer_of(1, number), &signed));
    }
    assert_eq!(node.status().held, 512);
}

fn remembered_peers(node: &mut Node) {
    for round in 0..20 {
        node.now = node.now.after(Duration::from_secs(11));
        node.core.handle_timeout(node.now);
        for number in 0..4_096_u16 {
            (0..if round == 0 { 64 } else { 1 }).for_each(|_| tell(node, Input::RequestBroken { peer: peer_of(2, number) }));
        }
    }
}

fn connected_peers(node: &mut Node) {
    for number in 0..1_024_u16 {
        let peer = peer_of(3, number);
        for line in 0..16_u64 {
            let address: IpAddr = format!("2001:{line:x}:{number:x}::1").parse().unwrap();
            let connection = ConnectionId(u64::from(number) * 16 + line);
            let direction = Direction::Outbound;
            tell(node, Input::ConnectionOpened { peer, connection, direction, address: Some(address), dial: None });
        }
        let protocols = SupportedProtocols { get_head: true, get_commitments: true, get_txlist: true, gossip: true };
        tell(node, Input::PeerIdentified { peer, protocols });
    }
}

fn candidates(node: &mut Node) {
    for number in 0..1_024_u16 {
        let [high, low] = number.to_be_bytes();
        let address = |i: u8| format!("/ip6/2a01:{i:x}{high:x}:{low:x}:ffff:ffff:ffff:ffff:ffff/udp/65535/quic-v1");
        let record = NodeRecord {
            peer: peer_of(4, number),
            sequence: 1,
            chain: ChainLabel::Chain(CHAIN),
            addresses: (0..4).map(address).collect(),
            text: "x".repeat(404),
        };
        tell(node, Input::RecordFound { record: Box::new(record) });
    }
}

fn small_orphans(node: &mut Node) {
    for number in 0..1_000_u16 {
        let txlist = Bytes::from(number.to_be_bytes().to_vec());
        let data = RawTxList { hash: keccak256(&txlist), txlist }.encode();
        node.input(gossip_of(peer_of(5, number / 8), Topic::TxLists, data));
    }
}

/// Cuts a frame into pieces, as the codec reads it from a line.
fn framed(body: &[u8]) -> Bytes {
    let mut decoder = FrameDecoder::new(u32::MAX);
    let (prefix, used) = frame_prefix(u32::try_from(body.len()).unwrap());
    let mut whole = None;
    for chunk in [&prefix[..used]].into_iter().chain(body.chunks(16 << 10)) {
        let mut input = chunk;
        whole = whole.or(decoder.decode(&mut input).unwrap());
    }
    whole.unwrap()
}

/// Fetches so many txlists of a length from a peer.
fn fetched(len: usize, count: u8) -> impl FnOnce(&mut Node) {
    move |node| {
        node.connect(9);
        let lists: Vec<Vec<u8>> = (0..count).map(|byte| vec![byte; len]).collect();
        let mut writer = Writer::new(1);
        for list in &lists {
            node.commitment(9, &writer.write(|preconf| preconf.raw_tx_list_hash = keccak256(list)));
        }
        let of = |hash: B256| lists.iter().find(|list| keccak256(list) == hash).unwrap();
        let mut outputs = node.wait(Duration::from_secs(1));
        for _ in 0..400 {
            for (request, _, protocol, body) in requests(&std::mem::take(&mut outputs)) {
                let input = match protocol {
                    Protocol::GetTxList => {
                        let hash = GetTxListRequest::decode(&body).unwrap().hash;
                        let body = framed(&RawTxList { hash, txlist: Bytes::copy_from_slice(of(hash)) }.encode());
                        Input::ResponseReceived { request, body }
                    }
                    Protocol::GetHead | Protocol::GetCommitments => Input::RequestFailed { request, failure: RequestFailure::Unreachable },
                };
                outputs.extend(node.input(input));
            }
            outputs.extend(node.wait(Duration::from_secs(1)));
        }
        assert_eq!(node.status().missing_txlists, 0);
    }
}

fn recoveries(node: &mut Node) {
    let mut writer = Writer::new(1);
    for number in 0..1_024_u16 {
        writer.number = u64::from(number) % 700;
        let signed = writer.write(|preconf| preconf.raw_tx_list_hash = B256::repeat_byte((number / 700) as u8 + 1));
        tell(node, commitment_of(peer_of(6, number / 64), &signed));
    }
}

fn own_words(node: &mut Node) {
    node.connect(9);
    let mut writer = Writer::new(1);
    for _ in 0..200 {
        publish(node, &writer.block().0).unwrap();
    }
}

/// What fills a table: its name, under which configuration, and how.
type Story = (&'static str, Config, Box<dyn FnOnce(&mut Node)>);

#[test]
fn p10_3_the_heap_holds_no_more_than_is_counted() {
    let plain = || Config::new(CHAIN);
    let many = || Config {
        connections: ConnectionLimits { total: 1024, target_peers: 1024, reserved_outbound: 0, ..ConnectionLimits::PROD },
        gater: GaterConfig { max_per_neighbourhood: 1 << 20, ..GaterConfig::default() },
        ..plain()
    };
    let found = || Config { discovery: Some(DiscoveryConfig::PROD), ..plain() };
    let stories: Vec<Story> = vec![
        ("3840 commitments whose txlists are missing", plain(), Box::new(chain_of_3840)),
        ("512 held commitments", plain(), Box::new(held)),
        ("4096 remembered peers, 64 changes each", plain(), Box::new(remembered_peers)),
        ("1024 connected peers, 16 connections each", many(), Box::new(connected_peers)),
        ("1024 candidates with four addresses", found(), Box::new(candidates)),
        ("1000 orphan txlists of two bytes", plain(), Box::new(small_orphans)),
        ("40 fetched txlists of 1 MiB less 36 bytes", plain(), Box::new(fetched((1 << 20) - 36, 40))),
        ("40 fetched txlists of 1 MiB less 35 bytes", plain(), Box::new(fetched((1 << 20) - 35, 40))),
        ("40 fetched txlists of 2 MiB", plain(), Box::new(fetched(2 << 20, 40))),
        ("100 fetched txlists of 70 KiB", plain(), Box::new(fetched(70 << 10, 100))),
        ("1024 signers being recovered", plain(), Box::new(recoveries)),
        ("200 commitments of our own", plain(), Box::new(own_words)),
    ];
    let mut over = Vec::new();
    for (name, config, story) in stories {
        let (heap, counted) = grown(config, story);
        println!("{name:<44} heap {heap:>12}  counted {counted:>12}  {:.2}", heap as f64 / counted.max(1) as f64);
        if heap > counted + counted / 50 {
            over.push((name, heap, counted));
        }
    }
    assert!(over.is_empty(), "the heap holds more than is counted: {over:#?}");
}
