//! Which inputs does a search start from?
//!
//! Stories, written in Rust and turned into the bytes that tell them: a [`Script`] plays each one while it writes it, so what makes sense
//! at a moment is read as it was meant. Each says how deep it reaches, and `tests/seeds.rs` holds it to that: a change of the machine or of
//! the generators that makes a seed worthless is seen.

mod inputs;
mod machine;

use crate::dice::chosen;
use crate::machine::{Bench, Kind, Material, Move, Reached};

pub use inputs::{Input, inputs};
pub use machine::STORIES;

/// A story of one node.
pub struct Story {
    /// Names its file in the corpus.
    pub name: &'static str,
    /// How the node is configured.
    pub preset: Preset,
    /// What happens.
    pub tell: fn(&mut Script),
    /// How deep it must reach.
    pub reaches: fn(&Reached) -> bool,
}

impl Story {
    /// The input that tells it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut script = Script { bench: Bench::new(self.preset as u8, false), bytes: vec![self.preset as u8] };
        (self.tell)(&mut script);
        script.bytes
    }
}

/// How a node is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Bounds small enough to be met.
    Small = 0,
    /// The protocol's defaults.
    Defaults = 1,
    /// An operator's lists: static and trusted peers, few connections.
    Operated = 2,
    /// A fixed window of requests, and a rule of the host's.
    Host = 3,
    /// Small bounds, and no schedule yet.
    Unscheduled = 4,
}

/// A peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The first.
    Alice,
    /// The second.
    Bob,
    /// The third.
    Carol,
    /// The fourth.
    Dave,
    /// The fifth.
    Erin,
    /// The sixth; trusted where a node is operated.
    Trent,
    /// The seventh; static where a node is operated.
    Sam,
    /// The last; static likewise, known by name only.
    Nick,
}

/// Writes a story down while it plays it.
pub struct Script {
    bench: Bench,
    bytes: Vec<u8>,
}

impl Script {
    fn go(&mut self, kind: Kind, who: Who, which: usize, how: u8) -> &mut Self {
        let which = u8::try_from(which).expect("fewer than 256 things");
        let place = Kind::ALL.iter().position(|of| *of == kind).expect("every kind is listed");
        self.bytes.push(chosen(place, self.bench.makes_sense(kind)));
        self.bytes.push(chosen(who as usize, self.bench.fits(kind, who as usize)));
        self.bytes.extend([which, how]);
        self.bench.make(Move { kind, who: who as u8, which, how });
        self
    }

    /// A peer connects and joins everything.
    fn connect(&mut self, who: Who) -> &mut Self {
        self.go(Kind::Connect, who, 0, 0)
    }

    /// A peer gossips the item with this name.
    fn hears(&mut self, from: Who, name: &str) -> &mut Self {
        self.go(Kind::Commitment, from, Material::get().named(name), 0)
    }

    /// A peer gossips blocks of the chain, and their signers are recovered.
    fn hears_blocks(&mut self, from: Who, numbers: std::ops::RangeInclusive<usize>) -> &mut Self {
        for number in numbers {
            self.go(Kind::Commitment, from, number - 1, 0).works();
        }
        self
    }

    /// A peer gossips txlists of the chain's blocks, and they are hashed.
    fn hears_txlists(&mut self, from: Who, numbers: std::ops::RangeInclusive<usize>) -> &mut Self {
        for number in numbers {
            self.go(Kind::TxList, from, number - 1, 0).works();
        }
        self
    }

    /// All jobs under way come back, oldest first.
    fn works(&mut self) -> &mut Self {
        while !self.bench.jobs.is_empty() {
            self.go(Kind::JobDone, Who::Alice, 0, 0);
        }
        self
    }

    /// Every request of ours is answered well, and what comes of that too.
    fn is_answered(&mut self) -> &mut Self {
        while !self.bench.sent.is_empty() || !self.bench.jobs.is_empty() {
            if self.bench.jobs.is_empty() {
                self.go(Kind::Answer, Who::Alice, 0, 0);
            }
            self.works();
        }
        self
    }

    /// Everything that our own application published gets out.
    fn gets_out(&mut self) -> &mut Self {
        while !self.bench.publishes.is_empty() {
            self.go(Kind::Published, Who::Alice, 0, 0);
        }
        self
    }

    /// A wait, by its place in the list of waits.
    fn waits(&mut self, wait: Wait) -> &mut Self {
        self.go(Kind::Wait, Who::Alice, wait as usize, 0)
    }

    /// How many items there are.
    fn items(&self) -> usize {
        Material::get().items.len()
    }

    /// The place of the item with this name.
    fn place(&self, name: &str) -> usize {
        Material::get().named(name)
    }
}

/// How long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "the whole list, so that places stay true")]
enum Wait {
    ToDeadline,
    ToRightBefore,
    Ms100,
    Ms400,
    Second,
    Secs3,
    Secs10,
    Secs30,
    Minute,
    Mins10,
    Hour,
    Year,
}
