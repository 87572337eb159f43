//! Which nodes do we know to be of use, across restarts too (P8.9)?
//!
//! A candidate is proven when it says, over a connection, that it speaks our chain's protocols. It is handed out to be stored then and when
//! it goes, at most once in [`PERSIST_EVERY`]; its score has a record of its own (P7.7). A node that is given them back dials them like any
//! candidate, the proven first, and tells discovery to begin from them, so that it needs no bootnode.

use std::time::Duration;

use crate::discovery::record::KnownNode;
use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;
use crate::record::Record;
use crate::time::Now;

/// How often one node is handed out to be stored, at most. Ours: a connection that flaps must not wear out a disk.
const PERSIST_EVERY: Duration = Duration::from_secs(600);
/// How old a stored node may be and still be taken back. Ours: a month.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 86_400);

impl Core {
    /// A connected peer may have said what it speaks.
    pub(crate) fn candidate_identified(&mut self, now: Now, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(|connected| !connected.protocols.supports_none()) {
            if let Some(candidate) = self.discovery.candidates.get_mut(&peer) {
                (candidate.is_proven, candidate.failures) = (true, 0);
            }
            self.persist_candidate(now, &peer);
        }
    }

    /// Has a proven candidate stored, unless that was done lately.
    pub(crate) fn persist_candidate(&mut self, now: Now, peer: &PeerId) {
        let Some(candidate) = self.discovery.candidates.get_mut(peer).filter(|candidate| candidate.is_proven) else { return };
        if candidate.persisted_at.is_some_and(|at| now.mono.since(at) < PERSIST_EVERY) {
            return;
        }
        let known = KnownNode { record: candidate.record.clone(), last_success: now.unix };
        candidate.persisted_at = Some(now.mono);
        self.cx.persist(Record::Known(Box::new(known)));
    }

    /// Takes back what was known in an earlier life of this node. Bounded like what records say today.
    pub(crate) fn restore_known(&mut self, now: Now, known: &KnownNode) {
        let Some(config) = self.cx.config.discovery else { return };
        let age = Duration::from_micros(now.unix.0.saturating_sub(known.last_success.0));
        let Ok(record) = known.record.clone().fit(self.cx.config.chain_id, &config) else { return };
        if age > KNOWN_FOR {
            return;
        }
        let (peer, text) = (record.peer, record.text.clone());
        self.take_candidate(now, record);
        if let Some(candidate) = self.discovery.candidates.get_mut(&peer) {
            candidate.is_proven = true;
            self.count_candidates();
            if !text.is_empty() {
                self.cx.act(Action::Introduce { record: text });
            }
            self.plan_dials(now, &config);
        }
    }
}
