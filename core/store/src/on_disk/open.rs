//! Opens a directory: locks it, looks whose it is, tries whether it can be written to, and only then touches what is in it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use preconf_core::{Address, B256, ChainId, StorageFailure, UnixTime};

use super::chain::{self, Chain};
use super::chain_writer::Pace;
use super::database::{DatabasePath, peek};
use super::disk::{Disk, Lock, LockError};
use super::error::{DatabaseError, OpenError, failure};
use super::identity::{Identity, Label, SCHEMA};
use super::own::{self, Own};
use super::report::{Flaw, Flaws};
use crate::limits::Limits;

const LOCK: &str = "LOCK";
const PROBE: &str = "probe.new";

/// Whose records a store keeps, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The node's chain.
    pub chain_id: ChainId,
    /// Its signing domain (P4.2).
    pub domain: B256,
    /// The node's own keys, where they are known. A directory with what others committed to, and none of these, is refused.
    pub signers: Vec<Address>,
    /// Do not refuse it: the key was changed.
    pub allow_other_signers: bool,
    /// Its bounds.
    pub limits: Limits,
    /// How it paces its writes.
    pub pace: Pace,
}

impl Options {
    /// For any key, within the default bounds.
    pub fn new(chain_id: ChainId, domain: B256) -> Self {
        let (limits, pace) = (Limits::default(), Pace::default());
        Self { chain_id, domain, signers: Vec::new(), allow_other_signers: false, limits, pace }
    }

    pub(crate) fn identity(&self, began: UnixTime) -> Identity {
        Identity { schema: SCHEMA, chain: self.chain_id, domain: self.domain, began }
    }
}

/// A directory that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) own: DatabasePath,
    pub(crate) chain: DatabasePath,
    pub(crate) lock: Lock,
}

/// What a file was found to hold.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) flaws: Flaws,
}

/// What a directory was found to hold. `None` for a file that is not there.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) own: Option<Found<Own>>,
    pub(crate) chain: Option<Found<Chain>>,
    pub(crate) names: Vec<String>,
}

impl Directory {
    /// Locks a directory, and makes it if it may (P5.9c).
    pub(crate) fn enter(disk: Arc<dyn Disk>, dir: &Path, make: bool) -> Result<Self, OpenError> {
        if make {
            disk.make_dir(dir).map_err(disk_failed("make", dir))?;
        } else {
            disk.identity(dir).map_err(disk_failed("find", dir))?;
        }
        let path = dir.join(LOCK);
        let lock = disk.lock(&path).map_err(|error| match error {
            LockError::Held(pid) => OpenError::Locked { path: dir.to_owned(), pid },
            LockError::Io(error) => disk_failed("lock", &path)(error),
        })?;
        let at = |name| DatabasePath { disk: disk.clone(), dir: dir.to_owned(), name };
        let (own, chain) = (at(own::FILE), at(chain::FILE));
        Ok(Self { own, chain, dir: dir.to_owned(), lock, disk })
    }

    /// Does the disk take anything at all? Better asked now than when something must be published.
    fn probe(&self) -> Result<(), OpenError> {
        let path = self.dir.join(PROBE);
        let write = || {
            match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = self.disk.create(&path)?;
            file.write_at(0, b"can this be written?")?;
            file.sync()?;
            self.disk.remove(&path)?;
            self.disk.sync_dir(&self.dir)
        };
        write().map_err(|error| {
            let _ = self.disk.remove(&path); // the next one would
            disk_failed("write to", &self.dir)(error)
        })
    }

    /// Tries whether the disk takes anything. Where it does not, and all that a node needs can be read, the node goes on with that (P10.4).
    ///
    /// # Errors
    /// It does not, and something would have to be made or mended first.
    pub(crate) fn try_out(&self, survey: &Survey) -> Result<Option<StorageFailure>, OpenError> {
        let is_whole = survey.chain.as_ref().is_some_and(|found| found.flaws.is_empty());
        match self.probe() {
            Ok(()) => Ok(None),
            Err(OpenError::Disk { error, .. }) if is_whole => Ok(Some(failure(&error))),
            Err(error) => Err(error),
        }
    }

    /// Reads everything and changes nothing. A directory of somebody else is refused, if it matters whose it is.
    pub(crate) fn survey(&self, options: Option<&Options>) -> Result<Survey, OpenError> {
        let names = self.disk.list(&self.dir).map_err(disk_failed("list", &self.dir))?;
        let own = look(&self.own, own::read)?;
        let own_label = own.as_ref().and_then(|found| found.value.label);
        ours(&self.own, own_label, options)?;
        let chain = look(&self.chain, chain::read)?;
        let chain_label = chain.as_ref().and_then(|found| found.value.label);
        ours(&self.chain, chain_label, options)?;
        if let (Some(found), Some(options)) = (&own, options) {
            let signers = found.value.signers();
            let is_known = signers.iter().any(|signer| options.signers.contains(signer));
            if !is_known && !signers.is_empty() && !options.signers.is_empty() && !options.allow_other_signers {
                return Err(OpenError::OtherSigners { path: self.own.path(), found: signers, expected: options.signers.clone() });
            }
        }
        Ok(Survey { own, chain, names })
    }
}

impl Survey {
    /// Was there ever anything? Then commitments that are not there are lost, and not just none.
    pub(crate) fn lost_commitments(&self, own: &DatabasePath) -> Option<Flaws> {
        let is_lost = self.own.is_none() && (self.chain.is_some() || self.names.iter().any(|name| own.is_aside(name)));
        is_lost.then(|| Flaw::file("it is missing").into())
    }
}

/// Reads a file, if there is one.
fn look<T: Default>(at: &DatabasePath, read: fn(&redb::ReadTransaction, &mut Flaws) -> T) -> Result<Option<Found<T>>, OpenError> {
    let path = at.path();
    let file = match at.disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(disk_failed("open", &path))?,
    };
    let mut flaws = Flaws::default();
    let value = match peek(&file, &mut flaws, |transaction, flaws| Ok(read(transaction, flaws))) {
        Ok(value) => value,
        Err(error) => {
            // A part of a disk that cannot be read is damage to what is on it, too.
            flaws.push(Flaw::file(error.to_string()));
            T::default()
        }
    };
    Ok(Some(Found { value, flaws }))
}

fn ours(at: &DatabasePath, label: Option<Label>, options: Option<&Options>) -> Result<(), OpenError> {
    let path = at.path();
    match label {
        None => Ok(()), // not there, or damaged and told as such
        Some(Label::Foreign { schema }) => Err(OpenError::OtherSchema { path, found: schema, expected: SCHEMA }),
        Some(Label::Ours(Identity { chain, domain, .. })) => {
            let Some(options) = options else { return Ok(()) };
            if chain != options.chain_id {
                return Err(OpenError::OtherChain { path, found: chain, expected: options.chain_id });
            }
            if domain != options.domain {
                return Err(OpenError::OtherDomain { path, found: domain, expected: options.domain });
            }
            Ok(())
        }
    }
}

/// What the system said of something.
pub(crate) fn disk_failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Disk { what, path, error }
}

/// What became of a file that we made or opened.
pub(crate) fn database_failed(what: &'static str, path: &Path) -> impl FnOnce(DatabaseError) -> OpenError {
    let path = path.to_owned();
    move |error| {
        let error = match error {
            DatabaseError::Io(error) => error,
            DatabaseError::Damaged(text) => io::Error::new(io::ErrorKind::InvalidData, text),
        };
        OpenError::Disk { what, path, error }
    }
}
