//! What does an order of the machine do to the swarm?
//!
//! Nothing here waits. An order that fails at once queues the input that says so.

use bytes::Bytes;
use libp2p_gossipsub::{MessageAcceptance, MessageId as GossipId, PublishError};
use libp2p_swarm::dial_opts::DialOpts;
use multiaddr::Multiaddr;
use preconf_core::{
    Action, DialFailure, DialId, Input, MAX_GOSSIP_BYTES, MessageId, PeerId, Protocol, PublishOutcome, RequestFailure, RequestId, Topic,
    Verdict, application_score, message_id,
};

use crate::behaviour::points;
use crate::ids::to_libp2p;
use crate::inbound::dial_failure;
use crate::net::Net;

/// What gossipsub puts around a message, at most, in bytes: author, sequence number, topic, signature, key. Ours: about 300 with the
/// longest names; a message that fits only without them would break the streams of all who get it.
const ENVELOPE_BYTES: usize = 1024;
/// How many of our own messages we remember as stuck. Ours: what the machine lets wait (its `max_unsent`).
const MAX_STUCK: usize = 256;

impl Net {
    /// Hands an order over. Never waits; what comes of it arrives as an input.
    pub fn apply(&mut self, action: Action) {
        match action {
            Action::Publish { publish, topic, data } => {
                let outcome = self.publish(topic, data);
                self.tell(Input::PublishFinished { publish, outcome });
            }
            Action::ReportGossip { message, peer, verdict } => {
                let acceptance = match verdict {
                    Verdict::Accept => MessageAcceptance::Accept,
                    Verdict::Ignore => MessageAcceptance::Ignore,
                    Verdict::Reject => MessageAcceptance::Reject,
                };
                if let Some(peer) = to_libp2p(peer) {
                    let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
                    gossipsub.report_message_validation_result(&GossipId::new(&message.0), &peer, acceptance);
                }
            }
            Action::SendRequest { request, peer, protocol, body } => self.send_request(request, peer, protocol, body),
            Action::Respond { channel, response } => {
                // A channel that is gone has said so, or will, as a failure that becomes ChannelClosed.
                if let Some((protocol, sender)) = self.channels.take(channel) {
                    let _ = self.swarm.behaviour_mut().exchange(protocol).send_response(sender, response.into());
                }
            }
            Action::DropRequest { channel } => drop(self.channels.take(channel)),
            Action::CancelRequest { request } => self.requests.cancel(request),
            Action::Dial { dial, address } => self.dial(dial, &address),
            // Discovery stands beside this network, and its driver takes these first: here nobody is found.
            Action::LookUp { lookup } => self.tell(Input::LookupFinished { lookup, succeeded: false }),
            Action::Introduce { .. } | Action::AdvertiseAddress { .. } => {}
            Action::Disconnect { peer } => {
                if let Some(peer) = to_libp2p(peer) {
                    let _ = self.swarm.disconnect_peer_id(peer); // an error says only that there is nothing to close
                }
            }
            Action::CloseConnection { connection } => {
                if let Some(connection) = self.connections.find(connection) {
                    self.swarm.close_connection(connection);
                }
            }
            Action::Block { peer } => {
                if let Some(peer) = to_libp2p(peer) {
                    self.swarm.behaviour_mut().blocked.block_peer(peer);
                }
            }
            Action::Unblock { peer } => {
                if let Some(peer) = to_libp2p(peer) {
                    self.swarm.behaviour_mut().blocked.unblock_peer(peer);
                }
            }
            Action::SetScore { peer, score } => {
                if let Some(peer) = to_libp2p(peer) {
                    self.swarm.behaviour_mut().gossipsub.set_application_score(&peer, points(application_score(score))); // P7.5
                }
            }
        }
    }

    fn publish(&mut self, topic: Topic, data: Bytes) -> PublishOutcome {
        if data.len() > MAX_GOSSIP_BYTES - ENVELOPE_BYTES {
            return PublishOutcome::Refused;
        }
        let hash = self.topics.hash(topic).clone();
        match self.swarm.behaviour_mut().gossipsub.publish(hash, data.clone()) {
            Ok(_) => PublishOutcome::Sent,
            Err(PublishError::NoPeersSubscribedToTopic) => PublishOutcome::NoPeers,
            Err(PublishError::AllQueuesFull(_)) => {
                self.remember_stuck(message_id(self.config.chain_id, topic, &data));
                PublishOutcome::Busy
            }
            Err(PublishError::Duplicate) => self.publish_again(message_id(self.config.chain_id, topic, &data)),
            Err(error) => {
                tracing::warn!(?topic, %error, "gossipsub refuses a message of ours");
                PublishOutcome::Refused
            }
        }
    }

    fn remember_stuck(&mut self, message: MessageId) {
        if self.stuck.len() == MAX_STUCK {
            self.stuck.pop_front();
        }
        self.stuck.push_back(message);
    }

    /// P5.8: a message that could not be published is not a duplicate of itself. Gossipsub has put it into its cache before it found all
    /// queues full; accepting it there sends it to the mesh, as if it had just been judged.
    fn publish_again(&mut self, message: MessageId) -> PublishOutcome {
        let Some(at) = self.stuck.iter().position(|stuck| *stuck == message) else { return PublishOutcome::Duplicate };
        let us = *self.swarm.local_peer_id();
        let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
        if gossipsub.report_message_validation_result(&GossipId::new(&message.0), &us, MessageAcceptance::Accept) {
            self.stuck.remove(at);
            PublishOutcome::Sent
        } else {
            PublishOutcome::Busy
        }
    }

    fn send_request(&mut self, request: RequestId, peer: PeerId, protocol: Protocol, body: Bytes) {
        // Request-response would dial a peer that is not connected; whom to dial is the machine's choice.
        match to_libp2p(peer).filter(|peer| self.swarm.is_connected(peer)) {
            Some(peer) => {
                let id = self.swarm.behaviour_mut().exchange(protocol).send_request(&peer, Ok(body));
                self.requests.start(request, protocol, id);
            }
            None => self.tell(Input::RequestFailed { request, failure: RequestFailure::Unreachable }),
        }
    }

    fn dial(&mut self, dial: DialId, address: &str) {
        // A port of its own for each dial, which every transport can give: identify then knows that the address which a peer saw us come from
        // is not one that we listen on, and translates it.
        let options = address.parse().map(|address: Multiaddr| DialOpts::unknown_peer_id().address(address).allocate_new_port().build());
        let dialed = match options {
            Ok(options) => {
                self.connections.dial(options.connection_id(), dial);
                let connection = options.connection_id();
                self.swarm.dial(options).map_err(|error| {
                    self.connections.end_dial(connection);
                    (dial_failure(&error), error.to_string())
                })
            }
            Err(error) => Err((DialFailure::Undialable, error.to_string())),
        };
        if let Err((failure, error)) = dialed {
            tracing::debug!(address, error, "cannot dial");
            self.tell(Input::DialFailed { dial, failure });
        }
    }
}
