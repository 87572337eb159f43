//! What must hold after every step, and at the end?
//!
//! Safety is checked on each machine's outputs as they come; liveness when the world has been healed and left alone.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use preconf_core::{
    Action, B256, CommandId, Conduct, Config, Core, DEFAULT_DOMAIN, Event, Fault, Input, MAX_OUTPUTS_PER_STEP, MessageId, NoProof, Now,
    Output, PeerId, Record, RequestId, Standing, Status, Time, Timer, Verdict,
};

use super::node::NodeId;
use super::owed::{Lost, Owed};
use crate::model::Disagreement;

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A deadline that is due was left.
    #[error("{timer:?} was due and is still there after handle_timeout")]
    DueTimerLeft {
        /// The timer.
        timer: Timer,
    },
    /// A step emitted too much.
    #[error("one step emitted {outputs} outputs, more than MAX_OUTPUTS_PER_STEP")]
    TooManyOutputs {
        /// How many.
        outputs: usize,
    },
    /// P10.3: a machine holds more than its bound.
    #[error("P10.3: {bytes} bytes held, the bound is {bound}")]
    OverMemory {
        /// Held.
        bytes: usize,
        /// The bound.
        bound: usize,
    },
    /// P5.5: a block became ready twice, or out of order.
    #[error("P5.5: block {number} became ready where {expected} is next")]
    ReadyOutOfOrder {
        /// The block.
        number: u64,
        /// The one that was next.
        expected: u64,
    },
    /// P7.10: an honest node was pruned or banned by an honest node.
    #[error("P7.10: honest node {peer} is {standing:?} here, by rule {rule}")]
    HonestPeerPunished {
        /// Who.
        peer: NodeId,
        /// What it became.
        standing: Standing,
        /// Under which rule.
        rule: &'static str,
    },
    /// P7.10: an honest node was charged by an honest node for more than absence (P7.2a).
    #[error("P7.10: honest node {peer} is charged with {conduct:?} here, by rule {rule}")]
    HonestPeerBlamed {
        /// Who.
        peer: NodeId,
        /// For what.
        conduct: Conduct,
        /// Under which rule.
        rule: &'static str,
    },
    /// P6.7: an honest node's request was dropped by an honest node, or a puppet's limit was passed.
    #[error("P6.7: a request of honest node {peer} went over a limit")]
    OverLimit {
        /// Who asked.
        peer: NodeId,
    },
    /// A verdict for a message that waits for none.
    #[error("a verdict for {message}, which waits for none")]
    VerdictUnasked {
        /// The message.
        message: MessageId,
    },
    /// A message that must never be accepted was.
    #[error("{message} was accepted, though it breaks a rule")]
    AcceptedPoison {
        /// The message.
        message: MessageId,
    },
    /// P5.4: evidence that convinces nobody else.
    #[error("evidence that proves nothing: {reason}")]
    FalseEvidence {
        /// Why it proves nothing.
        reason: NoProof,
    },
    /// P5.9: an honest node gave two words that contradict each other to gossip, in one life or in several.
    #[error("P5.9: it publishes {}, block {number} of the window that ends at {window_end}, and had published {}: {fault:?}", .hashes[1], .hashes[0])]
    SaysTwoThings {
        /// What it proves.
        fault: Fault,
        /// The later one's block number.
        number: u64,
        /// Their window.
        window_end: u64,
        /// The earlier one, and the later one.
        hashes: Box<[B256; 2]>,
    },
    /// P5.4: a fault was proven of an honest preconfer.
    #[error("P5.4: {fault:?} at block {number} is proven of an honest preconfer")]
    HonestPreconferProven {
        /// The fault.
        fault: Fault,
        /// Where.
        number: u64,
    },
    /// A command ended that was not under way.
    #[error("command {command} ended twice, or was never given")]
    EndedTwice {
        /// The command.
        command: CommandId,
    },
    /// P6.5: a request's id was used twice.
    #[error("request {request} was sent twice")]
    RequestTwice {
        /// The request.
        request: RequestId,
    },
    /// Something that a machine said, or had to say, never reached the world.
    #[error("an output is lost: {0}")]
    OutputLost(Lost),
    /// C9: a machine's canonical chain changed, and no host had moved its sync tip.
    #[error("C9: block {number}, {hash}, is no longer in the chain, and the host has not moved the sync tip")]
    CanonicalMoved {
        /// The head before.
        number: u64,
        /// Its name.
        hash: B256,
    },
    /// Connected honest nodes hold different blocks at one number, where nothing allows a fork.
    #[error("it has another block {number} than node {other}, which it is connected with: {} and {}", .hashes[0], .hashes[1])]
    Disagree {
        /// The other node.
        other: NodeId,
        /// The lowest number at which they differ.
        number: u64,
        /// The two blocks, the node's and the other's.
        hashes: Box<[B256; 2]>,
    },
    /// C9: two connected honest nodes hold different blocks, and neither says so.
    #[error("C9: node {other} has another block {number}, and neither of them has noticed within {within:?}")]
    ForkUnnoticed {
        /// The other node.
        other: NodeId,
        /// The lowest number at which they differ.
        number: u64,
        /// How long they had.
        within: Duration,
    },
    /// The naive model would have said otherwise.
    #[error(transparent)]
    Disagrees(Box<Disagreement>),
    /// At the end: the world does not come to rest.
    #[error("not settled: {0}")]
    Unsettled(String),
}

/// A violation, where and when, and the seed that repeats it.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// The world's seed.
    pub seed: u64,
    /// The world's time.
    pub at: Time,
    /// Which node.
    pub node: NodeId,
    /// What did not hold.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, node, violation } = self;
        let (secs, micros) = (at.0 / 1_000_000, at.0 % 1_000_000);
        write!(f, "seed {seed} (SIM_SEED={seed} repeats it), at {secs}.{micros:06} s, node {node}: {violation}")
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// After a machine was told that time has passed, its next deadline lies ahead.
pub(crate) fn progressed(now: Time, next: Option<(Time, Timer)>) -> Result<(), Violation> {
    match next {
        Some((at, timer)) if at <= now => Err(Violation::DueTimerLeft { timer }),
        _ => Ok(()),
    }
}

/// Watches one machine's outputs.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The block that must become ready next; unknown before the first.
    next_ready: Option<u64>,
    owed: Owed,
    commands_open: BTreeSet<CommandId>,
    requests: BTreeSet<RequestId>,
}

impl Watch {
    pub(crate) fn of(config: &Config) -> Self {
        Self { owed: Owed::of(config), ..Self::default() }
    }

    /// A command was taken.
    pub(crate) fn command(&mut self, id: CommandId) {
        self.commands_open.insert(id);
    }

    /// P9.3: blocks up to this one are settled, and need no execution here.
    pub(crate) fn settled(&mut self, block_number: u64) {
        self.next_ready = self.next_ready.map(|next| next.max(block_number.saturating_add(1)));
    }

    /// The machine was given back what was kept before.
    pub(crate) fn restored(&mut self, records: &[Record]) {
        self.owed.restored(records);
    }

    /// The machine is about to be told this.
    pub(crate) fn told(&mut self, now: Now, input: &Input) {
        self.owed.told(now.mono, input);
    }

    /// Time has passed, whether or not the machine took a step: what it owes is here by now.
    pub(crate) fn overdue(&mut self, now: Now) -> Result<(), Violation> {
        self.owed.overdue(now.mono)
    }

    /// Outputs of one call, and the machine after it.
    pub(crate) fn outputs(
        &mut self,
        now: Now,
        outputs: &[Output],
        core: Option<&Core>,
        poison: &BTreeSet<MessageId>,
        honest: impl Fn(&PeerId) -> Option<NodeId>,
    ) -> Result<(), Violation> {
        if outputs.len() > MAX_OUTPUTS_PER_STEP {
            return Err(Violation::TooManyOutputs { outputs: outputs.len() });
        }
        for output in outputs {
            self.owed.said(now.mono, output)?;
            match output {
                Output::Net(action) => self.action(action, poison, &honest)?,
                Output::App(event) => self.event(event, &honest)?,
                Output::Job(_) | Output::Persist { .. } => {}
            }
        }
        core.map_or(Ok(()), |core| self.owed.balance(now.mono, core.stats()))
    }

    fn action(
        &mut self,
        action: &Action,
        poison: &BTreeSet<MessageId>,
        honest: &impl Fn(&PeerId) -> Option<NodeId>,
    ) -> Result<(), Violation> {
        match action {
            Action::ReportGossip { message, verdict: Verdict::Accept, .. } if poison.contains(message) => {
                Err(Violation::AcceptedPoison { message: *message })
            }
            Action::SendRequest { request, .. } if !self.requests.insert(*request) => Err(Violation::RequestTwice { request: *request }),
            Action::Block { peer } => match honest(peer) {
                Some(peer) => Err(Violation::HonestPeerPunished { peer, standing: Standing::Banned, rule: "P7.4" }),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn event(&mut self, event: &Event, honest: &impl Fn(&PeerId) -> Option<NodeId>) -> Result<(), Violation> {
        match event {
            Event::BlockReady { commitment, .. } => {
                let number = commitment.block_number;
                let expected = self.next_ready.unwrap_or(number);
                self.next_ready = Some(number + 1);
                if number == expected { Ok(()) } else { Err(Violation::ReadyOutOfOrder { number, expected }) }
            }
            Event::EvidenceFound { evidence, .. } => match evidence.verify(DEFAULT_DOMAIN) {
                Ok(_) => Ok(()),
                Err(reason) => Err(Violation::FalseEvidence { reason }),
            },
            // P9.3
            Event::ExecuteAgain { from } => {
                self.next_ready = Some(*from);
                Ok(())
            }
            Event::StandingChanged { peer, standing, rule } if *standing >= Standing::Pruned => match honest(peer) {
                Some(peer) => Err(Violation::HonestPeerPunished { peer, standing: *standing, rule }),
                None => Ok(()),
            },
            // A command of the machine's own.
            Event::PublishingAgain { command, .. } => {
                self.commands_open.insert(*command);
                Ok(())
            }
            Event::CommandFinished { command, .. } if !self.commands_open.remove(command) => {
                Err(Violation::EndedTwice { command: *command })
            }
            _ => Ok(()),
        }
    }

    /// Is everything that this node was asked for answered, and is it where it should be? If not: what is missing, in words.
    pub(crate) fn unsettled(&self, core: &Core, now: Now) -> Option<String> {
        let Status { requests, jobs, unsent, lag, syncing, missing_txlists, .. } = core.status(now);
        let open = [
            ("requests", requests),
            ("jobs", jobs),
            ("unsent messages", unsent),
            ("missing txlists", missing_txlists),
            ("catch-ups", usize::from(syncing)),
            ("commitments without a verdict", self.owed.commitments()),
            ("commands", self.commands_open.len()),
        ];
        match open.iter().find(|(_, count)| *count > 0) {
            Some((what, count)) => Some(format!("{count} {what} under way")),
            None => lag.filter(|lag| *lag > 0).map(|lag| format!("lag {lag}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::{History, HistoryPlan};
    use super::super::node::Setup;
    use super::super::world::World;
    use super::*;

    #[test]
    fn a_deadline_that_is_left_is_noticed() {
        let (now, timer) = (Time::from_millis(5), Timer::Decay);
        assert_eq!(progressed(now, Some((now, timer))), Err(Violation::DueTimerLeft { timer }));
        assert_eq!(progressed(now, Some((Time::from_millis(6), timer))), Ok(()));
    }

    #[test]
    fn p10_3_a_machine_that_holds_more_than_its_bound_is_noticed() {
        let (mut world, history) = (World::new(7), History::write(HistoryPlan { blocks: 2, ..HistoryPlan::default() }));
        let node = world.add_node(Setup::of(&history));
        world.nodes[node].memory_bound = 1;
        world.publish(&history, Duration::from_secs(1), &[node]);
        let failed = world.run_for(Duration::from_secs(60)).expect_err("any machine holds more than a byte");
        assert!(matches!(failed.violation, Violation::OverMemory { bound: 1, .. }), "{failed}");
    }
}
