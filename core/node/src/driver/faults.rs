//! What if a peer's message never reaches the machine?
//!
//! Behind the feature `test-faults`: a devnet and tests lose messages here, on the way from the network to the machine, which must find again
//! by asking what it missed.

use preconf_core::{Action, Input, Verdict};

use super::NetworkDriver;

impl NetworkDriver {
    /// From now on what a peer says reaches the machine only if this says so: it is asked about each gossip message, request and response.
    /// What the network itself reports always arrives.
    pub fn lose_unless(&mut self, admits: impl FnMut(&Input) -> bool + Send + 'static) {
        self.admits = Box::new(admits);
    }

    /// The input, unless it is lost.
    pub(super) fn admitted(&mut self, input: Input) -> Option<Input> {
        if !is_from_peer(&input) || (self.admits)(&input) {
            return Some(input);
        }
        self.lose(input);
        None
    }

    /// Answers for the machine, which never hears of this: a message without a verdict would stay in gossip's cache, a request in our table.
    /// That a response is lost, the machine's own deadline finds (P6.5).
    fn lose(&mut self, input: Input) {
        if let Input::GossipReceived { peer, message, .. } = input {
            self.net.apply(Action::ReportGossip { message, peer, verdict: Verdict::Ignore });
        } else if let Input::RequestReceived { channel, .. } = input {
            self.net.apply(Action::DropRequest { channel });
        }
    }
}

fn is_from_peer(input: &Input) -> bool {
    matches!(input, Input::GossipReceived { .. } | Input::RequestReceived { .. } | Input::ResponseReceived { .. })
}
