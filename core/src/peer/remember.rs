//! What of a peer's conduct outlives the process (P7.7)?
//!
//! A peer's record leaves when its standing changes and when it goes, so that neither a ban nor a bad name is lost by a restart. It is
//! written by the wall clock, because the node's own starts anew.

use std::time::Duration;

use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;
use crate::peer::score::{CLAMP, TICK_MICROS, decayed};
use crate::record::Record;
use crate::time::{Now, Time, Timer, UnixTime};

impl Core {
    /// Has a peer's standing stored.
    pub(crate) fn keep_peer(&mut self, now: Now, peer: PeerId) {
        let Some(ledger) = self.peers.ledger(&peer) else { return };
        let wall = |at: Time| UnixTime(now.unix.0.saturating_add(at.0.saturating_sub(now.mono.0)));
        let (score, ban_ends) = (ledger.score(now.mono), ledger.ban_ends(now.mono).map(wall));
        self.cx.remember(Record::Peer { peer, score, as_of: now.unix, ban_ends });
    }

    /// Takes back how a peer stood in an earlier life of this node.
    pub(crate) fn restore_peer(&mut self, now: Now, peer: PeerId, score: i64, as_of: UnixTime, ban_ends: Option<UnixTime>) {
        let left = |end: UnixTime| Duration::from_micros(end.0.saturating_sub(now.unix.0));
        // A clock that was set back must not make a ban longer than any ban is.
        let ban_ends = ban_ends.map(|end| left(end).min(self.cx.config.score.ban_for));
        if ban_ends.is_some_and(|left| left.is_zero()) {
            return; // P7.4: a ban ends with score 0
        }
        // P7.1: whatever stands on the disk.
        let score = decayed(score.clamp(-CLAMP, CLAMP), now.unix.0.saturating_sub(as_of.0) / TICK_MICROS);
        let ban_ends = ban_ends.map(|left| now.mono.after(left));
        if score == 0 && ban_ends.is_none() || !self.peers.restore(now.mono, peer, score, ban_ends) {
            return;
        }
        if let Some(ends) = ban_ends {
            self.cx.timers.set(Timer::Ban(peer), ends);
            self.cx.act(Action::Block { peer });
        } else if let Some(due) = self.peers.ledger(&peer).and_then(|ledger| ledger.ban_due()) {
            self.cx.timers.set(Timer::Ban(peer), due);
        }
    }
}
