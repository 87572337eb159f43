//! Which of a peer's connections stays (P8.5a)?
//!
//! A peer that comes again is alive, and what its last life left behind may not be: so the newest stays. An older one has time to end what is
//! asked over it, and is closed then; at once where the peer would otherwise have no room for another. Two that were opened at one time are
//! those of two ends that dialed each other, and both are alive.

use std::time::Duration;

use crate::id::{ConnectionId, PeerId};
use crate::machine::Core;
use crate::output::Action;
use crate::time::{Now, Timer};

/// Connections opened within this belong together. Source: P8.5a.
const AT_ONE_TIME: Duration = Duration::from_secs(5);
/// How long an older connection may go on. Source: P8.5a.
const OUTLIVES: Duration = Duration::from_secs(10);

impl Core {
    /// A peer has opened one more connection: those that it replaces are closed soon.
    pub(crate) fn replace_older(&mut self, now: Now, peer: &PeerId, newest: ConnectionId) {
        let older = self.peers.older_connections(peer, newest);
        let is_full = older.len() + 1 >= self.cx.config.connections.per_peer as usize;
        for (connection, since) in &older {
            if now.mono.since(*since) >= AT_ONE_TIME {
                self.cx.timers.set_if_idle(Timer::Replaced(*peer, *connection), now.mono.after(OUTLIVES));
            }
        }
        if let Some((oldest, _)) = older.first().filter(|_| is_full) {
            self.close_replaced(*peer, *oldest);
        }
    }

    /// A replaced connection has had its time. What is left of a peer is never closed for it.
    pub(crate) fn close_replaced(&mut self, peer: PeerId, connection: ConnectionId) {
        self.cx.timers.cancel(Timer::Replaced(peer, connection));
        if self.peers.has_connection(&peer, connection) && !self.peers.older_connections(&peer, connection).is_empty() {
            self.cx.act(Action::CloseConnection { connection });
        }
    }
}
