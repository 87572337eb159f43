//! Does the naive model notice when a machine does otherwise?
//!
//! Every simulation holds machines against models; that proves something only if a model speaks up. So here each model follows the protocol's
//! defaults and stands beside a machine that was configured to break one rule.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use preconf_core::{
    Action, Bytes, Command, Config, ConnectionId, Core, Direction, Input, MessageId, Now, Output, PeerId, Storage, SupportedProtocols,
    Time, Topic, UnixTime, Update, Verdict, message_id,
};
use preconf_sim::model::{Disagreement, Model};
use preconf_sim::{CHAIN, Call, History, HistoryPlan, START};

/// A machine, and the model of another one.
struct Pair {
    core: Core,
    model: Model,
    now: Now,
    /// Changes what the machine says before the model hears of it.
    twist: fn(Output) -> Output,
}

fn peer() -> PeerId {
    PeerId::from_bytes(&[0, 1, 9]).unwrap()
}

impl Pair {
    fn new(config: Config, history: &History) -> Self {
        let now = Now { mono: Time::ZERO, unix: UnixTime::from_secs(START + 1) };
        let core = Core::new(config, [7; 32], now).unwrap();
        let mut pair = Self { core, model: Model::new(&Config::new(CHAIN)), now, twist: |output| output };
        let opened =
            Input::ConnectionOpened { peer: peer(), connection: ConnectionId(1), direction: Direction::Inbound, address: None, dial: None };
        pair.update(Update::Schedule(history.windows.to_vec())).unwrap();
        pair.input(opened).unwrap();
        pair
    }

    fn update(&mut self, update: Update) -> Result<(), Disagreement> {
        self.model.call(self.now, Call::Update(&update));
        self.core.handle_update(self.now, update).unwrap();
        self.drain()
    }

    fn command(&mut self, command: Command) -> Result<(), Disagreement> {
        self.model.call(self.now, Call::Command(&command));
        self.core.handle_command(self.now, command).unwrap();
        self.drain()
    }

    fn input(&mut self, input: Input) -> Result<(), Disagreement> {
        self.model.call(self.now, Call::Input(&input));
        self.core.handle_input(self.now, input);
        self.drain()
    }

    fn timeout_after(&mut self, span: Duration) -> Result<(), Disagreement> {
        self.now = self.now.after(span);
        self.model.call(self.now, Call::Timeout);
        self.core.handle_timeout(self.now);
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Disagreement> {
        let outputs: Vec<_> = std::iter::from_fn(|| self.core.poll_output()).map(self.twist).collect();
        self.model.done(self.now, &outputs, &self.core)?;
        let jobs = outputs.into_iter().filter_map(|output| if let Output::Job(job) = output { Some(job.run()) } else { None });
        jobs.collect::<Vec<_>>().into_iter().try_for_each(|done| self.input(Input::JobFinished(done)))
    }

    fn gossip(&mut self, topic: Topic, data: Bytes) -> Result<(), Disagreement> {
        self.input(Input::GossipReceived { peer: peer(), message: message_id(CHAIN, topic, &data), topic, data })
    }

    /// The block's two messages.
    fn block(&mut self, history: &History, number: u64) -> Result<(), Disagreement> {
        let block = history.block(number).unwrap();
        if let Some(txlist) = block.txlist_bytes() {
            self.gossip(Topic::TxLists, txlist)?;
        }
        self.gossip(Topic::Commitments, block.commitment_bytes())
    }
}

fn history() -> History {
    History::write(HistoryPlan { blocks: 12, per_window: 4, window_secs: 10, ..HistoryPlan::default() })
}

/// The rule that the model finds broken.
fn rule(parted: Result<(), Disagreement>) -> &'static str {
    parted.expect_err("the model speaks up").rule
}

#[test]
fn a_machine_by_the_book_has_nothing_to_hear() {
    let history = history();
    let mut pair = Pair::new(Config::new(CHAIN), &history);
    for number in [1, 2, 4, 3, 5] {
        pair.block(&history, number).unwrap();
    }
    assert_eq!(pair.core.status(pair.now).ready_to, 5);
    pair.gossip(Topic::Commitments, vec![7; 3].into()).unwrap();
    pair.gossip(Topic::TxLists, vec![7; 3].into()).unwrap();
    for _ in 0..30 {
        pair.timeout_after(Duration::from_secs(2)).unwrap();
    }
}

#[test]
fn p7_1_another_weight_is_noticed() {
    let mut config = Config::new(CHAIN);
    config.score.weights.gossip_rejected *= 2;
    let mut pair = Pair::new(config, &history());
    assert_eq!(rule(pair.gossip(Topic::Commitments, vec![7; 3].into())), "P7.1");
}

#[test]
fn p7_9_a_charge_that_is_left_out_is_noticed() {
    let mut config = Config::new(CHAIN);
    config.score.weights.gossip_accepted = 0;
    let history = history();
    let mut pair = Pair::new(config, &history);
    assert_eq!(rule(pair.block(&history, 1)), "P7.9");
}

#[test]
fn p5_9a_a_commitment_that_is_public_before_its_record_is_on_disk_is_noticed() {
    let history = history();
    let mut pair = Pair::new(Config { storage: Storage::Ephemeral, ..Config::new(CHAIN) }, &history);
    let protocols = SupportedProtocols { gossip: true, ..SupportedProtocols::default() };
    pair.input(Input::PeerIdentified { peer: peer(), protocols }).unwrap();
    pair.input(Input::PeerSubscribed { peer: peer(), topic: Topic::Commitments }).unwrap();
    let own = Command::PublishCommitment(Box::new(history.blocks[0].signed.clone()));
    let parted = pair.command(own).and_then(|()| pair.timeout_after(Duration::from_secs(2)));
    assert_eq!(rule(parted), "P5.9a");
}

#[test]
fn c4_another_reach_is_noticed() {
    let history = history();
    let mut pair = Pair::new(Config { max_blocks_ahead: 2, ..Config::new(CHAIN) }, &history);
    assert_eq!(rule(pair.block(&history, 7)), "C4");
}

#[test]
fn c5_another_grace_is_noticed() {
    let history = history();
    let mut pair = Pair::new(Config { late_grace: Duration::from_secs(1), ..Config::new(CHAIN) }, &history);
    pair.now = pair.now.after(Duration::from_secs(15));
    assert_eq!(rule(pair.block(&history, 1)), "C5");
}

#[test]
fn c9_a_parent_rule_that_is_switched_off_is_noticed() {
    let history = history();
    let mut config = Config::new(CHAIN);
    config.parent_rules.gas_limit_range = Some(1..=2);
    let mut pair = Pair::new(config, &history);
    pair.block(&history, 1).unwrap();
    assert_eq!(rule(pair.block(&history, 2)), "C9");
}

#[test]
fn p5_1_a_verdict_that_comes_too_late_is_noticed() {
    let history = history();
    let mut pair = Pair::new(Config { verdict_timeout: Duration::from_secs(5), ..Config::new(CHAIN) }, &history);
    pair.block(&history, 3).unwrap();
    assert_eq!(rule(pair.timeout_after(Duration::from_secs(4))), "P5.1");
}

#[test]
fn p5_a_verdict_for_nothing_is_noticed() {
    let history = history();
    let mut pair = Pair::new(Config::new(CHAIN), &history);
    pair.twist = |output| match output {
        Output::Net(Action::ReportGossip { peer, verdict, .. }) => {
            Output::Net(Action::ReportGossip { message: MessageId([0; 20]), peer, verdict })
        }
        other => other,
    };
    assert_eq!(rule(pair.block(&history, 1)), "P5");
}

#[test]
fn c1_garbage_that_is_accepted_is_noticed() {
    let mut pair = Pair::new(Config::new(CHAIN), &history());
    pair.twist = |output| match output {
        Output::Net(Action::ReportGossip { message, peer, .. }) => {
            Output::Net(Action::ReportGossip { message, peer, verdict: Verdict::Accept })
        }
        other => other,
    };
    assert_eq!(rule(pair.gossip(Topic::Commitments, vec![7; 3].into())), "P5");
}
