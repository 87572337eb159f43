//! What does a line on stdin ask for?
//!
//! One JSON object a line: `"id"` is any value and comes back with the answer, `"command"` names what to do, the rest are its arguments. A
//! line that is not understood is answered like any other, so that who wrote it never waits in vain.

use std::net::IpAddr;

use multiaddr::Multiaddr;
use preconf_core::{B256, Bytes, Cidr, ConfigError, PeerId, SignedCommitment};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::Value;

use super::lines::LineError;
use super::schedule_file::Windows;
use crate::hexes;

/// A command of our user.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    /// Judge, store and gossip a commitment.
    PublishCommitment {
        /// Its 382 bytes.
        #[serde(deserialize_with = "commitment")]
        ssz: Box<SignedCommitment>,
    },
    /// Publish a commitment and the txlist that it names as one (P5.9a).
    PublishBlock {
        /// Its 382 bytes.
        #[serde(deserialize_with = "commitment")]
        ssz: Box<SignedCommitment>,
        /// The txlist's bytes.
        #[serde(deserialize_with = "bytes")]
        txlist: Bytes,
    },
    /// Hash, store and gossip a txlist.
    PublishTxlist {
        /// Its bytes.
        #[serde(deserialize_with = "bytes")]
        txlist: Bytes,
    },
    /// Ask for a head.
    GetHead {
        /// Whom to ask.
        #[serde(default, deserialize_with = "peer")]
        peer: Option<PeerId>,
    },
    /// Ask for commitments by number.
    GetCommitments {
        /// First block number.
        start: u64,
        /// How many at most.
        count: u32,
        /// Whom to ask.
        #[serde(default, deserialize_with = "peer")]
        peer: Option<PeerId>,
    },
    /// Ask for a txlist.
    GetRawTxlist {
        /// Its hash.
        #[serde(deserialize_with = "hash")]
        hash: B256,
        /// Whom to ask.
        #[serde(default, deserialize_with = "peer")]
        peer: Option<PeerId>,
    },
    /// Connect to an address.
    Dial {
        /// The address.
        addr: Multiaddr,
    },
    /// New windows of the schedule (P9.1).
    UpdateSchedule {
        /// As in the schedule file.
        windows: Windows,
    },
    /// The sync tip moved (P9.3).
    MoveSyncTip {
        /// Its number.
        block_number: u64,
        /// Hash of its preconfirmation, where it is known.
        #[serde(default, deserialize_with = "some_hash")]
        hash: Option<B256>,
    },
    /// Publish in a window although our own key has signed in it what our records do not name (P5.9b).
    OverrideSyncing {
        /// The window's end, in unix seconds.
        window_end: u64,
    },
    /// A block that was ready is executed (P11.1).
    MarkExecuted {
        /// Its number.
        block_number: u64,
    },
    /// A block that was ready could not be executed (P10.4).
    MarkFailed {
        /// Its number.
        block_number: u64,
    },
    /// Tell how far each block is (P11.1).
    Health {
        /// The first number that is asked about.
        #[serde(default)]
        from: u64,
    },
    /// Keep a peer, an address or a subnet out (P8.1).
    Block {
        /// Which.
        target: Target,
    },
    /// Let it in again.
    Unblock {
        /// Which.
        target: Target,
    },
    /// The peer never has to leave for others, and passes the redial limit (P8.1, P8.4).
    Protect {
        /// Whom.
        #[serde(deserialize_with = "named_peer")]
        peer: PeerId,
    },
    /// It is a peer like any other again.
    Unprotect {
        /// Whom.
        #[serde(deserialize_with = "named_peer")]
        peer: PeerId,
    },
    /// The peer loses nothing and is never banned (P7.6).
    Trust {
        /// Whom.
        #[serde(deserialize_with = "named_peer")]
        peer: PeerId,
    },
    /// It is a peer like any other again.
    Distrust {
        /// Whom.
        #[serde(deserialize_with = "named_peer")]
        peer: PeerId,
    },
    /// End a ban before its time (P7.4).
    LiftBan {
        /// Whose.
        #[serde(deserialize_with = "named_peer")]
        peer: PeerId,
    },
    /// Tell how a peer's score came about (P7.9).
    Explain {
        /// Whose.
        #[serde(deserialize_with = "named_peer")]
        peer: PeerId,
    },
    /// List who and what is blocked, protected, trusted and banned.
    Lists(NoArguments),
    /// List the connected peers.
    Peers(NoArguments),
    /// Tell head, lag and counters.
    Status(NoArguments),
}

/// Serde lets anything pass where a variant has no fields; a struct without fields does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoArguments {}

/// What an operator can block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    Peer(PeerId),
    Address(IpAddr),
    Subnet(Cidr),
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, "target", |text| {
            if text.contains('/') {
                return text.parse().map(Self::Subnet).map_err(|error: ConfigError| error.to_string());
            }
            let address = text.parse().map(Self::Address);
            address
                .or_else(|_| text.parse().map(Self::Peer))
                .map_err(|_| format!("{text}: a peer id, an IP address, or a subnet such as 10.0.0.0/8"))
        })
    }
}

/// A command with the id that its answer carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Chosen by who wrote the line; null when there was none.
    pub(crate) id: Value,
    /// What it asks for, or why that is not understood.
    pub(crate) command: Result<Command, String>,
}

/// Reads one line.
pub(crate) fn parse(line: Result<String, LineError>) -> Line {
    let line = match line {
        Ok(line) => line,
        Err(error) => return misread(error.to_string()),
    };
    let mut fields = match serde_json::from_str(&line) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return misread("not a JSON object".to_owned()),
        Err(error) => return misread(format!("not JSON: {error}")),
    };
    let Some(id) = fields.remove("id") else {
        return misread("no field `id`: give any value, the answer carries it back".to_owned());
    };
    let command = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string());
    Line { id, command }
}

fn misread(error: String) -> Line {
    Line { id: Value::Null, command: Err(error) }
}

fn text<'de, D: Deserializer<'de>, T, E: std::fmt::Display>(
    deserializer: D,
    key: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    read(&text).map_err(|error| de::Error::custom(format_args!("{key}: {error}")))
}

fn commitment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<SignedCommitment>, D::Error> {
    let bytes = text(deserializer, "ssz", hexes::bytes)?;
    SignedCommitment::decode(&bytes).map(Box::new).map_err(|error| de::Error::custom(format_args!("ssz: {error}")))
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    text(deserializer, "txlist", hexes::bytes)
}

fn some_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<B256>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    hexes::hash(&text).map(Some).map_err(|error| de::Error::custom(format_args!("hash: {error}")))
}

fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<B256, D::Error> {
    text(deserializer, "hash", hexes::hash)
}

fn named_peer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PeerId, D::Error> {
    text(deserializer, "peer", str::parse::<PeerId>)
}

fn peer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PeerId>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    text.parse().map(Some).map_err(|error| de::Error::custom(format_args!("peer: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use preconf_core::PreconfCommitment;
    use serde_json::json;

    fn command(line: &str) -> Command {
        parse(Ok(line.to_owned())).command.expect("a command")
    }

    fn error(line: &str) -> (Value, String) {
        let Line { id, command } = parse(Ok(line.to_owned()));
        (id, command.expect_err("not a command"))
    }

    #[test]
    fn every_command_of_the_list_is_understood() {
        let signed = SignedCommitment::new(PreconfCommitment::default(), [7; 65]);
        let line = json!({"id": 1, "command": "publish_commitment", "ssz": hexes::text(signed.as_bytes())}).to_string();
        assert_eq!(parse(Ok(line)), Line { id: json!(1), command: Ok(Command::PublishCommitment { ssz: Box::new(signed) }) });
        let txlist = Bytes::from_static(&[1, 2]);
        let signed = Box::new(SignedCommitment::new(PreconfCommitment::default(), [7; 65]));
        let line = json!({"id": 1, "command": "publish_block", "ssz": hexes::text(signed.as_bytes()), "txlist": "0x0102"}).to_string();
        assert_eq!(command(&line), Command::PublishBlock { ssz: signed, txlist: txlist.clone() });
        assert_eq!(command(r#"{"id": 1, "command": "override_syncing", "window_end": 7}"#), Command::OverrideSyncing { window_end: 7 });
        assert_eq!(command(r#"{"id": 1, "command": "publish_txlist", "txlist": "0x0102"}"#), Command::PublishTxlist { txlist });
        assert_eq!(command(r#"{"id": 1, "command": "get_head"}"#), Command::GetHead { peer: None });
        let expected = Command::GetCommitments { start: 1, count: 9, peer: None };
        assert_eq!(command(r#"{"id": 1, "command": "get_commitments", "start": 1, "count": 9, "peer": null}"#), expected);
        let hash = B256::repeat_byte(7);
        assert_eq!(
            command(&json!({"id": 1, "command": "get_raw_txlist", "hash": hash.to_string()}).to_string()),
            Command::GetRawTxlist { hash, peer: None }
        );
        let addr = "/ip4/127.0.0.1/tcp/9".parse().expect("an address");
        assert_eq!(command(r#"{"id": 1, "command": "dial", "addr": "/ip4/127.0.0.1/tcp/9"}"#), Command::Dial { addr });
        let windows = r#"[{"start": 1, "end": 2, "preconfer": "0x0101010101010101010101010101010101010101"}]"#;
        let parsed = command(&format!(r#"{{"id": 1, "command": "update_schedule", "windows": {windows}}}"#));
        assert_eq!(parsed, Command::UpdateSchedule { windows: serde_json::from_str(windows).expect("windows") });
        let tip = |hash| Command::MoveSyncTip { block_number: 7, hash };
        assert_eq!(command(r#"{"id": 1, "command": "move_sync_tip", "block_number": 7}"#), tip(None));
        let text = json!({"id": 1, "command": "move_sync_tip", "block_number": 7, "hash": hash.to_string()}).to_string();
        assert_eq!(command(&text), tip(Some(hash)));
        assert_eq!(command(r#"{"id": 1, "command": "mark_executed", "block_number": 7}"#), Command::MarkExecuted { block_number: 7 });
        assert_eq!(command(r#"{"id": 1, "command": "mark_failed", "block_number": 7}"#), Command::MarkFailed { block_number: 7 });
        assert_eq!(command(r#"{"id": 1, "command": "health"}"#), Command::Health { from: 0 });
        let name = "16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp";
        let peer: PeerId = name.parse().expect("a peer id");
        let about = |verb: &str| command(&json!({"id": 1, "command": verb, "peer": name}).to_string());
        assert_eq!([about("protect"), about("unprotect")], [Command::Protect { peer }, Command::Unprotect { peer }]);
        assert_eq!([about("trust"), about("distrust")], [Command::Trust { peer }, Command::Distrust { peer }]);
        assert_eq!([about("lift_ban"), about("explain")], [Command::LiftBan { peer }, Command::Explain { peer }]);
        let targets = [
            (name, Target::Peer(peer)),
            ("203.0.113.7", Target::Address([203, 0, 113, 7].into())),
            ("10.0.0.0/8", Target::Subnet("10.0.0.0/8".parse().expect("a subnet"))),
        ];
        for (text, target) in targets {
            let about = |verb: &str| command(&json!({"id": 1, "command": verb, "target": text}).to_string());
            assert_eq!([about("block"), about("unblock")], [Command::Block { target }, Command::Unblock { target }]);
        }
        assert_eq!(command(r#"{"id": 1, "command": "lists"}"#), Command::Lists(NoArguments {}));
        assert_eq!(command(r#"{"id": 1, "command": "peers"}"#), Command::Peers(NoArguments {}));
        assert_eq!(command(r#"{"id": 1, "command": "status"}"#), Command::Status(NoArguments {}));
    }

    #[test]
    fn an_id_may_be_any_value_and_a_peer_any_peer_id() {
        let text = "16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp";
        let line = parse(Ok(json!({"id": "a b", "command": "get_head", "peer": text}).to_string()));
        assert_eq!(line, Line { id: json!("a b"), command: Ok(Command::GetHead { peer: text.parse().ok() }) });
    }

    #[test]
    fn what_is_not_understood_is_an_error_with_the_same_id() {
        let (id, text) = error(r#"{"id": 4, "command": "status", "verbose": true}"#);
        assert!(id == json!(4) && text.contains("unknown field `verbose`"), "{text}");
        let (id, text) = error(r#"{"id": 5, "command": "stop"}"#);
        assert!(id == json!(5) && text.contains("unknown variant `stop`") && text.contains("publish_commitment"), "{text}");
        let (id, text) = error(r#"{"id": 6, "command": "publish_commitment", "ssz": "0x00"}"#);
        assert!(id == json!(6) && text.contains("ssz") && text.contains("382"), "{text}");
        let (_, text) = error(r#"{"id": 7, "command": "get_head", "peer": "0OIl"}"#);
        assert!(text.contains("peer"), "{text}");
        let (_, text) = error(r#"{"id": 8, "command": "block", "target": "10.0.0.1/8"}"#);
        assert!(text.contains("target") && text.contains("10.0.0.1/8"), "{text}");
        let (_, text) = error(r#"{"id": 9, "command": "trust"}"#);
        assert!(text.contains("peer"), "{text}");
    }

    #[test]
    fn a_line_without_an_id_is_answered_with_null() {
        assert_eq!(error("{").0, Value::Null);
        assert_eq!(error("[1]"), (Value::Null, "not a JSON object".to_owned()));
        assert_eq!(parse(Err(LineError::NotText)), Line { id: Value::Null, command: Err("not UTF-8".to_owned()) });
        assert!(error(r#"{"command": "peers"}"#).1.contains("no field `id`"));
    }
}
