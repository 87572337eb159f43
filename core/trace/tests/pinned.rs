//! Does a trace of this version still mean what it meant?
//!
//! One step of every kind, with its bytes, stands in `format/VERSION.txt`. Where the bytes change, old traces no longer read: the version has
//! to grow, and with it comes a file of its own. `WRITE_GOLDEN=1 cargo test -p preconf-trace --test pinned` writes the file of this version;
//! before the first release, where `FORMAT_VERSION` says that it stays 1, that is done in the commit that changes a table.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]
#![allow(clippy::disallowed_methods, reason = "the switch that writes the file is no part of what is tested")]

mod support;

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use preconf_core::*;
use preconf_trace::{Call, FORMAT_VERSION, Mark};
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor, value};
use serde::forward_to_deserialize_any;
use support::*;

fn told() -> Vec<Input> {
    use Input::*;
    let (peer, address): (PeerId, IpAddr) = (peer(7), [10, 0, 0, 1].into());
    let (connection, data) = (ConnectionId(300), Bytes::from_static(b"data"));
    let protocols = SupportedProtocols { get_head: true, get_commitments: false, get_txlist: true, gossip: false };
    vec![
        ConnectionOpened { peer, connection, direction: Direction::Outbound, address: Some(address), dial: Some(DialId(9)) },
        ConnectionClosed { peer, connection },
        DialFailed { dial: DialId(9), failure: DialFailure::Denied },
        RecordFound { record: Box::new(record()) },
        LookupFinished { lookup: LookupId(2), succeeded: true },
        PeerIdentified { peer, protocols },
        AddressObserved { peer, address },
        PeerSubscribed { peer, topic: Topic::Commitments },
        PeerUnsubscribed { peer, topic: Topic::TxLists },
        GossipReceived { peer, message: MessageId([3; 20]), topic: Topic::TxLists, data: data.clone() },
        RequestReceived { peer, channel: ChannelId(4), protocol: Protocol::GetTxList, body: data.clone() },
        RequestBroken { peer },
        ChannelClosed { channel: ChannelId(4) },
        ResponseReceived { request: RequestId(5), body: data },
        RequestFailed { request: RequestId(5), failure: RequestFailure::BadFrame },
        PublishFinished { publish: PublishId(6), outcome: PublishOutcome::Refused },
        Persisted { id: PersistId(7) },
        PersistFailed { id: PersistId(7), failure: StorageFailure::ReadOnly },
        JobFinished(JobDone { id: JobId(8), found: Found::Hash(B256::repeat_byte(1)) }),
        ReadingStopped { since: Time(9) },
        ReadingResumed,
    ]
}

fn record() -> NodeRecord {
    let (chain, addresses) = (ChainLabel::Chain(CHAIN), vec!["/ip4/10.0.0.1/tcp/4000".to_owned()]);
    NodeRecord { peer: peer(7), sequence: 3, chain, addresses, text: "enr:-".to_owned() }
}

fn wanted() -> Vec<Command> {
    use Command::*;
    let (peer, hash) = (peer(7), B256::repeat_byte(2));
    vec![
        PublishCommitment(Box::new(block().0)),
        PublishTxList(Bytes::from_static(b"txlist")),
        PublishBlock { commitment: Box::new(block().0), txlist: block().1 },
        GetHead { peer: None },
        GetCommitments { start: 1, count: 2, peer: Some(peer) },
        GetTxList { hash, peer: None },
        Dial { address: "/ip4/10.0.0.1/tcp/4000".to_owned() },
    ]
}

fn decided() -> Vec<Update> {
    use Update::*;
    let (peer, address, hash): (PeerId, IpAddr, B256) = (peer(7), [10, 0, 0, 1].into(), B256::repeat_byte(2));
    let subnet = Cidr::around(address, 8);
    let evidence = Evidence { fault: Fault::AfterEop, first: block().0, second: block().0 };
    let records = vec![
        Record::Began { at: UnixTime(5) },
        Record::Committed(Box::new(OwnCommitment { signer: Address::repeat_byte(4), signed: block().0, txlist: Some(block().1) })),
        Record::Peer { peer, score: -5, as_of: UnixTime(6), ban_ends: Some(UnixTime(7)) },
        Record::Known(Box::new(KnownNode { record: record(), last_success: UnixTime(8) })),
        Record::Schedule(vec![block().2]),
        Record::SyncTip(SyncTip { block_number: 3, preconfirmation_hash: Some(hash) }),
        Record::Commitment(Arc::new(Accepted::of(block().0, Address::repeat_byte(4)).unwrap())),
        Record::ChainDropped { from: 7 },
        Record::TxList { hash, txlist: block().1 },
        Record::Evidence { evidence: Box::new(evidence), signer: Address::repeat_byte(4) },
    ];
    vec![
        Disconnect { peer },
        BlockPeer { peer },
        UnblockPeer { peer },
        BlockAddress { address },
        UnblockAddress { address },
        BlockSubnet { subnet },
        UnblockSubnet { subnet },
        Protect { peer },
        Unprotect { peer },
        Trust { peer },
        Distrust { peer },
        LiftBan { peer },
        Schedule(vec![block().2]),
        MoveSyncTip(SyncTip { block_number: 3, preconfirmation_hash: Some(hash) }),
        Restore(records),
        OverrideSyncing { window_end: START + 100 },
        MarkExecuted { block_number: 4 },
        MarkFailed { block_number: 4 },
    ]
}

/// Name of a variant, and bytes of a trace that is its header and one step of it; of which only the step's are kept.
fn lines() -> Vec<String> {
    let inputs = told().into_iter().map(Call::Input);
    let calls = inputs.chain([Call::JobDone(JobId(8)), Call::Timeout]).chain(wanted().into_iter().map(Call::Command));
    let calls = calls.chain(decided().into_iter().map(Call::Update));
    let line = |call: Call| {
        let mut trace = Vec::new();
        let mut to = writer(&mut trace);
        let begins = to.bytes() as usize;
        to.step(at(1_000), &call, Some(Mark { outputs: 3, drained: true, digest: 7 })).unwrap();
        let ends = to.bytes() as usize;
        drop(to);
        // Without the checksum, in which the header counts.
        let hex = hex::encode(&trace[begins..ends - 4]);
        let name: String = match &call {
            Call::Input(input) => format!("{input:?}"),
            Call::Command(command) => format!("{command:?}"),
            Call::Update(update) => format!("{update:?}"),
            other => format!("{other:?}"),
        };
        let name = name.chars().take_while(|letter| letter.is_alphanumeric()).collect::<String>();
        format!("{name} {hex}")
    };
    calls.map(line).collect()
}

#[test]
fn every_step_has_the_bytes_of_its_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/format/{FORMAT_VERSION}.txt"));
    let now = lines();
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, now.join("\n") + "\n").unwrap();
    }
    let pinned = fs::read_to_string(&path).unwrap_or_else(|_| panic!("version {FORMAT_VERSION} of the format has no file of its own"));
    for (pinned, now) in pinned.lines().zip(&now) {
        assert_eq!(pinned, now, "a table has changed: raise FORMAT_VERSION, which says when");
    }
    assert_eq!(pinned.lines().count(), now.len(), "a kind of step is new or gone");
}

#[test]
fn every_kind_of_step_is_pinned_in_its_place() {
    let names: Vec<String> = lines().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, [variants::<Input>(), &["JobDone", "Timeout"], variants::<Command>(), variants::<Update>()].concat());
}

#[test]
fn every_value_within_a_step_has_its_place() {
    // The lines above hold one variant of each; these hold them all.
    assert_eq!(variants::<Direction>(), ["Inbound", "Outbound"]);
    assert_eq!(variants::<Topic>(), ["Commitments", "TxLists"]);
    assert_eq!(variants::<Protocol>(), ["GetHead", "GetCommitments", "GetTxList"]);
    assert_eq!(variants::<RequestFailure>(), ["Timeout", "Closed", "Unreachable", "Unsupported", "BadFrame"]);
    assert_eq!(variants::<DialFailure>(), ["Unreachable", "WrongPeer", "Undialable", "Denied"]);
    assert_eq!(variants::<StorageFailure>(), ["NoSpace", "ReadOnly", "Gone", "Damaged", "Io"]);
    assert_eq!(variants::<Storage>(), ["Durable", "Absent", "Ephemeral"]);
    assert_eq!(variants::<Fault>(), ["Equivocation", "AfterEop", "BrokenLink", "BrokenRule"]);
    assert_eq!(variants::<PublishOutcome>(), ["Sent", "NoPeers", "Busy", "Duplicate", "Refused"]);
    assert_eq!(variants::<Found>(), ["Signer", "Hash"]);
    assert_eq!(
        variants::<Record>(),
        ["Began", "Committed", "Peer", "Known", "Schedule", "SyncTip", "Commitment", "ChainDropped", "TxList", "Evidence"]
    );
    assert_eq!(variants::<ChainLabel>(), ["Missing", "Chain", "Unreadable"]);
    assert_eq!(variants::<LimitKind>(), ["TokenBucket", "FixedWindow", "Either"]);
}

/// The variants of an enum, by what its own reader asks for.
fn variants<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut variants: &[&str] = &[];
    let _ = T::deserialize(Asked(&mut variants));
    variants
}

struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = value::Error;

    fn deserialize_enum<V: Visitor<'de>>(self, _: &str, variants: &'static [&'static str], _: V) -> Result<V::Value, value::Error> {
        *self.0 = variants;
        Err(value::Error::custom("that was all"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(value::Error::custom("no enum"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
