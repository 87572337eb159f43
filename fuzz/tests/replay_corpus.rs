//! The committed corpus, without a fuzzing engine: nothing panics, and every seed still reaches what it was made for.
//!
//! The seeds are made from the golden vectors. `PRECONF_WRITE_CORPUS=1 cargo test` writes those that are missing; without it a missing one
//! fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use preconf_core::{FrameError, frame_prefix};
use preconf_fuzz::{Container, TARGETS, frame_decoder, wire_decode, wire_rival};
use serde_json::Value;

#[test]
fn every_file_of_the_corpus_is_survived() {
    for target in TARGETS {
        let files = corpus(target.name);
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        for (name, data) in files {
            let survived = catch_unwind(|| (target.run)(&data));
            assert!(survived.is_ok(), "{}/{name} is not survived; what it met stands above", target.name);
        }
    }
}

#[test]
fn every_seed_of_wire_decode_is_committed_and_together_they_reach_every_container() {
    let seeds = wire_seeds();
    committed("wire_decode", &seeds);
    committed("wire_rival", &seeds);
    assert!(seeds.values().any(|data| wire_rival(data) > 0), "the rival takes nothing");
    let reached: BTreeSet<Container> = seeds.values().flat_map(|data| wire_decode(data)).collect();
    let all = [
        Container::SignedCommitment,
        Container::RawTxList,
        Container::GetHeadRequest,
        Container::PreconfHead,
        Container::GetCommitmentsRequest,
        Container::CommitmentsPage,
        Container::GetTxListRequest,
    ];
    assert_eq!(reached, BTreeSet::from(all));
    assert!(seeds.values().any(|data| wire_decode(data).is_empty()), "nothing hostile among them");
}

#[test]
fn every_seed_of_frame_decoder_is_committed_and_together_they_reach_every_end() {
    let seeds = frame_seeds();
    committed("frame_decoder", &seeds);
    committed("codec_stream", &seeds);
    let reached: Vec<_> = seeds.values().map(|data| frame_decoder(data)).collect();
    assert!(reached.iter().any(|reached| reached.frames == 2 && reached.error.is_none() && !reached.cut_short));
    assert!(reached.iter().any(|reached| reached.bytes > 90_000));
    assert!(reached.iter().any(|reached| reached.cut_short));
    assert!(reached.iter().any(|reached| reached.error == Some(FrameError::BadLength)));
    assert!(reached.iter().any(|reached| matches!(reached.error, Some(FrameError::TooLarge { .. }))));
}

type Seeds = BTreeMap<String, Vec<u8>>;

/// One seed for each container and for each way in which `invalid.json` breaks one.
fn wire_seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for row in rows("reqresp.json").iter().chain(&rows("invalid.json")) {
        let (Some(kind), Some(name)) = (row["type"].as_str(), row["name"].as_str()) else { panic!("a row without a name") };
        if let Some(ssz) = row["ssz"].as_str() {
            seeds.insert(file_name(&format!("{kind} {name}")), unhex(ssz));
        }
    }
    seeds
}

/// The streams of `frames.json`, each in two cuts, and one of the size of a whole page.
fn frame_seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for row in rows("frames.json") {
        let (Some(name), Some(stream), Some(cap)) = (row["name"].as_str(), row["stream"].as_str(), row["cap"].as_u64()) else {
            panic!("a row without a stream")
        };
        for chunk_bytes in [1, 0xff] {
            // The largest power of two within the cap.
            let head = [cap.ilog2() as u8, chunk_bytes];
            seeds.insert(file_name(&format!("{name} by {chunk_bytes}")), [&head[..], &unhex(stream)].concat());
        }
    }
    let page = [&4u32.to_le_bytes()[..], &[0; 256 * 382]].concat();
    let (prefix, len) = frame_prefix(page.len() as u32);
    seeds.insert("a_whole_page".to_owned(), [&[17, 100][..], &prefix[..len], &page].concat());
    seeds
}

/// Every seed stands in the corpus, byte for byte.
fn committed(target: &str, seeds: &Seeds) {
    if std::env::var_os("PRECONF_WRITE_CORPUS").is_some() {
        fs::create_dir_all(folder(target)).expect("writable");
        seeds.iter().for_each(|(name, data)| fs::write(folder(target).join(name), data).expect("writable"));
    }
    let files = corpus(target);
    for (name, data) in seeds {
        assert_eq!(files.get(name), Some(data), "{target}/{name}");
    }
}

fn corpus(target: &str) -> Seeds {
    let entries = fs::read_dir(folder(target)).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.map(|path| (path.file_name().expect("a file").to_string_lossy().into_owned(), fs::read(&path).expect("readable"))).collect()
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn rows(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/vectors").join(name);
    serde_json::from_slice(&fs::read(path).expect("committed")).expect("a list")
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text.strip_prefix("0x").expect("0x")).expect("hex")
}

fn file_name(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    plain.chars().take(60).collect()
}
