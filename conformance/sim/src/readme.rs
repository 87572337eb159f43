//! Does the README's loop compile and run? Its Rust blocks are doctests of this crate.

#[doc = include_str!("../../../README.md")]
struct Readme;
