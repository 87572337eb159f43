//! Gossip: what is forwarded, what is refused, and what never reaches the machine.

mod common;

use std::cell::Cell;
use std::pin::pin;

use common::{CHAIN, World, config, key};
use futures::StreamExt;
use libp2p_gossipsub::{Behaviour, ConfigBuilder, IdentTopic, MessageAuthenticity};
use libp2p_identity::Keypair;
use libp2p_swarm::{Swarm, SwarmEvent};
use preconf_core::{
    Action, Bytes, Input, MAX_GOSSIP_BYTES, MAX_TXLIST_BYTES, MessageId, PublishId, PublishOutcome, SIGNED_COMMITMENT_BYTES, Topic,
    Verdict, message_id,
};

/// Bytes of the size of a commitment; the machine is not asked here whether they are one.
fn commitment(number: u8) -> Bytes {
    let mut bytes = vec![number; SIGNED_COMMITMENT_BYTES];
    bytes[0] = 0;
    bytes.into()
}

fn publish(world: &mut World, node: usize, topic: Topic, data: Bytes) -> PublishOutcome {
    world.apply(node, Action::Publish { publish: PublishId(1), topic, data });
    match world.until(node, |input| matches!(input, Input::PublishFinished { .. })) {
        Input::PublishFinished { outcome, .. } => outcome,
        _ => unreachable!(),
    }
}

/// Waits until a node gets these bytes, and gives a verdict.
fn judge(world: &mut World, node: usize, data: &Bytes, verdict: Verdict) -> MessageId {
    let received = world.until(node, |input| matches!(input, Input::GossipReceived { data: theirs, .. } if theirs == data));
    let Input::GossipReceived { peer, message, .. } = received else { unreachable!() };
    world.apply(node, Action::ReportGossip { message, peer, verdict });
    message
}

#[test]
fn only_an_accepted_message_goes_on_to_a_third_node() {
    let mut world = World::of(3);
    world.join(0, 1);
    world.join(1, 2);
    let (ignored, rejected, accepted) = (commitment(1), commitment(2), commitment(3));
    for (data, verdict) in [(&ignored, Verdict::Ignore), (&rejected, Verdict::Reject), (&accepted, Verdict::Accept)] {
        assert_eq!(publish(&mut world, 0, Topic::Commitments, data.clone()), PublishOutcome::Sent);
        judge(&mut world, 1, data, verdict);
    }
    // What one node sends another stays in order, so the first thing that arrives is the first that was forwarded.
    let first = world.until(2, |input| matches!(input, Input::GossipReceived { .. }));
    let Input::GossipReceived { peer, message, topic, data } = first else { unreachable!() };
    assert_eq!((peer, topic, data.clone()), (world.id(1), Topic::Commitments, accepted));
    assert_eq!(message, message_id(CHAIN, Topic::Commitments, &data)); // P4.5
}

#[test]
fn a_txlist_of_two_mebibytes_arrives_whole() {
    // P3.3
    let mut world = World::of(2);
    world.join(0, 1);
    let mut data = vec![6; 36 + MAX_TXLIST_BYTES];
    data[32..36].copy_from_slice(&36u32.to_le_bytes());
    let data = Bytes::from(data);
    assert_eq!(publish(&mut world, 0, Topic::TxLists, data.clone()), PublishOutcome::Sent);
    judge(&mut world, 1, &data, Verdict::Accept);
}

#[test]
fn a_publication_says_what_became_of_it() {
    // P5.8
    let mut world = World::of(2);
    assert_eq!(publish(&mut world, 0, Topic::Commitments, commitment(1)), PublishOutcome::NoPeers);
    world.join(0, 1);
    assert_eq!(publish(&mut world, 0, Topic::Commitments, commitment(1)), PublishOutcome::Sent);
    assert_eq!(publish(&mut world, 0, Topic::Commitments, commitment(1)), PublishOutcome::Duplicate);
    assert_eq!(publish(&mut world, 0, Topic::TxLists, vec![0; MAX_GOSSIP_BYTES].into()), PublishOutcome::Refused);
}

#[test]
fn a_message_that_found_all_queues_full_is_no_duplicate_of_itself() {
    // P5.8: gossipsub holds it for a duplicate from then on.
    let mut world = World::of(2);
    world.join(0, 1);
    let txlist = |number: u32| {
        let mut data = vec![7; 40];
        data[32..36].copy_from_slice(&36u32.to_le_bytes());
        data[36..].copy_from_slice(&number.to_le_bytes());
        Bytes::from(data)
    };
    // Nobody is polled in between, so the queue to the one peer fills up.
    let mut last = 0;
    let stuck = loop {
        last += 1;
        world.apply(0, Action::Publish { publish: PublishId(2), topic: Topic::TxLists, data: txlist(last) });
        match world.until(0, |input| matches!(input, Input::PublishFinished { .. })) {
            Input::PublishFinished { outcome: PublishOutcome::Sent, .. } => {}
            Input::PublishFinished { outcome: PublishOutcome::Busy, .. } => break txlist(last),
            other => panic!("{other:?}"),
        }
        assert!(last < 100_000, "the queue has no end");
    };
    let before = txlist(last - 1);
    judge(&mut world, 1, &before, Verdict::Accept); // the queue has drained
    assert_eq!(publish(&mut world, 0, Topic::TxLists, stuck.clone()), PublishOutcome::Sent);
    judge(&mut world, 1, &stuck, Verdict::Accept);
    world.forget();
    // P5.8a: counted at gossipsub's next heartbeat.
    world.until_holds(|world| world.nets[0].counters().gossip_dropped > 0, std::future::pending());
}

#[test]
fn bytes_sent_early_on_the_other_topic_do_not_censor_a_commitment() {
    // P4.5a
    let mut world = World::of(2);
    world.join(0, 1);
    let data = commitment(9);
    assert_eq!(publish(&mut world, 0, Topic::TxLists, data.clone()), PublishOutcome::Sent);
    let misplaced = judge(&mut world, 1, &data, Verdict::Reject);
    assert_eq!(publish(&mut world, 0, Topic::Commitments, data.clone()), PublishOutcome::Sent);
    assert_ne!(judge(&mut world, 1, &data, Verdict::Accept), misplaced);
}

#[test]
fn a_peer_below_the_graylist_is_not_heard_until_its_score_is_back() {
    // P7.5
    let mut world = World::of(2);
    world.join(0, 1);
    let alice = world.id(0);
    world.apply(1, Action::SetScore { peer: alice, score: -6_000_000 });
    assert_eq!(publish(&mut world, 1, Topic::Commitments, commitment(1)), PublishOutcome::NoPeers);
    world.apply(1, Action::SetScore { peer: alice, score: 0 });
    assert_eq!(publish(&mut world, 1, Topic::Commitments, commitment(1)), PublishOutcome::Sent);
}

/// A gossipsub of a stranger's own making.
fn stranger(world: &World, identity: &Keypair, author: MessageAuthenticity, topics: &[IdentTopic]) -> Swarm<Behaviour> {
    let settings = ConfigBuilder::default()
        .flood_publish(true)
        .max_transmit_size(4 * MAX_GOSSIP_BYTES)
        .message_id_fn(|message| libp2p_gossipsub::MessageId::new(&message.sequence_number.unwrap_or_default().to_le_bytes()))
        .build()
        .expect("settings");
    let mut gossipsub = Behaviour::new(author, settings).expect("a gossipsub");
    for topic in topics {
        gossipsub.subscribe(topic).expect("a topic");
    }
    world.stranger(identity, gossipsub)
}

/// Connects a stranger to a node, and waits until it knows the node's topic.
fn connect(world: &mut World, node: usize, swarm: &mut Swarm<Behaviour>) {
    let address: multiaddr::Multiaddr = world.addresses[node].parse().expect("an address");
    swarm.dial(address).expect("a dial");
    let wanted = Topic::Commitments.name(CHAIN);
    let stranger = preconf_core::PeerId::from_bytes(&swarm.local_peer_id().to_bytes()).expect("a peer id");
    let knows = Cell::new(false);
    let mut drive = pin!(async {
        loop {
            if let SwarmEvent::Behaviour(libp2p_gossipsub::Event::Subscribed { topic, .. }) = swarm.select_next_some().await {
                knows.set(knows.get() || topic.as_str() == wanted);
            }
        }
    });
    world.until_with(node, |input| matches!(input, Input::PeerSubscribed { peer, .. } if *peer == stranger), drive.as_mut());
    world.until_holds(|_| knows.get(), drive);
}

fn ours() -> IdentTopic {
    IdentTopic::new(Topic::Commitments.name(CHAIN))
}

#[test]
fn our_own_message_that_comes_back_is_ignored_without_blame() {
    // P4.6, P7.10: an honest peer hands it to us after we restart.
    let identity = key();
    let mut world = World::new();
    world.add(config(), identity.clone());
    let mut mirror = stranger(&world, &key(), MessageAuthenticity::Signed(identity), &[ours()]);
    connect(&mut world, 0, &mut mirror);
    for number in 1..=3 {
        mirror.behaviour_mut().publish(ours(), commitment(number).to_vec()).expect("on its way");
    }
    let drive = async { while let Some(_event) = mirror.next().await {} };
    world.until_holds(|world| world.nets[0].counters().own_messages_returned == 3, drive);
    assert!(!world.unread(0).iter().any(|input| matches!(input, Input::GossipReceived { .. })), "{:?}", world.unread(0));
    // Three invalid messages would have put the mirror far below the threshold for publishing.
    assert_eq!(publish(&mut world, 0, Topic::Commitments, commitment(4)), PublishOutcome::Sent);
}

#[test]
fn a_message_over_ten_mebibytes_is_refused_and_the_node_goes_on() {
    // P3.3
    let mut world = World::of(2);
    world.join(0, 1);
    let identity = key();
    let mut loud = stranger(&world, &identity, MessageAuthenticity::Signed(identity.clone()), &[ours()]);
    connect(&mut world, 0, &mut loud);
    let fits = vec![1; MAX_GOSSIP_BYTES - 1024];
    loud.behaviour_mut().publish(ours(), fits.clone()).expect("on its way");
    let drive = async { while let Some(_event) = loud.next().await {} };
    world.until_with(0, |input| matches!(input, Input::GossipReceived { data, .. } if *data == fits), drive);

    loud.behaviour_mut().publish(ours(), vec![1; MAX_GOSSIP_BYTES + 1]).expect("on its way");
    // The one before took a few turns to arrive whole; this one gets many, and others are heard all the while.
    for number in 1..=25 {
        world.turn_with(async { while let Some(_event) = loud.next().await {} });
        world.apply(1, Action::Publish { publish: PublishId(1), topic: Topic::Commitments, data: commitment(number) });
        let drive = async { while let Some(_event) = loud.next().await {} };
        let received = world.until_with(0, |input| matches!(input, Input::GossipReceived { .. }), drive);
        assert!(matches!(received, Input::GossipReceived { data, .. } if data == commitment(number)));
    }
}

#[test]
fn an_unsigned_message_never_arrives() {
    // P4.6: strict mode.
    let mut world = World::of(1);
    let settings = || {
        let mut settings = ConfigBuilder::default();
        settings.validation_mode(libp2p_gossipsub::ValidationMode::Anonymous);
        settings.message_id_fn(|message| libp2p_gossipsub::MessageId::new(&message.data)).build().expect("settings")
    };
    let mut gossipsub: Behaviour = Behaviour::new(MessageAuthenticity::Anonymous, settings()).expect("a gossipsub");
    gossipsub.subscribe(&ours()).expect("a topic");
    let mut nameless = world.stranger(&key(), gossipsub);
    connect(&mut world, 0, &mut nameless);
    assert_eq!(publish(&mut world, 0, Topic::Commitments, commitment(1)), PublishOutcome::Sent);
    for number in 2..=4 {
        nameless.behaviour_mut().publish(ours(), commitment(number).to_vec()).expect("on its way");
    }
    // Each costs the sender by gossipsub's own count, until nothing of ours goes to it any more.
    let mut number = 5;
    while publish(&mut world, 0, Topic::Commitments, commitment(number)) != PublishOutcome::NoPeers {
        world.turn_with(async { while let Some(_event) = nameless.next().await {} });
        number = number.checked_add(1).expect("the sender was never charged");
    }
    assert!(!world.unread(0).iter().any(|input| matches!(input, Input::GossipReceived { .. })), "{:?}", world.unread(0));
}

#[test]
fn subscriptions_to_other_topics_are_not_kept() {
    // P2.6
    let mut world = World::of(1);
    let topics: Vec<_> = (0..100).map(|number| IdentTopic::new(format!("/stranger/{number}"))).chain([ours()]).collect();
    let identity = key();
    let mut curious = stranger(&world, &identity, MessageAuthenticity::Signed(identity.clone()), &topics);
    connect(&mut world, 0, &mut curious);
    let told = world.unread(0).iter().filter(|input| matches!(input, Input::PeerSubscribed { .. })).count();
    assert_eq!(told, 0, "one of ours was taken by the wait above, and no other is told");
    assert!(curious.behaviour_mut().unsubscribe(&ours()));
    let left = |input: &Input| matches!(input, Input::PeerUnsubscribed { topic: Topic::Commitments, .. });
    world.until_with(0, left, async { while let Some(_event) = curious.next().await {} });
}
