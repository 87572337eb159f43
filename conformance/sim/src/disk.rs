//! What is on a node's disk, and what a crash leaves of it (P5.9a)?
//!
//! A record that a machine gives its host is on its way for as long as the disk takes. Then it is there, and the machine hears so; or the disk
//! fails, and it may be there all the same. A crash keeps any part of what was on its way: that was never confirmed. Writes end in the order
//! in which they began.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use preconf_core::{Accepted, B256, Bytes, PeerId, PersistId, Record, Time, UnixTime};

use super::dice::Dice;

/// Commitments and txlists that a disk keeps. Ours: more than any scenario's window has, and little beside what a machine keeps in memory.
const MAX_OF_CHAIN: usize = 512;

/// How fast and how well a disk works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskTerms {
    /// How long a write takes; zero confirms it within the step that asked for it.
    pub takes: Range<Duration>,
    /// How often it takes longer, in millionths, and how much longer at most.
    pub tail: (u32, Duration),
    /// Writes that fail, in millionths.
    pub fails: u32,
    /// A host that breaks P5.9a: it confirms a write when it is queued. To show what the rule is for.
    pub confirms_queued: bool,
}

impl DiskTerms {
    /// A disk that never fails and takes no time.
    pub const INSTANT: Self = Self { takes: Duration::ZERO..Duration::ZERO, tail: (0, Duration::ZERO), fails: 0, confirms_queued: false };

    /// Is a write confirmed within the step that asked for it?
    pub(crate) fn is_instant(&self) -> bool {
        self.takes.end.is_zero() && self.tail.0 == 0 && self.fails == 0
    }

    fn span(&self, dice: &mut Dice) -> Duration {
        let longer = if dice.chance(self.tail.0) { dice.span(&(Duration::ZERO..self.tail.1)) } else { Duration::ZERO };
        dice.span(&self.takes) + longer
    }
}

/// One node's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// When it was made, by the node's clock (P5.9b).
    pub(crate) began: Option<UnixTime>,
    committed: Vec<Record>,
    peers: BTreeMap<PeerId, Record>,
    known: BTreeMap<PeerId, Record>,
    schedule: Option<Record>,
    tip: Option<Record>,
    commitments: BTreeMap<u64, Arc<Accepted>>,
    txlists: VecDeque<(B256, Bytes)>,
    evidence: VecDeque<Record>,
    /// On their way.
    writing: BTreeMap<PersistId, Record>,
    /// When the last of them ends.
    busy_until: Time,
}

impl Disk {
    /// A write begins.
    pub(crate) fn begin(&mut self, id: PersistId, record: Record) {
        self.writing.insert(id, record);
    }

    /// When a write that begins now will have ended.
    pub(crate) fn ends(&mut self, now: Time, terms: &DiskTerms, dice: &mut Dice) -> Time {
        self.busy_until = self.busy_until.max(now.after(terms.span(dice)));
        self.busy_until
    }

    /// A write ends. Is it there?
    pub(crate) fn end(&mut self, id: PersistId, is_kept: bool) {
        if let Some(record) = self.writing.remove(&id).filter(|_| is_kept) {
            self.keep(record);
        }
    }

    /// The node is gone: of what was on its way, this decides what is there.
    pub(crate) fn crash(&mut self, mut is_kept: impl FnMut() -> bool) {
        for record in std::mem::take(&mut self.writing).into_values() {
            if is_kept() {
                self.keep(record);
            }
        }
    }

    fn keep(&mut self, record: Record) {
        match record {
            Record::Began { .. } => {}
            Record::Committed(_) => self.committed.push(record),
            Record::Peer { peer, .. } => drop(self.peers.insert(peer, record)),
            Record::Known(ref node) => drop(self.known.insert(node.record.peer, record)),
            Record::Schedule(_) => self.schedule = Some(record),
            Record::SyncTip(_) => self.tip = Some(record),
            Record::Commitment(accepted) => {
                self.commitments.insert(accepted.block_number, accepted);
                if self.commitments.len() > MAX_OF_CHAIN {
                    self.commitments.pop_first();
                }
            }
            Record::ChainDropped { from } => drop(self.commitments.split_off(&from)),
            Record::TxList { hash, txlist } => {
                self.txlists.push_back((hash, txlist));
                if self.txlists.len() > MAX_OF_CHAIN {
                    self.txlists.pop_front();
                }
            }
            Record::Evidence { .. } => {
                self.evidence.push_back(record);
                if self.evidence.len() > MAX_OF_CHAIN {
                    self.evidence.pop_front();
                }
            }
        }
    }

    /// What a machine is given back at its start, oldest first.
    pub(crate) fn records(&self) -> Vec<Record> {
        let chain = self.commitments.values().cloned().map(Record::Commitment);
        let txlists = self.txlists.iter().map(|(hash, txlist)| Record::TxList { hash: *hash, txlist: txlist.clone() });
        let began = self.began.map(|at| Record::Began { at });
        let others = began.iter().chain(&self.committed).chain(self.peers.values()).chain(self.known.values());
        let others: Vec<_> = others.chain(&self.schedule).chain(&self.tip).chain(&self.evidence).cloned().collect();
        others.into_iter().chain(chain).chain(txlists).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preconf_core::SyncTip;

    fn tip(block_number: u64) -> Record {
        Record::SyncTip(SyncTip { block_number, preconfirmation_hash: None })
    }

    #[test]
    fn a_crash_keeps_what_was_confirmed_and_any_part_of_the_rest() {
        let mut disk = Disk::default();
        disk.begin(PersistId(1), tip(1));
        disk.end(PersistId(1), true);
        disk.begin(PersistId(2), tip(2));
        disk.begin(PersistId(3), tip(3));
        let mut is_kept = [true, false].into_iter();
        disk.crash(|| is_kept.next().expect("two writes"));
        assert_eq!(disk.records(), [tip(2)]);
    }

    #[test]
    fn writes_end_in_the_order_in_which_they_began() {
        let terms = DiskTerms { takes: Duration::from_millis(5)..Duration::from_millis(400), ..DiskTerms::INSTANT };
        let (mut disk, mut dice) = (Disk::default(), Dice::new(7));
        let ends: Vec<_> = (0..20).map(|at| disk.ends(Time::from_millis(at), &terms, &mut dice)).collect();
        assert!(ends.is_sorted() && ends[0] >= Time::from_millis(5) && ends[19] < Time::from_millis(420), "{ends:?}");
    }

    #[test]
    fn a_write_that_fails_may_be_there_all_the_same() {
        for is_kept in [true, false] {
            let mut disk = Disk::default();
            disk.begin(PersistId(1), tip(1));
            disk.end(PersistId(1), is_kept);
            assert_eq!(disk.records().len(), usize::from(is_kept));
        }
    }
}
