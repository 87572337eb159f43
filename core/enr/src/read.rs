//! What does a record say?
//!
//! The signature is checked by reading it; what the fields mean is found out here, and judged by the machine.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use enr::{CombinedPublicKey, EnrPublicKey};
use preconf_core::{ChainId, ChainLabel, NodeRecord, PeerId};

use crate::{CHAIN_KEY, Enr, QUIC_KEY, QUIC6_KEY};

/// Longest record, in bytes. Source: EIP-778.
pub const MAX_ENR_BYTES: usize = 300;
/// The same as text: base64 without padding.
const MAX_ENR_CHARS: usize = MAX_ENR_BYTES.div_ceil(3) * 4;

/// Why a text is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It does not begin like one.
    #[error("a node record begins with \"enr:\"")]
    Prefix,
    /// It is too long.
    #[error("{len} characters after \"enr:\", at most {max} are allowed")]
    TooLong {
        /// Its length.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// It holds a character that is not in its alphabet, padding and white space among them.
    #[error("character {at} after \"enr:\" is {found:?}; allowed are letters, digits, - and _")]
    Character {
        /// Which one, from 1.
        at: usize,
        /// The character.
        found: char,
    },
    /// The bytes are no record, or its signature is not its own.
    #[error("not a signed node record: {0}")]
    Content(String),
    /// Its key is not of the kind that names a peer here.
    #[error("the record's key is no secp256k1 key, so no peer of this network can have it")]
    NoPeer,
}

/// Reads a record from text, strictly, and checks its signature.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Enr, ParseError> {
    let body = text.strip_prefix("enr:").ok_or(ParseError::Prefix)?;
    if body.len() > MAX_ENR_CHARS {
        return Err(ParseError::TooLong { len: body.len(), max: MAX_ENR_CHARS });
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if let Some((at, found)) = body.chars().enumerate().find(|(_, c)| !is_allowed(*c)) {
        return Err(ParseError::Character { at: at + 1, found });
    }
    let enr = Enr::from_str(text).map_err(ParseError::Content)?;
    // One record has one text: leftover bits and other ways to write the same bytes are refused.
    if enr.to_base64() == text { Ok(enr) } else { Err(ParseError::Content("not in its only form".to_owned())) }
}

/// The peer that a record is about, if it can be one of this network.
pub fn peer_id(enr: &Enr) -> Option<libp2p_identity::PeerId> {
    match enr.public_key() {
        key @ CombinedPublicKey::Secp256k1(_) => {
            let key = libp2p_identity::secp256k1::PublicKey::try_from_bytes(&key.encode()).ok()?;
            Some(libp2p_identity::PublicKey::from(key).to_peer_id())
        }
        CombinedPublicKey::Ed25519(_) => None,
    }
}

/// Which chain the record names (P8.7).
pub fn chain_label(enr: &Enr) -> ChainLabel {
    match enr.get_decodable::<u64>(CHAIN_KEY) {
        None => ChainLabel::Missing,
        Some(Ok(chain)) => ChainLabel::Chain(ChainId(chain)),
        Some(Err(_)) => ChainLabel::Unreadable,
    }
}

/// The record as the machine takes it: TCP before QUIC, IPv4 before IPv6.
///
/// # Errors
/// The record's key names no peer.
pub fn describe(enr: &Enr) -> Result<NodeRecord, ParseError> {
    let peer = peer_id(enr).and_then(|peer| PeerId::from_bytes(&peer.to_bytes())).ok_or(ParseError::NoPeer)?;
    let (ip4, ip6) = (enr.ip4(), enr.ip6());
    let port = |key: &str| enr.get_decodable::<u16>(key).and_then(Result::ok).filter(|port| *port != 0);
    let tcp4 = ip4.zip(enr.tcp4().filter(|port| *port != 0)).map(|(ip, port): (Ipv4Addr, u16)| format!("/ip4/{ip}/tcp/{port}"));
    let tcp6 = ip6.zip(enr.tcp6().filter(|port| *port != 0)).map(|(ip, port): (Ipv6Addr, u16)| format!("/ip6/{ip}/tcp/{port}"));
    let quic4 = ip4.zip(port(QUIC_KEY)).map(|(ip, port)| format!("/ip4/{ip}/udp/{port}/quic-v1"));
    let quic6 = ip6.zip(port(QUIC6_KEY)).map(|(ip, port)| format!("/ip6/{ip}/udp/{port}/quic-v1"));
    let addresses = [tcp4, tcp6, quic4, quic6].into_iter().flatten().collect();
    Ok(NodeRecord { peer, sequence: enr.seq(), chain: chain_label(enr), addresses, text: enr.to_base64() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Endpoints, build};
    use enr::CombinedKey;

    /// The example of EIP-778.
    const EXAMPLE: &str = "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM0xOIN1ZHCCdl8";

    #[test]
    fn the_example_of_the_specification_reads_as_it_says() {
        let record = describe(&parse(EXAMPLE).expect("the example")).expect("a secp256k1 key");
        assert_eq!((record.sequence, record.chain, record.addresses.len()), (1, ChainLabel::Missing, 0));
        assert_eq!(record.text, EXAMPLE);
        let enr = parse(EXAMPLE).expect("the example");
        assert_eq!(enr.udp4_socket().map(|socket| socket.to_string()).as_deref(), Some("127.0.0.1:30303"));
    }

    #[test]
    fn p8_7_what_is_no_record_says_what_is_wrong() {
        assert_eq!(parse(&EXAMPLE[4..]), Err(ParseError::Prefix));
        assert_eq!(parse(""), Err(ParseError::Prefix));
        assert_eq!(parse(&format!("{EXAMPLE} ")), Err(ParseError::Character { at: EXAMPLE.len() - 3, found: ' ' }));
        assert_eq!(parse("enr:a=="), Err(ParseError::Character { at: 2, found: '=' }));
        let long = format!("enr:{}", "A".repeat(MAX_ENR_CHARS + 1));
        assert_eq!(parse(&long), Err(ParseError::TooLong { len: MAX_ENR_CHARS + 1, max: MAX_ENR_CHARS }));
        for broken in
            [EXAMPLE.replace("QHCY", "QHCZ"), EXAMPLE[..EXAMPLE.len() - 4].to_owned(), format!("{EXAMPLE}AAAA"), "enr:".to_owned()]
        {
            assert!(matches!(parse(&broken), Err(ParseError::Content(_))), "{broken}");
        }
    }

    #[test]
    fn p8_7_a_label_that_is_no_chain_id_is_unreadable() {
        let key = CombinedKey::generate_secp256k1();
        let mut enr = build(&key, 1, Some(ChainId(1)), &Endpoints::default()).expect("a record");
        enr.insert(CHAIN_KEY, &"a name that is no number", &key).expect("it fits");
        assert_eq!(chain_label(&enr), ChainLabel::Unreadable);
    }

    #[test]
    fn an_ed25519_record_names_no_peer() {
        let enr = build(&CombinedKey::generate_ed25519(), 1, None, &Endpoints::default()).expect("a record");
        assert_eq!(describe(&enr), Err(ParseError::NoPeer));
    }
}
