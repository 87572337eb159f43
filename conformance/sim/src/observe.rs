//! Who else looks on?
//!
//! An [`Observer`] hears of every call of a machine, of every output, and of what is done to the world. It changes nothing: a world runs
//! the same with and without one. Reports, traces and a user's own measurements hang here.

use std::cell::RefCell;
use std::rc::Rc;

use preconf_core::{Command, Config, Core, Input, Now, Output, Time, Update};
use preconf_trace::Answer;

use super::node::NodeId;

/// One call of a machine.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// `handle_input`
    Input(&'a Input),
    /// `handle_command`
    Command(&'a Command),
    /// `handle_update`
    Update(&'a Update),
    /// `handle_timeout`
    Timeout,
}

/// Something that is done to the world, or that its users do.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// A fault begins; its name, and the nodes that it hits (all of them when there are none).
    FaultBegins(String, Vec<NodeId>),
    /// A fault is over.
    FaultEnds(String, Vec<NodeId>),
    /// A node is up.
    Up(NodeId),
    /// A node is down.
    Down(NodeId),
    /// A block is published, by this node.
    Published {
        /// Who.
        node: NodeId,
        /// Its number.
        number: u64,
        /// Its preconfirmation hash.
        hash: preconf_core::B256,
    },
    /// From here on nothing is lost any more, and the world must come to rest.
    Calm,
}

/// Looks on. Every method does nothing unless it is given a body.
pub trait Observer {
    /// A machine is started, at first or anew.
    fn boot(&mut self, at: Time, node: NodeId, config: &Config, seed: [u8; 32], now: Now) {
        let _ = (at, node, config, seed, now);
    }

    /// A machine is about to be called. Its outputs follow before the next call of any machine.
    fn call(&mut self, at: Time, node: NodeId, now: Now, call: Call<'_>) {
        let _ = (at, node, now, call);
    }

    /// A machine has put something out.
    fn output(&mut self, at: Time, node: NodeId, output: &Output) {
        let _ = (at, node, output);
    }

    /// A machine's call is over: all its outputs were told. What it answered, if it was a command, and the machine as it is now.
    fn done(&mut self, at: Time, node: NodeId, now: Now, core: &Core, answer: Option<&Answer>) {
        let _ = (at, node, now, core, answer);
    }

    /// Something is done to the world.
    fn mark(&mut self, at: Time, mark: &Mark) {
        let _ = (at, mark);
    }
}

/// To look at what an observer has seen while the world still holds it.
impl<O: Observer> Observer for Rc<RefCell<O>> {
    fn boot(&mut self, at: Time, node: NodeId, config: &Config, seed: [u8; 32], now: Now) {
        self.borrow_mut().boot(at, node, config, seed, now);
    }

    fn call(&mut self, at: Time, node: NodeId, now: Now, call: Call<'_>) {
        self.borrow_mut().call(at, node, now, call);
    }

    fn output(&mut self, at: Time, node: NodeId, output: &Output) {
        self.borrow_mut().output(at, node, output);
    }

    fn done(&mut self, at: Time, node: NodeId, now: Now, core: &Core, answer: Option<&Answer>) {
        self.borrow_mut().done(at, node, now, core, answer);
    }

    fn mark(&mut self, at: Time, mark: &Mark) {
        self.borrow_mut().mark(at, mark);
    }
}
