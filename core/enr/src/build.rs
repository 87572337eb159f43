//! What does a node say of itself?

use std::net::{Ipv4Addr, Ipv6Addr};

use enr::CombinedKey;
use preconf_core::ChainId;

use crate::{CHAIN_KEY, Enr, QUIC_KEY, QUIC6_KEY};

/// Where a node can be reached. Each port goes with the address of its family, and is left out without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// IPv4 address that others see.
    pub ip4: Option<Ipv4Addr>,
    /// UDP port of discovery.
    pub udp4: Option<u16>,
    /// TCP port of libp2p.
    pub tcp4: Option<u16>,
    /// UDP port of QUIC.
    pub quic4: Option<u16>,
    /// IPv6 address that others see.
    pub ip6: Option<Ipv6Addr>,
    /// The same ports over IPv6.
    pub udp6: Option<u16>,
    /// TCP port of libp2p over IPv6.
    pub tcp6: Option<u16>,
    /// UDP port of QUIC over IPv6.
    pub quic6: Option<u16>,
}

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `0.0.0.0`, `::`, multicast or broadcast: an address to listen on at best, nowhere to go to.
    #[error("{0} is no address that anybody can reach; give the one that others see")]
    NoUnicast(std::net::IpAddr),
    /// Port 0 lets the system choose; what it chose belongs in a record.
    #[error("port 0 is no port that anybody can reach")]
    PortZero,
    /// The record does not fit or cannot be signed.
    #[error("the record cannot be made: {0}")]
    Record(enr::Error),
}

impl Endpoints {
    /// Can others reach all of this?
    ///
    /// # Errors
    /// The address or the port that nobody can.
    pub fn check(&self) -> Result<(), BuildError> {
        if let Some(ip) = self.ip4.filter(|ip| ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()) {
            return Err(BuildError::NoUnicast(ip.into()));
        }
        if let Some(ip) = self.ip6.filter(|ip| ip.is_unspecified() || ip.is_multicast() || ip.to_ipv4_mapped().is_some()) {
            return Err(BuildError::NoUnicast(ip.into()));
        }
        if self.ports().into_iter().any(|(_, port)| port == Some(0)) { Err(BuildError::PortZero) } else { Ok(()) }
    }

    fn ports(&self) -> [(&'static str, Option<u16>); 6] {
        [("udp", self.udp4), ("tcp", self.tcp4), (QUIC_KEY, self.quic4), ("udp6", self.udp6), ("tcp6", self.tcp6), (QUIC6_KEY, self.quic6)]
    }
}

/// Makes a record. A higher sequence number replaces an older record everywhere. A boot node of any chain names none.
///
/// # Errors
/// An address or a port that nobody can reach, or a record that does not fit.
pub fn build(key: &CombinedKey, sequence: u64, chain: Option<ChainId>, endpoints: &Endpoints) -> Result<Enr, BuildError> {
    endpoints.check()?;
    let mut builder = Enr::builder();
    builder.seq(sequence);
    if let Some(ChainId(chain)) = chain {
        builder.add_value(CHAIN_KEY, &chain);
    }
    if let Some(ip) = endpoints.ip4 {
        builder.ip4(ip);
    }
    if let Some(ip) = endpoints.ip6 {
        builder.ip6(ip);
    }
    for (name, port) in endpoints.ports() {
        if let Some(port) = port {
            builder.add_value(name, &port);
        }
    }
    builder.build(key).map_err(BuildError::Record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chain_label, describe};
    use preconf_core::ChainLabel;

    fn key() -> CombinedKey {
        CombinedKey::generate_secp256k1()
    }

    const HERE: Endpoints = Endpoints {
        ip4: Some(Ipv4Addr::new(203, 0, 113, 7)),
        udp4: Some(9000),
        tcp4: None,
        quic4: None,
        ip6: None,
        udp6: None,
        tcp6: None,
        quic6: None,
    };

    #[test]
    fn p8_7_a_udp_port_is_never_told_as_a_tcp_port() {
        let enr = build(&key(), 1, None, &HERE).expect("a record");
        assert_eq!((enr.udp4(), enr.tcp4()), (Some(9000), None));
        assert_eq!(describe(&enr).expect("a secp256k1 key").addresses, [""; 0]);
        assert_eq!(chain_label(&enr), ChainLabel::Missing);
    }

    #[test]
    fn p8_7_addresses_and_ports_that_nobody_can_reach_are_refused() {
        for ip in ["0.0.0.0", "224.0.0.1", "255.255.255.255"] {
            let endpoints = Endpoints { ip4: ip.parse().ok(), ..HERE };
            assert!(matches!(build(&key(), 1, None, &endpoints), Err(BuildError::NoUnicast(_))), "{ip}");
        }
        for ip in ["::", "ff02::1", "::ffff:203.0.113.7"] {
            let endpoints = Endpoints { ip6: ip.parse().ok(), ..HERE };
            assert!(matches!(build(&key(), 1, None, &endpoints), Err(BuildError::NoUnicast(_))), "{ip}");
        }
        assert!(matches!(build(&key(), 1, None, &Endpoints { tcp4: Some(0), ..HERE }), Err(BuildError::PortZero)));
    }

    #[test]
    fn p8_7_every_endpoint_of_both_families_reads_back_best_first() {
        let all = Endpoints {
            tcp4: Some(1),
            quic4: Some(2),
            ip6: "2001:db8::1".parse().ok(),
            udp6: Some(3),
            tcp6: Some(4),
            quic6: Some(5),
            ..HERE
        };
        let enr = build(&key(), 7, Some(ChainId(9)), &all).expect("a record");
        let record = describe(&enr).expect("a secp256k1 key");
        let addresses =
            ["/ip4/203.0.113.7/tcp/1", "/ip6/2001:db8::1/tcp/4", "/ip4/203.0.113.7/udp/2/quic-v1", "/ip6/2001:db8::1/udp/5/quic-v1"];
        assert_eq!(record.addresses, addresses);
        assert_eq!((record.sequence, record.chain), (7, ChainLabel::Chain(ChainId(9))));
        assert_eq!((enr.udp4(), enr.udp6()), (Some(9000), Some(3)));
    }
}
