//! How is what the machines of a world are told recorded?
//!
//! One trace for each life of each machine, as a real node would write it, and replayed like one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use preconf_core::{CommandError, CommandId, Config, Core, Now, Output, Time};
use preconf_trace::{Header, StepDigest, Writer};

use super::node::NodeId;
use super::observe::{Call, Observer};

/// Longest trace of one life. Ours: an hour of a busy node is some ten MiB.
const MAX_BYTES: u64 = 1 << 30;

/// Writes a folder of traces: `node-3-life-1.trace` and so on.
///
/// A trace that cannot be written ends where it is, and the world goes on.
#[derive(Debug)]
pub struct Tapes {
    dir: PathBuf,
    lives: BTreeMap<NodeId, u32>,
    open: BTreeMap<NodeId, Tape>,
}

#[derive(Debug)]
struct Tape {
    writer: Writer<BufWriter<File>>,
    step: Option<(Now, preconf_trace::Call)>,
    /// What it said; its answer to a command, which comes last here, stands first in a digest.
    said: Vec<Output>,
}

impl Tapes {
    /// Makes the folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn into(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned(), lives: BTreeMap::new(), open: BTreeMap::new() })
    }

    fn start(&self, node: NodeId, life: u32, header: &Header) -> io::Result<Tape> {
        let file = BufWriter::new(File::create(self.dir.join(format!("node-{node}-life-{life}.trace")))?);
        Ok(Tape { writer: Writer::new(file, header, MAX_BYTES)?, step: None, said: Vec::new() })
    }

    fn finish(&mut self, node: NodeId) {
        if let Some(tape) = self.open.remove(&node) {
            let _ = tape.writer.finish(); // a trace without its end says so when it is read
        }
    }
}

impl Observer for Tapes {
    fn boot(&mut self, _: Time, node: NodeId, config: &Config, seed: [u8; 32], now: Now) {
        self.finish(node);
        let life = self.lives.entry(node).or_default();
        *life += 1;
        let life = *life;
        if let Ok(tape) = self.start(node, life, &Header::new(config, seed, now)) {
            self.open.insert(node, tape);
        }
    }

    fn call(&mut self, _: Time, node: NodeId, now: Now, call: Call<'_>) {
        if let Some(tape) = self.open.get_mut(&node) {
            let call = match call {
                Call::Input(input) => preconf_trace::Call::from_input(input.clone()),
                Call::Command(command) => preconf_trace::Call::Command(command.clone()),
                Call::Timeout => preconf_trace::Call::Timeout,
            };
            tape.step = Some((now, call));
        }
    }

    fn output(&mut self, _: Time, node: NodeId, output: &Output) {
        if let Some(tape) = self.open.get_mut(&node) {
            tape.said.push(output.clone());
        }
    }

    fn done(&mut self, _: Time, node: NodeId, _: Now, core: &Core, answer: Option<&Result<CommandId, CommandError>>) {
        let Some(tape) = self.open.get_mut(&node) else { return };
        let mut digest = StepDigest::default();
        if let Some(answer) = answer {
            digest.answer(answer);
        }
        tape.said.drain(..).for_each(|output| digest.output(&output));
        if let Some((now, call)) = tape.step.take()
            && tape.writer.step(now, &call, Some(digest.end(core.poll_timeout(), true))).is_err()
        {
            self.open.remove(&node);
        }
    }
}

impl Drop for Tapes {
    fn drop(&mut self) {
        for node in self.open.keys().copied().collect::<Vec<_>>() {
            self.finish(node);
        }
    }
}
