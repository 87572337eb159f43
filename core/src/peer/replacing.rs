//! Which of a peer's connections stays (P8.5a)?
//!
//! A peer that comes again is alive, and what its last life left behind may not be: so the newest stays. An older one has time to end what is
//! asked over it, and is closed then; at once where the peer would otherwise have no room for another. Two of opposite directions that were
//! opened at one time are those of two ends that dialed each other, and both are alive.
//!
//! Gossip goes over the newest, and a peer that came again says anew which topics it is on. One that does not still stands on the older
//! connection, alive: it is disconnected, without blame, so that both ends greet each other anew.

use std::net::IpAddr;
use std::time::Duration;

use crate::id::{ConnectionId, PeerId};
use crate::machine::Core;
use crate::output::Action;
use crate::peer::table::{Connected, ConnectionInfo};
use crate::time::{Now, Timer};

/// Connections opened within this belong together. Source: P8.5a.
const AT_ONE_TIME: Duration = Duration::from_secs(5);
/// How long an older connection may go on. Source: P8.5a.
const OUTLIVES: Duration = Duration::from_secs(10);
/// How long a peer that came again may take to say which topics it is on. Ours: ten gossipsub heartbeats.
const GREETS_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection that we close may take to end, with what was asked over it. Ours: a round trip on a slow line.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

impl Core {
    /// Does a connection from this address take no new place, since its peer has one from the same neighbourhood already (P8.3)?
    pub(crate) fn is_replacement(&self, peer: &PeerId, address: Option<IpAddr>) -> bool {
        let neighbourhood = |address: Option<IpAddr>| address.and_then(|ip| self.gater.neighbourhood(ip));
        let has_room = self.peers.has_room_for(peer);
        let mut others = self.peers.get(peer).into_iter().flat_map(Connected::addresses);
        has_room && others.any(|other| neighbourhood(other) == neighbourhood(address))
    }

    /// A peer has opened one more connection: those that it replaces are closed soon.
    pub(crate) fn replace_older(&mut self, now: Now, peer: PeerId, newest: ConnectionId, info: &ConnectionInfo) {
        let others = self.peers.other_connections(&peer, newest);
        let is_full = others.len() + 1 >= self.cx.config.connections.per_peer as usize;
        let is_replaced = |older: &ConnectionInfo| older.direction == info.direction || info.since.since(older.since) >= AT_ONE_TIME;
        let replaced: Vec<ConnectionId> = others.iter().filter(|(_, older)| is_replaced(older)).map(|(id, _)| *id).collect();
        for connection in &replaced {
            self.cx.timers.set_if_idle(Timer::Replaced(peer, *connection), now.mono.after(OUTLIVES));
        }
        if !replaced.is_empty() && self.peers.get(&peer).is_some_and(Connected::is_on_any) {
            self.cx.timers.set(Timer::Ungreeted(peer), now.mono.after(GREETS_WITHIN));
        }
        if let Some(oldest) = replaced.first().filter(|_| is_full) {
            self.close_replaced(now, peer, *oldest);
        }
    }

    /// A replaced connection has had its time. What is left of a peer is never closed for it.
    pub(crate) fn close_replaced(&mut self, now: Now, peer: PeerId, connection: ConnectionId) {
        self.cx.timers.cancel(Timer::Replaced(peer, connection));
        if self.peers.has_connection(&peer, connection) && !self.peers.other_connections(&peer, connection).is_empty() {
            self.peers.closes_one(&peer, now.mono.after(CLOSES_WITHIN));
            self.cx.act(Action::CloseConnection { connection });
        }
    }

    /// A peer says that it is on a topic: it has greeted us.
    pub(crate) fn greeted(&mut self, peer: PeerId) {
        self.cx.timers.cancel(Timer::Ungreeted(peer));
    }

    /// A peer that came again has not said which topics it is on: it never went away, and gossip has lost it.
    pub(crate) fn not_greeted(&mut self, peer: PeerId) {
        if self.peers.get(&peer).is_some() {
            self.peers.disconnect(&peer);
            self.cx.act(Action::Disconnect { peer });
        }
    }
}
