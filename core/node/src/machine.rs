//! Where does each step enter the core?
//!
//! Here and nowhere else in a driver: what happened, what was wished and what was due all pass [`Machine`], with the time at which they did.
//! So every step can be recorded.

use preconf_core::{Command, CommandError, CommandId, Core, Input, Now, Output, Time, Update, UpdateError};
use preconf_trace::Recorder;

use crate::clock::Clock;
use crate::record::{Behind, Remainder};

/// The core, what records its steps, and the clock that tells it the time.
pub(crate) struct Machine {
    core: Recorder<Behind>,
    /// Dropped after the recorder, and so writes all that it had to say, unless [`end`](Self::end) took it.
    rest: Option<Remainder>,
    clock: Box<dyn Clock>,
}

impl Machine {
    pub(crate) fn new(core: Recorder<Behind>, rest: Option<Remainder>, clock: Box<dyn Clock>) -> Self {
        Self { core, rest, clock }
    }

    /// Tells it what happened.
    pub(crate) fn input(&mut self, input: Input) {
        self.core.handle_input(self.clock.now(), input);
    }

    /// Tells it what our own application wants done.
    pub(crate) fn command(&mut self, command: Command) -> Result<CommandId, CommandError> {
        self.core.handle_command(self.clock.now(), command)
    }

    /// Tells it what our own application decides or knows.
    pub(crate) fn update(&mut self, update: Update) -> Result<(), UpdateError> {
        self.core.handle_update(self.clock.now(), update)
    }

    /// Is it time for what it wants to be woken for? The clock decides, not the future that slept.
    pub(crate) fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= self.clock.now().mono)
    }

    /// Tells it that it is.
    pub(crate) fn wake(&mut self) {
        self.core.handle_timeout(self.clock.now());
    }

    /// What it wants done next.
    pub(crate) fn output(&mut self) -> Option<Output> {
        self.core.poll_output()
    }

    /// When it wants to be woken.
    pub(crate) fn due(&self) -> Option<Time> {
        self.core.poll_timeout().map(|(at, _)| at)
    }

    /// What it knows, to be looked at.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Ends it and its trace. What of that is not on the disk yet is handed back, with the clock.
    pub(crate) fn end(self) -> (Option<Remainder>, Box<dyn Clock>) {
        drop(self.core);
        (self.rest, self.clock)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }
}
