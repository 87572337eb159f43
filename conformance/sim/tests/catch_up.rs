//! Does a node catch up, whoever its peers are (P6.9, P6.10, P6.7)?
//!
//! Every peer here is a puppet whose requests the world counts: a node that passes a limit of P6.6 fails the run. The long catch-up has
//! 2 000 blocks, with `SIM_FULL=1` 100 000; `SIM_BLOCKS` sets another number.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::sync::OnceLock;
use std::time::Duration;

use preconf_core::{Bytes, CommitmentsPage, Protocol, Topic};
use preconf_sim::{Answer, Failure, History, HistoryPlan, NodeId, Puppet, Server, Setup, Terms, World, at_scale};

/// A peer, by what it answers.
type Peer = Box<dyn FnMut(Protocol, &Bytes) -> Answer>;

/// A history whose blocks share one txlist, so that only commitments take time.
fn history() -> &'static History {
    static HISTORY: OnceLock<History> = OnceLock::new();
    HISTORY.get_or_init(|| write(600))
}

fn write(blocks: u64) -> History {
    History::write(HistoryPlan { blocks, per_window: 100, one_txlist: true, ..HistoryPlan::default() })
}

/// A node and its peers, all linked.
fn node_among(history: &History, peers: Vec<Peer>) -> (World, NodeId) {
    let mut world = World::new(3);
    let node = world.add_node(Setup::of(history));
    for peer in peers {
        let peer = world.add_puppet(peer);
        world.link(node, peer, Terms::default());
    }
    (world, node)
}

fn honest(history: &History) -> Peer {
    let mut server = Server::new(history);
    Box::new(move |protocol, body| server.answer(protocol, body))
}

/// Tells the truth but for what `change` makes of it.
fn changed(history: &History, mut change: impl FnMut(Protocol, &Bytes, Answer) -> Answer + 'static) -> Peer {
    let mut server = Server::new(history);
    Box::new(move |protocol, body| change(protocol, body, server.answer(protocol, body)))
}

/// Lets the node catch up within a time; says how long it took.
fn catches_up(world: &mut World, node: NodeId, head: u64, within: Duration) -> Result<Duration, Failure> {
    let start = world.now();
    let done = world.run_until(within, |world| world.status(node).ready_to == head)?;
    assert!(done, "not caught up after {within:?}: {:?}", world.status(node));
    let took = world.now().since(start);
    world.settle(Duration::from_secs(60))?;
    assert_eq!(world.status(node).lag, Some(0));
    Ok(took)
}

#[test]
fn p6_9_a_node_exactly_one_block_behind_catches_up() -> Result<(), Failure> {
    let history = history();
    let (mut world, node) = node_among(history, vec![honest(history)]);
    for block in &history.blocks[..history.blocks.len() - 1] {
        for (topic, data) in [(Topic::TxLists, block.txlist_bytes()), (Topic::Commitments, Some(block.commitment_bytes()))] {
            if let Some(data) = data {
                world.inject(node, 1, topic, data, Duration::ZERO);
            }
        }
    }
    let took = catches_up(&mut world, node, history.head(), Duration::from_secs(5))?;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(world.ready(node), history.ready_sequence());
    Ok(())
}

#[test]
fn p6_9_a_node_that_misses_nothing_asks_for_no_commitments() -> Result<(), Failure> {
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = asked.clone();
    let peer = changed(&write(1), move |protocol, _, answer| {
        count.set(count.get() + u32::from(protocol == Protocol::GetCommitments));
        if protocol == Protocol::GetHead { Answer::now(Server::head_of(0)) } else { answer }
    });
    let (mut world, node) = node_among(history(), vec![peer]);
    world.run_for(Duration::from_secs(60))?;
    assert_eq!((asked.get(), world.status(node).lag, world.status(node).syncing), (0, Some(0), false));
    Ok(())
}

#[test]
fn p6_9_a_node_100_000_blocks_behind_catches_up_within_the_limits() -> Result<(), Failure> {
    let history = write(at_scale("SIM_BLOCKS", 2_000, 100_000));
    let (mut world, node) = node_among(&history, vec![honest(&history), honest(&history), honest(&history)]);
    // P6.7: seven pages of 256 from each of three peers in ten seconds, with as long a pause as the way takes.
    let within = Duration::from_secs(30 + 10 * history.head() / (3 * 7 * 200));
    let took = catches_up(&mut world, node, history.head(), within)?;
    println!("{} blocks in {took:?} of virtual time, {} calls", history.head(), world.steps());
    assert_eq!(world.ready(node), history.ready_sequence());
    for peer in 1..=3 {
        assert_eq!(world.charged(node, peer), 0);
    }
    Ok(())
}

#[test]
fn p6_9_a_claimed_head_that_nobody_backs_is_dropped() -> Result<(), Failure> {
    let history = history();
    let liar = changed(history, |protocol, _, answer| match protocol {
        Protocol::GetHead => Answer::now(Server::head_of(1_000_000)),
        Protocol::GetCommitments | Protocol::GetTxList => answer,
    });
    let (mut world, node) = node_among(history, vec![liar, honest(history)]);
    let took = catches_up(&mut world, node, history.head(), Duration::from_secs(30))?;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(world.charged(node, 1), 0, "an empty page costs nothing, even after a bold claim");
    Ok(())
}

#[test]
fn p6_9_a_peer_that_answers_empty_is_asked_no_more_and_not_charged() -> Result<(), Failure> {
    let history = history();
    let empty = changed(history, |protocol, _, answer| match protocol {
        Protocol::GetCommitments => Answer::now(CommitmentsPage::encode([].iter())),
        Protocol::GetHead | Protocol::GetTxList => answer,
    });
    let (mut world, node) = node_among(history, vec![empty, honest(history)]);
    let took = catches_up(&mut world, node, history.head(), Duration::from_secs(30))?;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!((world.charged(node, 1), world.charged(node, 2)), (0, 0));
    Ok(())
}

#[test]
fn p6_9_a_peer_that_answers_slowly_stalls_nobody() -> Result<(), Failure> {
    let history = history();
    let slow = changed(history, |_, _, answer| match answer {
        Answer::After(_, body) => Answer::After(Duration::from_secs(9), body),
        Answer::Drop | Answer::Never => answer,
    });
    let (mut world, node) = node_among(history, vec![slow, honest(history), honest(history)]);
    let took = catches_up(&mut world, node, history.head(), Duration::from_secs(60))?;
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(world.charged(node, 1), 0, "slow, but in time");
    Ok(())
}

#[test]
fn p6_9_a_peer_that_never_answers_stalls_nobody() -> Result<(), Failure> {
    let history = history();
    let silent = changed(history, |protocol, _, answer| if protocol == Protocol::GetHead { answer } else { Answer::Never });
    let (mut world, node) = node_among(history, vec![silent, honest(history), honest(history)]);
    let took = catches_up(&mut world, node, history.head(), Duration::from_secs(60))?;
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(world.charged(node, 1) < 0 && world.charged(node, 1) >= -2_000_000, "P7.2a: {}", world.charged(node, 1));
    Ok(())
}

#[test]
fn p6_9_who_serves_a_broken_link_is_charged_and_nobody_else() -> Result<(), Failure> {
    let history = history();
    let (truth, other) = (Server::new(history), write_other());
    let mut forger = truth.clone();
    let broken = move |protocol, body: &Bytes| match protocol {
        Protocol::GetCommitments => Answer::now(with_stranger_in_the_middle(&truth.page(body), &other)),
        Protocol::GetHead | Protocol::GetTxList => forger.answer(protocol, body),
    };
    let (mut world, node) = node_among(history, vec![Box::new(broken), honest(history), honest(history)]);
    let took = catches_up(&mut world, node, history.head(), Duration::from_secs(60))?;
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(world.charged(node, 1) <= -1_000_000, "{}", world.charged(node, 1));
    assert_eq!((world.charged(node, 2), world.charged(node, 3)), (0, 0));
    Ok(())
}

/// The same numbers, windows and signers, but other txlists: each block is good in itself, and links only to its own kind.
fn write_other() -> History {
    History::write(HistoryPlan { blocks: 600, per_window: 100, txlist_bytes: 50, ..HistoryPlan::default() })
}

fn with_stranger_in_the_middle(page: &Bytes, other: &History) -> Bytes {
    let mut items: Vec<_> = CommitmentsPage::decode(page).unwrap().iter().map(Result::unwrap).collect();
    let middle = items.len() / 2;
    if let Some(item) = items.get_mut(middle).filter(|_| middle > 0) {
        let number = u64::try_from(item.preconf().block_number).unwrap();
        *item = other.block(number).unwrap().signed.clone();
    }
    CommitmentsPage::encode(items.iter())
}

#[test]
fn p6_9_a_catch_up_goes_on_when_all_peers_were_gone_and_are_back() -> Result<(), Failure> {
    let history = write(6_000);
    let (mut world, node) = node_among(&history, vec![honest(&history), honest(&history)]);
    assert!(world.run_until(Duration::from_secs(20), |world| world.status(node).ready_to >= 500)?);
    for peer in [1, 2] {
        world.cut(node, peer, Duration::from_millis(500));
    }
    world.run_for(Duration::from_secs(120))?;
    let reached = world.status(node).ready_to;
    assert!((500..6_000).contains(&reached) && world.status(node).peers == 0, "{reached}");
    for peer in [1, 2] {
        world.heal(node, peer);
    }
    catches_up(&mut world, node, history.head(), Duration::from_secs(30))?;
    assert_eq!(world.ready(node), history.ready_sequence(), "it went on where it was");
    Ok(())
}
