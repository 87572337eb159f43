//! What does the text of a multiaddr tell before anybody looks up a name?
//!
//! Who is meant to answer, and at which IP address. The machine parses no more of it: what else stands there is the transport's business.

use std::net::IpAddr;

use crate::config::error::ConfigError;
use crate::id::PeerId;

/// Where a dial goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialAddress<'a> {
    /// Who is meant to answer: the last `/p2p/…`.
    pub(crate) peer: Option<PeerId>,
    /// The address without it.
    pub(crate) text: &'a str,
    /// The IP address in it; `None` for a name.
    pub(crate) ip: Option<IpAddr>,
}

impl<'a> DialAddress<'a> {
    pub(crate) fn of(address: &'a str) -> Self {
        let (text, peer) = match address.rsplit_once("/p2p/") {
            Some((text, id)) => (text, id.trim_end_matches('/').parse().ok()),
            None => (address, None),
        };
        let mut parts = text.split('/');
        let mut ip = None;
        while let (None, Some(part)) = (ip, parts.next()) {
            if matches!(part, "ip4" | "ip6") {
                // A value that is no IP address belongs to some other part; the transport will say what it thinks of it.
                ip = parts.clone().next().and_then(|value| value.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical());
            }
        }
        Self { peer, text, ip }
    }
}

/// Who is meant by an address in `static_peers`.
pub(crate) fn static_peer(address: &str) -> Result<PeerId, ConfigError> {
    DialAddress::of(address).peer.ok_or_else(|| ConfigError {
        key: "static_peers",
        value: address.to_owned(),
        allowed: "a multiaddr that ends in /p2p/ and the peer's id",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp";

    #[test]
    fn p8_1_an_address_tells_its_peer_and_its_ip() {
        let address = format!("/ip4/203.0.113.7/tcp/4001/p2p/{ID}");
        let ip = Some("203.0.113.7".parse().expect("an address"));
        assert_eq!(DialAddress::of(&address), DialAddress { peer: ID.parse().ok(), text: "/ip4/203.0.113.7/tcp/4001", ip });
        let address = format!("/ip6/::ffff:203.0.113.7/udp/1/quic-v1/p2p/{ID}/");
        assert_eq!((DialAddress::of(&address).peer, DialAddress::of(&address).ip), (ID.parse().ok(), ip));
    }

    #[test]
    fn p8_1_a_name_has_no_ip_yet_and_some_text_names_nobody() {
        let address = format!("/dns4/example.org/tcp/1/p2p/{ID}");
        assert_eq!((DialAddress::of(&address).peer.is_some(), DialAddress::of(&address).ip), (true, None));
        for text in ["", "/", "/ip4", "/ip4/x/tcp/1", "/ip4/1.2.3.4/tcp/1/p2p/0OIl", "not an address", "/p2p/"] {
            assert_eq!(DialAddress::of(text).peer, None, "{text}");
        }
    }

    #[test]
    fn behind_a_relay_the_last_peer_is_meant() {
        let address = format!("/ip4/192.0.2.1/tcp/1/p2p/12D3KooW/p2p-circuit/p2p/{ID}");
        assert_eq!(DialAddress::of(&address).peer, ID.parse().ok());
    }
}
