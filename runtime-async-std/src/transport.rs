//! How does a node reach others over async-std's sockets?
//!
//! TCP with noise and yamux, and names on top.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};

use futures::future::{BoxFuture, FutureExt};
use libp2p_core::Transport as _;
use libp2p_identity::Keypair;
use preconf_libp2p::{NetError, Transport};
use preconf_node::Resolving;

use crate::tcp::Tcp;

/// The default transport: TCP, noise, yamux, names.
///
/// # Errors
/// A key that noise cannot use.
pub fn transport(keypair: &Keypair) -> Result<Transport, NetError> {
    let tcp = preconf_libp2p::upgrade(Tcp::new(), keypair)?;
    Ok(Resolving::new(tcp, look_up, |span| async_std::task::sleep(span).boxed()).boxed())
}

fn look_up(name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
    async move {
        // On the pool itself, as async-std's own lookup does, but without waking its executor: under smol there is another one.
        let found = blocking::unblock(move || (name, 0).to_socket_addrs()).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_asked_for_names() {
        let found = async_std::task::block_on(look_up("localhost".to_owned())).expect("every machine knows it");
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
