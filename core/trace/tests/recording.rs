//! What a recorder puts down relives, step for step.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

mod support;

use std::io::{self, Write};

use preconf_core::*;
use preconf_trace::{Answer, Call, Ending, Reader, Recorder, Replay, StepDigest, Tape, TraceError};
use support::*;

/// Relives a trace; every step must match.
fn relive(trace: &[u8]) -> (u64, Ending) {
    relive_with(trace, &[])
}

fn relive_with(trace: &[u8], rules: &[HostRule]) -> (u64, Ending) {
    let mut replay = Replay::with_rules(trace, rules).unwrap();
    while let Some(step) = replay.step().unwrap() {
        assert!(step.matches(), "{step:#?}");
    }
    (replay.steps(), replay.ending().unwrap())
}

#[test]
fn a_life_is_relived_step_for_step() {
    let trace = trace_of_life();
    // Nine things were told, and three jobs came back: one recovery, one hash of a txlist and its commitment's.
    let (steps, ending) = relive(&trace);
    assert!(steps >= 11, "{steps}");
    assert_eq!(ending, Ending::Closed);
}

#[test]
fn a_recorded_machine_says_what_a_bare_one_says() {
    let mut silent = Recorder::<io::Sink>::start(config(), [7; 32], at(0), None).unwrap();
    let mut trace = Vec::new();
    let tape = Tape { to: &mut trace, max_bytes: u64::MAX };
    let mut recorded = Recorder::start(config(), [7; 32], at(0), Some(tape)).unwrap();
    assert_eq!(live(&mut silent, life()), live(&mut recorded, life()));
    assert!(recorded.is_recording() && !silent.is_recording());
    assert_eq!(silent.status(at(20_000)), recorded.status(at(20_000)));
}

#[test]
fn a_job_s_result_is_not_in_the_trace() {
    let trace = trace_of_life();
    let (_, _, window) = block();
    let in_schedule = trace.windows(20).filter(|bytes| *bytes == window.preconfer.as_slice()).count();
    assert_eq!(in_schedule, 1, "the signer is in the schedule, and not where its recovery came back");
    let mut reader = Reader::new(&trace[..]).unwrap();
    let calls: Vec<_> = std::iter::from_fn(|| reader.step().unwrap()).map(|step| step.call).collect();
    assert!(calls.iter().any(|call| matches!(call, Call::JobDone(_))));
}

#[test]
fn another_seed_or_configuration_is_found_at_its_first_step() {
    let trace = trace_of_life();
    let seed_at = trace.windows(32).position(|bytes| bytes == [7; 32]).unwrap();
    assert!(seed_at > 10);
    // The same steps under a slasher address: the commitment is refused (C2).
    let mut reader = Reader::new(&trace[..]).unwrap();
    let mut other = reader.header().clone();
    other.config.slasher = Some(Address::repeat_byte(1));
    let mut changed = Vec::new();
    let mut to = preconf_trace::Writer::new(&mut changed, &other, u64::MAX).unwrap();
    while let Some(step) = reader.step().unwrap() {
        to.step(step.now, &step.call, step.mark).unwrap();
    }
    to.finish().unwrap();
    let mut replay = Replay::open(&changed[..]).unwrap();
    let first = std::iter::from_fn(|| replay.step().unwrap()).find(|step| !step.matches()).unwrap();
    assert!(matches!(first.step.call, Call::Input(Input::GossipReceived { .. })), "{first:#?}");
    assert!(first.outputs.iter().any(|output| matches!(output, Output::App(Event::MessageRefused { .. }))));
}

#[test]
fn outputs_that_are_taken_late_are_taken_late_again() {
    let mut trace = Vec::new();
    let tape = Tape { to: &mut trace, max_bytes: u64::MAX };
    let mut node = Recorder::start(config(), [7; 32], at(0), Some(tape)).unwrap();
    for (now, told) in life() {
        match told {
            Told::Input(input) => node.handle_input(now, input),
            Told::Command(command) => drop(node.handle_command(now, command)),
            Told::Update(update) => node.handle_update(now, update).unwrap(),
            Told::Timeout => node.handle_timeout(now),
        }
        drop(node.poll_output()); // one at most, and never to the end
    }
    drop(node);
    let (steps, _) = relive(&trace);
    assert_eq!(steps, life().len() as u64);
}

#[test]
fn the_answer_and_the_deadline_count() {
    let digest = |answer: Option<Answer>, deadline| {
        let mut digest = StepDigest::default();
        if let Some(answer) = answer {
            digest.answer(&answer);
        }
        digest.end(deadline, true).digest
    };
    let plain = digest(None, None);
    let timer = (Time(5), Timer::Heads);
    let others = [
        digest(Some(Answer::Command(Err(CommandError::NotConnected))), None),
        digest(Some(Answer::Update(Err(UpdateError::NotConnected))), None),
        digest(Some(Answer::Update(Err(UpdateError::NotBanned))), None),
        digest(Some(Answer::Update(Ok(()))), None),
        digest(None, Some(timer)),
        digest(None, Some((Time(6), Timer::Heads))),
        digest(None, Some((Time(5), Timer::RequestCapacity))),
    ];
    assert!(!others.contains(&plain));
    assert!(others.iter().enumerate().all(|(i, one)| !others[..i].contains(one)));
}

#[test]
fn a_full_trace_ends_with_a_trailer_and_the_node_goes_on() {
    let whole = trace_of_life().len() as u64;
    for max_bytes in [0, 300, whole / 2, whole - 1] {
        let mut trace = Vec::new();
        let mut node = Recorder::start(config(), [7; 32], at(0), Some(Tape { to: &mut trace, max_bytes })).unwrap();
        live(&mut node, life());
        node.handle_timeout(at(30_000));
        assert!(!node.is_recording());
        assert_eq!(node.status(at(30_000)).ready_to, 1, "it went on");
        drop(node);
        let (steps, ending) = relive(&trace);
        assert_eq!(ending, Ending::Full);
        assert!(steps == 0 || trace.len() as u64 <= max_bytes);
    }
}

/// A disk that is full after so many bytes.
struct Disk {
    room: usize,
    bytes: Vec<u8>,
}

impl Write for &mut Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.room);
        if len == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= len;
        self.bytes.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_never_disturbs_the_node() {
    let whole = trace_of_life().len();
    for room in [0, 5, 200, whole / 2, whole - 1] {
        let mut disk = Disk { room, bytes: Vec::new() };
        let tape = Tape { to: &mut disk, max_bytes: u64::MAX };
        let mut node = Recorder::start(config(), [7; 32], at(0), Some(tape)).unwrap();
        live(&mut node, life());
        assert_eq!(node.status(at(20_000)).ready_to, 1);
        drop(node);
        match Replay::open(&disk.bytes[..]) {
            Ok(_) => assert!(matches!(relive(&disk.bytes).1, Ending::Cut { .. })),
            Err(error) => assert!(matches!(error, TraceError::NoHeader), "{error}"),
        }
    }
}

#[test]
fn a_step_too_large_for_a_record_ends_the_recording() {
    let mut trace = Vec::new();
    let tape = Tape { to: &mut trace, max_bytes: u64::MAX };
    let mut node = Recorder::start(config(), [7; 32], at(0), Some(tape)).unwrap();
    node.handle_timeout(at(1));
    let _ = node.handle_command(at(2), Command::PublishTxList(vec![0; 17 << 20].into()));
    node.handle_timeout(at(3));
    assert!(!node.is_recording());
    drop(node);
    assert_eq!(relive(&trace), (1, Ending::Oversized));
}

#[test]
fn a_step_that_the_machine_never_came_back_from_is_the_last_one() {
    let mut config = config();
    // A child of an accepted block is judged by the host's rules, and this one has a bug.
    config.parent_rules.host.push(HostRule { name: "buggy", holds: |_, _| panic!("the host's rule fails") });
    let mut trace = Vec::new();
    let tape = Tape { to: &mut trace, max_bytes: u64::MAX };
    let mut node = Recorder::start(config, [7; 32], at(0), Some(tape)).unwrap();
    live(&mut node, life());
    let steps = relive_with(&trace_of_life(), &[]).0;
    let child = child_of_block();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || live(&mut node, vec![child]))).is_err();
    assert!(panicked);
    let mended = HostRule { name: "buggy", holds: |_, _| true };
    assert_eq!(relive_with(&trace, &[mended]), (steps + 2, Ending::Broken), "the child came, its signer was found, and there it ends");
}

#[test]
fn a_replay_without_the_host_s_rules_says_which_is_missing() {
    let mut config = config();
    let rule = HostRule { name: "blobs", holds: |_, _| true };
    config.parent_rules.host.push(rule);
    let mut trace = Vec::new();
    drop(Recorder::start(config, [7; 32], at(0), Some(Tape { to: &mut trace, max_bytes: 1 << 20 })).unwrap());
    let error = Replay::open(&trace[..]).unwrap_err();
    assert_eq!(error.to_string(), "the recorded host had the parent rule \"blobs\", which is not given to the replay");
    assert!(Replay::with_rules(&trace[..], &[rule]).is_ok());
}

#[test]
fn a_result_that_nobody_asked_for_is_a_difference() {
    let mut trace = Vec::new();
    let mut to = writer(&mut trace);
    to.step(at(1), &Call::JobDone(JobId(3)), None).unwrap();
    to.finish().unwrap();
    let step = Replay::open(&trace[..]).unwrap().step().unwrap().unwrap();
    assert_eq!((step.unasked, step.matches()), (Some(JobId(3)), false));
}
