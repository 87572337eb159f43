//! The machine's own names for peers, messages and what is under way.
//!
//! libp2p's types stop at the glue. Ids are minted by the core and travel through command, action and event, so that answers always
//! match; only [`ConnectionId`] and [`ChannelId`] are minted by the glue, which alone knows what they stand for.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use alloy_primitives::FixedBytes;

/// Longest peer id, in bytes. Source: libp2p peer id specification, a multihash of at most 42 bytes (identity-coded key) plus two.
const MAX_PEER_ID_BYTES: usize = 44;

const _: () = assert!(MAX_PEER_ID_BYTES.is_multiple_of(4), "peer ids are compared word by word");

/// The multihash codes that peer ids have. Source: libp2p peer id specification.
const IDENTITY: u8 = 0x00;
const SHA_256: u8 = 0x12;

/// A libp2p peer id: the bytes of its multihash.
///
/// ```
/// use preconf_core::PeerId;
/// let id = PeerId::from_bytes(&[0, 2, 8, 1]).unwrap();
/// assert_eq!(id.to_string().parse::<PeerId>(), Ok(id));
/// ```
#[derive(Clone, Copy)]
pub struct PeerId {
    bytes: [u8; MAX_PEER_ID_BYTES],
    len: u8,
}

impl PeerId {
    /// Takes the bytes of a multihash. `None` when they are none or more than 44.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut id = Self { bytes: [0; MAX_PEER_ID_BYTES], len: u8::try_from(bytes.len()).ok()? };
        if bytes.is_empty() {
            return None;
        }
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(id)
    }

    /// The bytes of the multihash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Ord for PeerId {
    /// The order of the bytes. Word by word: every step of the machine looks peers up in some table, and a call of `memcmp` for each
    /// comparison on the way costs more than the comparison.
    fn cmp(&self, other: &Self) -> Ordering {
        let pairs = self.bytes.as_chunks().0.iter().zip(other.bytes.as_chunks().0);
        let words = pairs.map(|(own, other)| (u32::from_be_bytes(*own), u32::from_be_bytes(*other)));
        let differ = words.map(|(own, other)| own.cmp(&other)).find(|order| order.is_ne());
        differ.unwrap_or_else(|| self.len.cmp(&other.len))
    }
}

impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PeerId {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PeerId {}

impl Hash for PeerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.as_bytes()).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

/// Text that is not a peer id in base58.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a peer id: base58 of a multihash (identity or SHA-256) of at most {MAX_PEER_ID_BYTES} bytes")]
pub struct InvalidPeerId;

impl FromStr for PeerId {
    type Err = InvalidPeerId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; MAX_PEER_ID_BYTES];
        let len = bs58::decode(text).onto(&mut bytes[..]).map_err(|_| InvalidPeerId)?;
        // A word that happens to be base58 is no peer id: the code and the length of the multihash must fit.
        match bytes[..len] {
            [IDENTITY | SHA_256, digest, ..] if usize::from(digest) == len - 2 => Self::from_bytes(&bytes[..len]).ok_or(InvalidPeerId),
            _ => Err(InvalidPeerId),
        }
    }
}

/// The name of a gossip message: 20 bytes of SHA-256 (P4.5). Made by [`message_id`](crate::message_id).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MessageId(pub [u8; 20]);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&FixedBytes(self.0), f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

macro_rules! counted {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

counted! {
    /// A command of our application; its outcome carries the same id.
    CommandId
    /// A request of ours to a peer. Minted by the core.
    RequestId
    /// A job that left the core. Minted by the core.
    JobId
    /// A gossip message that we asked the network to publish. Minted by the core.
    PublishId
    /// A record that we asked the host to write to disk. Minted by the core.
    PersistId
    /// An outbound dial. Minted by the core.
    DialId
    /// A look-up of discovery. Minted by the core.
    LookupId
    /// A message that waits for its parent or for the schedule. Minted by the core.
    HeldId
    /// A peer's request that waits for our answer. Minted by the glue.
    ChannelId
    /// One connection of a peer. Minted by the glue.
    ConnectionId
}

/// Hands out ids in order, from 1.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Mint(u64);

impl Mint {
    pub(crate) fn next<T>(&mut self, name: fn(u64) -> T) -> T {
        self.0 += 1; // 2^64 ids outlive any node
        name(self.0)
    }

    /// The id that [`Mint::next`] will hand out, for who may yet be refused.
    pub(crate) fn upcoming<T>(&self, name: fn(u64) -> T) -> T {
        name(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn peer_ids_are_ordered_as_their_bytes(one in prop::collection::vec(0..3u8, 1..=44), other in prop::collection::vec(0..3u8, 1..=44)) {
            // Few different bytes, so that ids that begin alike, up to one that is another's beginning, are common.
            let ids = (PeerId::from_bytes(&one).expect("short"), PeerId::from_bytes(&other).expect("short"));
            prop_assert_eq!(ids.0.cmp(&ids.1), one.cmp(&other));
            prop_assert_eq!(ids.0 == ids.1, one == other);
        }
    }

    #[test]
    fn peer_ids_print_as_base58_and_read_back() {
        let text = "16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp";
        let id: PeerId = text.parse().expect("a secp256k1 peer id");
        assert_eq!(id.to_string(), text);
        assert_eq!(PeerId::from_bytes(id.as_bytes()), Some(id));
    }

    #[test]
    fn refuses_what_is_no_peer_id() {
        assert_eq!(PeerId::from_bytes(&[]), None);
        assert_eq!(PeerId::from_bytes(&[1; 45]), None);
        for text in ["", "0OIl", "me", "16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJ"] {
            assert_eq!(text.parse::<PeerId>(), Err(InvalidPeerId), "{text}");
        }
    }
}
