//! How many connections of one neighbourhood may be in their handshake (P8.3)?
//!
//! Who connects and then says nothing holds one of the pending inbound slots (P8.2) until the handshake has had its time. All of them held by
//! one host would keep everybody else out, at no cost to it. So a neighbourhood may hold only some; the machine, which counts the
//! connections that stand, never hears of these.
//!
//! Invariant: `pending` holds the inbound connections that are in their handshake, and `neighbours` counts the same.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::task::{Context, Poll};

use libp2p_core::Endpoint;
use libp2p_core::transport::PortUse;
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, ListenFailure, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use multiaddr::Multiaddr;
use preconf_core::Neighbours;

use crate::inbound::ip_of;

/// Refuses what a neighbourhood has too many of.
pub(crate) struct Behaviour {
    neighbours: Neighbours,
    pending: HashMap<ConnectionId, IpAddr>,
}

impl Behaviour {
    pub(crate) fn new(neighbours: Neighbours) -> Self {
        Self { neighbours, pending: HashMap::new() }
    }

    fn over(&mut self, connection: ConnectionId) {
        if let Some(ip) = self.pending.remove(&connection) {
            self.neighbours.remove(ip);
        }
    }
}

/// Why a connection is refused.
#[derive(Debug)]
struct TooManyPending;

impl fmt::Display for TooManyPending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its neighbourhood has enough connections in their handshake")
    }
}

impl std::error::Error for TooManyPending {}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(&mut self, id: ConnectionId, _: &Multiaddr, remote: &Multiaddr) -> Result<(), ConnectionDenied> {
        let Some(ip) = ip_of(remote) else { return Ok(()) };
        if !self.neighbours.has_room(ip) {
            return Err(ConnectionDenied::new(TooManyPending));
        }
        self.neighbours.add(ip);
        self.pending.insert(id, ip);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.over(id); // whatever the other parts say to it
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) = event {
            self.over(connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use libp2p_swarm::ListenError;

    use super::*;

    fn from(text: &str) -> Multiaddr {
        format!("/ip4/{text}/tcp/40000").parse().expect("an address")
    }

    fn knocks(behaviour: &mut Behaviour, id: usize, ip: &str) -> bool {
        behaviour.handle_pending_inbound_connection(ConnectionId::new_unchecked(id), &from("192.0.2.1"), &from(ip)).is_ok()
    }

    #[test]
    fn p8_3_silent_connections_of_one_neighbourhood_leave_room_for_others() {
        let mut behaviour = Behaviour::new(Neighbours::new(8, true));
        let inside = (0..40).filter(|id| knocks(&mut behaviour, *id, &format!("203.0.113.{id}"))).count();
        assert_eq!(inside, 8);
        assert!(knocks(&mut behaviour, 40, "198.51.100.1"), "another one is none of its business");
        assert!((41..141).all(|id| knocks(&mut behaviour, id, "127.0.0.1")), "nobody out there has many of these");
    }

    #[test]
    fn p8_3_a_handshake_that_is_over_either_way_makes_room() {
        let mut behaviour = Behaviour::new(Neighbours::new(1, true));
        let (ip, at) = ("203.0.113.7", from("192.0.2.1"));
        assert!(knocks(&mut behaviour, 1, ip) && !knocks(&mut behaviour, 2, ip));
        let error = ListenError::Aborted;
        let failed = |id| ListenFailure {
            local_addr: &at,
            send_back_addr: &at,
            error: &error,
            connection_id: ConnectionId::new_unchecked(id),
            peer_id: None,
        };
        behaviour.on_swarm_event(FromSwarm::ListenFailure(failed(2))); // the one that was refused
        assert!(!knocks(&mut behaviour, 3, ip));
        behaviour.on_swarm_event(FromSwarm::ListenFailure(failed(1)));
        assert!(knocks(&mut behaviour, 4, ip));
        let done = behaviour.handle_established_inbound_connection(ConnectionId::new_unchecked(4), PeerId::random(), &at, &from(ip));
        assert!(done.is_ok() && knocks(&mut behaviour, 5, ip));
        assert_eq!(behaviour.pending.len(), 1);
    }
}
