//! Which of a peer's connections carries its gossip (P8.5a)?
//!
//! Gossipsub greets a peer on its first connection only, and shares what it has to say among all of them. A peer that died without a word and
//! comes again would not be greeted, since its last life's connection still stands, and half of what it is sent would go there: it hears no
//! gossip until the old one is found dead, and for a minute after that. So gossipsub is told that an older connection is closed *before* the
//! newer one comes to it. The machine closes the old one soon after.
//!
//! Two of opposite directions that were opened at one time are those of two ends that dialed each other; both are alive, and gossipsub has both.
//!
//! Invariant: `known` holds the connections that gossipsub has, newest last. If the last of a peer's is closed while older ones stand, which
//! gossipsub was told are closed, the peer is disconnected: gossipsub has no way to it, and would not greet it again.

use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p_core::transport::PortUse;
use libp2p_core::{ConnectedPoint, Endpoint};
use libp2p_identity::PeerId;
use libp2p_swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p_swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use multiaddr::Multiaddr;

/// Connections opened within this belong together. Source: P8.5a.
const AT_ONE_TIME: Duration = Duration::from_secs(5);

/// A behaviour that is shown a peer's newest connections only.
pub(crate) struct Newest<B> {
    inner: B,
    known: HashMap<PeerId, Vec<Known>>,
    /// Peers that can no longer be reached by what stands.
    unreachable: VecDeque<PeerId>,
}

struct Known {
    id: ConnectionId,
    point: ConnectedPoint,
    since: Instant,
}

impl<B: NetworkBehaviour> Newest<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, known: HashMap::new(), unreachable: VecDeque::new() }
    }

    /// A peer has one connection more: those of an earlier time are gone for the inner behaviour.
    #[expect(
        clippy::disallowed_methods,
        reason = "libp2p asks before the machine hears of a connection; it decides whom gossip greets, and no step of a trace"
    )]
    fn forget_older(&mut self, peer_id: PeerId, id: ConnectionId, point: ConnectedPoint) {
        let since = Instant::now();
        let known = self.known.entry(peer_id).or_default();
        let is_twin = |known: &Known| known.point.is_dialer() != point.is_dialer() && since.duration_since(known.since) < AT_ONE_TIME;
        let (young, old): (Vec<_>, Vec<_>) = std::mem::take(known).into_iter().partition(is_twin);
        let (mut left, of_before) = (young.len() + old.len(), old.len());
        *known = young;
        known.push(Known { id, point, since });
        for Known { id: connection_id, point, .. } in old {
            left -= 1;
            let closed = ConnectionClosed { peer_id, connection_id, endpoint: &point, cause: None, remaining_established: left };
            self.inner.on_swarm_event(FromSwarm::ConnectionClosed(closed));
        }
        if of_before > 0 {
            tracing::debug!(peer = %peer_id, replaced = of_before, "a peer came again: its gossip goes over its newest connection");
        }
    }

    fn established(&mut self, event: ConnectionEstablished<'_>) {
        let known = self.known.get(&event.peer_id).map_or(0, Vec::len);
        let other_established = known.saturating_sub(1);
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished { other_established, ..event }));
    }

    fn closed(&mut self, event: ConnectionClosed<'_>) {
        let Some(known) = self.known.get_mut(&event.peer_id) else { return };
        let Some(at) = known.iter().position(|known| known.id == event.connection_id) else { return }; // it was told so before
        known.remove(at);
        let left = known.len();
        if left == 0 {
            self.known.remove(&event.peer_id);
            if event.remaining_established > 0 {
                self.unreachable.push_back(event.peer_id);
            }
        }
        self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed { remaining_established: left, ..event }));
    }
}

impl<B> Deref for Newest<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.inner
    }
}

impl<B> DerefMut for Newest<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.inner
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Newest<B> {
    type ConnectionHandler = B::ConnectionHandler;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.forget_older(peer, id, ConnectedPoint::Listener { local_addr: local.clone(), send_back_addr: remote.clone() });
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role_override: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.forget_older(peer, id, ConnectedPoint::Dialer { address: address.clone(), role_override, port_use });
        self.inner.handle_established_outbound_connection(id, peer, address, role_override, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.established(event),
            FromSwarm::ConnectionClosed(event) => self.closed(event),
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        // The other end may take an older one for its newest, so what it says there is heard as long as it is known at all.
        if self.known.contains_key(&peer) {
            self.inner.on_connection_handler_event(peer, id, event);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        while let Some(peer_id) = self.unreachable.pop_front() {
            // Or it has come again meanwhile.
            if !self.known.contains_key(&peer_id) {
                return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All });
            }
        }
        self.inner.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use libp2p_swarm::dummy;

    use super::*;

    /// Writes down what it is told of connections.
    #[derive(Default)]
    struct Told(Vec<(&'static str, ConnectionId, usize)>);

    impl NetworkBehaviour for Told {
        type ConnectionHandler = dummy::ConnectionHandler;
        type ToSwarm = Infallible;

        fn handle_established_inbound_connection(
            &mut self,
            id: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: &Multiaddr,
        ) -> Result<THandler<Self>, ConnectionDenied> {
            self.0.push(("handled", id, 0));
            Ok(dummy::ConnectionHandler)
        }

        fn handle_established_outbound_connection(
            &mut self,
            id: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: Endpoint,
            _: PortUse,
        ) -> Result<THandler<Self>, ConnectionDenied> {
            self.0.push(("handled", id, 0));
            Ok(dummy::ConnectionHandler)
        }

        fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
            match event {
                FromSwarm::ConnectionEstablished(event) => self.0.push(("opened", event.connection_id, event.other_established)),
                FromSwarm::ConnectionClosed(event) => self.0.push(("closed", event.connection_id, event.remaining_established)),
                _ => {}
            }
        }

        fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
            match event {}
        }

        fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
            Poll::Pending
        }
    }

    struct Lines {
        newest: Newest<Told>,
        peer: PeerId,
        at: Multiaddr,
        stand: usize,
    }

    impl Lines {
        fn new() -> Self {
            let at = "/ip4/192.0.2.1/tcp/1".parse().expect("an address");
            Self { newest: Newest::new(Told::default()), peer: PeerId::random(), at, stand: 0 }
        }

        fn open(&mut self, id: usize) {
            let connection_id = ConnectionId::new_unchecked(id);
            self.newest.handle_established_inbound_connection(connection_id, self.peer, &self.at, &self.at).expect("nobody refuses");
            self.opened(id);
        }

        fn dial(&mut self, id: usize) {
            let (connection_id, port) = (ConnectionId::new_unchecked(id), PortUse::Reuse);
            let dialed = self.newest.handle_established_outbound_connection(connection_id, self.peer, &self.at, Endpoint::Dialer, port);
            dialed.expect("nobody refuses");
            self.opened(id);
        }

        fn opened(&mut self, id: usize) {
            let connection_id = ConnectionId::new_unchecked(id);
            let endpoint = ConnectedPoint::Listener { local_addr: self.at.clone(), send_back_addr: self.at.clone() };
            let event = ConnectionEstablished {
                peer_id: self.peer,
                connection_id,
                endpoint: &endpoint,
                failed_addresses: &[],
                other_established: self.stand,
            };
            self.newest.on_swarm_event(FromSwarm::ConnectionEstablished(event));
            self.stand += 1;
        }

        fn close(&mut self, id: usize) {
            self.stand -= 1;
            let endpoint = ConnectedPoint::Listener { local_addr: self.at.clone(), send_back_addr: self.at.clone() };
            let event = ConnectionClosed {
                peer_id: self.peer,
                connection_id: ConnectionId::new_unchecked(id),
                endpoint: &endpoint,
                cause: None,
                remaining_established: self.stand,
            };
            self.newest.on_swarm_event(FromSwarm::ConnectionClosed(event));
        }

        /// Time passes for what stands.
        fn age(&mut self) {
            let known = self.newest.known.values_mut().flatten();
            known.for_each(|known| known.since = known.since.checked_sub(AT_ONE_TIME).expect("the machine is up for longer"));
        }

        fn told(&mut self) -> Vec<(&'static str, usize, usize)> {
            let number = |id: ConnectionId| (0..99).find(|number| ConnectionId::new_unchecked(*number) == id).expect("one of ours");
            std::mem::take(&mut self.newest.0).into_iter().map(|(what, id, others)| (what, number(id), others)).collect()
        }

        fn disconnects(&mut self) -> bool {
            let polled = self.newest.poll(&mut Context::from_waker(std::task::Waker::noop()));
            matches!(polled, Poll::Ready(ToSwarm::CloseConnection { connection: CloseConnection::All, .. }))
        }
    }

    #[test]
    fn p8_5a_a_peer_that_comes_again_is_greeted_anew() {
        let mut lines = Lines::new();
        lines.open(1);
        lines.age();
        lines.open(2);
        let expected = [("handled", 1, 0), ("opened", 1, 0), ("closed", 1, 0), ("handled", 2, 0), ("opened", 2, 0)];
        assert_eq!(lines.told(), expected, "the old one is closed before the new one's handler is made");
        lines.close(1);
        assert_eq!((lines.told(), lines.disconnects()), (vec![], false), "that is known already");
        lines.close(2);
        assert_eq!((lines.told(), lines.disconnects()), (vec![("closed", 2, 0)], false));
    }

    #[test]
    fn p8_5a_two_ends_that_dial_each_other_at_one_time_share_both_connections() {
        let mut lines = Lines::new();
        lines.open(1);
        lines.dial(2);
        lines.close(1);
        let expected = [("handled", 1, 0), ("opened", 1, 0), ("handled", 2, 0), ("opened", 2, 1), ("closed", 1, 1)];
        assert_eq!((lines.told(), lines.disconnects()), (expected.to_vec(), false));
    }

    #[test]
    fn p8_5a_a_peer_that_dials_twice_within_seconds_has_come_again() {
        let mut lines = Lines::new();
        lines.open(1);
        lines.open(2);
        let expected = [("handled", 1, 0), ("opened", 1, 0), ("closed", 1, 0), ("handled", 2, 0), ("opened", 2, 0)];
        assert_eq!(lines.told(), expected);
    }

    #[test]
    fn p8_5a_whom_only_a_forgotten_connection_leads_to_is_disconnected_unless_it_came_again() {
        let mut lines = Lines::new();
        lines.open(1);
        lines.age();
        lines.open(2);
        lines.close(2);
        assert_eq!(lines.told().last(), Some(&("closed", 2, 0)));
        assert!(lines.disconnects() && !lines.disconnects(), "once");
        lines.open(3);
        lines.age();
        lines.open(4);
        lines.close(4);
        lines.open(5);
        assert!(!lines.disconnects(), "it has come again");
    }
}
