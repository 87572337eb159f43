//! A signer that is a command: what stands between this program and a key that it must not have.
//!
//! The command is run for each signature. On stdin it gets one line of JSON: `hash`, the 32 bytes to sign as they are, `signer`, the address
//! that must come out, `domain`, and `commitment`, so that it can judge what it promises. On stdout it answers the signature's 65 bytes as hex
//! and nothing else. What it says on stderr is seen, and its status must be 0. Whatever it answers is checked by
//! [`sign_commitment`](preconf_tokio::sign_commitment).

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use preconf_core::Address;
use preconf_tokio::{Signer, SignerError, SigningRequest};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::{hexes, json};

/// Longest answer that is read. Ours: many times a signature's 132 characters.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Why a command gives no signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// It cannot be run.
    #[error("--signer-command cannot be run: {0}")]
    Start(io::Error),
    /// Its answer cannot be read.
    #[error("cannot read what --signer-command answers: {0}")]
    Read(io::Error),
    /// It took too long.
    #[error("--signer-command has not answered within {0:?}, as --signer-timeout allows; it is ended")]
    Slow(Duration),
    /// It failed.
    #[error("--signer-command failed with {0}")]
    Failed(ExitStatus),
    /// It said far too much.
    #[error("--signer-command answered more than {MAX_ANSWER_BYTES} bytes; allowed is the hex of a signature's 65")]
    TooLong,
    /// It said something else.
    #[error("--signer-command answered no signature ({0}); allowed is the hex of 65 bytes r ‖ s ‖ v")]
    Content(hexes::HexError),
}

/// Asks a command.
#[derive(Debug)]
pub(crate) struct SignerCommand {
    command: String,
    address: Address,
    limit: Duration,
}

impl SignerCommand {
    /// A signer that is asked by this command line, and must answer within this time.
    pub(crate) fn new(command: String, address: Address, limit: Duration) -> Self {
        Self { command, address, limit }
    }

    async fn ask(&self, request: SigningRequest) -> Result<[u8; 65], CommandError> {
        let question = json!({
            "hash": hexes::text(request.hash.as_slice()),
            "signer": self.address.to_string(),
            "domain": request.domain.to_string(),
            "commitment": json::unsigned(&request.commitment),
        });
        let (status, answer) = tokio::time::timeout(self.limit, talk(&self.command, format!("{question}\n")))
            .await
            .map_err(|_| CommandError::Slow(self.limit))??;
        if !status.success() {
            return Err(CommandError::Failed(status));
        }
        if answer.len() as u64 > MAX_ANSWER_BYTES {
            return Err(CommandError::TooLong);
        }
        hexes::array(String::from_utf8_lossy(&answer).trim()).map_err(CommandError::Content)
    }
}

impl Signer for SignerCommand {
    fn address(&self) -> Address {
        self.address
    }

    fn sign(&self, request: SigningRequest) -> BoxFuture<'_, Result<[u8; 65], SignerError>> {
        async move { Ok(self.ask(request).await?) }.boxed()
    }
}

/// Runs a command line to its end, or kills it when this is dropped.
async fn talk(command: &str, question: String) -> Result<(ExitStatus, Vec<u8>), CommandError> {
    let mut shell = shell(command);
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(CommandError::Start)?;
    let (mut stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let tell = async move {
        let _ = stdin.write_all(question.as_bytes()).await; // one that does not listen may answer all the same
    };
    let mut answer = Vec::new();
    let hear = async {
        let mut stdout = stdout.take(MAX_ANSWER_BYTES + 1); // dropped behind it, so that one that says more ends
        stdout.read_to_end(&mut answer).await
    };
    let ((), heard) = futures::join!(tell, hear);
    heard.map_err(CommandError::Read)?;
    if answer.len() as u64 > MAX_ANSWER_BYTES {
        return Err(CommandError::TooLong);
    }
    let status = child.wait().await.map_err(CommandError::Read)?;
    Ok((status, answer))
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command);
    shell
}

#[cfg(not(unix))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.arg("/C").arg(command);
    shell
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use preconf_core::{DEFAULT_DOMAIN, PreconfCommitment};

    use super::*;

    async fn ask(command: &str) -> Result<[u8; 65], CommandError> {
        let signer = SignerCommand::new(command.to_owned(), Address::ZERO, Duration::from_secs(20));
        signer.ask(SigningRequest::new(PreconfCommitment::default(), DEFAULT_DOMAIN)).await
    }

    #[tokio::test]
    async fn the_question_is_a_line_of_json_and_the_answer_hex() {
        let hash = SigningRequest::new(PreconfCommitment::default(), DEFAULT_DOMAIN).hash;
        // Answers the hash twice and a last byte.
        let command = r#"read line; hash=$(echo "$line" | sed 's/.*"hash":"\(0x\)\{0,1\}\([0-9a-f]*\)".*/\2/'); echo " 0x$hash${hash}1b ""#;
        let signature = ask(command).await.expect("an answer");
        assert_eq!((&signature[..32], &signature[32..64], signature[64]), (hash.as_slice(), hash.as_slice(), 27));
    }

    #[tokio::test]
    async fn one_that_does_not_listen_may_answer() {
        assert_eq!(ask(&format!("exec 0<&-; echo {}", "11".repeat(65))).await.expect("an answer"), [0x11; 65]);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told() {
        assert!(matches!(ask("cat >/dev/null; exit 3").await, Err(CommandError::Failed(status)) if status.code() == Some(3)));
        assert!(matches!(
            ask("cat >/dev/null; echo 0x11").await,
            Err(CommandError::Content(hexes::HexError::Length { len: 1, expected: 65 }))
        ));
        assert!(matches!(ask("cat >/dev/null; echo no").await, Err(CommandError::Content(hexes::HexError::Digits(_)))));
        assert!(matches!(ask("exec yes").await, Err(CommandError::TooLong)));
        let missing = ask("exec /no/such/signer 2>/dev/null").await;
        assert!(matches!(missing, Err(CommandError::Failed(_))), "{missing:?}");
    }

    #[tokio::test]
    async fn one_that_never_answers_is_ended() {
        let (begun, limit) = (Instant::now(), Duration::from_millis(300));
        let signer = SignerCommand::new("exec sleep 600".to_owned(), Address::ZERO, limit);
        let error = signer.ask(SigningRequest::new(PreconfCommitment::default(), DEFAULT_DOMAIN)).await.expect_err("no answer");
        assert!(matches!(error, CommandError::Slow(after) if after == limit));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
