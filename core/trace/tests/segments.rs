//! A trace in segments: each begins with the machine as it was, and replays by itself.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

use preconf_core::*;
use preconf_trace::{Call, Ending, Reader, Recorder, Replay, Segments, TraceError};
use support::*;

/// Segments in memory, and the txlists that lie beside them.
#[derive(Clone, Default)]
struct Shelves(Rc<RefCell<Kept>>);

#[derive(Default)]
struct Kept {
    segments: Vec<Vec<u8>>,
    txlists: BTreeMap<B256, Bytes>,
    is_full: bool,
}

impl Shelves {
    fn begin(&mut self, txlists: Vec<(B256, Bytes)>) -> io::Result<()> {
        let mut kept = self.0.borrow_mut();
        if kept.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        kept.segments.push(Vec::new());
        kept.txlists.extend(txlists);
        Ok(())
    }

    fn fill(&self, is_full: bool) {
        self.0.borrow_mut().is_full = is_full;
    }

    fn segments(&self) -> Vec<Vec<u8>> {
        self.0.borrow_mut().segments.clone()
    }

    fn replay<'a>(&self, segment: &'a [u8]) -> Result<Replay<&'a [u8]>, TraceError> {
        Replay::segment(segment, &[], |hash| self.0.borrow_mut().txlists.get(hash).cloned())
    }

    /// Relives a segment; gives the steps before it, its own, and how it ends.
    fn relive(&self, segment: &[u8]) -> (u64, u64, Ending) {
        let mut replay = self.replay(segment).unwrap();
        while let Some(step) = replay.step().unwrap() {
            assert!(step.matches(), "{step:#?}");
        }
        (replay.steps_before(), replay.steps(), replay.ending().unwrap())
    }
}

impl Write for Shelves {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.borrow_mut();
        if kept.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        kept.segments.last_mut().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn recorder(shelves: &Shelves, bytes: u64) -> Recorder<Shelves> {
    let core = Core::new(config(), [7; 32], at(0)).unwrap();
    Recorder::in_segments(core, &config(), [7; 32], shelves.clone(), Segments { bytes, begin: Shelves::begin })
}

/// A life, and a block after it.
fn longer_life() -> Vec<(Now, Told)> {
    life().into_iter().chain([child_of_block()]).collect()
}

#[test]
fn each_segment_replays_by_itself_from_its_own_snapshot() {
    let whole = Shelves::default();
    live(&mut recorder(&whole, u64::MAX), longer_life());
    let (_, all, _) = whole.relive(&whole.segments()[0]);
    for bytes in [0, 1_500, 3_000] {
        let shelves = Shelves::default();
        live(&mut recorder(&shelves, bytes), longer_life());
        let (segments, mut steps) = (shelves.segments(), 0);
        assert!(segments.len() > 1 || bytes > 1_000, "{}", segments.len());
        for (number, segment) in segments.iter().enumerate() {
            let is_last = number + 1 == segments.len();
            let (before, own, ending) = shelves.relive(segment);
            assert_eq!((before, ending), (steps, if is_last { Ending::Closed } else { Ending::Continued }));
            steps += own;
        }
        assert_eq!(steps, all, "nothing is missing between them");
    }
}

#[test]
fn a_recorded_machine_says_what_a_bare_one_says_in_segments_too() {
    let mut silent = Recorder::<io::Sink>::start(config(), [7; 32], at(0), None).unwrap();
    let shelves = Shelves::default();
    assert_eq!(live(&mut silent, longer_life()), live(&mut recorder(&shelves, 0), longer_life()));
}

#[test]
fn what_came_back_of_a_job_of_the_segment_before_is_relived() {
    let shelves = Shelves::default();
    let mut node = recorder(&shelves, 0);
    let (mut jobs, mut kept) = (Vec::new(), Vec::new());
    for (now, told) in life() {
        match told {
            Told::Input(input) => node.handle_input(now, input),
            Told::Command(command) => drop(node.handle_command(now, command)),
            Told::Update(update) => node.handle_update(now, update).unwrap(),
            Told::Timeout => node.handle_timeout(now),
        }
        kept.append(&mut jobs);
        while let Some(output) = node.poll_output() {
            if let Output::Job(job) = output {
                jobs.push(job);
            }
        }
    }
    let windows: Vec<Window> = (0..500).map(|n| Window { start: START + 200 + n, end: START + 201 + n, ..block().2 }).collect();
    for _ in 0..3 {
        node.handle_update(at(20_000), Update::Schedule(windows.clone())).unwrap(); // until the segment is over
        while node.poll_output().is_some() {}
    }
    for job in kept.iter().chain(&jobs) {
        node.handle_input(at(20_000), Input::JobFinished(job.run()));
        while node.poll_output().is_some() {}
    }
    drop(node);
    let is_whole = |segment: &Vec<u8>| {
        let mut reader = Reader::new(&segment[..]).unwrap();
        std::iter::from_fn(|| reader.step().unwrap()).any(|step| matches!(step.call, Call::Input(Input::JobFinished(_))))
    };
    assert!(shelves.segments().iter().any(is_whole), "what it found is put down");
    for segment in shelves.segments() {
        shelves.relive(&segment);
    }
}

#[test]
fn a_txlist_that_lies_beside_a_segment_must_be_there_with_its_bytes() {
    let shelves = Shelves::default();
    live(&mut recorder(&shelves, 0), longer_life());
    let last = shelves.segments().pop().unwrap();
    let named = Reader::new(&last[..]).unwrap().begins_after().unwrap().1.to_vec();
    assert_eq!(named, [keccak256(b"transactions")]);
    for spoiled in [None, Some(Bytes::from_static(b"other transactions"))] {
        let opened = Replay::segment(&last[..], &[], |_| spoiled.clone()).map(drop);
        assert!(matches!(&opened, Err(TraceError::TxList { hash }) if *hash == named[0]), "{opened:?}");
    }
    assert!(Replay::open(&last[..]).is_err());
}

#[test]
fn a_segment_that_is_cut_replays_up_to_its_cut_and_a_damaged_snapshot_is_an_error() {
    let shelves = Shelves::default();
    live(&mut recorder(&shelves, 1_500), longer_life());
    let segment = shelves.segments().into_iter().next_back().unwrap();
    let mut depths = [0; 2];
    for cut in 0..segment.len() {
        match shelves.replay(&segment[..cut]) {
            Err(error) => {
                assert!(matches!(error, TraceError::NoHeader | TraceError::NotATrace), "{cut}: {error}");
                depths[0] += 1;
            }
            Ok(mut replay) => {
                while let Some(step) = replay.step().unwrap() {
                    assert!(step.matches());
                }
                assert!(matches!(replay.ending(), Some(Ending::Cut { .. })));
                depths[1] += 1;
            }
        }
    }
    assert!(depths.iter().all(|depth| *depth > 10), "{depths:?}");
    for place in (0..segment.len()).step_by(7) {
        let mut damaged = segment.clone();
        damaged[place] ^= 0x20;
        let end = shelves.replay(&damaged).and_then(|mut replay| {
            while replay.step()?.is_some() {}
            Ok(replay.ending())
        });
        assert!(matches!(end, Err(_) | Ok(Some(Ending::Cut { .. }))), "byte {place}: {end:?}");
    }
}

#[test]
fn a_disk_that_is_full_for_a_while_costs_that_while() {
    let shelves = Shelves::default();
    let mut node = recorder(&shelves, 0);
    let tell = |node: &mut Recorder<Shelves>, ms| {
        node.handle_input(at(ms), Input::RequestBroken { peer: peer(9) });
        while node.poll_output().is_some() {}
    };
    tell(&mut node, 0);
    shelves.fill(true);
    (1..5).for_each(|ms| tell(&mut node, ms));
    assert!(!node.is_recording());
    shelves.fill(false);
    tell(&mut node, 9_000);
    assert!(!node.is_recording(), "it rests");
    tell(&mut node, 11_000);
    assert!(node.is_recording(), "and begins anew");
    drop(node);
    let last = shelves.segments().pop().unwrap();
    assert_eq!(shelves.relive(&last).1, 1);
}
