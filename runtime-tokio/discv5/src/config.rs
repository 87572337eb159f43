//! What does discovery have to know before it starts?

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use preconf_core::ChainId;
use preconf_enr::{Bootnode, BuildError, KeyError, SequenceError};

/// Configuration of [`Discv5`](crate::Discv5).
#[derive(Clone, Debug)]
pub struct Discv5Config {
    /// The chain that our record names; a boot node that serves any names none.
    pub chain: Option<ChainId>,
    /// UDP sockets to listen on, one of each family at most. Port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Addresses that others see, one of each family at most. They stay as they are; without them the address is taken from `listen` if it
    /// names one, and learned from others as they see it.
    pub external: Vec<IpAddr>,
    /// Nodes to begin from. Those that are peers to dial are not discovery's business, and are passed over.
    pub bootnodes: Vec<Bootnode>,
    /// Directory in which the highest sequence number of our record is kept ([`SEQUENCE_FILE`](preconf_enr::SEQUENCE_FILE)), so that a restart
    /// gives a record that beats all before it. Without it the clock alone decides: when that goes back, others keep our old record until it
    /// is past the old one's time.
    pub data_dir: Option<PathBuf>,
}

impl Discv5Config {
    /// Any port of any IPv4 address, nobody to begin from, nothing kept.
    pub fn new(chain: Option<ChainId>) -> Self {
        Self { chain, listen: vec![SocketAddr::from(([0, 0, 0, 0], 0))], external: Vec::new(), bootnodes: Vec::new(), data_dir: None }
    }
}

/// Why discovery does not start.
#[derive(Debug, thiserror::Error)]
pub enum Discv5Error {
    /// The node's key signs no record.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No socket.
    #[error("discovery cannot listen on UDP {address}: {error}; give an address of this machine and a free port, or port 0")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// No address at all, or two of one family.
    #[error("discovery wants one UDP address to listen on, or one of each family")]
    Sockets,
    /// Two external addresses of one family.
    #[error("two external addresses of one family: others could only be told one")]
    Externals,
    /// Our own record cannot be made.
    #[error(transparent)]
    Record(#[from] BuildError),
    /// Its sequence number cannot be kept.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// No thread to run on, where it brings its own.
    #[error("discovery has no thread to run on: {0}")]
    Thread(io::Error),
    /// The discovery crate refuses its settings.
    #[error("discv5 does not start: {0}")]
    Service(&'static str),
}
