//! A machine that keeps a trace of what it is told.
//!
//! [`Recorder`] has the surface of [`Core`], which it wraps; reading goes straight through to the machine. What it is told is put down
//! before the machine hears of it, so that even a step that panics is in the trace if the panic unwinds; what the machine answered is added
//! when the next step begins, because a driver may take outputs as late as it likes.
//!
//! A trace that cannot be written never disturbs the node: recording ends with one warning, and the node goes on.

use std::io::{self, Write};
use std::ops::Deref;
use std::time::Duration;

use preconf_core::{Command, CommandError, CommandId, Config, ConfigError, Core, Input, Now, Output, Time, Update, UpdateError};

use crate::call::CallRef;
use crate::outputs::{Answer, StepDigest};
use crate::writer::{Header, Last, Room, Writer};

/// How much of the node's own time may be lost when its process is killed: the writer is flushed at the first step after it. Ours.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How many bytes may gather until then. Ours: a write that is worth its call.
const FLUSH_BYTES: u64 = 256 << 10;

/// Where a trace goes, and how long it may get.
#[derive(Debug)]
pub struct Tape<W> {
    /// Takes the bytes. It should neither wait nor write a few bytes at a time: a buffer, or a thread's queue. It is flushed once a second or
    /// so, and not when the recorder is dropped, since that may be anywhere: what it holds then, it must write on being dropped itself.
    pub to: W,
    /// Most bytes that it is given.
    pub max_bytes: u64,
}

/// A machine, and perhaps the trace of what it is told.
///
/// ```
/// use preconf_core::{ChainId, Config, Input, Now, PeerId};
/// use preconf_trace::{Recorder, Replay, Tape};
///
/// let mut trace = Vec::new();
/// let tape = Tape { to: &mut trace, max_bytes: 1 << 20 };
/// let mut node = Recorder::start(Config::new(ChainId(1)), [7; 32], Now::default(), Some(tape))?;
/// node.handle_input(Now::default(), Input::RequestBroken { peer: PeerId::from_bytes(&[0, 1, 9]).unwrap() });
/// while node.poll_output().is_some() {}
/// drop(node); // ends the trace
///
/// let mut replay = Replay::open(&trace[..])?;
/// while let Some(step) = replay.step()? {
///     assert!(step.matches());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recorder<W: Write = Box<dyn Write + Send>> {
    core: Core,
    recording: Option<Recording<W>>,
}

impl<W: Write> Recorder<W> {
    /// Starts a machine, as [`Core::new`] does, and a trace of it on the tape, if there is one.
    ///
    /// # Errors
    /// The machine's: a configuration value that makes no sense.
    pub fn start(config: Config, seed: [u8; 32], now: Now, tape: Option<Tape<W>>) -> Result<Self, ConfigError> {
        let header = tape.as_ref().map(|_| Header::new(&config, seed, now));
        let core = Core::new(config, seed, now)?;
        let recording = header.zip(tape).and_then(|(header, tape)| Recording::start(&header, tape));
        Ok(Self { core, recording })
    }

    /// [`Core::handle_input`]. The result of a job must be what [`Job::run`](preconf_core::Job::run) found, or a replay finds another one.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        self.begin(now, CallRef::of(&input));
        self.core.handle_input(now, input);
        self.returned();
    }

    /// [`Core::handle_command`].
    ///
    /// # Errors
    /// The command is refused, and the machine is as it was.
    pub fn handle_command(&mut self, now: Now, command: Command) -> Result<CommandId, CommandError> {
        self.begin(now, CallRef::Command(&command));
        let answer = self.core.handle_command(now, command);
        if let Some(step) = self.returned() {
            step.digest.answer(&Answer::Command(answer.clone()));
        }
        answer
    }

    /// [`Core::handle_update`].
    ///
    /// # Errors
    /// The update is refused, and the machine is as it was.
    pub fn handle_update(&mut self, now: Now, update: Update) -> Result<(), UpdateError> {
        self.begin(now, CallRef::Update(&update));
        let answer = self.core.handle_update(now, update);
        if let Some(step) = self.returned() {
            step.digest.answer(&Answer::Update(answer));
        }
        answer
    }

    /// [`Core::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        self.begin(now, CallRef::Timeout);
        self.core.handle_timeout(now);
        self.returned();
    }

    /// [`Core::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.core.poll_output();
        if let Some(Open { digest, drained, .. }) = self.recording.as_mut().and_then(|recording| recording.open.as_mut()) {
            match &output {
                Some(output) => digest.output(output),
                None => *drained = true,
            }
        }
        output
    }

    /// Is what the machine is told still put down?
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    fn begin(&mut self, now: Now, call: CallRef<'_>) {
        let Some(recording) = &mut self.recording else { return };
        let done = recording.close(&self.core).and_then(|room| {
            if room == Room::Left {
                recording.note(now, call)?;
            }
            Ok(room)
        });
        let why = match done {
            Ok(Room::Left) => return,
            Ok(Room::None(last)) => {
                tracing::warn!(steps = recording.writer.steps(), bytes = recording.writer.bytes(), why = ?last, "recording has ended, the node goes on");
                recording.writer.end(last).and_then(|()| recording.writer.flush()).err()
            }
            Err(error) => Some(error),
        };
        if let Some(error) = why {
            warn(&error);
        }
        self.recording = None;
    }

    fn returned(&mut self) -> Option<&mut Open> {
        let open = self.recording.as_mut()?.open.as_mut()?;
        open.returned = true;
        Some(open)
    }
}

impl<W: Write> Deref for Recorder<W> {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl<W: Write> Drop for Recorder<W> {
    fn drop(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.finish(&self.core);
        }
    }
}

fn warn(error: &io::Error) {
    tracing::warn!(%error, "the trace cannot be written; the node goes on without");
}

/// A trace that is being written.
#[derive(Debug)]
struct Recording<W: Write> {
    writer: Writer<W>,
    open: Option<Open>,
    /// When it was flushed last, and how many bytes it had then.
    flushed: (Time, u64),
}

/// The step that the machine is at, or was at last.
#[derive(Debug, Default)]
struct Open {
    digest: StepDigest,
    drained: bool,
    returned: bool,
}

impl<W: Write> Recording<W> {
    fn start(header: &Header, tape: Tape<W>) -> Option<Self> {
        match Writer::new(tape.to, header, tape.max_bytes) {
            Ok(writer) => Some(Self { writer, open: None, flushed: (header.start.mono, 0) }),
            Err(error) => {
                warn(&error);
                None
            }
        }
    }

    /// Puts down what the machine is about to be told.
    fn note(&mut self, now: Now, call: CallRef<'_>) -> io::Result<()> {
        let bytes = self.writer.bytes();
        if now.mono.since(self.flushed.0) >= FLUSH_EVERY || bytes - self.flushed.1 >= FLUSH_BYTES {
            self.flushed = (now.mono, bytes);
            self.writer.flush()?;
        }
        self.writer.begin(now, call)?;
        self.open = Some(Open::default());
        Ok(())
    }

    /// Writes the step that is open.
    fn close(&mut self, core: &Core) -> io::Result<Room> {
        let Some(Open { digest, drained, returned }) = self.open.take() else { return Ok(Room::Left) };
        // A machine that did not come back is in no state to be asked.
        let mark = returned.then(|| digest.end(core.poll_timeout(), drained));
        self.writer.commit(mark)
    }

    fn finish(&mut self, core: &Core) {
        let is_broken = self.open.as_ref().is_some_and(|open| !open.returned);
        let ended = self.close(core).and_then(|room| {
            self.writer.end(match room {
                Room::Left if is_broken => Last::Broken,
                Room::Left => Last::Closed,
                Room::None(last) => last,
            })
        });
        if let Err(error) = ended {
            warn(&error);
        }
    }
}
