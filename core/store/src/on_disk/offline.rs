//! What an operator does with a directory while no node runs on it.
//!
//! All of it takes the directory's lock, so a node that runs is named and left alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use preconf_core::{B256, ChainId, OwnCommitment, Record, UnixTime};

use super::database::Live;
use super::disk::{Disk, OsDisk};
use super::error::OpenError;
use super::identity::{Identity, Label};
use super::interchange::{ImportError, Interchange, merge};
use super::open::{Directory, Options, Survey, database_failed, disk_failed};
use super::own;
use super::report::{Flaw, Flaws};
use crate::key::{KINDS, Key};

/// What a directory holds, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Chain, signing domain, and when it was begun; `None` when neither file says.
    pub identity: Option<(ChainId, B256, UnixTime)>,
    /// All that is readable, as [`Opened::records`](crate::Opened::records).
    pub records: Vec<Record>,
    /// What is damaged of what was committed to.
    pub commitments: Flaws,
    /// What is damaged of all the rest.
    pub chain: Flaws,
}

impl Inspection {
    /// What was committed to.
    pub fn committed(&self) -> impl Iterator<Item = &OwnCommitment> {
        self.records.iter().filter_map(|record| if let Record::Committed(own) = record { Some(own.as_ref()) } else { None })
    }

    /// How many records there are of each kind.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        const NAMES: [&str; KINDS] = [
            "beginnings",
            "own commitments",
            "schedules",
            "sync tips",
            "commitments of the chain",
            "txlists",
            "evidence",
            "peers",
            "known nodes",
            "drops of the chain", // never stored: they take others away
        ];
        let mut counts = NAMES.map(|name| (name, 0));
        self.records.iter().for_each(|record| counts[usize::from(Key::of(record).kind())].1 += 1);
        counts[1..KINDS - 1].to_vec()
    }

    /// Is nothing damaged?
    pub fn is_intact(&self) -> bool {
        self.commitments.is_empty() && self.chain.is_empty()
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.identity {
            Some((chain, domain, began)) => {
                writeln!(f, "chain {}, domain {domain}, begun at {} (unix seconds)", chain.0, began.secs())?;
            }
            None => writeln!(f, "of a chain that it does not say")?,
        }
        for (name, count) in self.counts() {
            writeln!(f, "{count:8} {name}")?;
        }
        for (file, flaws) in [(own::FILE, &self.commitments), (super::chain::FILE, &self.chain)] {
            match flaws.is_empty() {
                true => writeln!(f, "{file} is intact")?,
                false => writeln!(f, "{file} is damaged: {flaws}")?,
            }
        }
        Ok(())
    }
}

/// What became of damaged commitments that were accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedDamage {
    /// How many were readable, and are kept.
    pub kept: usize,
    /// Where the damaged file is now; `None` if there was none.
    pub aside: Option<PathBuf>,
}

/// What came of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Commitments that were new.
    pub added: usize,
    /// Commitments that were there already.
    pub known: usize,
}

/// Reads everything and changes nothing: for `show` and `verify`.
///
/// # Errors
/// See [`OpenError`]; with `expected`, also a directory of somebody else.
pub fn inspect(dir: impl AsRef<Path>, expected: Option<&Options>) -> Result<Inspection, OpenError> {
    inspect_on(Arc::new(OsDisk), dir, expected)
}

/// The same on any disk.
///
/// # Errors
/// See [`inspect`].
pub fn inspect_on(disk: Arc<dyn Disk>, dir: impl AsRef<Path>, expected: Option<&Options>) -> Result<Inspection, OpenError> {
    let directory = Directory::enter(disk, dir.as_ref(), false)?;
    let survey = directory.survey(expected)?;
    let identity = survey.identity().map(|identity| (identity.chain, identity.domain, identity.began));
    let mut commitments = survey.lost_commitments(&directory.own).unwrap_or_default();
    let (mut records, mut chain) = (Vec::new(), Flaws::default());
    if let Some(found) = survey.own {
        commitments = found.flaws;
        records.extend(found.value.records());
    }
    if let Some(found) = survey.chain {
        chain = found.flaws;
        records.extend(found.value.records);
    }
    Ok(Inspection { identity, records, commitments, chain })
}

/// What was committed to, for another machine or for a person. What is damaged is not refused: what is readable of it is worth keeping, and
/// comes with its flaws.
///
/// # Errors
/// See [`OpenError`]. A directory that does not say of which chain it is: [`OpenError::Disk`].
pub fn export(dir: impl AsRef<Path>) -> Result<(Interchange, Flaws), OpenError> {
    let inspection = inspect(dir.as_ref(), None)?;
    let nothing = || disk_failed("read", dir.as_ref())(std::io::Error::new(std::io::ErrorKind::NotFound, "it holds no readable store"));
    let (chain_id, domain, _) = inspection.identity.ok_or_else(nothing)?;
    let commitments: Vec<OwnCommitment> = inspection.committed().cloned().collect();
    Ok((Interchange::new(chain_id, domain, &commitments), inspection.commitments))
}

/// Adds what was committed to elsewhere, all of it or nothing. The directory is made if it is missing.
///
/// # Errors
/// See [`ImportError`].
pub fn import(dir: impl AsRef<Path>, options: &Options, from: &Interchange) -> Result<Imported, ImportError> {
    let offered = from.check(options.chain_id, options.domain)?;
    let count = offered.len();
    let directory = Directory::enter(Arc::new(OsDisk), dir.as_ref(), true)?;
    // The keys that it brings may well be others than those that are there.
    let options = &Options { allow_other_signers: true, ..options.clone() };
    let survey = directory.survey(Some(options))?;
    if let Some(flaws) = survey.lost_commitments(&directory.own) {
        return Err(ImportError::Damaged(flaws));
    }
    let now = directory.disk.now();
    let held = match survey.own {
        Some(found) if !found.flaws.is_empty() => return Err(ImportError::Damaged(found.flaws)),
        Some(found) => found.value.commitments,
        None => {
            let made = directory.own.make(|transaction| own::begin(transaction, &options.identity(now), &[], now, &options.limits));
            made.map_err(database_failed("make", &directory.own.path()))?;
            Vec::new()
        }
    };
    let new = merge(&held, offered).map_err(ImportError::Contradictions)?;
    let mut live = Live::open(directory.own.clone(), own::check).map_err(database_failed("open", &directory.own.path()))?;
    for result in live.write(|transaction| own::write(transaction, &new, now, &options.limits))? {
        result?;
    }
    Ok(Imported { added: new.len(), known: count - new.len() })
}

/// The operator takes what is readable of damaged commitments for all that there is, and the node may publish again: a new file with the
/// readable ones takes the place of the damaged one, which is kept beside it. The new file is begun now, so that peers are asked for what it
/// may lack before the first publication in a window (P5.9b). Nothing is done where nothing is damaged.
///
/// # Errors
/// See [`OpenError`].
pub fn accept_damage(dir: impl AsRef<Path>, options: &Options) -> Result<Option<AcceptedDamage>, OpenError> {
    accept_damage_on(Arc::new(OsDisk), dir, options)
}

/// The same on any disk.
///
/// # Errors
/// See [`OpenError`].
pub fn accept_damage_on(disk: Arc<dyn Disk>, dir: impl AsRef<Path>, options: &Options) -> Result<Option<AcceptedDamage>, OpenError> {
    let directory = Directory::enter(disk, dir.as_ref(), false)?;
    let survey = directory.survey(Some(options))?;
    let (now, path) = (directory.disk.now(), directory.own.path());
    let (kept, aside) = match &survey.own {
        None if survey.lost_commitments(&directory.own).is_none() => return Ok(None),
        None => (&[][..], None),
        Some(found) if found.flaws.is_empty() => return Ok(None),
        Some(found) => (&found.value.commitments[..], Some(directory.own.aside(now))),
    };
    if let Some(aside) = &aside {
        directory.own.copy(aside).map_err(disk_failed("copy", &path))?; // and not moved: there is never no file in its place
    }
    let identity = options.identity(now);
    let made = directory.own.make(|transaction| own::begin(transaction, &identity, kept, now, &options.limits));
    made.map_err(database_failed("make", &path))?;
    let flaws = survey.own.as_ref().map_or_else(|| Flaws::from(Flaw::file("it is missing")), |found| found.flaws.clone());
    tracing::warn!(path = %path.display(), kept = kept.len(), %flaws, "damaged commitments are accepted by the operator");
    Ok(Some(AcceptedDamage { kept: kept.len(), aside }))
}

impl Survey {
    /// What the files say of themselves, that of what was committed to first.
    fn identity(&self) -> Option<Identity> {
        let own = self.own.as_ref().and_then(|found| found.value.label);
        let chain = self.chain.as_ref().and_then(|found| found.value.label);
        [own, chain].into_iter().flatten().find_map(|label| if let Label::Ours(identity) = label { Some(identity) } else { None })
    }
}
