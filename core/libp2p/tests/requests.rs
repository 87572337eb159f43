//! The three requests, both ways, and all the ways in which they fail.

mod common;

use std::io;

use common::{CHAIN, World, config, key};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p_request_response::{Behaviour, Codec, Config, Event, Message, ProtocolSupport};
use libp2p_swarm::{StreamProtocol, Swarm, SwarmEvent};
use preconf_core::{
    Action, B256, Bytes, ChainId, ChannelId, CommitmentsPage, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, Input,
    MAX_TXLIST_BYTES, PreconfCommitment, PreconfHead, Protocol, RawTxList, RequestFailure, RequestId, Response, SignedCommitment, U256,
};
use preconf_libp2p::NetConfig;

const FIRST: RequestId = RequestId(1);

fn ask(world: &mut World, from: usize, to: usize, request: RequestId, protocol: Protocol, body: Bytes) {
    let peer = world.id(to);
    world.apply(from, Action::SendRequest { request, peer, protocol, body });
}

fn ask_head(world: &mut World, request: RequestId) {
    ask(world, 0, 1, request, Protocol::GetHead, Bytes::from_static(&GetHeadRequest::BYTES));
}

/// Waits until a node is asked something, and says what.
fn asked(world: &mut World, node: usize) -> (ChannelId, Protocol, Bytes) {
    match world.until(node, |input| matches!(input, Input::RequestReceived { .. })) {
        Input::RequestReceived { channel, protocol, body, .. } => (channel, protocol, body),
        _ => unreachable!(),
    }
}

fn failed(world: &mut World, node: usize, request: RequestId) -> RequestFailure {
    match world.until(node, |input| matches!(input, Input::RequestFailed { request: id, .. } if *id == request)) {
        Input::RequestFailed { failure, .. } => failure,
        _ => unreachable!(),
    }
}

#[test]
fn all_three_requests_are_answered_whole_in_both_directions() {
    // P6.1–P6.3 at the network's side
    let mut world = World::of(2);
    world.join(0, 1);
    let head = PreconfHead { block_number: U256::from(7), submission_window_end: U256::from(9) };
    let signed = SignedCommitment::new(PreconfCommitment::default(), [3; 65]);
    let page = CommitmentsPage::encode(std::iter::repeat_n(&signed, 256));
    let txlist = RawTxList { hash: B256::repeat_byte(4), txlist: vec![5; MAX_TXLIST_BYTES].into() };
    let cases = [
        (Protocol::GetHead, Bytes::from_static(&GetHeadRequest::BYTES), Response::Head(head), head.encode()),
        (Protocol::GetCommitments, GetCommitmentsRequest::default().encode(), Response::Commitments(page.clone()), page),
        (Protocol::GetTxList, GetTxListRequest::default().encode(), Response::TxList(txlist.clone()), txlist.encode()),
    ];
    let mut ids = (1..).map(RequestId);
    for (from, to) in [(0, 1), (1, 0)] {
        for (protocol, body, response, wanted) in cases.clone() {
            let request = ids.next().expect("endless");
            ask(&mut world, from, to, request, protocol, body.clone());
            let (channel, heard, heard_body) = asked(&mut world, to);
            assert_eq!((heard, heard_body), (protocol, body));
            world.apply(to, Action::Respond { channel, response });
            world.until(to, |input| *input == Input::ChannelClosed { channel });
            let answer = world.until(from, |input| matches!(input, Input::ResponseReceived { .. }));
            assert!(answer == Input::ResponseReceived { request, body: wanted }, "another answer to {protocol:?}");
        }
    }
}

#[test]
fn a_dropped_request_looks_like_a_closed_stream() {
    // P6.6: over the limit there is no answer.
    let mut world = World::of(2);
    world.join(0, 1);
    ask_head(&mut world, FIRST);
    let (channel, ..) = asked(&mut world, 1);
    world.apply(1, Action::DropRequest { channel });
    assert_eq!(failed(&mut world, 0, FIRST), RequestFailure::Closed);
    world.until(1, |input| *input == Input::ChannelClosed { channel });
}

#[test]
fn an_answer_to_an_unknown_or_answered_channel_changes_nothing() {
    // P6.5
    let mut world = World::of(2);
    world.join(0, 1);
    world.apply(1, Action::Respond { channel: ChannelId(99), response: Response::Head(PreconfHead::default()) });
    world.apply(1, Action::DropRequest { channel: ChannelId(98) });
    ask_head(&mut world, FIRST);
    let (channel, ..) = asked(&mut world, 1);
    for _ in 0..2 {
        world.apply(1, Action::Respond { channel, response: Response::Head(PreconfHead::default()) });
    }
    world.apply(1, Action::DropRequest { channel });
    world.until(0, |input| matches!(input, Input::ResponseReceived { request, .. } if *request == FIRST));
    world.until(1, |input| *input == Input::ChannelClosed { channel });
}

#[test]
fn a_late_answer_to_a_cancelled_request_is_not_told() {
    // P6.5
    let mut world = World::of(2);
    world.join(0, 1);
    ask_head(&mut world, FIRST);
    let (late, ..) = asked(&mut world, 1);
    world.apply(0, Action::CancelRequest { request: FIRST });
    world.apply(1, Action::Respond { channel: late, response: Response::Head(PreconfHead::default()) });
    world.until(1, |input| *input == Input::ChannelClosed { channel: late });
    ask_head(&mut world, RequestId(2));
    let (channel, ..) = asked(&mut world, 1);
    world.apply(1, Action::Respond { channel, response: Response::Head(PreconfHead::default()) });
    world.until(0, |input| matches!(input, Input::ResponseReceived { request, .. } if *request == RequestId(2)));
    let told = |input: &Input| matches!(input, Input::ResponseReceived { .. } | Input::RequestFailed { .. });
    assert!(!world.unread(0).iter().any(told), "{:?}", world.unread(0));
}

#[test]
fn a_request_to_a_peer_that_is_not_connected_fails_at_once() {
    // P6.8
    let mut world = World::of(2);
    ask_head(&mut world, FIRST);
    assert_eq!(failed(&mut world, 0, FIRST), RequestFailure::Unreachable);
}

#[test]
fn a_peer_of_another_chain_does_not_support_our_requests() {
    let mut world = World::of(1);
    let other = world.add(NetConfig { chain_id: ChainId(1), ..config() }, key());
    let address = world.addresses[other].clone();
    world.dial(0, &address);
    world.until(0, |input| matches!(input, Input::ConnectionOpened { .. }));
    ask_head(&mut world, FIRST);
    assert_eq!(failed(&mut world, 0, FIRST), RequestFailure::Unsupported);
}

#[test]
fn a_request_fails_when_its_peer_leaves() {
    let mut world = World::of(2);
    world.join(0, 1);
    ask_head(&mut world, FIRST);
    let (channel, ..) = asked(&mut world, 1);
    let peer = world.id(0);
    world.apply(1, Action::Disconnect { peer });
    assert_eq!(failed(&mut world, 0, FIRST), RequestFailure::Closed);
    world.until(1, |input| *input == Input::ChannelClosed { channel });
}

#[test]
fn requests_of_one_peer_beyond_its_streams_are_not_heard() {
    // P10.1: what is not heard fails for who asked, and the rest is served.
    let mut world = World::new();
    world.add(config(), key());
    world.add(NetConfig { max_streams: 2, ..config() }, key());
    world.join(0, 1);
    for id in 1..=3 {
        ask_head(&mut world, RequestId(id));
    }
    let waiting = [asked(&mut world, 1).0, asked(&mut world, 1).0];
    world.until(0, |input| matches!(input, Input::RequestFailed { failure: RequestFailure::Closed, .. }));
    for channel in waiting {
        world.apply(1, Action::Respond { channel, response: Response::Head(PreconfHead::default()) });
        world.until(0, |input| matches!(input, Input::ResponseReceived { .. }));
    }
}

#[test]
fn a_peer_has_its_share_of_waiting_requests_and_no_more() {
    // P10.1
    let mut world = World::new();
    for _ in 0..2 {
        world.add(NetConfig { max_streams: 100, ..config() }, key());
    }
    world.join(0, 1);
    for id in 1..=65 {
        ask_head(&mut world, RequestId(id));
    }
    world.until(0, |input| matches!(input, Input::RequestFailed { failure: RequestFailure::Closed, .. }));
    assert_eq!(world.nets[1].counters().requests_unheard, 1);
    for _ in 0..64 {
        let (channel, ..) = asked(&mut world, 1);
        world.apply(1, Action::DropRequest { channel });
        world.until(1, |input| *input == Input::ChannelClosed { channel });
    }
    ask_head(&mut world, RequestId(66));
    asked(&mut world, 1);
}

/// Writes and reads whatever it likes.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        io.read_to_end(&mut all).await.map(|_| all)
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(&mut self, name: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>> {
        self.read_request(name, io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()> {
        io.write_all(&bytes).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(&mut self, name: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()> {
        self.write_request(name, io, bytes).await
    }
}

/// A stranger that has connected to the world's first node.
fn stranger(world: &mut World) -> (Swarm<Behaviour<Raw>>, libp2p_identity::PeerId) {
    let key = key();
    let names = Protocol::ALL.map(|protocol| StreamProtocol::try_from_owned(protocol.name(CHAIN)).expect("a name"));
    let mut swarm = world.stranger(&key, Behaviour::with_codec(Raw, names.map(|name| (name, ProtocolSupport::Full)), Config::default()));
    let address: multiaddr::Multiaddr = world.addresses[0].parse().expect("an address");
    swarm.dial(address).expect("a dial");
    let opened = |input: &Input| matches!(input, Input::ConnectionOpened { .. });
    let first = async { while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {} };
    world.until_with(0, opened, first);
    let node = libp2p_identity::PeerId::from_bytes(world.id(0).as_bytes()).expect("a peer id");
    (swarm, node)
}

#[test]
fn a_request_that_is_no_frame_is_told_and_one_cut_off_is_not() {
    // P3.4: a fault is a fault; a stream that ends early may be a bad line.
    let mut world = World::of(1);
    let (mut swarm, node) = stranger(&mut world);
    let peer = preconf_core::PeerId::from_bytes(&swarm.local_peer_id().to_bytes()).expect("a peer id");
    let (cut_off, fine) = (vec![4, 4, 0], vec![4, 4, 0, 0, 0]);
    for broken in [vec![5, 4, 0, 0, 0, 0], vec![0x84, 0, 4, 0, 0, 0], vec![4, 4, 0, 0, 0, 9]] {
        swarm.behaviour_mut().send_request(&node, cut_off.clone());
        swarm.behaviour_mut().send_request(&node, broken);
        let drive = async { while let Some(_event) = swarm.next().await {} };
        world.until_with(0, |input| *input == Input::RequestBroken { peer }, drive);
    }
    swarm.behaviour_mut().send_request(&node, fine);
    let drive = async { while let Some(_event) = swarm.next().await {} };
    world.until_with(0, |input| matches!(input, Input::RequestReceived { body, .. } if body[..] == [4, 0, 0, 0]), drive);
    assert!(!world.unread(0).iter().any(|input| matches!(input, Input::RequestBroken { .. })), "{:?}", world.unread(0));
}

#[test]
fn a_response_that_is_no_frame_or_too_long_fails_as_such() {
    // P3.4, P3.3
    let mut world = World::of(1);
    let (mut swarm, _) = stranger(&mut world);
    let peer = preconf_core::PeerId::from_bytes(&swarm.local_peer_id().to_bytes()).expect("a peer id");
    let over_cap = MAX_TXLIST_BYTES as u32 + 36 + 1;
    let (prefix, used) = preconf_core::frame_prefix(over_cap);
    let cases = [
        (Protocol::GetHead, vec![65], RequestFailure::BadFrame),
        (Protocol::GetTxList, prefix[..used].to_vec(), RequestFailure::BadFrame),
        (Protocol::GetTxList, vec![1, 1, 1], RequestFailure::BadFrame),
        (Protocol::GetHead, vec![64, 1], RequestFailure::Closed),
    ];
    for (request, (protocol, bytes, wanted)) in (1..).map(RequestId).zip(cases) {
        world.apply(0, Action::SendRequest { request, peer, protocol, body: Bytes::from_static(&[4, 0, 0, 0]) });
        let drive = async {
            loop {
                let event = swarm.select_next_some().await;
                if let SwarmEvent::Behaviour(Event::Message { message: Message::Request { channel, .. }, .. }) = event {
                    let _ = swarm.behaviour_mut().send_response(channel, bytes.clone());
                }
            }
        };
        world.until_with(0, |input| *input == Input::RequestFailed { request, failure: wanted }, drive);
    }
}
