//! How does a reader know that a record is what was written?
//!
//! ```text
//! trace  = "PRETRACE", version (u16), record*
//! record = length (u24), check (u8), payload, checksum (u32)        all little-endian
//! ```
//!
//! `check` is the exclusive or of the length's three bytes and [`LENGTH_SALT`], so that a damaged length is told from a trace that is cut,
//! and a run of zeros is no record. `checksum` is the low half of XXH3 over the payload, seeded with the checksum before it: a record that
//! is missing, repeated or out of place is found like a damaged one.

use std::io::{self, Read, Write};

use preconf_core::Bytes;
use twox_hash::XxHash3_64;

use crate::error::{Flaw, TraceError};

/// The first bytes of every trace.
const MAGIC: [u8; 8] = *b"PRETRACE";
/// The version of the format. It grows with every change to a type that a record holds (`encoding`), a variant that moves among them, from the first
/// release on: until then nothing was released, it stays 1, and a trace replays with the program of its day alone.
pub const FORMAT_VERSION: u16 = 1;
/// Bytes before the first record.
pub(crate) const PREFIX_BYTES: u64 = 10;
/// Bytes of a record around its payload.
pub(crate) const FRAME_BYTES: u64 = 8;
/// Longest payload, in bytes: what three bytes can say. Ours: a step tells of at most one message, and gossip ends at 10 MiB (P3.3).
pub(crate) const MAX_PAYLOAD_BYTES: usize = (1 << 24) - 1;
/// Makes the check of a length of zero differ from zero.
const LENGTH_SALT: u8 = 0xa5;

fn check_of([a, b, c]: [u8; 3]) -> u8 {
    a ^ b ^ c ^ LENGTH_SALT
}

fn checksum(payload: &[u8], before: u32) -> u32 {
    XxHash3_64::oneshot_with_seed(u64::from(before), payload) as u32
}

/// Puts records on a writer.
#[derive(Debug)]
pub(crate) struct FrameWriter<W> {
    to: W,
    before: u32,
    /// Bytes written so far.
    pub(crate) written: u64,
}

impl<W: Write> FrameWriter<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, before: 0, written: 0 }
    }

    /// Begins as every trace does.
    pub(crate) fn prefix(&mut self) -> io::Result<()> {
        self.to.write_all(&MAGIC)?;
        self.to.write_all(&FORMAT_VERSION.to_le_bytes())?;
        self.written = PREFIX_BYTES;
        Ok(())
    }

    /// Writes one record. Its payload is no longer than [`MAX_PAYLOAD_BYTES`].
    pub(crate) fn record(&mut self, payload: &[u8]) -> io::Result<()> {
        let [a, b, c, 0, ..] = payload.len().to_le_bytes() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a record that its length does not fit"));
        };
        self.before = checksum(payload, self.before);
        self.to.write_all(&[a, b, c, check_of([a, b, c])])?;
        self.to.write_all(payload)?;
        self.to.write_all(&self.before.to_le_bytes())?;
        self.written += payload.len() as u64 + FRAME_BYTES;
        Ok(())
    }

    pub(crate) fn into_inner(self) -> W {
        self.to
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// One look at the next record.
#[derive(Debug)]
pub(crate) enum Frame {
    /// It is whole.
    Whole(Bytes),
    /// The trace ends before it does.
    Cut,
}

/// Takes records off a reader.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    from: R,
    before: u32,
    /// Where the next record begins.
    pub(crate) offset: u64,
}

impl<R: Read> FrameReader<R> {
    pub(crate) fn new(from: R) -> Result<Self, TraceError> {
        let mut reader = Self { from, before: 0, offset: 0 };
        let magic = reader.up_to(MAGIC.len())?;
        if !MAGIC.starts_with(&magic) {
            return Err(TraceError::NotATrace);
        }
        let version = reader.up_to(2)?;
        let Ok(version) = <[u8; 2]>::try_from(&version[..]) else {
            return Err(TraceError::NoHeader);
        };
        let found = u16::from_le_bytes(version);
        if found != FORMAT_VERSION {
            return Err(TraceError::Version { found, known: FORMAT_VERSION });
        }
        reader.offset = PREFIX_BYTES;
        Ok(reader)
    }

    /// The next record, or why it is none: the outer error is the reader's, the inner one the record's.
    pub(crate) fn record(&mut self) -> io::Result<Result<Frame, Flaw>> {
        let head = self.up_to(4)?;
        let &[a, b, c, check] = &head[..] else { return Ok(Ok(Frame::Cut)) };
        if check != check_of([a, b, c]) {
            return Ok(Err(Flaw::Length));
        }
        let len = u32::from_le_bytes([a, b, c, 0]) as usize;
        let mut bytes = self.up_to(len + 4)?;
        if bytes.len() < len + 4 {
            return Ok(Ok(Frame::Cut));
        }
        let sum = bytes.split_off(len);
        let expected = checksum(&bytes, self.before);
        if sum != expected.to_le_bytes() {
            return Ok(Err(Flaw::Checksum));
        }
        self.before = expected;
        self.offset += len as u64 + FRAME_BYTES;
        Ok(Ok(Frame::Whole(bytes.into())))
    }

    /// Is there nothing more?
    pub(crate) fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.up_to(1)?.is_empty())
    }

    /// As many bytes as are there, up to so many. Memory grows with what arrives.
    fn up_to(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.from).take(len as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
