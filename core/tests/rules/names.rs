//! Names on the wire: topics and protocols (P2.1–P2.4), gossip messages (P4.5, P4.5a).

use preconf_core::{
    B256, Bytes, ChainId, MAX_GOSSIP_BYTES, MAX_TXLIST_BYTES, MessageId, Protocol, RawTxList, SIGNED_COMMITMENT_BYTES, Topic, keccak256,
    legacy_topics, message_id,
};
use sha2::{Digest, Sha256};

const CHAIN: ChainId = ChainId(167_000);

#[test]
fn p2_1_and_p2_2_topics_carry_the_chain_id() {
    assert_eq!(Topic::Commitments.name(CHAIN), "/taiko/167000/0/preconfirmationCommitments");
    assert_eq!(Topic::TxLists.name(ChainId(u64::MAX)), "/taiko/18446744073709551615/0/rawTxLists");
}

#[test]
fn p2_3_protocols_carry_the_chain_id() {
    let names = Protocol::ALL.map(|protocol| protocol.name(CHAIN));
    let expected = ["get_head", "get_commitments_by_number", "get_raw_txlist"].map(|name| format!("/taiko/167000/preconf/1/{name}"));
    assert_eq!(names, expected);
}

#[test]
fn p2_4_no_topic_of_ours_is_a_legacy_one() {
    let legacy = legacy_topics(CHAIN);
    assert!(legacy.iter().all(|name| name.starts_with("/taiko/167000/0/")));
    for topic in Topic::ALL {
        assert!(!legacy.contains(&topic.name(CHAIN)));
    }
}

#[test]
fn p4_5_a_message_is_named_by_its_bytes_behind_a_domain_of_zeros() {
    let commitment = [1; SIGNED_COMMITMENT_BYTES];
    assert_eq!(message_id(CHAIN, Topic::Commitments, &commitment), name(&[&[0; 4], &commitment]));
    let list = txlist(b"a txlist");
    assert_eq!(message_id(CHAIN, Topic::TxLists, &list), name(&[&[0; 4], &list]));
}

#[test]
fn p4_5_a_snappy_block_is_named_by_its_content() {
    // 60 bytes as one literal: a length, a tag, the bytes; and by its shape it is a txlist message too.
    let mut plain = [0; 60];
    plain[30] = 36;
    let block = [&[60, 59 << 2][..], &plain].concat();
    assert_eq!(message_id(CHAIN, Topic::TxLists, &block), name(&[&[1, 0, 0, 0], &plain]));
}

/// A snappy block that is valid, unpacks to so many bytes, and has the shape of a txlist message: one literal of 60 bytes, then copies of it.
fn block_of(len: usize) -> Vec<u8> {
    let mut block: Vec<u8> = Vec::new();
    let mut rest = len;
    loop {
        let byte = (rest & 0x7f) as u8;
        rest >>= 7;
        block.push(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            break;
        }
    }
    block.push(59 << 2);
    let at = block.len();
    block.resize(at + 60, 0);
    block[32] = 36;
    let mut left = len - 60;
    while left > 0 {
        let copied = left.min(60);
        block.extend([((copied - 1) << 2) as u8 | 2, 60, 0]);
        left -= copied;
    }
    block
}

#[test]
fn p4_5_a_block_that_unpacks_to_more_than_any_message_of_ours_is_not_unpacked() {
    let longest = 36 + MAX_TXLIST_BYTES;
    let unpacked = snap::raw::Decoder::new().decompress_vec(&block_of(longest)).expect("a valid block");
    assert_eq!(message_id(CHAIN, Topic::TxLists, &block_of(longest)), name(&[&[1, 0, 0, 0], &unpacked]));
    for len in [longest + 1, 10_000_000, MAX_GOSSIP_BYTES] {
        let block = block_of(len);
        assert!(snap::raw::Decoder::new().decompress_vec(&block).is_ok_and(|plain| plain.len() == len), "it could be unpacked");
        assert_eq!(message_id(CHAIN, Topic::TxLists, &block), name(&[&[0; 4], &block]), "{len} bytes");
    }
}

#[test]
fn p4_5_a_block_that_announces_more_than_it_can_hold_is_not_unpacked() {
    let mut bomb = vec![0; 66];
    let announced = MAX_GOSSIP_BYTES as u32 + 1;
    for (i, byte) in bomb.iter_mut().take(4).enumerate() {
        *byte = (announced >> (7 * i)) as u8 & 0x7f | if i < 3 { 0x80 } else { 0 };
    }
    bomb[32] = 36;
    assert_eq!(message_id(CHAIN, Topic::TxLists, &bomb), name(&[&[0; 4], &bomb]));
}

#[test]
fn p4_5a_an_impossible_shape_is_named_together_with_its_topic() {
    let commitment = [0; SIGNED_COMMITMENT_BYTES];
    let mut eop_2 = commitment;
    eop_2[0] = 2;
    let too_long = txlist(&vec![0; MAX_TXLIST_BYTES + 1]);
    let wrong_offset = [&[0; 32][..], &[35, 0, 0, 0], &[7; 9]].concat();
    let impossible: [(Topic, &[u8]); 8] = [
        (Topic::Commitments, &[]),
        (Topic::Commitments, &commitment[1..]),
        (Topic::Commitments, &[0; SIGNED_COMMITMENT_BYTES + 1]),
        (Topic::Commitments, &eop_2),
        (Topic::TxLists, &[]),
        (Topic::TxLists, &[36; 35]),
        (Topic::TxLists, &wrong_offset),
        (Topic::TxLists, &too_long),
    ];
    for (topic, data) in impossible {
        let expected = name(&[&[2, 0, 0, 0], topic.name(CHAIN).as_bytes(), data]);
        assert_eq!(message_id(CHAIN, topic, data), expected, "{topic:?}, {} bytes", data.len());
    }
}

#[test]
fn p4_5a_a_commitment_sent_early_on_the_other_topic_does_not_take_the_real_ones_name() {
    let commitment = [0; SIGNED_COMMITMENT_BYTES];
    assert_ne!(message_id(CHAIN, Topic::Commitments, &commitment), message_id(CHAIN, Topic::TxLists, &commitment));
}

#[test]
fn p4_5_the_shortest_and_the_longest_txlist_have_possible_shapes() {
    for list in [txlist(b""), txlist(&vec![0; MAX_TXLIST_BYTES])] {
        assert_eq!(message_id(CHAIN, Topic::TxLists, &list), name(&[&[0; 4], &list]), "{} bytes", list.len());
    }
}

/// P4.5 by hand.
fn name(parts: &[&[u8]]) -> MessageId {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    MessageId(*hasher.finalize().first_chunk().expect("SHA-256 has 32 bytes"))
}

fn txlist(bytes: &[u8]) -> Bytes {
    let hash: B256 = keccak256(bytes);
    RawTxList { hash, txlist: Bytes::copy_from_slice(bytes) }.encode()
}
