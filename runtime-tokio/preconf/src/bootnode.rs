//! `preconf bootnode`: discovery alone, a network's first contact.
//!
//! It keeps a table of nodes and tells of them; it has no chain, no peers and no listener but its UDP socket. Stdout carries its record, one a
//! line, again whenever it changes.

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use preconf_core::{ChainId, LookupId};
use preconf_tokio::preconf_enr::Bootnode;
use preconf_tokio::{Discovery, DiscoveryNews, Discv5Config, Discv5Error};

use crate::key::{KeyAccess, KeyError, NodeKey};
use crate::run::unheard;
use crate::stop::Stop;

/// How often it looks for others, so that its table stays fresh. Source: P8.2, the slow pace of production.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// `preconf bootnode`.
#[derive(Debug, Args)]
pub(crate) struct BootnodeArgs {
    /// Where to listen: an IP address and a UDP port, such as 0.0.0.0:9000; port 0 lets the system choose.
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9000)))]
    listen: SocketAddr,
    /// The key, as `preconf key new` writes it. Without it the record is another one at every start.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    access: KeyAccess,
    /// Address that others reach it at, one of each family at most.
    #[arg(long, value_name = "IP", num_args = 1..)]
    external_ip: Vec<IpAddr>,
    /// Other nodes to begin from: a record (enr:…), or where discovery asks for one (/ip4/…/udp/…/p2p/…).
    #[arg(long, value_name = "ENR|MULTIADDR", num_args = 1..)]
    bootnode: Vec<Bootnode>,
    /// Name this chain in the record. Without it the record names none, and fits any.
    #[arg(long, value_name = "N")]
    chain_id: Option<u64>,
    /// Directory in which the sequence number of its record is kept, so that a restart's record beats the one before also when the clock went
    /// back.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Discovery.
    #[error(transparent)]
    Discovery(#[from] Discv5Error),
    /// No signals.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// Runs until Ctrl-C or SIGTERM, or until nobody reads stdout any more.
pub(crate) async fn run(args: BootnodeArgs) -> Result<(), RunError> {
    let mut stop = Stop::new().map_err(RunError::Signals)?;
    let key = args.key.as_deref().map_or_else(|| Ok(NodeKey::generate()), |path| NodeKey::load(path, args.access))?;
    for ip in unheard(&args.external_ip, [args.listen.ip()].into_iter()) {
        tracing::warn!(%ip, listen = %args.listen, "--external-ip is of another family than --listen: nobody can reach it there");
    }
    let config = Discv5Config {
        chain: args.chain_id.map(ChainId),
        listen: vec![args.listen],
        external: args.external_ip,
        bootnodes: args.bootnode,
        data_dir: args.data_dir,
    };
    let mut discovery = preconf_tokio::discv5(config, key.identity())?;
    let mut outbound_limiter = tokio::time::interval(LOOK_EVERY);
    let mut is_looking = false;
    let mut last = LookupId(0);
    loop {
        tokio::select! {
            () = stop.requested() => return Ok(()),
            _ = outbound_limiter.tick(), if !is_looking => {
                (is_looking, last) = (true, LookupId(last.0 + 1));
                discovery.look_up(last);
            }
            news = poll_fn(|context| discovery.poll_news(context)) => match news {
                DiscoveryNews::OwnRecord(record) => {
                    if writeln!(io::stdout(), "{record}").is_err() {
                        return Ok(()); // nobody reads any more
                    }
                }
                DiscoveryNews::Found(record) => tracing::debug!(peer = %record.peer, "found"),
                DiscoveryNews::Finished { lookup, .. } => is_looking &= lookup != last,
            }
        }
    }
}
