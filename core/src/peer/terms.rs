//! What follows from how a peer behaves, and from its coming and going (P2.5, P7.4, P7.5)?

use std::time::Duration;

use crate::id::{CommandId, ConnectionId, DialId, PeerId};
use crate::input::Spoken;
use crate::machine::Core;
use crate::output::{Action, Event, Outcome};
use crate::peer::conduct::Conduct;
use crate::peer::ledger::Cause;
use crate::peer::score::Standing;
use crate::peer::table::Connected;
use crate::time::{Now, Time, Timer};
use crate::wire::topics::Topic;

/// How long a peer that speaks none of our protocols may take to join a topic. Ours: ten gossipsub heartbeats.
const SUBSCRIPTION_GRACE: Duration = Duration::from_secs(5);
/// Time between decays, counted from the node's start. Source: P7.3.
const DECAY_EVERY_MICROS: u64 = 10_000_000;

impl Core {
    /// A connection is up.
    pub(crate) fn connection_opened(&mut self, now: Now, peer: PeerId, connection: ConnectionId, dial: Option<DialId>) {
        if !self.peers.has_room_for(&peer) {
            self.act(Action::Disconnect { peer }); // P10.1
            return;
        }
        if self.peers.open(now.mono, peer, connection) {
            self.tell(Event::PeerConnected { peer });
            // P7.5: gossipsub forgets with the last connection what it was told, or never knew the peer.
            self.peers.mirror(&peer, 0);
            let score = self.peers.ledger(&peer).map_or(0, |ledger| ledger.score(now.mono));
            self.mirror(peer, score);
        }
        if let Some(command) = dial.and_then(|dial| self.dials.remove(&dial)) {
            self.finish(command, Outcome::Connected(peer));
        }
        if self.peers.standing(now.mono, &peer) == Standing::Banned {
            self.act(Action::Disconnect { peer }); // P7.4
        }
    }

    /// A connection is gone.
    pub(crate) fn connection_closed(&mut self, now: Now, peer: PeerId, connection: ConnectionId) {
        if self.peers.close(now.mono, peer, connection) {
            self.sync.forget(&peer);
            self.tell(Event::PeerDisconnected { peer });
            self.requests_end_with(now, peer);
            self.pump(now); // a catch-up that only it could back has nobody left
        }
    }

    /// A dial of ours led nowhere.
    pub(crate) fn dial_failed(&mut self, dial: DialId) {
        if let Some(command) = self.dials.remove(&dial) {
            self.finish(command, Outcome::NotConnected);
        }
    }

    /// A wish of our user's to connect.
    pub(crate) fn dial(&mut self, address: String) -> CommandId {
        let command = self.mint.commands.next(CommandId);
        let dial = self.mint.dials.next(DialId);
        self.dials.insert(dial, command);
        self.act(Action::Dial { dial, address });
        command
    }

    /// A peer said what it speaks.
    pub(crate) fn peer_identified(&mut self, now: Now, peer: PeerId, spoken: Spoken) {
        self.peers.identified(&peer, spoken);
        if spoken.supports_none() {
            // Its subscriptions may still be on their way.
            self.timers.set_if_idle(Timer::Use(peer), now.mono.after(SUBSCRIPTION_GRACE));
        }
        self.greet(now, peer);
        self.pump(now);
    }

    /// P2.5: a peer that speaks nothing of our chain is of no use, and at no fault.
    pub(crate) fn use_checked(&mut self, peer: PeerId) {
        let useless =
            |connected: &Connected| connected.spoken.supports_none() && !Topic::ALL.into_iter().any(|topic| connected.is_on(topic));
        if self.peers.get(&peer).is_some_and(useless) {
            self.act(Action::Disconnect { peer });
        }
    }

    /// Charges a peer under a rule, and mirrors what comes of it (P7.5, P7.9).
    pub(crate) fn charge(&mut self, now: Now, peer: PeerId, rule: &'static str, conduct: Conduct, cause: Cause) {
        let ledger = self.peers.ledger_mut(now.mono, peer);
        let before = ledger.standing(now.mono);
        let change = ledger.charge_under(now.mono, rule, conduct, cause);
        if change.delta == 0 {
            return;
        }
        let (due, after) = (ledger.ban_due(), ledger.standing(now.mono));
        match due {
            Some(at) => self.timers.set(Timer::Ban(peer), at),
            None if after != Standing::Banned => self.timers.cancel(Timer::Ban(peer)),
            None => {}
        }
        tracing::debug!(%peer, rule, ?conduct, delta = change.delta, score = change.score, "score changed");
        self.mirror(peer, change.score);
        if before != after {
            self.tell(Event::StandingChanged { peer, standing: after, rule });
        }
        self.timers.set_if_idle(Timer::Decay, next_decay(now.mono));
    }

    /// P7.4: low for long enough, or a ban has run out.
    pub(crate) fn ban_checked(&mut self, now: Now, peer: PeerId) {
        let Some(ledger) = self.peers.ledger(&peer) else { return };
        let standing = ledger.standing(now.mono);
        if let Some(ends) = ledger.ban_ends(now.mono) {
            self.timers.set(Timer::Ban(peer), ends);
            self.act(Action::Block { peer });
        } else {
            self.act(Action::Unblock { peer });
            self.mirror(peer, 0);
        }
        self.tell(Event::StandingChanged { peer, standing, rule: "P7.4" });
    }

    /// P7.3, P7.5: scores have decayed; gossipsub hears of those that are not zero.
    pub(crate) fn scores_decayed(&mut self, now: Now) {
        let scores = self.peers.connected().filter_map(|(peer, _)| self.peers.ledger(peer).map(|ledger| (*peer, ledger.score(now.mono))));
        let scores: Vec<_> = scores.collect();
        let any = scores.iter().any(|(_, score)| *score != 0);
        for (peer, score) in scores {
            self.mirror(peer, score);
        }
        if any {
            self.timers.set(Timer::Decay, next_decay(now.mono));
        }
    }

    /// P7.5: gossipsub hears of a score that it does not know yet.
    fn mirror(&mut self, peer: PeerId, score: i64) {
        if self.peers.mirror(&peer, score) {
            self.act(Action::SetScore { peer, score });
        }
    }
}

fn next_decay(now: Time) -> Time {
    Time((now.0 / DECAY_EVERY_MICROS).saturating_add(1).saturating_mul(DECAY_EVERY_MICROS))
}
