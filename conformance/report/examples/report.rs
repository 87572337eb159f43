//! Writes a page about a rough quarter of an hour: a network that is cut in two, heals, restarts in part, and meets peers that send rubbish.
//!
//! ```sh
//! cargo run --release -p preconf-report --example report -- report.html [NODES] [SEED]
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use preconf_core::{Bytes, Time, Topic};
use preconf_report::{Mark, Report, Spectator, Summary};
use preconf_sim::{Answer, Failure, History, HistoryPlan, Setup, Terms, World};

const BLOCKS: u64 = 400;
const EVERY: Duration = Duration::from_secs(2);
/// One node in so many is restarted, and another one has a peer that lies.
const EVERY_SO_MANY: usize = 3;
/// Links of a node, to its neighbours on either side and to nodes further and further away.
const HOPS: [usize; 6] = [1, 2, 5, 13, 34, 89];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("report FILE [NODES] [SEED]")?;
    let nodes: usize = args.next().map_or(Ok(12), |nodes| nodes.parse())?;
    let seed: u64 = args.next().map_or(Ok(7), |seed| seed.parse())?;

    let spectator = Rc::new(RefCell::new(Spectator::default()));
    let mut world = World::new(seed);
    world.observe(spectator.clone());
    let failure = rough(&mut world, nodes).err();
    if let Some(failure) = &failure {
        spectator.borrow_mut().add_mark(failure.at, Mark::violation(failure.violation.to_string()).at_nodes([failure.node]));
    }
    let summary = Summary {
        scenario: "A cut, a restart, and rubbish".to_owned(),
        seed: Some(seed),
        nodes: nodes + nodes.div_ceil(EVERY_SO_MANY),
        virtual_time: world.now().since(Time::ZERO),
        steps: world.steps(),
        digest: format!("{:x}", preconf_core::B256::from(world.digest())),
        violations: failure.iter().map(ToString::to_string).collect(),
        command: format!("cargo run --release -p preconf-report --example report -- {file} {nodes} {seed}"),
        ..Summary::default()
    };
    let timeline = spectator.take().into_timeline();
    let bans = timeline.bans();
    std::fs::write(&file, Report::new(summary, timeline).html())?;
    println!("{file}: {} steps, {} bans of hostile peers", world.steps(), bans.hostile);
    Ok(())
}

fn rough(world: &mut World, nodes: usize) -> Result<(), Failure> {
    let history = History::write(HistoryPlan { blocks: BLOCKS, ..HistoryPlan::default() });
    for _ in 0..nodes {
        world.add_node(Setup::of(&history));
    }
    for (node, hop) in (0..nodes).flat_map(|node| HOPS.map(|hop| (node, hop))).filter(|(_, hop)| *hop < nodes) {
        world.link(node, (node + hop) % nodes, Terms { loss: 20_000, ..Terms::default() });
    }
    // Each of them has a peer that answers nothing, and later sends what no node would.
    let victims: Vec<usize> = (0..nodes).step_by(EVERY_SO_MANY).collect();
    let liars: Vec<usize> = victims.iter().map(|_| world.add_puppet(|_, _: &Bytes| Answer::Drop)).collect();
    for (victim, liar) in victims.iter().zip(&liars) {
        world.link(*victim, *liar, Terms::default());
    }
    world.publish(&history, EVERY, &[0, nodes / 2 - 1]);

    world.run_for(Duration::from_secs(120))?;
    let halves: Vec<(usize, usize)> = (0..nodes)
        .flat_map(|node| HOPS.map(|hop| (node, (node + hop) % nodes)))
        .filter(|(a, b)| (*a < nodes / 2) != (*b < nodes / 2))
        .collect();
    let far: Vec<usize> = (nodes / 2..nodes).collect();
    world.mark(&preconf_sim::Mark::FaultBegins("cut in two".to_owned(), far.clone()));
    halves.iter().for_each(|(a, b)| world.cut(*a, *b, Duration::from_secs(8)));
    world.run_for(Duration::from_secs(90))?;
    world.mark(&preconf_sim::Mark::FaultEnds("cut in two".to_owned(), far));
    halves.iter().for_each(|(a, b)| world.heal(*a, *b));

    // Not at the moment in which a block goes out: who publishes one and forgets it cannot go on.
    world.run_for(Duration::from_secs(111))?;
    for node in (1..nodes).step_by(EVERY_SO_MANY) {
        world.restart(node)?;
    }

    world.run_for(Duration::from_secs(100))?;
    world.mark(&preconf_sim::Mark::FaultBegins("rubbish".to_owned(), victims.clone()));
    for ((victim, liar), second) in victims.iter().zip(&liars).flat_map(|pair| (0..60).map(move |second| (pair, second))) {
        let rubbish = Bytes::from(format!("rubbish {second} for {victim}").repeat(12));
        world.inject(*victim, *liar, Topic::Commitments, rubbish, Duration::from_secs(second));
    }
    world.run_for(Duration::from_secs(60))?;
    world.mark(&preconf_sim::Mark::FaultEnds("rubbish".to_owned(), victims));
    world.run_for(EVERY * 170)?;
    world.settle(Duration::from_secs(60))
}
