//! What does a swarm event mean to the machine?
//!
//! Called by [`Net::next_event`] for each swarm event; leaves at most two [`NetEvent`]s in the queue.

use std::net::IpAddr;

use bytes::Bytes;
use libp2p_core::{ConnectedPoint, transport::TransportError};
use libp2p_gossipsub::MessageAcceptance;
use libp2p_ping::Failure;
use libp2p_request_response::{InboundFailure, Message, OutboundFailure};
use libp2p_swarm::{DialError, StreamProtocol, SwarmEvent};
use multiaddr::{Multiaddr, Protocol as Part};
use preconf_core::{ChainId, DialFailure, Direction, Input, MessageId, Protocol, RequestFailure, SupportedProtocols};

use crate::behaviour::BehaviourEvent;
use crate::codec::{Body, FrameFault, is_frame_fault};
use crate::ids::from_libp2p;
use crate::net::{Net, NetEvent};

type ExchangeEvent = libp2p_request_response::Event<Result<Bytes, FrameFault>, Body>;

impl Net {
    pub(crate) fn take_in(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.take_in_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let dial = self.connections.end_dial(connection_id);
                let connection = self.connections.open(connection_id);
                let Some(peer) = from_libp2p(peer_id) else { return };
                let direction = match endpoint {
                    ConnectedPoint::Dialer { .. } => Direction::Outbound,
                    ConnectedPoint::Listener { .. } => Direction::Inbound,
                };
                let address = ip_of(endpoint.get_remote_address());
                self.tell(Input::ConnectionOpened { peer, connection, direction, address, dial });
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                tracing::debug!(%peer_id, ?cause, "connection closed");
                let connection = self.connections.close(connection_id);
                if let (Some(peer), Some(connection)) = (from_libp2p(peer_id), connection) {
                    self.tell(Input::ConnectionClosed { peer, connection });
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                tracing::debug!(%error, "dial failed");
                if let Some(dial) = self.connections.end_dial(connection_id) {
                    self.tell(Input::DialFailed { dial, failure: dial_failure(&error) });
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(%send_back_addr, %error, "inbound connection failed");
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                let address = self.of_us(address);
                self.events.push_back(NetEvent::Listening { address });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let address = self.of_us(address);
                self.events.push_back(NetEvent::ListenExpired { address });
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                let addresses = addresses.into_iter().map(|address| self.of_us(address)).collect();
                self.events.push_back(NetEvent::ListenerClosed { addresses, reason: reason.err() });
            }
            SwarmEvent::ListenerError { error, .. } => self.events.push_back(NetEvent::ListenerError { error }),
            // Dials and handshakes that have only begun, and what behaviours guess of addresses.
            SwarmEvent::IncomingConnection { .. }
            | SwarmEvent::Dialing { .. }
            | SwarmEvent::NewExternalAddrCandidate { .. }
            | SwarmEvent::ExternalAddrConfirmed { .. }
            | SwarmEvent::ExternalAddrExpired { .. }
            | SwarmEvent::NewExternalAddrOfPeer { .. } => {}
            event => tracing::debug!(?event, "an event that this version of libp2p did not have"),
        }
    }

    /// An address of ours as others dial it.
    fn of_us(&self, address: Multiaddr) -> Multiaddr {
        address.with(Part::P2p(*self.swarm.local_peer_id()))
    }

    fn take_in_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossipsub(event) => self.take_in_gossip(event),
            BehaviourEvent::GetHead(event) => self.take_in_exchange(Protocol::GetHead, event),
            BehaviourEvent::GetCommitments(event) => self.take_in_exchange(Protocol::GetCommitments, event),
            BehaviourEvent::GetTxlist(event) => self.take_in_exchange(Protocol::GetTxList, event),
            BehaviourEvent::Identify(libp2p_identify::Event::Received { peer_id, info, .. }) => {
                if let Some(peer) = from_libp2p(peer_id) {
                    let protocols = protocols(self.config.chain_id, &info.protocols);
                    self.tell(Input::PeerIdentified { peer, protocols });
                    if let Some(address) = ip_of(&info.observed_addr) {
                        self.tell(Input::AddressObserved { peer, address }); // P8.11: the port is that of one connection
                    }
                }
            }
            BehaviourEvent::Identify(event) => tracing::trace!(?event, "identify"),
            BehaviourEvent::Ping(libp2p_ping::Event { peer, connection, result: Err(Failure::Timeout | Failure::Other { .. }) }) => {
                // A half-open connection tells nobody that it is dead, and would count as a peer for ever.
                tracing::debug!(%peer, "no answer to ping");
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Ping(_) => {}
            BehaviourEvent::Limits(never) => match never {},
            BehaviourEvent::Blocked(never) => match never {},
        }
    }

    fn take_in_gossip(&mut self, event: libp2p_gossipsub::Event) {
        use libp2p_gossipsub::Event;
        match event {
            Event::Message { propagation_source, message_id, message } => {
                // P4.6: ours, back from an earlier life of this node. Ignored, and nobody is to blame.
                let own = message.source.as_ref() == Some(self.swarm.local_peer_id());
                let name = <[u8; 20]>::try_from(message_id.0.as_slice()).ok().map(MessageId);
                match (from_libp2p(propagation_source), self.topics.find(&message.topic), name) {
                    (Some(peer), Some(topic), Some(name)) if !own => {
                        self.tell(Input::GossipReceived { peer, message: name, topic, data: message.data.into() });
                    }
                    _ => {
                        self.counters.own_messages_returned += u64::from(own);
                        let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
                        gossipsub.report_message_validation_result(&message_id, &propagation_source, MessageAcceptance::Ignore);
                    }
                }
            }
            Event::Subscribed { peer_id, topic } => {
                if let (Some(peer), Some(topic)) = (from_libp2p(peer_id), self.topics.find(&topic)) {
                    self.tell(Input::PeerSubscribed { peer, topic });
                }
            }
            Event::Unsubscribed { peer_id, topic } => {
                if let (Some(peer), Some(topic)) = (from_libp2p(peer_id), self.topics.find(&topic)) {
                    self.tell(Input::PeerUnsubscribed { peer, topic });
                }
            }
            Event::GossipsubNotSupported { peer_id } => tracing::debug!(%peer_id, "peer speaks no gossipsub"),
            Event::SlowPeer { peer_id, failed_messages } => {
                // P5.8a: all are counted, and told at each doubling, so that a peer that never reads cannot fill the log.
                let lost = failed_messages.priority.saturating_add(failed_messages.non_priority) as u64;
                let before = self.counters.gossip_dropped;
                let total = before.saturating_add(lost);
                self.counters.gossip_dropped = total;
                tracing::debug!(%peer_id, lost, "a slow peer missed gossip messages");
                if total.checked_ilog2() > before.checked_ilog2() {
                    tracing::warn!(total, "gossip messages were dropped because peers are too slow");
                }
            }
        }
    }

    fn take_in_exchange(&mut self, protocol: Protocol, event: ExchangeEvent) {
        use libp2p_request_response::Event;
        match event {
            Event::Message { peer, message: Message::Request { request_id, request, channel }, .. } => {
                let Some(peer) = from_libp2p(peer) else { return };
                match request {
                    Ok(body) => match self.channels.open(peer, protocol, request_id, channel) {
                        Some(channel) => self.tell(Input::RequestReceived { peer, channel, protocol, body }),
                        None => {
                            self.counters.requests_unheard += 1;
                            tracing::debug!(%peer, ?protocol, "no room for a request");
                        }
                    },
                    Err(fault) => {
                        tracing::debug!(%peer, ?protocol, %fault, "a request that is no frame");
                        self.tell(Input::RequestBroken { peer });
                    }
                }
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                if let Some(request) = self.requests.end(protocol, request_id) {
                    self.tell(Input::ResponseReceived { request, body: response.into_bytes() });
                }
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                tracing::debug!(%peer, ?protocol, %error, "request failed");
                if let Some(request) = self.requests.end(protocol, request_id) {
                    self.tell(Input::RequestFailed { request, failure: failure(&error) });
                }
            }
            Event::InboundFailure { peer, request_id, error, .. } => {
                if !matches!(error, InboundFailure::ResponseOmission) {
                    tracing::debug!(%peer, ?protocol, %error, "answer failed");
                }
                self.close_channel(protocol, request_id);
            }
            Event::ResponseSent { request_id, .. } => self.close_channel(protocol, request_id),
        }
    }

    fn close_channel(&mut self, protocol: Protocol, id: libp2p_request_response::InboundRequestId) {
        if let Some(channel) = self.channels.close(protocol, id) {
            self.tell(Input::ChannelClosed { channel });
        }
    }
}

fn failure(error: &OutboundFailure) -> RequestFailure {
    match error {
        OutboundFailure::DialFailure => RequestFailure::Unreachable,
        OutboundFailure::Timeout => RequestFailure::Timeout,
        OutboundFailure::ConnectionClosed => RequestFailure::Closed,
        OutboundFailure::UnsupportedProtocols => RequestFailure::Unsupported,
        OutboundFailure::Io(error) if is_frame_fault(error) => RequestFailure::BadFrame,
        OutboundFailure::Io(_) => RequestFailure::Closed,
    }
}

/// Whose fault is it that a dial led nowhere?
pub(crate) fn dial_failure(error: &DialError) -> DialFailure {
    match error {
        // Our limits and our block list, or an order of ours to disconnect that overtook the dial.
        DialError::Denied { .. } | DialError::Aborted | DialError::DialPeerConditionFalse(_) => DialFailure::Denied,
        DialError::WrongPeerId { .. } | DialError::LocalPeerId { .. } => DialFailure::WrongPeer,
        DialError::NoAddresses => DialFailure::Undialable,
        DialError::Transport(tried) if tried.iter().all(|(_, error)| matches!(error, TransportError::MultiaddrNotSupported(_))) => {
            DialFailure::Undialable
        }
        DialError::Transport(_) => DialFailure::Unreachable,
    }
}

/// What of our chain is among these protocols?
fn protocols(chain: ChainId, protocols: &[StreamProtocol]) -> SupportedProtocols {
    let speaks = |protocol: Protocol| {
        let name = protocol.name(chain);
        protocols.iter().any(|theirs| theirs.as_ref() == name)
    };
    let gossip = |protocol: &StreamProtocol| protocol.as_ref().starts_with("/meshsub/") || protocol.as_ref().starts_with("/floodsub/");
    SupportedProtocols {
        get_head: speaks(Protocol::GetHead),
        get_commitments: speaks(Protocol::GetCommitments),
        get_txlist: speaks(Protocol::GetTxList),
        gossip: protocols.iter().any(gossip),
    }
}

/// The address's first IP, IPv4 in its own form so that limits by subnet see it (P8.3).
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Part::Ip4(ip) => Some(IpAddr::V4(ip)),
        Part::Ip6(ip) => Some(IpAddr::V6(ip).to_canonical()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gives_its_ip_in_its_own_form() {
        let ip = |text: &str| ip_of(&text.parse().expect("a multiaddr")).map(|ip| ip.to_string());
        assert_eq!(ip("/ip4/192.0.2.1/tcp/1").as_deref(), Some("192.0.2.1"));
        assert_eq!(ip("/ip6/::ffff:192.0.2.1/tcp/1").as_deref(), Some("192.0.2.1")); // P8.3: or it would escape its subnet
        assert_eq!(ip("/ip6/2001:db8::1/udp/1/quic-v1").as_deref(), Some("2001:db8::1"));
        assert_eq!(ip("/memory/1"), None);
    }

    #[test]
    fn only_our_chains_protocols_count_as_spoken() {
        // P2.5
        let chain = ChainId(7);
        let named = |name: String| StreamProtocol::try_from_owned(name).expect("a name");
        let head = named(Protocol::GetHead.name(chain));
        let theirs = named(Protocol::GetTxList.name(ChainId(8)));
        let wanted = SupportedProtocols { get_head: true, ..SupportedProtocols::default() };
        assert_eq!(protocols(chain, &[head, theirs]), wanted);
        assert!(protocols(chain, &[StreamProtocol::new("/floodsub/1.0.0")]).gossip);
        assert_eq!(protocols(chain, &[]), SupportedProtocols::default());
    }
}
