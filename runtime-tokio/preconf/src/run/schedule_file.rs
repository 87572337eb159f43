//! What does the schedule file say?
//!
//! A JSON array of `{"start", "end", "preconfer", "settled" or "settled_at"?}` in ascending order. What is wrong is told with file, line and what is allowed,
//! so every rule is checked while its line is being read.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use preconf_core::{MAX_WINDOWS, Window};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::hexes;

/// What a window looks like.
const SHAPE: &str = r#"an array of {"start": SECONDS, "end": SECONDS, "preconfer": "0x… (20 bytes)", "settled": true or false (default true), or "settled_at": SECONDS}"#;

/// Why there is no schedule.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScheduleFileError {
    /// The file cannot be read.
    #[error("cannot read the schedule file {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It says something else.
    #[error("{}:{}:{}: {error}; allowed is {SHAPE}", path.display(), error.line(), error.column())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: serde_json::Error,
    },
}

/// Reads a schedule file.
pub(crate) fn load(path: &Path) -> Result<Vec<Window>, ScheduleFileError> {
    let text = fs::read_to_string(path).map_err(|error| ScheduleFileError::Read { path: path.to_owned(), error })?;
    parse(&text).map_err(|error| ScheduleFileError::Content { path: path.to_owned(), error })
}

fn parse(text: &str) -> Result<Vec<Window>, serde_json::Error> {
    serde_json::from_str::<Windows>(text).map(|windows| windows.0)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowForm {
    start: u64,
    end: u64,
    preconfer: String,
    settled: Option<bool>,
    settled_at: Option<u64>,
}

/// Windows in order, each checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Windows(pub(super) Vec<Window>);

impl<'de> Deserialize<'de> for Windows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(WindowsVisitor).map(Self)
    }
}

struct WindowsVisitor;

impl<'de> Visitor<'de> for WindowsVisitor {
    type Value = Vec<Window>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHAPE)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut windows: Vec<Window> = Vec::new();
        while let Some(CheckedWindow(window)) = seq.next_element()? {
            let ends = windows.last().map_or(0, |last| last.end);
            if window.start < ends {
                let start = window.start;
                return Err(de::Error::custom(format_args!("the window starts at {start}, before the one above ends at {ends}")));
            }
            if windows.len() == MAX_WINDOWS {
                return Err(de::Error::custom(format_args!("more than {MAX_WINDOWS} windows")));
            }
            windows.push(window);
        }
        Ok(windows)
    }
}

struct CheckedWindow(Window);

impl<'de> Deserialize<'de> for CheckedWindow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WindowForm { start, end, preconfer, settled, settled_at } = deserializer.deserialize_map(WindowVisitor)?;
        let preconfer =
            hexes::address(&preconfer).map_err(|error| de::Error::custom(format_args!("preconfer = {preconfer:?}: {error}")))?;
        if end <= start {
            return Err(de::Error::custom(format_args!("end = {end}: must be greater than start = {start}")));
        }
        let settled_at = match (settled, settled_at) {
            (Some(settled), Some(at)) => {
                let both = format_args!("settled = {settled} and settled_at = {at}: give one of them");
                return Err(de::Error::custom(both));
            }
            (None, Some(at)) => Some(at),
            (Some(true) | None, None) => Some(0), // an operator who writes a schedule by hand means it
            (Some(false), None) => None,
        };
        Ok(Self(Window { start, end, preconfer, settled_at }))
    }
}

/// Reads an object only: a derived reader would take an array of the values too, in whatever order the fields stand above.
struct WindowVisitor;

impl<'de> Visitor<'de> for WindowVisitor {
    type Value = WindowForm;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        WindowForm::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preconf_core::Address;

    const WHO: &str = "0x0101010101010101010101010101010101010101";

    fn error(text: &str) -> String {
        let error = parse(text).expect_err("a bad schedule");
        ScheduleFileError::Content { path: "s.json".into(), error }.to_string()
    }

    #[test]
    fn windows_are_settled_unless_they_say_otherwise() {
        let text = format!(
            r#"[{{"start": 1, "end": 2, "preconfer": "{WHO}"}}, {{"start": 2, "end": 9, "preconfer": "{WHO}", "settled": false}}]"#
        );
        let preconfer = Address::repeat_byte(1);
        let expected =
            [Window { start: 1, end: 2, preconfer, settled_at: Some(0) }, Window { start: 2, end: 9, preconfer, settled_at: None }];
        assert_eq!(parse(&text).expect("a schedule"), expected);
    }

    #[test]
    fn p9_1_a_window_may_say_when_it_was_settled_but_not_twice() {
        let window = |rest: &str| format!(r#"[{{"start": 1, "end": 2, "preconfer": "{WHO}", {rest}}}]"#);
        assert_eq!(parse(&window(r#""settled_at": 77"#)).expect("a schedule")[0].settled_at, Some(77));
        let both = error(&window(r#""settled": true, "settled_at": 77"#));
        assert!(both.contains("settled = true and settled_at = 77: give one of them"), "{both}");
    }

    #[test]
    fn a_mistake_is_told_with_its_file_and_line() {
        let text = format!(
            "[\n{{\"start\": 1, \"end\": 5, \"preconfer\": \"{WHO}\"}},\n{{\"start\": 4, \"end\": 9, \"preconfer\": \"{WHO}\"}}\n]"
        );
        let overlap = error(&text);
        assert!(overlap.starts_with("s.json:3:") || overlap.starts_with("s.json:4:"), "{overlap}");
        assert!(overlap.contains("the window starts at 4, before the one above ends at 5"), "{overlap}");
        let empty = error(&format!("[\n\n{{\"start\": 5, \"end\": 5, \"preconfer\": \"{WHO}\"}}]"));
        assert!(empty.starts_with("s.json:3:") && empty.contains("end = 5: must be greater than start = 5"), "{empty}");
        assert!(error(r#"[{"start": 1, "end": 2, "preconfer": "0x01"}]"#).contains("1 bytes where 20 are expected"));
    }

    #[test]
    fn an_unknown_field_is_a_mistake() {
        let text = format!(r#"[{{"start": 1, "end": 2, "preconfer": "{WHO}", "setled": false}}]"#);
        assert!(error(&text).contains("unknown field `setled`"), "{}", error(&text));
        assert!(error("{}").contains("allowed is an array of"), "{}", error("{}"));
    }

    #[test]
    fn a_window_is_an_object_and_not_its_bare_values() {
        let text = format!(r#"[[1, 2, "{WHO}", true]]"#);
        assert!(error(&text).contains("expected an object"), "{}", error(&text));
    }
}
