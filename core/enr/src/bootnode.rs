//! How does an operator name a boot node?

use std::fmt;
use std::str::FromStr;

use multiaddr::{Multiaddr, Protocol};

use crate::{Enr, ParseError, parse};

/// A node to begin from: by its record, or by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootnode {
    /// Its record.
    Record(Box<Enr>),
    /// `/ip4/…/udp/…/p2p/…`: where discovery asks it for its record.
    Discovery(Multiaddr),
    /// `/…/tcp/…/p2p/…` or QUIC: a peer to dial, like any static one.
    Peer(Multiaddr),
}

/// Why a text names no boot node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootnodeError {
    /// A record that is none.
    #[error("{0}")]
    Record(#[from] ParseError),
    /// No multiaddr either.
    #[error("neither a node record (enr:…) nor a multiaddr: {0}")]
    Multiaddr(String),
    /// Nobody could tell who answers.
    #[error("the address names no peer: append /p2p/ and its id")]
    NoPeer,
    /// Only an IP address can be asked for a record.
    #[error("discovery is asked at /ip4/…/udp/… or /ip6/…/udp/…, with /p2p/… behind it")]
    NoSocket,
    /// A key that discovery cannot talk to.
    #[error("the peer id is not of a secp256k1 key, so discovery cannot talk to it; give its record")]
    NoKey,
}

impl FromStr for Bootnode {
    type Err = BootnodeError;

    fn from_str(text: &str) -> Result<Self, BootnodeError> {
        if text.starts_with("enr:") {
            return Ok(Self::Record(Box::new(parse(text)?)));
        }
        let address: Multiaddr = text.parse().map_err(|error: multiaddr::Error| BootnodeError::Multiaddr(error.to_string()))?;
        let parts: Vec<Protocol<'_>> = address.iter().collect();
        let Some(Protocol::P2p(peer)) = parts.last() else { return Err(BootnodeError::NoPeer) };
        match parts[..] {
            [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Udp(_), Protocol::P2p(_)] => {
                // The key itself is in the id of a secp256k1 key, and the first packet is sealed with it.
                let has_key = peer.as_ref().code() == 0
                    && libp2p_identity::PublicKey::try_decode_protobuf(peer.as_ref().digest())
                        .is_ok_and(|key| key.key_type() == libp2p_identity::KeyType::Secp256k1);
                if has_key { Ok(Self::Discovery(address)) } else { Err(BootnodeError::NoKey) }
            }
            [_, Protocol::Udp(_), Protocol::P2p(_)] => Err(BootnodeError::NoSocket),
            _ => Ok(Self::Peer(address)),
        }
    }
}

impl fmt::Display for Bootnode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(enr) => write!(f, "{enr}"),
            Self::Discovery(address) | Self::Peer(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: String) -> Result<Bootnode, BootnodeError> {
        text.parse()
    }

    #[test]
    fn a_boot_node_is_a_record_an_address_of_discovery_or_a_peer() {
        let id = libp2p_identity::Keypair::generate_secp256k1().public().to_peer_id();
        assert!(matches!(named(format!("/ip4/127.0.0.1/udp/9000/p2p/{id}")), Ok(Bootnode::Discovery(_))));
        assert!(matches!(named(format!("/ip4/127.0.0.1/tcp/9000/p2p/{id}")), Ok(Bootnode::Peer(_))));
        assert!(matches!(named(format!("/dns4/example.org/tcp/9000/p2p/{id}")), Ok(Bootnode::Peer(_))));
        assert!(matches!(named(format!("/ip4/127.0.0.1/udp/9000/quic-v1/p2p/{id}")), Ok(Bootnode::Peer(_))));
    }

    #[test]
    fn what_names_no_boot_node_says_why() {
        let id = libp2p_identity::Keypair::generate_secp256k1().public().to_peer_id();
        assert_eq!(named("/ip4/127.0.0.1/udp/9000".to_owned()), Err(BootnodeError::NoPeer));
        assert_eq!(named(format!("/dns4/example.org/udp/9000/p2p/{id}")), Err(BootnodeError::NoSocket));
        let ed25519 = libp2p_identity::Keypair::generate_ed25519().public().to_peer_id();
        assert_eq!(named(format!("/ip4/127.0.0.1/udp/9000/p2p/{ed25519}")), Err(BootnodeError::NoKey));
        assert!(matches!(named("enr:".to_owned()), Err(BootnodeError::Record(_))));
        assert!(matches!(named("example.org".to_owned()), Err(BootnodeError::Multiaddr(_))));
    }
}
