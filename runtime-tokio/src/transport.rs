//! How does a node reach others over tokio's sockets?
//!
//! TCP with noise and yamux, with feature `quic` QUIC as well, and names on top: [`Resolving`] turns `/dns`, `/dns4` and `/dns6` into
//! addresses and tries them in turn. `/dnsaddr` needs TXT records, which the system's resolver does not give; it is not supported.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use libp2p_core::Transport as _;
use libp2p_core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p_identity::Keypair;
use multiaddr::{Multiaddr, Protocol};
use preconf_libp2p::{NetError, Transport};
use socket2::{Domain, Socket, Type};

/// Most addresses of one name that are tried. Ours: a stranger's name must not make us knock at a hundred doors.
const MAX_ADDRESSES: usize = 8;
/// How long a name is looked up. Ours: half of what a whole dial may take.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// The default transport: TCP (and QUIC with feature `quic`), noise, yamux, names.
///
/// # Errors
/// A key that noise cannot use.
pub fn transport(keypair: &Keypair) -> Result<Transport, NetError> {
    // Small messages go out at once: a commitment must not wait for an acknowledgement of the one before.
    let tcp = libp2p_tcp::tokio::Transport::new(libp2p_tcp::Config::new().nodelay(true));
    let tcp = preconf_libp2p::upgrade(tcp, keypair)?;
    #[cfg(feature = "quic")]
    let tcp = with_quic(tcp, keypair);
    Ok(Resolving::new(tcp).boxed())
}

#[cfg(feature = "quic")]
fn with_quic(tcp: Transport, keypair: &Keypair) -> Transport {
    use futures::future::Either;
    use libp2p_core::muxing::StreamMuxerBox;

    let quic = libp2p_quic::tokio::Transport::new(libp2p_quic::Config::new(keypair));
    let quic = quic.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    quic.or_transport(tcp)
        .map(|either, _| match either {
            Either::Left(output) | Either::Right(output) => output,
        })
        .boxed()
}

/// A transport that looks names up, and that shares no TCP port with another program.
pub struct Resolving<T> {
    // A dial looks its name up first and only then needs the transport, from another task.
    inner: Arc<Mutex<T>>,
}

impl<T> Resolving<T> {
    /// Puts names on top of a transport of IP addresses.
    pub fn new(inner: T) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)) }
    }
}

fn lock<T>(inner: &Mutex<T>) -> MutexGuard<'_, T> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> libp2p_core::Transport for Resolving<T>
where
    T: libp2p_core::Transport<Error = io::Error> + Send + Unpin + 'static,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<T::Output>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        refuse_taken_port(&address).map_err(TransportError::Other)?;
        lock(&self.inner).listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        lock(&self.inner).remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some((name, family)) = name_of(&address) else {
            let dial = lock(&self.inner).dial(address, options)?;
            return Ok(Box::pin(dial));
        };
        // Weak: a lookup under way must not keep the listeners of a node that is gone.
        let inner = Arc::downgrade(&self.inner);
        Ok(Box::pin(async move {
            let mut failure = io::Error::new(io::ErrorKind::NotFound, format!("{name} has no {}", family.what()));
            for ip in look_up(&name, family).await? {
                let Some(address) = address.replace(0, |_| Some(ip.into())) else { continue };
                let Some(inner) = inner.upgrade() else { break };
                let dial = lock(&inner).dial(address, options);
                drop(inner);
                failure = match dial {
                    Ok(dial) => match dial.await {
                        Ok(output) => return Ok(output),
                        Err(error) => error,
                    },
                    Err(error) => io::Error::other(error),
                };
            }
            Err(failure)
        }))
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TransportEvent<T::ListenerUpgrade, io::Error>> {
        Pin::new(&mut *lock(&self.inner)).poll(context)
    }
}

/// Which addresses of a name are wanted?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Any,
    V4,
    V6,
}

impl Family {
    fn takes(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Any => "address",
            Self::V4 => "IPv4 address",
            Self::V6 => "IPv6 address",
        }
    }
}

fn name_of(address: &Multiaddr) -> Option<(String, Family)> {
    match address.iter().next()? {
        Protocol::Dns(name) => Some((name.into_owned(), Family::Any)),
        Protocol::Dns4(name) => Some((name.into_owned(), Family::V4)),
        Protocol::Dns6(name) => Some((name.into_owned(), Family::V6)),
        _ => None,
    }
}

async fn look_up(name: &str, family: Family) -> io::Result<Vec<IpAddr>> {
    let found = tokio::time::timeout(LOOKUP_LIMIT, tokio::net::lookup_host((name, 0))).await;
    let found = found.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("{name} was not found in {LOOKUP_LIMIT:?}")))??;
    Ok(found.map(|address| address.ip()).filter(|ip| family.takes(*ip)).take(MAX_ADDRESSES).collect())
}

/// libp2p's TCP sets SO_REUSEPORT on listeners, so a second node on the same port would start, and the system would share the
/// connections out between the two. A plain bind finds that out first.
fn refuse_taken_port(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    let Some(Protocol::Tcp(port @ 1..)) = parts.next() else { return Ok(()) };
    let wanted = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(wanted), Type::STREAM, None)?;
    if wanted.is_ipv6() {
        socket.set_only_v6(true)?; // our own IPv4 listener on the same port is no conflict
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?; // connections of a node that has just stopped are no conflict
    socket.bind(&wanted.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("a multiaddr")
    }

    #[test]
    fn names_are_told_from_addresses() {
        assert_eq!(name_of(&address("/dns4/node.example/tcp/1")), Some(("node.example".into(), Family::V4)));
        assert_eq!(name_of(&address("/dns6/node.example/udp/1/quic-v1")), Some(("node.example".into(), Family::V6)));
        assert_eq!(name_of(&address("/dns/node.example/tcp/1")), Some(("node.example".into(), Family::Any)));
        assert_eq!(name_of(&address("/ip4/127.0.0.1/tcp/1")), None);
    }

    #[tokio::test]
    async fn a_name_gives_addresses_of_the_wanted_family_only() {
        let found = look_up("localhost", Family::V4).await.expect("every machine knows it");
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_ipv4), "{found:?}");
    }

    #[test]
    fn a_port_that_someone_listens_on_is_refused() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("it is bound").port();
        let error = refuse_taken_port(&address(&format!("/ip4/127.0.0.1/tcp/{port}"))).expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(taken);
        refuse_taken_port(&address(&format!("/ip4/127.0.0.1/tcp/{port}"))).expect("free again");
    }
}
