//! How does a devnet go, from its first node to its last check?
//!
//! Everyone who is there from the start is started and connected; when the mesh stands, block after block is published by the node of its
//! elected preconfer, as soon as that node has the parent. Half way the late nodes join. Then everyone may take the time that it needs to
//! get what is missing, as long as something still arrives.
//!
//! One loop, [`World::until`], does all the waiting, so that events are read and blocks are built whatever else is waited for.

use std::fs;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use preconf_core::B256;
use preconf_libp2p::NetConfig;
use preconf_node::{HandleError, NetworkEvent, NetworkHandle, RecordConfig};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::conduct::Opinion;
use super::home::{Home, Homes};
use super::hostile::Hostile;
use super::loss::{Loss, Tally};
use super::malice::Malice;
use super::node::{Around, Node, Sighting, core_config};
use super::plan::{Block, LEAD_SECS, Plan, Shape, digest, identity, secret};
use super::record::Record;
use super::report::{NodeReport, Propagation, Report, Role, seconds};
use super::table::Table;
use super::{DevnetArgs, DevnetError};

/// Peers that a joining node dials. Ours: with those that dial it, about the six that a mesh wants at least (gossipsub's low mark).
const DIALS: usize = 3;
/// How long the nodes may take to find each other. Ours: they take a second; a busy machine takes longer.
const MESH_LIMIT: Duration = Duration::from_secs(60);
/// What gossipsub needs to build its meshes once everyone is connected: two heartbeats of 500 ms and a little more.
const MESH_PAUSE: Duration = Duration::from_millis(1_200);
/// How long nothing may arrive anywhere before what is missing counts as lost. Ours: longer than any single timeout of the protocol (10 s).
const STALL_LIMIT: Duration = Duration::from_secs(25);
/// How long after the last block every block must be ready everywhere when gossip is lost. Source: PROTOCOL.md P11.2.
const REPAIR_LIMIT: Duration = Duration::from_secs(2);
/// What is still on its way at the end is waited for this long, so that nothing goes unjudged.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Longest trace of a node, in bytes. Ours: no devnet's blocks and what is said of them come near it.
const MAX_TRACE_BYTES: u64 = 4 << 30;
/// How often the table is drawn.
const REDRAW: Duration = Duration::from_millis(250);
/// How often the nodes are asked whether they all see each other.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Events that may wait to be recorded; a full queue slows the nodes down, so it is longer than any burst.
const MAX_SIGHTINGS: usize = 8_192;

/// What became of telling a node to publish a block.
struct Publication {
    node: usize,
    number: u64,
    hash: B256,
    /// When its commitment went out.
    at: Instant,
    /// When all of it was out.
    out: Instant,
    result: Result<(), HandleError>,
}

/// A devnet that goes on.
pub(crate) struct World {
    args: DevnetArgs,
    homes: Homes,
    plan: Plan,
    started: Instant,
    /// Ends when somebody wants the devnet to.
    stop: BoxFuture<'static, ()>,
    nodes: Vec<Node>,
    hostile: Vec<Hostile>,
    record: Record,
    tally: Arc<Tally>,
    sightings: mpsc::Receiver<Sighting>,
    /// Cloned for each node.
    sender: mpsc::Sender<Sighting>,
    /// The next block to build, once building has begun.
    next: Option<Block>,
    /// When blocks are due.
    ticks: Interval,
    /// How many are due and not yet published.
    due: u64,
    publishing: FuturesUnordered<BoxFuture<'static, Publication>>,
    table: Table,
    redraw: Interval,
}

impl World {
    /// Runs a devnet from beginning to end. Gives what came out of it and all that went wrong.
    pub(crate) async fn run(args: DevnetArgs, homes: Homes, stop: BoxFuture<'static, ()>) -> Result<(Report, Vec<String>), DevnetError> {
        let mut world = Self::new(args, homes, stop);
        if let Some(path) = &world.args.record {
            fs::create_dir_all(path).map_err(|error| DevnetError::Record { path: path.clone(), error })?;
        }
        for index in 0..world.args.nodes - world.args.late {
            world.join(format!("node-{index}"), Role::Honest).await?;
        }
        world.mesh().await?;
        world.let_hostile_in().await?;
        world.build().await?;
        world.settle().await?;
        world.finish().await
    }

    fn new(args: DevnetArgs, homes: Homes, stop: BoxFuture<'static, ()>) -> Self {
        let shape = Shape {
            blocks: args.blocks,
            block_ms: args.block_ms,
            txlist_len: usize::try_from(args.txlist_kib << 10).expect("2 MiB fit"),
            preconfers: args.nodes - args.late,
            seed: args.seed,
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let (sender, sightings) = mpsc::channel(MAX_SIGHTINGS);
        let mut ticks = tokio::time::interval(Duration::from_millis(args.block_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut redraw = tokio::time::interval(REDRAW);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            homes,
            plan: Plan::new(shape, now + LEAD_SECS),
            started: Instant::now(),
            stop,
            nodes: Vec::new(),
            hostile: Vec::new(),
            record: Record::new(args.blocks, Instant::now()),
            tally: Arc::default(),
            sightings,
            sender,
            next: None,
            ticks,
            due: 0,
            publishing: FuturesUnordered::new(),
            table: Table::new(!args.json),
            redraw,
            args,
        }
    }

    /// Starts a node and connects it to some of those that are there.
    async fn join(&mut self, name: String, role: Role) -> Result<(), DevnetError> {
        let index = self.record.add_node(name.clone(), role == Role::Honest);
        let identity = identity(self.args.seed, "node", index as u64);
        let loss = Loss::new(self.args.drop, self.args.seed, index, Arc::clone(&self.tally));
        let record = self.args.record.as_ref().map(|folder| RecordConfig {
            keep: 0,
            max_bytes: MAX_TRACE_BYTES,
            ..RecordConfig::new(folder.join(format!("{name}.trace")))
        });
        let around = Around { home: self.homes.of(index), loss, record, sightings: self.sender.clone() };
        let node = Node::start(index, name, role, identity, &self.plan, around).await?;
        for other in self.acquaintances(index).map(|other| &self.nodes[other]) {
            let dialed = node.handle.dial(other.address.clone()).await;
            dialed.map_err(|error| DevnetError::Dial { from: node.name.clone(), to: other.name.clone(), error: error.into() })?;
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Whom a node dials: the one before it, so that the network holds together, and some that the seed chooses.
    fn acquaintances(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let mut others: Vec<usize> = (0..index).collect();
        let (seed, last) = (self.args.seed, index.saturating_sub(1));
        others.sort_by_key(|other| (*other != last, digest(seed, "acquaintance", (index * 1_000 + other) as u64)));
        // Who comes late and must have all in time asks each peer for only so many txlists (P6.7), so it needs many peers.
        let must_hurry = self.args.drop > 0.0 && index as u64 >= self.args.nodes - self.args.late;
        others.into_iter().take(if must_hurry { index } else { DIALS })
    }

    /// Waits until every node knows that its peers have joined both topics, and gossipsub has built its meshes.
    async fn mesh(&mut self) -> Result<(), DevnetError> {
        let deadline = Instant::now() + MESH_LIMIT;
        while !self.is_meshed().await? {
            if Instant::now() > deadline {
                return Err(DevnetError::NoMesh { secs: MESH_LIMIT.as_secs() });
            }
            self.pause(ASK_AGAIN).await?;
        }
        self.pause(MESH_PAUSE).await
    }

    async fn is_meshed(&self) -> Result<bool, HandleError> {
        for (index, node) in self.nodes.iter().enumerate() {
            let joined = node.handle.peers().await?.iter().filter(|peer| peer.subscribed).count();
            if joined < self.acquaintances(index).count().max(1) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Starts the hostile peers and connects them to everyone who is there.
    async fn let_hostile_in(&mut self) -> Result<(), DevnetError> {
        for index in 0..self.args.hostile {
            let identity = identity(self.args.seed, "hostile", index);
            let malice = Malice::new(self.plan.clone(), secret(self.args.seed, "hostile", index), digest(self.args.seed, "salt", index));
            let (config, pace) = (NetConfig::new(&core_config(&self.plan)), Duration::from_millis(self.args.block_ms));
            let hostile = Hostile::start(format!("hostile-{index}"), &identity, config, malice, pace).map_err(Box::new)?;
            self.record.add_hostile(hostile.peer);
            for node in &self.nodes {
                hostile.dial(node.address.clone()).await;
            }
            if tokio::time::timeout(MESH_LIMIT, hostile.has_peers(self.nodes.len())).await.is_err() {
                return Err(DevnetError::NoMesh { secs: MESH_LIMIT.as_secs() });
            }
            self.hostile.push(hostile);
        }
        if self.hostile.is_empty() { Ok(()) } else { self.pause(MESH_PAUSE).await }
    }

    /// Builds every block, and lets the late nodes join half way.
    async fn build(&mut self) -> Result<(), DevnetError> {
        for hostile in &self.hostile {
            hostile.attack().await;
        }
        self.record.begin(Instant::now());
        self.next = Some(self.plan.first());
        self.ticks.reset_immediately();
        let half = self.args.blocks / 2;
        self.until(|world| world.next.as_ref().is_none_or(|next| next.number > half) || world.is_stalled()).await?;
        for index in 0..self.args.late {
            self.join(format!("late-{index}"), Role::Late).await?;
            let address = self.nodes[self.nodes.len() - 1].address.clone();
            for hostile in &self.hostile {
                hostile.dial(address.clone()).await;
            }
        }
        self.until(|world| world.next.is_none() || world.is_stalled()).await
    }

    /// Waits until everyone has everything, or nothing arrives any more.
    async fn settle(&mut self) -> Result<(), DevnetError> {
        self.until(|world| world.record.is_complete() && world.publishing.is_empty() || world.is_stalled()).await
    }

    fn is_stalled(&self) -> bool {
        self.record.last_progress().elapsed() > STALL_LIMIT + Duration::from_millis(self.args.block_ms)
    }

    /// Lets things happen for a while.
    async fn pause(&mut self, span: Duration) -> Result<(), DevnetError> {
        let end = Instant::now() + span;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            // The time is up while a step waits: that is no error, a step is cancel safe.
            if let Ok(result) = tokio::time::timeout(left, self.step()).await {
                result?;
            }
        }
        Ok(())
    }

    /// Lets things happen until it is so.
    async fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<(), DevnetError> {
        while !is_so(self) {
            self.step().await?;
        }
        Ok(())
    }

    /// Waits for one thing and deals with it. Cancel safe.
    async fn step(&mut self) -> Result<(), DevnetError> {
        tokio::select! {
            biased;
            () = &mut self.stop => return Err(DevnetError::Interrupted),
            () = tick(&mut self.ticks, self.next.is_some()) => self.due += 1,
            Some(publication) = self.publishing.next() => self.take_publication(publication),
            Some(sighting) = self.sightings.recv() => self.take_sighting(&sighting),
            _ = self.redraw.tick() => self.draw().await?,
        }
        self.publish_due();
        Ok(())
    }

    fn take_sighting(&mut self, sighting: &Sighting) {
        match &sighting.event {
            NetworkEvent::Core(event) => self.record.event(sighting.node, sighting.at, event),
            NetworkEvent::Listening { .. } | NetworkEvent::OwnRecord { .. } => {}
            NetworkEvent::ListenerClosed { reason, .. } => {
                self.record.fault(sighting.node, format!("no longer listens: {reason:?}"));
            }
        }
    }

    fn take_publication(&mut self, publication: Publication) {
        let Publication { node, number, hash, at, out, result } = publication;
        self.record.published(hash, at);
        self.record.out(number, out);
        if let Err(error) = result {
            self.record.fault(node, format!("could not publish block {number}: {error}"));
        }
    }

    /// Has the next block published, when it is due and its preconfer has the parent.
    fn publish_due(&mut self) {
        let Some(block) = self.next.as_ref().filter(|_| self.due > 0) else { return };
        let parent = block.signed.preconf().parent_preconfirmation_hash;
        if block.number > 1 && !self.record.has_accepted(block.preconfer, parent) {
            return;
        }
        self.due -= 1;
        self.record.will_publish(block, block.preconfer);
        self.publishing.push(Box::pin(publish(self.nodes[block.preconfer].handle.clone(), block.clone())));
        self.next = self.plan.after(block);
    }

    async fn draw(&mut self) -> Result<(), DevnetError> {
        if self.table.is_drawn() {
            let built = self.next.as_ref().map_or(self.args.blocks, |next| next.number - 1);
            let built = if self.nodes.is_empty() { 0 } else { built };
            let title = format!("block {built} of {}, {:.1} s", self.args.blocks, self.started.elapsed().as_secs_f64());
            let rows = self.rows().await?;
            self.table.draw(title, &rows);
        }
        Ok(())
    }

    async fn rows(&self) -> Result<Vec<NodeReport>, HandleError> {
        let mut rows = Vec::new();
        for node in &self.nodes {
            rows.push(row(node).await?);
        }
        for hostile in &self.hostile {
            let judged = self.record.judged(hostile.peer);
            rows.push(NodeReport {
                name: hostile.name.clone(),
                role: Role::Hostile,
                runtime: Home::tokio().name,
                peer_id: hostile.peer.to_string(),
                head_number: None,
                head_hash: None,
                ready: 0,
                executed: 0,
                lag: Some(0),
                accepted: judged.accepted,
                ignored: judged.ignored,
                rejected: judged.rejected,
                peers: hostile.deeds().peers,
            });
        }
        Ok(rows)
    }

    /// Looks at everyone a last time and sends them home.
    async fn finish(mut self) -> Result<(Report, Vec<String>), DevnetError> {
        self.pause(LAST_WORDS).await?;
        let nodes = self.rows().await?;
        let elapsed = self.started.elapsed();
        self.table.clear();
        let mut faults = self.record.faults();
        faults.extend(strays(&nodes));
        let mut opinions = Vec::new();
        faults.extend(idle(&nodes));
        let mut notes = Vec::new();
        if let Some(delay) = self.record.delay() {
            notes.push(format!("every block was ready everywhere {:.3} s after the last one was published", delay.as_secs_f64()));
        }
        if self.args.drop > 0.0 {
            faults.extend(self.record.slow(REPAIR_LIMIT));
            notes.push(format!("{} of {} gossip messages were lost on arrival", self.tally.lost(), self.tally.arrived()));
        }
        for hostile in std::mem::take(&mut self.hostile) {
            let (name, sent, judged) = (hostile.name.clone(), hostile.deeds().sent, self.record.judged(hostile.peer));
            let labels: Vec<String> = judged.labels.iter().map(|(label, count)| format!("{label} {count}")).collect();
            notes.push(format!("{name} sent {sent} messages; refused where they were heard: {}", labels.join(", ")));
            if judged.rejected == 0 {
                faults.push(format!("{name} sent {sent} messages and nobody rejected one: nothing is proven"));
            }
            let told = Opinion::all(&hostile, &self.nodes).await?;
            if !told.iter().any(|opinion| opinion.is_out) {
                faults.push(format!("{name} is neither pruned nor banned by anyone (P7.4)"));
            }
            opinions.extend(told);
            if !hostile.stop().await {
                faults.push(format!("{name} died"));
            }
        }
        for node in std::mem::take(&mut self.nodes) {
            let name = node.name.clone();
            if !node.stop().await {
                faults.push(format!("{name} died"));
            }
        }
        let report = Report {
            ok: faults.is_empty(),
            runtime: self.homes.name,
            elapsed_s: seconds(elapsed),
            blocks: self.args.blocks,
            propagation_ms: Propagation::of(self.record.propagation()),
            nodes,
            hostile: opinions,
            notes,
        };
        Ok((report, faults))
    }
}

/// Honest nodes whose head is not that of the first one.
fn strays(nodes: &[NodeReport]) -> Vec<String> {
    let honest = || nodes.iter().filter(|node| node.role != Role::Hostile);
    let Some(first) = honest().next() else { return Vec::new() };
    let strays = honest().filter(|node| node.head_hash != first.head_hash);
    strays.map(|node| format!("{} has head {:?}, {} has {:?}", node.name, node.head_hash, first.name, first.head_hash)).collect()
}

/// Honest nodes whose host did not execute all that was ready.
fn idle(nodes: &[NodeReport]) -> Vec<String> {
    let idle = nodes.iter().filter(|node| node.role != Role::Hostile && node.executed != node.ready);
    idle.map(|node| format!("{} executed {} of {} ready blocks", node.name, node.executed, node.ready)).collect()
}

async fn row(node: &Node) -> Result<NodeReport, HandleError> {
    let status = node.handle.status().await?;
    Ok(NodeReport {
        name: node.name.clone(),
        role: node.role,
        runtime: node.home.name,
        peer_id: node.handle.local_peer_id().to_string(),
        head_number: status.node.head.map(|(number, _)| number),
        head_hash: status.node.head.map(|(_, hash)| hash.to_string()),
        ready: status.node.ready_to,
        executed: status.node.executed_to,
        lag: status.node.lag,
        accepted: status.stats.accepted,
        ignored: status.stats.ignored,
        rejected: status.stats.rejected,
        peers: status.node.peers,
    })
}

async fn tick(ticks: &mut Interval, is_building: bool) {
    if is_building {
        ticks.tick().await;
    } else {
        pending().await
    }
}

async fn publish(node: NetworkHandle, block: Block) -> Publication {
    let (number, hash, preconfer) = (block.number, block.hash, block.preconfer);
    let mut at = Instant::now();
    let result = async {
        if block.txlist_first {
            node.publish_txlist(block.txlist).await?;
            at = Instant::now();
            node.publish_commitment(block.signed).await?;
        } else {
            node.publish_commitment(block.signed).await?;
            node.publish_txlist(block.txlist).await?;
        }
        Ok(())
    }
    .await;
    Publication { node: preconfer, number, hash, at, out: Instant::now(), result }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, role: Role, head_hash: Option<&str>) -> NodeReport {
        NodeReport {
            name: name.to_owned(),
            role,
            runtime: "tokio",
            peer_id: String::new(),
            head_number: None,
            head_hash: head_hash.map(str::to_owned),
            ready: 0,
            executed: 0,
            lag: Some(0),
            accepted: 0,
            ignored: 0,
            rejected: 0,
            peers: 0,
        }
    }

    #[test]
    fn a_node_with_another_head_is_named() {
        let mut nodes = vec![node("a", Role::Honest, Some("0x01")), node("b", Role::Late, Some("0x01")), node("x", Role::Hostile, None)];
        assert_eq!(strays(&nodes), [""; 0]);
        nodes.push(node("c", Role::Late, Some("0x02")));
        assert_eq!(strays(&nodes), [r#"c has head Some("0x02"), a has Some("0x01")"#]);
    }

    #[test]
    fn a_node_whose_host_lags_behind_is_named() {
        // P11.1
        let mut lazy = node("a", Role::Honest, None);
        assert_eq!(idle(std::slice::from_ref(&lazy)), [""; 0]);
        (lazy.ready, lazy.executed) = (8, 5);
        assert_eq!(idle(&[lazy]), ["a executed 5 of 8 ready blocks"]);
    }
}
