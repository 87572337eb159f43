//! What lies between the nodes: lines as TCP shows them.
//!
//! Bytes arrive in order or not at all. A segment that is lost is sent again after a time-out, and holds up what is behind it. A node's uplink
//! and downlink carry so many bytes a second for all of its connections together; a connection carries at most a window that nobody has read.
//! A cut holds what is sent; when it heals in time it arrives, else the connection times out. A node that crashes answers with a reset; one
//! whose power fails answers nothing, and its peers find out by themselves.
//!
//! [`Net`] is a value that the world moves on: nothing here waits. Streams and dials are futures on it ([`VirtualTransport`]).

mod connection;
mod queue;
mod stream;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use libp2p_core::transport::ListenerId;
use multiaddr::{Multiaddr, Protocol};
use preconf_sim::Dice;
use twox_hash::XxHash3_64;

use self::connection::{Connection, Side};
use self::queue::{Event, Queue};
use crate::NodeId;

pub use self::stream::VirtualStream;
pub use self::transport::VirtualTransport;

/// The port on which every node listens.
const PORT: u16 = 9222;
/// The first port that a node dials from, less one.
const FIRST_PORT: u16 = 40_000;
/// What the headers of a segment weigh on a line, and an empty segment as a whole. Source: IPv4 and TCP without options.
const HEADER_BYTES: usize = 40;
/// How long TCP waits before it sends a lost segment again; twice as long each time. Source: Linux's least (TCP_RTO_MIN).
const RESEND_AFTER: u64 = 200 * MILLI;
/// Sends before a segment goes through whatever the dice say: a line that loses everything is a cut, which is another fault.
const MOST_RESENDS: u32 = 8;
/// A peer whose power failed is found dead by TCP itself after so long. Source: Linux's usual fifteen minutes of resends (tcp_retries2).
const SILENCE_ENDS: u64 = 15 * 60 * SECOND;

pub(crate) const MILLI: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// What all lines are like.
#[derive(Clone, Debug)]
pub struct Lines {
    /// One way between two nodes takes so long: each pair has its own, between least and most.
    pub latency: (Duration, Duration),
    /// A segment may take longer: so often in a million, by up to so long.
    pub tail: (u32, Duration),
    /// A segment is lost so often in a million.
    pub loss: u32,
    /// Bytes a second that a node sends, and receives; `None` when nothing else is narrower.
    pub bandwidth: (Option<u64>, Option<u64>),
    /// Bytes of one direction of a connection that may be under way unread.
    pub window: usize,
    /// How long a cut may last before a connection with bytes under way times out.
    pub stall: Duration,
    /// How long a dial may take.
    pub dial: Duration,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            latency: (Duration::from_millis(5), Duration::from_millis(50)),
            tail: (0, Duration::ZERO),
            loss: 0,
            bandwidth: (None, None),
            window: 1 << 20,
            stall: Duration::from_secs(20),
            dial: Duration::from_secs(10),
        }
    }
}

/// What has passed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Traffic {
    /// Bytes of connections, headers not counted.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Segments that were lost, each time that they were.
    pub lost: u64,
    /// Dials.
    pub dials: u64,
    /// Connections that did not end as their ends wanted.
    pub resets: u64,
}

/// A node's place on the net.
#[derive(Default)]
struct Host {
    listener: Option<ListenerId>,
    /// The listener's address is still to be told.
    is_new: bool,
    incoming: std::collections::VecDeque<usize>,
    waker: Option<Waker>,
    uplink_free_at: u64,
    downlink_free_at: u64,
    dialed: u16,
}

/// All lines, and what is on them.
pub struct Net {
    lines: Lines,
    seed: u64,
    dice: Dice,
    queue: Queue,
    hosts: BTreeMap<NodeId, Host>,
    connections: Vec<Connection>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    traffic: Traffic,
    digest: XxHash3_64,
}

/// The net, as all streams share it. Nothing ever waits for the lock: there is one thread.
pub(crate) type SharedNet = Arc<Mutex<Net>>;

pub(crate) fn lock(net: &SharedNet) -> MutexGuard<'_, Net> {
    net.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A node's address.
pub fn address_of(node: NodeId) -> Multiaddr {
    Multiaddr::empty().with(Protocol::Ip4(ip_of(node))).with(Protocol::Tcp(PORT))
}

/// Every node in a neighbourhood of its own (P8.3), and in public.
fn ip_of(node: NodeId) -> Ipv4Addr {
    let [.., high, low] = (node as u32 + 1).to_be_bytes();
    Ipv4Addr::new(45, high, low, 1)
}

fn node_of(address: &Multiaddr) -> Option<NodeId> {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(PORT))) => {
            let [_, high, low, _] = ip.octets();
            (usize::from(high) << 8 | usize::from(low)).checked_sub(1)
        }
        _ => None,
    }
}

/// Two nodes, the lower one first.
fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

impl Net {
    /// Lines of which nobody is at the end yet.
    pub fn new(lines: Lines, seed: u64) -> Self {
        Self {
            lines,
            seed,
            dice: Dice::new(seed),
            queue: Queue::default(),
            hosts: BTreeMap::new(),
            connections: Vec::new(),
            cuts: BTreeSet::new(),
            traffic: Traffic::default(),
            digest: XxHash3_64::new(),
        }
    }

    /// What has passed so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// What identifies every byte that arrived, where and when.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// When something happens next.
    pub fn next_event(&self) -> Option<u64> {
        self.queue.next()
    }

    /// How long one way takes between two nodes.
    fn latency_of(&self, a: NodeId, b: NodeId) -> u64 {
        let (least, most) = self.lines.latency;
        let (a, b) = pair(a, b);
        let mut dice = Dice::new(self.seed ^ ((a as u64) << 40 | (b as u64) << 16 | 0xba5e));
        nanos(dice.span(&(least..most)))
    }

    /// How long one segment takes on a line with this latency.
    fn travel_time(&mut self, latency: u64) -> u64 {
        let (share, most) = self.lines.tail;
        let mut takes = latency;
        if self.dice.chance(share) {
            takes += nanos(self.dice.span(&(Duration::ZERO..most)));
        }
        let mut resend = RESEND_AFTER;
        for _ in 0..MOST_RESENDS {
            if !self.dice.chance(self.lines.loss) {
                break;
            }
            self.traffic.lost += 1;
            takes += resend;
            resend *= 2;
        }
        takes
    }

    fn is_cut(&self, a: NodeId, b: NodeId) -> bool {
        self.cuts.contains(&pair(a, b))
    }

    /// Nothing passes between two nodes any more.
    pub fn cut(&mut self, a: NodeId, b: NodeId) {
        self.cuts.insert(pair(a, b));
    }

    /// It passes again, and what was held goes on its way.
    pub fn heal(&mut self, now: u64, a: NodeId, b: NodeId) {
        self.cuts.remove(&pair(a, b));
        for at in 0..self.connections.len() {
            let Connection { nodes, .. } = self.connections[at];
            if pair(nodes[0], nodes[1]) != pair(a, b) {
                continue;
            }
            for side in Side::BOTH {
                let held = std::mem::take(&mut self.connections[at].half_mut(side).held);
                // Where the sender stands between two resends.
                let again = now + self.dice.below(SECOND);
                for (len, event) in held {
                    self.depart(again, at, side, len, event);
                }
            }
        }
    }

    /// Resets one connection, by dice, where there is any. Gives who must hear of it.
    pub fn reset_one(&mut self) -> Vec<Waker> {
        let open: Vec<usize> = (0..self.connections.len()).filter(|at| self.connections[*at].is_open()).collect();
        let mut woken = Vec::new();
        if let Some(at) = open.get(usize::try_from(self.dice.below(open.len() as u64)).unwrap_or(0)) {
            self.reset(*at, io::ErrorKind::ConnectionReset, &mut woken);
        }
        woken
    }

    /// A node is gone, its sockets with it. Its kernel answers with resets, or, where its power failed, nobody answers.
    pub fn crash(&mut self, now: u64, node: NodeId, is_silent: bool) {
        let host = self.hosts.entry(node).or_default();
        *host =
            Host { uplink_free_at: host.uplink_free_at, downlink_free_at: host.downlink_free_at, dialed: host.dialed, ..Host::default() };
        for at in 0..self.connections.len() {
            let connection = &mut self.connections[at];
            let Some(side) = connection.side_of(node).filter(|_| connection.is_alive) else { continue };
            connection.abandon(side);
            let after = if is_silent { SILENCE_ENDS } else { connection.latency };
            self.queue.push(now + after, Event::Reset(at));
        }
    }

    /// Sends something on a connection, in order behind what was sent before.
    fn send(&mut self, now: u64, at: usize, side: Side, len: usize, event: Event) {
        let Connection { nodes: [a, b], .. } = self.connections[at];
        if !self.is_cut(a, b) {
            return self.depart(now, at, side, len, event);
        }
        let half = self.connections[at].half_mut(side);
        let is_first = half.held.is_empty();
        half.held.push((len, event));
        if is_first {
            half.holds += 1;
            let asks = Event::StillHeld(at, side, half.holds);
            self.queue.push(now + nanos(self.lines.stall), asks);
        }
    }

    fn depart(&mut self, now: u64, at: usize, side: Side, len: usize, event: Event) {
        self.traffic.segments += 1;
        self.traffic.bytes += len as u64;
        let Connection { nodes, latency, .. } = self.connections[at];
        let (from, to) = (nodes[side.index()], nodes[side.other().index()]);
        let (up, down) = self.lines.bandwidth;
        let left = self.pass(now, from, up, len, |host| &mut host.uplink_free_at);
        let travelled = left + self.travel_time(latency);
        let half = self.connections[at].half(side);
        let in_order = travelled.max(half.last_arrival + 1);
        let arrives = self.pass(in_order, to, down, len, |host| &mut host.downlink_free_at);
        self.connections[at].half_mut(side).last_arrival = arrives;
        self.queue.push(arrives, event);
    }

    /// When so many bytes, ready at a time, have passed a node's link.
    fn pass(&mut self, ready: u64, node: NodeId, bandwidth: Option<u64>, len: usize, free_at: impl Fn(&mut Host) -> &mut u64) -> u64 {
        let Some(bandwidth) = bandwidth else { return ready };
        let free_at = free_at(self.hosts.entry(node).or_default());
        *free_at = ready.max(*free_at) + (len + HEADER_BYTES) as u64 * SECOND / bandwidth.max(1);
        *free_at
    }

    fn reset(&mut self, at: usize, kind: io::ErrorKind, woken: &mut Vec<Waker>) {
        let connection = &mut self.connections[at];
        if connection.is_alive {
            self.traffic.resets += u64::from(connection.error.is_none());
            connection.fail(kind, woken);
        }
    }

    /// Lets the next thing happen that is due, and gives who must hear of it. `None` when nothing is due.
    pub fn step(&mut self, now: u64) -> Option<Vec<Waker>> {
        let (at_time, event) = self.queue.pop_due(now)?;
        let mut woken = Vec::new();
        match event {
            Event::Knock(at) => {
                let callee = self.connections[at].nodes[1];
                let latency = self.connections[at].latency;
                match self.hosts.get_mut(&callee).filter(|host| host.listener.is_some()) {
                    Some(host) => {
                        host.incoming.push_back(at);
                        woken.extend(host.waker.take());
                        self.send(at_time, at, Side::Callee, 0, Event::Answer(at));
                    }
                    None => self.queue.push(at_time + latency, Event::DialFails(at, io::ErrorKind::ConnectionRefused)),
                }
            }
            Event::Answer(at) => {
                let connection = &mut self.connections[at];
                connection.is_established = true;
                woken.extend(connection.dialer.take());
            }
            Event::DialFails(at, kind) => {
                if !self.connections[at].is_established {
                    self.reset(at, kind, &mut woken);
                }
            }
            Event::Data(at, side) => self.arrive(at_time, at, side, &mut woken),
            Event::End(at, side) => {
                let half = self.connections[at].half_mut(side.other());
                half.is_at_end = true;
                woken.extend(half.reader.take());
            }
            Event::Reset(at) => self.reset(at, io::ErrorKind::ConnectionReset, &mut woken),
            Event::StillHeld(at, side, nth) => {
                let half = self.connections[at].half(side);
                if half.holds == nth && !half.held.is_empty() {
                    self.reset(at, io::ErrorKind::TimedOut, &mut woken);
                }
            }
        }
        Some(woken)
    }

    fn arrive(&mut self, now: u64, at: usize, side: Side, woken: &mut Vec<Waker>) {
        let connection = &mut self.connections[at];
        let Some((_, bytes)) = connection.half_mut(side).sent.pop_front() else { return }; // it was reset on the way
        self.digest.write_u64(now);
        self.digest.write_usize(at << 1 | side.index());
        self.digest.write(&bytes);
        let receiver = connection.half_mut(side.other());
        if !receiver.is_dropped {
            receiver.arrived.push_back(bytes);
            woken.extend(receiver.reader.take());
        } else if connection.is_alive && !std::mem::replace(&mut connection.is_reset_sent, true) {
            let latency = connection.latency;
            self.queue.push(now + latency, Event::Reset(at)); // nobody reads there any more
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_ends_a_connection_by_its_own_length_and_not_by_that_of_an_earlier_one() {
        let mut net = Net::new(Lines::default(), 1);
        net.connections.push(Connection::new(0, 1, FIRST_PORT, MILLI));
        let settle = |net: &mut Net, until: u64| while net.step(until).is_some() {};
        net.cut(0, 1);
        net.send(SECOND, 0, Side::Caller, 0, Event::Answer(0));
        net.heal(5 * SECOND, 0, 1);
        settle(&mut net, 10 * SECOND);
        net.cut(0, 1);
        net.send(15 * SECOND, 0, Side::Caller, 0, Event::Answer(0));
        settle(&mut net, 34 * SECOND);
        assert_eq!(net.connections[0].error, None, "the first would have ended it at 21 s");
        settle(&mut net, 35 * SECOND);
        assert_eq!(net.connections[0].error, Some(io::ErrorKind::TimedOut));
    }
}
