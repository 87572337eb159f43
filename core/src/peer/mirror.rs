//! What does gossipsub hear of scores (P7.5)?
//!
//! A score that a charge changes, at once; and after a decay (P7.3) those that are not zero.
//!
//! Invariant: while a connected peer's score is not zero, the timer is set for the next decay.

use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;
use crate::peer::score::{Standing, next_tick};
use crate::time::{Now, Timer};

impl Core {
    /// P7.3, P7.5: scores have decayed.
    pub(crate) fn scores_decayed(&mut self, now: Now) {
        let scores = self.peers.settle_mirrored(now.mono);
        let any_left = scores.iter().any(|(_, score)| *score != 0);
        for (peer, score) in scores {
            self.mirror(now, peer, score);
        }
        if any_left {
            self.cx.timers.set(Timer::Decay, next_tick(now.mono));
        }
        self.dispatch_soon(); // who is no longer pruned can be asked again (P7.4)
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
        let is_news = self.peers.mirror(&peer, score);
        if is_news {
            self.catch_up.standing_changed(&peer, self.peers.standing(now.mono, &peer) >= Standing::Pruned);
            self.cx.act(Action::SetScore { peer, score });
        }
        is_news
    }
}
