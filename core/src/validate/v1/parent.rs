//! May this commitment follow that one (C9)?
//!
//! Pure functions of parent and child. Every rule can be switched off or given other constants by configuration, and a host can add its own.

use std::ops::RangeInclusive;

use alloy_primitives::U256;

use crate::wire::v1::Preconfirmation;

type HostName = &'static str;

/// The parent rule that a child breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ParentRule {
    /// Its number is not the parent's plus one.
    BlockNumber,
    /// Its timestamp is not greater than the parent's.
    Timestamp,
    /// Its gas limit is too far from the parent's, or outside the chain's range.
    GasLimit,
    /// Its anchor lies before the parent's.
    Anchor,
    /// Its proposal lies before the parent's.
    Proposal,
    /// Its window lies before the parent's.
    Window,
    /// A rule of the host's, by its name.
    Host(#[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serialize::named"))] HostName),
}

/// A rule of the host's: a name, and a pure function of parent and child that says whether it holds.
#[derive(Clone, Copy, Debug)]
pub struct HostRule {
    /// Appears in refusals.
    pub name: &'static str,
    /// Given parent and child.
    pub holds: fn(&Preconfirmation, &Preconfirmation) -> bool,
}

/// Which parent rules hold on a chain.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ParentRules {
    /// The child's timestamp must be greater than the parent's.
    pub timestamp_grows: bool,
    /// How far the gas limit may move, in millionths of the parent's; `None` for any distance. Default 200. Source: C9.
    pub gas_limit_step_millionths: Option<u64>,
    /// The gas limits that a block may have; `None` for any. Default 10 000 000 to 45 000 000. Source: C9.
    pub gas_limit_range: Option<RangeInclusive<u64>>,
    /// The anchor must not go back.
    pub anchor_holds: bool,
    /// The proposal must not go back.
    pub proposal_holds: bool,
    /// The window must not go back.
    pub window_holds: bool,
    /// Rules of the host's, asked last and in order. They are functions: nothing that is written down holds them.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub host: Vec<HostRule>,
}

impl Default for ParentRules {
    fn default() -> Self {
        Self {
            timestamp_grows: true,
            gas_limit_step_millionths: Some(200),
            gas_limit_range: Some(10_000_000..=45_000_000),
            anchor_holds: true,
            proposal_holds: true,
            window_holds: true,
            host: Vec::new(),
        }
    }
}

impl ParentRules {
    /// Asks every rule that is on; the first broken one is the answer.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn check(&self, parent: &Preconfirmation, child: &Preconfirmation) -> Result<(), ParentRule> {
        let rule = |holds: bool, rule: ParentRule| if holds { Ok(()) } else { Err(rule) };
        rule(parent.block_number.checked_add(U256::ONE) == Some(child.block_number), ParentRule::BlockNumber)?;
        rule(!self.timestamp_grows || child.timestamp > parent.timestamp, ParentRule::Timestamp)?;
        rule(self.gas_limit_fits(parent.gas_limit, child.gas_limit), ParentRule::GasLimit)?;
        rule(!self.anchor_holds || child.anchor_block_number >= parent.anchor_block_number, ParentRule::Anchor)?;
        rule(!self.proposal_holds || child.proposal_id >= parent.proposal_id, ParentRule::Proposal)?;
        rule(!self.window_holds || child.submission_window_end >= parent.submission_window_end, ParentRule::Window)?;
        self.host.iter().try_for_each(|host| rule((host.holds)(parent, child), ParentRule::Host(host.name)))
    }

    fn gas_limit_fits(&self, parent: U256, child: U256) -> bool {
        let in_range = self.gas_limit_range.as_ref().is_none_or(|range| u64::try_from(child).is_ok_and(|limit| range.contains(&limit)));
        let near = self.gas_limit_step_millionths.is_none_or(|step| {
            // |child − parent| · 10⁶ ≤ parent · step, without rounding
            let apart = parent.abs_diff(child).checked_mul(U256::from(1_000_000));
            let allowed = parent.saturating_mul(U256::from(step));
            apart.is_some_and(|apart| apart <= allowed)
        });
        in_range && near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent() -> Preconfirmation {
        Preconfirmation {
            block_number: U256::from(7),
            timestamp: U256::from(100),
            gas_limit: U256::from(30_000_000),
            anchor_block_number: U256::from(5),
            proposal_id: U256::from(3),
            submission_window_end: U256::from(120),
            ..Preconfirmation::default()
        }
    }

    fn child() -> Preconfirmation {
        Preconfirmation { block_number: U256::from(8), timestamp: U256::from(101), ..parent() }
    }

    #[test]
    fn a_good_child_follows() {
        assert_eq!(ParentRules::default().check(&parent(), &child()), Ok(())); // C9
    }

    #[test]
    fn each_broken_rule_is_named() {
        // C9
        let n = U256::from;
        let broken = [
            (Preconfirmation { block_number: n(9), ..child() }, ParentRule::BlockNumber),
            (Preconfirmation { block_number: U256::MAX, ..child() }, ParentRule::BlockNumber),
            (Preconfirmation { timestamp: n(100), ..child() }, ParentRule::Timestamp),
            (Preconfirmation { gas_limit: n(30_006_001), ..child() }, ParentRule::GasLimit),
            (Preconfirmation { gas_limit: n(29_993_999), ..child() }, ParentRule::GasLimit),
            (Preconfirmation { gas_limit: U256::MAX, ..child() }, ParentRule::GasLimit),
            (Preconfirmation { anchor_block_number: n(4), ..child() }, ParentRule::Anchor),
            (Preconfirmation { proposal_id: n(2), ..child() }, ParentRule::Proposal),
            (Preconfirmation { submission_window_end: n(119), ..child() }, ParentRule::Window),
        ];
        for (child, rule) in broken {
            assert_eq!(ParentRules::default().check(&parent(), &child), Err(rule));
        }
    }

    #[test]
    fn the_gas_limit_may_move_by_exactly_200_millionths_and_stays_in_range() {
        let rules = ParentRules::default();
        for limit in [30_006_000, 29_994_000] {
            assert_eq!(rules.check(&parent(), &Preconfirmation { gas_limit: U256::from(limit), ..child() }), Ok(()));
        }
        let low = Preconfirmation { gas_limit: U256::from(10_000_000), ..parent() };
        let lower = Preconfirmation { gas_limit: U256::from(9_999_999), ..child() };
        assert_eq!(rules.check(&low, &lower), Err(ParentRule::GasLimit));
    }

    #[test]
    fn a_chain_can_switch_a_rule_off_and_add_its_own() {
        let host = HostRule { name: "same coinbase", holds: |parent, child| parent.coinbase == child.coinbase };
        let rules = ParentRules { timestamp_grows: false, host: vec![host], ..ParentRules::default() };
        let child = Preconfirmation { timestamp: U256::from(1), ..child() };
        assert_eq!(rules.check(&parent(), &child), Ok(()));
        let child = Preconfirmation { coinbase: [1; 20].into(), ..child };
        assert_eq!(rules.check(&parent(), &child), Err(ParentRule::Host("same coinbase")));
    }
}
