//! Records on disk.
//!
//! Two files, so that damage in one never takes the other with it: `commitments.redb` with what binds us, `chain.redb` with the rest. Each has
//! a thread that alone writes to it.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt, join};
use futures::stream::StreamExt;
use preconf_core::{PersistId, Record, StorageFailure};

use super::chain;
use super::chain_writer::{self, ChainQueue};
use super::database::{Check, DatabasePath, Live};
use super::disk::{Disk, OsDisk};
use super::error::{DatabaseError, OpenError};
use super::legacy;
use super::open::{Directory, Found, Options, Survey, database_failed, disk_failed};
use super::own;
use super::own_writer::{self, OwnQueue};
use super::report::{Commitments, Flaw, Flaws, Report, Rest};
use crate::limits::Limits;
use crate::store::{Done, Store};

/// Damaged files of the chain that are kept aside, the newest ones. Ours: what is in them can be learned again.
const ASIDE_MAX: usize = 3;

/// A store on disk.
#[derive(Debug)]
pub struct RedbStore {
    /// `None` while what was committed to is damaged.
    own: Option<Arc<OwnQueue>>,
    chain: Arc<ChainQueue>,
    options: Options,
    done: UnboundedSender<Done>,
    told: UnboundedReceiver<Done>,
    ends: Vec<oneshot::Receiver<()>>,
}

/// What an opened store gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What was kept: when the store was made, what we committed to by age, the schedule, the sync tip, the chain upwards, txlists and
    /// evidence by age, peers, nodes of use.
    pub records: Vec<Record>,
    /// What was found beside it.
    pub report: Report,
}

impl RedbStore {
    /// Opens a directory, and makes it if it is missing. Blocks while all that is stored is read. One that can be read and not be written to
    /// is opened, too: its records are given back, and each write fails until the disk takes one (P10.4).
    ///
    /// # Errors
    /// See [`OpenError`]. Damage is none: it is in the report.
    pub fn open(dir: impl AsRef<Path>, options: &Options) -> Result<(Self, Opened), OpenError> {
        Self::open_on(Arc::new(OsDisk), dir, options)
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: impl AsRef<Path>, options: &Options) -> Result<(Self, Opened), OpenError> {
        let directory = Directory::enter(disk, dir.as_ref(), true)?;
        let mut survey = directory.survey(Some(options))?;
        let unwritable = directory.try_out(&survey)?;
        let open: fn(DatabasePath, Check) -> Result<Live, DatabaseError> = if unwritable.is_some() { Live::unopened } else { Live::open };
        if unwritable.is_none() {
            clear(&directory, &survey)?;
        }
        let (mut commitments, is_new) = keep_own(&directory, &mut survey, options)?;
        let own = match commitments {
            Commitments::Damaged(_) => None,
            Commitments::Intact => match open(directory.own.clone(), own::check) {
                Ok(live) => Some(live),
                Err(DatabaseError::Damaged(what)) => {
                    commitments = Commitments::Damaged(Flaw::file(what).into());
                    None
                }
                Err(error) => return Err(database_failed("open", &directory.own.path())(error)),
            },
        };
        let rest = keep_rest(&directory, &mut survey, options)?;
        let mut chain = match open(directory.chain.clone(), |_, _| {}) {
            Ok(live) => live,
            Err(error) => return Err(database_failed("open", &directory.chain.path())(error)),
        };
        let mut records: Vec<Record> = survey.own.into_iter().flat_map(|found| found.value.records()).collect();
        let mut others = survey.chain.map(|found| found.value.records).unwrap_or_default();
        let legacy = match unwritable {
            None => legacy::take_over(&directory, &mut chain, &mut others, &options.limits)?,
            Some(_) => None,
        };
        records.append(&mut others);
        let store = Self::start(directory, own, chain, options)?;
        Ok((store, Opened { records, report: Report { is_new, commitments, chain: rest, legacy, unwritable } }))
    }

    fn start(directory: Directory, own: Option<Live>, chain: Live, options: &Options) -> Result<Self, OpenError> {
        let (done, told) = unbounded();
        let lock = Arc::new(directory.lock);
        let mut ends = Vec::new();
        let mut spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let (end, ended) = oneshot::channel();
            let lock = lock.clone();
            let run = move || {
                work();
                drop(lock); // before anybody hears that it may be had
                let _ = end.send(());
            };
            ends.push(ended);
            thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(OpenError::Thread)
        };
        let chain_queue = Arc::new(ChainQueue::default());
        let (queue, limits, pace, tell) = (chain_queue.clone(), options.limits.clone(), options.pace, done.clone());
        spawn("preconf-store-chain", Box::new(move || chain_writer::run(&queue, chain, &limits, &pace, &tell)))?;
        let own_queue = match own {
            None => None,
            Some(own) => {
                let queue = Arc::new(OwnQueue::default());
                let (mine, limits, tell) = (queue.clone(), options.limits.clone(), done.clone());
                let spawned = spawn("preconf-store-own", Box::new(move || own_writer::run(&mine, own, &limits, &tell)));
                if let Err(error) = spawned {
                    chain_queue.close();
                    return Err(error);
                }
                Some(queue)
            }
        };
        Ok(Self { own: own_queue, chain: chain_queue, options: options.clone(), done, told, ends })
    }

    fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// Has both threads end once nothing waits.
    fn end(&self) {
        self.chain.close();
        self.own.iter().for_each(|own| own.close());
    }
}

impl Store for RedbStore {
    fn persist(&mut self, id: PersistId, record: Record) {
        let result = match record {
            Record::Committed(own) => match &self.own {
                Some(queue) => queue.push(id, *own, self.limits()),
                None => Err(StorageFailure::Damaged),
            },
            Record::Began { .. } => {
                let _ = self.done.unbounded_send(Done { id, result: Ok(()) }); // the store itself made that
                return;
            }
            record => return self.chain.push(id, record, self.limits(), &self.options.pace, &self.done),
        };
        if let Err(failure) = result {
            let _ = self.done.unbounded_send(Done { id, result: Err(failure) });
        }
    }

    fn poll_done(&mut self, context: &mut Context<'_>) -> Poll<Done> {
        match self.told.poll_next_unpin(context) {
            Poll::Ready(Some(done)) => Poll::Ready(done),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        self.end();
        let ends = std::mem::take(&mut self.ends);
        ends.into_iter().fold(async {}.boxed(), |all, end| join(all, end).map(drop).boxed())
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.end();
    }
}

/// Removes what a crash left unfinished, and what is damaged and old.
fn clear(directory: &Directory, survey: &Survey) -> Result<(), OpenError> {
    let mut aside: Vec<&String> = survey.names.iter().filter(|name| directory.chain.is_aside(name)).collect();
    aside.sort();
    aside.reverse();
    let unfinished = survey.names.iter().filter(|name| directory.own.is_unfinished(name) || directory.chain.is_unfinished(name));
    for name in unfinished.chain(aside.into_iter().skip(ASIDE_MAX - 1)) {
        let path = directory.dir.join(name);
        directory.disk.remove(&path).map_err(disk_failed("remove", &path))?;
    }
    Ok(())
}

/// Sees to the file of what we committed to. Is it new?
fn keep_own(directory: &Directory, survey: &mut Survey, options: &Options) -> Result<(Commitments, bool), OpenError> {
    if let Some(flaws) = survey.lost_commitments(&directory.own) {
        return Ok((Commitments::Damaged(flaws), false));
    }
    match &survey.own {
        Some(found) if found.flaws.is_empty() => Ok((Commitments::Intact, false)),
        Some(found) => Ok((Commitments::Damaged(found.flaws.clone()), false)),
        None => {
            let now = directory.disk.now();
            let identity = options.identity(now);
            let made = directory.own.make(|transaction| own::begin(transaction, &identity, &[], now, &options.limits));
            made.map_err(database_failed("make", &directory.own.path()))?;
            let value = own::Own { label: Some(super::identity::Label::Ours(identity)), commitments: Vec::new() };
            survey.own = Some(Found { value, flaws: Flaws::default() });
            Ok((Commitments::Intact, true))
        }
    }
}

/// Sees to the file of all the rest: it is there and whole afterwards.
fn keep_rest(directory: &Directory, survey: &mut Survey, options: &Options) -> Result<Rest, OpenError> {
    let now = directory.disk.now();
    let identity = options.identity(now);
    let make = |records: &[Record]| {
        let made = directory.chain.make(|transaction| chain::begin(transaction, &identity, records.iter(), now, &options.limits));
        made.map_err(database_failed("make", &directory.chain.path()))
    };
    match &survey.chain {
        None => make(&[]).map(|()| Rest::New),
        Some(found) if found.flaws.is_empty() => Ok(Rest::Intact),
        Some(found) => {
            let (from, aside) = (directory.chain.path(), directory.chain.aside(now));
            directory.disk.rename(&from, &aside).map_err(disk_failed("move aside", &from))?;
            make(&found.value.records)?;
            Ok(Rest::Replaced { aside, flaws: found.flaws.clone(), kept: found.value.records.len() })
        }
    }
}
