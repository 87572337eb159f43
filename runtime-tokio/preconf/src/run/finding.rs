//! How does this node find others, and how do they find it?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use multiaddr::{Multiaddr, Protocol};
use preconf_core::{ChainId, DiscoveryConfig};
use preconf_tokio::Discv5Config;
use preconf_tokio::preconf_enr::Bootnode;

/// Flags of discovery.
#[derive(Debug, Args)]
pub(super) struct FindingArgs {
    /// Nodes to begin from: a record (enr:…), where discovery asks for one (/ip4/…/udp/…/p2p/…), or a peer to dial (/…/tcp/…/p2p/…). Turns
    /// discovery on.
    #[arg(long, value_name = "ENR|MULTIADDR", num_args = 1..)]
    bootnode: Vec<Bootnode>,
    /// UDP port of discovery; 0 lets the system choose. Default: the number of the first listener's port. Turns discovery on.
    #[arg(long, value_name = "PORT")]
    discovery_port: Option<u16>,
    /// Address that others reach this node at, one of each family at most. Without it, discovery tells the one that --listen names, or
    /// what enough others see, over UDP or as peers; with it, nothing that others see is told of either family.
    #[arg(long, value_name = "IP", num_args = 1..)]
    external_ip: Vec<IpAddr>,
}

impl FindingArgs {
    pub(super) fn is_on(&self) -> bool {
        !self.bootnode.is_empty() || self.discovery_port.is_some()
    }

    /// Boot nodes that are peers, to be dialed like static ones.
    pub(super) fn peers(&self) -> impl Iterator<Item = &Multiaddr> {
        self.bootnode.iter().filter_map(|node| if let Bootnode::Peer(address) = node { Some(address) } else { None })
    }

    /// The machine's part. A node that listens nearby takes records of nodes nearby.
    pub(super) fn outbound_limiter(&self, preset: DiscoveryConfig, listen: &[Multiaddr]) -> Option<DiscoveryConfig> {
        let is_nearby = listen.iter().filter_map(ip_of).any(|ip| match ip {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        });
        self.is_on().then_some(DiscoveryConfig { accept_private: preset.accept_private || is_nearby, ..preset })
    }

    /// The part of discv5: the same addresses as the listeners', over UDP.
    pub(super) fn discv5(&self, chain: ChainId, listen: &[Multiaddr], data_dir: Option<PathBuf>) -> Discv5Config {
        let port = self.discovery_port.or_else(|| listen.iter().find_map(port_of)).unwrap_or(0);
        let first = |is_v4: bool| listen.iter().filter_map(ip_of).find(|ip| ip.is_ipv4() == is_v4);
        let mut sockets: Vec<_> = [first(true), first(false)].into_iter().flatten().map(|ip| SocketAddr::new(ip, port)).collect();
        if sockets.is_empty() {
            sockets.push(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        }
        for ip in unheard(&self.external_ip, listen.iter().filter_map(ip_of)) {
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            tracing::warn!(%ip, "--external-ip is {family}, and no --listen is: nobody can reach this node there, and its record names no port of it");
        }
        Discv5Config {
            listen: sockets,
            external: self.external_ip.clone(),
            bootnodes: self.bootnode.clone(),
            data_dir,
            ..Discv5Config::new(Some(chain))
        }
    }
}

/// Addresses of a family that is not listened on.
pub(crate) fn unheard(external: &[IpAddr], listen: impl Iterator<Item = IpAddr> + Clone) -> impl Iterator<Item = IpAddr> {
    external.iter().copied().filter(move |ip| !listen.clone().any(|listened| listened.is_ipv4() == ip.is_ipv4()))
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    })
}

fn port_of(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn flags(discovery_port: Option<u16>) -> FindingArgs {
        FindingArgs { bootnode: Vec::new(), discovery_port, external_ip: Vec::new() }
    }

    fn at(text: &[&str]) -> Vec<Multiaddr> {
        text.iter().map(|text| text.parse().expect("a multiaddr")).collect()
    }

    #[test]
    fn discovery_listens_where_the_node_does_on_the_same_port_number() {
        let listen = at(&["/ip4/10.0.0.1/tcp/9000", "/ip6/::1/tcp/9001"]);
        let sockets = |port| flags(port).discv5(ChainId(1), &listen, None).listen;
        assert_eq!(sockets(None), [SocketAddr::from(([10, 0, 0, 1], 9000)), SocketAddr::from((Ipv6Addr::LOCALHOST, 9000))]);
        assert_eq!(sockets(Some(0))[0], SocketAddr::from(([10, 0, 0, 1], 0)));
        assert_eq!(flags(Some(7)).discv5(ChainId(1), &[], None).listen, [SocketAddr::from(([0, 0, 0, 0], 7))]);
    }

    #[test]
    fn p8_7_an_external_address_of_a_family_that_is_not_listened_on_is_noticed() {
        let (v4, v6): (IpAddr, IpAddr) = ([203, 0, 113, 9].into(), "2001:db8::9".parse().expect("an address"));
        let unheard = |listen: &[&str]| unheard(&[v4, v6], at(listen).iter().filter_map(ip_of)).collect::<Vec<_>>();
        assert_eq!(unheard(&["/ip6/::1/tcp/0"]), [v4]);
        assert_eq!(unheard(&["/ip4/0.0.0.0/tcp/0"]), [v6]);
        assert_eq!(unheard(&["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"]), [] as [IpAddr; 0]);
    }

    #[test]
    fn discovery_is_off_unless_wished_and_takes_private_addresses_only_nearby() {
        let outbound_limiter = |port, listen: &[&str]| flags(port).outbound_limiter(DiscoveryConfig::PROD, &at(listen));
        assert_eq!(outbound_limiter(None, &["/ip4/127.0.0.1/tcp/1"]), None);
        assert!(outbound_limiter(Some(0), &["/ip4/127.0.0.1/tcp/1"]).is_some_and(|outbound_limiter| outbound_limiter.accept_private));
        assert_eq!(outbound_limiter(Some(0), &["/ip4/0.0.0.0/tcp/1"]), Some(DiscoveryConfig::PROD));
    }
}
