//! How does a node reach others over tokio's sockets?
//!
//! TCP with noise and yamux, with feature `quic` QUIC as well, and names on top.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use libp2p_core::Transport as _;
use libp2p_core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p_identity::Keypair;
use multiaddr::{Multiaddr, Protocol};
use preconf_libp2p::{NetError, Transport};
use preconf_node::Resolving;
use socket2::{Domain, Socket, Type};

/// The default transport: TCP (and QUIC with feature `quic`), noise, yamux, names.
///
/// # Errors
/// A key that noise cannot use.
pub fn transport(keypair: &Keypair) -> Result<Transport, NetError> {
    // Small messages go out at once: a commitment must not wait for an acknowledgement of the one before.
    let tcp = libp2p_tcp::tokio::Transport::new(libp2p_tcp::Config::new().nodelay(true));
    let tcp = preconf_libp2p::upgrade(Exclusive(tcp), keypair)?;
    #[cfg(feature = "quic")]
    let tcp = with_quic(tcp, keypair);
    Ok(Resolving::new(tcp, look_up, |span| tokio::time::sleep(span).boxed()).boxed())
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

/// libp2p's TCP, less the sharing of a listener's port with another program.
struct Exclusive<T>(T);

impl<T> libp2p_core::Transport for Exclusive<T>
where
    T: libp2p_core::Transport<Error = io::Error> + Unpin,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        refuse_taken_port(&address).map_err(TransportError::Other)?;
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        self.0.dial(address, options)
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TransportEvent<T::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.0).poll(context)
    }
}

fn look_up(name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
    async move {
        let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
    .boxed()
}

/// libp2p's TCP sets SO_REUSEPORT on listeners, so a second node on the same port would start, and the system would share the
/// connections out between the two. A plain bind finds that out first. Two
/// nodes that start in the same instant may still both pass: between this bind and libp2p's own the port is nobody's.
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

    #[tokio::test]
    async fn the_system_is_asked_for_names() {
        let found = look_up("localhost".to_owned()).await.expect("every machine knows it");
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[test]
    fn a_port_that_someone_listens_on_is_refused() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("it is bound").port();
        let error = refuse_taken_port(&address(&format!("/ip4/127.0.0.1/tcp/{port}"))).expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        refuse_taken_port(&address("/ip4/127.0.0.1/tcp/0")).expect("the system chooses a free one");
    }
}
