//! What would a part like to have asked, and of whom?
//!
//! A part says what it wants next; it neither chooses a peer nor sends. The machine does, and tells the part what came of it.

use bytes::Bytes;

use crate::id::PeerId;
use crate::request::Purpose;
use crate::wire::topics::Protocol;

/// A request that a part wants sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) protocol: Protocol,
    pub(crate) body: Bytes,
    /// Why, and so who gets the answer.
    pub(crate) purpose: Purpose,
    /// Who is asked before anyone else, if it can be asked.
    pub(crate) prefer: Option<PeerId>,
    /// Who is not asked.
    pub(crate) exclude: Vec<PeerId>,
}
