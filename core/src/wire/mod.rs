//! Bytes to values and back: containers, frames, names. No state, no judgement.
//!
//! Everything here keeps `decode(encode(x)) == x`, and whatever decodes encodes to the very bytes that came in.

pub(crate) mod frame;
pub(crate) mod messages;
pub(crate) mod topics;
