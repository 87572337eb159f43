//! Everything that a node was told, as a file that replays to the same outputs on any machine.
//!
//! The core is a function of its configuration, its seed and the calls that it gets. A trace holds just these, and of each step a digest of
//! all that the machine said; so last night's incident runs again on a laptop, step by step, and a machine that was changed since shows
//! where it first says something else. Drivers and the simulator write traces with a [`Recorder`]; [`Replay`] relives them.
//!
//! ```text
//!  Recorder  = Core + Writer   ->  FILE  ->   Replay = Reader + Core
//! ```
//!
//! - **Faithful.** A step is put down before the machine hears of it: a panic that unwinds is in the trace; a process that aborts loses
//!   what it had not flushed. Outputs are counted when the driver takes
//!   them, however late, and a replay takes as many at the same place.
//! - **Small.** A job's result is not in it, only when it came back: [`Job::run`](preconf_core::Job::run) is pure. Nor are outputs, only
//!   their digest. What strangers sent is in it whole, since nothing else brings it back.
//! - **Strict.** One value has one encoding, postcard's. Each record has a checksum over itself and all before it: a damaged byte is found, with its
//!   place. A trace that is cut anywhere replays up to its cut, and [`Ending`] says so.
//! - **Bounded.** It ends at a size that its owner names, with a trailer. No kind of step has a share of its own, because a step that is left
//!   out would leave the rest without a replay: what strangers send counts like all else, so a flood ends such a trace early.
//! - **Or never full.** [`Recorder::in_segments`] goes on for as long as the node does. Each [segment](Segments) begins with a snapshot of the
//!   machine and replays by itself, so its owner keeps the last of them and lets the others go. Txlists are in a snapshot by their hashes, and
//!   their bytes beside the segments, each once. A snapshot that was damaged or made up is an error, also where its machine would panic.
//! - **No secrets.** No key ever reaches the core. A trace does tell what its log would tell: addresses of peers, and what they sent. The
//!   seed of a node that still runs tells its dice; whoever reads it can foresee which peer is asked next.
//!
//! This crate reads and writes bytes and nothing else: it opens no file and knows no clock or thread. Whoever hands it a writer sees to it
//! that it does not wait. What its steps mean stands in [`preconf_core`], and the rules behind numbers such as `P6.5` in
//! [`preconf_core::protocol`].

#![cfg_attr(docsrs, feature(doc_cfg))]

mod call;
mod encoding;
mod error;
mod framing;
mod outputs;
mod reader;
mod recorder;
mod replay;
mod snapshot;
mod writer;

pub use call::Call;
pub use error::{Flaw, TraceError};
pub use framing::FORMAT_VERSION;
pub use outputs::{Answer, Mark, StepDigest};
pub use reader::{Reader, Step};
pub use recorder::{NamedTxLists, RETRY, Recorder, Segments, Tape};
pub use replay::{Replay, Replayed};
pub use writer::{Ending, Header, PROTOCOL_VERSION, Writer};

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
