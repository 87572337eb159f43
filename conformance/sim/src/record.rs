//! What does a node of a world leave behind?
//!
//! A trace, as any driver writes it: [`World::record`] says where those of machines that start from then on go, one for each life of a node.
//! Recording changes nothing: a world runs the same with and without it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use preconf_trace::Tape;

use super::node::NodeId;
use super::world::World;

/// Takes the bytes of a trace.
pub type TraceWriter = Box<dyn Write + Send>;

/// Gives each machine that starts its tape, if it is to have one.
pub(crate) type Tapes = Box<dyn FnMut(NodeId) -> Option<Tape<TraceWriter>>>;

/// Traces in memory.
#[derive(Clone, Debug, Default)]
pub struct Traces(Rc<RefCell<BTreeMap<NodeId, Vec<Page>>>>);

impl Traces {
    /// The traces of a node, one for each of its lives, as far as they are written: each ends with its machine.
    pub fn of(&self, node: NodeId) -> Vec<Vec<u8>> {
        self.0.borrow().get(&node).into_iter().flatten().map(Page::bytes).collect()
    }
}

/// One trace in memory.
#[derive(Clone, Debug, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl World {
    /// Has the steps of machines that start from now on recorded on the tapes that this gives; asked once for each life of a node.
    pub fn record(&mut self, tapes: impl FnMut(NodeId) -> Option<Tape<TraceWriter>> + 'static) {
        self.tapes = Some(Box::new(tapes));
    }

    /// Keeps the traces of all machines that start from now on in memory.
    ///
    /// ```
    /// use std::time::Duration;
    /// use preconf_sim::{Setup, World};
    /// use preconf_trace::Replay;
    ///
    /// let mut world = World::new(7);
    /// let traces = world.record_all();
    /// world.add_node(Setup::plain());
    /// world.run_for(Duration::from_secs(60))?;
    /// drop(world); // ends the traces
    ///
    /// let trace = traces.of(0).remove(0);
    /// let mut replay = Replay::open(&trace[..])?;
    /// while let Some(step) = replay.step()? {
    ///     assert!(step.matches());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record_all(&mut self) -> Traces {
        let traces = Traces::default();
        let into = traces.clone();
        self.record(move |node| {
            let page = Page::default();
            into.0.borrow_mut().entry(node).or_default().push(page.clone());
            Some(Tape { to: Box::new(page), max_bytes: u64::MAX })
        });
        traces
    }

    /// Writes the traces of all machines that start from now on into a folder: `node-3.trace`, and after a restart `node-3.2.trace`. The world
    /// goes on without one that cannot be written; what is returned says so once the world is gone.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn record_in(&mut self, folder: impl Into<PathBuf>) -> io::Result<Unwritten> {
        let (folder, mut lives) = (folder.into(), BTreeMap::<NodeId, u32>::new());
        fs::create_dir_all(&folder)?;
        let unwritten = Unwritten::default();
        let noted = unwritten.clone();
        self.record(move |node| {
            let life = lives.entry(node).or_default();
            *life += 1;
            let name = if *life == 1 { format!("node-{node}.trace") } else { format!("node-{node}.{life}.trace") };
            let path = folder.join(name);
            match File::create(&path) {
                Ok(file) => {
                    let file = Watched { file, path, unwritten: noted.clone() };
                    Some(Tape { to: Box::new(BufWriter::new(file)), max_bytes: u64::MAX })
                }
                Err(error) => {
                    noted.note(&path, error);
                    None
                }
            }
        });
        Ok(unwritten)
    }
}

/// The first trace that could not be written, if there was one.
#[derive(Clone, Debug, Default)]
pub struct Unwritten(Arc<Mutex<Option<(PathBuf, io::Error)>>>);

impl Unwritten {
    /// Which it was, and why.
    pub fn take(&self) -> Option<(PathBuf, io::Error)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, path: &Path, error: io::Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| (path.to_owned(), error));
    }
}

/// A file that notes why it could not be written: what a buffer still holds is written when nobody is left to be told.
#[derive(Debug)]
struct Watched {
    file: File,
    path: PathBuf,
    unwritten: Unwritten,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).inspect_err(|error| self.unwritten.note(&self.path, io::Error::new(error.kind(), error.to_string())))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
