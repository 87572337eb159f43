//! All that a machine is, written down, so that another one goes on from there.
//!
//! A trace can begin with it, in the middle of a node's life. What goes on from a snapshot says, byte for byte, what the one that it was taken
//! of says when it is told the same.
//!
//! Txlists that commitments refer to are in a snapshot by their hash only: there may be 256 MiB of them, and the next snapshot has most of them
//! again. Their bytes are what [`Core::snapshot_txlists`] gives. What strangers sent and nobody has hashed yet is in it whole.
//!
//! Not in it: the host's parent rules, which are functions, and outputs that wait; so there is none while some do.

use alloy_primitives::B256;
use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::machine::Core;
use crate::validate::v1::parent::HostRule;

/// A machine between two calls, to be written down.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a>(&'a Core);

impl Serialize for Snapshot<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl Core {
    /// All that this machine is. `None` while outputs wait to be drained.
    pub fn snapshot(&self) -> Option<Snapshot<'_>> {
        (self.cx.outputs_waiting() == 0).then_some(Snapshot(self))
    }

    /// The txlists that a snapshot names: hash and bytes.
    pub fn snapshot_txlists(&self) -> impl Iterator<Item = (B256, &Bytes)> {
        self.txlists.named()
    }

    /// A machine that goes on from a snapshot, with these rules of its host, and the txlists that `find` has by their hashes.
    ///
    /// What contradicts itself in plain sight is refused; whoever takes a snapshot from a stranger runs the machine where a panic ends nothing.
    ///
    /// # Errors
    /// The bytes are no snapshot, or a txlist is missing.
    pub fn from_snapshot<'de, D: Deserializer<'de>>(
        from: D,
        host_rules: Vec<HostRule>,
        find: impl FnMut(&B256) -> Option<Bytes>,
    ) -> Result<Self, D::Error> {
        let mut core = Self::deserialize(from)?;
        core.cx.config.parent_rules.host = host_rules;
        core.cx.config.check().map_err(D::Error::custom)?;
        core.txlists.fill(find).map_err(|hash| D::Error::custom(format_args!("txlist {hash} is missing")))?;
        Ok(core)
    }
}
