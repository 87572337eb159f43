//! The containers of the protocol (P3): SSZ, strict, integers little-endian.
//!
//! Fixed containers go through the SSZ library. The three with a list of bytes or of commitments are read by hand: one offset to check,
//! and the rest is a shared slice of what arrived, so a txlist of 2 MiB is never copied and no element is boxed.
//!
//! Invariant: a [`SignedCommitment`] holds the bytes it was read from beside their meaning, and only the two together. What is hashed is
//! those bytes (P3.2).

use std::fmt;

use alloy_primitives::{Address, B256, FixedBytes, U256};
use bytes::{BufMut, Bytes, BytesMut};
use ssz::{Decode, Encode};

/// Bytes of an encoded [`Preconfirmation`]: the preimage of its hash (P3.2).
pub const PRECONFIRMATION_BYTES: usize = 297;
/// Bytes of an encoded [`PreconfCommitment`]: the preimage of the signature (P3.2).
pub const COMMITMENT_BYTES: usize = 317;
/// Bytes of an encoded [`SignedCommitment`] (P3).
pub const SIGNED_COMMITMENT_BYTES: usize = 382;
/// Bytes before the txlist in [`RawTxList`]: its hash and one offset (P3).
pub const TXLIST_HEADER_BYTES: usize = 36;
/// Most commitments in one response (P3.3).
pub const MAX_COMMITMENTS_PER_RESPONSE: usize = 256;
/// Longest txlist that the SSZ schema allows, in bytes (P3.3). Configuration may lower it.
pub const MAX_TXLIST_BYTES: usize = 2 << 20;
/// Longest gossip message, in bytes (P3.3).
pub const MAX_GOSSIP_BYTES: usize = 10 << 20;

/// Why bytes are not the container that they should be (P3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DecodeError {
    /// A container of a fixed size has another one.
    #[error("{len} bytes where {expected} are needed")]
    Length {
        /// Bytes that came.
        len: usize,
        /// Bytes that the container has.
        expected: usize,
    },
    /// Too few bytes to hold the fixed part.
    #[error("{len} bytes, too few for a fixed part of {min}")]
    TooShort {
        /// Bytes that came.
        len: usize,
        /// Bytes of the fixed part.
        min: usize,
    },
    /// A bool that is neither 0 nor 1.
    #[error("{0} is neither true nor false")]
    Bool(u8),
    /// The one offset does not point right behind the fixed part.
    #[error("offset {offset} where {expected} is the only one possible")]
    Offset {
        /// Offset that came.
        offset: u32,
        /// Length of the fixed part.
        expected: u32,
    },
    /// A list with more elements than its limit.
    #[error("a list of {len} where at most {max} are allowed")]
    TooLong {
        /// Elements (or bytes) that came.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A list whose bytes are no whole number of elements.
    #[error("{len} bytes are no whole number of elements of {element}")]
    Ragged {
        /// Bytes of the list.
        len: usize,
        /// Bytes of one element.
        element: usize,
    },
}

/// What a preconfer promises of one L2 block.
#[derive(Clone, Debug, Default, PartialEq, Eq, ssz_derive::Encode, ssz_derive::Decode)]
pub struct Preconfirmation {
    /// End of preconfirmation: the preconfer hands its window over (P5.3).
    pub eop: bool,
    /// L2 block number.
    pub block_number: U256,
    /// The block's timestamp, in unix seconds.
    pub timestamp: U256,
    /// The block's gas limit.
    pub gas_limit: U256,
    /// The block's fee recipient.
    pub coinbase: Address,
    /// The L1 block that it is anchored to.
    pub anchor_block_number: U256,
    /// keccak-256 of the txlist; zero for an EOP without a block.
    pub raw_tx_list_hash: B256,
    /// Hash of the preconfirmation before this one.
    pub parent_preconfirmation_hash: B256,
    /// End of the preconfer's window, in unix seconds; names the window.
    pub submission_window_end: U256,
    /// Who may prove the block.
    pub prover_auth: Address,
    /// The L1 proposal that will hold the block.
    pub proposal_id: U256,
}

impl Preconfirmation {
    /// Is there a block to execute? Only an EOP may come without one (P5.3).
    pub fn has_txlist(&self) -> bool {
        !self.raw_tx_list_hash.is_zero()
    }
}

/// A preconfirmation and the contract that judges its breach.
#[derive(Clone, Debug, Default, PartialEq, Eq, ssz_derive::Encode, ssz_derive::Decode)]
pub struct PreconfCommitment {
    /// The promise.
    pub preconf: Preconfirmation,
    /// The slashing contract on L1.
    pub slasher_address: Address,
}

/// A commitment with its signature: 382 bytes as they travel, and what they say.
///
/// ```
/// use preconf_core::{PreconfCommitment, SignedCommitment};
/// let signed = SignedCommitment::new(PreconfCommitment::default(), [7; 65]);
/// assert_eq!(SignedCommitment::decode(signed.as_bytes()), Ok(signed));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCommitment {
    bytes: [u8; SIGNED_COMMITMENT_BYTES],
    commitment: PreconfCommitment,
}

impl SignedCommitment {
    /// Puts a commitment and its signature `r ‖ s ‖ v` together.
    pub fn new(commitment: PreconfCommitment, signature: [u8; 65]) -> Self {
        let mut bytes = [0; SIGNED_COMMITMENT_BYTES];
        bytes[..COMMITMENT_BYTES].copy_from_slice(&commitment.as_ssz_bytes());
        bytes[COMMITMENT_BYTES..].copy_from_slice(&signature);
        Self { bytes, commitment }
    }

    /// Reads exactly 382 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Length`] or [`DecodeError::Bool`]; nothing else can be wrong with a container of a fixed size.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes: [u8; SIGNED_COMMITMENT_BYTES] = fixed(bytes)?;
        if bytes[0] > 1 {
            return Err(DecodeError::Bool(bytes[0]));
        }
        let length = DecodeError::Length { len: bytes.len(), expected: SIGNED_COMMITMENT_BYTES };
        let commitment = PreconfCommitment::from_ssz_bytes(&bytes[..COMMITMENT_BYTES]).map_err(|_| length)?;
        Ok(Self { bytes, commitment })
    }

    /// All 382 bytes.
    pub fn as_bytes(&self) -> &[u8; SIGNED_COMMITMENT_BYTES] {
        &self.bytes
    }

    /// The 297 bytes whose hash names the preconfirmation (P4.1).
    pub fn preconfirmation_preimage(&self) -> &[u8] {
        &self.bytes[..PRECONFIRMATION_BYTES]
    }

    /// The 317 bytes that are signed, behind the domain (P4.2).
    pub fn signing_preimage(&self) -> &[u8] {
        &self.bytes[..COMMITMENT_BYTES]
    }

    /// `r ‖ s ‖ v` (P4.3).
    pub fn signature(&self) -> &[u8; 65] {
        self.bytes.last_chunk().expect("382 bytes hold 65")
    }

    /// What was signed.
    pub fn commitment(&self) -> &PreconfCommitment {
        &self.commitment
    }

    /// The promise in it.
    pub fn preconf(&self) -> &Preconfirmation {
        &self.commitment.preconf
    }
}

impl fmt::Debug for SignedCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedCommitment")
            .field("commitment", &self.commitment)
            .field("signature", &FixedBytes::<65>::from(self.signature()))
            .finish()
    }
}

/// A txlist and the hash it claims: `RawTxListGossip` and `GetRawTxListResponse` share this form.
///
/// An empty list in a response means *not found* (P6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RawTxList {
    /// The claimed keccak-256 of the bytes.
    pub hash: B256,
    /// The compressed RLP transaction list, opaque here.
    pub txlist: Bytes,
}

impl RawTxList {
    /// Reads hash, offset and bytes; the txlist shares memory with `bytes`.
    ///
    /// # Errors
    /// Fewer than 36 bytes, another offset than 36, or a txlist longer than `max_bytes`.
    pub fn decode(bytes: &Bytes, max_bytes: usize) -> Result<Self, DecodeError> {
        let hash = bytes.get(..32).ok_or(DecodeError::TooShort { len: bytes.len(), min: TXLIST_HEADER_BYTES })?;
        offset(bytes, 32)?;
        let len = bytes.len() - TXLIST_HEADER_BYTES;
        if len > max_bytes {
            return Err(DecodeError::TooLong { len, max: max_bytes });
        }
        Ok(Self { hash: B256::from_slice(hash), txlist: bytes.slice(TXLIST_HEADER_BYTES..) })
    }

    /// The 36 bytes in front of the txlist: who writes them first and the txlist after copies nothing.
    pub fn header(&self) -> [u8; TXLIST_HEADER_BYTES] {
        let mut header = [0; TXLIST_HEADER_BYTES];
        header[..32].copy_from_slice(self.hash.as_slice());
        header[32..].copy_from_slice(&36u32.to_le_bytes());
        header
    }

    /// Header and txlist in one piece: one copy.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(TXLIST_HEADER_BYTES + self.txlist.len());
        out.put_slice(&self.header());
        out.put_slice(&self.txlist);
        out.freeze()
    }
}

/// `get_head` asks nothing: an empty list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetHeadRequest;

impl GetHeadRequest {
    /// The only value there is.
    pub const BYTES: [u8; 4] = [4, 0, 0, 0];

    /// Reads the only value there is.
    ///
    /// # Errors
    /// Anything else than `04000000`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        offset(bytes, 0)?;
        fixed::<4>(bytes).map(|_| Self)
    }
}

/// A node's answer to `get_head`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ssz_derive::Encode, ssz_derive::Decode)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PreconfHead {
    /// Number of the highest linked block, or of the sync tip (P6.1).
    pub block_number: U256,
    /// Its window's end, 0 for the sync tip.
    pub submission_window_end: U256,
}

impl PreconfHead {
    /// Bytes of the container.
    pub const BYTES: usize = 64;

    /// Reads exactly 64 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Length`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode_fixed::<Self, { Self::BYTES }>(bytes)
    }

    /// The 64 bytes.
    pub fn encode(&self) -> Bytes {
        self.as_ssz_bytes().into()
    }
}

/// Asks for commitments by block number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ssz_derive::Encode, ssz_derive::Decode)]
pub struct GetCommitmentsRequest {
    /// First block number wanted.
    pub start_block_number: U256,
    /// How many at most; the answer holds at most 256 (P6.2).
    pub max_count: u32,
}

impl GetCommitmentsRequest {
    /// Bytes of the container.
    pub const BYTES: usize = 36;

    /// Reads exactly 36 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Length`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode_fixed::<Self, { Self::BYTES }>(bytes)
    }

    /// The 36 bytes.
    pub fn encode(&self) -> Bytes {
        self.as_ssz_bytes().into()
    }
}

/// Commitments by number: an answer to [`GetCommitmentsRequest`].
///
/// Reading checks only the shape of the list. Each element is read on its own, so that what stands before a bad one keeps its worth and
/// the machine can say which one was bad (P6.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentsPage(Bytes);

impl CommitmentsPage {
    /// Checks offset, length and count.
    ///
    /// # Errors
    /// A wrong offset, a piece of a commitment, or more than 256.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        offset(bytes, 0)?;
        let len = bytes.len() - 4;
        if !len.is_multiple_of(SIGNED_COMMITMENT_BYTES) {
            return Err(DecodeError::Ragged { len, element: SIGNED_COMMITMENT_BYTES });
        }
        let count = len / SIGNED_COMMITMENT_BYTES;
        if count > MAX_COMMITMENTS_PER_RESPONSE {
            return Err(DecodeError::TooLong { len: count, max: MAX_COMMITMENTS_PER_RESPONSE });
        }
        Ok(Self(bytes.slice(4..)))
    }

    /// How many commitments it holds.
    pub fn len(&self) -> usize {
        self.0.len() / SIGNED_COMMITMENT_BYTES
    }

    /// Does it hold none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The commitments in order, each read strictly.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<SignedCommitment, DecodeError>> {
        self.0.chunks_exact(SIGNED_COMMITMENT_BYTES).map(SignedCommitment::decode)
    }

    /// Writes a response.
    pub fn encode<'a>(commitments: impl ExactSizeIterator<Item = &'a SignedCommitment>) -> Bytes {
        let mut out = BytesMut::with_capacity(4 + commitments.len() * SIGNED_COMMITMENT_BYTES);
        out.put_u32_le(4);
        commitments.for_each(|commitment| out.put_slice(commitment.as_bytes()));
        out.freeze()
    }
}

/// Asks for one txlist by its hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetTxListRequest {
    /// keccak-256 of the txlist wanted.
    pub hash: B256,
}

impl GetTxListRequest {
    /// Bytes of the container.
    pub const BYTES: usize = 32;

    /// Reads exactly 32 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Length`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        fixed::<{ Self::BYTES }>(bytes).map(|hash| Self { hash: hash.into() })
    }

    /// The 32 bytes.
    pub fn encode(&self) -> Bytes {
        Bytes::copy_from_slice(self.hash.as_slice())
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Length { len: bytes.len(), expected: N })
}

fn decode_fixed<T: Decode, const N: usize>(bytes: &[u8]) -> Result<T, DecodeError> {
    let bytes: [u8; N] = fixed(bytes)?;
    T::from_ssz_bytes(&bytes).map_err(|_| DecodeError::Length { len: N, expected: N })
}

/// Checks the one offset of a container whose fixed part ends right behind it.
fn offset(bytes: &[u8], at: usize) -> Result<(), DecodeError> {
    let end = at + 4;
    let raw = bytes.get(at..end).ok_or(DecodeError::TooShort { len: bytes.len(), min: end })?;
    let offset = u32::from_le_bytes(raw.try_into().expect("four bytes"));
    let expected = u32::try_from(end).expect("a fixed part is short");
    if offset == expected { Ok(()) } else { Err(DecodeError::Offset { offset, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_containers_have_the_sizes_of_the_protocol() {
        assert_eq!(Preconfirmation::default().as_ssz_bytes().len(), PRECONFIRMATION_BYTES);
        assert_eq!(PreconfCommitment::default().as_ssz_bytes().len(), COMMITMENT_BYTES);
        assert_eq!(PreconfHead::default().encode().len(), PreconfHead::BYTES);
        assert_eq!(GetCommitmentsRequest::default().encode().len(), GetCommitmentsRequest::BYTES);
    }

    #[test]
    fn a_txlist_shares_the_memory_it_came_in() {
        let bytes = RawTxList { hash: B256::ZERO, txlist: Bytes::from_static(b"abc") }.encode();
        let read = RawTxList::decode(&bytes, 3).expect("well formed");
        assert_eq!(read.txlist.as_ptr(), bytes[36..].as_ptr());
        assert_eq!(RawTxList::decode(&bytes, 2), Err(DecodeError::TooLong { len: 3, max: 2 }));
    }
}
