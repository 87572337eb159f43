//! How is a text read that somebody names on the command line?

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is far too long to be what it should.
    #[error("{} is longer than {max_bytes} bytes, many times what such a file has", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound.
        max_bytes: u64,
    },
}

/// Reads a file, or stdin for "-", up to a bound.
pub(crate) fn load(path: &Path, max_bytes: u64) -> Result<String, FileError> {
    let mut text = String::new();
    let read = |reader: &mut dyn Read, text: &mut String| reader.take(max_bytes.saturating_add(1)).read_to_string(text);
    let result = if path.as_os_str() == "-" {
        read(&mut io::stdin().lock(), &mut text)
    } else {
        File::open(path).and_then(|mut file| read(&mut file, &mut text))
    };
    let len = result.map_err(|error| FileError::Read { path: path.to_owned(), error })?;
    if len as u64 > max_bytes { Err(FileError::TooLong { path: path.to_owned(), max_bytes }) } else { Ok(text) }
}
