//! Writes a trace, step by step.
//!
//! ```text
//! header  = 0x10, build, protocol, config, host rules, seed, start
//! piece   = 0x50, bytes of a snapshot; 0x51 for its last; only of a segment, and before its steps
//! step    = 0x20 | kind of call | DRAINED | RETURNED, time, call, (outputs, digest) if RETURNED
//! trailer = 0x40, ending, steps
//! ```
//!
//! `time` is two differences to the step before: of the monotonic clock, and of how far the unix clock is ahead of it, which is nearly
//! always zero.

use std::io::{self, Write};

use preconf_core::{Config, Now, Time, UnixTime};
use serde::{Deserialize, Serialize};

use crate::call::{Call, CallRef};
use crate::encoding::encode;
use crate::framing::{FRAME_BYTES, FrameWriter, MAX_PAYLOAD_BYTES};
use crate::outputs::Mark;
use crate::snapshot::{LAST_PIECE, PIECE, PIECE_BYTES};

/// Version of the protocol whose rules the recorded machine follows: that of the wire types and the rule set.
pub const PROTOCOL_VERSION: u64 = 1;

pub(crate) const HEADER: u8 = 0x10;
pub(crate) const STEP: u8 = 0x20;
pub(crate) const TRAILER: u8 = 0x40;
pub(crate) const KIND: u8 = 0x07;
pub(crate) const DRAINED: u8 = 0x08;
pub(crate) const RETURNED: u8 = 0x10;

/// Room that is kept for the trailer, in bytes: its frame, two tags and a number.
const TRAILER_BYTES: u64 = FRAME_BYTES + 12;

/// What a machine was started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The version of the program that recorded.
    pub build: String,
    /// The version of the protocol that its machine spoke.
    pub protocol: u64,
    /// The configuration, without the host's parent rules: they are functions.
    pub config: Config,
    /// The names of the host's parent rules, in order.
    pub host_rules: Vec<String>,
    /// What decided the machine's dice.
    pub seed: [u8; 32],
    /// When it started.
    pub start: Now,
}

impl Header {
    /// The header of a machine that starts now, in this build.
    pub fn new(config: &Config, seed: [u8; 32], start: Now) -> Self {
        Self {
            build: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL_VERSION,
            host_rules: config.parent_rules.host.iter().map(|rule| rule.name.to_owned()).collect(),
            config: config.clone(),
            seed,
            start,
        }
    }
}

/// How a trace ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The node ended, and said so.
    Closed,
    /// The node went on; the trace had the bytes that it may have.
    Full,
    /// The node went on; a step was too large for a record.
    Oversized,
    /// The machine never came back from the last step: a panic.
    Broken,
    /// The node went on, and so does its trace, in the next segment.
    Continued,
    /// The process ended without a word, or the rest is lost: the record that begins at this byte is not whole, or not there.
    Cut {
        /// Where it begins, in bytes from the start of the trace.
        offset: u64,
    },
}

/// The endings that a trailer can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Last {
    Closed,
    Full,
    Oversized,
    Broken,
    Continued,
}

impl From<Last> for Ending {
    fn from(last: Last) -> Self {
        match last {
            Last::Closed => Self::Closed,
            Last::Full => Self::Full,
            Last::Oversized => Self::Oversized,
            Last::Broken => Self::Broken,
            Last::Continued => Self::Continued,
        }
    }
}

/// Writes a trace to anything that takes bytes; hand it a buffered one.
///
/// A [`Recorder`](crate::Recorder) does this for a living machine. By itself it makes traces of calls that come from elsewhere.
#[derive(Debug)]
pub struct Writer<W: Write> {
    frames: FrameWriter<W>,
    last: Now,
    steps: u64,
    max_bytes: u64,
    /// The step that is being written; it keeps its memory from one to the next.
    payload: Vec<u8>,
}

/// Is there room for more?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Left,
    None(Last),
}

impl<W: Write> Writer<W> {
    /// Starts a trace with its header. It will have at most `max_bytes`, or as few as header and trailer take.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(to: W, header: &Header, max_bytes: u64) -> io::Result<Self> {
        let mut writer = Self::unbegun(to, max_bytes);
        writer.header(header).map(|()| writer)
    }

    /// One that has written nothing yet.
    pub(crate) fn unbegun(to: W, max_bytes: u64) -> Self {
        Self { frames: FrameWriter::new(to), last: Now::default(), steps: 0, max_bytes, payload: Vec::new() }
    }

    pub(crate) fn header(&mut self, header: &Header) -> io::Result<()> {
        self.frames.prefix()?;
        self.payload.push(HEADER);
        put(header, &mut self.payload)?;
        self.frames.record(&self.payload)?;
        self.last = header.start;
        Ok(())
    }

    /// Has it begin with a machine amid its life.
    pub(crate) fn snapshot(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut pieces = bytes.chunks(PIECE_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            self.payload.clear();
            self.payload.push(if pieces.peek().is_some() { PIECE } else { LAST_PIECE });
            self.payload.extend_from_slice(piece);
            self.frames.record(&self.payload)?;
        }
        self.payload.clear();
        self.payload.shrink_to(KEPT_BYTES);
        Ok(())
    }

    /// What it wrote to.
    pub(crate) fn into_inner(self) -> W {
        self.frames.into_inner()
    }

    /// Writes one whole step. Without a mark the machine did not come back from it.
    ///
    /// # Errors
    /// The writer's, or that the step is too large, or that the trace is full.
    pub fn step(&mut self, now: Now, call: &Call, mark: Option<Mark>) -> io::Result<()> {
        self.begin(now, call.borrow())?;
        match self.commit(mark)? {
            Room::Left => Ok(()),
            Room::None(last) => Err(io::Error::new(io::ErrorKind::StorageFull, format!("no room for the step: {last:?}"))),
        }
    }

    /// Ends the trace with a trailer.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self) -> io::Result<()> {
        self.end(Last::Closed)?;
        self.flush()
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.frames.written
    }

    /// The machine is about to be told this.
    pub(crate) fn begin(&mut self, now: Now, call: CallRef<'_>) -> io::Result<()> {
        self.payload.clear();
        self.payload.push(STEP | call.kind());
        put(&Delta::between(self.last, now), &mut self.payload)?;
        call.encode(|piece| self.payload.extend_from_slice(piece)).map_err(io::Error::other)?;
        self.last = now;
        Ok(())
    }

    /// Writes the step that was begun last, if there is room for it.
    pub(crate) fn commit(&mut self, mark: Option<Mark>) -> io::Result<Room> {
        if let Some(Mark { outputs, drained, digest }) = mark {
            self.payload[0] |= RETURNED | if drained { DRAINED } else { 0 };
            put(&(outputs, digest.to_le_bytes()), &mut self.payload)?;
        }
        if self.payload.len() > MAX_PAYLOAD_BYTES {
            return Ok(Room::None(Last::Oversized));
        }
        if self.frames.written + self.payload.len() as u64 + FRAME_BYTES + TRAILER_BYTES > self.max_bytes {
            return Ok(Room::None(Last::Full));
        }
        self.frames.record(&self.payload)?;
        self.steps += 1;
        self.payload.shrink_to(KEPT_BYTES);
        Ok(Room::Left)
    }

    pub(crate) fn end(&mut self, last: Last) -> io::Result<()> {
        self.payload.clear();
        self.payload.push(TRAILER);
        put(&(last, self.steps), &mut self.payload)?;
        self.frames.record(&self.payload)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.frames.flush()
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }
}

fn put(value: &impl Serialize, to: &mut Vec<u8>) -> io::Result<()> {
    encode(value, |piece| to.extend_from_slice(piece)).map_err(io::Error::other)
}

/// Memory that a writer keeps between two steps. Source: the longest txlist (P3.3) and what is around it. More than the system keeps at
/// hand is returned to it each time, and taking it anew cost half as much again as the machine that is recorded (`recording_cost` among the
/// examples of `conformance`).
const KEPT_BYTES: usize = (2 << 20) + (64 << 10);

/// How far both clocks have come since the last step.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Delta {
    mono: i64,
    /// Of the unix clock against the monotonic one.
    drift: i64,
}

impl Delta {
    /// Modulo 2^64, so that any two times have a difference that leads back.
    fn between(last: Now, now: Now) -> Self {
        let ahead = |now: Now| now.unix.0.wrapping_sub(now.mono.0);
        Self { mono: now.mono.0.wrapping_sub(last.mono.0).cast_signed(), drift: ahead(now).wrapping_sub(ahead(last)).cast_signed() }
    }

    pub(crate) fn after(self, last: Now) -> Now {
        let mono = last.mono.0.wrapping_add_signed(self.mono);
        let ahead = last.unix.0.wrapping_sub(last.mono.0).wrapping_add_signed(self.drift);
        Now { mono: Time(mono), unix: UnixTime(mono.wrapping_add(ahead)) }
    }
}
