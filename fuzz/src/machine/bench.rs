//! One node, a clock that only the input moves, and all that is under way.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use preconf_core::{
    Action, Bytes, ChannelId, Command, Config, ConnectionId, ConnectionLimits, Core, DialId, DiscoveryConfig, Event, GaterConfig, HostRule,
    Input, Job, LimitKind, LookupId, MAX_OUTPUTS_PER_STEP, Now, Output, ParentRules, PeerId, PersistId, Protocol, PublishId, RateLimit,
    Record, RequestId, Response, Standing, StorageFailure, Time, UnixTime, Update, memory_bound,
};

use super::material::{self, CHAIN, Material, SLASHER, START};
use super::moves::{Kind, Move, PEERS};
use super::operate::{dial_address, peer};
use super::oracle::Oracle;
use super::{Reached, speak};

/// Wake-ups of one wait before the rest of it is slept through. Ours: a node that nobody wakes in time is a case too.
const MAX_WAKES: usize = 12;
/// How long everything has to end at the last. Ours: all windows lie within, whatever was done to the clock, and every pause and ban.
const END: Duration = Duration::from_secs(200_000);

/// A request of ours that waits for an answer.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) request: RequestId,
    pub(crate) protocol: Protocol,
    pub(crate) body: Bytes,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) connection: ConnectionId,
    pub(crate) peer: PeerId,
    /// Where, if we opened it and know.
    pub(crate) dialed_at: Option<IpAddr>,
}

/// The node and its world.
pub(crate) struct Bench {
    pub(crate) core: Core,
    config: &'static Config,
    bound: usize,
    pub(crate) now: Now,
    pub(crate) oracle: Oracle,
    pub(crate) jobs: Vec<Job>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) channels: Vec<ChannelId>,
    pub(crate) publishes: Vec<PublishId>,
    pub(crate) dials: Vec<(DialId, PeerId)>,
    pub(crate) lookups: Vec<LookupId>,
    /// Oldest first.
    pub(crate) links: Vec<Link>,
    /// What is on disk, and what is on its way there.
    kept: Vec<Record>,
    writing: VecDeque<(PersistId, Record)>,
    /// Writes wait until a move answers them.
    is_disk_slow: bool,
    is_answering: bool,
    pub(crate) reached: Reached,
    minted: u64,
    /// Outputs stay where they are for now.
    lazy: bool,
    /// What waits is of several calls.
    held_back: bool,
    /// Every output so far, if it is to be kept.
    pub(crate) heard: Option<Vec<Output>>,
}

impl Bench {
    /// A node that has just started. The preset says how it is configured.
    pub(crate) fn new(preset: u8, keeps_outputs: bool) -> Self {
        let (config, bound) = &PRESETS[usize::from(preset % 4)];
        let now = Now { mono: Time::ZERO, unix: UnixTime::from_secs(START + 1) };
        let mut bench = Self {
            core: Core::new(config.clone(), [7; 32], now).expect("presets are allowed"),
            bound: *bound,
            now,
            oracle: Oracle::new(config.max_commitments),
            config,
            jobs: Vec::new(),
            sent: Vec::new(),
            channels: Vec::new(),
            publishes: Vec::new(),
            dials: Vec::new(),
            lookups: Vec::new(),
            links: Vec::new(),
            kept: Vec::new(),
            writing: VecDeque::new(),
            is_disk_slow: false,
            is_answering: false,
            reached: Reached::default(),
            minted: 0,
            lazy: false,
            held_back: false,
            heard: keeps_outputs.then(Vec::new),
        };
        if preset & 8 == 0 {
            // Its disk was there before its first window (P5.9b).
            bench.kept.push(Record::Began { at: UnixTime::from_secs(START) });
            bench.update(Update::Restore(bench.kept.clone()));
        }
        if preset & 4 == 0 {
            bench.learn_schedule(Material::get().windows.clone());
        }
        bench
    }

    /// Could this happen now, in a world where everybody means well?
    pub(crate) fn makes_sense(&self, kind: Kind) -> bool {
        match kind {
            Kind::Connect | Kind::OpenOnly => self.links.len() < 2 * PEERS,
            Kind::Commitment
            | Kind::TxList
            | Kind::Ask
            | Kind::Close
            | Kind::Identify
            | Kind::Subscribe
            | Kind::Fetch
            | Kind::AddressObserved => !self.links.is_empty(),
            Kind::JobDone => !self.jobs.is_empty(),
            Kind::Answer | Kind::AnswerBadly => !self.sent.is_empty(),
            Kind::Written => !self.channels.is_empty(),
            Kind::Published => !self.publishes.is_empty(),
            Kind::DialEnds => !self.dials.is_empty(),
            Kind::LookUpEnds => !self.lookups.is_empty(),
            Kind::Execute => self.reached.ready > 0,
            Kind::Wait
            | Kind::PublishCommitment
            | Kind::PublishTxList
            | Kind::MoveTip
            | Kind::Schedule
            | Kind::Operate
            | Kind::Dial
            | Kind::RecordFound
            | Kind::ClockJumps
            | Kind::Drain
            | Kind::Restart
            | Kind::Look => true,
            Kind::BrokenRequest | Kind::Noise | Kind::Stray | Kind::EarlyTimeout => false,
        }
    }

    /// Is this a peer for that?
    pub(crate) fn fits(&self, kind: Kind, who: usize) -> bool {
        let peer = peer(who);
        let is_connected = self.links.iter().any(|link| link.peer == peer);
        is_connected != matches!(kind, Kind::Connect | Kind::OpenOnly)
    }

    /// Makes a move.
    pub(crate) fn make(&mut self, next: Move) {
        let Move { kind, who, which, how } = next;
        let from = peer(usize::from(who));
        match kind {
            Kind::Connect => self.connect(from),
            Kind::Commitment => self.hear_commitment(from, usize::from(which), how),
            Kind::TxList => self.hear_txlist(from, usize::from(which), how),
            Kind::JobDone => {
                self.write_ends(how.is_multiple_of(4));
                if !self.jobs.is_empty() {
                    let job = self.jobs.remove(usize::from(which) % self.jobs.len());
                    self.input(Input::JobFinished(material::run(&job)));
                }
            }
            Kind::Wait => self.wait(speak::wait(which, &self.core, self.now)),
            Kind::Answer => self.answer(usize::from(which), how),
            Kind::AnswerBadly => self.answer_badly(usize::from(which), how),
            Kind::Ask => self.be_asked(from, which, how),
            Kind::Written => {
                if !self.channels.is_empty() {
                    let channel = self.channels.remove(usize::from(which) % self.channels.len());
                    self.input(Input::ChannelClosed { channel });
                }
            }
            Kind::Published => self.published(usize::from(which), how),
            Kind::PublishCommitment => self.publish_commitment(usize::from(which), how),
            Kind::PublishTxList if (200..240).contains(&how) => self.publish_block(usize::from(which), how),
            Kind::PublishTxList => self.publish_txlist(usize::from(which), how),
            Kind::Fetch => self.fetch(from, which, how),
            Kind::MoveTip => self.move_tip(which, how),
            Kind::Execute => self.execute(which, how),
            Kind::Schedule => self.schedule(which),
            Kind::Operate if which >= 240 => self.override_syncing(usize::from(how)),
            Kind::Operate => self.operate(from, which, how),
            Kind::Dial => self.dial(from, which),
            Kind::DialEnds => self.dial_ends(usize::from(which), how),
            Kind::RecordFound => self.record_found(from, which, how),
            Kind::LookUpEnds => self.look_up_ends(how),
            Kind::Close => self.close(from),
            Kind::OpenOnly => self.open(from, which, None),
            Kind::Identify => self.identify(from, how),
            Kind::Subscribe => self.subscribe(from, which, how),
            Kind::BrokenRequest => self.input(Input::RequestBroken { peer: from }),
            Kind::Noise => self.hear_noise(from, which, how),
            Kind::Stray => self.stray(from, which, how),
            Kind::ClockJumps => {
                let back = Duration::from_secs(u64::from(which)).as_micros() as u64;
                let unix = if how % 2 == 0 { self.now.unix.0.saturating_sub(back) } else { self.now.unix.0.saturating_add(back) };
                self.now.unix = UnixTime(unix);
            }
            Kind::EarlyTimeout => self.early_timeout(),
            Kind::Drain if how >= 128 => self.is_disk_slow = !self.is_disk_slow,
            Kind::Drain => {
                self.lazy = !self.lazy;
                self.after_step();
            }
            Kind::Restart => self.restart(how >= 192),
            Kind::Look => self.look(),
            Kind::AddressObserved => self.address_seen(from, which),
        }
        self.check_tables();
    }

    /// The world says something.
    pub(crate) fn input(&mut self, input: Input) {
        self.core.handle_input(self.now, input);
        self.after_step();
    }

    /// Our application wants something done.
    pub(crate) fn command(&mut self, command: Command) {
        match self.core.handle_command(self.now, command) {
            Ok(id) => self.oracle.commands(id),
            Err(error) => assert!(!error.to_string().is_empty(), "a refusal that says nothing"),
        }
        self.after_step();
    }

    /// Our application decides something.
    pub(crate) fn update(&mut self, update: Update) {
        if let Err(error) = self.core.handle_update(self.now, update) {
            assert!(!error.to_string().is_empty(), "a refusal that says nothing");
        }
        self.after_step();
    }

    /// An id that nobody had before.
    pub(crate) fn mint(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }

    /// Lets time pass, waking the machine at each of its deadlines.
    pub(crate) fn wait(&mut self, span: Duration) {
        let until = self.now.after(span);
        for _ in 0..MAX_WAKES {
            let Some((at, _)) = self.core.poll_timeout().filter(|(at, _)| *at <= until.mono) else { break };
            self.now = self.now.after(at.since(self.now.mono));
            self.wake();
        }
        self.now = until;
        self.wake();
    }

    fn wake(&mut self) {
        self.core.handle_timeout(self.now);
        if let Some((at, timer)) = self.core.poll_timeout() {
            assert!(at > self.now.mono, "{timer:?} was due and is still there");
        }
        self.after_step();
    }

    /// A call before anything is due changes nothing.
    fn early_timeout(&mut self) {
        let due = self.core.poll_timeout();
        if due.is_none_or(|(at, _)| at > self.now.mono) {
            let before = self.core.status(self.now);
            self.core.handle_timeout(self.now);
            assert_eq!((self.core.poll_timeout(), self.core.status(self.now)), (due, before), "an early call changed something");
        }
        self.after_step();
    }

    /// With what was kept, or on a new disk.
    fn restart(&mut self, new_disk: bool) {
        self.take_outputs();
        // Of what was on its way, every other record is there.
        let arrived = std::mem::take(&mut self.writing).into_iter().filter(|(id, _)| id.0.is_multiple_of(2));
        self.kept.extend(arrived.map(|(_, record)| record));
        self.core = Core::new(self.config.clone(), [8; 32], self.now).expect("presets are allowed");
        self.oracle.restart();
        if new_disk {
            self.kept.clear();
            self.oracle.loses_disk();
        }
        (self.jobs, self.sent, self.channels) = Default::default();
        (self.publishes, self.dials, self.lookups, self.links) = Default::default();
        self.held_back = false;
        self.reached.restarts += 1;
        let kept = self.kept.clone();
        self.oracle.restores(&kept);
        self.update(Update::Restore(kept));
        self.learn_schedule(Material::get().windows.clone());
    }

    /// Reads everything that a node says about itself, and holds it against itself.
    fn look(&mut self) {
        let status = self.core.status(self.now);
        let lag = status.best.saturating_sub(status.ready_to);
        assert!(status.lag.is_none_or(|told| told == lag), "P11.1: the lag");
        let health = self.core.health(self.now, 0);
        assert!(health.windows(2).all(|pair| pair[1].block_number == pair[0].block_number + 1), "P11.1: a number is left out");
        for info in self.core.peers(self.now) {
            let changes = self.core.explain(self.now, info.peer);
            assert_eq!(changes.iter().map(|change| change.delta).sum::<i64>(), info.score, "P7.9: the changes sum to the score");
        }
        // What an earlier life found is kept beside what this one did.
        let (kept, found) = (self.core.evidence().len() as u64, self.core.stats().evidence);
        assert!(kept >= found.min(self.config.max_evidence as u64), "P5.4: {kept} faults are kept, and {found} were found");
    }

    /// P10.1: no table is larger than it may be.
    fn check_tables(&self) {
        let (status, config) = (self.core.status(self.now), &self.config);
        for (table, held, max) in [
            ("held commitments", status.held, config.max_held),
            ("commitments", status.commitments, config.max_commitments),
            ("bytes of txlists", status.txlist_bytes, config.max_txlist_bytes + config.max_orphan_bytes),
            ("requests", status.requests, config.max_requests),
            ("unsent messages", status.unsent, config.max_unsent),
            ("proven faults", self.core.evidence().len(), config.max_evidence),
        ] {
            assert!(held <= max, "P10.1: {held} {table}, the bound is {max}");
        }
    }

    /// What must hold after every call.
    fn after_step(&mut self) {
        let (bytes, bound) = (self.core.memory_bytes(), self.bound);
        assert!(bytes <= bound, "P10.3: {bytes} bytes, the bound is {bound}");
        self.reached.memory_permille = self.reached.memory_permille.max(bytes.saturating_mul(1000) / bound);
        if self.lazy {
            self.held_back = true;
        } else {
            let taken = self.take_outputs();
            assert!(self.held_back || taken <= MAX_OUTPUTS_PER_STEP, "{taken} outputs of one call");
            self.held_back = false;
            if !self.is_disk_slow {
                self.answer_writes();
            }
        }
    }

    /// The disk answers for its oldest write.
    fn write_ends(&mut self, has_failed: bool) {
        let Some((id, record)) = self.writing.pop_front() else { return };
        if has_failed {
            return self.input(Input::PersistFailed { id, failure: StorageFailure::NoSpace });
        }
        self.kept.push(record);
        self.take_outputs(); // what it said before is judged by the disk of then
        self.oracle.persists(id);
        self.input(Input::Persisted { id });
    }

    /// A disk that is not slow has answered before anything else happens.
    fn answer_writes(&mut self) {
        if std::mem::replace(&mut self.is_answering, true) {
            return;
        }
        while !self.writing.is_empty() {
            self.write_ends(false);
        }
        self.is_answering = false;
    }

    /// Reads all that the machine has said so far.
    pub(crate) fn take_outputs(&mut self) -> usize {
        let mut taken = 0;
        while let Some(output) = self.core.poll_output() {
            taken += 1;
            self.oracle.sees(&output);
            if let Some(heard) = &mut self.heard {
                heard.push(output.clone());
            }
            self.note(output);
        }
        taken
    }

    fn note(&mut self, output: Output) {
        match output {
            Output::Job(job) => self.jobs.push(job),
            Output::Net(action) => self.note_action(action),
            Output::App(event) => self.note_event(&event),
            Output::Persist { id, record } => self.writing.push_back((id, record)),
        }
    }

    fn note_action(&mut self, action: Action) {
        match action {
            Action::SendRequest { request, protocol, body, .. } => self.sent.push(Sent { request, protocol, body }),
            Action::CancelRequest { request } => self.sent.retain(|sent| sent.request != request),
            Action::Publish { publish, .. } => self.publishes.push(publish),
            Action::Dial { dial, address } => {
                let id = address.rsplit_once("/p2p/").and_then(|(_, id)| id.trim_end_matches('/').parse().ok());
                let to = id.expect("P8.1: only peers with an id are dialed");
                self.dials.push((dial, to));
            }
            Action::Respond { response, channel } => {
                self.channels.push(channel);
                self.reached.pages_served += usize::from(matches!(&response, Response::Commitments(page) if page.len() > 4));
                self.reached.txlists_served += usize::from(matches!(&response, Response::TxList(list) if !list.txlist.is_empty()));
            }
            Action::LookUp { lookup } => self.lookups.push(lookup),
            // That connections close is an input of its own, which may come late.
            Action::CloseConnection { .. } | Action::Disconnect { .. } | Action::Block { .. } | Action::Unblock { .. } => {}
            Action::ReportGossip { .. } | Action::SetScore { .. } | Action::DropRequest { .. } => {}
            Action::Introduce { .. } => {}
            Action::AdvertiseAddress { .. } => self.reached.agreed += 1,
        }
    }

    fn note_event(&mut self, event: &Event) {
        let reached = &mut self.reached;
        match event {
            Event::CommitmentAccepted { .. } => reached.accepted += 1,
            Event::BlockReady { .. } => reached.ready += 1,
            Event::StandingChanged { standing: Standing::Banned, .. } => reached.banned += 1,
            Event::Synced { .. } => reached.synced += 1,
            Event::Forked { .. } => reached.forked += 1,
            Event::EvidenceFound { .. } => reached.proven += 1,
            Event::ExecuteAgain { .. } => reached.again += 1,
            Event::CommandFinished { outcome, .. } => self.note_outcome(outcome),
            _ => {}
        }
    }

    /// Everyone leaves, all work ends, time goes on: what is still there would be there for ever.
    pub(crate) fn settle(&mut self) {
        self.lazy = false;
        self.after_step();
        self.end_what_is_out();
        while let Some(Link { connection, .. }) = self.links.first().copied() {
            self.close_connection(connection);
        }
        for channel in std::mem::take(&mut self.channels) {
            self.input(Input::ChannelClosed { channel });
        }
        self.end_what_is_out();
        self.wake_often();
        // The rest is slept through: static peers are dialed for ever, and bans take an hour.
        self.now = self.now.after(END);
        self.wake();
        self.end_what_is_out();
        self.wake_often(); // what only followed from that: one window after the other is asked about (P5.9b)
        let status = self.core.status(self.now);
        assert_eq!((status.held, status.requests, status.jobs, status.unsent, status.syncing), (0, 0, 0, 0, false), "something hangs");
        assert_eq!(self.oracle.owes(), None, "something is owed for ever");
        let stats = self.core.stats();
        self.reached.gated = stats.connections_refused.values().sum::<u64>() as usize;
        self.reached.pruned = stats.peers_pruned as usize;
    }

    /// Wakes it at its next deadlines.
    fn wake_often(&mut self) {
        for _ in 0..MAX_WAKES {
            let Some((at, _)) = self.core.poll_timeout() else { break };
            self.now = self.now.after(at.since(self.now.mono));
            self.wake();
            self.end_what_is_out();
        }
    }

    /// Jobs come back, nobody hears what we publish, nobody answers where we dial.
    fn end_what_is_out(&mut self) {
        self.answer_writes();
        while let Some(job) = (!self.jobs.is_empty()).then(|| self.jobs.remove(0)) {
            self.input(Input::JobFinished(material::run(&job)));
        }
        while !self.publishes.is_empty() {
            self.published(0, 1);
        }
        while !self.dials.is_empty() {
            self.dial_ends(0, 0);
        }
        while !self.lookups.is_empty() {
            self.look_up_ends(1);
        }
        self.answer_writes();
    }
}

/// Each configuration, and what a machine may hold under it.
static PRESETS: LazyLock<[(Config, usize); 4]> = LazyLock::new(|| {
    std::array::from_fn(config).map(|config| {
        let bound = memory_bound(&config);
        (config, bound)
    })
});

/// Small bounds, the defaults, an operator's lists and limits, a fixed window and rules of the host's.
fn config(preset: usize) -> Config {
    let base = Config { slasher: Some(SLASHER), ..Config::new(CHAIN) };
    let small = Config {
        max_held: 16,
        max_held_per_peer: 6,
        max_commitments: 12,
        max_evidence: 2,
        max_requests: 6,
        max_unsent: 3,
        max_jobs_per_peer: 5,
        txlist_cap: 21_000,
        max_txlist_bytes: 21_000,
        max_orphan_bytes: 30_000,
        max_orphan_bytes_per_peer: 21_000,
        max_unsent_bytes: 40_000,
        max_served: 3,
        max_served_per_peer: 2,
        max_requests_per_peer: 2,
        page_near: 3,
        page_far: 5,
        max_blocks_ahead: 500,
        ..base.clone()
    };
    match preset {
        0 => small,
        1 => base,
        2 => Config {
            static_peers: vec![dial_address(peer(6), 0), dial_address(peer(6), 1), dial_address(peer(7), 2)],
            trusted: vec![peer(5)],
            connections: ConnectionLimits { target_peers: 4, reserved_outbound: 2, pending_out: 2, ..ConnectionLimits::TEST },
            gater: GaterConfig { redial_limit: Some(2), max_per_neighbourhood: 2, exempt_private: false, ..GaterConfig::default() },
            discovery: Some(DiscoveryConfig { dials_at_once: 2, ..DiscoveryConfig::TEST }),
            ..base
        },
        _ => Config {
            request_limit: RateLimit { limit: 3, window: Duration::from_secs(10), kind: LimitKind::FixedWindow },
            parent_rules: ParentRules {
                host: vec![HostRule { name: "one prover", holds: |parent, child| parent.prover_auth == child.prover_auth }],
                ..ParentRules::default()
            },
            heads_from: 1,
            ..small
        },
    }
}
