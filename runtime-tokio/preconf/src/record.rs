//! `preconf enr`: node records on the command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use clap::{Args, Subcommand};
use preconf_core::{ChainId, ChainLabel, UnixTime};
use preconf_tokio::preconf_enr::{self, BuildError, Endpoints, ParseError, SequenceError, SequenceFile};

use crate::key::{KeyAccess, KeyError, NodeKey};

/// `preconf enr`.
#[derive(Debug, Args)]
pub(crate) struct EnrArgs {
    #[command(subcommand)]
    command: EnrCommand,
}

#[derive(Debug, Subcommand)]
enum EnrCommand {
    /// Print a record of a key, signed now. It beats all that were signed before by the clock, and with --data-dir all that were signed before.
    Show(ShowArgs),
    /// Print what a record says.
    Decode {
        /// The record: enr:…
        record: String,
    },
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The key file, as `preconf key new` writes it.
    #[arg(long, value_name = "FILE", default_value = "preconf.key")]
    file: PathBuf,
    #[command(flatten)]
    access: KeyAccess,
    /// The node's data directory: the record then beats all that the node has signed, also when the clock went back, and the node's next start
    /// beats it. Without it the clock alone decides.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The L2 chain that the record names; without it, none.
    #[arg(long, value_name = "N")]
    chain_id: Option<u64>,
    /// The address that others see.
    #[arg(long, value_name = "IP")]
    ip: Option<IpAddr>,
    /// UDP port of discovery.
    #[arg(long, value_name = "PORT", requires = "ip")]
    udp: Option<u16>,
    /// TCP port of libp2p.
    #[arg(long, value_name = "PORT", requires = "ip")]
    tcp: Option<u16>,
    /// UDP port of QUIC.
    #[arg(long, value_name = "PORT", requires = "ip")]
    quic: Option<u16>,
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrError {
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key's kind.
    #[error(transparent)]
    Kind(#[from] preconf_enr::KeyError),
    /// Its sequence number cannot be kept.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The record cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The text is no record.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// Does what `preconf enr` asks.
pub(crate) fn run(args: EnrArgs) -> Result<(), EnrError> {
    match args.command {
        EnrCommand::Show(args) => {
            let key = preconf_enr::record_key(NodeKey::load(&args.file, args.access)?.identity())?;
            let endpoints = args.endpoints();
            endpoints.check()?; // before a number is taken for nothing
            println!("{}", preconf_enr::build(&key, args.sequence()?, args.chain_id.map(ChainId), &endpoints)?);
        }
        EnrCommand::Decode { record } => {
            let enr = preconf_enr::parse(&record)?;
            let told = preconf_enr::describe(&enr)?;
            println!("peer id   {}", told.peer);
            println!("node id   {:?}", enr.node_id());
            println!("sequence  {}", told.sequence);
            match told.chain {
                ChainLabel::Chain(chain) => println!("chain     {}", chain.0),
                ChainLabel::Missing => println!("chain     not named"),
                ChainLabel::Unreadable => println!("chain     no chain id"),
            }
            let sockets = [enr.udp4_socket().map(|socket| socket.to_string()), enr.udp6_socket().map(|socket| socket.to_string())];
            sockets.into_iter().flatten().for_each(|socket| println!("discovery {socket}"));
            told.addresses.iter().for_each(|address| println!("address   {address}/p2p/{}", told.peer));
        }
    }
    Ok(())
}

impl ShowArgs {
    fn sequence(&self) -> Result<u64, SequenceError> {
        let now = UNIX_EPOCH.elapsed().map_or(UnixTime(0), |since| UnixTime(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)));
        let Some(directory) = &self.data_dir else { return Ok(preconf_enr::next_sequence(now, None)) };
        let mut kept = SequenceFile::open(directory)?;
        let sequence = kept.next(now, None);
        kept.reserve(sequence)?;
        Ok(sequence)
    }

    fn endpoints(&self) -> Endpoints {
        match self.ip {
            None => Endpoints::default(),
            Some(IpAddr::V4(ip)) => Endpoints { ip4: Some(ip), udp4: self.udp, tcp4: self.tcp, quic4: self.quic, ..Endpoints::default() },
            Some(IpAddr::V6(ip)) => Endpoints { ip6: Some(ip), udp6: self.udp, tcp6: self.tcp, quic6: self.quic, ..Endpoints::default() },
        }
    }
}
