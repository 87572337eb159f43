//! One step for a reader: what came in, what was said then, what is said now.

use std::fmt;

use preconf_core::Core;
use preconf_trace::{Mark, Replayed};
use serde_json::{Value, json};

use super::words;

/// A step in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepView {
    /// Its number.
    pub step: u64,
    /// Where it begins in the trace, in bytes.
    pub offset: u64,
    /// When it was.
    pub when: String,
    /// What came in.
    pub told: String,
    /// How a command was answered now.
    pub answer: Option<String>,
    /// What the machine says now.
    pub outputs: Vec<String>,
    /// When it wants to be woken now.
    pub deadline: String,
    /// What became of the step when it was recorded; `None` where the machine did not come back.
    pub then: Option<Mark>,
    /// What became of it now.
    pub now: Mark,
}

impl StepView {
    /// Puts a step into words, with the machine as it is right after it.
    pub fn of(relived: &Replayed, core: &Core) -> Self {
        Self {
            step: relived.step.number,
            offset: relived.step.offset,
            when: words::now(relived.step.now),
            told: words::call(&relived.step.call) + if relived.unasked.is_some() { ", for which this machine has not asked" } else { "" },
            answer: relived.answer.as_ref().map(words::answer),
            outputs: relived.outputs.iter().map(words::output).collect(),
            deadline: words::deadline(core.poll_timeout()),
            then: relived.step.mark,
            now: relived.mark,
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "step": self.step,
            "byte": self.offset,
            "when": self.when,
            "told": self.told,
            "answer": self.answer,
            "outputs": self.outputs,
            "wakes": self.deadline,
            "recorded": self.then.map(mark_json),
            "now": mark_json(self.now),
        })
    }
}

fn mark_json(mark: Mark) -> Value {
    json!({ "outputs": mark.outputs, "drained": mark.drained, "digest": format!("{:016x}", mark.digest) })
}

fn mark_words(mark: Mark) -> String {
    let more = if mark.drained { "" } else { ", more not taken" };
    format!("{} outputs{more}, digest {:016x}", mark.outputs, mark.digest)
}

impl fmt::Display for StepView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {}, byte {}, at {}", self.step, self.offset, self.when)?;
        writeln!(f, "  told      {}", self.told)?;
        if let Some(answer) = &self.answer {
            writeln!(f, "  answer    {answer}")?;
        }
        let then = self.then.map_or("the machine did not come back".to_owned(), mark_words);
        writeln!(f, "  recorded  {then}")?;
        writeln!(f, "  now       {}", mark_words(self.now))?;
        for output in &self.outputs {
            writeln!(f, "    - {output}")?;
        }
        write!(f, "  wakes     {}", self.deadline)
    }
}
