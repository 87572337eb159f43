//! What does a node do whose disk takes a write and does not come back from it (P5.9a, P10.4)?
//!
//! The program's own store and a node on tokio, over real sockets, on a disk whose writes and syncs wait until the test lets them go: a minute,
//! a night, or for ever looks the same from here. `conformance/kill --hang` does the same to the program itself, by the system's calls.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use preconf_core::{
    B256, Bytes, ChainId, Config, DEFAULT_DOMAIN, Event, PreconfCommitment, Preconfirmation, Record, SecretKey, SignedCommitment, Storage,
    U256, UnixTime, Window, address_of, keccak256, preconfirmation_hash, sign,
};
use preconf_store::disk::{Disk, DiskFile, FileId, Lock, LockError, OsDisk};
use preconf_store::{Opened, Options, RedbStore};
use preconf_tokio::{Keypair, NetworkConfig, NetworkDriver, NetworkEvent, NetworkEvents, NetworkHandle};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

/// Longer than anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// P10.4: how soon a node with such a disk answers, and ends.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
const END_LIMIT: Duration = Duration::from_secs(5);
/// How long nothing may leave while the disk hangs. Ours: a thousand times what a publication takes on loopback.
const SILENCE: Duration = Duration::from_secs(2);
const CHAIN: ChainId = ChainId(7);

/// Lets writes through, or keeps them waiting.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    is_shut: bool,
    /// Writes that wait.
    waiting: usize,
}

impl Gate {
    fn shut(&self, is_shut: bool) {
        self.state.lock().unwrap().is_shut = is_shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.is_shut).unwrap();
        state.waiting -= 1;
    }

    /// Until a write waits.
    fn has_caught(&self) {
        let state = self.state.lock().unwrap();
        let (_state, waited) = self.changed.wait_timeout_while(state, LIMIT, |state| state.waiting == 0).unwrap();
        assert!(!waited.timed_out(), "nothing is written");
    }
}

/// The system's disk behind a gate.
#[derive(Debug)]
struct Hanging(Arc<Gate>);

#[derive(Debug)]
struct HangingFile(Arc<Gate>, Arc<dyn DiskFile>);

impl Disk for Hanging {
    fn now(&self) -> UnixTime {
        OsDisk.now()
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.make_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Lock, LockError> {
        OsDisk.lock(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(HangingFile(self.0.clone(), OsDisk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(HangingFile(self.0.clone(), OsDisk.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.pass();
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.pass();
        OsDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.pass();
        OsDisk.sync_dir(dir)
    }

    fn identity(&self, path: &Path) -> io::Result<FileId> {
        OsDisk.identity(path)
    }
}

impl DiskFile for HangingFile {
    fn len(&self) -> io::Result<u64> {
        self.1.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.pass();
        self.1.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.pass();
        self.1.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.pass();
        self.1.sync()
    }

    fn identity(&self) -> io::Result<FileId> {
        self.1.identity()
    }
}

/// A preconfer's one window, and what it says in it.
struct Scene {
    dir: PathBuf,
    gate: Arc<Gate>,
    window: Window,
    key: SecretKey,
}

/// A node that runs.
struct Node {
    handle: NetworkHandle,
    events: NetworkEvents,
}

impl Scene {
    fn new(name: &str) -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hanging-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let (key, now) = (SecretKey::from_secret_bytes([7; 32]).unwrap(), UNIX_EPOCH.elapsed().unwrap().as_secs());
        let window = Window { start: now - 100, end: now + 3_600, preconfer: address_of(&key), settled_at: Some(0) };
        Self { dir, gate: Arc::default(), window, key }
    }

    /// A node on tokio, with the program's store on this disk or with none.
    async fn start(&self, is_stored: bool) -> Node {
        let storage = if is_stored { Storage::Durable } else { Storage::Ephemeral };
        let mut config = NetworkConfig::new(Config { storage, ..Config::new(CHAIN) }, Keypair::generate_secp256k1());
        config.listen.push("/ip4/127.0.0.1/tcp/0".parse().unwrap());
        let mut environment = preconf_tokio::environment(&config).unwrap();
        if is_stored {
            let disk = Arc::new(Hanging(self.gate.clone()));
            let (store, Opened { records, .. }) = RedbStore::open_on(disk, &self.dir, &Options::new(CHAIN, DEFAULT_DOMAIN)).unwrap();
            environment.store = Some(Box::new(store));
            environment.records = records;
        }
        let (driver, handle, events) = NetworkDriver::new(config, environment).unwrap();
        tokio::spawn(driver.run());
        handle.update_schedule(vec![self.window]).await.unwrap();
        Node { handle, events }
    }

    /// A node on the disk, and a peer that hears it.
    async fn pair(&self) -> (Node, Node) {
        let (mut peer, mut node) = (self.start(false).await, self.start(true).await);
        let address = peer.find(|event| if let NetworkEvent::Listening { address } = event { Some(address) } else { None }).await;
        node.handle.dial(address).await.unwrap();
        node.find(|event| matches!(event, NetworkEvent::Core(Event::PeerConnected { .. })).then_some(())).await;
        (node, peer)
    }

    fn block(&self, number: u64, parent: B256) -> (SignedCommitment, Bytes) {
        let txlist = Bytes::from(format!("what block {number} holds"));
        let preconf = Preconfirmation {
            block_number: U256::from(number),
            timestamp: U256::from(self.window.start + number),
            gas_limit: U256::from(30_000_000),
            raw_tx_list_hash: keccak256(&txlist),
            parent_preconfirmation_hash: parent,
            submission_window_end: U256::from(self.window.end),
            ..Preconfirmation::default()
        };
        (sign(PreconfCommitment { preconf, ..PreconfCommitment::default() }, &self.key, DEFAULT_DOMAIN), txlist)
    }

    /// Block 1 is said and heard while the disk is well, so that nothing but the disk keeps the next one; gives that.
    async fn first(&self, node: &Node, peer: &mut Node) -> (SignedCommitment, Bytes) {
        let (commitment, txlist) = self.block(1, B256::ZERO);
        let parent = preconfirmation_hash(&commitment);
        timeout(LIMIT, node.handle.publish_block(commitment, txlist)).await.expect("in time").expect("published");
        peer.accepts_block(1).await;
        self.block(2, parent)
    }

    /// Blocks that it committed to, as the next start finds them.
    fn stored(&self) -> Vec<u64> {
        let (_store, Opened { records, .. }) = RedbStore::open(&self.dir, &Options::new(CHAIN, DEFAULT_DOMAIN)).unwrap();
        records.iter().filter_map(|record| if let Record::Committed(own) = record { Some(own.block_number()) } else { None }).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.gate.shut(false); // so that the store's threads end
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Node {
    async fn find<T>(&mut self, find: impl Fn(NetworkEvent) -> Option<T>) -> T {
        let read_on = async {
            loop {
                if let Some(found) = find(self.events.recv().await.expect("it runs")) {
                    return found;
                }
            }
        };
        timeout(LIMIT, read_on).await.expect("in time")
    }

    async fn accepts_block(&mut self, number: u64) {
        let is_it =
            |event| matches!(event, NetworkEvent::Core(Event::CommitmentAccepted { commitment, .. }) if commitment.block_number == number);
        self.find(|event| is_it(event).then_some(())).await;
    }

    /// P10.4
    async fn head_in_time(&self) -> u64 {
        let status = timeout(ANSWER_LIMIT, self.handle.status()).await.expect("an answer within a second").unwrap();
        status.node.head.map_or(0, |(number, _)| number)
    }

    /// P10.4
    async fn ends_in_time(&self) {
        timeout(END_LIMIT, self.handle.shutdown()).await.expect("it ends within five seconds");
    }
}

/// Runs a scene to its end, however many threads still hang.
fn play(scene: impl Future<Output = ()>) {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(scene);
    let began = Instant::now();
    runtime.shutdown_background();
    assert!(began.elapsed() < END_LIMIT, "a disk that hangs keeps nobody");
}

#[test]
fn p5_9a_a_word_waits_for_as_long_as_the_disk_hangs_and_leaves_once_it_is_stored() {
    play(async {
        let scene = Scene::new("then-stored");
        let (mut node, mut peer) = scene.pair().await;
        let (commitment, txlist) = scene.first(&node, &mut peer).await;
        scene.gate.shut(true);
        let handle = node.handle.clone();
        let mut published = tokio::spawn(async move { handle.publish_block(commitment, txlist).await });
        let waiting = Instant::now();
        while waiting.elapsed() < SILENCE {
            assert!(!published.is_finished(), "it is not said to be published");
            assert_eq!((node.head_in_time().await, peer.head_in_time().await), (1, 1), "nor accepted here, nor heard of by anybody");
            sleep(Duration::from_millis(50)).await;
        }
        let (_, served) = peer.handle.get_commitments(2, 10, Some(node.handle.local_peer_id())).await.unwrap();
        assert!(served.is_empty(), "nor served: {served:?}");

        scene.gate.shut(false);
        timeout(LIMIT, &mut published).await.expect("in time").unwrap().expect("published");
        node.accepts_block(2).await;
        peer.accepts_block(2).await;
        node.ends_in_time().await;
        assert_eq!(scene.stored(), [1, 2]);
    });
}

#[test]
fn p10_4_a_node_whose_disk_hangs_ends_in_time_and_what_it_did_not_store_was_never_said() {
    play(async {
        let scene = Scene::new("for-ever");
        let (node, mut peer) = scene.pair().await;
        let (commitment, txlist) = scene.first(&node, &mut peer).await;
        scene.gate.shut(true);
        let handle = node.handle.clone();
        let published = tokio::spawn(async move { handle.publish_block(commitment, txlist).await });
        let gate = scene.gate.clone();
        tokio::task::spawn_blocking(move || gate.has_caught()).await.unwrap();
        assert_eq!((node.head_in_time().await, peer.head_in_time().await), (1, 1));
        node.ends_in_time().await;
        let outcome = timeout(END_LIMIT, published).await.expect("it is answered").unwrap();
        assert!(outcome.is_err(), "nobody is told that it was published: {outcome:?}");
        peer.find(|event| matches!(event, NetworkEvent::Core(Event::PeerDisconnected { .. })).then_some(())).await;
        assert_eq!(peer.head_in_time().await, 1, "the end lets nothing out either");
    });
}

#[test]
fn p10_4_a_node_whose_disk_hangs_hears_what_others_say() {
    play(async {
        let scene = Scene::new("follows");
        let (mut node, mut peer) = scene.pair().await;
        let (commitment, txlist) = scene.first(&node, &mut peer).await;
        scene.gate.shut(true);
        peer.handle.publish_block(commitment, txlist).await.unwrap();
        node.accepts_block(2).await;
        let is_ready = |event| matches!(event, NetworkEvent::Core(Event::BlockReady { commitment, .. }) if commitment.block_number == 2);
        node.find(|event| is_ready(event).then_some(())).await;
        assert_eq!(node.head_in_time().await, 2);
        node.ends_in_time().await;
    });
}
