//! Why does a node not start, and why is a command not granted?

use std::error::Error;
use std::io;
use std::path::PathBuf;

use multiaddr::Multiaddr;
use preconf_core::{CommandError, ConfigError, DialFailure, GaterRefusal, Outcome, PeerId, PublishError, RequestError, UpdateError};
use preconf_libp2p::NetError;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A configuration value that makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network part refuses its settings.
    #[error("the network does not start: {0}")]
    Network(Box<NetError>),
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {}; give an address of this machine and a free port, or port 0 to let the system choose", reason(.source))]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why.
        source: Box<NetError>,
    },
    /// The file to record to cannot be made.
    #[error("cannot record to {path}: {source}; give a file in a folder that is there and may be written", path = .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system has no randomness for the seed.
    #[error("the system gives no randomness for the seed: {0}")]
    Entropy(io::Error),
    /// The runtime's own parts need the runtime around them.
    #[error("start the node inside a {runtime} runtime: {advice}")]
    NoRuntime {
        /// Which runtime.
        runtime: &'static str,
        /// How to get it.
        advice: &'static str,
    },
}

impl From<NetError> for StartError {
    fn from(error: NetError) -> Self {
        Self::Network(Box::new(error))
    }
}

/// What the system says, without the words that each layer on the way puts before it.
fn reason(error: &NetError) -> String {
    let mut root: &dyn Error = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

/// Why a command was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// The node refused the command, and is as it was.
    #[error(transparent)]
    Refused(CommandError),
    /// The node refused the update, and is as it was.
    #[error(transparent)]
    UpdateRefused(#[from] UpdateError),
    /// Our own message was not published.
    #[error("not published: {0}")]
    NotPublished(PublishError),
    /// A peer was asked and gave no good answer.
    #[error("no good answer from {peer}: {error}")]
    RequestFailed {
        /// Who was asked.
        peer: PeerId,
        /// Why there is none.
        error: RequestError,
    },
    /// A dial led nowhere.
    #[error("nobody was reached at {address}: {failure}")]
    NotReached {
        /// The address that was dialed.
        address: Multiaddr,
        /// Why.
        failure: DialFailure,
    },
    /// A dial led to where the gater refuses to go (P8.1).
    #[error("{address} is not wanted: {refusal}")]
    Gated {
        /// The address that was dialed.
        address: Multiaddr,
        /// Why not.
        refusal: GaterRefusal,
    },
    /// Too many events wait to be read; the node takes no command that could add to them.
    #[error("{waiting} events wait to be read; read or drop `NetworkEvents`, then try again")]
    EventsUnread {
        /// How many.
        waiting: usize,
    },
    /// The command ended as another kind of command does: a bug of the node.
    #[error("a bug of the node: the command ended with {0:?}")]
    Unexpected(Box<Outcome>),
    /// The node has shut down.
    #[error("the node has shut down")]
    Stopped,
}

impl From<CommandError> for HandleError {
    fn from(error: CommandError) -> Self {
        match error {
            // One kind for what fails at once and what fails later: the caller cares about why, not when.
            CommandError::Publish(error) => Self::NotPublished(error),
            other => Self::Refused(other),
        }
    }
}
