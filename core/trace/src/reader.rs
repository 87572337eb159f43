//! Reads a trace, step by step.

use std::io::Read;

use preconf_core::Now;

use crate::call::{Call, decode_call};
use crate::encoding::Cursor;
use crate::error::{Flaw, TraceError};
use crate::framing::{Frame, FrameReader};
use crate::outputs::Mark;
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
        Ok(Self { frames, last: header.start, header, steps: 0, ending: None, failed: false })
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
        let (offset, number) = (self.frames.offset, self.steps + 1);
        let corrupt = |flaw| TraceError::Corrupt { offset, step: number, flaw };
        let payload = match self.frames.record()?.map_err(corrupt)? {
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
