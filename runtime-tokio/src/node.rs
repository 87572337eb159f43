//! What does a node stand on under tokio?

use preconf_node::{Environment, NetworkConfig, NetworkDriver, NetworkEvents, NetworkHandle, NoDiscovery, StartError};
use tokio::runtime::Handle;

use crate::clock::SystemClock;
use crate::jobs::BlockingPool;
use crate::transport::transport;

/// Binds the sockets and prepares a node on tokio. Nothing moves until the driver runs.
///
/// # Errors
/// A bad configuration, an address that cannot be listened on, or no tokio runtime around the call.
pub fn node(config: NetworkConfig) -> Result<(NetworkDriver, NetworkHandle, NetworkEvents), StartError> {
    config.check()?;
    let environment = environment(&config)?;
    NetworkDriver::new(config, environment)
}

/// Tokio's sockets, tasks, blocking pool and timer; nobody is discovered. Needs a tokio runtime around it, with its
/// timers and its network switched on; the driver itself may then be polled by any executor.
///
/// # Errors
/// No runtime, or a key that cannot be used.
pub fn environment(config: &NetworkConfig) -> Result<Environment, StartError> {
    let advice = "in `#[tokio::main]`, `Runtime::block_on`, or under `Runtime::enter`";
    let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime { runtime: "tokio", advice })?;
    Ok(Environment {
        transport: transport(&config.keypair)?,
        jobs: Box::new(BlockingPool::new(runtime.clone())),
        clock: Box::new(SystemClock::new(runtime.clone())),
        executor: Box::new(move |task| drop(runtime.spawn(task))),
        discovery: Box::new(NoDiscovery::default()),
        store: None,
        records: Vec::new(),
    })
}
