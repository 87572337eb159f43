//! Bytes to values and back: containers, frames, names. No state, no judgement.
//!
//! Everything here keeps `decode(encode(x)) == x`, and whatever decodes encodes to the very bytes that came in. Containers have one module a
//! protocol version (`v1` is what `…/preconf/1/…` and the topics of `…/0/…` speak): a later version is a module beside it, not an edit.

pub(crate) mod frame;
pub(crate) mod topics;
pub(crate) mod v1;
