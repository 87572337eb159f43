//! All that a node needs to know before it starts.

use libp2p_identity::Keypair;
use multiaddr::Multiaddr;
use preconf_core::{Config, ConfigError};
use preconf_libp2p::NetConfig;

use crate::record::RecordConfig;

/// Most events or commands that a channel can be set to hold. Ours: some minutes of a busy network; more hides a stuck reader.
const MAX_CAPACITY: usize = 1 << 20;

/// Configuration of one node.
///
/// ```
/// use preconf_node::preconf_core::{ChainId, Config};
/// use preconf_node::{Keypair, NetworkConfig};
/// let mut config = NetworkConfig::new(Config::new(ChainId(167_000)), Keypair::generate_secp256k1());
/// config.listen.push("/ip4/127.0.0.1/tcp/0".parse()?);
/// config.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// The machine's limits.
    pub core: Config,
    /// The network's limits. Chain and txlist cap must be the core's.
    pub net: NetConfig,
    /// Who we are. A secp256k1 key can be the node's discovery identity too.
    pub keypair: Keypair,
    /// Decides all dice of the machine. `None` takes it from the system at start.
    pub seed: Option<[u8; 32]>,
    /// Where every step of the machine is recorded, to be replayed. Default `None`: nowhere.
    pub record: Option<RecordConfig>,
    /// Where to listen: `/ip4/…/tcp/…`, `/ip6/…/tcp/…`, or whatever else the transport knows. Port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Peers to dial at start, with `/p2p/…`. Names (`/dns/…`, `/dns4/…`, `/dns6/…`) are looked up.
    pub peers: Vec<Multiaddr>,
    /// Events that may wait for the application before the node stops reading from strangers. Default 1024.
    pub event_capacity: usize,
    /// Bytes of txlists and commitments that those events may hold; as many again are the reserve of timers and of our own user. Default 64
    /// MiB. Ours: a quarter of what the core keeps, and 32 of the longest ones.
    pub event_bytes: usize,
    /// Commands and updates that may wait for the node before a handle's methods wait. Default 256.
    pub command_capacity: usize,
}

impl NetworkConfig {
    /// The protocol's defaults for a core's configuration: no listener, no peer.
    pub fn new(core: Config, keypair: Keypair) -> Self {
        Self {
            net: NetConfig::new(&core),
            core,
            keypair,
            seed: None,
            record: None,
            listen: Vec::new(),
            peers: Vec::new(),
            event_capacity: 1024,
            event_bytes: 64 << 20,
            command_capacity: 256,
        }
    }

    /// Does every value make sense, the core's included?
    ///
    /// # Errors
    /// The first key that does not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.core.check()?;
        self.record.as_ref().map_or(Ok(()), RecordConfig::check)?;
        let capacity = |key, value: usize| rule((1..=MAX_CAPACITY).contains(&value), key, value, "1 to 1048576");
        capacity("event_capacity", self.event_capacity)?;
        capacity("command_capacity", self.command_capacity)?;
        rule(self.event_bytes >= self.core.txlist_cap, "event_bytes", self.event_bytes, "at least txlist_cap")?;
        // Two answers to "which chain?" would join a network and refuse all that it says.
        rule(self.net.chain_id == self.core.chain_id, "net.chain_id", self.net.chain_id.0, "the core's chain_id")?;
        // One count of connections for the machine that decides and libp2p that refuses (P8.2).
        let same_limits = self.net.connection_limits == self.core.connections;
        rule(same_limits, "net.connection_limits", format!("{:?}", self.net.connection_limits), "the core's connections")?;
        rule(self.net.txlist_cap == self.core.txlist_cap, "net.txlist_cap", self.net.txlist_cap, "the core's txlist_cap")
    }
}

fn rule(holds: bool, key: &'static str, value: impl ToString, allowed: &'static str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { key, value: value.to_string(), allowed }) }
}

#[cfg(test)]
mod tests {
    use preconf_core::ChainId;

    use super::*;

    fn config() -> NetworkConfig {
        NetworkConfig::new(Config::new(ChainId(1)), Keypair::generate_secp256k1())
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(config().check(), Ok(()));
    }

    #[test]
    fn a_bad_value_names_its_key_and_what_is_allowed() {
        let error = NetworkConfig { event_capacity: 0, ..config() }.check().expect_err("no room at all");
        assert_eq!(error.to_string(), "event_capacity = 0: allowed is 1 to 1048576");
        let error = NetworkConfig { event_bytes: 1, ..config() }.check().expect_err("no txlist fits");
        assert_eq!(error.key, "event_bytes");
    }

    #[test]
    fn the_network_must_be_of_the_cores_chain() {
        let mut config = config();
        config.net.chain_id = ChainId(2);
        assert_eq!(config.check().expect_err("two chains").to_string(), "net.chain_id = 2: allowed is the core's chain_id");
    }
}
