//! How are bytes written in JSON, flags and files? As hex digits with `0x` in front, which may be left out when reading.

use preconf_core::{Address, B256, Bytes};

/// Text that is not the hex form of what was wanted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum HexError {
    /// Not hex digits, or an odd number of them.
    #[error("not hex digits: {0}")]
    Digits(#[from] hex::FromHexError),
    /// Another length.
    #[error("{len} bytes where {expected} are expected")]
    Length {
        /// Bytes that came.
        len: usize,
        /// Bytes that were wanted.
        expected: usize,
    },
}

/// Writes bytes with `0x` in front.
pub(crate) fn text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Reads any number of bytes.
pub(crate) fn bytes(text: &str) -> Result<Bytes, HexError> {
    Ok(hex::decode(text.strip_prefix("0x").unwrap_or(text))?.into())
}

/// Reads exactly `N` bytes.
pub(crate) fn array<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let bytes = bytes(text)?;
    bytes[..].try_into().map_err(|_| HexError::Length { len: bytes.len(), expected: N })
}

/// Reads 32 bytes.
pub(crate) fn hash(text: &str) -> Result<B256, HexError> {
    array(text).map(B256::new)
}

/// Reads the 20 bytes of an Ethereum address.
pub(crate) fn address(text: &str) -> Result<Address, HexError> {
    array(text).map(Address::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_with_and_without_their_prefix() {
        assert_eq!(text(&[1, 0xab]), "0x01ab");
        assert_eq!(bytes("0x01ab"), Ok(Bytes::from_static(&[1, 0xab])));
        assert_eq!(bytes("01AB"), Ok(Bytes::from_static(&[1, 0xab])));
    }

    #[test]
    fn a_wrong_length_says_both_lengths() {
        assert_eq!(address("0x01").expect_err("one byte").to_string(), "1 bytes where 20 are expected");
        assert!(matches!(hash("0xzz"), Err(HexError::Digits(_))));
    }
}
