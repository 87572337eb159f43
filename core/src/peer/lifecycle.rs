//! What follows when a peer comes, says what it speaks, changes its standing, and goes (P2.5, P7.4)?

use std::time::Duration;

use crate::id::{ConnectionId, DialId, PeerId};
use crate::input::{DialFailure, Direction, SupportedProtocols};
use crate::machine::Core;
use crate::output::{Action, Event, Outcome};
use crate::peer::conduct::Conduct;
use crate::peer::gater::GaterRefusal;
use crate::peer::ledger::Cause;
use crate::peer::reputation::StandingChange;
use crate::peer::score::Standing;
use crate::peer::table::{Connected, ConnectionInfo};
use crate::time::{Now, Timer};
use crate::wire::topics::Topic;

/// How long a peer that speaks none of our protocols may take to join a topic. Ours: ten gossipsub heartbeats.
const SUBSCRIPTION_GRACE: Duration = Duration::from_secs(5);

/// A connection as the network tells of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) info: ConnectionInfo,
    pub(crate) dial: Option<DialId>,
}

impl Core {
    /// A connection is up. The gater sees now which address it really has (P8.1).
    pub(crate) fn connection_opened(&mut self, now: Now, opened: Opened) {
        let Opened { peer, connection, info, dial } = opened;
        let refused = match self.gater.ask_connection(peer, info.address, self.peer_state(now.mono, &peer)) {
            Ok(()) if self.peers.has_room_for(&peer) => None,
            Ok(()) => Some((Outcome::NotConnected(DialFailure::Denied), "no_room")), // P10.1
            Err(GaterRefusal::NeighbourhoodFull { .. }) if self.is_replacement(&peer, info.address) => None, // P8.5a
            Err(refusal) => Some((Outcome::Gated(refusal), refusal.label())),
        };
        if let Some((outcome, label)) = refused {
            tracing::debug!(%peer, address = ?info.address, label, "connection refused");
            *self.cx.stats.connections_refused.entry(label).or_default() += 1;
            self.cx.act(Action::CloseConnection { connection });
            if let Some(dial) = dial {
                self.dial_answered(now, dial, outcome);
            }
            return;
        }
        let is_new = !self.peers.has_connection(&peer, connection); // or a repeated word of one connection would count twice (P8.3)
        if let Some(ip) = info.address.filter(|_| is_new) {
            self.gater.opened(ip);
        }
        let is_leaving = self.peers.get(&peer).is_some_and(Connected::is_leaving);
        let is_first = self.peers.open(now.mono, peer, (connection, info), self.gater.is_protected(peer));
        if is_first {
            self.cx.tell(Event::PeerConnected { peer });
            self.dials.connected(&mut self.cx, &peer);
            self.candidate_connected(now, &peer);
            self.reputation.connect(&mut self.cx, peer);
        }
        if let Some(dial) = dial {
            self.dial_answered(now, dial, Outcome::Connected(peer));
        }
        if is_leaving {
            self.cx.act(Action::CloseConnection { connection }); // the order to leave stands
        } else if !is_first && is_new {
            self.replace_older(now, peer, connection, &info); // P8.5a
        } else if is_first {
            self.make_room(now); // P8.4
            self.plan_exchange(now); // P8.10
        }
    }

    /// A connection is gone.
    pub(crate) fn connection_closed(&mut self, now: Now, peer: PeerId, connection: ConnectionId) {
        let disconnected_by_us = self.peers.get(&peer).is_some_and(Connected::is_leaving);
        let Some((info, was_last)) = self.peers.close(now.mono, peer, connection) else { return };
        self.cx.timers.cancel(Timer::Replaced(peer, connection));
        if let Some(ip) = info.address {
            self.gater.closed(ip);
        }
        if was_last {
            self.reputation.disconnect(now.mono, peer);
            self.cx.timers.cancel(Timer::NoCommonProtocol(peer));
            self.cx.timers.cancel(Timer::Ungreeted(peer));
            self.catch_up.peer_left(&peer);
            self.cx.tell(Event::PeerDisconnected { peer });
            self.requests_end_with(peer, disconnected_by_us);
            self.dispatch_soon(); // a catch-up that only it could back has nobody left
            self.dials.lost(&mut self.cx, peer);
            self.persist_candidate(now, &peer);
            self.candidate_lost(now, &peer);
            self.reputation.persist_if_scored(&mut self.cx, peer);
        } else if info.direction == Direction::Outbound {
            self.outbound_freed(now);
            self.make_room(now); // P8.4: it may count as inbound now
        }
    }

    /// A peer said what it speaks.
    pub(crate) fn peer_identified(&mut self, now: Now, peer: PeerId, protocols: SupportedProtocols) {
        let is_news = self.peers.identified(&peer, protocols);
        self.candidate_identified(now, peer);
        if protocols.supports_none() {
            // Its subscriptions may still be on their way.
            self.cx.timers.set_if_idle(Timer::NoCommonProtocol(peer), now.mono.after(SUBSCRIPTION_GRACE));
        }
        self.ask_new_peer_for_head(peer);
        if is_news {
            self.dispatch_soon(); // who says the same again and again must not have everybody looked at each time
        }
    }

    /// P2.5: a peer that speaks nothing of our chain is of no use, and at no fault.
    pub(crate) fn use_checked(&mut self, now: Now, peer: PeerId) {
        let useless =
            |connected: &Connected| connected.protocols.supports_none() && !Topic::ALL.into_iter().any(|topic| connected.is_on(topic));
        if self.peers.get(&peer).is_some_and(useless) {
            self.candidate_useless(now, &peer);
            self.cx.act(Action::Disconnect { peer });
        }
    }

    /// Charges a peer under a rule (P7.9).
    pub(crate) fn charge(&mut self, _: Now, peer: PeerId, rule: &'static str, conduct: Conduct, cause: Cause) {
        let change = self.reputation.charge(&mut self.cx, peer, rule, conduct, cause);
        self.standing_changed(change);
    }

    /// P7.3, P7.5: scores have decayed.
    pub(crate) fn decay_scores(&mut self) {
        for change in self.reputation.decay(&mut self.cx) {
            self.standing_changed(Some(change));
        }
    }

    /// P7.4: low for long enough, or a ban has run out.
    pub(crate) fn check_ban(&mut self, peer: PeerId) {
        let change = self.reputation.check_ban(&mut self.cx, peer, self.gater.is_blocked(peer));
        self.standing_changed(change);
    }

    /// P7.4: what a pruned peer claims counts for nothing, and who is pruned no longer can be asked again.
    pub(crate) fn standing_changed(&mut self, change: Option<StandingChange>) {
        if let Some(StandingChange { peer, standing }) = change {
            self.catch_up.standing_changed(&peer, standing >= Standing::Pruned);
            self.dispatch_soon();
        }
    }
}
