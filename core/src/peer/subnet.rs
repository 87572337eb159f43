//! Which addresses belong together (P8.1, P8.3)?
//!
//! A [`Cidr`] is a block of addresses that an operator names to the [`ConnectionGater`](super::gater::ConnectionGater); [`Neighbours`] counts the established
//! connections of each neighbourhood, so that one host with many addresses cannot surround a node.
//!
//! An IPv4 address that comes dressed as IPv6 (`::ffff:10.0.0.1`) is treated as the IPv4 address that it is, everywhere.
//!
//! Invariant: a `Cidr` has no bits set beyond its prefix.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::config::error::ConfigError;
use crate::counts::Counts;

/// Prefix of an IPv4 neighbourhood, in bits. Source: P8.3.
const V4_PREFIX: u8 = 24;
/// Prefix of an IPv6 neighbourhood, in bits. Source: P8.3.
const V6_PREFIX: u8 = 56;

/// A block of addresses, such as `10.0.0.0/8` or `2001:db8::/32`.
///
/// ```
/// use preconf_core::Cidr;
///
/// let block: Cidr = "10.0.0.0/8".parse().unwrap();
/// assert!(block.contains([10, 1, 2, 3].into()));
/// let error = "10.0.0.1/8".parse::<Cidr>().unwrap_err();
/// assert_eq!((error.key, error.value.as_str()), ("blocked_subnets", "10.0.0.1/8"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The block of a prefix length that an address lies in; longer prefixes than the address has bits count as all of them.
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(32);
                Self { base: Ipv4Addr::from_bits(v4.to_bits() & mask_v4(prefix)).into(), prefix }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                Self { base: Ipv6Addr::from_bits(v6.to_bits() & mask_v6(prefix)).into(), prefix }
            }
        }
    }

    /// Is the address one of the block?
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::around(address, self.prefix) == *self
    }
}

impl FromStr for Cidr {
    type Err = ConfigError;

    /// Reads `address/prefix`. Bits beyond the prefix are refused: whoever sets them may mean another block than they would get.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let parts = text.split_once('/').and_then(|(address, prefix)| Some((address.parse::<IpAddr>().ok()?, prefix)));
        // `parse` alone would take "+8".
        let digits = parts.filter(|(_, prefix)| prefix.bytes().all(|byte| byte.is_ascii_digit()));
        let block = digits.and_then(|(base, prefix)| Some(Self { base, prefix: prefix.parse().ok()? }));
        block.filter(|block| Self::around(block.base, block.prefix) == *block).ok_or_else(|| ConfigError {
            key: "blocked_subnets",
            value: text.to_owned(),
            allowed: "an IP address, a slash and a prefix length, with no bits set beyond it, such as 10.0.0.0/8 or 2001:db8::/32",
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cidr({self})")
    }
}

/// How many connections lead to each neighbourhood (P8.3)? At most one entry for each that is counted: the machine counts those that stand,
/// the glue those that are in their handshake.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Neighbours {
    max: u32,
    exempt_private: bool,
    counts: Counts<Cidr>,
}

impl Neighbours {
    /// Lets each have so many; loopback, link-local and private ranges are exempt if that is wished.
    pub fn new(max: u32, exempt_private: bool) -> Self {
        Self { max, exempt_private, counts: Counts::default() }
    }

    /// Has the address's neighbourhood room for one more connection?
    pub fn has_room(&self, address: IpAddr) -> bool {
        self.neighbourhood(address).is_none_or(|block| self.count(block) < self.max as usize)
    }

    /// A connection is up.
    pub fn add(&mut self, address: IpAddr) {
        if let Some(block) = self.neighbourhood(address) {
            self.counts.raise(block);
        }
    }

    /// A connection is gone. One too many changes nothing.
    pub fn remove(&mut self, address: IpAddr) {
        if let Some(block) = self.neighbourhood(address) {
            self.counts.lower(&block);
        }
    }

    /// How many connections it has.
    pub(crate) fn count(&self, neighbourhood: Cidr) -> usize {
        self.counts.of(&neighbourhood)
    }

    /// `None` for addresses that are exempt.
    pub(crate) fn neighbourhood(&self, address: IpAddr) -> Option<Cidr> {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { V4_PREFIX } else { V6_PREFIX };
        (!(self.exempt_private && is_private(address))).then(|| Cidr::around(address, prefix))
    }
}

/// Loopback, link-local, and the ranges of private networks: nobody out there can have many of them at our door.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p8_1_a_block_contains_its_first_and_last_address_and_none_beyond() {
        let block = cidr("192.0.2.128/25");
        let inside = |text| block.contains(ip(text));
        assert!(inside("192.0.2.128") && inside("192.0.2.255"));
        assert!(!inside("192.0.2.127") && !inside("192.0.3.0") && !inside("2001:db8::1"));
        let block = cidr("2001:db8::/33");
        assert!(block.contains(ip("2001:db8:7fff::1")) && !block.contains(ip("2001:db8:8000::1")));
        assert!(cidr("0.0.0.0/0").contains(ip("203.0.113.9")) && !cidr("0.0.0.0/0").contains(ip("::1")));
        assert!(cidr("::/0").contains(ip("2001:db8::1")) && !cidr("::/0").contains(ip("203.0.113.9")));
        assert!(cidr("203.0.113.9/32").contains(ip("203.0.113.9")));
    }

    #[test]
    fn p8_1_an_ipv4_address_dressed_as_ipv6_is_the_same_address() {
        assert!(cidr("10.0.0.0/8").contains(ip("::ffff:10.1.2.3")));
    }

    #[test]
    fn p8_1_what_is_no_block_says_what_is_allowed() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "::1/127",
            "::/129",
            "/8",
            "x/8",
            "::ffff:10.0.0.0/104",
        ] {
            let error = text.parse::<Cidr>().expect_err(text);
            assert_eq!((error.key, error.value.as_str()), ("blocked_subnets", text));
            assert!(error.to_string().contains("such as 10.0.0.0/8"), "{error}");
        }
    }

    #[test]
    fn p8_3_a_neighbourhood_of_each_family_takes_so_many_connections_and_no_more() {
        for (one, other, outside) in
            [("203.0.113.1", "203.0.113.255", "203.0.114.1"), ("2001:db8::1", "2001:db8:0:ff::1", "2001:db8:0:100::1")]
        {
            let mut neighbours = Neighbours::new(2, true);
            neighbours.add(ip(one));
            assert!(neighbours.has_room(ip(other)));
            neighbours.add(ip(other));
            assert!(!neighbours.has_room(ip(one)) && !neighbours.has_room(ip(other)));
            assert!(neighbours.has_room(ip(outside)));
            neighbours.remove(ip(one));
            assert!(neighbours.has_room(ip(one)));
            neighbours.remove(ip(other));
            neighbours.remove(ip(other));
            assert!(neighbours.counts.keys() == 0, "a removal too many changes nothing");
        }
    }

    #[test]
    fn p8_3_loopback_and_private_ranges_are_exempt_unless_configured() {
        for text in ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.0.1", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"] {
            let (mut exempt, mut counted) = (Neighbours::new(1, true), Neighbours::new(1, false));
            exempt.add(ip(text));
            counted.add(ip(text));
            assert!(exempt.has_room(ip(text)), "{text}");
            assert!(!counted.has_room(ip(text)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_block_around_an_address_contains_it_and_reads_back(bits in any::<u128>(), v4 in any::<bool>(), prefix in 0u8..=128) {
            #[expect(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
            let address = if v4 { IpAddr::from(Ipv4Addr::from_bits(bits as u32)) } else { Ipv6Addr::from_bits(bits).into() };
            let block = Cidr::around(address, prefix);
            prop_assert!(block.contains(address));
            prop_assert_eq!(block.to_string().parse(), Ok(block));
        }
    }

    fn cidr(text: &str) -> Cidr {
        text.parse().expect(text)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }
}
