//! A node records what its machine is told, whatever runtime is around it.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use futures::executor::{ThreadPool, block_on};
use futures::future::{BoxFuture, FutureExt, pending};
use libp2p_core::transport::MemoryTransport;
use preconf_core::{ChainId, Config, Now, Time, Update, Window};
use preconf_libp2p::upgrade;
use preconf_node::{
    BoxedWork, Clock, Environment, JobRunner, Keypair, NetworkConfig, NetworkDriver, NetworkEvents, NetworkHandle, NoDiscovery,
    RecordConfig, StartError,
};
use preconf_trace::{Call, Ending, Replay};

/// Time stands still: nothing here waits for it.
struct Still;

impl Clock for Still {
    fn now(&self) -> Now {
        Now::default()
    }

    fn sleep_until(&self, _: Time) -> BoxFuture<'static, ()> {
        pending().boxed()
    }
}

/// A runner that is closed: it fails loudly when somebody still wants work done.
struct Closed;

impl JobRunner for Closed {
    fn run(&self, _: BoxedWork) {
        panic!("no work is done any more");
    }

    fn width(&self) -> usize {
        1
    }
}

/// Runs work on the threads of the test.
struct Threads(ThreadPool);

impl JobRunner for Threads {
    fn run(&self, work: BoxedWork) {
        self.0.spawn_ok(async move { work() });
    }

    fn width(&self) -> usize {
        1
    }
}

fn node(
    threads: &ThreadPool,
    record: RecordConfig,
    jobs: impl JobRunner,
) -> Result<(NetworkDriver, NetworkHandle, NetworkEvents), StartError> {
    let mut config = NetworkConfig::new(Config::new(ChainId(167_000)), Keypair::generate_secp256k1());
    config.listen.push("/memory/0".parse().unwrap());
    config.record = Some(record);
    let tasks = threads.clone();
    let environment = Environment {
        transport: upgrade(MemoryTransport::new(), &config.keypair).unwrap(),
        executor: Box::new(move |task| tasks.spawn_ok(task)),
        jobs: Box::new(jobs),
        clock: Box::new(Still),
        discovery: Box::new(NoDiscovery::default()),
        store: None,
        records: Vec::new(),
    };
    NetworkDriver::new(config, environment)
}

/// Relives a trace; gives what the machine was told, and how that ended.
fn relive(trace: &Path) -> (Vec<Call>, Ending) {
    let (mut replay, mut calls) = (Replay::open(File::open(trace).unwrap()).unwrap(), Vec::new());
    while let Some(step) = replay.step().unwrap() {
        assert!(step.matches(), "{step:#?}");
        calls.push(step.step.call);
    }
    (calls, replay.ending().unwrap())
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn when_a_node_has_shut_down_its_trace_is_whole() {
    let (threads, trace) = (ThreadPool::new().unwrap(), folder("shut_down").join("node.trace"));
    let (driver, handle, _events) = node(&threads, RecordConfig::new(&trace), Threads(threads.clone())).unwrap();
    threads.spawn_ok(driver.run());
    let window = Window { start: 1, end: 9, preconfer: [1; 20].into(), settled_at: Some(0) };
    block_on(async {
        handle.update_schedule(vec![window]).await.unwrap();
        handle.shutdown().await;
    });
    assert_eq!(relive(&trace), (vec![Call::Update(Update::Schedule(vec![window]))], Ending::Closed));
}

#[test]
fn a_node_that_never_ran_leaves_an_empty_trace_and_asks_nobody_for_work() {
    let (threads, trace) = (ThreadPool::new().unwrap(), folder("never_ran").join("node.trace"));
    drop(node(&threads, RecordConfig::new(&trace), Closed).unwrap());
    assert_eq!(relive(&trace), (vec![], Ending::Closed));
}

#[test]
fn a_file_that_cannot_be_made_is_told_at_the_start() {
    let (threads, trace) = (ThreadPool::new().unwrap(), folder("no_folder").join("missing/node.trace"));
    let error = node(&threads, RecordConfig::new(&trace), Closed).err().unwrap();
    assert!(matches!(&error, StartError::Record { path, .. } if *path == trace), "{error:?}");
    assert!(error.to_string().contains("give a file in a folder that is there"), "{error}");
}

#[test]
fn a_ring_that_cannot_be_written_keeps_no_node_from_starting() {
    let (threads, folder) = (ThreadPool::new().unwrap(), folder("no_ring"));
    let path = folder.join("ring");
    fs::write(&path, b"a file, where the folder should be").unwrap();
    let (driver, handle, _events) = node(&threads, RecordConfig::ring(&path), Threads(threads.clone())).unwrap();
    threads.spawn_ok(driver.run());
    block_on(async {
        handle.update_schedule(vec![]).await.unwrap();
        handle.status().await.expect("P10.4: it goes on unrecorded");
        handle.shutdown().await;
    });
    assert_eq!(fs::read(&path).unwrap(), b"a file, where the folder should be");
}
