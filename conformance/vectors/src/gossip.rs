//! What does a whole node tell gossip about one message?
//!
//! The vectors judge a message alone. A node also asks what it knows: here it knows as little as it may, a window and a sync tip that the
//! message fits if any do, so that what is left is the message.

use preconf_core::{
    Action, Address, B256, Bytes, ChainId, Config, ConnectionId, Core, DEFAULT_DOMAIN, Direction, Input, Now, Output, PeerId,
    PreconfCommitment, Preconfirmation, SecretKey, SignedCommitment, SyncTip, Time, Topic, U256, UnixTime, Update, Verdict as Told, Window,
    address_of, message_id, recover_any, sign,
};

use super::report::{Problem, same};
use super::verdict::{self, Verdict};

const CHAIN: ChainId = ChainId(167_000);

/// Gossips a txlist message to a node, and compares what it says with the vector's verdict (T1, T4, T5). What a vector calls good or bad by its
/// hash is that once a commitment names the hash, so one does.
pub(super) fn check_txlist(data: &Bytes, expected: Verdict) -> Result<(), Problem> {
    let now = Now { mono: Time::ZERO, unix: UnixTime::from_secs(1_700_000_000) };
    let mut node = node(now);
    if let Some(hash) = data.get(..32).map(B256::from_slice).filter(|hash| !hash.is_zero()) {
        let key = SecretKey::from_secret_bytes([1; 32]).expect("a repeated byte other than 0 is a secret");
        let window = Window { start: now.unix.secs() - 1, end: now.unix.secs(), preconfer: address_of(&key), settled_at: Some(0) };
        let preconf = Preconfirmation {
            block_number: U256::from(1),
            timestamp: U256::from(window.end),
            raw_tx_list_hash: hash,
            submission_window_end: U256::from(window.end),
            ..Preconfirmation::default()
        };
        let signed = sign(PreconfCommitment { preconf, ..PreconfCommitment::default() }, &key, DEFAULT_DOMAIN);
        node.handle_update(now, Update::Schedule(vec![window])).map_err(|_| Problem::Contradiction("a window that is none"))?;
        let named = gossip(&mut node, now, Topic::Commitments, &Bytes::copy_from_slice(signed.as_bytes()));
        same("verdict on what names it", &Some(Told::Accept), &named)?;
    }
    same("verdict of a node", &Some(told(expected)), &gossip(&mut node, now, Topic::TxLists, data))
}

/// The same for a commitment (C1–C10). One that is refused neither for its bytes nor for C3 must fit a window: where none could hold it, a
/// node speaks of that (C4, C6) before it looks at the signature.
pub(super) fn check_commitment(data: &Bytes, expected: Verdict) -> Result<(), Problem> {
    let signed = SignedCommitment::decode(data).ok();
    let place = signed.as_ref().and_then(|signed| Place::of(signed.preconf()));
    if place.is_none() && signed.as_ref().is_some_and(verdict::basic_rules_hold) {
        return Ok(());
    }
    let place = place.unwrap_or(Place { number: 1, timestamp: 1_700_000_000, window_end: 1_700_000_000 });
    let signer = signed.and_then(|signed| recover_any(&signed, DEFAULT_DOMAIN));
    let now = Now { mono: Time::ZERO, unix: UnixTime::from_secs(place.timestamp) };
    let mut node = node(now);
    let window =
        Window { start: place.timestamp - 1, end: place.window_end, preconfer: signer.unwrap_or(Address::ZERO), settled_at: Some(0) };
    let tip = SyncTip { block_number: place.number - 1, preconfirmation_hash: None };
    for update in [Update::Schedule(vec![window]), Update::MoveSyncTip(tip)] {
        node.handle_update(now, update).map_err(|_| Problem::Contradiction("a window that is none"))?;
    }
    same("verdict of a node", &Some(told(expected)), &gossip(&mut node, now, Topic::Commitments, data))
}

/// Where a commitment wants to stand.
struct Place {
    number: u64,
    timestamp: u64,
    window_end: u64,
}

impl Place {
    /// `None` when no window can hold it (C6), or its number is none of a block after a sync tip (C4).
    fn of(preconf: &Preconfirmation) -> Option<Self> {
        let number = u64::try_from(preconf.block_number).ok().filter(|number| *number > 0)?;
        let timestamp = u64::try_from(preconf.timestamp).ok().filter(|timestamp| *timestamp > 0)?;
        let window_end = u64::try_from(preconf.submission_window_end).ok().filter(|end| *end >= timestamp)?;
        Some(Self { number, timestamp, window_end })
    }
}

fn told(expected: Verdict) -> Told {
    match expected {
        Verdict::Ok => Told::Accept,
        Verdict::Ignore => Told::Ignore,
        Verdict::Invalid | Verdict::DecodeError => Told::Reject,
    }
}

fn node(now: Now) -> Core {
    Core::new(Config::new(CHAIN), [7; 32], now).expect("the defaults are allowed")
}

/// One message from one peer; jobs run at once.
fn gossip(node: &mut Core, now: Now, topic: Topic, data: &Bytes) -> Option<Told> {
    let peer = PeerId::from_bytes(&[0, 1, 2]).expect("three bytes");
    let opened = Input::ConnectionOpened { peer, connection: ConnectionId(1), direction: Direction::Inbound, address: None, dial: None };
    let message = message_id(CHAIN, topic, data);
    let received = Input::GossipReceived { peer, message, topic, data: data.clone() };
    let mut verdict = None;
    for input in [opened, received] {
        node.handle_input(now, input);
        while let Some(output) = node.poll_output() {
            match output {
                Output::Job(job) => node.handle_input(now, Input::JobFinished(job.run())),
                Output::Net(Action::ReportGossip { message: reported, verdict: told, .. }) if reported == message => verdict = Some(told),
                Output::Net(_) | Output::App(_) | Output::Persist { .. } => {}
            }
        }
    }
    verdict
}
