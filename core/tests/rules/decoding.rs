//! Strict decoding (P3.1): what is accepted encodes to the same bytes, and everything else is refused with its reason.

use preconf_core::{
    Address, B256, Bytes, COMMITMENT_BYTES, CommitmentsPage, DecodeError, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest,
    MAX_COMMITMENTS_PER_RESPONSE, MAX_TXLIST_BYTES, PRECONFIRMATION_BYTES, PreconfCommitment, PreconfHead, Preconfirmation, RawTxList,
    SIGNED_COMMITMENT_BYTES, SignedCommitment, TXLIST_HEADER_BYTES, U256,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn fields_stand_where_the_table_of_p3_says() {
    let preconf = Preconfirmation {
        eop: true,
        block_number: U256::from(0x0201),
        timestamp: U256::from(2),
        gas_limit: U256::from(3),
        coinbase: Address::repeat_byte(4),
        anchor_block_number: U256::from(5),
        raw_tx_list_hash: B256::repeat_byte(6),
        parent_preconfirmation_hash: B256::repeat_byte(7),
        submission_window_end: U256::from(8),
        prover_auth: Address::repeat_byte(9),
        proposal_id: U256::from(10),
    };
    let signed = SignedCommitment::new(PreconfCommitment { preconf, slasher_address: Address::repeat_byte(11) }, [12; 65]);
    let word = |low: u8| U256::from(low).to_le_bytes::<32>().to_vec();
    let expected = [
        vec![1],
        U256::from(0x0201).to_le_bytes::<32>().to_vec(),
        word(2),
        word(3),
        vec![4; 20],
        word(5),
        vec![6; 32],
        vec![7; 32],
        word(8),
        vec![9; 20],
        word(10),
        vec![11; 20],
        vec![12; 65],
    ]
    .concat();
    assert_eq!(signed.as_bytes()[..], expected);
    // P3.2: what is hashed and signed are prefixes of what travels.
    assert_eq!(signed.preconfirmation_preimage(), &expected[..PRECONFIRMATION_BYTES]);
    assert_eq!(signed.signing_preimage(), &expected[..COMMITMENT_BYTES]);
    assert_eq!(signed.signature(), &[12; 65]);
}

#[test]
fn a_commitment_of_any_other_length_is_refused_with_both_lengths() {
    // P3.1, C1
    let bytes = [0; 2 * SIGNED_COMMITMENT_BYTES];
    for len in (0..bytes.len()).filter(|len| *len != SIGNED_COMMITMENT_BYTES) {
        let refused = Err(DecodeError::Length { len, expected: SIGNED_COMMITMENT_BYTES });
        assert_eq!(SignedCommitment::decode(&bytes[..len]), refused);
    }
}

#[test]
fn a_bool_is_0_or_1_and_nothing_else() {
    // P3.1, C1
    let mut bytes = [0; SIGNED_COMMITMENT_BYTES];
    for eop in 0..=255 {
        bytes[0] = eop;
        let decoded = SignedCommitment::decode(&bytes).map(|signed| signed.preconf().eop);
        assert_eq!(decoded, if eop <= 1 { Ok(eop == 1) } else { Err(DecodeError::Bool(eop)) });
    }
}

#[test]
fn the_head_request_has_one_value() {
    // P3.1: the list holds none, so every byte but the offset is one too many.
    assert_eq!(GetHeadRequest::decode(&[4, 0, 0, 0]), Ok(GetHeadRequest));
    assert_eq!(GetHeadRequest::decode(&[4, 0, 0]), Err(DecodeError::TooShort { len: 3, min: 4 }));
    assert_eq!(GetHeadRequest::decode(&[5, 0, 0, 0]), Err(DecodeError::Offset { offset: 5, expected: 4 }));
    assert_eq!(GetHeadRequest::decode(&[4, 0, 0, 0, 0]), Err(DecodeError::Length { len: 5, expected: 4 }));
}

#[test]
fn a_txlist_may_be_as_long_as_its_cap_and_no_longer() {
    // P3.3, T1
    let of_len = |len: usize| RawTxList { hash: B256::ZERO, txlist: vec![0; len].into() }.encode();
    let longest = RawTxList::decode(&of_len(MAX_TXLIST_BYTES), MAX_TXLIST_BYTES).expect("at the cap");
    assert_eq!(longest.txlist.len(), MAX_TXLIST_BYTES);
    let refused = Err(DecodeError::TooLong { len: MAX_TXLIST_BYTES + 1, max: MAX_TXLIST_BYTES });
    assert_eq!(RawTxList::decode(&of_len(MAX_TXLIST_BYTES + 1), MAX_TXLIST_BYTES), refused);
}

#[test]
fn a_page_holds_at_most_256() {
    // P3.3
    let page = |count: usize| CommitmentsPage::decode(&[vec![4, 0, 0, 0], vec![0; count * SIGNED_COMMITMENT_BYTES]].concat().into());
    assert_eq!(page(MAX_COMMITMENTS_PER_RESPONSE).map(|page| page.len()), Ok(256));
    assert_eq!(page(257), Err(DecodeError::TooLong { len: 257, max: 256 }));
    assert!(page(0).is_ok_and(|page| page.is_empty()));
}

#[test]
fn what_stands_before_a_bad_item_of_a_page_keeps_its_worth() {
    // P6.4
    let good = [0; SIGNED_COMMITMENT_BYTES];
    let mut bad = good;
    bad[0] = 2;
    let page = CommitmentsPage::decode(&[&[4, 0, 0, 0][..], &good, &bad, &good].concat().into()).expect("the shape is right");
    let items: Vec<_> = page.iter().map(|item| item.map(|signed| signed.preconf().eop)).collect();
    assert_eq!(items, [Ok(false), Err(DecodeError::Bool(2)), Ok(false)]);
}

/// Every decoder, as bytes in and the same bytes out again; `None` when it refuses.
type Reader = fn(&Bytes) -> Option<Bytes>;
const READERS: [(&str, Reader); 7] = [
    ("SignedCommitment", |bytes| SignedCommitment::decode(bytes).ok().map(|read| rebuilt(&read))),
    ("RawTxList", |bytes| RawTxList::decode(bytes, MAX_TXLIST_BYTES).ok().map(|read| read.encode())),
    ("GetHeadRequest", |bytes| GetHeadRequest::decode(bytes).ok().map(|_| Bytes::from_static(&GetHeadRequest::BYTES))),
    ("PreconfHead", |bytes| PreconfHead::decode(bytes).ok().map(|read| read.encode())),
    ("GetCommitmentsRequest", |bytes| GetCommitmentsRequest::decode(bytes).ok().map(|read| read.encode())),
    ("GetTxListRequest", |bytes| GetTxListRequest::decode(bytes).ok().map(|read| read.encode())),
    ("CommitmentsPage", |bytes| {
        let page = CommitmentsPage::decode(bytes).ok()?;
        let items: Vec<_> = page.iter().collect::<Result<_, _>>().ok()?;
        Some(CommitmentsPage::encode(items.iter()))
    }),
];

/// Written anew from its fields: the bytes that it was read from must not help.
fn rebuilt(read: &SignedCommitment) -> Bytes {
    Bytes::copy_from_slice(SignedCommitment::new(read.commitment().clone(), *read.signature()).as_bytes())
}

/// A well-formed message of each container, in the order of [`READERS`].
fn messages() -> [BoxedStrategy<Vec<u8>>; 7] {
    let commitment =
        (any::<bool>(), vec(any::<u8>(), SIGNED_COMMITMENT_BYTES - 1)).prop_map(|(eop, rest)| [vec![u8::from(eop)], rest].concat());
    let txlist = (vec(any::<u8>(), 32), vec(any::<u8>(), 0..100)).prop_map(|(hash, list)| [hash, vec![36, 0, 0, 0], list].concat());
    let page = vec(commitment.clone(), 0..4).prop_map(|items| [vec![4, 0, 0, 0], items.concat()].concat());
    [
        commitment.boxed(),
        txlist.boxed(),
        Just(vec![4, 0, 0, 0]).boxed(),
        vec(any::<u8>(), 64).boxed(),
        vec(any::<u8>(), 36).boxed(),
        vec(any::<u8>(), 32).boxed(),
        page.boxed(),
    ]
}

/// Bytes that come close to some container: one of it, cut, extended, or with bytes changed.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let message = prop::sample::select((0..READERS.len()).collect::<Vec<_>>()).prop_flat_map(|index| messages()[index].clone());
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (message, changes, any::<prop::sample::Index>(), vec(any::<u8>(), 0..8)).prop_map(|(mut bytes, changes, cut, tail)| {
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if cut.index(3) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(tail);
        bytes
    })
}

proptest! {
    #[test]
    fn whatever_is_accepted_encodes_to_itself(bytes in hostile()) {
        // P3.1
        let bytes = Bytes::from(bytes);
        for (name, read) in READERS {
            if let Some(written) = read(&bytes) {
                prop_assert_eq!(&written, &bytes, "{}", name);
            }
        }
    }

    #[test]
    fn every_well_formed_message_is_accepted(messages in messages()) {
        // P3.1
        for ((name, read), message) in READERS.into_iter().zip(messages) {
            prop_assert_eq!(read(&message.clone().into()), Some(message.into()), "{}", name);
        }
    }

    #[test]
    fn every_truncation_and_extension_of_a_fixed_container_is_refused(messages in messages(), more in vec(any::<u8>(), 1..400)) {
        // P3.1: the two lists of bytes and of commitments take what is a whole number of elements; their own tests are above and below.
        for ((name, read), message) in READERS.into_iter().zip(messages) {
            if name == "RawTxList" || name == "CommitmentsPage" {
                continue;
            }
            for len in 0..message.len() {
                prop_assert_eq!(read(&Bytes::copy_from_slice(&message[..len])), None, "{} cut to {}", name, len);
            }
            prop_assert_eq!(read(&[message, more.clone()].concat().into()), None, "{} with more", name);
        }
    }

    #[test]
    fn a_page_is_refused_unless_its_items_are_whole(count in 0usize..4, more in 1..SIGNED_COMMITMENT_BYTES) {
        // P3.1
        let len = count * SIGNED_COMMITMENT_BYTES + more;
        let page = CommitmentsPage::decode(&[vec![4, 0, 0, 0], vec![0; len]].concat().into());
        prop_assert_eq!(page, Err(DecodeError::Ragged { len, element: SIGNED_COMMITMENT_BYTES }));
    }

    #[test]
    fn the_one_offset_is_exactly_the_length_of_the_fixed_part(offset in any::<u32>(), near in 0u32..80, rest in vec(any::<u8>(), 0..80)) {
        // P3.1
        for offset in [offset, near] {
            let raw = offset.to_le_bytes();
            let txlist = RawTxList::decode(&[vec![0; 32], raw.to_vec(), rest.clone()].concat().into(), 1 << 10);
            prop_assert_eq!(txlist.is_ok(), offset == TXLIST_HEADER_BYTES as u32);
            let page = CommitmentsPage::decode(&raw.to_vec().into());
            prop_assert_eq!(page.is_ok(), offset == 4);
        }
    }
}
