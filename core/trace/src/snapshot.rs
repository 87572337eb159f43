//! A machine amid its life, as the beginning of a trace.
//!
//! A *segment* is a trace that begins with a snapshot of the machine instead of with its start, so that it replays by itself, however long the
//! node has been up. Txlists are in it by their hashes; whoever keeps segments keeps their bytes beside them, each once.

use preconf_core::{B256, Bytes, Core, HostRule};
use serde::{Deserialize, Serialize};

use crate::encoding::encode;
use crate::error::TraceError;

/// A piece of a snapshot that others follow, and the last one.
pub(crate) const PIECE: u8 = 0x50;
pub(crate) const LAST_PIECE: u8 = 0x51;
/// Longest piece, in bytes. Ours: as a step of gossip has at most.
pub(crate) const PIECE_BYTES: usize = 8 << 20;
/// Longest snapshot that is read, in bytes. Ours: all that strangers may have left unhashed (T5), and as much again for all the rest.
pub(crate) const MAX_SNAPSHOT_BYTES: usize = 128 << 20;

/// What stands before a machine's own bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preface {
    /// Steps in the segments before.
    pub(crate) steps: u64,
    /// The txlists that it names.
    pub(crate) txlists: Vec<B256>,
}

/// All of a snapshot: its preface, and the machine's bytes.
///
/// # Panics
/// Outputs wait.
pub(crate) fn written(core: &Core, preface: &Preface) -> Vec<u8> {
    let mut bytes = Vec::new();
    let snapshot = core.snapshot().expect("a machine that has nothing to say");
    let mut put = |piece: &[u8]| bytes.extend_from_slice(piece);
    encode(preface, &mut put).and_then(|()| encode(&snapshot, &mut put)).expect("values of known lengths");
    bytes
}

/// The machine of a snapshot, if its bytes are those that it would write itself.
pub(crate) fn machine(bytes: &[u8], rules: Vec<HostRule>, mut find: impl FnMut(&B256) -> Option<Bytes>) -> Result<Core, TraceError> {
    let broken = |reason: &dyn std::fmt::Display| TraceError::Snapshot { reason: reason.to_string() };
    let mut from = postcard::Deserializer::from_bytes(bytes);
    let mut flaw = None;
    let look = |hash: &B256| {
        let list = find(hash);
        if list.as_ref().is_none_or(|list| preconf_core::keccak256(list) != *hash) {
            flaw = Some(*hash);
        }
        list
    };
    let core = Core::from_snapshot(&mut from, rules, look);
    if let Some(hash) = flaw {
        return Err(TraceError::TxList { hash });
    }
    let core = core.map_err(|error| broken(&error))?;
    let mut read = Some(bytes);
    let snapshot = core.snapshot().ok_or_else(|| broken(&"outputs wait in it"))?;
    let again = encode(&snapshot, |piece| read = read.and_then(|read| read.strip_prefix(piece)));
    if again.is_err() || read != Some(&[]) { Err(broken(&"it is not written as it should be")) } else { Ok(core) }
}

#[cfg(test)]
mod tests {
    use preconf_core::{
        Config, ConnectionId, Direction, Input, Now, Output, PeerId, PreconfCommitment, Preconfirmation, SecretKey, Time, Topic, U256,
        UnixTime, Update, Window, address_of, message_id, sign,
    };

    use super::*;
    use crate::call::Call;
    use crate::replay::Replay;
    use crate::writer::{Header, Writer};

    fn at(ms: u64) -> Now {
        Now { mono: Time::from_millis(ms), unix: UnixTime(UnixTime::from_secs(1_001).0 + ms * 1_000) }
    }

    fn gossip(config: &Config, number: u64) -> Input {
        let key = SecretKey::from_secret_bytes([1; 32]).expect("a key");
        let preconf = Preconfirmation {
            block_number: U256::from(number),
            timestamp: U256::from(1_000 + number),
            gas_limit: U256::from(30_000_000),
            raw_tx_list_hash: B256::repeat_byte(7),
            submission_window_end: U256::from(1_100),
            ..Preconfirmation::default()
        };
        let data =
            Bytes::copy_from_slice(sign(PreconfCommitment { preconf, ..PreconfCommitment::default() }, &key, config.domain).as_bytes());
        let peer = PeerId::from_bytes(&[0, 1, 9]).expect("three bytes");
        Input::GossipReceived { peer, message: message_id(config.chain_id, Topic::Commitments, &data), topic: Topic::Commitments, data }
    }

    /// A machine with a peer, a window, a commitment, one that is held, and one whose signer is being recovered.
    fn machine_amid_its_life(config: &Config) -> Core {
        let mut core = Core::new(config.clone(), [7; 32], at(0)).expect("the defaults are allowed");
        let key = SecretKey::from_secret_bytes([1; 32]).expect("a key");
        let window = Window { start: 1_000, end: 1_100, preconfer: address_of(&key), settled_at: Some(0) };
        core.handle_update(at(0), Update::Schedule(vec![window])).expect("a window");
        let peer = PeerId::from_bytes(&[0, 1, 9]).expect("three bytes");
        let opened =
            Input::ConnectionOpened { peer, connection: ConnectionId(1), direction: Direction::Inbound, address: None, dial: None };
        core.handle_input(at(1), opened);
        for number in [1, 3, 5] {
            core.handle_input(at(2), gossip(config, number));
            while let Some(output) = core.poll_output() {
                if let (Output::Job(job), true) = (output, number < 5) {
                    core.handle_input(at(3), Input::JobFinished(job.run()));
                }
            }
        }
        core
    }

    #[test]
    fn a_machine_that_somebody_made_up_is_an_error_or_lives_and_never_a_panic_of_who_reads_it() {
        let config = Config::new(preconf_core::ChainId(7));
        let written = written(&machine_amid_its_life(&config), &Preface::default());
        let steps = [Call::Timeout, Call::Input(gossip(&config, 2)), Call::Input(gossip(&config, 1)), Call::Timeout];
        let (mut refused, mut lived) = (0, 0);
        for place in 0..written.len() {
            for change in [0x01, 0x40, 0xff] {
                let mut bytes = written.clone();
                bytes[place] ^= change;
                let (mut segment, header) = (Vec::new(), Header::new(&config, [7; 32], at(4)));
                let mut writer = Writer::new(&mut segment, &header, u64::MAX).expect("memory");
                writer.snapshot(&bytes).expect("memory");
                for (n, call) in steps.iter().enumerate() {
                    writer.step(at(5_000 * (n as u64 + 1)), call, None).expect("memory");
                }
                writer.finish().expect("memory");
                match Replay::segment(&segment[..], &[], |_| None) {
                    Err(_) => refused += 1,
                    Ok(mut replay) => {
                        while let Ok(Some(_)) = replay.step() {}
                        lived += 1;
                    }
                }
            }
        }
        assert!(refused > 100 && lived > 100, "{refused} refused, {lived} relived");
    }
}
