//! Connections, and what our operator does about them.

use std::net::IpAddr;
use std::sync::LazyLock;

use preconf_core::{
    ChainLabel, Cidr, Command, ConnectionId, DialFailure, DialId, Direction, Input, NodeRecord, PeerId, SupportedProtocols, Topic, Update,
};

use super::bench::{Bench, Link};
use super::material::CHAIN;
use super::moves::PEERS;

/// How addresses look that can be dialed; a peer's id goes where the braces are.
const DIALS: [&str; 8] = [
    "/ip4/203.0.113.1/tcp/4001/p2p/{}",
    "/ip6/2001:db8::5/tcp/4001/p2p/{}",
    "/dns4/example.org/tcp/4001/p2p/{}/",
    "/ip4/203.0.113.1/udp/4001/quic-v1/p2p/{}",
    "/ip4/203.0.113.2/tcp/4001",
    "/ip4/999.0.0.1/tcp/4001/p2p/0",
    "",
    "/ip4/192.0.2.1/tcp/1/p2p/{}/p2p-circuit/p2p/{}",
];
/// Where connections come from: neighbours, others, and one without an address.
const ADDRESSES: [Option<&str>; 10] = [
    Some("203.0.113.1"),
    Some("203.0.113.2"),
    Some("203.0.113.3"),
    Some("::ffff:203.0.113.4"),
    Some("2001:db8::5"),
    Some("2001:db8::6"),
    Some("10.0.0.1"),
    None,
    Some("198.51.100.1"),
    Some("192.0.2.1"),
];
const FAILURES: [DialFailure; 4] = [DialFailure::Unreachable, DialFailure::WrongPeer, DialFailure::Undialable, DialFailure::Denied];
const SUBNETS: [&str; 4] = ["203.0.113.0/24", "2001:db8::/32", "10.0.0.0/8", "0.0.0.0/0"];

/// A peer's id.
pub(crate) fn peer(name: usize) -> PeerId {
    static IDS: LazyLock<[PeerId; PEERS]> =
        LazyLock::new(|| std::array::from_fn(|name| PeerId::from_bytes(&[0, 4, 8, 2, 18, name as u8]).expect("six bytes")));
    IDS[name]
}

/// A peer's address in one of its forms.
pub(crate) fn dial_address(peer: PeerId, form: usize) -> String {
    DIALS[form % DIALS.len()].replace("{}", &peer.to_string())
}

fn address(which: usize) -> Option<IpAddr> {
    ADDRESSES[which % ADDRESSES.len()].map(|text| text.parse().expect("an address"))
}

impl Bench {
    /// A peer connects, says that it speaks everything and joins both topics.
    pub(crate) fn connect(&mut self, peer: PeerId) {
        self.open(peer, 7, None);
        self.identify(peer, 0);
        for topic in Topic::ALL {
            self.input(Input::PeerSubscribed { peer, topic });
        }
    }

    /// A connection from one of the addresses.
    pub(crate) fn open(&mut self, peer: PeerId, which: u8, dial: Option<DialId>) {
        let connection = ConnectionId(self.mint());
        let address = address(usize::from(which));
        self.links.push(Link { connection, peer, dialed_at: address.filter(|_| dial.is_some()) });
        let direction = if dial.is_some() { Direction::Outbound } else { Direction::Inbound };
        self.input(Input::ConnectionOpened { peer, connection, direction, address, dial });
    }

    pub(crate) fn identify(&mut self, peer: PeerId, how: u8) {
        let bit = |at: u8| how & (1 << at) == 0;
        let protocols = SupportedProtocols { get_head: bit(0), get_commitments: bit(1), get_txlist: bit(2), gossip: bit(3) };
        self.input(Input::PeerIdentified { peer, protocols });
    }

    pub(crate) fn address_seen(&mut self, peer: PeerId, which: u8) {
        if let Some(address) = address(usize::from(which)) {
            for from in self.links.iter().filter(|link| link.peer == peer).filter_map(|link| link.dialed_at) {
                self.oracle.hears_address(from, address);
            }
            self.input(Input::AddressObserved { peer, address });
        }
    }

    pub(crate) fn subscribe(&mut self, peer: PeerId, which: u8, how: u8) {
        let topic = Topic::ALL[usize::from(which) % 2];
        self.input(if how.is_multiple_of(2) { Input::PeerSubscribed { peer, topic } } else { Input::PeerUnsubscribed { peer, topic } });
    }

    /// All connections of a peer close.
    pub(crate) fn close(&mut self, peer: PeerId) {
        let of_peer = self.links.iter().filter(|link| link.peer == peer).map(|link| link.connection);
        for connection in of_peer.collect::<Vec<_>>() {
            self.close_connection(connection);
        }
    }

    pub(crate) fn close_connection(&mut self, connection: ConnectionId) {
        if let Some(at) = self.links.iter().position(|link| link.connection == connection) {
            let Link { peer, .. } = self.links.remove(at);
            self.input(Input::ConnectionClosed { peer, connection });
        }
    }

    pub(crate) fn dial(&mut self, to: PeerId, which: u8) {
        self.command(Command::Dial { address: dial_address(to, usize::from(which)) });
    }

    /// Nobody answers, or who was meant does, or somebody else.
    pub(crate) fn dial_ends(&mut self, which: usize, how: u8) {
        if self.dials.is_empty() {
            return;
        }
        let (dial, peer_meant) = self.dials.remove(which % self.dials.len());
        match how % 4 {
            0 => self.input(Input::DialFailed { dial, failure: FAILURES[usize::from(how / 4) % FAILURES.len()] }),
            1 | 2 => self.open(peer_meant, how, Some(dial)),
            _ => self.open(peer(usize::from(how) % 8), how, Some(dial)),
        }
    }

    /// As discovery reads it: of our chain, of another, or of none; with addresses that are good for something, or not.
    pub(crate) fn record_found(&mut self, peer: PeerId, which: u8, how: u8) {
        let chain = match how % 4 {
            0 | 1 => ChainLabel::Chain(CHAIN),
            2 => ChainLabel::Missing,
            _ => ChainLabel::Unreadable,
        };
        let addresses = (0..usize::from(how / 32)).map(|form| DIALS[(usize::from(which) + form) % DIALS.len()].replace("/p2p/{}", ""));
        let (sequence, text) = (u64::from(how), "enr:".repeat(1 + 100 * usize::from(which / 128)));
        let record = NodeRecord { peer, sequence, chain, addresses: addresses.collect(), text };
        self.input(Input::RecordFound { record: Box::new(record) });
    }

    pub(crate) fn look_up_ends(&mut self, how: u8) {
        if let Some(lookup) = self.lookups.pop() {
            self.input(Input::LookupFinished { lookup, succeeded: how.is_multiple_of(2) });
        }
    }

    pub(crate) fn operate(&mut self, peer: PeerId, which: u8, how: u8) {
        let address = address(usize::from(how)).unwrap_or([0, 0, 0, 0].into());
        let subnet: Cidr = SUBNETS[usize::from(how) % SUBNETS.len()].parse().expect("a subnet");
        self.update(match which % 12 {
            0 => Update::Disconnect { peer },
            1 => Update::BlockPeer { peer },
            2 => Update::UnblockPeer { peer },
            3 => Update::BlockAddress { address },
            4 => Update::UnblockAddress { address },
            5 => Update::BlockSubnet { subnet },
            6 => Update::UnblockSubnet { subnet },
            7 => Update::Protect { peer },
            8 => Update::Unprotect { peer },
            9 => Update::Trust { peer },
            10 => Update::Distrust { peer },
            _ => Update::LiftBan { peer },
        });
    }
}
