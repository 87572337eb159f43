//! Does the machine still say what it said?
//!
//! A replay starts a machine as the recorded one was started, tells it the same at the same times, and takes as many outputs after each
//! step as were taken then. What jobs found it finds again, by running them.
//!
//! Invariant: `jobs` holds what the machine has asked for and has not been told; the machine bounds that.

use std::collections::BTreeMap;
use std::io::Read;
use std::panic::{self, AssertUnwindSafe};

use preconf_core::{B256, Bytes, Core, HostRule, Input, Job, JobId, Output};

use crate::call::Call;
use crate::error::TraceError;
use crate::outputs::{Answer, Mark, StepDigest};
use crate::reader::{Reader, Step};
use crate::snapshot;
use crate::writer::{Ending, Header};

/// A trace, and a machine that relives it.
#[derive(Debug)]
pub struct Replay<R> {
    reader: Reader<R>,
    core: Core,
    jobs: BTreeMap<JobId, Job>,
    /// It began with a snapshot, which may be of a machine that never was.
    is_segment: bool,
    is_broken: bool,
}

/// One step, relived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The step as it was recorded.
    pub step: Step,
    /// What the machine answers now, if it was told a command or an update.
    pub answer: Option<Answer>,
    /// What it says now: as many outputs as were taken then, or all if those were all.
    pub outputs: Vec<Output>,
    /// What became of the step now.
    pub mark: Mark,
    /// The job whose result the step brings, if this machine has not asked for it: it has gone another way, and was told nothing.
    pub unasked: Option<JobId>,
}

impl Replayed {
    /// Does the machine say what it said? A step that it did not come back from matches whatever it says now.
    pub fn matches(&self) -> bool {
        self.unasked.is_none() && self.step.mark.is_none_or(|mark| mark == self.mark)
    }
}

impl<R: Read> Replay<R> {
    /// Reads the header and starts the machine.
    ///
    /// # Errors
    /// The reader's; no machine starts with the configuration; the host had rules of its own.
    pub fn open(trace: R) -> Result<Self, TraceError> {
        Self::with_rules(trace, &[])
    }

    /// Like [`open`](Self::open), with the parent rules of the recorded host, of which the trace has only the names.
    ///
    /// # Errors
    /// The reader's; no machine starts with the configuration; a rule that the host had is not among these.
    pub fn with_rules(trace: R, rules: &[HostRule]) -> Result<Self, TraceError> {
        Self::segment(trace, rules, |_| None)
    }

    /// Like [`with_rules`](Self::with_rules), also of a trace that begins amid the machine's life; `find` has the txlists that lie beside it, by
    /// their hashes.
    ///
    /// # Errors
    /// Those of `with_rules`; a snapshot that is none; a txlist that it names is missing, or has another hash.
    pub fn segment(trace: R, rules: &[HostRule], find: impl FnMut(&B256) -> Option<Bytes>) -> Result<Self, TraceError> {
        let mut reader = Reader::new(trace)?;
        let snapshot = reader.take_snapshot();
        let Header { config, host_rules, seed, start, .. } = reader.header();
        let mut config = config.clone();
        for name in host_rules {
            let rule = rules.iter().find(|rule| rule.name == name).ok_or_else(|| TraceError::HostRule { name: name.clone() })?;
            config.parent_rules.host.push(*rule);
        }
        let is_segment = snapshot.is_some();
        let core = match snapshot {
            Some(bytes) => snapshot::machine(&bytes, config.parent_rules.host, find)?,
            None => Core::new(config, *seed, *start)?,
        };
        Ok(Self { reader, core, jobs: BTreeMap::new(), is_segment, is_broken: false })
    }

    /// Relives the next step; `None` at the end, of which [`Replay::ending`] then tells more.
    ///
    /// # Errors
    /// The reader's.
    pub fn step(&mut self) -> Result<Option<Replayed>, TraceError> {
        if self.is_broken {
            return Ok(None);
        }
        let Some(step) = self.reader.step()? else { return Ok(None) };
        if !self.is_segment {
            return Ok(Some(self.relive(step)));
        }
        // A stranger may have made up a machine whose parts contradict each other. That is the trace's fault, and nobody is to fall over it.
        match panic::catch_unwind(AssertUnwindSafe(|| self.relive(step))) {
            Ok(relived) => Ok(Some(relived)),
            Err(_) => {
                self.is_broken = true;
                Err(TraceError::Snapshot { reason: format!("it does not come back from step {}", self.reader.steps()) })
            }
        }
    }

    fn relive(&mut self, step: Step) -> Replayed {
        let (now, mut unasked) = (step.now, None);
        let mut digest = StepDigest::default();
        let answer = match step.call.clone() {
            Call::Input(input) => {
                self.core.handle_input(now, input);
                None
            }
            Call::JobDone(id) => {
                match self.jobs.remove(&id) {
                    Some(job) => self.core.handle_input(now, Input::JobFinished(job.run())),
                    None => unasked = Some(id),
                }
                None
            }
            Call::Command(command) => Some(Answer::Command(self.core.handle_command(now, command))),
            Call::Update(update) => Some(Answer::Update(self.core.handle_update(now, update))),
            Call::Timeout => {
                self.core.handle_timeout(now);
                None
            }
        };
        if let Some(answer) = &answer {
            digest.answer(answer);
        }
        let (outputs, drained) = self.take_outputs(step.mark);
        outputs.iter().for_each(|output| digest.output(output));
        let mark = digest.end(self.core.poll_timeout(), drained);
        Replayed { step, answer, outputs, mark, unasked }
    }

    /// Steps in the segments before this one; 0 where it begins with the machine's start.
    pub fn steps_before(&self) -> u64 {
        self.reader.begins_after().map_or(0, |(steps, _)| steps)
    }

    /// What the recorded machine was started with.
    pub fn header(&self) -> &Header {
        self.reader.header()
    }

    /// The machine as it is after the last step.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Steps relived so far.
    pub fn steps(&self) -> u64 {
        self.reader.steps()
    }

    /// How the trace ends, once all its steps are relived.
    pub fn ending(&self) -> Option<Ending> {
        self.reader.ending()
    }

    fn take_outputs(&mut self, then: Option<Mark>) -> (Vec<Output>, bool) {
        let most = then.filter(|mark| !mark.drained).map_or(u64::MAX, |mark| mark.outputs);
        let (mut outputs, mut drained) = (Vec::new(), false);
        while !drained && (outputs.len() as u64) < most {
            match self.core.poll_output() {
                Some(output) => {
                    if let Output::Job(job) = &output {
                        self.jobs.insert(job.id, job.clone());
                    }
                    outputs.push(output);
                }
                None => drained = true,
            }
        }
        (outputs, drained)
    }
}
