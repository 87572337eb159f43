//! What happens next on the net?

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::connection::Side;

/// Something that happens to a connection. Connections are named by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A dial arrives.
    Knock(usize),
    /// Its answer arrives.
    Answer(usize),
    /// It comes to nothing, unless it has been answered.
    DialFails(usize, io::ErrorKind),
    /// The oldest segment that this side sent arrives.
    Data(usize, Side),
    /// This side will send no more.
    End(usize, Side),
    /// Somebody refuses to go on.
    Reset(usize),
    /// Is what this side sent into a cut still held, and into the same cut: the so-many-eth that held it up?
    StillHeld(usize, Side, u64),
}

#[derive(Debug)]
struct Entry {
    at: u64,
    /// What was pushed first happens first.
    order: u64,
    event: Event,
}

impl Entry {
    fn key(&self) -> (u64, u64) {
        (self.at, self.order)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Events by time, and by the order in which they were pushed.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    pushed: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: u64, event: Event) {
        self.pushed += 1;
        self.heap.push(Reverse(Entry { at, order: self.pushed, event }));
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn pop_due(&mut self, now: u64) -> Option<(u64, Event)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}
