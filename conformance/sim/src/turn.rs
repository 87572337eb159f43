//! What does one call of a machine bring about?
//!
//! Every call goes through here: an input, a command, a deadline. Its outputs are taken at once, checked, shown to those who look on, and
//! carried out; then the machine's next deadline is put into the queue.

use std::collections::VecDeque;

use preconf_core::{Action, Command, CommandError, CommandId, Input, Now, Output, PersistId, StorageFailure, Topic, Update, UpdateError};
use preconf_trace::{Answer, Recorder};

use super::check::{Failure, Violation, progressed};
use super::jobs::{JobOrder, Ticket};
use super::node::{Mind, Node, NodeId, node_of};
use super::observe::Call;
use super::queue::Happening;
use super::world::World;

/// What came back within the step that asked for it.
enum Finished {
    Job(Ticket),
    Write(PersistId),
    /// A write that has only begun.
    Queued(PersistId),
}

impl World {
    /// A command of a node's application.
    ///
    /// # Errors
    /// Outside: a rule of the world is broken. Inside: the machine refuses.
    pub fn command(&mut self, node: NodeId, command: Command) -> Result<Result<CommandId, CommandError>, Failure> {
        self.command_noted(node, command, |_, _| {})
    }

    /// The same for somebody who must know the command's id before its end is told.
    pub(crate) fn command_noted(
        &mut self,
        node: NodeId,
        command: Command,
        note: impl FnOnce(&mut Self, CommandId),
    ) -> Result<Result<CommandId, CommandError>, Failure> {
        self.show(node, Call::Command(&command));
        let Some((core, now)) = self.mind(node) else { return Ok(Err(CommandError::NotConnected)) };
        let taken = core.handle_command(now, command);
        if let Ok(id) = &taken {
            self.nodes[node].watch.command(*id);
            note(self, *id);
        }
        self.drain(node, Some(&Answer::Command(taken.clone())))?;
        Ok(taken)
    }

    /// An update of a node's application.
    ///
    /// # Errors
    /// Outside: a rule of the world is broken. Inside: the machine refuses.
    pub fn update(&mut self, node: NodeId, update: Update) -> Result<Result<(), UpdateError>, Failure> {
        match &update {
            Update::MoveSyncTip(tip) => self.nodes[node].watch.settled(tip.block_number),
            Update::Restore(records) => self.nodes[node].watch.restored(records),
            _ => {}
        }
        self.show(node, Call::Update(&update));
        let Some((core, now)) = self.mind(node) else { return Ok(Err(UpdateError::NotConnected)) };
        let taken = core.handle_update(now, update);
        self.drain(node, Some(&Answer::Update(taken)))?;
        Ok(taken)
    }

    /// One input for a machine, and all that follows from it at once.
    pub(crate) fn input(&mut self, node: NodeId, input: Input) -> Result<(), Failure> {
        let now = self.nodes[node].now(self.now);
        self.nodes[node].watch.told(now, &input);
        self.show(node, Call::Input(&input));
        let Some((core, now)) = self.mind(node) else { return Ok(()) };
        core.handle_input(now, input);
        self.drain(node, None)
    }

    /// A node's deadline, unless it was moved meanwhile, or another wake-up took this one's place.
    pub(crate) fn wake(&mut self, node: NodeId) -> Result<(), Failure> {
        if self.nodes[node].wake.take_if(|at| *at == self.now).is_none() {
            return Ok(());
        }
        if self.nodes[node].deadline().is_none_or(|at| at > self.now) {
            self.set_wake(node);
            return Ok(());
        }
        self.show(node, Call::Timeout);
        let Some((core, now)) = self.mind(node) else { return Ok(()) };
        core.handle_timeout(now);
        let next = core.poll_timeout();
        progressed(now.mono, next).map_err(|violation| self.failure(node, violation))?;
        self.drain(node, None)
    }

    fn mind(&mut self, node: NodeId) -> Option<(&mut Recorder, Now)> {
        let node = &mut self.nodes[node];
        let now = node.now(self.now);
        match &mut node.mind {
            Mind::Machine(core) if node.up => Some((core, now)),
            Mind::Machine(_) | Mind::Puppet(..) => None,
        }
    }

    fn show(&mut self, node: NodeId, call: Call<'_>) {
        if self.nodes[node].core().is_none() || !self.nodes[node].up {
            return;
        }
        let now = self.nodes[node].now(self.now);
        if let Some(model) = self.models.get_mut(&node) {
            model.call(now, call);
        }
        self.observers.iter_mut().for_each(|observer| observer.call(self.now, node, now, call));
    }

    /// Takes a machine's outputs, checks them, carries them out, and sets its wake-up.
    fn drain(&mut self, node: NodeId, mut answer: Option<&Answer>) -> Result<(), Failure> {
        let mut results = VecDeque::new();
        loop {
            let outputs = self.take_outputs(node, answer)?;
            for output in outputs {
                match output {
                    Output::Net(action) => self.carry_out(node, action)?,
                    Output::App(event) => self.note(node, &event)?,
                    Output::Persist { id, record } => {
                        let Self { nodes, dice, now, .. } = self;
                        let Node { disk, setup, life, .. } = &mut nodes[node];
                        disk.begin(id, record);
                        match setup.as_ref().map(|setup| &setup.disk).filter(|terms| !terms.is_instant()) {
                            None => results.push_back(Finished::Write(id)),
                            Some(terms) => {
                                let (at, life) = (disk.ends(*now, terms, dice), *life);
                                if terms.confirms_queued {
                                    results.push_back(Finished::Queued(id));
                                }
                                self.at(at, Happening::Written { node, life, id });
                            }
                        }
                    }
                    Output::Job(job) => {
                        let ticket = self.jobs.start(job);
                        match self.nodes[node].setup.as_ref().map(|setup| &setup.jobs) {
                            Some(JobOrder::After(range)) => {
                                let after = self.dice.span(range);
                                self.after(after, Happening::Job { node, life: self.nodes[node].life, ticket });
                            }
                            Some(JobOrder::AtOnce) | None => results.push_back(Finished::Job(ticket)),
                        }
                    }
                }
            }
            let done = match results.pop_front() {
                None => break,
                Some(Finished::Job(ticket)) => Input::JobFinished(self.jobs.finish(ticket)),
                Some(Finished::Write(id)) => {
                    self.nodes[node].disk.end(id, true);
                    Input::Persisted { id }
                }
                Some(Finished::Queued(id)) => Input::Persisted { id },
            };
            let at = self.nodes[node].now(self.now);
            self.nodes[node].watch.told(at, &done);
            self.show(node, Call::Input(&done));
            if let Some((core, now)) = self.mind(node) {
                core.handle_input(now, done);
            }
            answer = None;
        }
        self.set_wake(node);
        self.execute(node)
    }

    /// A disk has done what it could.
    pub(crate) fn written(&mut self, node: NodeId, life: u32, id: PersistId) -> Result<(), Failure> {
        if self.nodes[node].life != life {
            return Ok(()); // the crash has decided about it
        }
        let (fails, is_told) = self.nodes[node].setup.as_ref().map_or((0, false), |setup| (setup.disk.fails, setup.disk.confirms_queued));
        let has_failed = self.dice.chance(fails);
        let is_kept = !has_failed || self.dice.chance(500_000);
        self.nodes[node].disk.end(id, is_kept);
        if is_told {
            return Ok(());
        }
        let failure = StorageFailure::Io;
        self.input(node, if has_failed { Input::PersistFailed { id, failure } } else { Input::Persisted { id } })
    }

    fn set_wake(&mut self, node: NodeId) {
        let deadline = self.nodes[node].deadline();
        let Node { wake, life, .. } = &mut self.nodes[node];
        if let Some(at) = deadline.map(|at| at.max(self.now)).filter(|at| wake.is_none_or(|wake| *at < wake)) {
            *wake = Some(at);
            let life = *life;
            self.at(at, Happening::Wake { node, life });
        }
    }

    fn take_outputs(&mut self, node: NodeId, answer: Option<&Answer>) -> Result<Vec<Output>, Failure> {
        let mut outputs = Vec::new();
        let Mind::Machine(core) = &mut self.nodes[node].mind else { return Ok(outputs) };
        while let Some(output) = core.poll_output() {
            match &mut self.planted {
                Some(fault) => outputs.extend(fault(self.now, node, output)),
                None => outputs.push(output),
            }
        }
        self.trace.step(self.now, node);
        for output in &outputs {
            self.trace.output(output);
            if let Output::App(event) = output {
                self.agreement.event(node, event);
            }
            self.observers.iter_mut().for_each(|observer| observer.output(self.now, node, output));
        }
        if let Some(core) = self.nodes[node].core().filter(|_| !self.observers.is_empty()) {
            let now = self.nodes[node].now(self.now);
            self.observers.iter_mut().for_each(|observer| observer.done(self.now, node, now, core, answer));
        }
        for output in &outputs {
            if let Output::Net(Action::Publish { topic: Topic::Commitments, data, .. }) = output {
                self.says(node, data)?; // before what it leads to
            }
        }
        let mut watch = std::mem::take(&mut self.nodes[node].watch);
        let (now, core) = (self.nodes[node].now(self.now), self.nodes[node].core());
        let checked = watch.outputs(now, &outputs, core, &self.poison, |peer| node_of(peer).filter(|peer| self.is_honest(*peer)));
        self.nodes[node].watch = watch;
        checked.map_err(|violation| self.failure(node, violation))?;
        self.follow(node)?;
        self.check_model(node, &outputs)?;
        self.check_memory(node)?;
        Ok(outputs)
    }

    fn check_model(&mut self, node: NodeId, outputs: &[Output]) -> Result<(), Failure> {
        let now = self.nodes[node].now(self.now);
        let (Some(model), Some(core)) = (self.models.get_mut(&node), self.nodes[node].core()) else { return Ok(()) };
        model.done(now, outputs, core).map_err(|parted| self.failure(node, Violation::Disagrees(Box::new(parted))))
    }

    /// P10.3: what the machine counts never passes its bound.
    fn check_memory(&self, node: NodeId) -> Result<(), Failure> {
        let Some(core) = self.nodes[node].core() else { return Ok(()) };
        let (bytes, bound) = (core.memory_bytes(), self.nodes[node].memory_bound);
        if bytes > bound { Err(self.failure(node, Violation::OverMemory { bytes, bound })) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::history::{History, HistoryPlan};
    use super::super::link::Terms;
    use super::super::node::Setup;
    use super::super::world::World;

    #[test]
    fn wake_ups_do_not_pile_up() {
        let history = History::write(HistoryPlan { blocks: 200, ..HistoryPlan::default() });
        let mut world = World::new(7);
        let nodes: Vec<_> = (0..3).map(|_| world.add_node(Setup::of(&history))).collect();
        nodes.iter().for_each(|node| world.link_to_all(*node, Terms::default()));
        world.publish(&history, Duration::from_secs(2), &nodes[..1]);
        world.run_for(Duration::from_secs(400)).expect("nothing goes wrong");
        assert!(world.queue.len() < 20, "{} are on their way", world.queue.len());
    }
}
