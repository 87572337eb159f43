//! What makes two runs the same?
//!
//! SHA-256 over the outputs of every machine, with time and node: what identifies each (ids, hashes, verdicts, bodies), not every field of
//! it. Rare events go in as their `Debug` text, so a digest compares runs of one build, not of two releases.

use preconf_core::{Action, Event, Output, Record, Response, Time};
use sha2::{Digest, Sha256};

use super::node::NodeId;

/// The digest so far.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Sha256,
    steps: u64,
}

impl Trace {
    pub(crate) fn step(&mut self, at: Time, node: NodeId) {
        self.steps += 1;
        self.number(at.0);
        self.number(node as u64);
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    fn number(&mut self, number: u64) {
        self.hash.update(number.to_le_bytes());
    }

    /// A kind, then its parts, each with its length.
    fn say(&mut self, kind: u8, parts: &[&[u8]]) {
        self.hash.update([kind]);
        for part in parts {
            self.number(part.len() as u64);
            self.hash.update(part);
        }
    }

    pub(crate) fn output(&mut self, output: &Output) {
        match output {
            Output::Net(action) => self.action(action),
            Output::Job(job) => self.say(1, &[&job.id.0.to_le_bytes()]),
            Output::App(event) => self.event(event),
            Output::Keep(Record::Committed { block_number, hash }) => self.say(60, &[&block_number.to_le_bytes(), hash.as_slice()]),
            Output::Keep(Record::Known(known)) => {
                let (record, at) = (&known.record, known.last_success.0);
                self.say(62, &[record.peer.as_bytes(), &record.sequence.to_le_bytes(), &at.to_le_bytes()]);
            }
            Output::Keep(Record::Peer { peer, score, as_of, ban_ends }) => {
                let ends = ban_ends.map_or(0, |end| end.0);
                self.say(61, &[peer.as_bytes(), &score.to_le_bytes(), &as_of.0.to_le_bytes(), &ends.to_le_bytes()]);
            }
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Publish { publish, topic, data } => self.say(2, &[&publish.0.to_le_bytes(), &[*topic as u8], data]),
            Action::ReportGossip { message, peer, verdict } => self.say(3, &[&message.0, peer.as_bytes(), &[*verdict as u8]]),
            Action::SendRequest { request, peer, protocol, body } => {
                self.say(4, &[&request.0.to_le_bytes(), peer.as_bytes(), &[*protocol as u8], body]);
            }
            Action::Respond { channel, response } => {
                let body = body_of(response);
                self.say(5, &[&channel.0.to_le_bytes(), &body]);
            }
            Action::DropRequest { channel } => self.say(6, &[&channel.0.to_le_bytes()]),
            Action::CancelRequest { request } => self.say(7, &[&request.0.to_le_bytes()]),
            Action::Dial { dial, address } => self.say(8, &[&dial.0.to_le_bytes(), address.as_bytes()]),
            Action::Disconnect { peer } => self.say(9, &[peer.as_bytes()]),
            Action::Block { peer } => self.say(10, &[peer.as_bytes()]),
            Action::Unblock { peer } => self.say(11, &[peer.as_bytes()]),
            Action::CloseConnection { connection } => self.say(19, &[&connection.0.to_le_bytes()]),
            Action::LookUp { lookup } => self.say(20, &[&lookup.0.to_le_bytes()]),
            Action::Introduce { record } => self.say(21, &[record.as_bytes()]),
            Action::SetScore { peer, score } => self.say(12, &[peer.as_bytes(), &score.to_le_bytes()]),
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::CommitmentAccepted { commitment, source } => {
                self.say(13, &[commitment.hash.as_slice(), source.peer().as_ref().map_or(&[], |peer| peer.as_bytes())]);
            }
            Event::BlockReady { commitment, txlist } => {
                self.say(14, &[commitment.hash.as_slice(), &[u8::from(txlist.is_some())]]);
            }
            Event::TxListStored { hash, .. } => self.say(15, &[hash.as_slice()]),
            Event::Handoff { commitment, next } => {
                self.say(16, &[commitment.hash.as_slice(), next.as_ref().map_or(&[], |next| next.as_slice())])
            }
            Event::Forked { canonical, other } => self.say(17, &[canonical.hash.as_slice(), other.hash.as_slice()]),
            // The rest is rare and small, and has no large bytes in it.
            other => self.say(18, &[format!("{other:?}").as_bytes()]),
        }
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
