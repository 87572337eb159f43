//! What must hold whatever bytes a stranger sends (P10.2, P3.1, P3.4)?
//!
//! The bodies of the fuzz targets, as plain functions: the engine calls them with what it invents, `tests/replay_corpus.rs` with what was
//! kept. Both panic where something does not hold. Each says how far it came, so that a corpus can be asked whether it still reaches what
//! it was made for.

#[cfg(feature = "codec")]
mod codec_stream;
mod crypto;
mod dice;
mod frame_decoder;
mod machine;
#[cfg(feature = "enr")]
mod node_records;
pub mod seeds;
#[cfg(feature = "sim")]
mod sim_model;
mod texts;
mod trace_reader;
mod wire_decode;
mod wire_rival;

#[cfg(feature = "codec")]
pub use codec_stream::{Read, codec_stream};
pub use crypto::{Signed, crypto};
pub use frame_decoder::{Reached, frame_decoder};
pub use machine::{Reached as NodeReached, machine_bytes, machine_bytes_twice, tell};
#[cfg(feature = "sim")]
pub use sim_model::{Lived, sim_model};
pub use texts::{Text, enr_and_config};
pub use trace_reader::{Told, trace_reader};
pub use wire_decode::{Container, wire_decode};
pub use wire_rival::wire_rival;

/// A target: its name, and what it does with an input.
pub struct Target {
    /// Names its folder in the corpus.
    pub name: &'static str,
    /// Runs one input; panics where something does not hold.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($(#[$gater:meta])* $target:ident,)*) => {
        /// Every target there is.
        pub const TARGETS: &[Target] = &[$(
            $(#[$gater])*
            Target { name: stringify!($target), run: |data| { $target(data); } },
        )*];
    };
}

targets! {
    wire_decode,
    wire_rival,
    frame_decoder,
    #[cfg(feature = "codec")]
    codec_stream,
    crypto,
    enr_and_config,
    trace_reader,
    machine_bytes,
    #[cfg(feature = "sim")]
    sim_model,
}
