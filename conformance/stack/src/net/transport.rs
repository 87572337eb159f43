//! The lines as a transport of libp2p: what stands where a runtime has its sockets.

use std::future::{Future, Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p_core::Transport;
use libp2p_core::transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent};
use multiaddr::{Multiaddr, Protocol};

use super::connection::{Connection, Side};
use super::queue::Event;
use super::{FIRST_PORT, PORT, SharedNet, VirtualStream, address_of, ip_of, lock, nanos, node_of};
use crate::NodeId;

/// A node's sockets.
pub struct VirtualTransport {
    pub(crate) net: SharedNet,
    pub(crate) node: NodeId,
}

/// A dial under way.
pub struct VirtualDial(Option<VirtualStream>);

impl Transport for VirtualTransport {
    type Output = VirtualStream;
    type Error = io::Error;
    type ListenerUpgrade = Ready<Result<VirtualStream, io::Error>>;
    type Dial = VirtualDial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        if node_of(&address) != Some(self.node) {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        let mut net = lock(&self.net);
        let host = net.hosts.entry(self.node).or_default();
        (host.listener, host.is_new) = (Some(id), true);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let mut net = lock(&self.net);
        let host = net.hosts.entry(self.node).or_default();
        host.listener.take_if(|listener| *listener == id).is_some()
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<VirtualDial, TransportError<io::Error>> {
        let Some(to) = node_of(&address) else { return Err(TransportError::MultiaddrNotSupported(address)) };
        let (now, mut net) = (preconf_interpose::now(), lock(&self.net));
        let latency = net.latency_of(self.node, to);
        let host = net.hosts.entry(self.node).or_default();
        let port = match options.port_use {
            PortUse::Reuse => PORT,
            PortUse::New => {
                host.dialed = host.dialed.wrapping_add(1);
                FIRST_PORT.wrapping_add(host.dialed % 20_000)
            }
        };
        let connection = net.connections.len();
        net.connections.push(Connection::new(self.node, to, port, latency));
        net.traffic.dials += 1;
        let gives_up = now + nanos(net.lines.dial);
        net.queue.push(gives_up, Event::DialFails(connection, io::ErrorKind::TimedOut));
        if !net.is_cut(self.node, to) {
            net.depart(now, connection, Side::Caller, 0, Event::Knock(connection));
        }
        drop(net);
        Ok(VirtualDial(Some(VirtualStream { net: self.net.clone(), connection, side: Side::Caller })))
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let mut net = lock(&self.net);
        let host = net.hosts.entry(self.node).or_default();
        let Some(listener_id) = host.listener else {
            host.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        if std::mem::take(&mut host.is_new) {
            return Poll::Ready(TransportEvent::NewAddress { listener_id, listen_addr: address_of(self.node) });
        }
        let Some(connection) = host.incoming.pop_front() else {
            host.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let Connection { nodes: [caller, _], port, .. } = net.connections[connection];
        drop(net);
        let stream = VirtualStream { net: self.net.clone(), connection, side: Side::Callee };
        Poll::Ready(TransportEvent::Incoming {
            listener_id,
            upgrade: ready(Ok(stream)),
            local_addr: address_of(self.node),
            send_back_addr: Multiaddr::empty().with(Protocol::Ip4(ip_of(caller))).with(Protocol::Tcp(port)),
        })
    }
}

impl Future for VirtualDial {
    type Output = Result<VirtualStream, io::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(stream) = &self.0 else { return Poll::Pending };
        let mut net = lock(&stream.net);
        let connection = &mut net.connections[stream.connection];
        if let Some(kind) = connection.error {
            return Poll::Ready(Err(kind.into()));
        }
        if !connection.is_established {
            connection.dialer = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(net);
        Poll::Ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
