//! At which address do others see this node (P8.11)?
//!
//! Every peer says at which address our connection to it comes in. One alone may lie, or stand in our own network; so only peers that we
//! dialed have a say, one for each neighbourhood, and enough of them must agree. A node that learned its address this way tells discovery,
//! which writes it into the record. The port is never learned: a connection that we open comes from a port that nobody listens on.
//!
//! | observation | counts |
//! |---|---|
//! | of a peer that came to us, or whose address is unknown | no: who comes in numbers must not decide |
//! | of a peer nearby (private) on a public address, or the other way round | no: it sees another side of us |
//! | of a peer that we reach over IPv6 on an IPv4 address, or the other way round | no: it cannot know, and has many more neighbourhoods |
//! | unspecified, multicast, broadcast; private unless configured | no: it is no address in a record (P8.7) |
//! | of a second peer of one neighbourhood | in place of the first one's |
//! | older than [`OBSERVATION_LASTS`] | no longer |

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::discovery::record::is_unicast;
use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;
use crate::peer::subnet::{Cidr, is_private};
use crate::time::{Now, Time};

/// Neighbourhoods that must agree. Ours: two that a liar can have by chance, and one more.
const ENOUGH: usize = 3;
/// How long an observation counts. Ours: twice as long as identify takes to say it again.
const OBSERVATION_LASTS: Duration = Duration::from_secs(600);
/// Most observations that are kept, the oldest out first. Ours: more than the connections of any preset (P8.2), so that who repeats itself often
/// drives nobody else's out.
pub(crate) const MAX_OBSERVATIONS: usize = 256;
/// Shortest time between two addresses told to discovery, for each family. Ours: as long as a record takes to spread.
const ADVERTISE_EVERY: Duration = Duration::from_secs(300);

/// What peers said.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ObservedAddresses {
    observations: BTreeMap<Cidr, Observation>,
    /// When an address was advertised last, for each family.
    advertised4: Option<Time>,
    advertised6: Option<Time>,
}

/// What a neighbourhood said last.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Observation {
    at: Time,
    address: IpAddr,
}

impl ObservedAddresses {
    pub(crate) fn len(&self) -> usize {
        self.observations.len()
    }

    fn observe(&mut self, now: Time, from: Cidr, address: IpAddr) {
        self.observations.insert(from, Observation { at: now, address });
        self.observations.retain(|_, observation| now.since(observation.at) < OBSERVATION_LASTS);
        if self.observations.len() > MAX_OBSERVATIONS
            && let Some(oldest) = self.observations.iter().min_by_key(|(_, observation)| observation.at).map(|(from, _)| *from)
        {
            self.observations.remove(&oldest);
        }
    }

    /// Do enough agree on this address, and more than on all others of its family together?
    fn is_agreed(&self, address: IpAddr) -> bool {
        let family = self.observations.values().filter(|observation| observation.address.is_ipv4() == address.is_ipv4());
        let (agree, differ) = family.fold(
            (0, 0),
            |(agree, differ), observation| if observation.address == address { (agree + 1, differ) } else { (agree, differ + 1) },
        );
        agree >= ENOUGH && agree > differ
    }
}

impl Core {
    /// A peer says where it sees us.
    pub(crate) fn address_observed(&mut self, now: Now, peer: PeerId, address: IpAddr) {
        let Some(config) = self.cx.config.discovery else { return };
        let address = address.to_canonical();
        let Some(from) = self.peers.dialed_at(&peer) else { return };
        let same_side = is_private(from) == is_private(address) && from.is_ipv4() == address.is_ipv4();
        if !same_side || !is_unicast(address) || (is_private(address) && !config.accept_private) {
            return;
        }
        let block = self.gater.neighbourhood(from).unwrap_or_else(|| Cidr::around(from, u8::MAX));
        let observed = &mut self.discovery.observed;
        observed.observe(now.mono, block, address);
        if !observed.is_agreed(address) {
            return;
        }
        let advertised = if address.is_ipv4() { &mut observed.advertised4 } else { &mut observed.advertised6 };
        // Again, though it be the same: others may have voted for another one meanwhile.
        if advertised.is_none_or(|at| now.mono.since(at) >= ADVERTISE_EVERY) {
            *advertised = Some(now.mono);
            self.cx.act(Action::AdvertiseAddress { address });
        }
    }
}
