//! A machine amid its life, as the beginning of a trace.
//!
//! A *segment* is a trace that begins with a snapshot of the machine instead of with its start, so that it replays by itself, however long the
//! node has been up. Txlists are in it by their hashes; whoever keeps segments keeps their bytes beside them, each once.

use preconf_core::{B256, Bytes, Core, HostRule};
use serde::{Deserialize, Serialize};

use crate::encoding::encode;
use crate::error::TraceError;

/// A piece of a snapshot that others follow, and the last one.
pub(crate) const PIECE: u8 = 0x50;
pub(crate) const LAST_PIECE: u8 = 0x51;
/// Longest piece, in bytes. Ours: as a step of gossip has at most.
pub(crate) const PIECE_BYTES: usize = 8 << 20;
/// Longest snapshot that is read, in bytes. Ours: all that strangers may have left unhashed (T5), and as much again for all the rest.
pub(crate) const MAX_SNAPSHOT_BYTES: usize = 128 << 20;

/// What stands before a machine's own bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preface {
    /// Steps in the segments before.
    pub(crate) steps: u64,
    /// The txlists that it names.
    pub(crate) txlists: Vec<B256>,
}

/// All of a snapshot: its preface, and the machine's bytes.
///
/// # Panics
/// Outputs wait.
pub(crate) fn written(core: &Core, preface: &Preface) -> Vec<u8> {
    let mut bytes = Vec::new();
    let snapshot = core.snapshot().expect("a machine that has nothing to say");
    let mut put = |piece: &[u8]| bytes.extend_from_slice(piece);
    encode(preface, &mut put).and_then(|()| encode(&snapshot, &mut put)).expect("values of known lengths");
    bytes
}

/// The machine of a snapshot, if its bytes are those that it would write itself.
pub(crate) fn machine(bytes: &[u8], rules: Vec<HostRule>, mut find: impl FnMut(&B256) -> Option<Bytes>) -> Result<Core, TraceError> {
    let broken = |reason: &dyn std::fmt::Display| TraceError::Snapshot { reason: reason.to_string() };
    let mut from = postcard::Deserializer::from_bytes(bytes);
    let mut flaw = None;
    let look = |hash: &B256| {
        let list = find(hash);
        if list.as_ref().is_none_or(|list| preconf_core::keccak256(list) != *hash) {
            flaw = Some(*hash);
        }
        list
    };
    let core = Core::from_snapshot(&mut from, rules, look);
    if let Some(hash) = flaw {
        return Err(TraceError::TxList { hash });
    }
    let core = core.map_err(|error| broken(&error))?;
    let mut read = Some(bytes);
    let snapshot = core.snapshot().ok_or_else(|| broken(&"outputs wait in it"))?;
    let again = encode(&snapshot, |piece| read = read.and_then(|read| read.strip_prefix(piece)));
    if again.is_err() || read != Some(&[]) { Err(broken(&"it is not written as it should be")) } else { Ok(core) }
}
