//! What does the frame decoder say of a stream that is cut anywhere (P3.4)?

use preconf_core::{FrameDecoder, FrameError};

/// Chunk lengths that every stream is cut into. Ours: one byte, odd small ones, a read buffer, and everything at once.
const CHUNK_BYTES: [usize; 7] = [1, 2, 3, 7, 191, 4096, usize::MAX];
/// Longest stream that is also cut in two at every place.
const MAX_CUT_EVERYWHERE: usize = 1024;

/// What a stream was decoded to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Whole frames before the end or the error.
    pub(super) frames: Vec<Vec<u8>>,
    /// Whether the stream may end where it did, or the error.
    pub(super) end: Result<Boundary, FrameError>,
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundary {
    /// Between two frames.
    Between,
    /// In a length or a body.
    Inside,
}

/// Decodes a stream in every chunking; `Err` holds two that disagree.
pub(super) fn decode_every_way(stream: &[u8], cap: u32) -> Result<Decoded, (Decoded, Decoded)> {
    let whole = decode(cap, [stream]);
    let agrees = |other: Decoded| if other == whole { Ok(()) } else { Err(other) };
    let every_way = || {
        for len in CHUNK_BYTES {
            agrees(decode(cap, stream.chunks(len)))?;
        }
        if stream.len() <= MAX_CUT_EVERYWHERE {
            for at in 0..=stream.len() {
                let (head, tail) = stream.split_at(at);
                agrees(decode(cap, [head, tail]))?;
            }
        }
        Ok(())
    };
    match every_way() {
        Ok(()) => Ok(whole),
        Err(other) => Err((whole, other)),
    }
}

fn decode<'a>(cap: u32, chunks: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = FrameDecoder::new(cap);
    let mut frames = Vec::new();
    for mut chunk in chunks {
        loop {
            match decoder.decode(&mut chunk) {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => return Decoded { frames, end: Err(error) },
            }
        }
    }
    let end = if decoder.is_at_boundary() { Boundary::Between } else { Boundary::Inside };
    Decoded { frames, end: Ok(end) }
}
