//! `frames.json`: where frames end in a stream with a cap (P3.4).

use preconf_core::FrameError;
use serde::Deserialize;

use super::chunks::{Boundary, Decoded, decode_every_way};
use super::report::{Problem, Tally, Unreadable, consistent, same};
use super::text::Hex;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    cap: u32,
    stream: Hex,
    expect: Expect,
    frames: Option<Vec<Hex>>,
    length: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Frames,
    TooLarge,
    BadLength,
    Incomplete,
}

pub(super) fn run(text: &[u8]) -> Result<Tally, Unreadable> {
    let rows: Vec<Row> = serde_json::from_slice(text)?;
    let mut tally = Tally::default();
    tally.check(&rows, |row| &row.name, check);
    Ok(tally)
}

fn check(row: &Row) -> Result<(), Problem> {
    let error = |error| Decoded { frames: Vec::new(), end: Err(error) };
    let expected = match (row.expect, &row.frames, row.length) {
        (Expect::Frames, Some(frames), None) => {
            consistent(!frames.is_empty(), "frames are expected, and none is given")?;
            Decoded { frames: frames.iter().map(|frame| frame.0.clone()).collect(), end: Ok(Boundary::Between) }
        }
        (Expect::TooLarge, None, Some(len)) => error(FrameError::TooLarge { len, max: row.cap }),
        (Expect::BadLength, None, None) => error(FrameError::BadLength),
        (Expect::Incomplete, None, None) => {
            // An empty stream is incomplete in that no frame came, yet it may end there.
            let end = if row.stream.0.is_empty() { Boundary::Between } else { Boundary::Inside };
            Decoded { frames: Vec::new(), end: Ok(end) }
        }
        _ => return Err(Problem::Contradiction("frames belong to `frames`, a length to `too_large`, nothing to the others")),
    };
    match decode_every_way(&row.stream.0, row.cap) {
        Ok(found) => same("stream", &expected, &found),
        Err((whole, cut)) => same("stream in one piece and in several", &whole, &cut),
    }
}
