//! How is an action carried out, and how do requests travel?

use std::time::Duration;

use preconf_core::{
    Action, Bytes, ChannelId, ConnectionId, Event, Fault, Input, Limiter, Protocol, RateLimit, Refusal, RequestFailure, RequestId, Source,
    Standing, Update, application_score, message_id, preconfirmation_hash,
};

use super::check::{Failure, Violation};
use super::node::{Mind, NodeId, Ready, node_of, peer_id};
use super::puppet::Answer;
use super::queue::Happening;
use super::trace::body_of;
use super::world::{Asked, World};
use preconf_writer::CHAIN;

/// Two nodes, the lower first.
pub(crate) type Ends = (NodeId, NodeId);

pub(crate) fn ends(a: NodeId, b: NodeId) -> Ends {
    (a.min(b), a.max(b))
}

impl World {
    /// Does what a machine asks of the network.
    pub(crate) fn carry_out(&mut self, node: NodeId, action: Action) -> Result<(), Failure> {
        match action {
            Action::Publish { publish, topic, data } => {
                let message = message_id(CHAIN, topic, &data);
                let outcome = self.publish_gossip(node, message, topic, &data);
                self.soon(node, Input::PublishFinished { publish, outcome });
            }
            Action::ReportGossip { message, verdict, .. } => self.judged(node, message, verdict),
            Action::SendRequest { request, peer, protocol, body } => {
                let to = node_of(&peer).and_then(|to| Some((to, self.links.get(&ends(node, to))?.connection?)));
                match to {
                    Some((to, connection)) => {
                        let at = self.way(node, to, body.len());
                        self.at(at, Happening::Request { from: node, to, connection, request, protocol, body });
                    }
                    None => self.soon(node, Input::RequestFailed { request, failure: RequestFailure::Unreachable }),
                }
            }
            Action::Respond { channel, response } => {
                self.answer(channel, Duration::ZERO, Some(body_of(&response)));
            }
            Action::DropRequest { channel } => {
                let from = self.channels.get(&channel).map(|asked| asked.from).filter(|from| self.is_honest(*from));
                if let Some(peer) = from.filter(|from| !self.nodes[*from].may_be_limited(node)) {
                    return Err(self.failure(node, Violation::OverLimit { peer }));
                }
                self.answer(channel, Duration::ZERO, None);
            }
            Action::CancelRequest { .. } => {} // a late answer changes nothing
            Action::SetScore { peer, score } => {
                if let Some(other) = node_of(&peer) {
                    let score = application_score(score);
                    self.nodes[node].gossip.set_application_score(other, score);
                    if score < 0 && self.nodes[node].gossip.mesh.contains(&other) {
                        self.beat_soon(node);
                    }
                }
            }
            Action::Dial { dial, address } => self.dial_out(node, &address, dial),
            Action::LookUp { lookup } => self.look_up(node, lookup),
            Action::Introduce { .. } | Action::AdvertiseAddress { .. } => {} // the directory is the same for all, and knows where each is
            Action::Disconnect { peer } => {
                if let Some(other) = node_of(&peer) {
                    self.disconnect(ends(node, other))?;
                }
            }
            Action::CloseConnection { connection } => {
                if let Some(ends) = self.standing.get(&connection).copied() {
                    self.disconnect(ends)?;
                }
            }
            Action::Block { peer } => {
                if let Some(other) = node_of(&peer) {
                    self.bans.insert((node, other));
                    self.nodes[node].blocked.push(other);
                    self.disconnect(ends(node, other))?;
                }
            }
            Action::Unblock { peer } => {
                if let Some(other) = node_of(&peer) {
                    self.nodes[node].blocked.retain(|blocked| *blocked != other);
                    self.after(Duration::ZERO, Happening::Connect { ends: ends(node, other) });
                }
            }
        }
        Ok(())
    }

    /// What a machine tells its application. A host that executes does so at once.
    pub(crate) fn note(&mut self, node: NodeId, event: &Event) -> Result<(), Failure> {
        match event {
            Event::BlockReady { commitment, .. } => {
                let (number, hash, at) = (commitment.block_number, commitment.hash, self.now);
                self.nodes[node].ready.push(Ready { number, hash, at });
                if self.nodes[node].setup.as_ref().is_some_and(|setup| setup.executes) {
                    self.nodes[node].to_execute = Some(number);
                }
            }
            Event::CommitmentAccepted { commitment, source } => {
                self.deliveries.accepted(self.now, node, commitment, *source);
                if *source == Source::Own {
                    self.offer_taken(node, &commitment.hash);
                }
            }
            Event::CommandFinished { command, outcome } => self.offer_ended(node, *command, outcome),
            Event::StandingChanged { peer, standing, .. } if *standing >= Standing::Pruned => {
                self.put_out.extend(node_of(peer).map(|peer| (node, peer)));
            }
            Event::MessageRefused { peer, refusal: Refusal::Crowded, .. } => {
                let is_honest = node_of(peer).is_some_and(|peer| self.is_honest(peer));
                self.nodes[node].crowded += u64::from(is_honest);
            }
            Event::EvidenceFound { evidence, signer, block_number } => {
                self.nodes[node].evidence += 1;
                let words = [&evidence.first, &evidence.second].map(preconfirmation_hash);
                // C9 is asked at once: who has not heard yet what L1 settled in its place takes what builds on that for a broken link.
                let parent = evidence.second.preconf().parent_preconfirmation_hash;
                let follows_l1 = evidence.fault == Fault::BrokenLink && self.has_settled(&parent);
                if self.is_honest_seat(*signer) && !follows_l1 && !words.iter().any(|word| self.words.is_forgotten(word)) {
                    return Err(self.failure(node, Violation::HonestPreconferProven { fault: evidence.fault, number: *block_number }));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The host has executed what was ready; all of one step at once.
    pub(crate) fn execute(&mut self, node: NodeId) -> Result<(), Failure> {
        if let Some(block_number) = self.nodes[node].to_execute.take() {
            let _ = self.update(node, Update::MarkExecuted { block_number })?; // the chain may have moved under it
        }
        Ok(())
    }

    pub(crate) fn soon(&mut self, node: NodeId, input: Input) {
        let life = self.nodes[node].life;
        self.after(Duration::ZERO, Happening::Input { node, life, input });
    }

    pub(crate) fn latency(&mut self, from: NodeId, to: NodeId) -> Duration {
        let Self { links, dice, .. } = self;
        links.get(&ends(from, to)).map_or(Duration::ZERO, |link| link.terms.latency(dice))
    }

    /// When so many bytes that must not be lost arrive.
    fn way(&mut self, from: NodeId, to: NodeId, len: usize) -> preconf_core::Time {
        let Self { links, dice, now, .. } = self;
        let arrival = links.get_mut(&ends(from, to)).and_then(|link| {
            // Streams keep their own order, each request on one of its own.
            let reorders = std::mem::replace(&mut link.terms.reorders, true);
            let at = link.arrival(*now, from > to, len, false, dice);
            link.terms.reorders = reorders;
            at
        });
        arrival.unwrap_or(*now)
    }

    pub(crate) fn request_arrives(&mut self, asked: Asked, protocol: Protocol, body: Bytes) -> Result<(), Failure> {
        let Asked { from, to, connection, .. } = asked;
        if !self.passes(ends(from, to), connection) {
            return Ok(()); // the asker's timer ends it
        }
        self.minted += 1;
        let channel = ChannelId(self.minted);
        self.channels.insert(channel, asked);
        let now = self.now;
        let Mind::Puppet(_, limiters) = &mut self.nodes[to].mind else {
            return self.input(to, Input::RequestReceived { peer: peer_id(from), channel, protocol, body });
        };
        let limiter = limiters.entry((from, protocol)).or_insert_with(|| Limiter::new(RateLimit::default()));
        let is_within = limiter.admit(now) || self.nodes[from].setup.is_none();
        let Mind::Puppet(puppet, _) = &mut self.nodes[to].mind else { return Ok(()) };
        let answer = puppet.answer(protocol, &body);
        if !is_within && !self.nodes[from].may_be_limited(to) {
            return Err(self.failure(to, Violation::OverLimit { peer: from })); // P6.6, P6.7
        }
        match answer {
            Answer::After(span, body) => self.answer(channel, span, Some(body)),
            Answer::Drop => self.answer(channel, Duration::ZERO, None),
            Answer::Never => drop(self.channels.remove(&channel)),
        }
        Ok(())
    }

    fn answer(&mut self, channel: ChannelId, after: Duration, body: Option<Bytes>) {
        let Some(Asked { from, to, connection, request }) = self.channels.remove(&channel) else { return };
        let len = body.as_ref().map_or(0, Bytes::len);
        let at = self.way(to, from, len).after(after);
        // The answer is written before it is read.
        if self.is_honest(to) {
            let (node, life) = (to, self.nodes[to].life);
            self.at(at, Happening::Input { node, life, input: Input::ChannelClosed { channel } });
        }
        self.at(at, Happening::Answer { to: from, connection, ends: ends(from, to), request, body });
    }

    pub(crate) fn answer_arrives(
        &mut self,
        to: NodeId,
        connection: ConnectionId,
        ends: Ends,
        request: RequestId,
        body: Option<Bytes>,
    ) -> Result<(), Failure> {
        if !self.passes(ends, connection) {
            return Ok(());
        }
        self.input(
            to,
            match body {
                Some(body) => Input::ResponseReceived { request, body },
                None => Input::RequestFailed { request, failure: RequestFailure::Closed },
            },
        )
    }
}
