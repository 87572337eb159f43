//! The machine: owns the parts and dispatches one step. No protocol rule lives here.

use std::collections::VecDeque;

use crate::config::{Config, ConfigError};
use crate::error::CommandError;
use crate::id::CommandId;
use crate::input::{Command, Input};
use crate::output::Output;
use crate::stats::Stats;
use crate::time::{Now, Time, Timer, Timers};

/// One node's mind.
#[derive(Debug)]
pub struct Core {
    config: Config,
    outputs: VecDeque<Output>,
    timers: Timers,
    stats: Stats,
}

impl Core {
    /// Starts a node. The seed decides all its dice.
    ///
    /// # Errors
    /// A configuration value that makes no sense.
    pub fn new(config: Config, seed: [u8; 32], now: Now) -> Result<Self, ConfigError> {
        config.check()?;
        let _ = (seed, now);
        Ok(Self { config, outputs: VecDeque::new(), timers: Timers::default(), stats: Stats::default() })
    }

    /// The world says something. Every input is taken.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        let _ = (now, input);
    }

    /// Our own application wishes something.
    ///
    /// # Errors
    /// The wish is refused, and the machine is as it was.
    pub fn handle_command(&mut self, now: Now, command: Command) -> Result<CommandId, CommandError> {
        let _ = (now, command, &self.config);
        Ok(CommandId(0))
    }

    /// Time has passed. Early or repeated calls change nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        while self.timers.pop_due(now.mono).is_some() {}
    }

    /// What to do next; call until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Core::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Time, Timer)> {
        self.timers.next()
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
