//! A node's configuration, and the kinds of which it is made.
//!
//! There is no key in it: the core has none. What it does tell are addresses of peers, and with the seed of a running node its dice.

use preconf_core::{
    ByteLimit, ChainId, Config, ConnectionLimits, DiscoveryConfig, GateConfig, HostRule, LimitKind, ParentRules, RateLimit, ScoreRules,
    Weights,
};

use crate::bytes::{Cursor, Decode, Encode, Sink, choice, fields, newtypes};
use crate::error::Flaw;

newtypes!(ChainId);

fields!(Config {
    chain_id,
    domain,
    slasher,
    parent_rules,
    txlist_cap,
    max_blocks_ahead,
    late_grace,
    verdict_timeout,
    hold_for,
    max_held,
    max_held_per_peer,
    max_held_per_place,
    max_jobs_per_peer,
    max_commitments,
    max_evidence,
    max_txlist_bytes,
    max_orphan_bytes,
    max_orphan_bytes_per_peer,
    orphan_for,
    txlist_quota,
    txlist_grace,
    max_unsent,
    max_unsent_bytes,
    request_timeout,
    max_requests_per_peer,
    max_requests,
    request_limit,
    response_limit,
    max_served_per_peer,
    max_served,
    response_budget_bytes,
    score,
    trusted,
    connections,
    gate,
    static_peers,
    discovery,
    heads_every,
    heads_while_moving,
    heads_from,
    page_near,
    page_far,
});

choice!(LimitKind {
    0 => TokenBucket,
    1 => FixedWindow,
});

fields!(RateLimit { limit, window, kind });
fields!(ByteLimit { bytes, window });
fields!(ScoreRules { weights, absence_floor, ban_for });
fields!(Weights {
    gossip_accepted,
    response_ok,
    gossip_rejected,
    bad_message,
    timeout,
    rate_limited,
    dropped,
    failed_to_connect,
    bad_announcement,
    bad_protocol,
});
fields!(ConnectionLimits {
    pending_in,
    pending_out,
    established_in,
    established_out,
    total,
    per_peer,
    dial_factor,
    target_peers,
    reserved_outbound,
});
fields!(DiscoveryConfig {
    eager_every,
    eager_lookups,
    every,
    dial_every,
    dials_at_once,
    retry_after,
    exchange_every,
    accept_unlabelled,
    accept_private
});
fields!(GateConfig { redial_limit, redial_period, max_per_neighbourhood, exempt_private, blocked_subnets });

impl Encode for ParentRules {
    fn encode(&self, to: &mut impl Sink) {
        let Self { timestamp_grows, gas_limit_step_millionths, gas_limit_range, anchor_holds, proposal_holds, window_holds, host: _ } =
            self;
        timestamp_grows.encode(to);
        gas_limit_step_millionths.encode(to);
        gas_limit_range.encode(to);
        anchor_holds.encode(to);
        proposal_holds.encode(to);
        window_holds.encode(to);
    }
}

impl Decode for ParentRules {
    /// Without the host's rules: they are functions, of which the header keeps the names.
    fn decode(from: &mut Cursor) -> Result<Self, Flaw> {
        Ok(Self {
            timestamp_grows: Decode::decode(from)?,
            gas_limit_step_millionths: Decode::decode(from)?,
            gas_limit_range: Decode::decode(from)?,
            anchor_holds: Decode::decode(from)?,
            proposal_holds: Decode::decode(from)?,
            window_holds: Decode::decode(from)?,
            host: Vec::new(),
        })
    }
}

/// What a trace keeps of the host's rules.
pub(crate) fn names(rules: &[HostRule]) -> Vec<String> {
    rules.iter().map(|rule| rule.name.to_owned()).collect()
}
