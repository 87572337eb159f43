//! The preconfirmation node on async-std: **not built yet**. This crate holds its place in the layout; use `preconf-tokio`.
