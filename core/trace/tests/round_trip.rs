//! What is written is what is read, field for field.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

mod support;

use preconf_core::{HostRule, Now};
use preconf_trace::{Call, Ending, Header, Mark, Reader, Writer};
use proptest::prelude::*;
use support::*;

fn calls() -> impl Strategy<Value = Call> {
    prop_oneof![
        5 => inputs().prop_map(Call::from_input),
        1 => inputs().prop_map(Call::Input), // a result that no job of the machine's gave is recorded whole
        5 => commands().prop_map(Call::Command),
        5 => updates().prop_map(Call::Update),
        1 => Just(Call::Timeout),
    ]
}

fn marks() -> impl Strategy<Value = Option<Mark>> {
    prop::option::weighted(0.9, any::<(u64, bool, u64)>().prop_map(|(outputs, drained, digest)| Mark { outputs, drained, digest }))
}

proptest! {
    #[test]
    fn every_step_reads_back(steps in prop::collection::vec((times(), calls(), marks()), 0..20)) {
        let mut trace = Vec::new();
        let mut to = writer(&mut trace);
        for (now, call, mark) in &steps {
            // A result written as a forged one stays one; written as a job's it is only a name.
            to.step(*now, call, *mark).unwrap();
        }
        to.finish().unwrap();
        let mut reader = Reader::new(&trace[..]).unwrap();
        for (number, (now, call, mark)) in steps.into_iter().enumerate() {
            let step = reader.step().unwrap().unwrap();
            prop_assert_eq!((step.number, step.now, step.call, step.mark), (number as u64 + 1, now, call, mark));
        }
        prop_assert_eq!(reader.step().unwrap(), None);
        prop_assert_eq!(reader.ending(), Some(Ending::Closed));
    }

    #[test]
    fn every_configuration_reads_back(config in configs(), seed: [u8; 32], start in times()) {
        let header = Header::new(&config, seed, start);
        let mut trace = Vec::new();
        Writer::new(&mut trace, &header, u64::MAX).unwrap().finish().unwrap();
        let reader = Reader::new(&trace[..]).unwrap();
        prop_assert_eq!(format!("{:?}", reader.header()), format!("{header:?}"));
        let mut again = Vec::new();
        Writer::new(&mut again, reader.header(), u64::MAX).unwrap().finish().unwrap();
        prop_assert_eq!(again, trace);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut trace = b"PRETRACE\x01\x00".to_vec();
        trace.extend(bytes);
        for start in [0, 10] {
            if let Ok(mut reader) = Reader::new(&trace[start..]) {
                while let Ok(Some(_)) = reader.step() {}
            }
        }
    }
}

#[test]
fn a_host_rule_is_kept_by_its_name() {
    let mut config = config();
    config.parent_rules.host.push(HostRule { name: "blobs", holds: |_, _| true });
    let mut trace = Vec::new();
    Writer::new(&mut trace, &Header::new(&config, [0; 32], Now::default()), u64::MAX).unwrap().finish().unwrap();
    let reader = Reader::new(&trace[..]).unwrap();
    assert_eq!(reader.header().host_rules, ["blobs"]);
    assert!(reader.header().config.parent_rules.host.is_empty());
}

#[test]
fn a_quiet_step_takes_few_bytes() {
    let mut trace = Vec::new();
    let mut to = writer(&mut trace);
    let before = to.bytes();
    to.step(at(1_000), &Call::Timeout, Some(Mark { outputs: 0, drained: true, digest: 7 })).unwrap();
    // Frame 8, flags 1, times 3 and 1, count 1, digest 8.
    assert_eq!(to.bytes() - before, 22);
}
