//! A stream, cut as the input says, against the frame decoder (P3.4).

use preconf_core::{FrameDecoder, FrameError, frame_prefix};

/// Memory that a decoder may hold however little arrived, in bytes. Source: the first step of its growth.
const FIRST_STEP_BYTES: usize = 4 << 10;

/// How far a stream came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Whole frames.
    pub frames: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// The error that ended the stream.
    pub error: Option<FrameError>,
    /// Whether the stream ended inside a frame.
    pub cut_short: bool,
}

/// Decodes a stream in chunks: one byte that scales the cap, one that gives the length of the chunks, then the stream.
///
/// # Panics
/// Another cut gives another result, frames do not encode to what was read, or memory grows past what arrived.
pub fn frame_decoder(data: &[u8]) -> Reached {
    let [scale, chunk_bytes, stream @ ..] = data else { return Reached::default() };
    let cap = 1 << (u32::from(*scale) % 23); // up to 4 MiB, twice the largest message
    let (reached, written) = decode(cap, stream, usize::from(*chunk_bytes).max(1));
    let (whole, _) = decode(cap, stream, usize::MAX);
    assert_eq!(reached, whole, "P3.4: the cut of a stream changes what it says");
    assert_eq!((reached.frames, reached.error), by_hand(cap, stream), "P3.4: a plain loop reads other lengths");
    assert!(stream.starts_with(&written), "P3.4: frames do not encode to what was read");
    if reached.error.is_none() && !reached.cut_short {
        assert_eq!(written.len(), stream.len(), "P3.4: bytes were taken that no frame holds");
    }
    reached
}

/// The same with a plain loop over the bytes of each length: how many frames, and what is wrong behind them.
fn by_hand(cap: u32, mut stream: &[u8]) -> (usize, Option<FrameError>) {
    for frames in 0.. {
        let (mut len, mut used) = (0u64, 0);
        loop {
            // Five bytes hold 35 bits; a sixth could only be too many.
            if used == 5 {
                return (frames, Some(FrameError::BadLength));
            }
            let Some(&byte) = stream.get(used) else { return (frames, None) };
            if byte == 0 && used > 0 {
                return (frames, Some(FrameError::BadLength));
            }
            len += u64::from(byte % 128) << (7 * used);
            used += 1;
            if byte < 128 {
                break;
            }
        }
        let Ok(len) = u32::try_from(len) else { return (frames, Some(FrameError::BadLength)) };
        if len > cap {
            return (frames, Some(FrameError::TooLarge { len, max: cap }));
        }
        let Some(rest) = stream[used..].get(len as usize..) else { return (frames, None) };
        stream = rest;
    }
    unreachable!("a stream ends")
}

/// What came out, and the frames written again.
fn decode(cap: u32, stream: &[u8], chunk_bytes: usize) -> (Reached, Vec<u8>) {
    let mut decoder = FrameDecoder::new(cap);
    let (mut reached, mut written, mut arrived) = (Reached::default(), Vec::new(), 0);
    for mut chunk in stream.chunks(chunk_bytes) {
        arrived += chunk.len();
        loop {
            let before = chunk.len();
            let decoded = decoder.decode(&mut chunk);
            assert!(decoder.held_bytes() <= (2 * arrived).max(FIRST_STEP_BYTES), "P3.4: memory grows past what arrived");
            match decoded {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= cap as usize, "P3.4: a frame over the cap");
                    assert!(chunk.len() < before, "a frame out of nothing");
                    let (prefix, len) = frame_prefix(frame.len() as u32);
                    written.extend([&prefix[..len], &frame].concat());
                    reached.frames += 1;
                    reached.bytes += frame.len();
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut &b"\x00"[..]), Err(error), "P3.4: an error is for good");
                    return (Reached { error: Some(error), ..reached }, written);
                }
            }
        }
        assert!(chunk.is_empty(), "a chunk that was not taken whole");
    }
    reached.cut_short = !decoder.is_at_boundary();
    (reached, written)
}
