//! What does an entry of a table cost in memory (P10.3)?
//!
//! Each part counts its own tables by it; `bounds` sums them up.

use crate::time::{Time, Timer};

/// What one entry of a B-tree costs: nodes may be half empty.
pub(crate) const fn entry<K, V>() -> usize {
    2 * (size_of::<K>() + size_of::<V>())
}

/// A deadline.
pub(crate) const TIMER: usize = 2 * entry::<Timer, Time>();
