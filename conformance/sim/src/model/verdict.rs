//! Which verdict does a message get (C1–C10, T1–T5), as the page reads?

use preconf_core::{
    Address, B256, Bytes, Config, MessageId, Now, PeerId, Preconfirmation, RawTxList, Refusal, SignedCommitment, Time, Topic, U256,
    Verdict, Window, is_high_s, keccak256, preconfirmation_hash,
};

use super::chain::Chain;

/// A gossip message, as one peer sent it.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) peer: PeerId,
    pub(super) message: MessageId,
    pub(super) topic: Topic,
    pub(super) signed: Option<SignedCommitment>,
    pub(super) list: Option<RawTxList>,
    pub(super) arrived: Time,
    /// What could be said when it came.
    pub(super) early: Expect,
}

/// What the model expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nothing speaks against it.
    Open,
    /// It waits for the schedule or its parent.
    Wait,
    /// This rule speaks against it.
    Rule(&'static str, Verdict),
}

const fn ignore(rule: &'static str) -> Expect {
    Expect::Rule(rule, Verdict::Ignore)
}

const fn reject(rule: &'static str) -> Expect {
    Expect::Rule(rule, Verdict::Reject)
}

/// C1 to C7 without the signer, T1 and T2.
pub(super) fn at_first_sight(config: &Config, chain: &Chain, head: u64, now: Now, topic: Topic, data: &Bytes) -> Expect {
    if topic == Topic::TxLists {
        return match RawTxList::decode(data, config.txlist_cap) {
            Err(_) => reject("C1"),
            Ok(list) if list.txlist.is_empty() => ignore("T1"),
            Ok(_) => Expect::Open,
        };
    }
    let Ok(signed) = SignedCommitment::decode(data) else { return reject("C1") };
    let preconf = signed.preconf();
    if config.slasher.is_some_and(|slasher| signed.commitment().slasher_address != slasher) {
        return reject("C2");
    }
    if !preconf.eop && preconf.raw_tx_list_hash == B256::ZERO {
        return reject("C3");
    }
    if chain.has(&preconfirmation_hash(&signed)) || preconf.block_number <= U256::from(chain.floor()) {
        return ignore("C4");
    }
    if preconf.block_number > U256::from(head) + U256::from(config.max_blocks_ahead) {
        return ignore("C4");
    }
    let grace = U256::from(config.late_grace.as_micros());
    let Ok(end) = u64::try_from(preconf.submission_window_end) else { return ignore("C6") };
    if U256::from(now.unix.0) > U256::from(end) * U256::from(1_000_000) + grace {
        return ignore("C5");
    }
    in_schedule(config, chain, now, preconf).err().unwrap_or_else(|| if is_high_s(&signed) { ignore("C7") } else { Expect::Open })
}

/// C6: the window's preconfer, and whether everybody must know it by now (C7).
fn in_schedule(config: &Config, chain: &Chain, now: Now, preconf: &Preconfirmation) -> Result<(Address, bool), Expect> {
    let is_known = |window: &Window| {
        window.settled_at.is_some_and(|at| at == 0 || now.unix.0 > at * 1_000_000 + config.settled_grace.as_micros() as u64)
    };
    let is_in = |time: U256, start: u64, end: u64| time > U256::from(start) && time <= U256::from(end);
    if let Some(window) = chain.windows().find(|window| U256::from(window.end) == preconf.submission_window_end) {
        return if is_in(preconf.timestamp, window.start, window.end) {
            Ok((window.preconfer, is_known(window)))
        } else if is_known(window) {
            Err(reject("C6"))
        } else {
            Err(ignore("C6"))
        };
    }
    // No window ends there. Covered or not is a question of how far the schedule reaches.
    Err(match chain.covering(preconf.submission_window_end).map(is_known) {
        None => Expect::Wait,
        Some(true) => reject("C6"),
        Some(false) => ignore("C6"),
    })
}

/// C4 to C9 with the signer, if it is known yet. `is_over`: its time to wait is over.
pub(super) fn of_commitment(
    config: &Config,
    chain: &Chain,
    now: Now,
    signed: &SignedCommitment,
    signer: Option<Option<Address>>,
    is_over: bool,
) -> Expect {
    let (preconf, hash) = (signed.preconf(), preconfirmation_hash(signed));
    if chain.has(&hash) || preconf.block_number <= U256::from(chain.floor()) {
        return ignore("C4");
    }
    let wait = |rule| if is_over { ignore(rule) } else { Expect::Wait };
    let (preconfer, settled) = match in_schedule(config, chain, now, preconf) {
        Ok(window) => window,
        Err(Expect::Wait) => return wait("C6"),
        Err(other) => return other,
    };
    if is_high_s(signed) {
        return ignore("C7");
    }
    match signer {
        None => return Expect::Wait,
        Some(None) => return reject("C7"),
        Some(Some(signer)) if signer != preconfer => return if settled { reject("C7") } else { ignore("C7") },
        Some(Some(_)) => {}
    }
    let Ok(number) = u64::try_from(preconf.block_number) else { return ignore("C4") };
    if chain.contradicts(preconfer, number, preconf.submission_window_end) {
        return ignore("C8");
    }
    let early = chain.is_early(config, now, preconf.submission_window_end);
    if early == Some(true) {
        return ignore("C6a");
    }
    let parent = preconf.parent_preconfirmation_hash;
    if let Some(known) = chain.get(&parent) {
        if !follows(config, known.signed.preconf(), preconf) {
            return ignore("C9");
        }
    } else if !chain.is_behind_tip(&parent, number) {
        return if chain.tip_hash() == Some(parent) { ignore("C9") } else { wait("C9") };
    }
    match early {
        Some(_) => wait("C6a"),
        None if chain.links(&parent, number) => Expect::Open,
        None => ignore("C9"),
    }
}

/// C9: the rules between a parent and its child.
fn follows(config: &Config, parent: &Preconfirmation, child: &Preconfirmation) -> bool {
    let rules = &config.parent_rules;
    let gas = |limit: U256| u128::try_from(limit).unwrap_or(u128::MAX >> 64);
    let (before, after) = (gas(parent.gas_limit), gas(child.gas_limit));
    let step = rules.gas_limit_step_millionths.is_none_or(|step| before.abs_diff(after) * 1_000_000 <= before * u128::from(step));
    let range = rules.gas_limit_range.as_ref().is_none_or(|range| (u128::from(*range.start())..=u128::from(*range.end())).contains(&after));
    child.block_number == parent.block_number + U256::from(1)
        && (child.timestamp > parent.timestamp || !rules.timestamp_grows)
        && step
        && range
        && (child.anchor_block_number >= parent.anchor_block_number || !rules.anchor_holds)
        && (child.proposal_id >= parent.proposal_id || !rules.proposal_holds)
        && (child.submission_window_end >= parent.submission_window_end || !rules.window_holds)
        && rules.host.iter().all(|host| (host.holds)(parent, child))
}

/// T4
pub(super) fn has_its_hash(copy: &Copy) -> bool {
    copy.list.as_ref().is_some_and(|list| keccak256(&list.txlist) == list.hash)
}

/// T5: does a block that is kept name it?
pub(super) fn is_named(chain: &Chain, copy: &Copy) -> bool {
    copy.list.as_ref().is_some_and(|list| chain.names(&list.hash))
}

/// T2 to T5 of a txlist that was good at first sight. Over its quota one that nothing names may be whenever its peer sent a lot.
pub(super) fn of_txlist(chain: &Chain, copy: &Copy, refusal: Refusal) -> Expect {
    let was_here = copy.list.as_ref().is_some_and(|list| chain.was_stored(&list.hash));
    match refusal {
        Refusal::Duplicate if was_here => ignore("C4"),
        _ if is_named(chain, copy) => {
            if has_its_hash(copy) {
                Expect::Open
            } else {
                reject("T4")
            }
        }
        Refusal::OverQuota => ignore("T3"),
        _ => ignore("T5"),
    }
}

/// P5.1, T5: can a table be full that this message needs room in?
pub(super) fn may_be_full(config: &Config, lately: &[Copy], copy: &Copy, kept: usize) -> bool {
    let place = |of: &Copy| of.signed.as_ref().map(|signed| (signed.preconf().submission_window_end, signed.preconf().block_number));
    let of_topic = lately.iter().filter(|other| other.topic == copy.topic);
    let of_peer = of_topic.clone().filter(|other| other.peer == copy.peer).count();
    let at_place = of_topic.clone().filter(|other| place(other) == place(copy)).count();
    copy.topic == Topic::TxLists
        || of_peer > config.max_held_per_peer.min(config.max_jobs_per_peer)
        || at_place > config.max_held_per_position
        || of_topic.count() > config.max_held
        || kept >= config.max_commitments
}
