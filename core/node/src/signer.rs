//! Who signs our commitments?
//!
//! The machine never sees a secret: its host signs what it publishes, with a key of its own or by asking somebody who has it. A [`Signer`]
//! fetches a signature and nothing more. [`sign_commitment`] checks it, whoever it came from, so that what is published is signed by whom it
//! says, in the one form that others take (P4.3, P4.4).
//!
//! Each signature is a promise that a contract may judge, and two of them for one block are a fault (C8). The machine remembers what it
//! published (P5.9), not what was signed: a signer that looks at what it signs, and remembers, is a second fence.

use std::error::Error;
use std::fmt;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use preconf_core::{Address, B256, PreconfCommitment, SecretKey, SignedCommitment, address_of, is_high_s, recover, sign, signing_hash};

/// What a signer says when it gives no signature; its own error, whatever it is.
pub type SignerError = Box<dyn Error + Send + Sync>;

/// What is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    /// The 32 bytes that are signed as they are, without a prefix (P4.2).
    pub hash: B256,
    /// What they are the hash of, so that a signer can judge what it promises.
    pub commitment: PreconfCommitment,
    /// The chain's signing domain, which is in the hash too.
    pub domain: B256,
}

impl SigningRequest {
    /// A request for this commitment under this domain.
    pub fn new(commitment: PreconfCommitment, domain: B256) -> Self {
        let unsigned = SignedCommitment::new(commitment.clone(), [0; 65]);
        Self { hash: signing_hash(&unsigned, domain), commitment, domain }
    }
}

/// Has a secret, or knows who has it.
///
/// ```
/// use futures::executor::block_on;
/// use preconf_node::preconf_core::{DEFAULT_DOMAIN, PreconfCommitment, SecretKey, recover};
/// use preconf_node::{LocalSigner, Signer, sign_commitment};
///
/// let signer = LocalSigner::new(SecretKey::from_secret_bytes([1; 32])?);
/// let signed = block_on(sign_commitment(&signer, PreconfCommitment::default(), DEFAULT_DOMAIN))?;
/// assert_eq!(recover(&signed, DEFAULT_DOMAIN), Some(signer.address()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Signer: Send + Sync {
    /// Whose signatures these are.
    fn address(&self) -> Address;

    /// Fetches the signature of [`SigningRequest::hash`]: `r ‖ s ‖ v`, low *s*, *v* 0 or 1, or 27 or 28 as wallets have it. How long that may
    /// take is the signer's to bound.
    fn sign(&self, request: SigningRequest) -> BoxFuture<'_, Result<[u8; 65], SignerError>>;
}

/// Why a commitment is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The signer gives no signature.
    #[error("{address} does not sign: {error}")]
    Refused {
        /// Who was asked.
        address: Address,
        /// What the signer says.
        error: SignerError,
    },
    /// The signature has the form that others do not take (P4.4).
    #[error("the signature of {address} has a high s, which others do not take: its signer must give the low one (P4.4)")]
    HighS {
        /// Who was asked.
        address: Address,
    },
    /// The bytes are no signature.
    #[error("what {address} gave is no signature r ‖ s ‖ v (v = {v}; allowed is 0, 1, 27 or 28)")]
    NoSignature {
        /// Who was asked.
        address: Address,
        /// The last byte.
        v: u8,
    },
    /// Somebody else's signature, or one of something else.
    #[error("the signature is not of {expected} but of {found}: another key signed, or another hash than the 32 bytes as they are")]
    WrongSigner {
        /// Who was asked.
        expected: Address,
        /// Who comes out of it.
        found: Address,
    },
}

/// Has a commitment signed, and checks the signature.
///
/// # Errors
/// The signer gives none, or one that others would not take from it.
pub async fn sign_commitment(signer: &dyn Signer, commitment: PreconfCommitment, domain: B256) -> Result<SignedCommitment, SignError> {
    let address = signer.address();
    let request = SigningRequest::new(commitment.clone(), domain);
    let mut signature = signer.sign(request).await.map_err(|error| SignError::Refused { address, error })?;
    let v = signature[64];
    signature[64] = if let 27 | 28 = v { v - 27 } else { v };
    let signed = SignedCommitment::new(commitment, signature);
    if is_high_s(&signed) {
        return Err(SignError::HighS { address });
    }
    match recover(&signed, domain) {
        Some(found) if found == address => Ok(signed),
        Some(found) => Err(SignError::WrongSigner { expected: address, found }),
        None => Err(SignError::NoSignature { address, v }),
    }
}

/// A key in this process's memory: for development, and for those who accept that.
pub struct LocalSigner {
    secret: SecretKey,
}

impl LocalSigner {
    /// Signs with a secret.
    pub fn new(secret: SecretKey) -> Self {
        Self { secret }
    }
}

impl Signer for LocalSigner {
    fn address(&self) -> Address {
        address_of(&self.secret)
    }

    fn sign(&self, SigningRequest { commitment, domain, .. }: SigningRequest) -> BoxFuture<'_, Result<[u8; 65], SignerError>> {
        ready(Ok(*sign(commitment, &self.secret, domain).signature())).boxed()
    }
}

impl fmt::Debug for LocalSigner {
    /// The address, never the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSigner").field("address", &format_args!("{}", self.address())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use preconf_core::DEFAULT_DOMAIN;

    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_secret_bytes([1; 32]).expect("a secret")
    }

    /// Whose signature is what a test makes of the right one.
    struct Faulty<F>(F);

    impl<F: Fn([u8; 65]) -> Result<[u8; 65], SignerError> + Send + Sync> Signer for Faulty<F> {
        fn address(&self) -> Address {
            address_of(&key())
        }

        fn sign(&self, request: SigningRequest) -> BoxFuture<'_, Result<[u8; 65], SignerError>> {
            assert_eq!(SigningRequest::new(request.commitment.clone(), request.domain), request);
            let right = *sign(request.commitment, &key(), request.domain).signature();
            ready((self.0)(right)).boxed()
        }
    }

    fn sign_by(fault: impl Fn([u8; 65]) -> Result<[u8; 65], SignerError> + Send + Sync) -> Result<SignedCommitment, SignError> {
        block_on(sign_commitment(&Faulty(fault), PreconfCommitment::default(), DEFAULT_DOMAIN))
    }

    #[test]
    fn a_good_signature_is_taken_with_the_v_of_the_protocol_or_of_wallets() {
        let right = sign_by(Ok).expect("signed");
        assert_eq!(right, sign(PreconfCommitment::default(), &key(), DEFAULT_DOMAIN));
        let as_wallets_do = |mut signature: [u8; 65]| {
            signature[64] += 27;
            Ok(signature)
        };
        assert_eq!(sign_by(as_wallets_do).expect("signed"), right);
    }

    #[test]
    fn p4_4_a_high_s_is_refused_though_it_is_of_the_right_signer() {
        /// The order of secp256k1. Source: SEC 2.
        const ORDER: [u8; 32] = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf,
            0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
        ];
        let twin = |mut signature: [u8; 65]| {
            let mut borrow = 0;
            for n in (0..32).rev() {
                let digit = i16::from(ORDER[n]) - i16::from(signature[32 + n]) - borrow;
                borrow = i16::from(digit < 0);
                signature[32 + n] = digit.rem_euclid(256) as u8;
            }
            signature[64] ^= 1;
            Ok(signature)
        };
        assert!(matches!(sign_by(twin), Err(SignError::HighS { address }) if address == address_of(&key())));
    }

    #[test]
    fn p4_3_whose_signature_it_is_is_checked() {
        let other = SecretKey::from_secret_bytes([2; 32]).expect("a secret");
        let of_other = sign(PreconfCommitment::default(), &other, DEFAULT_DOMAIN);
        let result = sign_by(|_| Ok(*of_other.signature()));
        assert!(matches!(result, Err(SignError::WrongSigner { found, .. }) if found == address_of(&other)));
        let elsewhere = sign(PreconfCommitment::default(), &key(), B256::ZERO);
        assert!(sign_by(|_| Ok(*elsewhere.signature())).is_err(), "under another domain");
        assert!(matches!(sign_by(|_| Ok([0; 65])), Err(SignError::NoSignature { v: 0, .. })));
        let wrong_v = |mut signature: [u8; 65]| {
            signature[64] = 29;
            Ok(signature)
        };
        assert!(matches!(sign_by(wrong_v), Err(SignError::NoSignature { v: 29, .. })));
    }

    #[test]
    fn a_signer_that_gives_none_says_why() {
        let error = sign_by(|_| Err("out of office".into())).expect_err("none");
        assert_eq!(error.to_string(), format!("{} does not sign: out of office", address_of(&key())));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let printed = format!("{:?}", LocalSigner::new(key()));
        assert!(printed.contains(&address_of(&key()).to_string()) && !printed.contains(&"01".repeat(8)), "{printed}");
    }
}
