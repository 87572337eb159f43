//! How does evidence travel from who found it to who must be convinced (P5.4)?
//!
//! As one JSON object that holds all that a verifier needs: what is said to be proven, the chain's signing domain, and both commitments
//! byte for byte as they came from the wire. Nothing in it is believed: signers, numbers and hashes are computed from the bytes.
//!
//! ```json
//! {"format": "preconf-evidence", "version": 1, "fault": "equivocation", "domain": "0x…", "first": "0x…", "second": "0x…"}
//! ```
//!
//! `P5.4` and its like are rules of the protocol; [`preconf_core::protocol`] has the text of every one.
//!
//! A crate of its own, because the core knows no JSON, and whoever watches preconfers should not need a node or a runtime to read this.

#![cfg_attr(docsrs, feature(doc_cfg))]

use preconf_core::{B256, DecodeError, Evidence, Fault, NoProof, Proof, SignedCommitment};
use serde::{Deserialize, Serialize, de};

/// What `format` says.
const FORMAT: &str = "preconf-evidence";
/// The only version there is. Ours: another set of fields gets another number.
const VERSION: u32 = 1;

/// Evidence, and the signing domain under which it counts (P4.2).
///
/// The domain is the finder's word. A bundle under another domain than one's own chain's proves nothing about that chain, so compare it.
///
/// ```
/// use preconf_bundle::Bundle;
/// # use preconf_core::{DEFAULT_DOMAIN, Evidence, Fault, PreconfCommitment, SecretKey, sign};
/// # let key = SecretKey::from_secret_bytes([1; 32]).unwrap();
/// # let (one, mut other) = (PreconfCommitment::default(), PreconfCommitment::default());
/// # other.preconf.eop = true;
/// # let (first, second) = (sign(one, &key, DEFAULT_DOMAIN), sign(other, &key, DEFAULT_DOMAIN));
/// # let evidence = Evidence { fault: Fault::Equivocation, first, second };
/// let text = Bundle { domain: DEFAULT_DOMAIN, evidence }.to_json().to_string();
/// let bundle: Bundle = text.parse()?;
/// println!("{}", bundle.verify()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The signing domain.
    pub domain: B256,
    /// The evidence.
    pub evidence: Evidence,
}

/// What is no bundle. That a bundle proves nothing is another matter: [`NoProof`].
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not JSON, or other fields than a bundle's.
    #[error("not the JSON of a bundle: {0}")]
    Json(#[from] serde_json::Error),
    /// A format or version that is not known here.
    #[error("{found:?} is not known here; expected is {FORMAT:?} version {VERSION}")]
    Format {
        /// Format and version that it claims.
        found: String,
    },
    /// An unknown fault.
    #[error("{found:?} is no fault; there are equivocation, block_after_eop and broken_link")]
    Fault {
        /// What it claims.
        found: String,
    },
    /// A field that is not hex digits of the right number.
    #[error("{field}: {len_bytes} bytes are expected as hex digits, with or without 0x")]
    Hex {
        /// The field.
        field: &'static str,
        /// How many bytes it should hold.
        len_bytes: usize,
    },
    /// Bytes that are no commitment.
    #[error("{field}: no signed commitment: {error}")]
    Commitment {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: DecodeError,
    },
}

/// The fields as they stand in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    format: String,
    version: u32,
    fault: String,
    domain: String,
    first: String,
    second: String,
}

impl Bundle {
    /// Is the fault proven under the bundle's own domain?
    ///
    /// # Errors
    /// Why nothing is proven.
    pub fn verify(&self) -> Result<Proof, NoProof> {
        self.evidence.verify(self.domain)
    }

    /// Writes it.
    pub fn to_json(&self) -> serde_json::Value {
        let Self { domain, evidence: Evidence { fault, first, second } } = self;
        serde_json::json!({
            "format": FORMAT,
            "version": VERSION,
            "fault": fault.label(),
            "domain": domain.to_string(),
            "first": text(first.as_bytes()),
            "second": text(second.as_bytes()),
        })
    }

    /// Reads it, strictly.
    ///
    /// # Errors
    /// What is not as a bundle should be.
    pub fn from_json(value: serde_json::Value) -> Result<Self, BundleError> {
        if !value.is_object() {
            // A derived reader would take an array of the values too.
            return Err(BundleError::Json(de::Error::custom("an object is expected")));
        }
        let form: Form = serde_json::from_value(value)?;
        if (form.format.as_str(), form.version) != (FORMAT, VERSION) {
            return Err(BundleError::Format { found: format!("{} version {}", form.format, form.version) });
        }
        let fault = Fault::from_label(&form.fault).ok_or(BundleError::Fault { found: form.fault })?;
        let domain = B256::new(array("domain", &form.domain)?);
        let (first, second) = (commitment("first", &form.first)?, commitment("second", &form.second)?);
        Ok(Self { domain, evidence: Evidence { fault, first, second } })
    }
}

impl std::str::FromStr for Bundle {
    type Err = BundleError;

    fn from_str(text: &str) -> Result<Self, BundleError> {
        Self::from_json(serde_json::from_str(text)?)
    }
}

fn text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn commitment(field: &'static str, text: &str) -> Result<SignedCommitment, BundleError> {
    let bytes: [u8; preconf_core::SIGNED_COMMITMENT_BYTES] = array(field, text)?;
    SignedCommitment::decode(&bytes).map_err(|error| BundleError::Commitment { field, error })
}

fn array<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], BundleError> {
    let mut bytes = [0; N];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| BundleError::Hex { field, len_bytes: N })?;
    Ok(bytes)
}

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
