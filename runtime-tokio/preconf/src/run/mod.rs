//! `preconf run`: one node that goes on until it is told to stop.
//!
//! Stdout carries the addresses, one a line, then one JSON object a line: events have `"event"`, answers to commands have `"id"`. Who does
//! not read stdout slows the node's reading from the network down, and loses nothing.
//!
//! The end of stdin does not end the node: under a service manager stdin is often empty from the start.

mod answers;
mod commands;
mod finding;
mod lines;
mod schedule_file;
mod store;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use multiaddr::Multiaddr;
use preconf_core::{
    Address, B256, ChainId, Cidr, Config, ConnectionLimits, DiscoveryConfig, PeerId, Record, Storage, SyncTip, Update, keccak256,
};
use preconf_tokio::{
    Discv5Error, HandleError, NetworkConfig, NetworkDriver, NetworkEvent, NetworkEvents, NetworkHandle, RecordConfig, StartError,
};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::finding::FindingArgs;
pub(crate) use self::finding::unheard;
use self::lines::Lines;
use self::schedule_file::ScheduleFileError;
use crate::key::{KeyAccess, KeyError, NodeKey};
use crate::runtime::Runtime;
use crate::stop::Stop;
use crate::{hexes, json};

/// Lines that may wait for stdout. Ours: a few, so that a slow reader is felt soon.
const MAX_LINES_WAITING: usize = 64;
/// Commands from stdin under way. Ours: more than the machine lets wait or be requested at once, so that its own limits answer first.
const MAX_COMMANDS: usize = 512;
/// How long the sockets may take to tell their addresses. Ours: they take milliseconds.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);
/// How long the last lines may take to be read. Ours: a reader that is gone must not keep us.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// `preconf run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The L2 chain; names the topics and protocols.
    #[arg(long, value_name = "N")]
    chain_id: u64,
    /// Where to listen, such as /ip4/0.0.0.0/tcp/9000; port 0 lets the system choose. May be given several times.
    #[arg(long, value_name = "ADDR", required = true, num_args = 1.., value_parser = multiaddr)]
    listen: Vec<Multiaddr>,
    /// Peers to stay connected to, such as /dns4/example.org/tcp/9000/p2p/16Uiu2…; dialed for ever, with growing pauses, while they are not
    /// up, and never made to leave for others.
    #[arg(long, visible_alias = "static-peer", value_name = "MULTIADDR", num_args = 1.., value_parser = multiaddr)]
    peer: Vec<Multiaddr>,
    #[command(flatten)]
    finding: FindingArgs,
    /// Directory in which the node keeps, across restarts, what it committed to, the chain with its txlists, how its peers stand, which nodes
    /// are of use, the schedule, the sync tip, and the sequence number of its record. One process at a time. While it can be read and not be
    /// written to, the node follows and publishes nothing. Without it a node begins from nothing, publishes nothing unless --ephemeral says so,
    /// and after a clock that went back others keep its old record for as long.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Publish without a data directory: for tests, and where nobody is slashed. A preconfer that restarts can contradict itself.
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Ids of peers that are never charged, never banned, and never made to leave for others.
    #[arg(long, value_name = "PEER_ID", num_args = 1..)]
    trusted: Vec<PeerId>,
    /// Subnets to have nothing to do with, such as 10.0.0.0/8 or 2001:db8::/32.
    #[arg(long, value_name = "CIDR", num_args = 1..)]
    block_subnet: Vec<Cidr>,
    /// Which runtime the node lives on: tokio, or async-std where it is built in.
    #[arg(long, value_name = "RUNTIME", default_value = "tokio")]
    runtime: Runtime,
    /// How many connections and peers to have: 220 connections in production, 110 for development, 32 for tests.
    #[arg(long, value_name = "PRESET", value_enum, default_value_t = Preset::Prod)]
    preset: Preset,
    /// Who is elected when: a JSON array of {"start", "end", "preconfer", "settled" or "settled_at"?} in unix seconds, ascending. With --data-dir, the schedule
    /// that the node had last need not be given again.
    #[arg(long, value_name = "FILE", required_unless_present = "data_dir")]
    schedule: Option<PathBuf>,
    /// The node's key, as `preconf key new` writes it. Without it the node has a new identity at every start.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    access: KeyAccess,
    /// The last L2 block that is settled on L1. Without it: what the node was told last, if it has a data directory, else 0.
    #[arg(long, value_name = "N")]
    sync_tip: Option<u64>,
    /// The chain's signing domain: 32 bytes as hex. The default is the protocol's placeholder.
    #[arg(long, value_name = "HEX", value_parser = hexes::hash)]
    domain: Option<B256>,
    /// The slashing contract that commitments must name: 20 bytes as hex. Unchecked without it.
    #[arg(long, value_name = "HEX", value_parser = hexes::address)]
    slasher: Option<Address>,
    /// Record every step to this file, for `preconf-conformance replay`. A file that is there becomes FILE.1. It tells what a log would:
    /// addresses of peers and what they sent; no key.
    #[arg(long, value_name = "FILE", group = "recorded")]
    record: Option<PathBuf>,
    /// Record the last of what happens to this folder, for as long as the node runs and across its starts: segments that each replay by
    /// themselves, the oldest gone when there are --record-mib of all. Like --record, it tells what a log would.
    #[arg(long, value_name = "DIR", group = "recorded")]
    record_ring: Option<PathBuf>,
    /// With --record: MiB after which the recording ends, by default 256; what strangers send counts too, so a flood can end it early. With
    /// --record-ring: MiB of all that is in the folder, by default 1024; txlists that the node keeps count, up to 256. The node goes on.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20), requires = "recorded")]
    record_mib: Option<u64>,
    /// Files of earlier starts to keep, as FILE.1 to FILE.N.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1000), requires = "record")]
    record_keep: u32,
    /// Decides the node's dice, to repeat a run. Taken from the system without it.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Take commands from stdin, one JSON object a line, each answered by a line with the same "id". The end of stdin ends nothing.
    ///
    /// {"id": 1, "command": "publish_commitment", "ssz": HEX}, and likewise publish_block {"ssz", "txlist"}, publish_txlist {"txlist"}, get_head
    /// {"peer"?}, get_commitments {"start", "count", "peer"?}, get_raw_txlist {"hash", "peer"?}, dial {"addr"}, update_schedule {"windows"},
    /// move_sync_tip {"block_number", "hash"?}, override_syncing {"window_end"}, mark_executed {"block_number"}, mark_failed {"block_number"}, health {"from"?}, block and unblock {"target"}
    /// (a peer id, an IP address or a subnet), protect, unprotect, trust, distrust, lift_ban and explain {"peer"}, lists, peers, status.
    /// Answers are {"id", "result"} or {"id", "error"}, in the order in which they come.
    #[arg(long)]
    publish_from_stdin: bool,
}

/// A set of connection limits (P8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// For production.
    Prod,
    /// For development networks.
    Dev,
    /// For tests.
    Test,
}

impl Preset {
    fn discovery(self) -> DiscoveryConfig {
        match self {
            Self::Prod => DiscoveryConfig::PROD,
            Self::Dev => DiscoveryConfig::DEV,
            Self::Test => DiscoveryConfig::TEST,
        }
    }

    fn limits(self) -> ConnectionLimits {
        match self {
            Self::Prod => ConnectionLimits::PROD,
            Self::Dev => ConnectionLimits::DEV,
            Self::Test => ConnectionLimits::TEST,
        }
    }
}

/// Why the node does not run, or not on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleFileError),
    /// Discovery does not start.
    #[error(transparent)]
    Discovery(#[from] Discv5Error),
    /// The data directory.
    #[error(transparent)]
    Store(#[from] preconf_store::OpenError),
    /// Nobody says who is elected.
    #[error("no schedule: give --schedule FILE, since the data directory has none yet")]
    NoSchedule,
    /// The node does not start.
    #[error(transparent)]
    Start(#[from] Box<StartError>),
    /// The node refuses what it is told at the start.
    #[error(transparent)]
    Handle(#[from] HandleError),
    /// No signals.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// Stdin broke.
    #[error("cannot read stdin: {0}")]
    Stdin(io::Error),
    /// The sockets never told where they listen.
    #[error("no address to listen on came up within {LISTEN_LIMIT:?}")]
    NoAddress,
    /// The driver ended without being told to.
    #[error("the node has ended by itself; the log says why")]
    Ended,
}

impl RunError {
    /// Do the flags make no sense?
    pub(crate) fn is_misuse(&self) -> bool {
        matches!(self, Self::Start(error) if matches!(**error, StartError::Config(_))) || matches!(self, Self::NoSchedule)
    }
}

/// Reads a multiaddr.
fn multiaddr(text: &str) -> Result<Multiaddr, String> {
    text.parse()
        .map_err(|error| format!("{error}; allowed is a multiaddr such as /ip4/127.0.0.1/tcp/9000, for a peer with /p2p/… at its end"))
}

impl RunArgs {
    fn config(&self) -> Result<NetworkConfig, RunError> {
        let key = match &self.key {
            Some(path) => NodeKey::load(path, self.access)?,
            None => NodeKey::generate(),
        };
        let mut core = Config::new(ChainId(self.chain_id));
        core.domain = self.domain.unwrap_or(core.domain);
        core.slasher = self.slasher;
        core.storage = if self.ephemeral { Storage::Ephemeral } else { Storage::Durable };
        core.connections = self.preset.limits();
        core.gater.blocked_subnets.clone_from(&self.block_subnet);
        core.trusted.clone_from(&self.trusted);
        core.static_peers = self.peer.iter().chain(self.finding.peers()).map(ToString::to_string).collect();
        core.discovery = self.finding.outbound_limiter(self.preset.discovery(), &self.listen);
        let mut config = NetworkConfig::new(core, key.identity().clone());
        config.seed = self.seed.map(|seed| keccak256(seed.to_be_bytes()).0);
        config.listen.clone_from(&self.listen);
        let once = self.record.as_ref().map(|file| RecordConfig { keep: self.record_keep, ..RecordConfig::new(file) });
        config.record = once.or(self.record_ring.as_ref().map(RecordConfig::ring));
        if let (Some(record), Some(mib)) = (&mut config.record, self.record_mib) {
            record.max_bytes = mib << 20;
        }
        Ok(config)
    }
}

/// Runs a node until Ctrl-C or SIGTERM, or until nobody reads stdout any more.
pub(crate) async fn run(args: RunArgs) -> Result<(), RunError> {
    let stop = Stop::new().map_err(RunError::Signals)?;
    let windows = args.schedule.as_deref().map(schedule_file::load).transpose()?;
    let config = args.config()?;
    let domain = config.core.domain;
    let kept = args.data_dir.as_deref().map(|dir| store::open(dir, &config.core)).transpose()?;
    let mut environment = args.runtime.environment(&config).map_err(Box::new)?;
    if args.finding.is_on() {
        let found = args.finding.discv5(config.core.chain_id, &args.listen, args.data_dir.clone());
        environment.discovery = args.runtime.discv5(found, &config.keypair)?;
    }
    if let Some((store, records)) = kept {
        if windows.is_none() && !records.iter().any(|record| matches!(record, Record::Schedule(_))) {
            return Err(RunError::NoSchedule);
        }
        environment.store = Some(Box::new(store));
        environment.records = records;
    }
    let (driver, handle, mut events) = NetworkDriver::new(config, environment).map_err(Box::new)?;
    let life = args.runtime.run(driver);
    let mut early = Vec::new();
    let tip = args.sync_tip.map(|block_number| Update::MoveSyncTip(SyncTip { block_number, preconfirmation_hash: None }));
    for update in windows.map(Update::Schedule).into_iter().chain(tip) {
        tell(&handle, update, &mut events, &mut early).await?;
    }
    let (out, writer) = writer();
    let early = addresses(&mut events, early, args.listen.len(), &out).await?;
    let mut session = Session { stop, handle: handle.clone(), events, out, domain };
    let result = session.serve(early, args.publish_from_stdin).await;
    tracing::info!("shutting down");
    handle.shutdown().await;
    let ended = life.end().await;
    drop(session);
    // Whoever no longer reads has nothing to lose.
    let _ = tokio::time::timeout(FLUSH_LIMIT, writer).await;
    result.and(if ended { Ok(()) } else { Err(RunError::Ended) })
}

/// Tells the node something at its start. What was kept may have it say more than may wait (P6.9), so its events are read meanwhile.
async fn tell(handle: &NetworkHandle, update: Update, events: &mut NetworkEvents, early: &mut Vec<NetworkEvent>) -> Result<(), RunError> {
    loop {
        match handle.update(update.clone()).await {
            Err(HandleError::EventsUnread { .. }) => early.push(events.recv().await.ok_or(RunError::Ended)?),
            told => return Ok(told?),
        }
        while let Some(event) = events.try_recv() {
            early.push(event);
        }
    }
}

/// Prints one address for each listener, at least, and gives back what else was told early and meanwhile.
async fn addresses(
    events: &mut NetworkEvents,
    early: Vec<NetworkEvent>,
    listeners: usize,
    out: &mpsc::Sender<String>,
) -> Result<Vec<NetworkEvent>, RunError> {
    let gather = async {
        let (mut others, mut found, mut early) = (Vec::new(), 0, early.into_iter());
        while found < listeners || early.len() > 0 {
            let next = match early.next() {
                Some(event) => Some(event),
                None => events.recv().await,
            };
            match next.ok_or(RunError::Ended)? {
                NetworkEvent::Listening { address } => {
                    found += 1;
                    // A reader that is gone is noticed where the events are told.
                    let _ = out.send(address.to_string()).await;
                }
                NetworkEvent::ListenerClosed { .. } => return Err(RunError::NoAddress),
                other @ (NetworkEvent::Core(_) | NetworkEvent::OwnRecord { .. }) => others.push(other),
            }
        }
        Ok(others)
    };
    tokio::time::timeout(LISTEN_LIMIT, gather).await.map_err(|_| RunError::NoAddress)?
}

/// Writes lines in a task of its own, so that a slow reader never keeps a signal from being heard.
fn writer() -> (mpsc::Sender<String>, JoinHandle<io::Result<()>>) {
    let (out, mut lines) = mpsc::channel::<String>(MAX_LINES_WAITING);
    let writer = tokio::spawn(async move {
        let mut stdout = tokio::io::stdout();
        while let Some(mut line) = lines.recv().await {
            line.push('\n');
            stdout.write_all(line.as_bytes()).await?;
            stdout.flush().await?;
        }
        Ok(())
    });
    (out, writer)
}

/// A node and the people around it.
struct Session {
    stop: Stop,
    handle: NetworkHandle,
    events: NetworkEvents,
    out: mpsc::Sender<String>,
    /// The chain's signing domain.
    domain: B256,
}

impl Session {
    async fn serve(&mut self, early: Vec<NetworkEvent>, takes_commands: bool) -> Result<(), RunError> {
        let mut stdin = takes_commands.then(|| Lines::new(BufReader::new(tokio::io::stdin())));
        let mut answers = FuturesUnordered::new();
        let mut early = early.into_iter();
        loop {
            // Nothing is taken in before there is room for what it leads to.
            let room = tokio::select! {
                biased;
                () = self.stop.requested() => return Ok(()),
                room = self.out.reserve() => room,
            };
            let Ok(room) = room else {
                tracing::warn!("nobody reads stdout any more: stopping");
                return Ok(());
            };
            if let Some(event) = early.next() {
                room.send(json::event(&event, self.domain).to_string());
                continue;
            }
            tokio::select! {
                biased;
                () = self.stop.requested() => return Ok(()),
                Some(answer) = answers.next() => room.send(answer),
                line = next_line(&mut stdin), if answers.len() < MAX_COMMANDS => match line.map_err(RunError::Stdin)? {
                    None => {
                        tracing::info!("stdin has ended; the node goes on");
                        stdin = None;
                    }
                    Some(Ok(line)) if line.trim().is_empty() => {}
                    Some(line) => answers.push(answers::answer(self.handle.clone(), commands::parse(line))),
                },
                event = self.events.recv() => {
                    let event = event.ok_or(RunError::Ended)?;
                    room.send(json::event(&event, self.domain).to_string());
                }
            }
        }
    }
}

/// The next line, if there is a stdin at all. Cancel safe.
async fn next_line(stdin: &mut Option<Lines<BufReader<tokio::io::Stdin>>>) -> io::Result<Option<Result<String, lines::LineError>>> {
    match stdin {
        Some(lines) => lines.next().await,
        None => std::future::pending().await,
    }
}
