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

use preconf_core::{
    B256, Bytes, Command, CommandError, CommandId, Config, ConfigError, Core, Input, JobId, Now, Output, Time, Update, UpdateError,
};

use crate::call::CallRef;
use crate::outputs::{Answer, StepDigest};
use crate::snapshot::{self, Preface};
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
    ring: Option<Ring<W>>,
}

/// Txlists, each with its hash.
pub type NamedTxLists = Vec<(B256, Bytes)>;

/// Has a trace go on for as long as the node does, in segments each of which replays by itself.
#[derive(Clone, Copy, Debug)]
pub struct Segments<W> {
    /// A segment that has so many bytes of steps, and as many as its snapshot has, is ended at the next step; so a step may make it longer.
    pub bytes: u64,
    /// Has what is written from here on go to a new segment. These txlists must be found beside it for as long as it is there.
    pub begin: fn(&mut W, NamedTxLists) -> io::Result<()>,
}

impl<W: Write> Recorder<W> {
    /// Records a machine that is there already, in segments. `config` and `seed` are those that it was started with; the first segment begins
    /// once it has nothing to say.
    ///
    /// What cannot be written ends a segment with a warning; a new one is tried after [`RETRY`].
    pub fn in_segments(core: Core, config: &Config, seed: [u8; 32], to: W, segments: Segments<W>) -> Self {
        let header = Header::new(config, seed, Now::default());
        let ring =
            Ring { header, segments, idle: Some(to), retry_at: Time::ZERO, is_failing: false, steps: 0, last_job: None, first_job: None };
        Self { core, recording: None, ring: Some(ring) }
    }

    /// Starts a machine, as [`Core::new`] does, and a trace of it on the tape, if there is one.
    ///
    /// # Errors
    /// The machine's: a configuration value that makes no sense.
    pub fn start(config: Config, seed: [u8; 32], now: Now, tape: Option<Tape<W>>) -> Result<Self, ConfigError> {
        let header = tape.as_ref().map(|_| Header::new(&config, seed, now));
        let core = Core::new(config, seed, now)?;
        let recording = header.zip(tape).and_then(|(header, tape)| Recording::start(&header, tape));
        Ok(Self { core, recording, ring: None })
    }

    /// [`Core::handle_input`]. The result of a job must be what [`Job::run`](preconf_core::Job::run) found, or a replay finds another one.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        self.turn(now);
        let is_whole = matches!(&input, Input::JobFinished(done) if self.ring.as_ref().is_some_and(|ring| ring.is_of_before(done.id)));
        self.begin(now, if is_whole { CallRef::Input(&input) } else { CallRef::of(&input) });
        self.core.handle_input(now, input);
        self.returned();
    }

    /// [`Core::handle_command`].
    ///
    /// # Errors
    /// The command is refused, and the machine is as it was.
    pub fn handle_command(&mut self, now: Now, command: Command) -> Result<CommandId, CommandError> {
        self.turn(now);
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
        self.turn(now);
        self.begin(now, CallRef::Update(&update));
        let answer = self.core.handle_update(now, update);
        if let Some(step) = self.returned() {
            step.digest.answer(&Answer::Update(answer));
        }
        answer
    }

    /// [`Core::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        self.turn(now);
        self.begin(now, CallRef::Timeout);
        self.core.handle_timeout(now);
        self.returned();
    }

    /// [`Core::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.core.poll_output();
        if let (Some(ring), Some(Output::Job(job))) = (&mut self.ring, &output) {
            ring.last_job = Some(job.id);
        }
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
        self.stop(now, why);
    }

    /// Recording ends, or a segment does.
    fn stop(&mut self, now: Now, why: Option<io::Error>) {
        let Some(recording) = self.recording.take() else { return };
        match &mut self.ring {
            Some(ring) => ring.fail(recording.writer.into_inner(), now, why.as_ref()),
            None => {
                if let Some(error) = why {
                    warn(&error);
                }
            }
        }
    }

    /// Begins the next segment where it is time for one.
    fn turn(&mut self, now: Now) {
        let Some(ring) = &mut self.ring else { return };
        if let Some(recording) = &mut self.recording {
            // As many bytes of steps as of the snapshot, at least: a machine that holds much is not written down at every step.
            let steps = recording.writer.bytes() - recording.begun;
            if steps < ring.segments.bytes.max(recording.begun) || recording.is_undrained() {
                return;
            }
            let ended = recording.close(&self.core).and_then(|room| {
                recording.writer.end(if let Room::None(last) = room { last } else { Last::Continued })?;
                recording.writer.flush()
            });
            ring.steps += recording.writer.steps();
            if let Err(error) = ended {
                self.stop(now, Some(error));
                return;
            }
            ring.idle = self.recording.take().map(|recording| recording.writer.into_inner());
        }
        if let Some(to) = ring.idle.take_if(|_| now.mono >= ring.retry_at) {
            self.recording = ring.begin(&self.core, to, now);
        }
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

/// How long recording rests after a failure. Ours: what a disk in trouble, or a burst that it could not follow, may take.
pub const RETRY: Duration = Duration::from_secs(10);

/// What a ring of segments knows beside the one that is being written.
#[derive(Debug)]
struct Ring<W> {
    header: Header,
    segments: Segments<W>,
    /// Where to write, while no segment is being written.
    idle: Option<W>,
    retry_at: Time,
    /// Told once.
    is_failing: bool,
    /// Steps in the segments that have ended.
    steps: u64,
    /// The last job that the machine asked for, now and when the segment began.
    last_job: Option<JobId>,
    first_job: Option<JobId>,
}

impl<W: Write> Ring<W> {
    /// Was this job asked for before the segment began? A replay knows nothing of it, so its result is put down whole.
    fn is_of_before(&self, job: JobId) -> bool {
        self.first_job.is_some_and(|last| job <= last)
    }

    fn begin(&mut self, core: &Core, mut to: W, now: Now) -> Option<Recording<W>> {
        if core.snapshot().is_none() {
            self.idle = Some(to); // outputs wait: soon
            return None;
        }
        let txlists: NamedTxLists = core.snapshot_txlists().map(|(hash, list)| (hash, list.clone())).collect();
        let preface = Preface { steps: self.steps, txlists: txlists.iter().map(|(hash, _)| *hash).collect() };
        let bytes = snapshot::written(core, &preface);
        self.header.start = now;
        if let Err(error) = (self.segments.begin)(&mut to, txlists) {
            self.fail(to, now, Some(&error));
            return None;
        }
        let mut writer = Writer::unbegun(to, u64::MAX);
        if let Err(error) = writer.header(&self.header).and_then(|()| writer.snapshot(&bytes)).and_then(|()| writer.flush()) {
            self.fail(writer.into_inner(), now, Some(&error));
            return None;
        }
        let begun = writer.bytes();
        self.first_job = self.last_job;
        self.is_failing = false;
        Some(Recording { writer, open: None, flushed: (now.mono, begun), begun })
    }

    fn fail(&mut self, to: W, now: Now, why: Option<&io::Error>) {
        if let Some(error) = why.filter(|_| !std::mem::replace(&mut self.is_failing, true)) {
            tracing::warn!(%error, again_in = ?RETRY, "the trace cannot be written; the node goes on without, and a new segment is tried again");
        }
        (self.idle, self.retry_at) = (Some(to), now.mono.after(RETRY));
    }
}

/// A trace that is being written.
#[derive(Debug)]
struct Recording<W: Write> {
    writer: Writer<W>,
    open: Option<Open>,
    /// When it was flushed last, and how many bytes it had then.
    flushed: (Time, u64),
    /// Bytes of what it begins with.
    begun: u64,
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
            Ok(writer) => Some(Self { begun: writer.bytes(), writer, open: None, flushed: (header.start.mono, 0) }),
            Err(error) => {
                warn(&error);
                None
            }
        }
    }

    /// Has the driver not taken all that the machine has said?
    fn is_undrained(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.drained || !open.returned)
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
