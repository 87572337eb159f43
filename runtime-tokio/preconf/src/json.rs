//! How do the node's news look as JSON?
//!
//! One object an event: `"event"` names it, the other fields are its own. Hashes, addresses and bytes are hex, numbers are numbers, peer ids
//! and multiaddrs are the text that operators know.

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_bundle::Bundle;
use preconf_core::{
    Accepted, B256, BlockHealth, Cause, Change, Event, Outcome, PeerId, PeerInfo, PreconfCommitment, PreconfHead, SignedCommitment, Source,
    Topic, U256,
};
use preconf_tokio::{Multiaddr, NetworkEvent, NetworkStatus, PeerLists};
use serde_json::{Map, Value, json};

use crate::hexes;

/// One change of a peer's score (P7.9).
pub(crate) fn change(change: &Change) -> Value {
    let Change { at, rule, reason, cause, delta, score } = change;
    let cause = match cause {
        Cause::Message(message) => json!({"message": message.to_string()}),
        Cause::Request(request) => json!({"request": request.0}),
        Cause::Neither => Value::Null,
    };
    json!({
        "at_us": at.0, "rule": rule, "what": reason.label(), "cause": cause, "delta_millionths": delta, "score_millionths": score,
    })
}

/// Whom a node keeps out, and whom it favours.
pub(crate) fn lists(lists: &PeerLists) -> Value {
    let texts = |peers: &[PeerId]| peers.iter().map(ToString::to_string).collect::<Vec<_>>();
    let banned = |(peer, left): &(PeerId, Duration)| json!({"peer": peer.to_string(), "seconds_left": left.as_secs()});
    json!({
        "blocked_peers": texts(&lists.blocked_peers),
        "blocked_addresses": lists.blocked_addresses,
        "blocked_subnets": lists.blocked_subnets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "protected": texts(&lists.protected),
        "trusted": texts(&lists.trusted),
        "banned": lists.banned.iter().map(banned).collect::<Vec<_>>(),
    })
}

/// An event of the node. Evidence counts under the chain's signing domain, so its bundle carries it.
pub(crate) fn event(event: &NetworkEvent, domain: B256) -> Value {
    match event {
        NetworkEvent::Listening { address } => json!({"event": "listening", "address": address.to_string()}),
        NetworkEvent::ListenerClosed { addresses, reason } => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            json!({"event": "listener_closed", "addresses": addresses, "reason": reason})
        }
        NetworkEvent::OwnRecord { record } => json!({"event": "own_record", "record": record}),
        NetworkEvent::Core(event) => core_event(event, domain),
    }
}

fn core_event(event: &Event, domain: B256) -> Value {
    match event {
        Event::CommandFinished { command, outcome } => {
            json!({"event": "command_finished", "command": command.0, "outcome": self::outcome(outcome)})
        }
        Event::PeerConnected { peer } => json!({"event": "peer_connected", "peer": peer.to_string()}),
        Event::PeerDisconnected { peer } => json!({"event": "peer_disconnected", "peer": peer.to_string()}),
        Event::CommitmentAccepted { commitment, source } => {
            with(json!({"event": "commitment_accepted", "commitment": accepted(commitment)}), self::source(*source))
        }
        Event::TxListStored { hash, len_bytes, source } => {
            with(json!({"event": "txlist_stored", "hash": hash.to_string(), "len_bytes": len_bytes}), self::source(*source))
        }
        Event::MessageRefused { peer, topic, refusal } => json!({
            "event": "message_refused",
            "peer": peer.to_string(),
            "topic": topic.map(topic_name),
            "rule": refusal.rule(),
            "label": refusal.row().label,
            "verdict": format!("{:?}", refusal.verdict()).to_lowercase(),
            "reason": refusal.to_string(),
        }),
        Event::BlockReady { commitment, txlist } => json!({
            "event": "block_ready",
            "commitment": accepted(commitment),
            "txlist_len_bytes": txlist.as_ref().map(|txlist| txlist.len()),
        }),
        Event::Handoff { commitment, next } => json!({
            "event": "handoff",
            "commitment": accepted(commitment),
            "next": next.map(|next| next.to_string()),
        }),
        Event::Forked { canonical, other, windows_adjoin } => json!({
            "event": "forked", "canonical": accepted(canonical), "other": accepted(other), "windows_adjoin": windows_adjoin,
        }),
        Event::RuleBroken { parent, child, rule } => json!({
            "event": "rule_broken",
            "rule": format!("{rule:?}"),
            "parent": accepted(parent),
            "child": commitment(child),
        }),
        Event::EvidenceFound { evidence, signer, block_number } => json!({
            "event": "evidence_found",
            "fault": evidence.fault.label(),
            "signer": signer.to_string(),
            "block_number": block_number,
            "bundle": Bundle { domain, evidence: (**evidence).clone() }.to_json(),
        }),
        Event::SyncProgress { from, at, to } => json!({"event": "sync_progress", "from": from, "at": at, "to": to}),
        Event::Synced { head } => json!({"event": "synced", "head": head}),
        Event::StandingChanged { peer, standing, rule } => {
            json!({"event": "standing_changed", "peer": peer.to_string(), "standing": standing.label(), "rule": rule})
        }
        Event::ExecutionFailed { block_number, again_in } => {
            json!({"event": "execution_failed", "block_number": block_number, "again_in_s": again_in.as_secs_f64()})
        }
        Event::PublishingAgain { command, block_number, hash } => json!({
            "event": "publishing_again", "command": command.0, "block_number": block_number, "hash": hash.to_string(),
        }),
        Event::PublicationSeen { command, block_number, hash, peer, peers } => json!({
            "event": "publication_seen", "command": command.0, "block_number": block_number, "hash": hash.to_string(),
            "peer": peer.to_string(), "peers": peers,
        }),
        Event::StorageFailed { failure } => json!({"event": "storage_failed", "failure": failure.to_string()}),
        Event::ExecuteAgain { from } => json!({"event": "execute_again", "from": from}),
    }
}

/// A commitment that was not judged here: its fields and its bytes.
pub(crate) fn commitment(signed: &SignedCommitment) -> Value {
    let preconf = signed.preconf();
    json!({
        "block_number": number(preconf.block_number),
        "hash": preconf_core::preconfirmation_hash(signed).to_string(),
        "ssz": hexes::text(signed.as_bytes()),
    })
}

/// A connected peer.
pub(crate) fn peer(info: &PeerInfo) -> Value {
    json!({
        "peer": info.peer.to_string(),
        "score_millionths": info.score,
        "standing": info.standing.label(),
        "speaks": {
            "get_head": info.protocols.get_head,
            "get_commitments": info.protocols.get_commitments,
            "get_raw_txlist": info.protocols.get_txlist,
            "gossip": info.protocols.gossip,
        },
        "subscribed": info.subscribed,
        "claimed_head": info.claimed_head,
        "backed_head": info.backed_head,
    })
}

/// Where the node stands.
pub(crate) fn status(status: &NetworkStatus, addresses: &[Multiaddr]) -> Value {
    let NetworkStatus { node, stats, .. } = status;
    json!({
        "addresses": addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "head": node.head.map(|(number, hash)| json!({"block_number": number, "hash": hash.to_string()})),
        "sync_tip": node.sync_tip.block_number,
        "ready_to": node.ready_to,
        "executed_to": node.executed_to,
        "best": node.best,
        "lag": node.lag,
        "unbacked_claims": node.unbacked_claims,
        "syncing": node.syncing,
        "peers": node.peers,
        "accepted": stats.accepted,
        "ignored": stats.ignored,
        "rejected": stats.rejected,
        "requests_sent": stats.requests_sent,
        "requests_served": stats.requests_served,
        "connections_refused": stats.connections_refused,
        "peers_pruned": stats.peers_pruned,
        "records": {
            "written": stats.persisted,
            "failed": stats.persist_failed,
            "waiting": stats.persists.saturating_sub(stats.persisted + stats.persist_failed),
        },
        "discovery": stats.discovery.metrics().into_iter().collect::<BTreeMap<_, _>>(),
        "events_waiting": status.events_waiting,
    })
}

/// How far each block is.
pub(crate) fn health(blocks: &[BlockHealth]) -> Value {
    let block = |block: &BlockHealth| json!({"block_number": block.block_number, "stage": block.stage.label()});
    json!({"blocks": blocks.iter().map(block).collect::<Vec<_>>()})
}

/// A peer's head.
pub(crate) fn head(head: &PreconfHead) -> Value {
    json!({"block_number": number(head.block_number), "submission_window_end": number(head.submission_window_end)})
}

/// A number where it fits 64 bits, else its decimal digits: a stranger may claim any 256 bits.
fn number(value: U256) -> Value {
    u64::try_from(value).map_or_else(|_| json!(value.to_string()), |value| json!(value))
}

/// Every field of what is to be signed.
pub(crate) fn unsigned(commitment: &PreconfCommitment) -> Value {
    let PreconfCommitment { preconf, slasher_address } = commitment;
    json!({
        "eop": preconf.eop,
        "block_number": number(preconf.block_number),
        "timestamp": number(preconf.timestamp),
        "gas_limit": number(preconf.gas_limit),
        "coinbase": preconf.coinbase.to_string(),
        "anchor_block_number": number(preconf.anchor_block_number),
        "raw_tx_list_hash": preconf.raw_tx_list_hash.to_string(),
        "parent_preconfirmation_hash": preconf.parent_preconfirmation_hash.to_string(),
        "submission_window_end": number(preconf.submission_window_end),
        "prover_auth": preconf.prover_auth.to_string(),
        "proposal_id": number(preconf.proposal_id),
        "slasher_address": slasher_address.to_string(),
    })
}

fn accepted(accepted: &Accepted) -> Value {
    let preconf = accepted.signed.preconf();
    json!({
        "block_number": accepted.block_number,
        "hash": accepted.hash.to_string(),
        "parent_hash": preconf.parent_preconfirmation_hash.to_string(),
        "txlist_hash": preconf.raw_tx_list_hash.to_string(),
        "signer": accepted.signer.to_string(),
        "window_end": accepted.window_end,
        "eop": preconf.eop,
    })
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Published(message) => json!({"published": message.to_string()}),
        Outcome::NotPublished(error) => json!({"error": error.to_string()}),
        Outcome::Head { peer, head } => json!({"peer": peer.to_string(), "head": self::head(head)}),
        Outcome::Commitments { peer, commitments } => json!({"peer": peer.to_string(), "commitments": commitments.len()}),
        Outcome::TxList { peer, txlist } => {
            json!({"peer": peer.to_string(), "txlist_len_bytes": txlist.as_ref().map(|txlist| txlist.len())})
        }
        Outcome::RequestFailed { peer, error } => json!({"peer": peer.to_string(), "error": error.to_string()}),
        Outcome::Connected(peer) => json!({"connected": peer.to_string()}),
        Outcome::NotConnected(failure) => json!({"error": failure.to_string()}),
        Outcome::Gated(refusal) => json!({"error": refusal.to_string()}),
    }
}

fn source(source: Source) -> Value {
    match source {
        Source::Gossip(peer) => json!({"source": "gossip", "peer": peer.to_string()}),
        Source::Response(peer) => json!({"source": "response", "peer": peer.to_string()}),
        Source::Own => json!({"source": "own"}),
        Source::Kept => json!({"source": "kept"}),
    }
}

fn topic_name(topic: Topic) -> &'static str {
    match topic {
        Topic::Commitments => "commitments",
        Topic::TxLists => "txlists",
    }
}

/// The fields of both objects.
pub(crate) fn with(first: Value, second: Value) -> Value {
    let mut fields = Map::new();
    for value in [first, second] {
        if let Value::Object(more) = value {
            fields.extend(more);
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use preconf_core::{PeerId, Refusal};

    #[test]
    fn numbers_beyond_64_bits_are_text() {
        let claimed = PreconfHead { block_number: U256::MAX, submission_window_end: U256::from(7) };
        assert_eq!(head(&claimed), json!({"block_number": U256::MAX.to_string(), "submission_window_end": 7}));
    }

    #[test]
    fn a_refusal_names_its_rule_and_what_gossip_did() {
        let peer = PeerId::from_bytes(&[0, 2, 8, 1]).expect("a peer id");
        let refused = core_event(&Event::MessageRefused { peer, topic: Some(Topic::TxLists), refusal: Refusal::WrongHash }, B256::ZERO);
        let expected = json!({
            "event": "message_refused", "peer": peer.to_string(), "topic": "txlists", "rule": "T4", "label": "wrong_hash",
            "verdict": "reject", "reason": Refusal::WrongHash.to_string(),
        });
        assert_eq!(refused, expected);
    }

    #[test]
    fn an_accepted_commitment_says_what_it_promises_and_where_it_came_from() {
        let signed = SignedCommitment::new(preconf_core::PreconfCommitment::default(), [7; 65]);
        let hash = preconf_core::preconfirmation_hash(&signed);
        let commitment = Accepted { signed, hash, signer: preconf_core::Address::ZERO, block_number: 9, window_end: 10 };
        let json = core_event(&Event::CommitmentAccepted { commitment: commitment.into(), source: Source::Own }, B256::ZERO);
        assert_eq!(json["commitment"]["block_number"], 9);
        assert_eq!(json["commitment"]["hash"], hash.to_string());
        assert_eq!(json["source"], "own");
    }
}
