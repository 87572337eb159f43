//! A recorded trace, whole, cut and damaged.
//!
//! Bytes by themselves hardly get past a checksum, so an input either is a trace, or makes one and says what is done to it.

use preconf_core::{
    ChannelId, Command, Config, ConnectionId, Direction, Input, Job, Now, Output, PeerId, Protocol, SupportedProtocols, Time, Topic,
    UnixTime, Update, message_id,
};
use preconf_trace::{Ending, Reader, Recorder, Replay, Step, Tape, TraceError};

use crate::dice::Dice;
use crate::machine::{CHAIN, Material, START, peer, spoil};

/// Most bytes of a trace that is made here. Ours: small enough that some inputs fill it.
const MAX_BYTES: u64 = 6_000;

/// How far a trace was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Steps read.
    pub steps: usize,
    /// How it ends, if it was read to an end.
    pub ending: Option<Ending>,
    /// Something in it is wrong.
    pub refused: bool,
}

/// Reads and replays a trace. An even first byte: the rest is the trace. An odd one: two bytes for a place, one for what is done there (0
/// cuts, anything else turns bits), then what the node lives through, three bytes a step.
///
/// # Panics
/// A whole trace does not replay as it was recorded, or a damaged one is read as something else than it was.
pub fn trace_reader(data: &[u8]) -> Told {
    let mut dice = Dice::new(data);
    if dice.byte().is_multiple_of(2) {
        let trace = dice.rest();
        replay(trace);
        return read(trace).1;
    }
    let (place, damage) = (u16::from_le_bytes(dice.bytes()), dice.byte());
    let mut trace = record(&mut dice);
    let (whole, told) = read(&trace);
    assert!(matches!(told.ending, Some(Ending::Closed | Ending::Full)), "a whole trace ends with {:?}", told.ending);
    assert_eq!(replay(&trace), told.steps, "a whole trace replays to its end");
    let place = usize::from(place) % trace.len();
    if damage == 0 {
        trace.truncate(place);
    } else {
        trace[place] ^= damage;
    }
    let (damaged, told) = read(&trace);
    assert!(whole.starts_with(&damaged), "damage at byte {place} changes a step instead of ending the trace");
    assert!(told.refused || matches!(told.ending, Some(Ending::Cut { .. })), "damage at byte {place} is not seen");
    replay(&trace);
    told
}

fn read(trace: &[u8]) -> (Vec<Step>, Told) {
    let refused = |error: TraceError, steps: Vec<Step>| {
        assert!(!error.to_string().is_empty());
        let told = Told { steps: steps.len(), ending: None, refused: true };
        (steps, told)
    };
    let mut reader = match Reader::new(trace) {
        Ok(reader) => reader,
        Err(error) => return refused(error, Vec::new()),
    };
    let mut steps = Vec::new();
    loop {
        match reader.step() {
            Ok(Some(step)) => {
                assert!(step.offset < trace.len() as u64 && step.number == steps.len() as u64 + 1, "a step that is not there");
                steps.push(step);
            }
            Ok(None) => {
                let told = Told { steps: steps.len(), ending: reader.ending(), refused: false };
                return (steps, told);
            }
            Err(error) => return refused(error, steps),
        }
    }
}

/// Relives a trace as far as it goes. Says how many steps.
fn replay(trace: &[u8]) -> usize {
    let Ok(mut replay) = Replay::open(trace) else { return 0 };
    let mut steps = 0;
    while let Ok(Some(step)) = replay.step() {
        assert!(step.matches(), "step {} says something else than it said", step.step.number);
        steps += 1;
    }
    steps
}

/// The trace of such a life.
pub(crate) fn recorded(life: &[u8]) -> Vec<u8> {
    record(&mut Dice::new(life))
}

/// Records a node that lives through what the dice say.
fn record(dice: &mut Dice<'_>) -> Vec<u8> {
    let mut trace = Vec::new();
    let mut now = Now { mono: Time(0), unix: UnixTime::from_secs(START + 1) };
    let tape = Tape { to: &mut trace, max_bytes: MAX_BYTES };
    let mut node = Recorder::start(Config::new(CHAIN), [3; 32], now, Some(tape)).expect("the defaults are allowed");
    let material = Material::get();
    let mut jobs: Vec<Job> = Vec::new();
    let windows = material.windows.clone();
    node.handle_update(now, Update::Schedule(windows)).expect("windows in order");
    while !dice.is_exhausted() {
        let (what, which, how) = (dice.byte(), dice.byte(), dice.byte());
        let from: PeerId = peer(usize::from(which % 4));
        let connection = ConnectionId(u64::from(which));
        match what % 8 {
            0 => node.handle_input(
                now,
                Input::ConnectionOpened { peer: from, connection, direction: Direction::Inbound, address: None, dial: None },
            ),
            1 => {
                let protocols =
                    SupportedProtocols { get_head: true, get_commitments: true, get_txlist: how.is_multiple_of(2), gossip: true };
                node.handle_input(now, Input::PeerIdentified { peer: from, protocols });
            }
            2 => {
                let item = &material.items[usize::from(which) % material.items.len()];
                let data = spoil(item.signed.as_bytes(), how);
                let message = message_id(CHAIN, Topic::Commitments, &data);
                node.handle_input(now, Input::GossipReceived { peer: from, message, topic: Topic::Commitments, data });
            }
            3 if !jobs.is_empty() => {
                let done = jobs.remove(usize::from(which) % jobs.len()).run();
                node.handle_input(now, Input::JobFinished(done));
            }
            4 => {
                now = now.after(std::time::Duration::from_millis(1 << (which % 18)));
                node.handle_timeout(now);
            }
            5 => {
                let channel = ChannelId(u64::from(how));
                let protocol = Protocol::ALL[usize::from(which) % 3];
                node.handle_input(now, Input::RequestReceived { peer: from, channel, protocol, body: vec![4, 0, 0, 0].into() });
            }
            6 => drop(node.handle_command(now, Command::Dial { address: format!("/ip4/203.0.113.{how}/tcp/1/p2p/{from}") })),
            _ => node.handle_input(now, Input::ConnectionClosed { peer: from, connection }),
        }
        while let Some(output) = node.poll_output() {
            if let Output::Job(job) = output {
                jobs.push(job);
            }
        }
    }
    drop(node); // ends the trace
    trace
}
