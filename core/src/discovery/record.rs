//! What does a node's record say of it, and is that of use to us (P8.7)?
//!
//! Whoever reads records off the network has checked their signatures; here is judged what they say. Nothing is taken as it comes: texts
//! are bounded, and addresses nobody can be reached at are left out.

use std::net::IpAddr;

use crate::discovery::config::DiscoveryConfig;
use crate::id::PeerId;
use crate::peer::address::DialAddress;
use crate::peer::subnet::is_private;
use crate::time::UnixTime;
use crate::wire::topics::ChainId;

/// Addresses of one record that are kept. Ours: TCP and QUIC, each over IPv4 and IPv6.
pub(crate) const MAX_ADDRESSES: usize = 4;
/// Longest address, in bytes. Ours: twice the longest that a record's fields make, `/ip6/…/udp/65535/quic-v1`.
pub(crate) const MAX_ADDRESS_BYTES: usize = 128;
/// Longest record as text, in bytes. Source: EIP-778, 300 bytes, in base64 with its prefix.
pub(crate) const MAX_RECORD_BYTES: usize = 404;

/// Which chain a record is labelled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ChainLabel {
    /// With none: an older node, or one of another kind.
    Missing,
    /// With this one.
    Chain(ChainId),
    /// With something that is no chain id.
    Unreadable,
}

/// A node as its own signed record describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeRecord {
    /// Who it is.
    pub peer: PeerId,
    /// Which of its records this is; a higher number is newer.
    pub sequence: u64,
    /// Its chain.
    pub chain: ChainLabel,
    /// Where it listens: multiaddrs without `/p2p/…`, the best first. At most 4 are kept.
    pub addresses: Vec<String>,
    /// The record itself as text, for discovery to begin from after a restart. The machine does not read it; empty if there is none.
    pub text: String,
}

/// Why a record is not taken (P8.7, P8.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    WrongChain,
    Unlabelled,
    NoAddress,
}

/// A node that spoke our chain's protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct KnownNode {
    /// What it said of itself.
    pub record: NodeRecord,
    /// When it was last of use.
    pub last_success: UnixTime,
}

impl NodeRecord {
    /// What of the record is of use; the rest is gone.
    pub(crate) fn fit(self, chain: ChainId, config: &DiscoveryConfig) -> Result<Self, Unfit> {
        match self.chain {
            ChainLabel::Chain(label) if label == chain => {}
            ChainLabel::Missing if config.accept_unlabelled => {}
            ChainLabel::Missing => return Err(Unfit::Unlabelled),
            ChainLabel::Chain(_) | ChainLabel::Unreadable => return Err(Unfit::WrongChain),
        }
        let usable = self.addresses.iter().filter(|address| is_usable(address, config.accept_private));
        let addresses: Vec<String> = usable.take(MAX_ADDRESSES).cloned().collect();
        if addresses.is_empty() {
            return Err(Unfit::NoAddress);
        }
        let text = if self.text.len() <= MAX_RECORD_BYTES { self.text } else { String::new() };
        let (addresses, text) = (addresses.into_boxed_slice().into_vec(), text.into_boxed_str().into_string());
        Ok(Self { addresses, text, ..self })
    }
}

/// Can somebody be reached at this address, and is it one that we go to?
fn is_usable(address: &str, accept_private: bool) -> bool {
    let dialed = DialAddress::of(address);
    // A record is signed by who it is about, so another id or a relay in it is a mistake or a trick.
    if dialed.peer.is_some() || address.contains("/p2p") || address.len() > MAX_ADDRESS_BYTES || address.contains("/0/") {
        return false;
    }
    if address.ends_with("/tcp/0") {
        return false;
    }
    dialed.ip.is_some_and(|ip| is_unicast(ip) && (accept_private || !is_private(ip)))
}

pub(crate) fn is_unicast(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: ChainId = ChainId(1);

    fn record(chain: ChainLabel, addresses: &[&str]) -> NodeRecord {
        let peer = PeerId::from_bytes(&[0, 1, 7]).expect("three bytes");
        NodeRecord { peer, sequence: 1, chain, addresses: addresses.iter().map(|text| (*text).to_owned()).collect(), text: String::new() }
    }

    #[test]
    fn p8_7_a_record_of_another_chain_is_of_no_use_and_one_without_a_label_only_when_configured() {
        let address = ["/ip4/203.0.113.1/tcp/1"];
        let strict = DiscoveryConfig { accept_unlabelled: false, ..DiscoveryConfig::PROD };
        let fit = |chain, config: &DiscoveryConfig| record(chain, &address).fit(OURS, config).map(|record| record.addresses.len());
        assert_eq!(fit(ChainLabel::Chain(OURS), &strict), Ok(1));
        assert_eq!(fit(ChainLabel::Chain(ChainId(2)), &DiscoveryConfig::PROD), Err(Unfit::WrongChain));
        assert_eq!(fit(ChainLabel::Unreadable, &DiscoveryConfig::PROD), Err(Unfit::WrongChain));
        assert_eq!(fit(ChainLabel::Missing, &DiscoveryConfig::PROD), Ok(1));
        assert_eq!(fit(ChainLabel::Missing, &strict), Err(Unfit::Unlabelled));
    }

    #[test]
    fn p8_7_addresses_that_lead_nowhere_are_left_out() {
        let id = "16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp";
        let relayed = format!("/ip4/203.0.113.1/tcp/1/p2p/{id}/p2p-circuit");
        let named = format!("/ip4/203.0.113.1/tcp/1/p2p/{id}");
        let long = format!("/ip4/203.0.113.1/tcp/1/{}", "x".repeat(MAX_ADDRESS_BYTES));
        let bad = [
            "/ip4/0.0.0.0/tcp/1",
            "/ip6/::/tcp/1",
            "/ip4/224.0.0.1/tcp/1",
            "/ip4/255.255.255.255/tcp/1",
            "/ip4/203.0.113.1/tcp/0",
            "/ip4/203.0.113.1/udp/0/quic-v1",
            "/dns4/example.org/tcp/1",
            "",
            &relayed,
            &named,
            &long,
        ];
        for address in bad {
            let fit = record(ChainLabel::Chain(OURS), &[address]).fit(OURS, &DiscoveryConfig::DEV);
            assert_eq!(fit, Err(Unfit::NoAddress), "{address}");
        }
        let nearby = ["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip6/fe80::1/tcp/1", "/ip4/203.0.113.1/tcp/1"];
        let kept = |config| record(ChainLabel::Missing, &nearby).fit(OURS, &config).expect("one is public").addresses.len();
        assert_eq!((kept(DiscoveryConfig::PROD), kept(DiscoveryConfig::DEV)), (1, 4));
    }

    #[test]
    fn p8_8_a_record_keeps_no_more_than_its_bounds() {
        let long = NodeRecord { text: "x".repeat(MAX_RECORD_BYTES + 1), ..record(ChainLabel::Missing, &["/ip4/203.0.113.1/tcp/1"; 9]) };
        let kept = long.fit(OURS, &DiscoveryConfig::PROD).expect("reachable");
        assert_eq!((kept.addresses.len(), kept.text.len()), (MAX_ADDRESSES, 0));
    }
}
