//! One frame a direction: a minimal varint of the length, then the body (P3.4).

use preconf_core::{FrameDecoder, FrameError, Protocol, frame_prefix, max_request_bytes, max_response_bytes};
use proptest::prelude::*;

#[test]
fn each_message_may_be_as_long_as_its_largest_ssz_size() {
    // P3.4
    let caps = Protocol::ALL.map(|protocol| (max_request_bytes(protocol), max_response_bytes(protocol, 1000)));
    assert_eq!(caps, [(4, 64), (36, 4 + 256 * 382), (32, 36 + 1000)]);
}

#[test]
fn a_length_beyond_the_cap_is_refused_before_any_memory_is_set_aside() {
    // P3.4
    for len in [65, 1 << 20, u32::MAX] {
        let mut decoder = FrameDecoder::new(64);
        let (prefix, used) = frame_prefix(len);
        assert_eq!(decoder.decode(&mut &prefix[..used]), Err(FrameError::TooLarge { len, max: 64 }));
        assert_eq!(decoder.held_bytes(), 0);
    }
}

#[test]
fn a_stalled_announcement_of_2_mib_costs_what_arrived_and_less_than_64_kib() {
    // P3.4
    let mut decoder = FrameDecoder::new(2 << 20);
    let (prefix, used) = frame_prefix(2 << 20);
    assert_eq!(decoder.decode(&mut &prefix[..used]), Ok(None));
    for byte in 0..1000u32 {
        assert_eq!(decoder.decode(&mut &[byte as u8][..]), Ok(None));
        assert!(decoder.held_bytes() < 64 << 10);
    }
}

#[test]
fn lengths_that_are_not_minimal_or_beyond_32_bits_are_bad() {
    // P3.4
    for stream in [&[0x80, 0x00][..], &[0xff, 0x00], &[0x80, 0x80, 0x80, 0x80, 0x10], &[0xff; 10], &[0x84, 0x80, 0x80, 0x80, 0x10]] {
        assert_eq!(FrameDecoder::new(u32::MAX).decode(&mut &stream[..]), Err(FrameError::BadLength), "{stream:x?}");
    }
}

#[test]
fn a_frame_may_be_empty() {
    let mut decoder = FrameDecoder::new(0);
    let frame = decoder.decode(&mut &[0u8][..]).expect("a good length").expect("a whole frame");
    assert!(frame.is_empty() && decoder.is_at_boundary());
}

proptest! {
    #[test]
    fn any_length_reads_back_as_it_was_written(len in any::<u32>(), cap in any::<u32>()) {
        // P3.4
        let (prefix, used) = frame_prefix(len);
        let mut decoder = FrameDecoder::new(cap);
        let found = decoder.decode(&mut &prefix[..used]);
        if len > cap {
            prop_assert_eq!(found, Err(FrameError::TooLarge { len, max: cap }));
        } else if len > 0 {
            prop_assert_eq!(found, Ok(None));
            prop_assert_eq!(decoder.wants(), len as usize);
        }
    }

    #[test]
    fn nothing_behind_a_frame_is_taken_with_it(body in prop::collection::vec(any::<u8>(), 0..200), rest in prop::collection::vec(any::<u8>(), 0..50)) {
        let (prefix, used) = frame_prefix(body.len() as u32);
        let stream = [&prefix[..used], &body, &rest].concat();
        let mut input = &stream[..];
        let frame = FrameDecoder::new(200).decode(&mut input).expect("a good length").expect("a whole frame");
        prop_assert_eq!(frame.to_vec(), body);
        prop_assert_eq!(input.to_vec(), rest);
    }

    #[test]
    fn memory_is_at_most_twice_what_arrived_beyond_the_first_step(chunks in prop::collection::vec(1usize..5000, 0..60)) {
        // P3.4
        let mut decoder = FrameDecoder::new(2 << 20);
        let (prefix, used) = frame_prefix(2 << 20);
        prop_assert_eq!(decoder.decode(&mut &prefix[..used]), Ok(None));
        let mut arrived = 0;
        for chunk in chunks {
            prop_assert_eq!(decoder.decode(&mut &vec![0; chunk][..]), Ok(None));
            arrived += chunk;
            prop_assert!(decoder.held_bytes() <= (2 * arrived).max(4 << 10), "{} held of {arrived}", decoder.held_bytes());
        }
    }

    #[test]
    fn an_error_is_for_good_and_takes_no_more_memory(stream in prop::collection::vec(any::<u8>(), 0..64), cap in 0u32..100) {
        let mut decoder = FrameDecoder::new(cap);
        let mut input = &stream[..];
        let error = loop {
            match decoder.decode(&mut input) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => break error,
            }
        };
        prop_assert_eq!(decoder.decode(&mut &[1u8, 1][..]), Err(error));
        prop_assert_eq!(decoder.held_bytes(), 0);
    }
}
