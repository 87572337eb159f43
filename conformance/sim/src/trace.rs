//! What makes two runs the same?
//!
//! SHA-256 over time, node and digest of every step of every machine. The digest is that of a recorded trace: every field of every output
//! counts, by the same canonical bytes, so two runs with one digest have said the same.

use preconf_core::{Output, Response, Time};
use preconf_trace::StepDigest;
use sha2::{Digest, Sha256};

use super::node::NodeId;

/// The digest so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    hash: Sha256,
    /// Of the step whose outputs are being told.
    open: StepDigest,
    steps: u64,
}

impl Trace {
    /// A step of a node's machine begins; its outputs follow.
    pub(crate) fn step(&mut self, at: Time, node: NodeId) {
        self.close();
        self.steps += 1;
        self.number(at.0);
        self.number(node as u64);
    }

    pub(crate) fn output(&mut self, output: &Output) {
        self.open.output(output);
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut whole = self.clone();
        whole.close();
        whole.hash.finalize().into()
    }

    fn close(&mut self) {
        let said = std::mem::take(&mut self.open).end(None, true);
        self.number(said.outputs);
        self.number(said.digest);
    }

    fn number(&mut self, number: u64) {
        self.hash.update(number.to_le_bytes());
    }
}

/// A response as it travels.
pub(crate) fn body_of(response: &Response) -> preconf_core::Bytes {
    match response {
        Response::Head(head) => head.encode(),
        Response::Commitments(page) => page.clone(),
        Response::TxList(list) => list.encode(),
    }
}
