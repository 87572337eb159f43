//! What are the canonical bytes of a value?
//!
//! Those that postcard gives it: numbers are varints, lists and strings carry their length, `Option` and enums a tag, structs their fields in
//! order. A variant is known by its place among the others of its enum, a field by its place in its struct; whoever adds, takes away or moves
//! one in a type that a trace holds changes the format, and [`FORMAT_VERSION`](crate::FORMAT_VERSION) has to rise (`tests/pinned.rs` notices).
//!
//! One value has one encoding, and no other bytes decode to it. Postcard alone would read more than it writes, such as a varint that is longer
//! than need be; so what was read is written again, and must give the bytes that it was read from.
//!
//! Bytes of a file are as good as bytes of a stranger: decoding never panics and never recurses, since no type holds itself. A string gets its
//! memory once its bytes are there; a list for as many items as there are bytes left, and for no more than 1 MiB (serde's own caution) before
//! its items come.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Flaw;

/// Hands over a value's bytes, piece by piece.
///
/// # Errors
/// A list that does not know its length. No type of the core's has one.
pub(crate) fn encode(value: &(impl Serialize + ?Sized), to: impl FnMut(&[u8])) -> postcard::Result<()> {
    postcard::serialize_with_flavor(value, To(to))
}

struct To<F>(F);

impl<F: FnMut(&[u8])> Flavor for To<F> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        (self.0)(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The part of a record that is not read yet.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Self {
        Self { rest: record }
    }

    /// The next value.
    pub(crate) fn take<T: Serialize + DeserializeOwned>(&mut self) -> Result<T, Flaw> {
        let (value, rest) = postcard::take_from_bytes::<T>(self.rest).map_err(|error| match error {
            postcard::Error::DeserializeUnexpectedEnd => Flaw::Short,
            _ => Flaw::Value,
        })?;
        let mut read = self.rest.strip_suffix(rest);
        let written = encode(&value, |piece| read = read.and_then(|read| read.strip_prefix(piece)));
        if written.is_err() || read != Some(&[]) {
            return Err(Flaw::NotCanonical);
        }
        self.rest = rest;
        Ok(value)
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may be left over.
    pub(crate) fn end(self) -> Result<(), Flaw> {
        if self.rest.is_empty() { Ok(()) } else { Err(Flaw::Leftover { bytes: self.rest.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use preconf_core::{B256, Bytes, Cidr, Command, PeerId};
    use proptest::prelude::*;

    use super::*;

    fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, Flaw> {
        let mut cursor = Cursor::new(bytes);
        let value = cursor.take()?;
        cursor.end().map(|()| value)
    }

    fn written(value: impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&value, |piece| bytes.extend_from_slice(piece)).expect("a value of known length");
        bytes
    }

    #[test]
    fn a_number_has_one_encoding() {
        assert_eq!(written(300u64), [0xac, 0x02]);
        assert_eq!(read::<u64>(&[0xac, 0x02]), Ok(300));
        assert_eq!(read::<u64>(&[0xac, 0x82, 0x00]), Err(Flaw::NotCanonical), "not minimal");
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!((written(u64::MAX), read::<u64>(&max)), (max.to_vec(), Ok(u64::MAX)));
        let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read::<u64>(&over), Err(Flaw::Value), "65 bits");
        assert_eq!(read::<u64>(&[0x80; 11]), Err(Flaw::Value), "no end");
        assert_eq!(read::<u32>(&written(1u64 << 32)), Err(Flaw::Value));
    }

    #[test]
    fn small_negative_numbers_are_short() {
        assert_eq!(written(-1i64), [1]);
        assert_eq!(read::<i64>(&written(i64::MIN)), Ok(i64::MIN));
    }

    #[test]
    fn a_span_of_time_has_one_encoding() {
        assert_eq!(read::<Duration>(&written((1u64, 5u32))), Ok(Duration::new(1, 5)));
        assert_eq!(read::<Duration>(&written((0u64, 1_000_000_005u32))), Err(Flaw::NotCanonical), "a second among the nanoseconds");
        assert_eq!(read::<Duration>(&written((u64::MAX, u32::MAX))), Err(Flaw::Value), "longer than any");
    }

    #[test]
    fn an_announced_length_sets_no_memory_aside() {
        // Whoever believed one of these would ask for more memory than there is, and abort.
        assert_eq!(read::<Bytes>(&written(u64::MAX)), Err(Flaw::Short));
        assert_eq!(read::<String>(&written(u64::MAX)), Err(Flaw::Short));
        assert_eq!(read::<Vec<B256>>(&written(u64::MAX)), Err(Flaw::Short));
        assert_eq!(read::<Vec<Command>>(&written((u64::MAX, [[3u8, 0]; 16]))), Err(Flaw::Short));
    }

    #[test]
    fn what_is_left_over_is_a_flaw() {
        assert_eq!(read::<bool>(&[1, 1]), Err(Flaw::Leftover { bytes: 1 }));
        assert_eq!(read::<bool>(&[2]), Err(Flaw::Value));
        assert_eq!(read::<Option<bool>>(&[2, 1]), Err(Flaw::Value));
    }

    #[test]
    fn a_subnet_has_one_spelling() {
        let subnet: Cidr = "2001:db8::/32".parse().expect("a subnet");
        assert_eq!(read::<Cidr>(&written(subnet)), Ok(subnet));
        assert_eq!(read::<Cidr>(&written("2001:0db8::/32")), Err(Flaw::NotCanonical));
        assert_eq!(read::<Cidr>(&written("2001:db8::1/32")), Err(Flaw::Value));
    }

    #[test]
    fn a_peer_id_has_its_length() {
        assert_eq!(read::<PeerId>(&written(Bytes::new())), Err(Flaw::Value));
        assert_eq!(read::<PeerId>(&written(Bytes::from_static(&[1; 45]))), Err(Flaw::Value));
        assert_eq!(read::<PeerId>(&written(Bytes::from_static(&[1; 44]))), Ok(PeerId::from_bytes(&[1; 44]).expect("as long as may be")));
    }

    proptest! {
        #[test]
        fn numbers_and_spans_read_back(number: u64, signed: i64, span: Duration) {
            prop_assert_eq!(read(&written(number)), Ok(number));
            prop_assert_eq!(read(&written(signed)), Ok(signed));
            prop_assert_eq!(read(&written(span)), Ok(span));
        }

        #[test]
        fn whatever_reads_as_a_command_is_what_it_writes(bytes in prop::collection::vec(any::<u8>(), 0..48)) {
            if let Ok(command) = read::<Command>(&bytes) {
                prop_assert_eq!(written(command), bytes);
            }
        }
    }
}
