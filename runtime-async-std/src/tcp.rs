//! TCP as libp2p wants it, over async-std's sockets.
//!
//! libp2p ships TCP for tokio alone. This is the same for async-std: addresses of the kind `/ip4/…/tcp/…` and `/ip6/…/tcp/…`, a wildcard told
//! as the addresses that the machine really has, errors as the system gives them. Each dial takes a port of its own. Limits on connections
//! and on handshakes stand above it, in libp2p's swarm and in the upgrade.
//!
//! Invariant: a listener that is not in `listeners` has no socket, and each one that left it is told as closed, once.

use std::collections::VecDeque;
use std::future::{self, Ready};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_io::{Async, Timer};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use if_watch::IfEvent;
use if_watch::smol::IfWatcher;
use libp2p_core::Transport;
use libp2p_core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use multiaddr::{Multiaddr, Protocol};
use socket2::{Domain, Socket, Type};

/// Connections that may wait to be accepted. Source: libp2p-tcp's default.
const BACKLOG: i32 = 1024;
/// How long a listener rests after an error. Source: libp2p-tcp. A process without free file descriptors must not spin until it has one.
const PAUSE: Duration = Duration::from_millis(100);

type Event = TransportEvent<Ready<io::Result<Async<TcpStream>>>, io::Error>;

/// TCP sockets, without encryption or multiplexing.
#[derive(Default)]
pub struct Tcp {
    listeners: Vec<Listener>,
    /// What is told before anything that the sockets have to say.
    events: VecDeque<Event>,
    /// Whoever polled last; calls other than polls wake it.
    waker: Option<Waker>,
}

impl Tcp {
    /// A transport that listens nowhere yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Transport for Tcp {
    type Output = Async<TcpStream>;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Async<TcpStream>>>;
    type Dial = BoxFuture<'static, io::Result<Async<TcpStream>>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        let wanted = socket_address(&address).ok_or(TransportError::MultiaddrNotSupported(address))?;
        let listener = Listener::bind(id, wanted).map_err(TransportError::Other)?;
        if listener.watcher.is_none() {
            self.tell(TransportEvent::NewAddress { listener_id: id, listen_addr: multiaddr(listener.local) });
        }
        self.listeners.push(listener);
        if let Some(waker) = self.waker.take() {
            waker.wake(); // a wildcard has nothing to tell until it is polled
        }
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let Some(at) = self.listeners.iter().position(|listener| listener.id == id) else { return false };
        drop(self.listeners.swap_remove(at)); // the port is free before anybody hears of it
        self.tell(TransportEvent::ListenerClosed { listener_id: id, reason: Ok(()) });
        true
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let wanted = socket_address(&address).filter(|wanted| wanted.port() != 0 && !wanted.ip().is_unspecified());
        let wanted = wanted.ok_or(TransportError::MultiaddrNotSupported(address))?;
        let dial = async move {
            let stream = Async::<TcpStream>::connect(wanted).await?;
            send_at_once(&stream)?;
            Ok(stream)
        };
        Ok(dial.boxed())
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Event> {
        let this = &mut *self;
        if let Some(event) = this.events.pop_front() {
            return Poll::Ready(event);
        }
        for at in 0..this.listeners.len() {
            if let Poll::Ready(event) = this.listeners[at].poll(context) {
                this.listeners[at..].rotate_left(1); // a crowd at one door does not keep the others shut
                return Poll::Ready(event);
            }
        }
        this.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// One bound socket.
struct Listener {
    id: ListenerId,
    local: SocketAddr,
    incoming: BoxStream<'static, io::Result<(Async<TcpStream>, SocketAddr)>>,
    /// Tells the machine's addresses, for a wildcard.
    watcher: Option<IfWatcher>,
    pause: Option<BoxFuture<'static, ()>>,
}

impl Listener {
    fn bind(id: ListenerId, wanted: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(wanted), Type::STREAM, Some(socket2::Protocol::TCP))?;
        if wanted.is_ipv6() {
            socket.set_only_v6(true)?; // an IPv4 listener on the same port is no conflict
        }
        #[cfg(unix)]
        socket.set_reuse_address(true)?; // connections of a node that has just stopped are no conflict
        socket.bind(&wanted.into())?;
        socket.listen(BACKLOG)?;
        let socket = Async::new(TcpListener::from(socket))?;
        let local = socket.get_ref().local_addr()?;
        let watcher = if local.ip().is_unspecified() { Some(IfWatcher::new()?) } else { None };
        Ok(Self { id, local, incoming: incoming(socket), watcher, pause: None })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(event) = self.poll_addresses(context) {
            return Poll::Ready(event);
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.poll_unpin(context));
            self.pause = None;
        }
        let Some(accepted) = ready!(self.incoming.poll_next_unpin(context)) else { return Poll::Pending }; // it never ends
        Poll::Ready(match accepted {
            Ok((stream, from)) => TransportEvent::Incoming {
                listener_id: self.id,
                local_addr: multiaddr(stream.get_ref().local_addr().unwrap_or(self.local)), // a peer that has left already has none
                upgrade: future::ready(send_at_once(&stream).map(|()| stream)),
                send_back_addr: multiaddr(from),
            },
            Err(error) => {
                // Whoever breaks a connection before it is accepted must not keep others waiting.
                if !matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
                    self.pause = Some(FutureExt::map(Timer::after(PAUSE), drop).boxed());
                }
                TransportEvent::ListenerError { listener_id: self.id, error }
            }
        })
    }

    /// What has become of the machine's addresses of our family?
    fn poll_addresses(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let port = self.local.port();
        while let Some(watcher) = &mut self.watcher {
            let (net, is_up) = match ready!(watcher.poll_if_event(context)) {
                Ok(IfEvent::Up(net)) => (net, true),
                Ok(IfEvent::Down(net)) => (net, false),
                Err(error) => {
                    self.watcher = None; // it does not recover; the addresses that it told go on
                    return Poll::Ready(TransportEvent::ListenerError { listener_id: self.id, error });
                }
            };
            if net.addr().is_ipv4() == self.local.is_ipv4() {
                let (listener_id, listen_addr) = (self.id, multiaddr(SocketAddr::new(net.addr(), port)));
                return Poll::Ready(if is_up {
                    TransportEvent::NewAddress { listener_id, listen_addr }
                } else {
                    TransportEvent::AddressExpired { listener_id, listen_addr }
                });
            }
        }
        Poll::Pending
    }
}

/// Accepting is an async function; as a stream that owns its listener it can be polled.
fn incoming(listener: Async<TcpListener>) -> BoxStream<'static, io::Result<(Async<TcpStream>, SocketAddr)>> {
    let accept = |listener: Async<TcpListener>| async move { Some((listener.accept().await, listener)) };
    stream::unfold(listener, accept).boxed()
}

/// Small messages go out at once: a commitment must not wait for an acknowledgement of the one before.
fn send_at_once(stream: &Async<TcpStream>) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)
}

/// The socket address that a multiaddr names, if it is one of plain TCP. Who is meant to be there does not matter here.
fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    let is_plain = parts.all(|part| matches!(part, Protocol::P2p(_)));
    is_plain.then(|| SocketAddr::new(ip, port))
}

fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::task::{ArcWake, waker};

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl ArcWake for Counting {
        fn wake_by_ref(this: &Arc<Self>) {
            this.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_polls_is_woken_for_a_listener_that_comes_late() {
        for late in ["/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/0"] {
            let (mut tcp, woken) = (Tcp::new(), Arc::new(Counting::default()));
            let task = waker(Arc::clone(&woken));
            assert!(Pin::new(&mut tcp).poll(&mut Context::from_waker(&task)).is_pending());
            tcp.listen_on(ListenerId::next(), late.parse().expect("a multiaddr")).expect("a free port");
            assert_eq!(woken.0.load(Ordering::Relaxed), 1, "{late}");
        }
    }

    #[test]
    fn only_plain_tcp_is_spoken() {
        let read = |text: &str| socket_address(&text.parse().expect("a multiaddr")).map(|address| address.to_string());
        assert_eq!(read("/ip4/192.0.2.1/tcp/1").as_deref(), Some("192.0.2.1:1"));
        assert_eq!(read("/ip6/2001:db8::1/tcp/1").as_deref(), Some("[2001:db8::1]:1"));
        let peer = libp2p_identity::PeerId::random();
        assert_eq!(read(&format!("/ip4/192.0.2.1/tcp/1/p2p/{peer}")).as_deref(), Some("192.0.2.1:1"));
        for other in ["/ip4/192.0.2.1/udp/1", "/ip4/192.0.2.1", "/dns4/localhost/tcp/1", "/tcp/1", "/ip4/192.0.2.1/tcp/1/ws", "/memory/1"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
