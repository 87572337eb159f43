//! What does this node's own record say (P8.7)?

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::UNIX_EPOCH;

use enr::{CombinedKey, EnrKey, NodeId};
use multiaddr::{Multiaddr, Protocol};
use preconf_core::UnixTime;
use preconf_enr::{Bootnode, Endpoints, Enr, SequenceFile, build, next_sequence};

use crate::config::{Discv5Config, Discv5Error};

/// Our record at the start: the UDP ports, and an address if there is one that others can reach. Ports of the listeners follow as they come
/// up.
pub(crate) fn first(
    key: &CombinedKey,
    config: &Discv5Config,
    bound: &[SocketAddr],
    kept: Option<&mut SequenceFile>,
) -> Result<Enr, Discv5Error> {
    let mut endpoints = Endpoints::default();
    for address in bound {
        match address {
            SocketAddr::V4(v4) => {
                (endpoints.ip4, endpoints.udp4) = (Some(*v4.ip()).filter(|ip| *ip != Ipv4Addr::UNSPECIFIED), Some(v4.port()));
            }
            SocketAddr::V6(v6) => {
                (endpoints.ip6, endpoints.udp6) = (Some(*v6.ip()).filter(|ip| *ip != Ipv6Addr::UNSPECIFIED), Some(v6.port()));
            }
        }
    }
    for (n, ip) in config.external.iter().enumerate() {
        if config.external[..n].iter().any(|other| other.is_ipv4() == ip.is_ipv4()) {
            return Err(Discv5Error::Externals);
        }
        match ip {
            IpAddr::V4(v4) => endpoints.ip4 = Some(*v4),
            IpAddr::V6(v6) => endpoints.ip6 = Some(*v6),
        }
    }
    endpoints.check()?; // before a number is taken for nothing
    Ok(build(key, sequence(key, config, kept), config.chain, &endpoints)?)
}

/// Above that of any record that an earlier life of this node has signed, as far as anybody knows: the file, and the boot nodes that we were
/// given, who may be ourselves.
fn sequence(key: &CombinedKey, config: &Discv5Config, kept: Option<&mut SequenceFile>) -> u64 {
    let now = UNIX_EPOCH.elapsed().map_or(UnixTime(0), |since| UnixTime(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)));
    let us = NodeId::from(key.public());
    let seen = config.bootnodes.iter().filter_map(|node| if let Bootnode::Record(enr) = node { Some(enr) } else { None });
    let seen = seen.filter(|enr| enr.node_id() == us).map(|enr| enr.seq()).max();
    let Some(kept) = kept else { return next_sequence(now, seen) };
    let sequence = kept.next(now, seen);
    if let Err(error) = kept.follow(sequence) {
        // P10.4: a disk that takes nothing keeps nobody from being found.
        tracing::warn!(%error, "the sequence number of our record is not kept: if the clock goes back, others keep this record");
    }
    sequence
}

/// Is our address what we say it is, whatever others see? One external address fixes both families, since discv5 knows one switch for both.
pub(crate) fn is_fixed(config: &Discv5Config, bound: &[SocketAddr]) -> bool {
    !config.external.is_empty() || bound.iter().all(|address| address.ip().is_loopback())
}

/// The keys of our record that tell a port.
pub(crate) const PORT_KEYS: [&str; 4] = ["tcp", "tcp6", preconf_enr::QUIC_KEY, preconf_enr::QUIC6_KEY];

/// What our record should tell of these listeners: the first port of each key.
pub(crate) fn ports(listeners: &BTreeSet<Multiaddr>, own: &Enr) -> BTreeMap<&'static str, u16> {
    let mut ports = BTreeMap::new();
    for (key, port) in listeners.iter().filter_map(|listener| port_of(listener, own)) {
        ports.entry(key).or_insert(port);
    }
    ports
}

/// Which key of our record a listener belongs to, and its port; `None` if others could not reach it there.
fn port_of(address: &Multiaddr, own: &Enr) -> Option<(&'static str, u16)> {
    let mut parts = address.iter();
    let (is_v4, is_loopback) = match parts.next()? {
        Protocol::Ip4(ip) => (true, ip.is_loopback()),
        Protocol::Ip6(ip) => (false, ip.is_loopback()),
        _ => return None,
    };
    // A listener that only this machine reaches is none for others, unless the whole network is on it.
    let at_home = if is_v4 { own.ip4().is_some_and(|ip| ip.is_loopback()) } else { own.ip6().is_some_and(|ip| ip.is_loopback()) };
    if is_loopback && !at_home {
        return None;
    }
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), _) => Some((if is_v4 { "tcp" } else { "tcp6" }, port)),
        (Protocol::Udp(port), Some(Protocol::QuicV1)) => Some((if is_v4 { preconf_enr::QUIC_KEY } else { preconf_enr::QUIC6_KEY }, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preconf_core::ChainId;

    fn own(listen: &str, external: &[&str]) -> Result<Enr, Discv5Error> {
        let config = Discv5Config {
            external: external.iter().map(|ip| ip.parse().expect("an address")).collect(),
            ..Discv5Config::new(Some(ChainId(1)))
        };
        first(&CombinedKey::generate_secp256k1(), &config, &[listen.parse().expect("a socket address")], None)
    }

    fn port(text: &str, own: &Enr) -> Option<(&'static str, u16)> {
        port_of(&text.parse().expect("a multiaddr"), own)
    }

    #[test]
    fn p8_7_an_address_to_listen_on_everywhere_is_not_told() {
        let record = own("0.0.0.0:9000", &[]).expect("a record");
        assert_eq!((record.ip4(), record.udp4(), record.tcp4()), (None, Some(9000), None));
        let record = own("0.0.0.0:9000", &["203.0.113.7"]).expect("a record");
        assert_eq!(record.ip4(), Some([203, 0, 113, 7].into()));
        assert!(matches!(own("0.0.0.0:9000", &["0.0.0.0"]), Err(Discv5Error::Record(_))));
        assert!(matches!(own("0.0.0.0:9000", &["203.0.113.7", "203.0.113.8"]), Err(Discv5Error::Externals)));
    }

    #[test]
    fn p8_7_the_first_record_beats_our_own_among_the_boot_nodes() {
        let (key, stranger) = (CombinedKey::generate_secp256k1(), CombinedKey::generate_secp256k1());
        let record = |key, sequence| Bootnode::Record(Box::new(build(key, sequence, None, &Endpoints::default()).expect("a record")));
        let ahead = u64::MAX / 4;
        let config = Discv5Config { bootnodes: vec![record(&key, ahead), record(&stranger, ahead + 7)], ..Discv5Config::new(None) };
        let here = ["127.0.0.1:1".parse().expect("a socket address")];
        assert_eq!(first(&key, &config, &here, None).expect("a record").seq(), ahead + 1);
    }

    #[test]
    fn p8_7_each_listener_has_its_own_port_and_loopback_is_told_only_at_home() {
        let public = own("0.0.0.0:9000", &["203.0.113.7"]).expect("a record");
        assert_eq!(port("/ip4/10.0.0.1/tcp/4001", &public), Some(("tcp", 4001)));
        assert_eq!(port("/ip4/10.0.0.1/udp/4001/quic-v1", &public), Some(("quic", 4001)));
        assert_eq!(port("/ip6/2001:db8::1/tcp/4001", &public), Some(("tcp6", 4001)));
        assert_eq!(port("/ip4/127.0.0.1/tcp/4001", &public), None);
        assert_eq!(port("/ip4/10.0.0.1/udp/4001", &public), None);
        let home = own("127.0.0.1:9000", &[]).expect("a record");
        assert_eq!(port("/ip4/127.0.0.1/tcp/4001", &home), Some(("tcp", 4001)));
    }

    #[test]
    fn an_address_is_fixed_when_it_is_given_or_nobody_else_could_see_another() {
        let open = Discv5Config::new(None);
        let given = Discv5Config { external: vec![[203, 0, 113, 7].into()], ..open.clone() };
        let at = |text: &str| [text.parse::<SocketAddr>().expect("a socket address")];
        assert!(is_fixed(&given, &at("0.0.0.0:1")) && is_fixed(&open, &at("127.0.0.1:1")));
        assert!(!is_fixed(&open, &at("0.0.0.0:1")) && !is_fixed(&open, &at("10.0.0.1:1")));
    }
}
