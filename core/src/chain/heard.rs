//! What has each elected signer said lately (P5.9b)?
//!
//! A key that is at work at two hosts must not say two things. What was heard of it binds ours, also where it has left the chain again, was
//! never linked, or is held no longer: whoever kept it can prove the contradiction.

use std::collections::BTreeMap;

use alloy_primitives::Address;

use crate::cost::entry;
use crate::publish::committed::{Said, contradicts_in_window};

/// Words that are remembered, of the latest windows. Ours: more than the commitments kept (3840), and it takes an elected signer to say one.
const MAX_HEARD: usize = 4096;

/// The first word of each elected signer at each number of a window.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Heard {
    words: BTreeMap<(u64, u64, Address), Said>,
}

impl Heard {
    /// The most bytes that it holds.
    pub(crate) const MAX_BYTES: usize = MAX_HEARD * entry::<(u64, u64, Address), Said>();

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * entry::<(u64, u64, Address), Said>()
    }

    /// A signer who is elected in the window has said this. The oldest windows are forgotten first.
    pub(crate) fn note(&mut self, signer: Address, (window_end, number): (u64, u64), said: Said) {
        self.words.entry((window_end, number, signer)).or_insert(said);
        if self.words.len() > MAX_HEARD {
            self.words.pop_first();
        }
    }

    /// Has it said something that no honest preconfer says beside this?
    pub(crate) fn contradicts(&self, signer: Address, position: (u64, u64), said: Said) -> bool {
        contradicts_in_window(&self.words, |said| *said, signer, position, said)
    }
}
