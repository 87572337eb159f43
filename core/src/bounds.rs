//! How much memory can a node take (P10.1, P10.3)?
//!
//! [`memory_bound`] sums up what every table may hold under a configuration; [`Core::memory_bytes`] what they hold now, with the same cost
//! for each entry. Payloads (txlists, our own messages) are counted by their bytes, as they change; entries by number times cost.
//!
//! Not counted: what libp2p holds, and what the application keeps of events that it has taken.

use alloy_primitives::B256;

use crate::chain::ChainState;
use crate::config::Config;
use crate::cost::{TIMER, entry};
use crate::cx::MAX_OUTPUTS_WAITING;
use crate::discovery::candidates::{Candidate, MAX_CANDIDATES};
use crate::discovery::observed::{MAX_OBSERVATIONS, Observation};
use crate::discovery::record::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_RECORD_BYTES};
use crate::id::{ConnectionId, DialId, PeerId};
use crate::machine::Core;
use crate::output::{MAX_OUTPUTS_PER_STEP, Output};
use crate::peer::conduct::ScoreRules;
use crate::peer::connections::{MAX_CONNECTED, MAX_CONNECTIONS_PER_PEER};
use crate::peer::gater::{ConnectionGater, MAX_GATER_ENTRIES};
use crate::peer::ledger::Ledger;
use crate::peer::limit::{ByteBudget, Limiter};
use crate::peer::outbound_limiter::OutboundLimiter;
use crate::peer::remembered::MAX_REMEMBERED;
use crate::peer::reputation::Account;
use crate::peer::subnet::Cidr;
use crate::peer::table::{Connected, ConnectionInfo};
use crate::publish::committed::OwnCommitments;
use crate::publish::inquiry::MAX_INQUIRY_ITEMS;
use crate::publish::outbox::Outbox;
use crate::publish::receipts::Receipts;
use crate::request::Requests;
use crate::request::room::Room;
use crate::request::user_pages::UserPages;
use crate::schedule::{MAX_WINDOWS, Window};
use crate::sync::{CatchUp, MAX_PAGE_ITEMS, MAX_PAGE_ITEMS_JUDGED};
use crate::time::Time;
use crate::txlists::TxLists;
use crate::unread::Unread;

const CONNECTED: usize = entry::<PeerId, Connected>()
    + MAX_CONNECTIONS_PER_PEER * (entry::<ConnectionId, ConnectionInfo>() + entry::<Cidr, usize>() + TIMER)
    + 3 * TIMER;
/// A dial under way.
const DIAL: usize = entry::<DialId, [u64; 16]>();
/// A node that discovery found, its addresses and its record among it.
const CANDIDATE: usize = entry::<PeerId, Candidate>()
    + MAX_ADDRESSES * (size_of::<String>() + MAX_ADDRESS_BYTES + size_of::<Option<Cidr>>() + entry::<Cidr, usize>())
    + MAX_RECORD_BYTES;
/// What the operator's lists may take. Counted whole from the start, as they are the operator's own and small.
const LISTS: usize = ConnectionGater::MAX_BYTES + MAX_GATER_ENTRIES * entry::<PeerId, ()>();

/// The static peers of a configuration, counted likewise.
fn statics(config: &Config) -> usize {
    let addresses: usize = config.static_peers.iter().map(String::len).sum();
    2 * addresses + config.static_peers.len() * (entry::<PeerId, [u64; 12]>() + 2 * size_of::<String>() + TIMER)
}

/// What is known of a remembered peer's conduct.
const ACCOUNT: usize =
    Ledger::MAX_BYTES + entry::<PeerId, Account>() + entry::<(bool, Time, PeerId), ()>() + TIMER + size_of::<ScoreRules>();

/// What a remembered peer may still ask of us, and we of it.
fn allowances(config: &Config) -> usize {
    let limits = 3 * (2 * size_of::<Limiter>() + OutboundLimiter::max_bytes(&config.request_limit)) + 2 * size_of::<ByteBudget>();
    2 * limits + entry::<PeerId, [u64; 4]>() + entry::<(bool, Time, PeerId), ()>()
}

/// The most bytes that a node's machine holds under a configuration.
///
/// ```
/// use preconf_core::{ChainId, Config, memory_bound};
/// let config = Config::new(ChainId(1));
/// let small = Config { max_txlist_bytes: 64 << 20, ..config.clone() };
/// assert_eq!(memory_bound(&config) - memory_bound(&small), 192 << 20);
/// ```
pub fn memory_bound(config: &Config) -> usize {
    size_of::<Core>()
        // Beside the pages under way, what an ended run left behind, and the one commitment before a child of which each request may ask.
        + ChainState::max_bytes(config, MAX_PAGE_ITEMS_JUDGED + MAX_PAGE_ITEMS + MAX_INQUIRY_ITEMS + config.max_requests)
        + TxLists::max_bytes(config, MAX_CONNECTED)
        + Outbox::max_bytes(config)
        + OwnCommitments::max_bytes(config)
        + Receipts::MAX_BYTES
        + config.max_commitments * entry::<B256, ()>() // txlists that came from storage
        + Requests::max_bytes(config)
        + 2 * config.max_requests * UserPages::PAGE
        + Room::max_bytes(config)
        + CatchUp::max_bytes(MAX_CONNECTED)
        + Unread::MAX_BYTES
        + MAX_WINDOWS * entry::<u64, Window>()
        + MAX_REMEMBERED * (ACCOUNT + allowances(config))
        + MAX_CONNECTED * CONNECTED
        + config.connections.pending_out as usize * DIAL
        + config.discovery.map_or(0, |_| MAX_CANDIDATES * CANDIDATE + config.connections.pending_out as usize * entry::<DialId, ()>())
        + config.discovery.map_or(0, |_| (MAX_OBSERVATIONS + 1) * entry::<Cidr, Observation>())
        + LISTS
        + statics(config)
        + (MAX_OUTPUTS_WAITING + MAX_OUTPUTS_PER_STEP) * size_of::<Output>()
}

impl Core {
    /// The bytes that the machine holds now, counted as in [`memory_bound`], which they never pass (P10.3).
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.chain.bytes()
            + self.txlists.bytes()
            + self.outbox.bytes()
            + self.own.bytes()
            + Receipts::MAX_BYTES
            + self.restored_txlists.len() * entry::<B256, ()>()
            + self.requests.bytes()
            + self.user_pages.len() * UserPages::PAGE
            + self.room.bytes()
            + self.catch_up.bytes()
            + Unread::MAX_BYTES
            + self.schedule.len() * entry::<u64, Window>()
            + self.reputation.len() * ACCOUNT
            + self.peers.remembered() * allowances(&self.cx.config)
            + self.peers.len() * CONNECTED
            + self.dials.under_way() * DIAL
            + self.discovery.candidates.len() * CANDIDATE
            + self.discovery.dialing.len() * entry::<DialId, ()>()
            + self.discovery.observed.len() * entry::<Cidr, Observation>()
            + LISTS
            + statics(&self.cx.config)
            + self.cx.outputs_waiting() * size_of::<Output>()
    }
}
