//! How bytes and numbers are written in the vectors: one form for each value, all others are refused.

use std::fmt;

use preconf_core::U256;
use serde::de::{Deserialize, Deserializer, Error};

/// Bytes as `0x` and lower-case hex digits.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        let text = String::deserialize(text)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("hex without 0x"))?;
        let bytes = hex::decode(digits).map_err(D::Error::custom)?;
        only_form(digits, hex::encode(&bytes)).map(|()| Self(bytes))
    }
}

/// Exactly `N` bytes as hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HexArray<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> fmt::Debug for HexArray<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for HexArray<N> {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        let Hex(bytes) = Hex::deserialize(text)?;
        let len = bytes.len();
        bytes.try_into().map(Self).map_err(|_| D::Error::invalid_length(len, &format!("{N} bytes").as_str()))
    }
}

/// A number of up to 256 bits as decimal digits in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal(pub(super) U256);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        let text = String::deserialize(text)?;
        let number = U256::from_str_radix(&text, 10).map_err(D::Error::custom)?;
        only_form(&text, number.to_string()).map(|()| Self(number))
    }
}

/// A value has one way to be written, or a change of the text could go unseen.
fn only_form<E: Error>(text: &str, form: String) -> Result<(), E> {
    if text == form { Ok(()) } else { Err(E::custom(format_args!("{text:.40} is written as {form:.40}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_form_of_a_value_and_no_other() {
        let read = |text: &str| serde_json::from_str::<Hex>(text).map(|hex| hex.0).ok();
        assert_eq!(read(r#""0x0aff""#), Some(vec![10, 255]));
        for bad in [r#""0x0aFF""#, r#""0aff""#, r#""0x0af""#, r#""0xzz""#, "10", "null"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let read = |text: &str| serde_json::from_str::<Decimal>(text).map(|number| number.0).ok();
        assert_eq!(read(r#""170""#), Some(U256::from(170)));
        for bad in [r#""0170""#, r#""1_70""#, r#""+170""#, r#""""#, "170", r#""0xaa""#] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(serde_json::from_str::<HexArray<2>>(r#""0x0aff""#).is_ok());
        assert!(serde_json::from_str::<HexArray<3>>(r#""0x0aff""#).is_err());
    }
}
