//! What does a node stand on under async-std?

use preconf_node::{Environment, NetworkConfig, NetworkDriver, NetworkEvents, NetworkHandle, NoDiscovery, StartError};

use crate::clock::SystemClock;
use crate::jobs::BlockingPool;
use crate::transport::transport;

/// Binds the sockets and prepares a node on async-std. Nothing moves until the driver runs.
///
/// # Errors
/// A bad configuration, or an address that cannot be listened on.
pub fn node(config: NetworkConfig) -> Result<(NetworkDriver, NetworkHandle, NetworkEvents), StartError> {
    config.check()?;
    let environment = environment(&config)?;
    NetworkDriver::new(config, environment)
}

/// Async-std's sockets, tasks, blocking pool and timer; nobody is discovered. Needs nothing around it: async-std's
/// threads start with the first task.
///
/// # Errors
/// A key that cannot be used.
pub fn environment(config: &NetworkConfig) -> Result<Environment, StartError> {
    Ok(Environment {
        transport: transport(&config.keypair)?,
        executor: Box::new(|task| drop(async_std::task::spawn(task))),
        jobs: Box::new(BlockingPool),
        clock: Box::new(SystemClock::new()),
        discovery: Box::new(NoDiscovery::default()),
        store: None,
        records: Vec::new(),
    })
}
