//! How does a node on tokio find others?

use libp2p_identity::Keypair;
use preconf_discv5::{Discv5, Discv5Config, Discv5Error};
use tokio::runtime::Handle;

/// Starts discv5 on the runtime around the call, as the [`discovery`](preconf_node::Environment::discovery) of a node with this identity. The
/// machine looks for others only where its configuration says so ([`Config::discovery`](preconf_core::Config::discovery)).
///
/// ```no_run
/// use preconf_tokio::preconf_core::{ChainId, Config, DiscoveryConfig};
/// use preconf_tokio::{Discv5Config, Keypair, NetworkConfig, NetworkDriver, discv5, environment};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let chain = ChainId(167_000);
/// let core = Config { discovery: Some(DiscoveryConfig::PROD), ..Config::new(chain) };
/// let config = NetworkConfig::new(core, Keypair::generate_secp256k1());
/// let mut environment = environment(&config)?;
/// environment.discovery = Box::new(discv5(Discv5Config::new(Some(chain)), &config.keypair)?);
/// let (driver, _handle, _events) = NetworkDriver::new(config, environment)?;
/// tokio::spawn(driver.run());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A key, an address or a socket that cannot be used.
///
/// # Panics
/// No tokio runtime is around the call; [`environment`](crate::environment) says so as an error before.
pub fn discv5(config: Discv5Config, identity: &Keypair) -> Result<Discv5, Discv5Error> {
    Discv5::start(config, identity, &Handle::current())
}
