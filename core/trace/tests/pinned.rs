//! Does a trace of this version still mean what it meant?
//!
//! One step of every kind, with its bytes, stands in `format/VERSION.txt`. Where the bytes change, old traces no longer read: the version has
//! to grow, and with it comes a file of its own. `WRITE_GOLDEN=1 cargo test -p preconf-trace --test pinned` writes the file of this version;
//! before the first release, where `FORMAT_VERSION` says that it stays 1, that is done in the commit that changes a table.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]
#![allow(clippy::disallowed_methods, reason = "the switch that writes the file is no part of what is tested")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use preconf_core::*;
use preconf_trace::{Call, FORMAT_VERSION, Header, Mark, Writer};
use support::*;

fn told() -> Vec<Input> {
    use Input::*;
    let (peer, address): (PeerId, IpAddr) = (peer(7), [10, 0, 0, 1].into());
    let (connection, data) = (ConnectionId(300), Bytes::from_static(b"data"));
    let spoken = Spoken { get_head: true, get_commitments: false, get_txlist: true, gossip: false };
    vec![
        ConnectionOpened { peer, connection, direction: Direction::Outbound, address: Some(address), dial: Some(DialId(9)) },
        ConnectionClosed { peer, connection },
        DialFailed { dial: DialId(9), failure: DialFailure::Denied },
        PeerIdentified { peer, spoken },
        PeerSubscribed { peer, topic: Topic::Commitments },
        PeerUnsubscribed { peer, topic: Topic::TxLists },
        GossipReceived { peer, message: MessageId([3; 20]), topic: Topic::TxLists, data: data.clone() },
        RequestReceived { peer, channel: ChannelId(4), protocol: Protocol::GetTxList, body: data.clone() },
        RequestBroken { peer },
        ChannelClosed { channel: ChannelId(4) },
        ResponseReceived { request: RequestId(5), body: data },
        RequestFailed { request: RequestId(5), failure: RequestFailure::BadFrame },
        PublishFinished { publish: PublishId(6), outcome: PublishOutcome::Refused },
        JobFinished(JobDone { id: JobId(8), found: Found::Hash(B256::repeat_byte(1)) }),
        RecordFound { record: Box::new(record()) },
        LookupFinished { lookup: LookupId(2), succeeded: true },
        AddressSeen { peer, address },
    ]
}

fn record() -> NodeRecord {
    let (chain, addresses) = (ChainLabel::Chain(CHAIN), vec!["/ip4/10.0.0.1/tcp/4000".to_owned()]);
    NodeRecord { peer: peer(7), sequence: 3, chain, addresses, text: "enr:-".to_owned() }
}

fn wished() -> Vec<Command> {
    use Command::*;
    let (peer, address, hash): (PeerId, IpAddr, B256) = (peer(7), [10, 0, 0, 1].into(), B256::repeat_byte(2));
    let subnet = Cidr::around(address, 8);
    let records = vec![
        Record::Committed { block_number: 1, hash },
        Record::Peer { peer, score: -5, as_of: UnixTime(6), ban_ends: Some(UnixTime(7)) },
        Record::Known(Box::new(KnownNode { record: record(), last_success: UnixTime(8) })),
    ];
    vec![
        PublishCommitment(Box::new(block().0)),
        PublishTxList(Bytes::from_static(b"txlist")),
        GetHead { peer: None },
        GetCommitments { start: 1, count: 2, peer: Some(peer) },
        GetTxList { hash, peer: None },
        Dial { address: "/ip4/10.0.0.1/tcp/4000".to_owned() },
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
        UpdateSchedule(vec![block().2]),
        MoveSyncTip(SyncTip { block_number: 3, preconfirmation_hash: Some(hash) }),
        Restore(records),
        MarkExecuted { block_number: 4 },
        MarkFailed { block_number: 4 },
    ]
}

/// Name of a variant, and bytes of a trace that is its header and one step of it; of which only the step's are kept.
fn lines() -> Vec<String> {
    let inputs = told().into_iter().map(Call::Input);
    let calls = inputs.chain([Call::JobDone(JobId(8)), Call::Timeout]).chain(wished().into_iter().map(Call::Command));
    let line = |call: Call| {
        let mut trace = Vec::new();
        let mut to = writer(&mut trace);
        let begins = to.bytes() as usize;
        to.step(at(1_000), &call, Some(Mark { outputs: 3, drained: true, digest: 7 })).unwrap();
        let ends = to.bytes() as usize;
        drop(to);
        // Without the checksum, in which the header counts.
        let hex = trace[begins..ends - 4].iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let name: String = match &call {
            Call::Input(input) => format!("{input:?}"),
            Call::Command(command) => format!("{command:?}"),
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
fn every_kind_of_step_is_pinned() {
    // The format's tables name every input and command, or do not compile; so each of their tags must have its line here.
    let tags =
        |lines: &[String], from: usize, count: usize| lines[from..from + count].iter().map(|line| tag_of(line)).collect::<BTreeSet<_>>();
    let (lines, inputs, commands) = (lines(), told().len(), wished().len());
    assert_eq!(tags(&lines, 0, inputs), (0..inputs as u8).collect());
    assert_eq!(tags(&lines, inputs + 2, commands), (0..commands as u8).collect());
    for tag in [inputs as u8, commands as u8] {
        assert!(unknown(tag), "the table goes on behind {tag}: a kind of step has no line here");
    }
}

/// The tag of a step's input or command: behind the frame's four bytes, the flags, and two differences of time (of 3 bytes and 1).
const TAG: usize = 4 + 1 + 3 + 1;

fn tag_of(line: &str) -> u8 {
    let hex = line.split(' ').nth(1).unwrap();
    u8::from_str_radix(&hex[2 * TAG..2 * TAG + 2], 16).unwrap()
}

/// Does the reader refuse this tag, in place of that of every input and command?
fn unknown(tag: u8) -> bool {
    let kinds = [Call::Input(told().remove(8)), Call::Command(wished().remove(21))];
    let known = if usize::from(tag) == told().len() { &kinds[0] } else { &kinds[1] };
    let mut trace = Vec::new();
    let mut to = Writer::new(&mut trace, &Header::new(&config(), [7; 32], at(0)), u64::MAX).unwrap();
    let begins = to.bytes() as usize;
    to.step(at(1_000), known, None).unwrap();
    drop(to);
    trace[begins + TAG] = tag;
    reseal(&mut trace, begins);
    let mut reader = preconf_trace::Reader::new(&trace[..]).unwrap();
    reader.step().unwrap_err().to_string().contains(&format!("has the tag {tag}"))
}

/// Makes the checksum of the last record right again.
fn reseal(trace: &mut [u8], begins: usize) {
    let end = trace.len() - 4;
    let before = u32::from_le_bytes(trace[begins - 4..begins].try_into().unwrap());
    let sum = twox_hash::XxHash3_64::oneshot_with_seed(u64::from(before), &trace[begins + 4..end]) as u32;
    trace[end..].copy_from_slice(&sum.to_le_bytes());
}
