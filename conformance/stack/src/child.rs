//! How does a process of ours never keep the others waiting for ever?

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long one run may take. Ours: a hundred nodes for an hour of their own time take minutes; what takes longer turns in a circle.
pub(crate) const RUN_LIMIT: Duration = Duration::from_secs(60 * 60);
/// How often it is looked at. Ours: a run takes a second or so.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Runs a command to its end, at most for so long: then it is killed, and the error says so.
pub(crate) fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            let text = format!("it was killed after {} s: no run may take longer; fewer --nodes or --seconds take less", limit.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        thread::sleep(LOOK_EVERY);
    };
    let whole = |reader: thread::JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    Ok(Output { status, stdout: whole(stdout), stderr: whole(stderr) })
}

/// On a thread of its own, so that a full pipe never holds the process up.
fn read(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes); // what it said before it broke off is told
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_run_that_does_not_end_is_killed_and_named() {
        let began = Instant::now();
        let error = output_within(&mut shell("exec sleep 600"), Duration::from_millis(200)).expect_err("it sleeps");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("no run may take longer"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_run_that_says_much_is_heard_whole() {
        let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; exit 3";
        let output = output_within(&mut shell(script), RUN_LIMIT).expect("it ends");
        assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(3), 300_000, 300_000));
    }
}
