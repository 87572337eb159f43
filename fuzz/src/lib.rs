//! What must hold whatever bytes a stranger sends (P10.2, P3.1, P3.4)?
//!
//! The bodies of the fuzz targets, as plain functions: the engine calls them with what it invents, `tests/replay_corpus.rs` with what was
//! kept. Both panic where something does not hold. Each says how far it came, so that a corpus can be asked whether it still reaches what
//! it was made for.

mod dice;
mod frame_decoder;
mod machine;
pub mod seeds;
mod wire_decode;

pub use frame_decoder::{Reached, frame_decoder};
pub use machine::{Reached as NodeReached, machine_bytes, tell};
pub use wire_decode::{Container, wire_decode};
