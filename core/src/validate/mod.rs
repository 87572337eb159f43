//! The rules of PROTOCOL.md §5 as pure functions, each in the file of the question it answers.
//!
//! One module a protocol version: a later version is a module beside `v1`, and whoever judges chooses by the version of the bytes. Nothing in
//! `v1` changes for it.

pub(crate) mod v1;
