//! The loop: what passes between the machine, the network, idle threads and the application.
//!
//! One step at a time, in this order: what the machine wants is carried out; a deadline that is due; a command of our own application; a
//! finished job; and only then, when the application has room for what may come of it, a stranger. Nothing is awaited while an output is
//! carried out, so the machine and the network never see each other half way.

#[cfg(feature = "test-faults")]
mod faults;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, join3, ready, select};
use multiaddr::Multiaddr;
use preconf_core::{
    Action, Command, CommandId, Config, ConnectionId, Core, Event, Input, JobDone, Outcome, Output, PeerId, Record, Storage, Time, Update,
};
use preconf_libp2p::{Net, NetEvent, Transport};
use preconf_store::{Done, Store};
use preconf_trace::{Recorder, Segments};

use crate::clock::{Alarm, Clock};
use crate::config::NetworkConfig;
use crate::discovery::{Discovery, DiscoveryNews};
use crate::error::{HandleError, StartError};
use crate::events::{self, EventSender, NetworkEvent, NetworkEvents};
use crate::handle::{self, CommandQueue, NetworkCommand, NetworkHandle, NetworkStatus, PeerLists};
use crate::jobs::{JobRunner, Jobs, MAX_UNDER_WAY};
use crate::machine::Machine;
use crate::record::{self, Behind, RecordConfig};
use crate::ring::Ring;

/// Steps before other tasks of the same thread get their turn. Ours: it bounds their number, not their time. Most steps take microseconds; one
/// that recovers two signatures here, or names a gossip message of megabytes, takes far longer.
const STEPS_PER_TURN: u32 = 64;
/// Bytes of what is given back to the machine in one step. Ours: a step of a trace holds 16 MiB at most.
const PIECE_BYTES: usize = 8 << 20;
/// How long a shutdown waits for connections to close. Ours: they close at once unless the other end is stuck.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// How long it waits for discovery's sockets, the store and the end of the trace. Ours: with the above within the five seconds that operators
/// and supervisors are known to wait, and 32 MiB for any disk that can still be called one.
const END_LIMIT: Duration = Duration::from_secs(3);

/// What a node stands on. Each runtime has its own; a simulated world has others.
pub struct Environment {
    /// Sockets and what is on them.
    pub transport: Transport,
    /// Runs one background task per connection.
    pub executor: Box<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>,
    /// Runs the machine's slow work.
    pub jobs: Box<dyn JobRunner>,
    /// Tells the time and wakes the loop.
    pub clock: Box<dyn Clock>,
    /// Finds other nodes when the machine asks for it; [`NoDiscovery`](crate::NoDiscovery) does not.
    pub discovery: Box<dyn Discovery>,
    /// Keeps what must outlive the process. Without one the node publishes nothing, unless its configuration says that it is
    /// [`Ephemeral`](preconf_core::Storage::Ephemeral) (P5.9a).
    pub store: Option<Box<dyn Store>>,
    /// What the store gave back when it was opened. The machine is given it before the first socket opens (P7.7).
    pub records: Vec<Record>,
}

/// One node, ready to [`run`](NetworkDriver::run).
pub struct NetworkDriver {
    machine: Machine,
    net: Net,
    jobs: Jobs,
    alarm: Alarm,
    /// Does a peer's message reach the machine?
    #[cfg(feature = "test-faults")]
    admits: Box<dyn FnMut(&Input) -> bool + Send>,
    discovery: Box<dyn Discovery>,
    store: Option<Box<dyn Store>>,
    commands: CommandQueue,
    events: EventSender,
    /// Who waits for the end of a command. The machine bounds how many are under way.
    waiting: BTreeMap<CommandId, oneshot::Sender<Result<Outcome, HandleError>>>,
    listening: Vec<Multiaddr>,
    connections: BTreeMap<ConnectionId, PeerId>,
    peers: Vec<Multiaddr>,
    /// Since when there is no room for events, so that nothing is read from the network, and whether the machine was told (P6.5).
    unread: Option<(Time, bool)>,
}

impl NetworkDriver {
    /// Binds the sockets and prepares a node on these environment. Nothing moves until [`run`](Self::run).
    ///
    /// # Errors
    /// A bad configuration, or an address that cannot be listened on.
    pub fn new(mut config: NetworkConfig, environment: Environment) -> Result<(Self, NetworkHandle, NetworkEvents), StartError> {
        if environment.store.is_none() && config.core.storage == Storage::Durable {
            config.core.storage = Storage::Absent;
        }
        config.check()?;
        let seed = config.seed.map_or_else(random_seed, Ok).map_err(StartError::Entropy)?;
        let max_jobs = config.core.max_jobs_per_peer.min(MAX_UNDER_WAY);
        let runner: Arc<dyn JobRunner> = environment.jobs.into();
        let machine = start(config.core, seed, config.record, &runner, environment.clock, environment.records)?;
        let mut net = Net::new(config.net, config.keypair, environment.transport, environment.executor)?;
        for address in config.listen {
            net.listen(address.clone()).map_err(|source| StartError::Listen { address, source: Box::new(source) })?;
        }
        let (handle, commands) = handle::queue(config.command_capacity, net.local_peer_id());
        let (events, reader) = events::queue(config.event_capacity, config.event_bytes);
        let driver = Self {
            machine,
            net,
            jobs: Jobs::new(Box::new(runner), max_jobs),
            alarm: Alarm::default(),
            #[cfg(feature = "test-faults")]
            admits: Box::new(|_| true),
            discovery: environment.discovery,
            store: environment.store,
            commands,
            events,
            waiting: BTreeMap::new(),
            listening: Vec::new(),
            connections: BTreeMap::new(),
            peers: config.peers,
            unread: None,
        };
        Ok((driver, handle, reader))
    }

    /// Runs the node until it is told to shut down or the last handle is dropped.
    pub fn run(self) -> BoxFuture<'static, ()> {
        self.drive().boxed() // the loop is compiled here once, and not once more in every crate that runs it
    }

    async fn drive(mut self) {
        self.dial_peers();
        let mut steps = 0;
        loop {
            self.carry_out();
            steps += 1;
            if steps == STEPS_PER_TURN {
                steps = 0;
                if self.jobs.can_start() {
                    self.jobs.start(); // strangers that never fall silent must not keep a few small jobs waiting
                }
                yield_now().await;
            }
            // Once even the reserve is full, only the application can help; until it reads, nothing that could add to it goes on.
            if !self.events.is_choked() && self.machine.is_due() {
                if let Some((since, is_told @ false)) = &mut self.unread {
                    // Before a deadline is kept, and not whenever the queue is full for a moment.
                    *is_told = true;
                    self.machine.input(Input::ReadingStopped { since: *since });
                }
                self.machine.wake();
                continue;
            }
            match poll_fn(|context| self.poll_next(context)).await {
                Next::Due => {}
                Next::Command(NetworkCommand::Shutdown) | Next::NoHandle => break,
                Next::Command(command) => self.take_command(command),
                Next::Done(done) => self.machine.input(Input::JobFinished(done)),
                Next::Stored(Done { id, result: Ok(()) }) => self.machine.input(Input::Persisted { id }),
                Next::Stored(Done { id, result: Err(failure) }) => self.machine.input(Input::PersistFailed { id, failure }),
                Next::Found(news) => self.take_found(news),
                Next::Event(event) => self.take_event(event),
                Next::Idle => self.jobs.start(),
                Next::Room => self.machine.input(Input::ReadingResumed),
            }
        }
        self.close().await;
    }

    /// What comes next: timers, then our own user, then finished work, then strangers.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        // Asked first, and at each poll anew: every event that is read wakes us, and may be the one that was in the way.
        let has_room = self.events.poll_room(context).is_ready();
        if !has_room {
            self.unread.get_or_insert_with(|| (self.machine.now().mono, false));
        } else if let Some((_, true)) = self.unread.take() {
            return Poll::Ready(Next::Room);
        }
        let choked = !has_room && self.events.is_choked();
        let due = self.machine.due().filter(|_| !choked);
        if self.alarm.poll_ring(self.machine.clock(), due, context).is_ready() {
            return Poll::Ready(Next::Due);
        }
        if let Poll::Ready(command) = self.commands.poll_next(context) {
            return Poll::Ready(command.map_or(Next::NoHandle, Next::Command));
        }
        if !choked && let Poll::Ready(done) = self.jobs.poll_next(context) {
            return Poll::Ready(Next::Done(done));
        }
        if !choked
            && let Some(store) = &mut self.store
            && let Poll::Ready(done) = store.poll_done(context)
        {
            return Poll::Ready(Next::Stored(done));
        }
        if has_room && let Poll::Ready(news) = self.discovery.poll_news(context) {
            return Poll::Ready(Next::Found(news));
        }
        if has_room
            && self.jobs.has_room()
            && let Poll::Ready(event) = self.net.poll_event(context)
        {
            return Poll::Ready(Next::Event(event));
        }
        // Nobody else has anything to say: time for the few small jobs that gathered.
        if self.jobs.can_start() { Poll::Ready(Next::Idle) } else { Poll::Pending }
    }

    /// Does what the machine wants done, and tells it at once what the network knows of that without asking strangers: so our own
    /// publications are answered even while nobody reads events.
    fn carry_out(&mut self) {
        loop {
            while let Some(output) = self.machine.output() {
                match output {
                    Output::Net(Action::LookUp { lookup }) => self.discovery.look_up(lookup),
                    Output::Net(Action::Introduce { record }) => self.discovery.introduce(record),
                    Output::Net(Action::AdvertiseAddress { address }) => self.discovery.advertise_address(address),
                    Output::Net(action) => self.net.apply(action),
                    Output::Job(job) => self.jobs.push(job),
                    Output::App(event) => self.tell(event),
                    Output::Persist { id, record } => {
                        // Without a store the machine's configuration says so, and nothing waits for it.
                        if let Some(store) = &mut self.store {
                            store.persist(id, record);
                        }
                    }
                }
            }
            let Some(event) = self.net.take_known() else { break };
            self.take_event(event);
        }
        if self.jobs.is_pressing() {
            self.jobs.start();
        }
    }

    /// Tells the application, or whoever waits for just this.
    fn tell(&mut self, event: Event) {
        if let Event::CommandFinished { command, outcome } = event {
            match self.waiting.remove(&command) {
                // Who no longer waits does not want to know.
                Some(reply) => drop(reply.send(Ok(outcome))),
                None => self.events.push(NetworkEvent::Core(Event::CommandFinished { command, outcome })),
            }
        } else {
            self.events.push(NetworkEvent::Core(event));
        }
    }

    fn take_command(&mut self, command: NetworkCommand) {
        // A dropped reply means that nobody waits for it any more.
        match command {
            NetworkCommand::Ask { command, reply } => match self.try_command(command) {
                Ok(id) => drop(self.waiting.insert(id, reply)),
                Err(error) => drop(reply.send(Err(error))),
            },
            NetworkCommand::Tell { update, reply } => drop(reply.send(self.try_update(update))),
            NetworkCommand::ListenAddresses { reply } => drop(reply.send(self.listening.clone())),
            NetworkCommand::Peers { reply } => drop(reply.send(self.machine.core().peers(self.machine.now()))),
            NetworkCommand::Status { reply } => drop(reply.send(self.status())),
            NetworkCommand::Explain { peer, reply } => drop(reply.send(self.machine.core().explain(self.machine.now(), peer))),
            NetworkCommand::Health { from, reply } => drop(reply.send(self.machine.core().health(self.machine.now(), from))),
            NetworkCommand::Lists { reply } => drop(reply.send(self.lists())),
            NetworkCommand::Shutdown => {} // seen by the loop
        }
    }

    fn try_command(&mut self, command: Command) -> Result<CommandId, HandleError> {
        self.check_room_for_events()?;
        Ok(self.machine.command(command)?)
    }

    fn try_update(&mut self, update: Update) -> Result<(), HandleError> {
        self.check_room_for_events()?;
        Ok(self.machine.update(update)?)
    }

    /// Refused rather than made to wait: who asks may be the one that should read.
    fn check_room_for_events(&self) -> Result<(), HandleError> {
        if self.events.is_choked() { Err(HandleError::EventsUnread { waiting: self.events.waiting() }) } else { Ok(()) }
    }

    fn status(&self) -> NetworkStatus {
        NetworkStatus {
            node: self.machine.core().status(self.machine.now()),
            stats: self.machine.core().stats().clone(),
            net: self.net.counters(),
            events_waiting: self.events.waiting(),
        }
    }

    fn lists(&self) -> PeerLists {
        let (core, now) = (self.machine.core(), self.machine.now());
        let gater = core.gater();
        PeerLists {
            blocked_peers: gater.blocked_peers().collect(),
            blocked_addresses: gater.blocked_addresses().collect(),
            blocked_subnets: gater.blocked_subnets().collect(),
            protected: gater.protected_peers().collect(),
            trusted: core.trusted().collect(),
            banned: core.banned(now).into_iter().map(|(peer, ends)| (peer, ends.since(now.mono))).collect(),
        }
    }

    fn take_event(&mut self, event: NetEvent) {
        match event {
            NetEvent::Input(input) => {
                self.note_connections(&input);
                #[cfg(feature = "test-faults")]
                let Some(input) = self.admitted(input) else { return };
                self.machine.input(input);
            }
            NetEvent::Listening { address } => {
                if self.listening.contains(&address) {
                    return; // one address, however often its interface comes and goes
                }
                tracing::info!(%address, "listening");
                self.discovery.listening(&address);
                self.listening.push(address.clone());
                self.events.push(NetworkEvent::Listening { address });
            }
            NetEvent::ListenerClosed { addresses, reason } => {
                tracing::warn!(?addresses, ?reason, "no longer listening");
                self.fall_silent(addresses, reason.map(|error| error.to_string()));
            }
            NetEvent::ListenExpired { address } => {
                tracing::info!(%address, "no longer an address of this machine");
                self.fall_silent(vec![address], None);
            }
            NetEvent::ListenerError { error } => tracing::warn!(%error, "a listener failed to take a connection"),
        }
    }

    fn fall_silent(&mut self, addresses: Vec<Multiaddr>, reason: Option<String>) {
        addresses.iter().for_each(|address| self.discovery.expired(address));
        self.listening.retain(|address| !addresses.contains(address));
        self.events.push(NetworkEvent::ListenerClosed { addresses, reason });
    }

    fn take_found(&mut self, news: DiscoveryNews) {
        match news {
            DiscoveryNews::Found(record) => self.machine.input(Input::RecordFound { record }),
            DiscoveryNews::Finished { lookup, succeeded } => self.machine.input(Input::LookupFinished { lookup, succeeded }),
            DiscoveryNews::OwnRecord(record) => {
                tracing::info!(record, "others find this node by this record");
                self.events.push(NetworkEvent::OwnRecord { record });
            }
        }
    }

    /// Keeps the list of connections that a shutdown has to close.
    fn note_connections(&mut self, input: &Input) {
        if let Input::ConnectionOpened { peer, connection, .. } = input {
            self.connections.insert(*connection, *peer);
        } else if let Input::ConnectionClosed { connection, .. } = input {
            self.connections.remove(connection);
        }
    }

    fn dial_peers(&mut self) {
        for address in std::mem::take(&mut self.peers) {
            self.dial(&address);
        }
    }

    fn dial(&mut self, address: &Multiaddr) {
        let command = Command::Dial { address: address.to_string() };
        if let Err(error) = self.machine.command(command) {
            tracing::warn!(%address, %error, "not dialed");
        }
    }

    /// Closes every connection, tells what comes of that, and then lets go of sockets, trace, events and commands, in this order: neither a disk
    /// that hangs nor a discovery that is slow to end keeps a port taken.
    async fn close(mut self) {
        for peer in self.connections.values() {
            self.net.apply(Action::Disconnect { peer: *peer });
        }
        let limit = self.machine.now().mono.after(CLOSE_LIMIT);
        let mut timeout = self.machine.clock().sleep_until(limit);
        while !self.connections.is_empty() {
            let Either::Right((event, _)) = select(&mut timeout, pin!(self.net.next_event())).await else { break };
            // What ends is still told; what strangers still say no longer matters.
            if matches!(event, NetEvent::Input(Input::ConnectionClosed { .. } | Input::RequestFailed { .. })) {
                self.take_event(event);
                self.carry_out();
            }
        }
        drop(self.net);
        drop(self.jobs);
        drop(self.waiting);
        let (rest, clock) = self.machine.end();
        let limit = clock.now().mono.after(END_LIMIT);
        let rest = rest.map_or_else(|| ready(()).boxed(), |rest| rest.finish().boxed());
        let stored = self.store.map_or_else(|| ready(()).boxed(), |store| store.close());
        if let Either::Left(_) = select(clock.sleep_until(limit), pin!(join3(self.discovery.close(), rest, stored))).await {
            tracing::warn!(limit = ?END_LIMIT, "discovery, the store, or the end of the trace takes too long to finish and is left behind");
        }
        drop(self.events);
        drop(self.commands); // last: `shutdown` waits for it
    }
}

/// What the loop was waiting for.
enum Next {
    /// A deadline is near.
    Due,
    /// Our own user wants something.
    Command(NetworkCommand),
    /// Our own user is gone.
    NoHandle,
    /// Slow work is finished.
    Done(JobDone),
    /// A record is on disk, or is not.
    Stored(Done),
    /// Discovery found somebody.
    Found(DiscoveryNews),
    /// The network has something to say.
    Event(NetEvent),
    /// Nobody has anything to say, and small jobs wait.
    Idle,
    /// There is room for events again.
    Room,
}

/// Starts the machine, gives back to it what was kept, and records it if it is to be.
fn start(
    config: Config,
    seed: [u8; 32],
    record: Option<RecordConfig>,
    runner: &Arc<dyn JobRunner>,
    clock: Box<dyn Clock>,
    records: Vec<Record>,
) -> Result<Machine, StartError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Record { path, source }
    };
    let now = clock.now();
    let kept = pieces(records).into_iter().map(Update::Restore);
    if let Some(record) = record.as_ref().filter(|record| record.is_ring) {
        // What was kept is in the first snapshot: as a step it would fill the ring with txlists that are there already.
        let mut core = Core::new(config.clone(), seed, now)?;
        kept.into_iter().for_each(|update| core.handle_update(now, update).expect("what was kept is always taken back"));
        let (to, rest) = record::behind(Ring::new(&record.path, record.max_bytes), Arc::clone(runner));
        let segments = Segments { bytes: record.segment_bytes(), begin: Behind::begin_segment };
        return Ok(Machine::new(Recorder::in_segments(core, &config, seed, to, segments), Some(rest), clock));
    }
    let tape = record.map(|record| {
        let file = record.open().map_err(failed(&record.path))?;
        Ok::<_, StartError>(record::tape(file, record.max_bytes, Arc::clone(runner)))
    });
    let (tape, rest) = tape.transpose()?.unzip();
    let core = Recorder::start(config, seed, now, tape)?;
    let mut machine = Machine::new(core, rest, clock);
    kept.for_each(|update| machine.update(update).expect("what was kept is always taken back"));
    Ok(machine)
}

/// Gives other tasks of the same thread their turn, under any executor.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Records in pieces that a step of a trace can hold: the chain before its txlists, and what is our own last.
fn pieces(records: Vec<Record>) -> Vec<Vec<Record>> {
    let (own, others): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| matches!(record, Record::Committed(_)));
    let (txlists, chain): (Vec<_>, Vec<_>) = others.into_iter().partition(|record| matches!(record, Record::TxList { .. }));
    let mut pieces = vec![chain];
    let mut bytes = PIECE_BYTES;
    for record in txlists.into_iter().chain(own) {
        let len = match &record {
            Record::TxList { txlist, .. } => txlist.len(),
            Record::Committed(own) => own.txlist.as_ref().map_or(0, |txlist| txlist.len()) + preconf_core::SIGNED_COMMITMENT_BYTES,
            _ => 0,
        };
        if bytes + len > PIECE_BYTES {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += len;
        pieces.last_mut().expect("there is one").push(record);
    }
    pieces.retain(|records| !records.is_empty());
    pieces
}

fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use libp2p_core::transport::MemoryTransport;
    use libp2p_identity::Keypair;
    use preconf_core::{Bytes, ChainId, Config, Job, JobId, MAX_OUTPUTS_PER_STEP, Now, Time, Work};

    use super::*;
    use crate::discovery::NoDiscovery;
    use crate::jobs::BoxedWork;

    /// Time stands still, and slow work is done on the spot.
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Now {
            Now::default()
        }

        fn sleep_until(&self, _: Time) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    impl JobRunner for Still {
        fn run(&self, work: BoxedWork) {
            work();
        }

        fn width(&self) -> usize {
            1
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn node(event_capacity: usize) -> (NetworkDriver, NetworkHandle, NetworkEvents) {
        let config = NetworkConfig::new(Config::new(ChainId(1)), Keypair::generate_ed25519());
        let environment = Environment {
            transport: preconf_libp2p::upgrade(MemoryTransport::new(), &config.keypair).expect("a key for noise"),
            executor: Box::new(drop),
            jobs: Box::new(Still),
            clock: Box::new(Still),
            discovery: Box::new(NoDiscovery::default()),
            store: None,
            records: Vec::new(),
        };
        NetworkDriver::new(NetworkConfig { event_capacity, ..config }, environment).expect("a node that starts")
    }

    #[test]
    fn finished_work_goes_on_with_the_first_event_that_is_read_of_too_many() {
        let (mut driver, _handle, mut events) = node(2);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        (0..2 + MAX_OUTPUTS_PER_STEP).for_each(|_| driver.events.push(NetworkEvent::Listening { address: Multiaddr::empty() }));
        driver.jobs.push(Job { id: JobId(1), work: Work::Hash { txlist: Bytes::from(vec![7; 1 << 20]) } });
        driver.jobs.start();
        assert!(driver.poll_next(&mut context).is_pending(), "even the reserve is used up");
        let before = woken.0.load(Ordering::Relaxed);
        assert!(events.try_recv().is_some());
        assert!(woken.0.load(Ordering::Relaxed) > before, "who waits is told that there is room");
        assert!(matches!(driver.poll_next(&mut context), Poll::Ready(Next::Done(done)) if done.id == JobId(1)));
    }

    #[test]
    fn our_own_user_comes_before_finished_work() {
        let (mut driver, handle, _events) = node(2);
        driver.jobs.push(Job { id: JobId(1), work: Work::Hash { txlist: Bytes::from_static(b"txs") } });
        driver.jobs.start();
        let mut context = Context::from_waker(Waker::noop());
        let mut asked = Box::pin(handle.status());
        assert!(asked.as_mut().poll(&mut context).is_pending());
        assert!(matches!(driver.poll_next(&mut context), Poll::Ready(Next::Command(NetworkCommand::Status { .. }))));
        assert!(matches!(driver.poll_next(&mut context), Poll::Ready(Next::Done(_))));
        assert!(driver.poll_next(&mut context).is_pending());
    }
}
