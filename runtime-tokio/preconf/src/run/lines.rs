//! What is the next line on stdin?
//!
//! Lines are bounded: a txlist of the gossip cap fits as hex, and what is longer is told as such and skipped, never gathered in memory.

use std::io;

use preconf_core::MAX_GOSSIP_BYTES;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Longest line, in bytes: hex of the largest gossip message, and room for the words around it.
const MAX_LINE_BYTES: usize = 2 * MAX_GOSSIP_BYTES + 4096;

/// Why a line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// Too long.
    #[error("a line of more than {max} bytes")]
    TooLong {
        /// What is allowed.
        max: usize,
    },
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotText,
}

/// Reads lines.
pub(crate) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    too_long: bool,
    max: usize,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// Reads lines from a reader.
    pub(crate) fn new(reader: R) -> Self {
        Self::with_max(reader, MAX_LINE_BYTES)
    }

    fn with_max(reader: R, max: usize) -> Self {
        Self { reader, line: Vec::new(), too_long: false, max }
    }

    /// The next line, or `None` at the end. Cancel safe: what was read of a line stays here.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Result<String, LineError>>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                let nothing = self.line.is_empty() && !self.too_long;
                return Ok(if nothing { None } else { Some(self.take()) });
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let piece = &chunk[..end.unwrap_or(chunk.len())];
            self.too_long |= self.line.len() + piece.len() > self.max;
            if self.too_long {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(piece);
            }
            let taken = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Result<String, LineError> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            return Err(LineError::TooLong { max: self.max });
        }
        String::from_utf8(line).map_err(|_| LineError::NotText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    async fn lines(text: &[u8]) -> Vec<Result<String, LineError>> {
        // A buffer shorter than the lines: every line comes in pieces.
        let mut lines = Lines::with_max(BufReader::with_capacity(3, text), 8);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("memory has no errors") {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn a_last_line_needs_no_end() {
        assert_eq!(lines(b"12345678\n\nab").await, ["12345678", "", "ab"].map(|line| Ok(line.to_owned())));
        assert_eq!(lines(b"").await, []);
    }

    #[tokio::test]
    async fn a_bad_line_spoils_no_other() {
        let expected = [Err(LineError::TooLong { max: 8 }), Ok("ab".to_owned()), Err(LineError::NotText), Ok("c".to_owned())];
        assert_eq!(lines(b"123456789\nab\n\xff\nc\n").await, expected);
    }
}
