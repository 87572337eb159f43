//! What does every part need, and who lends it?
//!
//! [`Core`](crate::Core) owns one [`Cx`] beside its parts and lends it to a part for one call: the configuration, the clocks of this call, the
//! table of deadlines, the dice, the ids that are minted, the counters, and the queue of what goes out. A part that has it needs to know
//! nothing of the machine, nor of other parts.

use std::collections::VecDeque;

use crate::config::{Config, Storage};
use crate::dice::Dice;
use crate::id::{CommandId, JobId, Mint, PersistId};
use crate::job::{Job, Work};
use crate::output::{Action, Event, MAX_OUTPUTS_PER_STEP, Outcome, Output};
use crate::record::Record;
use crate::stats::Stats;
use crate::time::{Now, Time, Timers, UnixTime};
use crate::unread::Unread;

/// The last time at which the machine can be called, in effect.
const LAST: Time = Time(u64::MAX - 1);

/// Most outputs that may wait before strangers' messages are dropped unheard (P10.1). Ours: several of the largest steps.
pub(crate) const MAX_OUTPUTS_WAITING: usize = 4 * MAX_OUTPUTS_PER_STEP;

/// The ids that the machine hands out.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Mints {
    pub(crate) commands: Mint,
    pub(crate) requests: Mint,
    pub(crate) jobs: Mint,
    pub(crate) publishes: Mint,
    pub(crate) persists: Mint,
    pub(crate) dials: Mint,
    pub(crate) held: Mint,
    pub(crate) lookups: Mint,
}

/// What is lent to a part for one call.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Cx {
    pub(crate) config: Config,
    /// Both clocks, as this call brought them; the monotonic one never goes back.
    pub(crate) now: Now,
    pub(crate) timers: Timers,
    pub(crate) dice: Dice,
    pub(crate) mint: Mints,
    pub(crate) stats: Stats,
    pub(crate) unread: Unread,
    #[cfg_attr(feature = "serde", serde(skip))]
    outputs: VecDeque<Output>,
    /// How many outputs waited when this call began.
    #[cfg_attr(feature = "serde", serde(skip))]
    waited: usize,
}

impl Cx {
    pub(crate) fn new(config: Config, seed: [u8; 32], now: Now) -> Self {
        Self {
            config,
            now,
            timers: Timers::default(),
            dice: Dice::new(seed),
            mint: Mints::default(),
            stats: Stats::default(),
            unread: Unread::default(),
            outputs: VecDeque::new(),
            waited: 0,
        }
    }

    /// A call begins. A monotonic time that goes back counts as the last one; and there is always a later one, or what is due next would be due
    /// at once for ever (P10.2).
    pub(crate) fn begin(&mut self, now: Now) -> Now {
        self.now = Now { mono: now.mono.max(self.now.mono).min(LAST), unix: now.unix };
        self.waited = self.outputs.len();
        self.now
    }

    /// A call ends.
    pub(crate) fn end(&self) {
        debug_assert!(self.outputs.len() - self.waited <= MAX_OUTPUTS_PER_STEP, "one step emitted more than MAX_OUTPUTS_PER_STEP");
    }

    /// What L1 settled before this time is known to everybody by now (C7, P9.1).
    pub(crate) fn settled_before(&self) -> UnixTime {
        UnixTime(self.now.unix.0.saturating_sub(u64::try_from(self.config.settled_grace.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Orders something of the network.
    pub(crate) fn act(&mut self, action: Action) {
        self.emit(Output::Net(action));
    }

    /// Tells the application something.
    pub(crate) fn tell(&mut self, event: Event) {
        self.emit(Output::App(event));
    }

    /// Has the host keep something for the next start, if it has where.
    pub(crate) fn persist(&mut self, record: Record) -> PersistId {
        let id = self.mint.persists.next(PersistId);
        if self.config.storage == Storage::Durable {
            self.stats.persists += 1;
            self.emit(Output::Persist { id, record });
        }
        id
    }

    /// A command has its outcome.
    pub(crate) fn finish(&mut self, command: CommandId, outcome: Outcome) {
        self.tell(Event::CommandFinished { command, outcome });
    }

    /// Sends slow, pure work out.
    pub(crate) fn start(&mut self, work: Work) -> JobId {
        let id = self.mint.jobs.next(JobId);
        self.stats.jobs += 1;
        self.emit(Output::Job(Job { id, work }));
        id
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Outputs that wait to be drained.
    pub(crate) fn outputs_waiting(&self) -> usize {
        self.outputs.len()
    }

    /// P10.1: do so many outputs wait that strangers must go unheard?
    pub(crate) fn is_full(&self) -> bool {
        self.outputs.len() >= MAX_OUTPUTS_WAITING
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}

#[cfg(test)]
impl Cx {
    /// As the machine lends it at the start of a node with the defaults.
    pub(crate) fn for_tests() -> Self {
        use crate::wire::topics::ChainId;
        Self::new(Config::new(ChainId(1)), [0; 32], Now { mono: Time::ZERO, unix: UnixTime::from_secs(1_010) })
    }

    /// The jobs among what has gone out since it was asked last; the rest is dropped.
    pub(crate) fn drain_jobs(&mut self) -> Vec<JobId> {
        let job = |output| if let Output::Job(Job { id, .. }) = output { Some(id) } else { None };
        self.outputs.drain(..).filter_map(job).collect()
    }
}
