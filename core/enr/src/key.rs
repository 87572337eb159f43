//! Which key signs a node's record?

use enr::CombinedKey;
use libp2p_identity::Keypair;

/// Why an identity signs no record.
#[derive(Debug, thiserror::Error)]
#[error("a node record wants a secp256k1 identity, this one is {kind}; `preconf key new` makes one that fits")]
pub struct KeyError {
    /// What the identity is.
    kind: libp2p_identity::KeyType,
}

/// The key of an identity's record: the same secret.
///
/// # Errors
/// The identity is of another kind than secp256k1.
pub fn record_key(identity: &Keypair) -> Result<CombinedKey, KeyError> {
    let refused = || KeyError { kind: identity.key_type() };
    let secp = identity.clone().try_into_secp256k1().map_err(|_| refused())?;
    let mut secret = secp.secret().to_bytes();
    CombinedKey::secp256k1_from_bytes(&mut secret).map_err(|_| refused()) // wipes the bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_of_another_kind_is_refused_with_its_kind() {
        let error = record_key(&Keypair::generate_ed25519()).err().expect("no secp256k1");
        assert!(error.to_string().contains("Ed25519"), "{error}");
    }
}
