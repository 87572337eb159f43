//! Reads a trace, step by step.

use std::io::Read;

use preconf_core::{B256, Now};

use crate::call::{Call, decode_call};
use crate::encoding::Cursor;
use crate::error::{Flaw, TraceError};
use crate::framing::{FRAME_BYTES, Frame, FrameReader};
use crate::outputs::Mark;
use crate::snapshot::{LAST_PIECE, MAX_SNAPSHOT_BYTES, PIECE, Preface};
use crate::writer::{DRAINED, Delta, Ending, HEADER, Header, KIND, Last, RETURNED, STEP, TRAILER};

/// One step as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1.
    pub number: u64,
    /// Where it begins, in bytes from the start of the trace.
    pub offset: u64,
    /// What the clocks said.
    pub now: Now,
    /// What the machine was told.
    pub call: Call,
    /// What became of it; `None` where the machine did not come back.
    pub mark: Option<Mark>,
}

/// Reads a trace from anything that gives bytes; hand it a buffered one. It holds one record at a time.
#[derive(Debug)]
pub struct Reader<R> {
    frames: FrameReader<R>,
    header: Header,
    last: Now,
    steps: u64,
    ending: Option<Ending>,
    failed: bool,
    /// The machine amid its life that a segment begins with, and what stands before its bytes.
    snapshot: Option<(Preface, Vec<u8>)>,
    /// The first record behind the header, where it is no snapshot's.
    ahead: Option<Result<Frame, Flaw>>,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// No trace, one of another version, one that is cut or corrupt before its first step, or an error of the reader.
    pub fn new(from: R) -> Result<Self, TraceError> {
        let mut frames = FrameReader::new(from)?;
        let offset = frames.offset;
        let header = match frames.record()? {
            Ok(Frame::Whole(payload)) => read_header(&payload),
            Ok(Frame::Cut) => return Err(TraceError::NoHeader),
            Err(flaw) => Err(flaw),
        };
        let header = header.map_err(|flaw| TraceError::Corrupt { offset, step: 0, flaw })?;
        let mut reader = Self { frames, last: header.start, header, steps: 0, ending: None, failed: false, snapshot: None, ahead: None };
        reader.read_snapshot()?;
        Ok(reader)
    }

    fn read_snapshot(&mut self) -> Result<(), TraceError> {
        let mut bytes = Vec::new();
        loop {
            let offset = self.frames.offset;
            let corrupt = |flaw| TraceError::Corrupt { offset, step: 0, flaw };
            let frame = self.frames.record()?;
            let is_last = match &frame {
                Ok(Frame::Whole(payload)) if payload.first() == Some(&PIECE) => false,
                Ok(Frame::Whole(payload)) if payload.first() == Some(&LAST_PIECE) => true,
                _ if bytes.is_empty() => {
                    self.ahead = Some(frame);
                    return Ok(());
                }
                Ok(Frame::Cut) => return Err(TraceError::NoHeader),
                Ok(Frame::Whole(payload)) => return Err(corrupt(Flaw::Tag { tag: payload.first().copied().unwrap_or(0) })),
                Err(flaw) => return Err(corrupt(*flaw)),
            };
            if let Ok(Frame::Whole(payload)) = frame {
                bytes.extend_from_slice(&payload[1..]);
            }
            if bytes.len() > MAX_SNAPSHOT_BYTES {
                return Err(corrupt(Flaw::Length));
            }
            if is_last {
                let mut from = Cursor::new(&bytes);
                let preface = from.take().map_err(corrupt)?;
                let state = from.rest().to_vec();
                self.snapshot = Some((preface, state));
                return Ok(());
            }
        }
    }

    /// Does it begin amid the machine's life, after so many steps? Then with a snapshot, which names these txlists.
    pub fn begins_after(&self) -> Option<(u64, &[B256])> {
        self.snapshot.as_ref().map(|(preface, _)| (preface.steps, &preface.txlists[..]))
    }

    /// The machine's bytes, once.
    pub(crate) fn take_snapshot(&mut self) -> Option<Vec<u8>> {
        self.snapshot.as_mut().map(|(_, bytes)| std::mem::take(bytes))
    }

    /// What the machine was started with.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next step; `None` at the end, of which [`Reader::ending`] then tells more. After an error there is no next step.
    ///
    /// # Errors
    /// A record that is corrupt, with its place, or an error of the reader.
    pub fn step(&mut self) -> Result<Option<Step>, TraceError> {
        if self.ending.is_some() || self.failed {
            return Ok(None);
        }
        let step = self.read_step();
        self.failed = step.is_err();
        step
    }

    /// How the trace ends, once all its steps are read.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Steps read so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn read_step(&mut self) -> Result<Option<Step>, TraceError> {
        let (mut offset, number) = (self.frames.offset, self.steps + 1);
        let frame = match self.ahead.take() {
            Some(frame) => {
                if let Ok(Frame::Whole(payload)) = &frame {
                    offset -= payload.len() as u64 + FRAME_BYTES;
                }
                frame
            }
            None => self.frames.record()?,
        };
        let corrupt = |flaw| TraceError::Corrupt { offset, step: number, flaw };
        let payload = match frame.map_err(corrupt)? {
            Frame::Whole(payload) => payload,
            Frame::Cut => {
                self.ending = Some(Ending::Cut { offset });
                return Ok(None);
            }
        };
        if payload.first() == Some(&TRAILER) {
            let last = read_trailer(&payload, self.steps).map_err(corrupt)?;
            if !self.frames.is_at_end()? {
                return Err(corrupt(Flaw::NotTheEnd));
            }
            self.ending = Some(last.into());
            return Ok(None);
        }
        let step = read_step(&payload, self.last, number, offset).map_err(corrupt)?;
        (self.last, self.steps) = (step.now, number);
        Ok(Some(step))
    }
}

fn read_header(payload: &[u8]) -> Result<Header, Flaw> {
    let mut from = Cursor::new(payload);
    tag(&mut from, HEADER)?;
    let header = from.take()?;
    from.end().map(|()| header)
}

fn read_step(payload: &[u8], last: Now, number: u64, offset: u64) -> Result<Step, Flaw> {
    let mut from = Cursor::new(payload);
    let flags: u8 = from.take()?;
    let (returned, drained) = (flags & RETURNED != 0, flags & DRAINED != 0);
    if flags & !(KIND | DRAINED | RETURNED) != STEP || (drained && !returned) {
        return Err(Flaw::Tag { tag: flags });
    }
    let now = from.take::<Delta>()?.after(last);
    let call = decode_call(flags & KIND, &mut from)?;
    let mark = if returned {
        let (outputs, digest) = from.take()?;
        Some(Mark { outputs, drained, digest: u64::from_le_bytes(digest) })
    } else {
        None
    };
    from.end()?;
    Ok(Step { number, offset, now, call, mark })
}

fn read_trailer(payload: &[u8], steps: u64) -> Result<Last, Flaw> {
    let mut from = Cursor::new(payload);
    tag(&mut from, TRAILER)?;
    let (last, told) = from.take()?;
    from.end()?;
    if told == steps { Ok(last) } else { Err(Flaw::Steps { told, read: steps }) }
}

fn tag(from: &mut Cursor, expected: u8) -> Result<(), Flaw> {
    let tag: u8 = from.take()?;
    if tag == expected { Ok(()) } else { Err(Flaw::Tag { tag }) }
}
