//! What are the canonical bytes of a value?
//!
//! One value has one encoding, and no other bytes decode to it: numbers are minimal varints (least significant seven bits first), signed
//! ones zigzag, lists and strings carry their length, `Option` and enums a tag, structs their fields in the order of their table. What is
//! only digested ([`Encode`]) need not be readable back; what a trace holds ([`Decode`]) is.
//!
//! Bytes of a file are as good as bytes of a stranger: decoding never panics, and sets no memory aside for a length that was announced.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use preconf_core::{Address, B256, Bytes, Cidr, MessageId, PeerId, SIGNED_COMMITMENT_BYTES, SignedCommitment, U256};

use crate::error::Flaw;

/// Takes bytes: a record that is being written, or a digest.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Has canonical bytes.
pub(crate) trait Encode {
    fn encode(&self, to: &mut impl Sink);
}

/// Can be read back from them, and from nothing else.
pub(crate) trait Decode: Sized {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw>;
}

/// The part of a record that is not read yet. What is taken from it shares its memory.
pub(crate) struct Cursor {
    rest: Bytes,
}

impl Cursor {
    pub(crate) fn new(record: Bytes) -> Self {
        Self { rest: record }
    }

    pub(crate) fn take(&mut self, len: u64) -> Result<Bytes, Flaw> {
        let len = usize::try_from(len).ok().filter(|len| *len <= self.rest.len()).ok_or(Flaw::Short)?;
        Ok(self.rest.split_to(len))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let bytes = self.take(N as u64)?;
        bytes[..].try_into().map_err(|_| Flaw::Short)
    }

    /// Nothing may be left over.
    pub(crate) fn end(self) -> Result<(), Flaw> {
        if self.rest.is_empty() { Ok(()) } else { Err(Flaw::Leftover { bytes: self.rest.len() }) }
    }
}

/// Writes one struct both ways. Fields that are missing from its table do not compile.
macro_rules! fields {
    ($name:ident { $($field:ident),* $(,)? }) => {
        $crate::bytes::encode_fields!($name { $($field),* });
        impl $crate::bytes::Decode for $name {
            fn decode(from: &mut $crate::bytes::Cursor) -> Result<Self, $crate::error::Flaw> {
                Ok(Self { $($field: $crate::bytes::Decode::decode(from)?),* })
            }
        }
    };
}

/// The half of `fields!` for what is only digested.
macro_rules! encode_fields {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::bytes::Encode for $name {
            fn encode(&self, to: &mut impl $crate::bytes::Sink) {
                let Self { $($field),* } = self;
                $($crate::bytes::Encode::encode($field, to);)*
            }
        }
    };
}

/// Writes one enum both ways. Variants and fields that are missing from its table do not compile. A tag, once used, keeps its meaning.
macro_rules! choice {
    ($name:ident { $($tag:literal => $variant:ident $({ $($field:ident),* })? $(( $($part:ident),* ))?),* $(,)? }) => {
        $crate::bytes::encode_choice!($name { $($tag => $variant $({ $($field),* })? $(( $($part),* ))?),* });
        impl $crate::bytes::Decode for $name {
            fn decode(from: &mut $crate::bytes::Cursor) -> Result<Self, $crate::error::Flaw> {
                match <u8 as $crate::bytes::Decode>::decode(from)? {
                    $($tag => Ok(Self::$variant
                        $({ $($field: $crate::bytes::Decode::decode(from)?),* })?
                        $(( $({ let $part = $crate::bytes::Decode::decode(from)?; $part }),* ))?),)*
                    tag => Err($crate::error::Flaw::Tag { what: stringify!($name), tag }),
                }
            }
        }
    };
}

/// The half of `choice!` for what is only digested.
macro_rules! encode_choice {
    ($name:ident { $($tag:literal => $variant:ident $({ $($field:ident),* })? $(( $($part:ident),* ))?),* $(,)? }) => {
        impl $crate::bytes::Encode for $name {
            fn encode(&self, to: &mut impl $crate::bytes::Sink) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $($part),* ))? => {
                        to.put(&[$tag]);
                        $($($crate::bytes::Encode::encode($field, to);)*)?
                        $($($crate::bytes::Encode::encode($part, to);)*)?
                    })*
                }
            }
        }
    };
}

/// Structs around one value.
macro_rules! newtypes {
    ($($name:ident)*) => {$(
        impl $crate::bytes::Encode for $name {
            fn encode(&self, to: &mut impl $crate::bytes::Sink) {
                self.0.encode(to);
            }
        }
        impl $crate::bytes::Decode for $name {
            fn decode(from: &mut $crate::bytes::Cursor) -> Result<Self, $crate::error::Flaw> {
                $crate::bytes::Decode::decode(from).map(Self)
            }
        }
    )*};
}

pub(crate) use {choice, encode_choice, encode_fields, fields, newtypes};

impl Encode for u8 {
    fn encode(&self, to: &mut impl Sink) {
        to.put(&[*self]);
    }
}

impl Decode for u8 {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        from.array().map(|[byte]| byte)
    }
}

impl Encode for u64 {
    fn encode(&self, to: &mut impl Sink) {
        let (mut rest, mut bytes, mut len) = (*self, [0; 10], 0);
        loop {
            let low = rest as u8 & 0x7f;
            rest >>= 7;
            bytes[len] = if rest == 0 { low } else { low | 0x80 };
            len += 1;
            if rest == 0 {
                return to.put(&bytes[..len]);
            }
        }
    }
}

impl Decode for u64 {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = u8::decode(from)?;
            let low = u64::from(byte & 0x7f);
            if low << shift >> shift != low {
                return Err(Flaw::Number); // beyond 64 bits
            }
            number |= low << shift;
            if byte & 0x80 == 0 {
                let is_minimal = byte != 0 || shift == 0;
                return if is_minimal { Ok(number) } else { Err(Flaw::Number) };
            }
        }
        Err(Flaw::Number)
    }
}

/// Unsigned integers that travel as `u64`.
macro_rules! as_u64 {
    ($($name:ident)*) => {$(
        impl Encode for $name {
            fn encode(&self, to: &mut impl Sink) {
                (*self as u64).encode(to);
            }
        }
        impl Decode for $name {
            fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
                u64::decode(from)?.try_into().map_err(|_| Flaw::Number)
            }
        }
    )*};
}

as_u64!(u32 usize);

impl Encode for i64 {
    fn encode(&self, to: &mut impl Sink) {
        ((*self << 1) ^ (*self >> 63)).cast_unsigned().encode(to);
    }
}

impl Decode for i64 {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        let number = u64::decode(from)?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

impl Encode for bool {
    fn encode(&self, to: &mut impl Sink) {
        u8::from(*self).encode(to);
    }
}

impl Decode for bool {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        match u8::decode(from)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(Flaw::Tag { what: "bool", tag }),
        }
    }
}

impl Encode for NonZeroU8 {
    fn encode(&self, to: &mut impl Sink) {
        self.get().encode(to);
    }
}

impl Decode for NonZeroU8 {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        Self::new(u8::decode(from)?).ok_or(Flaw::Value("number that is not zero"))
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, to: &mut impl Sink) {
        self.is_some().encode(to);
        if let Some(value) = self {
            value.encode(to);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        bool::decode(from)?.then(|| T::decode(from)).transpose()
    }
}

impl<T: Encode, E: Encode> Encode for Result<T, E> {
    fn encode(&self, to: &mut impl Sink) {
        self.is_ok().encode(to);
        match self {
            Ok(value) => value.encode(to),
            Err(error) => error.encode(to),
        }
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, to: &mut impl Sink) {
        self.0.encode(to);
        self.1.encode(to);
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, to: &mut impl Sink) {
        self.len().encode(to);
        self.iter().for_each(|item| item.encode(to));
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        let len = u64::decode(from)?;
        // It grows with the items that are there, each of at least a byte, not with the length that was announced.
        let mut items = Self::new();
        for _ in 0..len {
            items.push(T::decode(from)?);
        }
        Ok(items)
    }
}

/// What owns another value is that value.
macro_rules! owners {
    ($($name:ident)*) => {$(
        impl<T: Encode> Encode for $name<T> {
            fn encode(&self, to: &mut impl Sink) {
                (**self).encode(to);
            }
        }
        impl<T: Decode> Decode for $name<T> {
            fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
                T::decode(from).map(Self::new)
            }
        }
    )*};
}

owners!(Arc Box);

impl Encode for str {
    fn encode(&self, to: &mut impl Sink) {
        self.len().encode(to);
        to.put(self.as_bytes());
    }
}

impl Encode for &str {
    fn encode(&self, to: &mut impl Sink) {
        (**self).encode(to);
    }
}

impl Encode for String {
    fn encode(&self, to: &mut impl Sink) {
        (**self).encode(to);
    }
}

impl Decode for String {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        let bytes = Bytes::decode(from)?;
        Self::from_utf8(bytes.into()).map_err(|_| Flaw::Value("text"))
    }
}

impl Encode for Bytes {
    fn encode(&self, to: &mut impl Sink) {
        self.len().encode(to);
        to.put(self);
    }
}

impl Decode for Bytes {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        let len = u64::decode(from)?;
        from.take(len)
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, to: &mut impl Sink) {
        to.put(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        from.array()
    }
}

impl Encode for Address {
    fn encode(&self, to: &mut impl Sink) {
        to.put(self.as_slice());
    }
}

impl Decode for Address {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        from.array::<20>().map(Self::from)
    }
}

impl Encode for B256 {
    fn encode(&self, to: &mut impl Sink) {
        to.put(self.as_slice());
    }
}

impl Decode for B256 {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        from.array::<32>().map(Self::from)
    }
}

impl Encode for U256 {
    fn encode(&self, to: &mut impl Sink) {
        to.put(&self.to_le_bytes::<32>());
    }
}

impl Encode for Duration {
    fn encode(&self, to: &mut impl Sink) {
        self.as_secs().encode(to);
        self.subsec_nanos().encode(to);
    }
}

impl Decode for Duration {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        let (secs, nanos) = (u64::decode(from)?, u32::decode(from)?);
        if nanos < 1_000_000_000 { Ok(Self::new(secs, nanos)) } else { Err(Flaw::Value("span of time")) }
    }
}

impl Encode for RangeInclusive<u64> {
    fn encode(&self, to: &mut impl Sink) {
        self.start().encode(to);
        self.end().encode(to);
    }
}

impl Decode for RangeInclusive<u64> {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        Ok(u64::decode(from)?..=u64::decode(from)?)
    }
}

impl Encode for IpAddr {
    fn encode(&self, to: &mut impl Sink) {
        match self {
            Self::V4(v4) => (4u8, v4.octets()).encode(to),
            Self::V6(v6) => (6u8, v6.octets()).encode(to),
        }
    }
}

impl Decode for IpAddr {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        match u8::decode(from)? {
            4 => from.array::<4>().map(|octets| Ipv4Addr::from(octets).into()),
            6 => from.array::<16>().map(|octets| Ipv6Addr::from(octets).into()),
            tag => Err(Flaw::Tag { what: "IP address", tag }),
        }
    }
}

impl Encode for Cidr {
    fn encode(&self, to: &mut impl Sink) {
        self.to_string().encode(to);
    }
}

impl Decode for Cidr {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        let text = String::decode(from)?;
        // An IPv6 address has many spellings; the one that we write is the one that we take.
        text.parse().ok().filter(|subnet: &Self| subnet.to_string() == text).ok_or(Flaw::Value("subnet"))
    }
}

impl Encode for PeerId {
    fn encode(&self, to: &mut impl Sink) {
        self.as_bytes().len().encode(to);
        to.put(self.as_bytes());
    }
}

impl Decode for PeerId {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        let bytes = Bytes::decode(from)?;
        Self::from_bytes(&bytes).ok_or(Flaw::Value("peer id"))
    }
}

newtypes!(MessageId);

impl Encode for SignedCommitment {
    fn encode(&self, to: &mut impl Sink) {
        to.put(self.as_bytes());
    }
}

impl Decode for SignedCommitment {
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        let bytes: [u8; SIGNED_COMMITMENT_BYTES] = from.array()?;
        Self::decode(&bytes).map_err(|_| Flaw::Value("commitment"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T: Decode>(bytes: &[u8]) -> Result<T, Flaw> {
        let mut cursor = Cursor::new(Bytes::copy_from_slice(bytes));
        let value = T::decode(&mut cursor)?;
        cursor.end().map(|()| value)
    }

    fn written(value: impl Encode) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_number_has_one_encoding() {
        assert_eq!(written(300u64), [0xac, 0x02]);
        assert_eq!(read::<u64>(&[0xac, 0x02]), Ok(300));
        assert_eq!(read::<u64>(&[0xac, 0x82, 0x00]), Err(Flaw::Number), "not minimal");
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!((written(u64::MAX), read::<u64>(&max)), (max.to_vec(), Ok(u64::MAX)));
        let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read::<u64>(&over), Err(Flaw::Number), "65 bits");
        assert_eq!(read::<u64>(&[0x80; 11]), Err(Flaw::Number), "no end");
        assert_eq!(read::<u32>(&written(1u64 << 32)), Err(Flaw::Number));
    }

    #[test]
    fn small_negative_numbers_are_short() {
        assert_eq!(written(-1i64), [1]);
        assert_eq!(read::<i64>(&written(i64::MIN)), Ok(i64::MIN));
    }

    #[test]
    fn an_announced_length_sets_no_memory_aside() {
        assert_eq!(read::<Bytes>(&written(u64::MAX)), Err(Flaw::Short));
        assert_eq!(read::<Vec<B256>>(&written(u64::MAX)), Err(Flaw::Short));
    }

    #[test]
    fn what_is_left_over_is_a_flaw() {
        assert_eq!(read::<bool>(&[1, 1]), Err(Flaw::Leftover { bytes: 1 }));
        assert_eq!(read::<bool>(&[2]), Err(Flaw::Tag { what: "bool", tag: 2 }));
    }

    #[test]
    fn a_subnet_has_one_spelling() {
        let subnet: Cidr = "2001:db8::/32".parse().expect("a subnet");
        assert_eq!(read::<Cidr>(&written(subnet)), Ok(subnet));
        assert_eq!(read::<Cidr>(&written("2001:0db8::/32")), Err(Flaw::Value("subnet")));
    }

    proptest! {
        #[test]
        fn numbers_and_spans_read_back(number: u64, signed: i64, span: Duration) {
            prop_assert_eq!(read(&written(number)), Ok(number));
            prop_assert_eq!(read(&written(signed)), Ok(signed));
            prop_assert_eq!(read(&written(span)), Ok(span));
        }

        #[test]
        fn whatever_reads_as_a_number_is_what_it_writes(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(number) = read::<u64>(&bytes) {
                prop_assert_eq!(written(number), bytes);
            }
        }
    }
}
