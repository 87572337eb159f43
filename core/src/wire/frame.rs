//! Where does one request or response end (P3.4)?
//!
//! A frame is the body's length as a minimal unsigned varint, then the body. [`FrameDecoder`] takes a stream in chunks cut anywhere. A
//! length over the cap is refused before memory is set aside, and memory grows with the bytes that arrive, never with what was announced.
//!
//! ```text
//! Length --varint complete, within cap--> Body --all bytes here--> (frame out) --> Length
//!    \--not minimal, over 32 bits, over cap--> Failed (for good)
//! ```

use bytes::Bytes;

use super::topics::Protocol;
use super::v1::{
    GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE, PreconfHead, SIGNED_COMMITMENT_BYTES,
    TXLIST_HEADER_BYTES,
};

/// First memory set aside for a body, in bytes. Ours: it doubles from there as bytes arrive.
const FIRST_STEP_BYTES: usize = 4 << 10;
/// Longest varint of a length that fits 32 bits.
const MAX_LENGTH_BYTES: usize = 5;

/// Why a stream is not a sequence of frames. Sticky: after one of these the decoder says nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The announced length is over the cap.
    #[error("a frame of {len} bytes where at most {max} are allowed")]
    TooLarge {
        /// Announced length in bytes.
        len: u32,
        /// The cap in bytes.
        max: u32,
    },
    /// The length is no minimal varint of at most 32 bits.
    #[error("the length is no minimal varint of at most 32 bits")]
    BadLength,
}

/// Longest request body of a protocol, in bytes: its exact largest SSZ size (P3.4).
pub const fn max_request_bytes(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::GetHead => GetHeadRequest::BYTES.len() as u32,
        Protocol::GetCommitments => GetCommitmentsRequest::BYTES as u32,
        Protocol::GetTxList => GetTxListRequest::BYTES as u32,
    }
}

/// Longest response body of a protocol, in bytes, where txlists have at most `txlist_cap` (P3.4).
pub const fn max_response_bytes(protocol: Protocol, txlist_cap: usize) -> u32 {
    match protocol {
        Protocol::GetHead => PreconfHead::BYTES as u32,
        Protocol::GetCommitments => (4 + MAX_COMMITMENTS_PER_RESPONSE * SIGNED_COMMITMENT_BYTES) as u32,
        Protocol::GetTxList => (TXLIST_HEADER_BYTES + txlist_cap) as u32,
    }
}

/// Cuts a stream into frames.
///
/// ```
/// use preconf_core::FrameDecoder;
/// let mut decoder = FrameDecoder::new(64);
/// let mut stream: &[u8] = b"\x03ab";
/// assert_eq!(decoder.decode(&mut stream), Ok(None)); // all taken, not enough yet
/// let mut stream: &[u8] = b"c\x01z";
/// assert_eq!(decoder.decode(&mut stream).unwrap().unwrap(), "abc");
/// assert_eq!(decoder.decode(&mut stream).unwrap().unwrap(), "z");
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    max: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Length { bytes: [u8; MAX_LENGTH_BYTES], len: usize },
    Body { body: Vec<u8>, missing: usize },
    Failed(FrameError),
}

const START: State = State::Length { bytes: [0; MAX_LENGTH_BYTES], len: 0 };

impl FrameDecoder {
    /// A decoder for bodies of at most `max` bytes.
    pub fn new(max: u32) -> Self {
        Self { max, state: START }
    }

    /// Takes bytes off the front of `input` until a frame is whole (then the rest stays) or nothing is left.
    ///
    /// # Errors
    /// [`FrameError`]; the same one again at every later call.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, FrameError> {
        loop {
            match &mut self.state {
                State::Failed(error) => return Err(*error),
                State::Length { bytes, len } => {
                    let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
                    *input = rest;
                    bytes[*len] = byte;
                    *len += 1;
                    if byte & 0x80 == 0 {
                        let read = read_length(&bytes[..*len], self.max);
                        self.state = match read {
                            Ok(missing) => State::Body { body: Vec::new(), missing },
                            Err(error) => State::Failed(error),
                        };
                    } else if *len == MAX_LENGTH_BYTES {
                        self.state = State::Failed(FrameError::BadLength);
                    }
                }
                State::Body { body, missing } => {
                    let take = (*missing).min(input.len());
                    let (head, rest) = input.split_at(take);
                    grow(body, take, *missing);
                    body.extend_from_slice(head);
                    *input = rest;
                    *missing -= take;
                    if *missing > 0 {
                        return Ok(None);
                    }
                    let mut frame = std::mem::take(body);
                    frame.shrink_to_fit(); // P10.3: a list is kept for long, and counted by its own length
                    self.state = START;
                    return Ok(Some(frame.into()));
                }
            }
        }
    }

    /// Is the decoder between two frames, so that the stream may end here?
    pub fn is_at_boundary(&self) -> bool {
        matches!(self.state, State::Length { len: 0, .. })
    }

    /// How many bytes the rest of the frame needs at least, to size a read; 1 while the length is not known.
    pub fn wants(&self) -> usize {
        match &self.state {
            State::Body { missing, .. } => *missing,
            State::Length { .. } | State::Failed(_) => 1,
        }
    }

    /// Memory that the decoder holds, in bytes.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Body { body, .. } => body.capacity(),
            State::Length { .. } | State::Failed(_) => 0,
        }
    }
}

/// Makes room for `take` more bytes: doubling from the first step, never past the announced end, nor by what a vector adds of its own.
fn grow(body: &mut Vec<u8>, take: usize, missing: usize) {
    if take > body.capacity() - body.len() {
        let whole = body.len() + missing;
        let wanted = (body.len() + take).max(2 * body.capacity()).max(FIRST_STEP_BYTES).min(whole);
        body.reserve_exact(wanted - body.len());
    }
}

fn read_length(bytes: &[u8], max: u32) -> Result<usize, FrameError> {
    // Read as u64: the library's u32 reader drops what does not fit.
    let (len, _) = unsigned_varint::decode::u64(bytes).map_err(|_| FrameError::BadLength)?;
    let len = u32::try_from(len).map_err(|_| FrameError::BadLength)?;
    if len > max { Err(FrameError::TooLarge { len, max }) } else { Ok(len as usize) }
}

/// The bytes that stand before a body of `len` bytes, and how many of them count.
///
/// ```
/// let (prefix, len) = preconf_core::frame_prefix(200);
/// assert_eq!(prefix[..len], [0xc8, 0x01]);
/// ```
pub fn frame_prefix(len: u32) -> ([u8; 5], usize) {
    let mut buffer = unsigned_varint::encode::u32_buffer();
    let used = unsigned_varint::encode::u32(len, &mut buffer).len();
    (buffer, used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        let (prefix, len) = frame_prefix(body.len() as u32);
        [&prefix[..len], body].concat()
    }

    #[test]
    fn an_announcement_costs_nothing_until_bytes_arrive() {
        // P3.4
        let mut decoder = FrameDecoder::new(2 << 20);
        let (prefix, len) = frame_prefix(2 << 20);
        assert_eq!(decoder.decode(&mut &prefix[..len]), Ok(None));
        assert_eq!(decoder.held_bytes(), 0);
        assert_eq!(decoder.decode(&mut &[1u8; 100][..]), Ok(None));
        assert!(decoder.held_bytes() <= FIRST_STEP_BYTES);
        assert_eq!(decoder.decode(&mut &[1u8; 8000][..]), Ok(None));
        assert!(decoder.held_bytes() <= 2 * 8100);
    }

    #[test]
    fn an_error_is_for_good() {
        let mut decoder = FrameDecoder::new(9);
        let error = FrameError::TooLarge { len: 10, max: 9 };
        assert_eq!(decoder.decode(&mut &[10u8][..]), Err(error));
        assert_eq!(decoder.decode(&mut &[1u8, 1][..]), Err(error));
    }

    proptest! {
        #[test]
        fn any_cut_of_a_stream_gives_the_same_frames(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5),
            cuts in prop::collection::vec(1usize..50, 1..200),
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
            let mut decoder = FrameDecoder::new(300);
            let (mut out, mut rest, mut cuts) = (Vec::new(), &stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (mut chunk, tail) = rest.split_at((*cuts.next().expect("a cycle")).min(rest.len()));
                rest = tail;
                while let Some(frame) = decoder.decode(&mut chunk).expect("good frames") {
                    out.push(frame.to_vec());
                }
            }
            prop_assert_eq!(out, bodies);
            prop_assert!(decoder.is_at_boundary());
        }
    }
}
