//! What operators and other people hand us: subnets, addresses, node records, evidence, configurations, scenarios, lookaheads, what was kept
//! before a restart.

use std::sync::Arc;
use std::time::Duration;

use preconf_bundle::Bundle;
use preconf_core::{
    Accepted, Action, Address, B256, ByteBudget, ByteLimit, Cidr, Command, Config, Core, Evidence, Fault, Input, LimitKind, Limiter,
    LookaheadEntry, LookaheadEpoch, Now, OutboundLimiter, Output, OwnCommitment, POINT, PeerId, PreconfCommitment, Preconfirmation,
    RateLimit, Record, SignedCommitment, SyncTip, Time, U256, UnixTime, Update, Window, memory_bound, windows_from_lookahead,
};

use crate::dice::Dice;
use crate::machine::{CHAIN, START, peer};
#[cfg(feature = "enr")]
use crate::node_records::{bootnode, record_built, record_text};

/// Which text an input was, and whether it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    /// A subnet.
    Subnet(bool),
    /// A multiaddr.
    Address(bool),
    /// Evidence as JSON.
    Evidence(bool),
    /// Numbers of a configuration.
    Config(bool),
    /// An L1 lookahead.
    Lookahead(bool),
    /// Records of an earlier life.
    Records(bool),
    /// A limiter's life.
    Limits(bool),
    /// A node record as text.
    #[cfg(feature = "enr")]
    NodeRecord(bool),
    /// What a node says of itself in its record.
    #[cfg(feature = "enr")]
    OwnRecord(bool),
    /// A boot node.
    #[cfg(feature = "enr")]
    Bootnode(bool),
    /// A simulator's scenario.
    #[cfg(feature = "sim")]
    Scenario(bool),
}

/// Reads an input: one byte says as what.
///
/// # Panics
/// Something taken is not what it says, or something refused has an effect.
pub fn enr_and_config(data: &[u8]) -> Text {
    let mut dice = Dice::new(data);
    match dice.below(11) {
        0 => Text::Subnet(subnet(&String::from_utf8_lossy(dice.rest()))),
        1 => Text::Address(address(&String::from_utf8_lossy(dice.rest()))),
        2 => Text::Evidence(evidence(&String::from_utf8_lossy(dice.rest()))),
        3 => Text::Config(config(&mut dice)),
        4 => Text::Lookahead(lookahead(&mut dice)),
        5 => Text::Records(records(&mut dice)),
        #[cfg(feature = "enr")]
        7 => Text::NodeRecord(record_text(&String::from_utf8_lossy(dice.rest()))),
        #[cfg(feature = "enr")]
        8 => Text::OwnRecord(record_built(&mut dice)),
        #[cfg(feature = "enr")]
        9 => Text::Bootnode(bootnode(&String::from_utf8_lossy(dice.rest()))),
        #[cfg(feature = "sim")]
        10 => Text::Scenario(scenario(&String::from_utf8_lossy(dice.rest()))),
        _ => Text::Limits(limits(&mut dice)),
    }
}

fn subnet(text: &str) -> bool {
    let Ok(subnet) = text.parse::<Cidr>() else { return false };
    let written = subnet.to_string();
    assert_eq!(written.parse::<Cidr>().ok(), Some(subnet), "{text:?} is written as {written:?}");
    let base = written.split('/').next().and_then(|base| base.parse().ok()).expect("an address");
    assert!(subnet.contains(base), "{subnet} does not hold its own base");
    true
}

/// P8.1: what is dialed is the text as it was given, and names a peer.
fn address(text: &str) -> bool {
    let id = text.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    if let Ok(peer) = id.parse::<PeerId>() {
        assert_eq!(peer.to_string(), id, "a peer id with two texts");
        assert_eq!(PeerId::from_bytes(peer.as_bytes()), Some(peer));
    }
    let mut core = node(Config::new(CHAIN)).expect("the defaults are allowed");
    let taken = core.handle_command(Now::default(), Command::Dial { address: text.to_owned() });
    let dialed = std::iter::from_fn(|| core.poll_output()).find_map(|output| match output {
        Output::Net(Action::Dial { address, .. }) => Some(address),
        _ => None,
    });
    assert_eq!(dialed.as_deref(), taken.is_ok().then_some(text), "P8.1: {taken:?}");
    let static_peers = vec![text.to_owned()];
    assert_eq!(Config { static_peers, ..Config::new(CHAIN) }.check().is_ok(), taken.is_ok(), "P8.5: static means what dialed means");
    taken.is_ok()
}

fn evidence(text: &str) -> bool {
    match text.parse::<Bundle>() {
        Ok(bundle) => {
            let written = bundle.to_json().to_string();
            assert_eq!(written.parse::<Bundle>().expect("what we write"), bundle, "it reads as something else than was written");
            bundle.verify().is_ok()
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// What is refused says where, and what is taken can be run: that its values make sense is seen while it is read.
#[cfg(feature = "sim")]
fn scenario(text: &str) -> bool {
    match preconf_sim::scenario::Scenario::read("fuzzed", text) {
        Ok(scenario) => {
            assert!(scenario.seconds > 0 && scenario.nodes.honest > 0, "{text:?}");
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("fuzzed"), "{error}");
            false
        }
    }
}

/// Numbers that a person may come to write.
fn number(dice: &mut Dice<'_>) -> u64 {
    match dice.below(8) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => u64::from(u32::MAX),
        4 => 1 << dice.below(64),
        5 => u64::from(dice.byte()),
        6 => u64::from(u16::from_le_bytes(dice.bytes())),
        _ => dice.number(),
    }
}

/// Either the check takes it and a machine starts and lives with it, or both refuse it for the same reason.
fn config(dice: &mut Dice<'_>) -> bool {
    let mut config = Config::new(CHAIN);
    while !dice.is_exhausted() {
        let (key, number) = (dice.below(34), number(dice));
        let (count, span) = (usize::try_from(number).unwrap_or(usize::MAX), Duration::from_millis(number));
        let small = u32::try_from(number).unwrap_or(u32::MAX);
        match key {
            0 => config.txlist_cap = count,
            1 => config.max_blocks_ahead = number,
            2 => config.late_grace = span,
            3 => config.verdict_timeout = span,
            4 => config.hold_for = span,
            5 => config.max_held = count,
            6 => config.max_held_per_peer = count,
            7 => config.max_held_per_position = count,
            8 => config.max_jobs_per_peer = count,
            9 => config.max_commitments = count,
            10 => config.max_evidence = count,
            11 => config.max_txlist_bytes = count,
            12 => config.max_orphan_bytes = count,
            13 => config.max_orphan_bytes_per_peer = count,
            14 => config.orphan_for = span,
            15 => config.txlist_quota = ByteLimit { bytes: count, ..config.txlist_quota },
            16 => config.txlist_grace = span,
            17 => config.max_unsent = count,
            18 => config.max_unsent_bytes = count,
            19 => config.request_timeout = span,
            20 => config.max_requests_per_peer = count,
            21 => config.max_requests = count,
            22 => config.request_limit.limit = small,
            23 => config.request_limit.window = span,
            24 => config.response_limit = ByteLimit { bytes: count, window: span },
            25 => config.max_served_per_peer = count,
            26 => config.max_served = count,
            27 => config.response_budget_bytes = count,
            28 => config.score.ban_for = span,
            29 => config.score.weights.gossip_rejected = number.cast_signed(),
            30 => config.connections.target_peers = small,
            31 => config.gater.redial_limit = Some(small),
            32 => config.heads_from = count,
            _ => (config.page_near, config.page_far) = (small, small),
        }
    }
    let checked = config.check();
    if checked.is_ok() {
        assert!(memory_bound(&config) > 0);
    }
    match (checked, node(config)) {
        (Ok(()), Ok(mut core)) => {
            core.handle_timeout(Now { mono: Time::from_millis(1_000_000), unix: UnixTime::from_secs(START) });
            true
        }
        (Err(checked), Err(started)) => {
            assert_eq!(checked, started, "the check and the start give two reasons");
            assert!(checked.to_string().contains(checked.key), "{checked}");
            false
        }
        (checked, started) => panic!("the check says {checked:?}, the start {:?}", started.map(drop)),
    }
}

fn node(config: Config) -> Result<Core, preconf_core::ConfigError> {
    Core::new(config, [1; 32], Now::default())
}

/// P9.2: what comes of a lookahead in order is a schedule in order; what comes of any other is refused or in order, never a panic.
fn lookahead(dice: &mut Dice<'_>) -> bool {
    let start = if dice.byte().is_multiple_of(2) { START } else { number(dice) };
    let mut epochs: Vec<LookaheadEpoch> = Vec::new();
    let mut in_order = (12..u64::MAX / 2).contains(&start);
    while !dice.is_exhausted() && epochs.len() < 16 {
        let start = start.saturating_add(preconf_core::EPOCH_SECS.saturating_mul(epochs.len() as u64));
        let mut entries: Vec<LookaheadEntry> = Vec::new();
        for _ in 0..dice.below(5) {
            let at = dice.byte();
            // Slots of the epoch, ascending; or any number at all.
            let slot = entries.last().map_or(0, |last| last.timestamp.saturating_sub(start) / 12 + 1) + u64::from(at % 8);
            let wild = at >= 240 || slot >= 32;
            in_order &= !wild;
            let timestamp = if wild { number(dice) } else { start.saturating_add(12 * slot) };
            entries.push(LookaheadEntry { timestamp, preconfer: Address::repeat_byte(at), blacklisted: at.is_multiple_of(3) });
        }
        epochs.push(LookaheadEpoch { start, entries, settled_at: dice.byte().is_multiple_of(2).then_some(start) });
    }
    let windows = windows_from_lookahead(&epochs, Address::ZERO);
    assert!(windows.iter().all(|window| window.start < window.end), "P9.2: an empty window");
    let mut core = node(Config::new(CHAIN)).expect("the defaults are allowed");
    let taken = core.handle_update(Now::default(), Update::Schedule(windows));
    assert!(taken.is_ok() || !in_order, "P9.2: a lookahead in order gives {taken:?}");
    taken.is_ok()
}

/// A commitment that nobody signed, and whose numbers may be any.
fn any_commitment(dice: &mut Dice<'_>) -> SignedCommitment {
    let preconf = Preconfirmation {
        block_number: U256::from(number(dice)),
        timestamp: U256::from(number(dice)),
        submission_window_end: U256::from(number(dice)),
        parent_preconfirmation_hash: B256::repeat_byte(dice.byte()),
        raw_tx_list_hash: B256::repeat_byte(dice.byte()),
        eop: dice.byte().is_multiple_of(4),
        ..Preconfirmation::default()
    };
    SignedCommitment::new(PreconfCommitment { preconf, ..PreconfCommitment::default() }, [dice.byte(); 65])
}

/// P5.9a, P6.9, P7.7: whatever stands on the disk, scores stay in their range, bans end, and the bounds hold.
fn records(dice: &mut Dice<'_>) -> bool {
    let mut records = Vec::new();
    while !dice.is_exhausted() && records.len() < 40 {
        let who = peer(dice.below(8));
        records.push(match dice.below(9) {
            0 => Record::Committed(Box::new(OwnCommitment {
                signer: Address::repeat_byte(dice.byte() % 2),
                signed: any_commitment(dice),
                txlist: dice.byte().is_multiple_of(2).then(|| vec![dice.byte(); 32].into()),
            })),
            2 => Record::Began { at: UnixTime(number(dice)) },
            3 => Record::SyncTip(SyncTip {
                block_number: number(dice),
                preconfirmation_hash: dice.byte().is_multiple_of(2).then(|| B256::repeat_byte(dice.byte())),
            }),
            4 => {
                let start = number(dice);
                Record::Schedule(vec![Window { start, end: number(dice), preconfer: Address::ZERO, settled_at: Some(0) }])
            }
            5 => match Accepted::of(any_commitment(dice), Address::repeat_byte(dice.byte() % 2)) {
                Some(accepted) => Record::Commitment(Arc::new(accepted)),
                None => continue,
            },
            6 => Record::TxList { hash: B256::repeat_byte(dice.byte()), txlist: vec![dice.byte(); 64].into() },
            7 => Record::Evidence {
                evidence: Box::new(Evidence { fault: Fault::Equivocation, first: any_commitment(dice), second: any_commitment(dice) }),
                signer: Address::ZERO,
            },
            kind => Record::Peer {
                peer: who,
                score: number(dice).cast_signed(),
                as_of: UnixTime(number(dice)),
                ban_ends: (kind == 1).then(|| UnixTime(number(dice))),
            },
        });
    }
    let mut now = Now { mono: Time(number(dice) / 2), unix: UnixTime(number(dice)) };
    let mut core = Core::new(Config::new(CHAIN), [1; 32], now).expect("the defaults are allowed");
    let restored = core.handle_update(now, Update::Restore(records));
    assert!(core.memory_bytes() <= memory_bound(&Config::new(CHAIN)), "P10.3");
    for who in 0..8 {
        core.handle_input(now, Input::RequestBroken { peer: peer(who) });
    }
    for _ in 0..8 {
        let Some((at, _)) = core.poll_timeout() else { break };
        now = now.after(at.since(now.mono));
        core.handle_timeout(now);
        // At the end of time nothing can be later.
        let left = core.poll_timeout().filter(|(next, _)| *next <= now.mono && now.mono < Time(u64::MAX));
        assert_eq!(left, None, "a deadline that is due was left");
    }
    while let Some(output) = core.poll_output() {
        if let Output::Net(Action::SetScore { score, .. }) = output {
            assert!(score.abs() <= 10 * POINT, "P7.1: a score of {score}");
        }
    }
    for who in 0..8 {
        let sum = core.explain(now, peer(who)).iter().map(|change| change.delta).sum::<i64>();
        assert!(sum.abs() <= 10 * POINT, "P7.1: a score of {sum}");
    }
    restored.is_ok()
}

/// P6.6, P6.7: in no window more than its limit, whatever the clock does; and whoever waits as told is let in.
fn limits(dice: &mut Dice<'_>) -> bool {
    let kind = if dice.byte().is_multiple_of(2) { LimitKind::TokenBucket } else { LimitKind::FixedWindow };
    let rule = RateLimit { limit: 1 + u32::from(dice.byte() % 16), window: Duration::from_millis(1 + u64::from(dice.byte()) * 40), kind };
    let bytes = ByteLimit { bytes: 1 + usize::from(dice.byte()) * 100, window: rule.window };
    let (mut limiter, mut outbound, mut budget) = (Limiter::new(rule), OutboundLimiter::new(&rule), ByteBudget::new(bytes));
    let (mut now, mut admitted) = (Time(number(dice) / 4), Vec::new());
    while !dice.is_exhausted() {
        match dice.below(5) {
            0 => now = now.after(Duration::from_micros(u64::from(u16::from_le_bytes(dice.bytes())))),
            1 => now = now.after(rule.window),
            2 => {
                let next = limiter.next_admit_at(now);
                if limiter.admit(now) {
                    assert_eq!(next, now, "it lets in before it said it would");
                    admitted.push(now);
                } else {
                    assert!(next > now && limiter.clone().admit(next), "it does not let in when it said it would");
                }
            }
            3 => {
                let len = usize::from(u16::from_le_bytes(dice.bytes()));
                let next = budget.next_admit_at(now, len);
                let room = budget.room(now);
                let let_in = budget.admit(now, len);
                assert_eq!(let_in, len <= room, "room for {room}, and {len} bytes are let in: {let_in}");
                assert!(next.is_some() || len > bytes.bytes, "it never lets in what fits");
            }
            _ => {
                if outbound.admit(now) {
                    outbound.end(now);
                } else if let Some(at) = outbound.next_admit_at(now) {
                    assert!(outbound.clone().admit(at.max(now)), "we hold ourselves back for longer than we said");
                }
            }
        }
    }
    // A token bucket lets at most twice its limit into one window, a fixed window likewise across its edge.
    let most = admitted.iter().map(|from| admitted.iter().filter(|at| *at >= from && at.since(*from) < rule.window).count()).max();
    assert!(most.unwrap_or(0) <= 2 * rule.limit as usize, "P6.6: {most:?} in one window, the limit is {}", rule.limit);
    !admitted.is_empty()
}
