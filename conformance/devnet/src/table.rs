//! How is the devnet doing right now?
//!
//! One line a node on a terminal's stderr, redrawn in place. Anywhere else, and with `--json`, nothing is drawn.

use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::report::NodeReport;

/// The live table.
pub(crate) struct Table {
    lines: Option<MultiProgress>,
    bars: Vec<ProgressBar>,
}

impl Table {
    /// A table, unless there is no terminal to draw it on.
    pub(crate) fn new(is_wanted: bool) -> Self {
        let lines = (is_wanted && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { lines, bars: Vec::new() }
    }

    /// Is anyone looking?
    pub(crate) fn is_drawn(&self) -> bool {
        self.lines.is_some()
    }

    /// Draws the nodes as they are now, below a title.
    pub(crate) fn draw(&mut self, title: String, nodes: &[NodeReport]) {
        let Some(lines) = &self.lines else { return };
        while self.bars.len() < nodes.len() + 2 {
            self.bars.push(lines.add(ProgressBar::no_length().with_style(ProgressStyle::with_template("{msg}").expect("a template"))));
        }
        let rows = [title, NodeReport::header()].into_iter().chain(nodes.iter().map(NodeReport::row));
        for (bar, row) in self.bars.iter().zip(rows) {
            bar.set_message(row);
            bar.tick();
        }
    }

    /// Takes the table away.
    pub(crate) fn clear(&self) {
        self.bars.iter().for_each(ProgressBar::finish_and_clear);
    }
}
