//! What does gossipsub hear of scores (P7.5)?
//!
//! A score that a charge changes, at once; and after a decay (P7.3) those that are not zero. A decay changes everybody's score at the same
//! moment, so its news goes out in a round: some peers in each step, one step soon after the other, for no step may grow with the number of
//! peers. Only gossipsub hears late; the machine itself works a score out whenever it asks for one.
//!
//! Invariant: while a connected peer's score is not zero, the timer is set, for the next round or for the next step of this one.

use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;
use crate::peer::score::{last_tick, next_tick};
use crate::time::{Now, STEP_PAUSE, Time, Timer};

/// Scores told in one step of a round. Ours: each costs about 1 µs, and with all connections of production (P8.2) a round takes 55 ms of the
/// 10 s until the next one.
const PER_STEP: usize = 4;

/// A round that is not over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    began: Time,
    /// The last peer that was told of.
    reached: Option<PeerId>,
}

impl Core {
    /// P7.3, P7.5: scores have decayed, or the next peers of a round are due.
    pub(crate) fn scores_decayed(&mut self, now: Now) {
        let Round { began, reached } = self.round.take().unwrap_or(Round { began: now.mono, reached: None });
        let next = self.peers.scored_after(reached, PER_STEP);
        for peer in &next {
            let score = self.peers.ledger(peer).map_or(0, |ledger| ledger.score(now.mono));
            self.mirror(now, *peer, score);
        }
        if next.len() == PER_STEP {
            self.round = Some(Round { began, reached: next.last().copied() });
            self.cx.timers.set(Timer::Decay, now.mono.after(STEP_PAUSE));
            return;
        }
        if began < last_tick(now.mono) {
            self.cx.timers.set(Timer::Decay, now.mono.after(STEP_PAUSE)); // whom this round met first has decayed once more meanwhile
        } else if self.peers.any_scored() {
            self.cx.timers.set(Timer::Decay, next_tick(now.mono));
        }
        self.pump_soon(); // who is no longer pruned can be asked again (P7.4)
    }

    /// P7.5: gossipsub may have forgotten the score of a peer that comes back, and we may have learned of it before a restart.
    pub(crate) fn mirror_now(&mut self, now: Now, peer: PeerId) {
        let Some(score) = self.peers.ledger(&peer).map(|ledger| ledger.score(now.mono)) else { return };
        if !self.mirror(now, peer, score) && score != 0 {
            self.cx.act(Action::SetScore { peer, score });
        }
        if score != 0 {
            self.cx.timers.set_if_idle(Timer::Decay, next_tick(now.mono));
        }
    }

    /// P7.5: gossipsub hears of a score that it does not know yet. Says whether it was news.
    pub(crate) fn mirror(&mut self, now: Now, peer: PeerId, score: i64) -> bool {
        let is_news = self.peers.mirror(now.mono, &peer, score);
        if is_news {
            self.judge_claim(now, &peer);
            self.cx.act(Action::SetScore { peer, score });
        }
        is_news
    }
}
