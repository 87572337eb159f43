//! What is wrong with a configuration?
//!
//! Apart from the configuration itself, so that whoever checks a part of it needs not know the whole.

/// A configuration that no node can start with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: allowed is {allowed}")]
pub struct ConfigError {
    /// The key.
    pub key: &'static str,
    /// Its value, as text.
    pub value: String,
    /// What is allowed, in words.
    pub allowed: &'static str,
}
