//! What is the answer to a command?

use preconf_core::{PublishError, StorageFailure, SyncTip, Update};
use preconf_tokio::{HandleError, NetworkHandle};
use serde_json::{Value, json};

use super::commands::{Command, Line, Target};
use crate::{hexes, json};

/// Does what a line asks and gives the line that answers it: `{"id", "result"}`, or `{"id", "error"}`.
pub(crate) async fn answer(handle: NetworkHandle, Line { id, command }: Line) -> String {
    let result = match command {
        Ok(command) => run(&handle, command).await.map_err(|error| words(&error)),
        Err(error) => Err(error),
    };
    let answer = match result {
        Ok(result) => json!({"id": id, "result": result}),
        Err(error) => json!({"id": id, "error": error}),
    };
    answer.to_string()
}

/// What went wrong, and what an operator of this program can do where the library knows less.
fn words(error: &HandleError) -> String {
    let advice = match error {
        HandleError::NotPublished(PublishError::NoStorage) => "; start the node with --data-dir DIR, or with --ephemeral",
        HandleError::NotPublished(PublishError::NotRecorded(StorageFailure::Damaged)) => {
            "; stop the node: `preconf store verify --data-dir DIR` says what is damaged, `preconf store accept` has it publish again"
        }
        _ => "",
    };
    format!("{error}{advice}")
}

/// What takes no time has nothing more to say.
fn done(result: Result<(), HandleError>) -> Result<Value, HandleError> {
    result.map(|()| json!({}))
}

fn blocks(target: Target) -> Update {
    match target {
        Target::Peer(peer) => Update::BlockPeer { peer },
        Target::Address(address) => Update::BlockAddress { address },
        Target::Subnet(subnet) => Update::BlockSubnet { subnet },
    }
}

fn unblocks(target: Target) -> Update {
    match target {
        Target::Peer(peer) => Update::UnblockPeer { peer },
        Target::Address(address) => Update::UnblockAddress { address },
        Target::Subnet(subnet) => Update::UnblockSubnet { subnet },
    }
}

async fn run(handle: &NetworkHandle, command: Command) -> Result<Value, HandleError> {
    match command {
        Command::PublishCommitment { ssz } => {
            let hash = preconf_core::preconfirmation_hash(&ssz);
            let message = handle.publish_commitment(*ssz).await?;
            Ok(json!({"message_id": message.to_string(), "hash": hash.to_string()}))
        }
        Command::PublishBlock { ssz, txlist } => {
            let hash = preconf_core::preconfirmation_hash(&ssz);
            let message = handle.publish_block(*ssz, txlist).await?;
            Ok(json!({"message_id": message.to_string(), "hash": hash.to_string()}))
        }
        Command::OverrideSyncing { window_end } => done(handle.update(Update::OverrideSyncing { window_end }).await),
        Command::PublishTxlist { txlist } => {
            let message = handle.publish_txlist(txlist).await?;
            Ok(json!({"message_id": message.to_string()}))
        }
        Command::GetHead { peer } => {
            let (peer, head) = handle.get_head(peer).await?;
            Ok(json!({"peer": peer.to_string(), "head": json::head(&head)}))
        }
        Command::GetCommitments { start, count, peer } => {
            let (peer, commitments) = handle.get_commitments(start, count, peer).await?;
            let commitments: Vec<Value> = commitments.iter().map(json::commitment).collect();
            Ok(json!({"peer": peer.to_string(), "commitments": commitments}))
        }
        Command::GetRawTxlist { hash, peer } => {
            let (peer, txlist) = handle.get_raw_txlist(hash, peer).await?;
            Ok(json!({"peer": peer.to_string(), "found": txlist.is_some(), "txlist": txlist.map(|txlist| hexes::text(&txlist))}))
        }
        Command::Dial { addr } => Ok(json!({"peer": handle.dial(addr).await?.to_string()})),
        Command::UpdateSchedule { windows } => done(handle.update_schedule(windows.0).await),
        Command::MoveSyncTip { block_number, hash } => {
            done(handle.move_sync_tip(SyncTip { block_number, preconfirmation_hash: hash }).await)
        }
        Command::MarkExecuted { block_number } => done(handle.mark_executed(block_number).await),
        Command::MarkFailed { block_number } => done(handle.mark_failed(block_number).await),
        Command::Health { from } => Ok(json::health(&handle.health(from).await?)),
        Command::Block { target } => done(handle.update(blocks(target)).await),
        Command::Unblock { target } => done(handle.update(unblocks(target)).await),
        Command::Protect { peer } => done(handle.update(Update::Protect { peer }).await),
        Command::Unprotect { peer } => done(handle.update(Update::Unprotect { peer }).await),
        Command::Trust { peer } => done(handle.update(Update::Trust { peer }).await),
        Command::Distrust { peer } => done(handle.update(Update::Distrust { peer }).await),
        Command::LiftBan { peer } => done(handle.update(Update::LiftBan { peer }).await),
        Command::Explain { peer } => Ok(json!({"changes": handle.explain(peer).await?.iter().map(json::change).collect::<Vec<_>>()})),
        Command::Lists(_) => Ok(json::lists(&handle.lists().await?)),
        Command::Peers(_) => Ok(json!({"peers": handle.peers().await?.iter().map(json::peer).collect::<Vec<_>>()})),
        Command::Status(_) => Ok(json::status(&handle.status().await?, &handle.listen_addresses().await?)),
    }
}
