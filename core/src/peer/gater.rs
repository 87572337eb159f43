//! May we deal with this address and this peer at all (P8.1, P8.3)?
//!
//! The machine asks before it hands out a dial, and once more when a connection is up and shows which address it really has. The gater
//! knows what the operator has blocked and protects, how often each address was dialed, and how many connections each neighbourhood has;
//! what else it must know comes with the question. It looks up no names and changes nothing while it answers.
//!
//! | asked | checks, in this order |
//! |---|---|
//! | [`ConnectionGater::ask_dial`] | peer id there, peer blocked, banned, already connected, already dialing, address and subnet blocked, neighbourhood, redial limit |
//! | [`ConnectionGater::ask_connection`] | peer blocked, banned, address and subnet blocked, neighbourhood |
//!
//! A protected peer (trusted, static) passes the redial limit and the neighbourhood's bound; a block stops it like any other. The neighbourhood's
//! bound is ours to lift: strangers from a static peer's subnet could keep it out.
//!
//! Invariant: every set is bounded; `redials` and `by_start` hold the same addresses, and only `dialed` and `expire` touch their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use alloy_primitives::{B256, keccak256};

use super::subnet::{Cidr, Neighbours};
use crate::config::error::ConfigError;
use crate::id::PeerId;
use crate::time::Time;

/// Most peers, most addresses and most subnets that can be blocked, and most peers that can be protected; each by itself. Ours: as many as
/// peers are remembered (P7.6).
pub const MAX_GATER_ENTRIES: usize = 4096;
/// Most addresses whose dials are counted; beyond it the one whose period started first is forgotten. Ours, like [`MAX_GATER_ENTRIES`].
const MAX_REDIALS: usize = 4096;
/// Most addresses whose period is over that one dial lets go. Ours: each dial adds one, so they go sooner than they come, and no
/// dial walks over all.
const EXPIRED_AT_ONCE: usize = 16;

/// Configuration of a [`ConnectionGater`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GaterConfig {
    /// Dials per address in one period; `None` means unlimited. Default `None` (P8.1).
    pub redial_limit: Option<u32>,
    /// That period; it starts at the first dial after the last one ended. Default 1 h (P8.1).
    pub redial_period: Duration,
    /// Established connections from one IPv4 /24 or IPv6 /56. Default 8 (P8.3).
    pub max_per_neighbourhood: u32,
    /// Whether loopback, link-local and private ranges are exempt from it. Default true (P8.3).
    pub exempt_private: bool,
    /// Subnets that are blocked from the start. Default none (P8.1).
    pub blocked_subnets: Vec<Cidr>,
}

impl Default for GaterConfig {
    fn default() -> Self {
        Self {
            redial_limit: None,
            redial_period: Duration::from_secs(3600),
            max_per_neighbourhood: 8,
            exempt_private: true,
            blocked_subnets: Vec::new(),
        }
    }
}

impl GaterConfig {
    /// Does every value make sense?
    ///
    /// # Errors
    /// The first key that does not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds, key, value: String, allowed| if holds { Ok(()) } else { Err(ConfigError { key, value, allowed }) };
        rule(self.redial_limit != Some(0), "redial_limit", "0".to_owned(), "1 or more, or none for unlimited")?;
        let ok = !self.redial_period.is_zero() && self.redial_period <= Duration::from_secs(7 * 86_400);
        rule(ok, "redial_period", format!("{:?}", self.redial_period), "more than 0 s, at most 7 days")?;
        rule(self.max_per_neighbourhood > 0, "max_per_neighbourhood", "0".to_owned(), "1 or more")?;
        let len = self.blocked_subnets.len();
        rule(len <= MAX_GATER_ENTRIES, "blocked_subnets", format!("{len} of them"), "at most 4096 of them")
    }
}

/// Why the gater refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum GaterRefusal {
    /// The address names no peer, so we could not know whom we reached.
    #[error("the address names no peer")]
    NoPeerId,
    /// The operator has blocked the peer.
    #[error("the peer is blocked")]
    PeerBlocked,
    /// The peer is banned (P7.4).
    #[error("the peer is banned")]
    Banned,
    /// A connection with the peer is up already.
    #[error("the peer is connected already")]
    Connected,
    /// A dial to the peer is under way already.
    #[error("the peer is being dialed already")]
    Dialing,
    /// The operator has blocked the address.
    #[error("the address is blocked")]
    AddressBlocked,
    /// The operator has blocked the subnet.
    #[error("the subnet {0} is blocked")]
    SubnetBlocked(Cidr),
    /// P8.3: the address's neighbourhood has all the connections that it may have.
    #[error("its neighbourhood has {max} connections already")]
    NeighbourhoodFull {
        /// The bound.
        max: u32,
    },
    /// The address was dialed often enough for now.
    #[error("dialed {limit} times in this period already")]
    Redialed {
        /// The bound.
        limit: u32,
        /// When it may be dialed again.
        again_at: Time,
    },
}

impl GaterRefusal {
    /// The value of the metric label `gater`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoPeerId => "no_peer_id",
            Self::PeerBlocked => "peer_blocked",
            Self::Banned => "banned",
            Self::Connected => "connected",
            Self::Dialing => "dialing",
            Self::AddressBlocked => "address_blocked",
            Self::SubnetBlocked(_) => "subnet_blocked",
            Self::NeighbourhoodFull { .. } => "neighbourhood_full",
            Self::Redialed { .. } => "redialed",
        }
    }
}

/// No room for one more entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[error("{MAX_GATER_ENTRIES} entries already; remove one first")]
pub struct GaterFull;

/// What the peer table knows about a peer when it asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerState {
    /// A ban stands (P7.4).
    pub banned: bool,
    /// A connection is up.
    pub connected: bool,
    /// A dial is under way.
    pub dialing: bool,
}

/// An operator's lists, and the counts behind P8.1 and P8.3.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnectionGater {
    redial_limit: Option<u32>,
    redial_period: Duration,
    max_per_neighbourhood: u32,
    blocked_peers: BTreeSet<PeerId>,
    blocked_addresses: BTreeSet<IpAddr>,
    blocked_subnets: BTreeSet<Cidr>,
    protected: BTreeSet<PeerId>,
    neighbours: Neighbours,
    redials: BTreeMap<B256, Dials>,
    by_start: BTreeSet<(Time, B256)>,
}

/// Dials of one address in the period that started then.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Dials {
    start: Time,
    count: u32,
}

impl ConnectionGater {
    /// Most bytes that a gater can take beside its count of connections. A tree's nodes are at least a third full, hence the three.
    pub const MAX_BYTES: usize = size_of::<Self>()
        + 3 * MAX_GATER_ENTRIES * (2 * size_of::<PeerId>() + size_of::<IpAddr>() + size_of::<Cidr>())
        + 3 * MAX_REDIALS * (size_of::<(B256, Dials)>() + size_of::<(Time, B256)>());

    /// A gater as configured.
    ///
    /// # Errors
    /// A configuration value that makes no sense.
    pub fn new(config: &GaterConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            redial_limit: config.redial_limit,
            redial_period: config.redial_period,
            max_per_neighbourhood: config.max_per_neighbourhood,
            blocked_peers: BTreeSet::new(),
            blocked_addresses: BTreeSet::new(),
            blocked_subnets: config.blocked_subnets.iter().copied().collect(),
            protected: BTreeSet::new(),
            neighbours: Neighbours::new(config.max_per_neighbourhood, config.exempt_private),
            redials: BTreeMap::new(),
            by_start: BTreeSet::new(),
        })
    }

    /// May we dial this address? `address` is its text without the peer id, `ip` the IP address in it, unless it is a name.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn ask_dial(
        &self,
        now: Time,
        peer: Option<PeerId>,
        address: &str,
        ip: Option<IpAddr>,
        state: PeerState,
    ) -> Result<(), GaterRefusal> {
        let peer = peer.ok_or(GaterRefusal::NoPeerId)?;
        self.ask_peer(peer, state)?;
        if state.connected {
            return Err(GaterRefusal::Connected);
        }
        if state.dialing {
            return Err(GaterRefusal::Dialing);
        }
        self.ask_address(peer, ip)?;
        self.ask_redial(now, peer, address)
    }

    /// May a connection stay that has just come up, whoever opened it? Ask before [`ConnectionGater::opened`].
    ///
    /// # Errors
    /// The first reason against it.
    pub fn ask_connection(&self, peer: PeerId, ip: Option<IpAddr>, state: PeerState) -> Result<(), GaterRefusal> {
        self.ask_peer(peer, state)?;
        self.ask_address(peer, ip)
    }

    /// Counts a dial of an address that was let through; `address` is the keccak-256 of its text.
    pub fn dialed(&mut self, now: Time, address: B256) {
        if self.redial_limit.is_none() {
            return;
        }
        self.expire(now);
        let is_full = self.redials.len() >= MAX_REDIALS;
        match self.redials.get_mut(&address) {
            Some(dials) if now.since(dials.start) < self.redial_period => {
                dials.count = dials.count.saturating_add(1);
                return;
            }
            Some(over) => drop(self.by_start.remove(&(over.start, address))),
            None if is_full => {
                self.by_start.pop_first().map(|(_, oldest)| self.redials.remove(&oldest));
            }
            None => {}
        }
        self.redials.insert(address, Dials { start: now, count: 1 });
        self.by_start.insert((now, address));
    }

    /// Counts such a dial no longer: nothing went out. What a period since over counted counts no more.
    pub fn not_dialed(&mut self, address: B256) {
        if let Some(dials) = self.redials.get_mut(&address) {
            dials.count = dials.count.saturating_sub(1);
        }
    }

    /// Counts a connection that stays (P8.3).
    pub fn opened(&mut self, ip: IpAddr) {
        self.neighbours.add(ip);
    }

    /// Counts it no longer.
    pub fn closed(&mut self, ip: IpAddr) {
        self.neighbours.remove(ip);
    }

    /// The neighbourhood of an address; `None` where none is counted (P8.3).
    pub(crate) fn neighbourhood(&self, ip: IpAddr) -> Option<Cidr> {
        self.neighbours.neighbourhood(ip)
    }

    /// Who shares the bounds that hold for a neighbourhood (P5.1, C7): in a range where none is counted, each address by itself.
    pub(crate) fn neighbourhood_or_address(&self, ip: IpAddr) -> Cidr {
        self.neighbourhood(ip).unwrap_or_else(|| Cidr::around(ip, u8::MAX))
    }

    /// How many connections a neighbourhood has (P8.3).
    pub(crate) fn neighbourhood_count(&self, neighbourhood: Cidr) -> usize {
        self.neighbours.count(neighbourhood)
    }

    /// Blocks a peer. Says whether that is news.
    ///
    /// # Errors
    /// No room.
    pub fn block_peer(&mut self, peer: PeerId) -> Result<bool, GaterFull> {
        insert(&mut self.blocked_peers, peer)
    }

    /// Unblocks a peer. Says whether that is news.
    pub fn unblock_peer(&mut self, peer: PeerId) -> bool {
        self.blocked_peers.remove(&peer)
    }

    /// Blocks an address. Says whether that is news.
    ///
    /// # Errors
    /// No room.
    pub fn block_address(&mut self, ip: IpAddr) -> Result<bool, GaterFull> {
        insert(&mut self.blocked_addresses, ip.to_canonical())
    }

    /// Unblocks an address. Says whether that is news.
    pub fn unblock_address(&mut self, ip: IpAddr) -> bool {
        self.blocked_addresses.remove(&ip.to_canonical())
    }

    /// Blocks a subnet. Says whether that is news.
    ///
    /// # Errors
    /// No room.
    pub fn block_subnet(&mut self, subnet: Cidr) -> Result<bool, GaterFull> {
        insert(&mut self.blocked_subnets, subnet)
    }

    /// Unblocks a subnet. Says whether that is news.
    pub fn unblock_subnet(&mut self, subnet: Cidr) -> bool {
        self.blocked_subnets.remove(&subnet)
    }

    /// Protects a peer. Says whether that is news.
    ///
    /// # Errors
    /// No room.
    pub fn protect(&mut self, peer: PeerId) -> Result<bool, GaterFull> {
        insert(&mut self.protected, peer)
    }

    /// Protects a peer no longer. Says whether that is news.
    pub fn unprotect(&mut self, peer: PeerId) -> bool {
        self.protected.remove(&peer)
    }

    /// Is the peer protected?
    pub fn is_protected(&self, peer: PeerId) -> bool {
        self.protected.contains(&peer)
    }

    /// Is the peer blocked?
    pub fn is_blocked(&self, peer: PeerId) -> bool {
        self.blocked_peers.contains(&peer)
    }

    /// Blocked peers, in order.
    pub fn blocked_peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.blocked_peers.iter().copied()
    }

    /// Blocked addresses, in order.
    pub fn blocked_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.blocked_addresses.iter().copied()
    }

    /// Blocked subnets, in order.
    pub fn blocked_subnets(&self) -> impl Iterator<Item = Cidr> + '_ {
        self.blocked_subnets.iter().copied()
    }

    /// Protected peers, in order.
    pub fn protected_peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.protected.iter().copied()
    }

    fn ask_peer(&self, peer: PeerId, state: PeerState) -> Result<(), GaterRefusal> {
        if self.blocked_peers.contains(&peer) {
            return Err(GaterRefusal::PeerBlocked);
        }
        if state.banned { Err(GaterRefusal::Banned) } else { Ok(()) }
    }

    fn ask_address(&self, peer: PeerId, ip: Option<IpAddr>) -> Result<(), GaterRefusal> {
        // A name has no address yet: it is asked about again when the connection shows one.
        let Some(ip) = ip.map(|ip| ip.to_canonical()) else { return Ok(()) };
        if self.blocked_addresses.contains(&ip) {
            return Err(GaterRefusal::AddressBlocked);
        }
        if let Some(subnet) = self.blocking_subnet(ip) {
            return Err(GaterRefusal::SubnetBlocked(subnet));
        }
        if !self.is_protected(peer) && !self.neighbours.has_room(ip) {
            return Err(GaterRefusal::NeighbourhoodFull { max: self.max_per_neighbourhood }); // P8.3
        }
        Ok(())
    }

    /// One look-up for each prefix length, however many subnets are blocked.
    fn blocking_subnet(&self, ip: IpAddr) -> Option<Cidr> {
        if self.blocked_subnets.is_empty() {
            return None;
        }
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        (0..=bits).map(|prefix| Cidr::around(ip, prefix)).find(|block| self.blocked_subnets.contains(block))
    }

    fn ask_redial(&self, now: Time, peer: PeerId, address: &str) -> Result<(), GaterRefusal> {
        let Some(limit) = self.redial_limit else { return Ok(()) };
        // P8.1: protected peers pass the redial limit.
        if self.is_protected(peer) {
            return Ok(());
        }
        match self.redials.get(&keccak256(address)) {
            Some(dials) if dials.count >= limit && now.since(dials.start) < self.redial_period => {
                Err(GaterRefusal::Redialed { limit, again_at: dials.start.after(self.redial_period) })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn expire(&mut self, now: Time) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some((start, key)) = self.by_start.first().copied().filter(|(start, _)| now.since(*start) >= self.redial_period) else {
                break;
            };
            self.by_start.remove(&(start, key));
            self.redials.remove(&key);
        }
    }
}

fn insert<T: Ord>(set: &mut BTreeSet<T>, entry: T) -> Result<bool, GaterFull> {
    if set.len() >= MAX_GATER_ENTRIES && !set.contains(&entry) { Err(GaterFull) } else { Ok(set.insert(entry)) }
}

#[cfg(test)]
mod tests;
