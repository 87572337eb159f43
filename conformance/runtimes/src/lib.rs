//! Do the nodes of both runtimes behave alike? The tests say; and the README's loop is a doctest of this package, which alone is never packed
//! and so may read a file from outside its folder.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
