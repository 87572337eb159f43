//! `preconf sign`: a signed commitment, made by hand.
//!
//! Nobody needs code of their own to try a network: what this prints is what `publish_commitment` and `publish_txlist` of `preconf run` take.
//! The key is a file, or behind a command that signs. What no node would take is refused before it is signed, because a signature that is out
//! is a promise.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::{ArgGroup, Args};
use preconf_core::{
    Address, B256, Bytes, DEFAULT_DOMAIN, MAX_TXLIST_BYTES, PreconfCommitment, Preconfirmation, SignedCommitment, U256, keccak256,
    preconfirmation_hash,
};
use preconf_tokio::{LocalSigner, SignError, Signer, sign_commitment};
use serde_json::{Value, json};

use crate::hexes::{self, HexError};
use crate::key::{KeyAccess, KeyError, NodeKey};
use crate::signer_command::SignerCommand;

/// `preconf sign`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("who").required(true).args(["key", "signer_command"])))]
pub(crate) struct SignArgs {
    /// The preconfer's key, as `preconf key new` writes it. For development: a key in production is better kept behind --signer-command.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    access: KeyAccess,
    /// A command that signs, run by the shell. It gets one line of JSON on stdin, {"hash", "signer", "domain", "commitment"}, and answers the
    /// signature of the hash on stdout: 65 bytes r ‖ s ‖ v as hex, low s, v 0 or 1 (27 or 28 is taken too).
    #[arg(long, value_name = "COMMAND", requires = "signer")]
    signer_command: Option<String>,
    /// Whose signature the command must give.
    #[arg(long, value_name = "ADDRESS", requires = "signer_command", value_parser = hexes::address)]
    signer: Option<Address>,
    /// Seconds after which the command is ended.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    signer_timeout: u64,
    /// The chain's signing domain: 32 bytes as hex. The default is the protocol's placeholder.
    #[arg(long, value_name = "HEX", value_parser = hexes::hash)]
    domain: Option<B256>,

    /// The L2 block's number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    block_number: u64,
    /// Hash of the preconfirmation before this one, which is the "hash" that this prints for it; "none" for a chain's first.
    #[arg(long, value_name = "HASH|none", value_parser = parent)]
    parent: B256,
    /// End of the preconfer's window in unix seconds, as the schedule has it.
    #[arg(long, value_name = "SECONDS")]
    window_end: u64,
    /// The block's timestamp in unix seconds, later than its parent's and within the window. Default: now.
    #[arg(long, value_name = "SECONDS")]
    timestamp: Option<u64>,
    /// The block's transaction list: a file with its bytes as they are; "-" is stdin. Only an end of preconfirmation may do without.
    #[arg(long, value_name = "FILE", conflicts_with = "txlist_hex")]
    txlist: Option<PathBuf>,
    /// The same as hex.
    #[arg(long, value_name = "HEX", value_parser = hexes::bytes)]
    txlist_hex: Option<Bytes>,
    /// End of preconfirmation: the preconfer hands its window over.
    #[arg(long)]
    eop: bool,
    /// The block's gas limit.
    #[arg(long, value_name = "N", default_value_t = 30_000_000)]
    gas_limit: u64,
    /// The block's fee recipient. Default: the signer.
    #[arg(long, value_name = "ADDRESS", value_parser = hexes::address)]
    coinbase: Option<Address>,
    /// The L1 block that it is anchored to.
    #[arg(long, value_name = "N", default_value_t = 0)]
    anchor_block: u64,
    /// The slashing contract on L1. Default: zero, which nodes that check it refuse.
    #[arg(long, value_name = "ADDRESS", value_parser = hexes::address)]
    slasher: Option<Address>,
    /// Who may prove the block. Default: zero.
    #[arg(long, value_name = "ADDRESS", value_parser = hexes::address)]
    prover_auth: Option<Address>,
    /// The L1 proposal that will hold the block.
    #[arg(long, value_name = "N", default_value_t = 0)]
    proposal_id: u64,
    /// Print one object {"ssz", "hash", "signer", "txlist_hash", "txlist"} instead of the hex of the SSZ alone.
    #[arg(long)]
    json: bool,
}

fn parent(text: &str) -> Result<B256, HexError> {
    if text == "none" { Ok(B256::ZERO) } else { hexes::hash(text) }
}

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The txlist cannot be read.
    #[error("--txlist = {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No node takes a txlist of this length.
    #[error("{flag} gives {}{len} bytes; allowed are 1 to {MAX_TXLIST_BYTES}", at_least(*len))]
    TxListLength {
        /// Where it came from.
        flag: &'static str,
        /// Its length, or one more than is allowed.
        len: usize,
    },
    /// C3.
    #[error("neither --txlist, nor --txlist-hex, nor --eop: allowed without a txlist is only an end of preconfirmation (C3)")]
    NoBlock,
    /// C6.
    #[error(
        "--timestamp = {timestamp}: later than --window-end = {window_end}; allowed is a time within the preconfer's window, its end included (C6)"
    )]
    AfterWindow {
        /// The block's.
        timestamp: u64,
        /// The window's.
        window_end: u64,
    },
}

impl RunError {
    /// Do the flags make no sense?
    pub(crate) fn is_misuse(&self) -> bool {
        matches!(self, Self::TxListLength { .. } | Self::NoBlock | Self::AfterWindow { .. })
    }
}

/// Does what `preconf sign` asks.
pub(crate) async fn run(args: SignArgs) -> Result<(), RunError> {
    let txlist = args.txlist()?;
    let signer = args.signer()?;
    let commitment = args.commitment(txlist.as_ref(), signer.address())?;
    let domain = args.domain.unwrap_or(DEFAULT_DOMAIN);
    if domain == DEFAULT_DOMAIN {
        tracing::warn!(
            "the signing domain is the placeholder: the commitment counts on every chain that has not chosen its own; give --domain"
        );
    }
    let signed = sign_commitment(&*signer, commitment, domain).await?;
    if args.json {
        println!("{}", form(&signed, signer.address(), txlist.as_ref()));
    } else {
        println!("{}", hexes::text(signed.as_bytes()));
    }
    Ok(())
}

/// Ready for `publish_commitment` and `publish_txlist`; its hash is the next one's parent.
fn form(signed: &SignedCommitment, signer: Address, txlist: Option<&Bytes>) -> Value {
    json!({
        "ssz": hexes::text(signed.as_bytes()),
        "hash": preconfirmation_hash(signed).to_string(),
        "signer": signer.to_string(),
        "txlist_hash": txlist.map(|_| signed.preconf().raw_tx_list_hash.to_string()),
        "txlist": txlist.map(|txlist| hexes::text(txlist)),
    })
}

impl SignArgs {
    fn txlist(&self) -> Result<Option<Bytes>, RunError> {
        let (flag, txlist) = match (&self.txlist, &self.txlist_hex) {
            (Some(path), _) => ("--txlist", read(path).map_err(|error| RunError::Read { path: path.clone(), error })?),
            (None, Some(bytes)) => ("--txlist-hex", bytes.clone()),
            (None, None) => return Ok(None),
        };
        // T1
        if (1..=MAX_TXLIST_BYTES).contains(&txlist.len()) {
            Ok(Some(txlist))
        } else {
            Err(RunError::TxListLength { flag, len: txlist.len() })
        }
    }

    fn signer(&self) -> Result<Box<dyn Signer>, RunError> {
        if let (Some(command), Some(address)) = (&self.signer_command, self.signer) {
            return Ok(Box::new(SignerCommand::new(command.clone(), address, Duration::from_secs(self.signer_timeout))));
        }
        let path = self.key.as_deref().expect("one of the group is required, and the command wants an address");
        Ok(Box::new(LocalSigner::new(*NodeKey::load(path, self.access)?.secret())))
    }

    fn commitment(&self, txlist: Option<&Bytes>, signer: Address) -> Result<PreconfCommitment, RunError> {
        let timestamp = self.timestamp.unwrap_or_else(|| UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()));
        if txlist.is_none() && !self.eop {
            return Err(RunError::NoBlock); // C3
        }
        if timestamp > self.window_end {
            return Err(RunError::AfterWindow { timestamp, window_end: self.window_end }); // C6
        }
        let preconf = Preconfirmation {
            eop: self.eop,
            block_number: U256::from(self.block_number),
            timestamp: U256::from(timestamp),
            gas_limit: U256::from(self.gas_limit),
            coinbase: self.coinbase.unwrap_or(signer),
            anchor_block_number: U256::from(self.anchor_block),
            raw_tx_list_hash: txlist.map_or(B256::ZERO, keccak256),
            parent_preconfirmation_hash: self.parent,
            submission_window_end: U256::from(self.window_end),
            prover_auth: self.prover_auth.unwrap_or_default(),
            proposal_id: U256::from(self.proposal_id),
        };
        Ok(PreconfCommitment { preconf, slasher_address: self.slasher.unwrap_or_default() })
    }
}

/// What is too long is not read to its end.
fn at_least(len: usize) -> &'static str {
    if len > MAX_TXLIST_BYTES { "at least " } else { "" }
}

/// The bytes of a file, or of stdin; one more than is allowed where there are more.
fn read(path: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let limit = MAX_TXLIST_BYTES as u64 + 1;
    if path.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes.into())
}
