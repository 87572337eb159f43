//! Is what a machine publishes of its own on its disk (P5.9a)?

use std::collections::{BTreeMap, BTreeSet};

use preconf_core::{B256, Bytes, Config, PersistId, Record, SignedCommitment, Storage, Topic, preconfirmation_hash};

use super::{Disagreement, differ};

/// The machine's own commitments, as far as its disk has confirmed them.
#[derive(Debug)]
pub(super) struct Records {
    has_disk: bool,
    writing: BTreeMap<PersistId, B256>,
    written: BTreeSet<B256>,
}

impl Records {
    pub(super) fn new(config: &Config) -> Self {
        Self { has_disk: config.storage == Storage::Durable, writing: BTreeMap::new(), written: BTreeSet::new() }
    }

    /// The machine has one written.
    pub(super) fn persist(&mut self, id: PersistId, record: &Record) {
        if let Record::Committed(own) = record {
            self.writing.insert(id, own.hash());
        }
    }

    /// The disk says that it is there.
    pub(super) fn persisted(&mut self, id: PersistId) {
        self.written.extend(self.writing.remove(&id));
    }

    /// What was there before a restart.
    pub(super) fn restored(&mut self, records: &[Record]) {
        let own = records.iter().filter_map(|record| if let Record::Committed(own) = record { Some(own.hash()) } else { None });
        self.written.extend(own);
    }

    /// P5.9a: durable before public.
    pub(super) fn published(&self, topic: Topic, data: &Bytes) -> Result<(), Disagreement> {
        if !self.has_disk || topic != Topic::Commitments {
            return Ok(());
        }
        let hash = SignedCommitment::decode(data).ok().as_ref().map(preconfirmation_hash);
        let is_written = hash.is_some_and(|hash| self.written.contains(&hash));
        if is_written { Ok(()) } else { Err(differ("P5.9a", ("published", hash), "its record is not on disk")) }
    }
}
