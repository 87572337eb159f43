//! Why can a trace not be read, or not be replayed?

use std::io;

use preconf_core::{B256, ConfigError};

/// What is wrong with bytes of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The length of a record does not fit its own check.
    #[error("its length is damaged")]
    Length,
    /// The bytes of a record do not fit its checksum, or a record is missing before it.
    #[error("its checksum is another one than its bytes have")]
    Checksum,
    /// A value that goes on behind the record's end.
    #[error("it ends in the middle of a value")]
    Short,
    /// Bytes that are no value of its type: a tag that names nothing, a number beyond its type, a length that does not fit.
    #[error("its bytes are no value of their type")]
    Value,
    /// Bytes that read as a value which has other bytes, such as a number that is longer than need be.
    #[error("a value is not written as it should be")]
    NotCanonical,
    /// A record of no known kind.
    #[error("no record has the tag {tag}")]
    Tag {
        /// The tag.
        tag: u8,
    },
    /// A trailer that counts other steps than came before it.
    #[error("it counts {told} steps, and {read} came before it")]
    Steps {
        /// What it says.
        told: u64,
        /// How many there are.
        read: u64,
    },
    /// Bytes behind the trailer.
    #[error("bytes follow it, and it is the end")]
    NotTheEnd,
    /// Bytes behind the last value.
    #[error("{bytes} bytes are left over")]
    Leftover {
        /// How many.
        bytes: usize,
    },
}

/// Why a trace cannot be read on, or not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It does not start as a trace does.
    #[error("no trace: it does not start with the bytes of one")]
    NotATrace,
    /// It was written in another version of the format.
    #[error("a trace of format version {found}; this program reads version {known}")]
    Version {
        /// The trace's version.
        found: u16,
        /// The version that is understood here.
        known: u16,
    },
    /// It ends before its header does.
    #[error("cut within its header: there is nothing to replay")]
    NoHeader,
    /// Bytes that nobody wrote so.
    #[error("corrupt at byte {offset}, in step {step}: {flaw}")]
    Corrupt {
        /// Where the record begins, in bytes from the start of the trace.
        offset: u64,
        /// The step that it would be; 0 is the header.
        step: u64,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// No machine starts with the recorded configuration.
    #[error("no machine starts with the recorded configuration: {0}")]
    Config(#[from] ConfigError),
    /// It begins with a machine amid its life, and that cannot be.
    #[error("no machine goes on from the snapshot that it begins with: {reason}")]
    Snapshot {
        /// Why not.
        reason: String,
    },
    /// A txlist that its snapshot names is not there, or has other bytes.
    #[error("txlist {hash}, which its snapshot names, is missing or damaged; it lies beside the segments, in the folder txlists")]
    TxList {
        /// Which.
        hash: B256,
    },
    /// The recorded node had a parent rule of its host's that is not given.
    #[error("the recorded host had the parent rule {name:?}, which is not given to the replay")]
    HostRule {
        /// The rule's name.
        name: String,
    },
}
