//! The machine: owns the parts and dispatches one step. No protocol rule lives here.
//!
//! Invariant: between two calls every part is consistent with the others; nothing is half applied. What takes long is out as a job or a
//! request, and the table that waits for it has a bound.

use std::collections::BTreeSet;

use alloy_primitives::B256;

use crate::bounds::memory_bound;
use crate::chain::ChainState;
use crate::config::Config;
use crate::config::error::ConfigError;
use crate::cx::Cx;
use crate::discovery::Discovery;
use crate::discovery::candidates::Candidates;
use crate::error::{CommandError, UpdateError};
use crate::id::CommandId;
use crate::input::{Command, Input, Update};
use crate::job::{Found, JobDone};
use crate::output::Output;
use crate::peer::dialing::Dials;
use crate::peer::gater::ConnectionGater;
use crate::peer::lifecycle::Opened;
use crate::peer::reputation::Reputation;
use crate::peer::table::{ConnectionInfo, Peers};
use crate::publish::committed::OwnCommitments;
use crate::publish::inquiry::Inquiry;
use crate::publish::outbox::Outbox;
use crate::publish::receipts::Receipts;
use crate::request::Requests;
use crate::request::room::Room;
use crate::request::user_pages::UserPages;
use crate::schedule::Schedule;
use crate::stats::Stats;
use crate::sync::CatchUp;
use crate::time::{Now, Time, Timer};
use crate::txlists::TxLists;

/// One node's mind: told what happened, it answers with what to do.
///
/// It has no clock, socket, thread or dice of its own; the same configuration, seed and calls give the same outputs, byte for byte. Calls
/// may come in any order, and a late drain of outputs costs memory, never correctness.
///
/// ```
/// use preconf_core::{ChainId, Command, Config, Core, Event, Now, Output, PeerId, ConnectionId, Direction, Input};
/// let mut core = Core::new(Config::new(ChainId(1)), [0; 32], Now::default())?;
/// let peer = PeerId::from_bytes(&[0, 1, 7]).unwrap();
/// let opened = Input::ConnectionOpened { peer, connection: ConnectionId(1), direction: Direction::Inbound, address: None, dial: None };
/// core.handle_input(Now::default(), opened);
/// assert_eq!(core.poll_output(), Some(Output::App(Event::PeerConnected { peer })));
/// assert_eq!(core.poll_output(), None);
/// # Ok::<(), preconf_core::ConfigError>(())
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Core {
    pub(crate) cx: Cx,
    pub(crate) schedule: Schedule,
    pub(crate) chain: ChainState,
    pub(crate) txlists: TxLists,
    pub(crate) peers: Peers,
    pub(crate) reputation: Reputation,
    pub(crate) requests: Requests,
    pub(crate) user_pages: UserPages,
    pub(crate) room: Room,
    pub(crate) catch_up: CatchUp,
    pub(crate) outbox: Outbox,
    pub(crate) own: OwnCommitments,
    pub(crate) inquiry: Inquiry,
    pub(crate) receipts: Receipts,
    pub(crate) gater: ConnectionGater,
    pub(crate) dials: Dials,
    pub(crate) discovery: Discovery,
    pub(crate) executed: u64,
    /// Txlists that came from storage: they need not be written there again.
    pub(crate) restored_txlists: BTreeSet<B256>,
    /// The block that the host failed at, and how often on end (P10.4).
    pub(crate) failed: Option<(u64, u32)>,
    /// What is wanted must be looked at before the step ends.
    pub(crate) dispatch_due: bool,
}

impl Core {
    /// Starts a node. The seed decides all its dice: take it from the system's randomness, unless a run is to be repeated.
    ///
    /// # Errors
    /// A configuration value that makes no sense: its key, the value, and what is allowed.
    pub fn new(config: Config, seed: [u8; 32], now: Now) -> Result<Self, ConfigError> {
        config.check()?;
        tracing::info!(bytes = memory_bound(&config), "memory bound of the machine (P10.3)");
        if config.has_placeholder_domain() {
            // P4.2
            tracing::warn!("the signing domain is the placeholder: commitments can be replayed on another chain; set a domain of your own");
        }
        let (mut gater, dials, mut cx) = (ConnectionGater::new(&config.gater)?, Dials::new(&config)?, Cx::new(config, seed, now));
        let config = &cx.config;
        for peer in dials.statics().chain(config.trusted.iter().copied()) {
            gater.protect(peer).expect("the configuration was checked to fit"); // P8.1
        }
        for peer in dials.statics() {
            cx.timers.set(Timer::Redial(peer), now.mono); // P8.5
        }
        if cx.config.discovery.is_some() {
            cx.timers.set(Timer::LookUp, now.mono); // P8.2
        }
        let config = &cx.config;
        Ok(Self {
            schedule: Schedule::default(),
            chain: ChainState::new(config),
            txlists: TxLists::new(config),
            peers: Peers::new(config),
            reputation: Reputation::new(config),
            requests: Requests::default(),
            user_pages: UserPages::default(),
            room: Room::new(config),
            catch_up: CatchUp::default(),
            outbox: Outbox::default(),
            own: OwnCommitments::new(config, now.unix),
            inquiry: Inquiry::default(),
            receipts: Receipts::default(),
            discovery: Discovery::new(Candidates::new(config.gater.max_per_neighbourhood as usize)),
            gater,
            dials,
            executed: 0,
            restored_txlists: BTreeSet::new(),
            failed: None,
            dispatch_due: false,
            cx,
        })
    }

    /// The world says something. Every input is taken, whatever it says and whenever it comes (P10.2).
    ///
    /// Only a driver that does not drain outputs can make it drop something: gossip and requests, and `Stats::unheard` counts them.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        let now = self.begin(now);
        let stranger = matches!(input, Input::GossipReceived { .. } | Input::RequestReceived { .. } | Input::RequestBroken { .. });
        if stranger && self.cx.is_full() {
            self.cx.stats.unheard += 1; // P10.1
            return;
        }
        match input {
            Input::ConnectionOpened { peer, connection, direction, address, dial } => {
                self.connection_opened(
                    now,
                    Opened { peer, connection, info: ConnectionInfo { direction, address, since: now.mono }, dial },
                );
            }
            Input::ConnectionClosed { peer, connection } => self.connection_closed(now, peer, connection),
            Input::DialFailed { dial, failure } => self.dial_failed(now, dial, failure),
            Input::RecordFound { record } => self.record_found(now, *record),
            Input::LookupFinished { lookup, succeeded } => self.lookup_finished(now, lookup, succeeded),
            Input::PeerIdentified { peer, protocols } => self.peer_identified(now, peer, protocols),
            Input::AddressObserved { peer, address } => self.address_observed(now, peer, address),
            Input::PeerSubscribed { peer, topic } => {
                self.peers.subscribed(&peer, topic, true);
                self.greeted(peer);
                self.outbox.send_waiting(&mut self.cx, Some(topic)); // P5.8
            }
            Input::PeerUnsubscribed { peer, topic } => self.peers.subscribed(&peer, topic, false),
            Input::GossipReceived { peer, message, topic, data } => self.gossip_received(peer, message, topic, &data),
            Input::RequestReceived { peer, channel, protocol, body } => self.serve(peer, channel, protocol, &body),
            Input::RequestBroken { peer } => self.broken_request(peer),
            Input::ChannelClosed { channel } => self.channel_closed(channel),
            Input::ResponseReceived { request, body } => self.response_received(request, &body),
            Input::RequestFailed { request, failure } => self.request_failed(request, failure),
            Input::PublishFinished { publish, outcome } => {
                let peers = &self.peers;
                self.outbox.publish_finished(&mut self.cx, publish, outcome, |topic| peers.has_subscriber(topic));
            }
            Input::Persisted { id } => self.persisted(id),
            Input::PersistFailed { id, failure } => self.persist_failed(id, failure),
            Input::ReadingStopped { since } => self.cx.unread.stopped(since.min(now.mono)),
            Input::ReadingResumed => self.cx.unread.resumed(now.mono),
            Input::JobFinished(JobDone { id, found: Found::Signer(signer) }) => self.signer_found(id, signer),
            Input::JobFinished(JobDone { id, found: Found::Hash(hash) }) => self.hash_found(id, hash),
        }
        self.end();
    }

    /// Our own application wants something done. It ends with an [`Event::CommandFinished`](crate::Event::CommandFinished) that carries the
    /// id.
    ///
    /// # Errors
    /// The command is refused, and nothing has changed: no id is used up and no dice are thrown.
    pub fn handle_command(&mut self, now: Now, command: Command) -> Result<CommandId, CommandError> {
        let before = self.cx.now;
        let now = self.begin(now);
        let taken = match command {
            Command::PublishCommitment(signed) => self.publish_commitment(*signed),
            Command::PublishTxList(txlist) => self.publish_txlist(txlist),
            Command::PublishBlock { commitment, txlist } => self.publish_block(commitment, txlist),
            Command::GetHead { peer } => self.get_head(peer),
            Command::GetCommitments { start, count, peer } => self.get_commitments(start, count, peer),
            Command::GetTxList { hash, peer } => self.get_txlist(hash, peer),
            Command::Dial { address } => self.dial_for_user(now, address),
        };
        self.end_unless_refused(before, taken)
    }

    /// Our own application decides something, or knows something of the chain.
    ///
    /// # Errors
    /// The update is refused, and nothing has changed.
    pub fn handle_update(&mut self, now: Now, update: Update) -> Result<(), UpdateError> {
        let before = self.cx.now;
        let now = self.begin(now);
        let taken = match update {
            Update::Disconnect { peer } => self.disconnect_for_user(peer),
            Update::BlockPeer { peer } => self.block_peer(peer),
            Update::UnblockPeer { peer } => {
                self.unblock_peer(peer);
                Ok(())
            }
            Update::BlockAddress { address } => self.block_address(address),
            Update::UnblockAddress { address } => {
                self.unblock_address(address);
                Ok(())
            }
            Update::BlockSubnet { subnet } => self.block_subnet(subnet),
            Update::UnblockSubnet { subnet } => {
                self.unblock_subnet(subnet);
                Ok(())
            }
            Update::Protect { peer } => self.protect(peer),
            Update::Unprotect { peer } => {
                self.unprotect(peer);
                Ok(())
            }
            Update::Trust { peer } => self.trust(peer),
            Update::Distrust { peer } => {
                self.distrust(now, peer);
                Ok(())
            }
            Update::LiftBan { peer } => self.lift_ban(now, peer),
            Update::Schedule(windows) => self.update_schedule(&windows),
            Update::MoveSyncTip(tip) => {
                self.move_sync_tip(tip);
                Ok(())
            }
            Update::Restore(records) => {
                self.restore(now, records);
                Ok(())
            }
            Update::OverrideSyncing { window_end } => self.override_syncing(window_end),
            Update::MarkExecuted { block_number } => self.mark_executed(block_number),
            Update::MarkFailed { block_number } => self.mark_failed(now, block_number),
        };
        self.end_unless_refused(before, taken)
    }

    /// Time has passed. Early or repeated calls change nothing; afterwards the next deadline lies in the future.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = self.begin(now);
        if let Some((due, _)) = self.cx.timers.next() {
            self.cx.unread.woken(due, now.mono);
        }
        while let Some(timer) = self.cx.timers.pop_due(now.mono) {
            match timer {
                Timer::Request(request) => self.request_overdue(request),
                Timer::Verdict(id) => self.verdict_due(id),
                Timer::Hold(id) => self.hold_over(id),
                Timer::TxListMissing(hash) => self.fetch_due(&hash),
                Timer::OwnTxList(hash) => self.txlists.own_over(&hash),
                Timer::Orphan(id) => self.txlists.orphan_due(&mut self.cx, id),
                Timer::Unsent(command) => self.outbox.unsent_over(&mut self.cx, command),
                Timer::Inquiry => self.end_inquiry(),
                Timer::Unheard => self.outbox.send_waiting(&mut self.cx, None),
                Timer::Heads => self.heads_due(),
                Timer::RequestCapacity | Timer::PageOverdue => self.dispatch_soon(),
                Timer::MissingParent => self.parents_due(),
                Timer::Ban(peer) => self.check_ban(peer),
                Timer::NoCommonProtocol(peer) => self.use_checked(now, peer),
                Timer::Replaced(peer, connection) => self.close_replaced(now, peer, connection),
                Timer::Ungreeted(peer) => self.not_greeted(peer),
                Timer::Execute => self.execute_again(),
                Timer::Decay => self.decay_scores(),
                Timer::Redial(peer) => self.redial_due(now, peer),
                Timer::LookUp => self.look_up_due(now),
                Timer::DialFound => self.found_peers_due(now),
                Timer::Exchange => self.exchange_due(now),
                Timer::Serve => self.serve_waiting(),
                Timer::WindowBegins(id) => {
                    self.chain.window_begins(id);
                    self.settle_rulings();
                }
            }
        }
        self.end();
    }

    /// What to do next; call until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.cx.poll_output()
    }

    /// When to call [`Core::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Time, Timer)> {
        self.cx.timers.next()
    }

    /// What was counted since the start.
    pub fn stats(&self) -> &Stats {
        &self.cx.stats
    }

    fn begin(&mut self, now: Now) -> Now {
        self.cx.begin(now)
    }

    /// What was refused has not even moved the clock.
    fn end_unless_refused<T, E>(&mut self, before: Now, taken: Result<T, E>) -> Result<T, E> {
        match &taken {
            Ok(_) => self.end(),
            Err(_) => self.cx.now = before,
        }
        taken
    }

    fn end(&mut self) {
        self.refuse_orphans();
        self.publish_again();
        self.dispatch_if_due();
        self.cx.end();
    }
}
