//! Random lives of a preconfer whose disk is late, fails and crashes, under a sync tip and a schedule that move (P5.9, P5.9a): nothing is public
//! before it is durable, nobody says two things in a window, and each command ends once.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::*;
use preconf_core::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }
}

struct World {
    node: Node,
    disk: Vec<Record>,
    writing: Vec<(PersistId, Record)>,
    said: BTreeMap<(u64, u64, Address), B256>,
    echoes: Vec<SignedCommitment>,
    durable: BTreeSet<B256>,
    open: BTreeSet<CommandId>,
    publishes: Vec<PublishId>,
    tip: SyncTip,
    parents: Vec<(u64, B256, u64)>,
    log: Vec<String>,
}

impl World {
    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Persist { id, record } => self.writing.push((id, record)),
                Output::Net(Action::Publish { publish, topic, data }) => {
                    self.publishes.push(publish);
                    if topic == Topic::Commitments {
                        let signed = SignedCommitment::decode(&data).unwrap();
                        let hash = preconfirmation_hash(&signed);
                        assert!(self.durable.contains(&hash), "published before it was durable: {:#?}", self.log);
                        let preconf = signed.preconf();
                        let position = (
                            preconf.submission_window_end.to::<u64>(),
                            preconf.block_number.to::<u64>(),
                            recover(&signed, DEFAULT_DOMAIN).unwrap(),
                        );
                        self.echoes.push(signed.clone());
                        let first = *self.said.entry(position).or_insert(hash);
                        assert_eq!(first, hash, "equivocation at {position:?}: {:#?}", self.log);
                    }
                }
                Output::App(Event::CommandFinished { command, .. }) => {
                    assert!(self.open.remove(&command), "ended twice {command:?}: {:#?}", self.log);
                }
                Output::App(Event::PublishingAgain { command, .. }) => {
                    self.open.insert(command);
                }
                _ => {}
            }
        }
    }
    fn keep(&mut self, record: Record) {
        if let Record::Committed(own) = &record {
            self.durable.insert(own.hash());
            self.parents.push((own.block_number(), own.hash(), own.window_end()));
        }
        self.disk.push(record);
    }
    fn crash(&mut self, dice: &mut Dice) {
        let writing = std::mem::take(&mut self.writing);
        for (_, record) in writing {
            if dice.below(2) == 0 {
                self.keep(record);
            }
        }
        self.open.clear();
        self.publishes.clear();
        let now = self.node.now;
        self.node = Node::unscheduled(Config::new(CHAIN));
        self.node.disk_works = false;
        self.node.core = Core::new(Config::new(CHAIN), [7; 32], now).unwrap();
        self.node.now = now;
        let mut records = vec![Record::Began { at: UnixTime(0) }];
        records.extend(self.disk.clone());
        let outputs = self.node.update(Update::Restore(records)).unwrap();
        self.take(outputs);
        self.node.open(9);
        let outputs = self.node.drain();
        self.take(outputs);
    }
}

fn life(seed: u64, steps: u64) {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let mut node = Node::with(Config::new(CHAIN));
    node.disk_works = false;
    node.connect(9);
    let tip = SyncTip { block_number: 0, preconfirmation_hash: Some(Writer::new(1).parent) };
    let mut world = World {
        node,
        disk: Vec::new(),
        writing: Vec::new(),
        said: BTreeMap::new(),
        echoes: Vec::new(),
        durable: BTreeSet::new(),
        open: BTreeSet::new(),
        publishes: Vec::new(),
        tip,
        parents: vec![(0, Writer::new(1).parent, START)],
        log: Vec::new(),
    };
    let outputs = world.node.update(Update::Schedule(windows(&[1, 2, 1, 2, 1, 2, 1, 2]))).unwrap();
    world.take(outputs);
    let outputs = world.node.update(Update::MoveSyncTip(tip)).unwrap();
    world.take(outputs);
    for _ in 0..steps {
        match dice.below(20) {
            0..=6 => {
                let (number, parent, _) = if dice.below(2) == 0 {
                    world.parents[dice.below(world.parents.len() as u64) as usize]
                } else {
                    let head = world.node.status().head;
                    let last = world.parents.iter().rev().find(|parent| head.is_some_and(|head| head.0 == parent.0)).copied();
                    last.unwrap_or((world.tip.block_number, world.tip.preconfirmation_hash.unwrap_or(Writer::new(1).parent), 0))
                };
                let now = world.node.now.unix.secs();
                let window_end = START + (now - START).div_ceil(WINDOW_SECS) * WINDOW_SECS;
                let writer = Writer {
                    number,
                    parent,
                    window_end,
                    timestamp: (window_end - WINDOW_SECS + number).min(window_end - 1),
                    ..Writer::new(if dice.below(8) == 0 { 2 } else { 1 })
                };
                let salt = dice.below(2);
                let list = Bytes::from(format!("{number} {salt}").into_bytes());
                let mut preconf = writer.draft();
                preconf.raw_tx_list_hash = keccak256(&list);
                preconf.eop = dice.below(12) == 0;
                let signed = writer.sign(preconf);
                let command = match dice.below(3) {
                    0 => Command::PublishBlock {
                        commitment: Box::new(signed.clone()),
                        txlist: if dice.below(5) == 0 { Bytes::from_static(b"wrong") } else { list },
                    },
                    _ => Command::PublishCommitment(Box::new(signed.clone())),
                };
                world.log.push(format!(
                    "publish {} {} on {} window {}",
                    number + 1,
                    preconfirmation_hash(&signed),
                    parent,
                    window_end - START
                ));
                if let Ok(id) = world.node.core.handle_command(world.node.now, command) {
                    world.open.insert(id);
                }
                let outputs = world.node.drain();
                world.take(outputs);
                if dice.below(6) == 0 && !world.echoes.is_empty() {
                    let signed = world.echoes[dice.below(world.echoes.len() as u64) as usize].clone();
                    world.log.push(format!("echo {}", preconfirmation_hash(&signed)));
                    let outputs = world.node.commitment(9, &signed);
                    world.take(outputs);
                }
            }
            7..=12 if !world.writing.is_empty() => {
                let index = dice.below(world.writing.len() as u64) as usize;
                let (id, record) = world.writing.remove(index);
                let input = if dice.below(4) == 0 {
                    if dice.below(2) == 0 {
                        world.keep(record)
                    }
                    Input::PersistFailed { id, failure: StorageFailure::Io }
                } else {
                    world.keep(record);
                    Input::Persisted { id }
                };
                world.log.push(format!("{input:?}"));
                let outputs = world.node.input(input.clone());
                world.take(outputs);
                if dice.below(8) == 0 {
                    let outputs = world.node.input(Input::Persisted { id });
                    world.take(outputs);
                }
            }
            13 => {
                let parent = world.parents[dice.below(world.parents.len() as u64) as usize];
                let hash = match dice.below(4) {
                    0 => B256::repeat_byte(dice.below(250) as u8),
                    _ => parent.1,
                };
                world.tip = SyncTip { block_number: parent.0, preconfirmation_hash: (dice.below(5) > 0).then_some(hash) };
                if let Some(hash) = world.tip.preconfirmation_hash {
                    world.parents.push((parent.0, hash, 0));
                }
                world.log.push(format!("{:?}", world.tip));
                let outputs = world.node.update(Update::MoveSyncTip(world.tip)).unwrap();
                world.take(outputs);
            }
            14 => {
                let names: Vec<u8> = (0..8).map(|i| if dice.below(4) == 0 { 2 } else { 1 + (i % 2) as u8 }).collect();
                world.log.push(format!("schedule {names:?}"));
                let outputs = world.node.update(Update::Schedule(windows(&names))).unwrap();
                world.take(outputs);
            }
            15 => {
                let secs = [1, 2, 10, 61, 300][dice.below(5) as usize];
                world.log.push(format!("wait {secs}"));
                let outputs = world.node.wait(Duration::from_secs(secs));
                world.take(outputs);
            }
            16 => {
                world.log.push("crash".to_owned());
                world.crash(&mut dice);
            }
            17..=19 if !world.publishes.is_empty() => {
                let publish = world.publishes.swap_remove(dice.below(world.publishes.len() as u64) as usize);
                let outcome = [PublishOutcome::Sent, PublishOutcome::NoPeers, PublishOutcome::Busy, PublishOutcome::Duplicate]
                    [dice.below(4) as usize];
                let outputs = world.node.input(Input::PublishFinished { publish, outcome });
                world.take(outputs);
            }
            _ => {}
        }
    }
    for _ in 0..100 {
        for (id, record) in std::mem::take(&mut world.writing) {
            world.keep(record);
            let outputs = world.node.input(Input::Persisted { id });
            world.take(outputs);
        }
        for publish in std::mem::take(&mut world.publishes) {
            let outputs = world.node.input(Input::PublishFinished { publish, outcome: PublishOutcome::Sent });
            world.take(outputs);
        }
    }
    let outputs = world.node.wait(Duration::from_secs(62));
    world.take(outputs);
    for publish in std::mem::take(&mut world.publishes) {
        let outputs = world.node.input(Input::PublishFinished { publish, outcome: PublishOutcome::Sent });
        world.take(outputs);
    }
    let outputs = world.node.wait(Duration::from_secs(20 * WINDOW_SECS));
    world.take(outputs);
    assert!(world.open.is_empty(), "never ended {:?}: {:#?}", world.open, world.log);
    assert!(world.node.core.memory_bytes() <= memory_bound(&Config::new(CHAIN)));
}

#[test]
fn p5_9a_no_life_with_a_bad_disk_makes_a_preconfer_say_two_things() {
    (1..=300).for_each(|seed| life(seed, 120));
}
