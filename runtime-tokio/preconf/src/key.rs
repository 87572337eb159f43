//! Which secret is a node's identity?
//!
//! One secp256k1 secret names a node everywhere: its libp2p peer id, its Ethereum address and, with discovery, its node record come from
//! the same 32 bytes. A key file holds them as one line of hex digits, is readable by its owner only, and is never overwritten. One that others
//! can read is refused, unless the operator says that it is meant to be so.

use std::fs::{self, File};
use std::io::{self, Read, Write};
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
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    access: KeyAccess,
}

/// Who may be able to read a key file?
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct KeyAccess {
    /// Take a key file that others than its owner can read or write, with a warning. Refused without it.
    #[arg(long = "allow-readable-key")]
    allow_readable: bool,
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
    /// Others can read the file, or write another key into it.
    #[error("the key file {} has mode {mode:04o}: others than its owner can read or write it; `chmod 600 {}`, or allow it with --allow-readable-key", path.display(), path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
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
    pub(crate) fn load(path: &Path, access: KeyAccess) -> Result<Self, KeyError> {
        let failed = |error| KeyError::Read { path: path.to_owned(), error };
        let mut file = File::open(path).map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let bytes = hexes::array(text.trim()).map_err(|error| KeyError::Content { path: path.to_owned(), error })?;
        let key = Self::from_bytes(bytes).ok_or_else(|| KeyError::NoSecret(path.to_owned()))?;
        // Of the file that was read, whatever its name means by now.
        match open_mode(&file.metadata().map_err(failed)?) {
            Some(mode) if !access.allow_readable => return Err(KeyError::Readable { path: path.to_owned(), mode }),
            Some(mode) => {
                let mode = format!("{mode:04o}");
                tracing::warn!(path = %path.display(), mode, "others can read or write this key file, as --allow-readable-key permits");
            }
            None => {}
        }
        Ok(key)
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

    /// The secret itself.
    pub(crate) fn secret(&self) -> &SecretKey {
        &self.secret
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

/// The permissions of a file that others than its owner can read or write.
#[cfg(unix)]
fn open_mode(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o066 != 0).then_some(mode)
}

/// Elsewhere a mode says nothing.
#[cfg(not(unix))]
fn open_mode(_metadata: &fs::Metadata) -> Option<u32> {
    None
}

/// Does what `preconf key` asks.
pub(crate) fn run(args: &KeyArgs) -> Result<(), KeyError> {
    let key = match &args.command {
        KeyCommand::New(FileArgs { file }) => {
            let key = NodeKey::generate();
            key.save(file)?;
            println!("file     {}", file.display());
            key
        }
        KeyCommand::Show(ShowArgs { file: FileArgs { file }, access }) => NodeKey::load(file, *access)?,
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

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused_unless_it_is_allowed() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("preconf-key-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        NodeKey::generate().save(&path).expect("written");
        let allowed = KeyAccess { allow_readable: true };
        for (mode, is_refused) in
            [(0o600, false), (0o400, false), (0o711, false), (0o640, true), (0o604, true), (0o620, true), (0o666, true)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            match NodeKey::load(&path, KeyAccess::default()) {
                Ok(_) => assert!(!is_refused, "{mode:o}"),
                Err(error) => {
                    let (error, file) = (error.to_string(), path.display());
                    assert!(is_refused, "{error}");
                    let parts = [format!("{file} has mode 0{mode:o}"), format!("`chmod 600 {file}`"), "--allow-readable-key".to_owned()];
                    parts.iter().for_each(|part| assert!(error.contains(part), "no {part:?} in: {error}"));
                }
            }
            assert!(NodeKey::load(&path, allowed).is_ok(), "{mode:o}");
        }
        fs::remove_file(&path).expect("ours");
    }

    #[test]
    fn zero_is_no_secret() {
        assert!(NodeKey::from_bytes([0; 32]).is_none());
        assert!(NodeKey::from_bytes([0xff; 32]).is_none());
    }
}
