//! Which UDP sockets does discovery have?
//!
//! They are bound before anything else, so that a taken port stops the start, and port 0 is a real one by the time our record is made.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use discv5::ListenConfig;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Discv5Error;

/// Bound sockets, and where.
#[derive(Debug)]
pub(crate) struct Sockets {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    /// One of each family at most, with the ports that the system chose.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Sockets {
    pub(crate) fn bind(listen: &[SocketAddr]) -> Result<Self, Discv5Error> {
        let mut sockets = Self { v4: None, v6: None, addresses: Vec::new() };
        for address in listen {
            let failed = |error| Discv5Error::Listen { address: *address, error };
            let socket = bind(*address).map_err(failed)?;
            sockets.addresses.push(socket.local_addr().map_err(failed)?);
            let place = if address.is_ipv4() { &mut sockets.v4 } else { &mut sockets.v6 };
            if place.replace(socket).is_some() {
                return Err(Discv5Error::Sockets);
            }
        }
        if sockets.addresses.is_empty() { Err(Discv5Error::Sockets) } else { Ok(sockets) }
    }

    /// Hands them to tokio. Must run inside the runtime.
    pub(crate) fn into_config(self) -> Result<ListenConfig, Discv5Error> {
        let address = self.addresses[0]; // bind made sure that there is one
        let handed = |socket: Option<UdpSocket>| socket.map(|socket| tokio::net::UdpSocket::from_std(socket).map(Arc::new)).transpose();
        let failed = |error| Discv5Error::Listen { address, error };
        Ok(ListenConfig::FromSockets { ipv4: handed(self.v4).map_err(failed)?, ipv6: handed(self.v6).map_err(failed)? })
    }
}

fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // or it would take the IPv4 socket's port too
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_and_two_sockets_of_one_family_stop_the_start() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = Sockets::bind(&[here]).expect("a free port");
        let error = Sockets::bind(&first.addresses).expect_err("taken");
        assert!(matches!(error, Discv5Error::Listen { address, .. } if address == first.addresses[0]), "{error}");
        assert!(matches!(Sockets::bind(&[here, here]), Err(Discv5Error::Sockets)));
        assert!(matches!(Sockets::bind(&[]), Err(Discv5Error::Sockets)));
    }
}
