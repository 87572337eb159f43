//! What is tokio's own about a start? The rest of a node's life is in conformance/runtimes/tests/both_runtimes, the same for every runtime.

use preconf_tokio::preconf_core::{ChainId, Config};
use preconf_tokio::{Keypair, NetworkConfig, StartError};

#[test]
fn outside_of_a_runtime_the_start_fails_instead_of_panicking() {
    let config = NetworkConfig::new(Config::new(ChainId(167_000)), Keypair::generate_secp256k1());
    let error = preconf_tokio::node(config).map(drop).expect_err("no runtime");
    assert!(matches!(error, StartError::NoRuntime { runtime: "tokio", .. }), "{error:?}");
    assert!(error.to_string().contains("`#[tokio::main]`"), "what to do: {error}");
}
