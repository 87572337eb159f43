//! Which secret is a node's identity?
//!
//! One secp256k1 secret names a node everywhere: its libp2p peer id, its Ethereum address and, with discovery, its node record come from
//! the same 32 bytes. A key file holds them as one line of hex digits, is readable by its owner only, and is never overwritten.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use libp2p_identity::{Keypair, secp256k1};
use preconf_core::{Address, SecretKey, address_of};

use crate::hexes;

/// Where keys live unless another file is named.
const DEFAULT_FILE: &str = "preconf.key";

/// `preconf key`.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and write it to a new file that only its owner can read.
    New(FileArgs),
    /// Print the peer id and the Ethereum address of a key.
    Show(FileArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// The key file: 32 bytes as hex digits.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: PathBuf,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// A file stands where a new key should go.
    #[error("{} exists already and a key is never overwritten: name another file with --file, or move that one away", .0.display())]
    Exists(PathBuf),
    /// The new file cannot be written.
    #[error("cannot write the key file {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read the key file {}: {error}; `preconf key new --file {}` makes one", path.display(), path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no key ({error}); expected is one line of 64 hex digits, as `preconf key new` writes it", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: hexes::HexError,
    },
    /// 32 bytes that are no secp256k1 secret.
    #[error("{} holds a number that is no secp256k1 secret (zero, or not below the curve's order): make a key with `preconf key new`", .0.display())]
    NoSecret(PathBuf),
}

/// A node's secret in the two forms that its users need.
pub(crate) struct NodeKey {
    secret: SecretKey,
    identity: Keypair,
}

impl NodeKey {
    /// A key that nobody has had before, from the system's randomness.
    pub(crate) fn generate() -> Self {
        let secret = secp256k1::SecretKey::generate();
        Self::from_bytes(secret.to_bytes()).expect("a generated secret is one")
    }

    /// `None` when the bytes are no secp256k1 secret.
    pub(crate) fn from_bytes(mut bytes: [u8; 32]) -> Option<Self> {
        let secret = SecretKey::from_secret_bytes(bytes).ok()?;
        let identity = secp256k1::SecretKey::try_from_bytes(&mut bytes).ok()?; // wipes the bytes
        Some(Self { secret, identity: secp256k1::Keypair::from(identity).into() })
    }

    /// Reads a key file.
    pub(crate) fn load(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path).map_err(|error| KeyError::Read { path: path.to_owned(), error })?;
        let bytes = hexes::array(text.trim()).map_err(|error| KeyError::Content { path: path.to_owned(), error })?;
        warn_if_others_can_read(path);
        Self::from_bytes(bytes).ok_or_else(|| KeyError::NoSecret(path.to_owned()))
    }

    /// Writes a key file where none is.
    fn save(&self, path: &Path) -> Result<(), KeyError> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
            _ => KeyError::Write { path: path.to_owned(), error },
        };
        let mut file = options.open(path).map_err(failed)?;
        writeln!(file, "{}", hex::encode(self.secret.to_secret_bytes())).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// The libp2p identity.
    pub(crate) fn identity(&self) -> &Keypair {
        &self.identity
    }

    /// The Ethereum address.
    pub(crate) fn address(&self) -> Address {
        address_of(&self.secret)
    }
}

#[cfg(unix)]
fn warn_if_others_can_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "others can read this key file; `chmod 600` it");
    }
}

#[cfg(not(unix))]
fn warn_if_others_can_read(_path: &Path) {}

/// Does what `preconf key` asks.
pub(crate) fn run(args: &KeyArgs) -> Result<(), KeyError> {
    let key = match &args.command {
        KeyCommand::New(FileArgs { file }) => {
            let key = NodeKey::generate();
            key.save(file)?;
            println!("file     {}", file.display());
            key
        }
        KeyCommand::Show(FileArgs { file }) => NodeKey::load(file)?,
    };
    println!("peer id  {}", key.identity.public().to_peer_id());
    println!("address  {}", key.address());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_secret_gives_both_the_peer_id_and_the_address() {
        // The address of secret 1 is the well-known one of the curve's generator.
        let mut secret = [0; 32];
        secret[31] = 1;
        let key = NodeKey::from_bytes(secret).expect("a secret");
        assert_eq!(key.address().to_string(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
        let public = key.identity().public().try_into_secp256k1().expect("a secp256k1 identity");
        let address = Address::from_raw_public_key(&public.to_bytes_uncompressed()[1..]);
        assert_eq!(address, key.address());
    }

    #[test]
    fn zero_is_no_secret() {
        assert!(NodeKey::from_bytes([0; 32]).is_none());
        assert!(NodeKey::from_bytes([0xff; 32]).is_none());
    }
}
