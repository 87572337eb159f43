//! How is one damaged row told from a good one?
//!
//! Each value stands behind a checksum over its table, its key and itself: a row that changed, or that stands where another should, does not
//! fit. XXH3 is for accidents; who writes to our directory on purpose has our keys, too.

use std::hash::Hasher;

use preconf_core::{Address, SignedCommitment};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// Bytes of a checksum.
const CHECK_BYTES: usize = 8;

/// A commitment and who signed it, as both files store it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub(crate) signer: Address,
    pub(crate) signed: SignedCommitment,
}

/// The checksum of a row.
pub(crate) fn check(table: &str, key: &[u8], value: &[u8]) -> u64 {
    let mut hash = XxHash3_64::with_seed(0);
    for part in [table.as_bytes(), key] {
        hash.write(&(part.len() as u64).to_le_bytes()); // so that no two rows are one text
        hash.write(part);
    }
    hash.write(value);
    hash.finish()
}

/// A value as it is stored.
pub(crate) fn seal(table: &str, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(CHECK_BYTES + value.len());
    sealed.extend_from_slice(&check(table, key, value).to_le_bytes());
    sealed.extend_from_slice(value);
    sealed
}

/// The value of a row, and its checksum; `None` for a damaged one.
pub(crate) fn open<'a>(table: &str, key: &[u8], sealed: &'a [u8]) -> Option<(&'a [u8], u64)> {
    let (written, value) = sealed.split_first_chunk::<CHECK_BYTES>()?;
    let written = u64::from_le_bytes(*written);
    (written == check(table, key, value)).then_some((value, written))
}

/// A value as bytes.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("our own types are written down without fail")
}

/// A value out of bytes, all of them.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_good_only_as_it_was_written_and_where() {
        let sealed = seal("own", b"key", b"value");
        assert_eq!(open("own", b"key", &sealed).map(|(value, _)| value), Some(&b"value"[..]));
        assert_eq!(open("chain", b"key", &sealed), None);
        assert_eq!(open("own", b"kez", &sealed), None);
        assert_eq!(open("ow", b"nkey", &sealed), None);
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(open("own", b"key", &damaged), None, "{at}");
            assert_eq!(open("own", b"key", &sealed[..at]), None, "{at}");
        }
    }
}
