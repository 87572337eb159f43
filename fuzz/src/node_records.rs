//! Node records (P8.7) and the boot nodes that operators name: as texts, and as records made, read and damaged.

use std::net::{Ipv4Addr, Ipv6Addr};

use preconf_core::{ChainId, ChainLabel};
use preconf_enr::{Bootnode, CombinedKey, Endpoints, ParseError, build, describe, parse};

use crate::dice::Dice;

/// A text is a record in its only form, or refused with a reason.
pub(crate) fn record_text(text: &str) -> bool {
    match parse(text) {
        Ok(enr) => {
            assert_eq!(enr.to_base64(), text, "P8.7: a record with two texts");
            let described = describe(&enr);
            assert!(described.as_ref().is_ok_and(|record| record.text == text) || described == Err(ParseError::NoPeer));
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// What names a boot node is written as what it was read from.
pub(crate) fn bootnode(text: &str) -> bool {
    match text.parse::<Bootnode>() {
        Ok(bootnode) => {
            let written = bootnode.to_string();
            assert_eq!(written.parse(), Ok(bootnode), "{text:?} is written as {written:?}");
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// What a node says of itself is read as it was meant, and nothing else with its signature is.
pub(crate) fn record_built(dice: &mut Dice<'_>) -> bool {
    let mut secret = [1 + dice.byte() % 7; 32];
    let names_a_peer = dice.byte().is_multiple_of(2);
    let key = if names_a_peer { CombinedKey::secp256k1_from_bytes(&mut secret) } else { CombinedKey::ed25519_from_bytes(&mut secret) };
    let key = key.expect("small numbers are keys");
    let chain = dice.byte().is_multiple_of(2).then(|| ChainId(dice.number()));
    let sequence = dice.number();
    let endpoints = endpoints(dice);
    let Ok(enr) = build(&key, sequence, chain, &endpoints) else {
        assert!(names_nowhere(&endpoints), "{endpoints:?} can be reached, and fits");
        return false;
    };
    assert!(!names_nowhere(&endpoints), "P8.7: {endpoints:?} is advertised");
    let text = enr.to_base64();
    assert_eq!(parse(&text).as_ref(), Ok(&enr), "its own text");
    match describe(&enr) {
        Ok(record) => {
            assert!(names_a_peer && record.sequence == sequence && record.text == text);
            assert_eq!(record.chain, chain.map_or(ChainLabel::Missing, ChainLabel::Chain));
            assert_eq!(record.addresses, addresses(&endpoints));
        }
        Err(error) => assert!(!names_a_peer && error == ParseError::NoPeer, "{error}"),
    }
    // One character of it is another one.
    let mut damaged = text.clone().into_bytes();
    let at = 4 + usize::from(u16::from_le_bytes(dice.bytes())) % (damaged.len() - 4);
    damaged[at] = *b"ABCDEFGHabcdefgh01234567-_".get(dice.below(26)).expect("26 of them");
    let damaged = String::from_utf8(damaged).expect("ASCII");
    assert!(damaged == text || parse(&damaged).is_err(), "a record with a foreign signature");
    true
}

/// Addresses and ports that are good for something, or not.
fn endpoints(dice: &mut Dice<'_>) -> Endpoints {
    let ip4 = |dice: &mut Dice<'_>| match dice.below(5) {
        0 => Some(Ipv4Addr::new(203, 0, 113, dice.byte())),
        1 => None,
        2 => Some(Ipv4Addr::from(dice.bytes())),
        3 => Some(Ipv4Addr::UNSPECIFIED),
        _ => Some(Ipv4Addr::BROADCAST),
    };
    let ip6 = |dice: &mut Dice<'_>| match dice.below(5) {
        0 => Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(dice.byte()))),
        1 => None,
        2 => Some(Ipv6Addr::from(dice.bytes())),
        3 => Some(Ipv6Addr::UNSPECIFIED),
        _ => Some(Ipv4Addr::new(203, 0, 113, 1).to_ipv6_mapped()),
    };
    let port = |dice: &mut Dice<'_>| match dice.below(3) {
        0 => None,
        1 => Some(u16::from_le_bytes(dice.bytes())),
        _ => Some(4001),
    };
    let (ip4, ip6) = (ip4(dice), ip6(dice));
    let [udp4, tcp4, quic4, udp6, tcp6, quic6] = std::array::from_fn(|_| port(dice));
    Endpoints { ip4, udp4, tcp4, quic4, ip6, udp6, tcp6, quic6 }
}

/// Would a record of this send others to where nobody is?
fn names_nowhere(endpoints: &Endpoints) -> bool {
    let Endpoints { ip4, udp4, tcp4, quic4, ip6, udp6, tcp6, quic6 } = *endpoints;
    let ports = [udp4, tcp4, quic4, udp6, tcp6, quic6];
    let nowhere4 = ip4.is_some_and(|ip| ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST);
    let nowhere6 = ip6.is_some_and(|ip| ip.is_unspecified() || ip.is_multicast() || ip.to_ipv4_mapped().is_some());
    ports.contains(&Some(0)) || nowhere4 || nowhere6
}

/// The addresses that a record of this gives: TCP before QUIC, IPv4 before IPv6, and no port without its address.
fn addresses(endpoints: &Endpoints) -> Vec<String> {
    let Endpoints { ip4, tcp4, quic4, ip6, tcp6, quic6, .. } = *endpoints;
    let (at4, at6) = (ip4.map(|ip| format!("/ip4/{ip}")), ip6.map(|ip| format!("/ip6/{ip}")));
    let mut addresses = Vec::new();
    for (at, port) in [(&at4, tcp4), (&at6, tcp6)] {
        addresses.extend(at.as_ref().zip(port).map(|(at, port)| format!("{at}/tcp/{port}")));
    }
    for (at, port) in [(&at4, quic4), (&at6, quic6)] {
        addresses.extend(at.as_ref().zip(port).map(|(at, port)| format!("{at}/udp/{port}/quic-v1")));
    }
    addresses
}
