//! Your own application on simulated nodes: does every follower pay out the same, though a quarter of the gossip is lost?
//!
//! ```sh
//! cargo run -p preconf-sim --example embed
//! ```

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use preconf_core::{Event, Output, Time};
use preconf_sim::{Failure, History, HistoryPlan, NodeId, Observer, Setup, Terms, World};

/// The application: a till on each node, which takes a coin for every byte of a block that is ready.
#[derive(Default)]
struct Tills(BTreeMap<NodeId, usize>);

impl Observer for Tills {
    fn output(&mut self, _: Time, node: NodeId, output: &Output) {
        if let Output::App(Event::BlockReady { txlist: Some(txlist), .. }) = output {
            *self.0.entry(node).or_default() += txlist.len();
        }
    }
}

fn main() -> Result<(), Failure> {
    let (tills, mut world) = (Rc::new(RefCell::new(Tills::default())), World::new(42));
    world.observe(tills.clone());
    let history = History::write(HistoryPlan::default());
    for _ in 0..5 {
        let node = world.add_node(Setup { drops: 250_000, ..Setup::of(&history) });
        world.link_to_all(node, Terms::default());
    }
    world.publish(&history, Duration::from_secs(1), &[0, 1]);
    world.run_for(Duration::from_secs(60))?;
    world.settle(Duration::from_secs(30))?;
    println!("{:?}", tills.borrow().0);
    assert!(tills.borrow().0.values().all(|till| *till == tills.borrow().0[&0]), "a till is short");
    Ok(())
}
