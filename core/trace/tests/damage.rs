//! A trace that is cut replays to its cut; a byte that is not what was written is found.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

mod support;

use preconf_core::*;
use preconf_trace::{Ending, Reader, Replay, TraceError};
use support::*;

/// Where each step begins, and where the trailer does.
fn offsets(trace: &[u8]) -> Vec<u64> {
    let mut reader = Reader::new(&trace[..trace.len() - 1]).unwrap();
    let mut offsets: Vec<_> = std::iter::from_fn(|| reader.step().unwrap()).map(|step| step.offset).collect();
    let Some(Ending::Cut { offset }) = reader.ending() else { panic!("its trailer is cut") };
    offsets.push(offset);
    offsets
}

#[test]
fn a_trace_cut_anywhere_replays_to_its_cut() {
    let trace = trace_of_life();
    let offsets = offsets(&trace);
    for len in 0..trace.len() {
        let whole = offsets.iter().filter(|offset| **offset <= len as u64).count().saturating_sub(1) as u64;
        let mut replay = match Replay::open(&trace[..len]) {
            Ok(replay) => replay,
            Err(error) => {
                assert!(matches!(error, TraceError::NoHeader), "cut at {len}: {error}");
                assert!((len as u64) < offsets[0]);
                continue;
            }
        };
        while let Some(step) = replay.step().unwrap() {
            assert!(step.matches());
        }
        assert_eq!(replay.steps(), whole, "cut at {len}");
        assert_eq!(replay.ending(), Some(Ending::Cut { offset: offsets[whole as usize] }), "cut at {len}");
    }
}

#[test]
fn each_damaged_byte_is_found_in_its_place() {
    let trace = trace_of_life();
    let offsets = offsets(&trace);
    for at in 0..trace.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = trace.clone();
            damaged[at] ^= flip;
            let error = match Replay::open(&damaged[..]) {
                Err(error) => error,
                Ok(mut replay) => loop {
                    match replay.step() {
                        Ok(Some(step)) => assert!(step.matches(), "what comes before the damage is right"),
                        Ok(None) => panic!("byte {at} is not what was written, and nobody found it: {:?}", replay.ending()),
                        Err(error) => break error,
                    }
                },
            };
            match error {
                TraceError::NotATrace => assert!(at < 8),
                TraceError::Version { .. } => assert!((8..10).contains(&at)),
                TraceError::Corrupt { offset, step: 0, .. } => assert!(offset == 10 && (10..offsets[0]).contains(&(at as u64))),
                TraceError::Corrupt { offset, step, .. } => {
                    let next = offsets.get(step as usize).copied().unwrap_or(trace.len() as u64);
                    assert_eq!(offset, offsets[step as usize - 1]);
                    assert!((offset..next).contains(&(at as u64)), "byte {at} is found in the record at {offset}");
                }
                error => panic!("byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn a_record_that_is_missing_or_out_of_place_is_found() {
    let trace = trace_of_life();
    let offsets = offsets(&trace);
    let [a, b, c] = [2, 3, 4].map(|step| offsets[step] as usize);
    let missing = [&trace[..a], &trace[b..]].concat();
    let swapped = [&trace[..a], &trace[b..c], &trace[a..b], &trace[c..]].concat();
    let repeated = [&trace[..b], &trace[a..b], &trace[b..]].concat();
    for (damaged, step) in [(missing, 3), (swapped, 3), (repeated, 4)] {
        let mut reader = Reader::new(&damaged[..]).unwrap();
        let error = loop {
            match reader.step() {
                Ok(step) => assert!(step.is_some(), "nobody found it"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, TraceError::Corrupt { step: found, .. } if found == step), "{error}");
        assert!(matches!(reader.step(), Ok(None)), "after an error there is nothing more");
    }
}

#[test]
fn what_follows_the_end_is_found() {
    let mut trace = trace_of_life();
    trace.push(0);
    let mut reader = Reader::new(&trace[..]).unwrap();
    let error = loop {
        if let Err(error) = reader.step() {
            break error;
        }
    };
    assert!(error.to_string().contains("bytes follow it"), "{error}");
}

#[test]
fn another_version_is_refused_by_name() {
    let mut trace = trace_of_life();
    trace[8] = 9;
    let error = Reader::new(&trace[..]).unwrap_err();
    assert_eq!(error.to_string(), "a trace of format version 9; this program reads version 1");
    assert_eq!(Reader::new(&b"<html>"[..]).unwrap_err().to_string(), "no trace: it does not start with the bytes of one");
}

#[test]
fn an_announced_length_takes_no_memory() {
    // A record that announces 16 MiB and has four bytes: only a cut, and found without the 16 MiB.
    let mut trace = trace_of_life();
    trace.truncate(offsets(&trace)[0] as usize);
    trace.extend([0xff, 0xff, 0xff, 0xff ^ 0xa5, 1, 2, 3, 4]);
    let mut reader = Reader::new(&trace[..]).unwrap();
    assert!(reader.step().unwrap().is_none());
    assert!(matches!(reader.ending(), Some(Ending::Cut { .. })));
    assert_eq!(reader.header().config.chain_id, ChainId(167_000));
}
