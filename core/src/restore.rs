//! What does a node know when it comes back?
//!
//! | record | what becomes of it |
//! |---|---|
//! | when the store was made | says how far back our records reach (P5.9b) |
//! | what we committed to | binds (P5.9), and is published again while it is valid (P5.9a) |
//! | peers and nodes | stand as they stood (P7.7, P8.9): the last word on each counts, a ban that was lifted among them |
//! | the schedule, the sync tip | hold until the host says more |
//! | the chain's commitments and txlists | are served, and catch-up goes on behind them (P6.9); nothing of them is judged twice |
//! | evidence | was told before |

use std::collections::BTreeMap;

use crate::machine::Core;
use crate::record::Record;
use crate::time::Now;

impl Core {
    /// Takes back what was stored before a restart; what this life knows already stays as it is.
    pub(crate) fn restore(&mut self, now: Now, records: Vec<Record>) {
        let (mut peers, mut known) = (BTreeMap::new(), BTreeMap::new());
        let (mut commitments, mut txlists, mut own) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (mut tip, mut schedule) = (None, Vec::new());
        for record in records {
            match record {
                Record::Began { at } => self.own.began(at),
                Record::Committed(word) => own.push(*word),
                Record::Peer { peer, score, as_of, ban_ends } => drop(peers.insert(peer, (score, as_of, ban_ends))),
                Record::Known(node) => drop(known.insert(node.record.peer, node)),
                Record::Schedule(windows) => schedule = windows,
                Record::SyncTip(stored) => tip = Some(stored),
                Record::Commitment(accepted) => drop(commitments.insert(accepted.block_number, accepted)),
                Record::ChainDropped { from } => drop(commitments.split_off(&from)),
                Record::TxList { hash, txlist } => txlists.push((hash, txlist)),
                Record::Evidence { evidence, signer } => self.chain.restore_evidence(signer, *evidence),
            }
        }
        for (peer, (score, as_of, ban_ends)) in peers {
            self.reputation.restore(&mut self.cx, peer, score, as_of, ban_ends);
        }
        for node in known.values() {
            self.restore_known(now, node);
        }
        if self.schedule.len() == 0 {
            // Where this machine would not take it, it goes on without one.
            let _ = self.schedule.update(&schedule);
            self.chain.schedule_changed(&self.schedule);
        }
        let next_ready = |core: &Self| core.chain.next_ready();
        for accepted in self.chain.restore(commitments.into_values().collect(), tip) {
            let is_executed = accepted.block_number >= next_ready(self);
            self.txlists.add_reference(&mut self.cx, &accepted, None, is_executed);
        }
        for (hash, txlist) in txlists {
            let from = next_ready(self);
            if self.txlists.insert_checked(&mut self.cx, hash, &txlist, from) {
                self.restored_txlists.insert(hash);
            }
        }
        self.restore_own(own);
        self.settle_rulings();
        self.emit_ready();
        self.resume();
    }
}
