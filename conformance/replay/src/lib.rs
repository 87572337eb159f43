//! Does a machine still say what it said when its trace was recorded?
//!
//! A trace is written by any driver or by the simulator, read and relived by `preconf-trace`; here is what one wants to know of it: whether
//! all steps match, where the first one differs ([`relive`]), where two traces part ([`part`]), and in words what happened there
//! ([`words`]).
//!
//! ```
//! use preconf_core::{ChainId, Config, Now};
//! use preconf_replay::relive;
//! use preconf_trace::{Recorder, Replay, Tape};
//!
//! let mut trace = Vec::new();
//! let tape = Tape { to: &mut trace, max_bytes: 1 << 20 };
//! let mut node = Recorder::start(Config::new(ChainId(1)), [7; 32], Now::default(), Some(tape))?;
//! node.handle_timeout(Now::default());
//! drop(node);
//!
//! let mut replay = Replay::open(&trace[..])?;
//! let relived = relive(&mut replay, None, |_, _| {});
//! assert!(relived.ok());
//! assert_eq!(relived.steps, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod diff;
mod view;
pub mod words;

use std::io::Read;

use preconf_core::Core;
use preconf_trace::{Ending, Replay, Replayed, TraceError};
use sha2::{Digest, Sha256};

pub use diff::{Parting, Started, Why, part};
pub use view::StepView;

/// What came of reliving a trace.
#[derive(Debug)]
pub struct Relived {
    /// Steps that were relived, the one that differs included.
    pub steps: u64,
    /// The last of them.
    pub last: Option<StepView>,
    /// The first step in which the machine says something else than it did. Nothing is relived behind it.
    pub difference: Option<StepView>,
    /// How the trace ends, if its end was reached.
    pub ending: Option<Ending>,
    /// Why it could not be relived further.
    pub error: Option<TraceError>,
    /// SHA-256 over time and digest of every step, as the machine says it now.
    pub digest: [u8; 32],
}

impl Relived {
    /// Does every step match, and was nothing in the way? A trace that is only cut is right as far as it goes.
    pub fn ok(&self) -> bool {
        self.difference.is_none() && self.error.is_none()
    }
}

/// Relives a trace up to a step (all of it without), or to the first step that differs. `seen` is shown each step and the machine after it.
pub fn relive<R: Read>(replay: &mut Replay<R>, until: Option<u64>, mut seen: impl FnMut(&Replayed, &Core)) -> Relived {
    let mut hash = Sha256::new();
    let mut relived = Relived { steps: 0, last: None, difference: None, ending: None, error: None, digest: [0; 32] };
    let mut last = None;
    while until.is_none_or(|until| relived.steps < until) {
        match replay.step() {
            Ok(Some(step)) => {
                relived.steps = step.step.number;
                hash.update(step.step.now.mono.0.to_le_bytes());
                hash.update(step.mark.digest.to_le_bytes());
                seen(&step, replay.core());
                if !step.matches() {
                    relived.difference = Some(StepView::of(&step, replay.core()));
                    last = Some(step);
                    break;
                }
                last = Some(step);
            }
            Ok(None) => {
                relived.ending = replay.ending();
                break;
            }
            Err(error) => {
                relived.error = Some(error);
                break;
            }
        }
    }
    relived.last = last.map(|step| StepView::of(&step, replay.core()));
    relived.digest = hash.finalize().into();
    relived
}

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
