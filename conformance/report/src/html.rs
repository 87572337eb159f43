//! One page about one run.
//!
//! All that is text or a table stands in the page itself and reads without a script; the script, part of the page, draws the plots from the
//! data that lies beside it. The page's policy lets nothing else run and nothing at all be fetched: it names the one script and the one
//! style by their digests, so even text that slipped through unescaped could not act.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::data::{Data, drawn_scores, worst_first};
use super::summary::{Report, RunKind, Summary};
use super::timeline::Timeline;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = concat!(
    include_str!("page/base.js"),
    include_str!("page/time.js"),
    include_str!("page/lines.js"),
    include_str!("page/heat.js"),
    include_str!("page/spread.js"),
    include_str!("page/start.js"),
);
/// Nodes with a line of their own in the table at the end. Ours: beyond it the plots say more than a table.
const MAX_NODE_LINES: usize = 64;

/// Writes the page.
pub(super) fn page(report: &Report) -> String {
    let Report { summary, timeline } = report;
    let end_us = u64::try_from(summary.virtual_time.as_micros()).unwrap_or(u64::MAX);
    let data = serde_json::to_string(&Data::of(timeline, end_us)).expect("numbers and text");
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    let title = escape(&format!("{} \u{b7} {}", summary.scenario, summary.kind.label()));
    let body = [
        head(summary),
        tiles(summary, timeline),
        plots(summary, timeline),
        refusals(timeline),
        incidents(timeline),
        nodes(timeline),
        outputs(timeline),
    ]
    .concat();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <script type=\"application/json\" id=\"data\">{}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        quiet(&data)
    )
}

fn head(summary: &Summary) -> String {
    let (class, icon) = if summary.ok() { ("holds", "M3 8.5l3.2 3.2L13 4.5") } else { ("violated", "M4 4l8 8M12 4l-8 8") };
    let result = match (summary.kind, summary.violations.len()) {
        (RunKind::Simulation, 0) => "everything holds".to_owned(),
        (RunKind::Simulation, 1) => "1 rule does not hold".to_owned(),
        (RunKind::Simulation, count) => format!("{count} rules do not hold"),
        (RunKind::Replay, 0) => "every step matches".to_owned(),
        (RunKind::Replay, _) => "not every step matches".to_owned(),
    };
    let mut facts = Vec::new();
    if let Some(seed) = summary.seed {
        facts.push(("seed", seed.to_string()));
    }
    if summary.kind == RunKind::Simulation {
        facts.push(("nodes", summary.nodes.to_string()));
    }
    facts.push(("length", span(summary.virtual_time)));
    facts.push(("steps", grouped(summary.steps)));
    if let Some(wall) = summary.wall_time {
        facts.push(("computed in", span(wall)));
    }
    if !summary.digest.is_empty() {
        facts.push(("digest", summary.digest.clone()));
    }
    let facts = facts.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(value))).collect::<String>();
    let violations = summary.violations.iter().map(|violation| format!("<li>{}</li>\n", escape(violation))).collect::<String>();
    let violations = if violations.is_empty() { violations } else { format!("<ol class=\"violations\">\n{violations}</ol>\n") };
    let command = match summary.command.as_str() {
        "" => String::new(),
        command => format!("<p class=\"again\">Again: <code>{}</code></p>\n", escape(command)),
    };
    format!(
        "<header>\n<p class=\"kind\">preconfirmation-p2p \u{b7} {}</p>\n<h1>{}</h1>\n<p class=\"result {class}\"><svg width=\"16\" height=\"16\" \
         viewBox=\"0 0 16 16\" aria-hidden=\"true\"><path d=\"{icon}\"/></svg>{result}</p>\n<dl class=\"facts\">{facts}</dl>\n{command}{violations}</header>\n",
        summary.kind.label(),
        escape(&summary.scenario),
    )
}

fn tiles(summary: &Summary, timeline: &Timeline) -> String {
    let best = timeline.blocks.heights.last().map_or(0, |height| height.best);
    let quantiles = |spread: &super::Spread| Some((span(spread.quantile(50)?), span(spread.quantile(99)?)));
    let bans = timeline.bans();
    let [accept, ignore, reject] = timeline.tally.total;
    let mut tiles = vec![("highest block", grouped(best), String::new())];
    if let Some((median, late)) = quantiles(timeline.to_accepted()) {
        tiles.push(("publish to accept", median, format!("99\u{202f}% within {late}")));
    }
    if let Some((median, late)) = quantiles(timeline.to_ready()) {
        tiles.push(("publish to ready", median, format!("99\u{202f}% within {late}")));
    }
    if let Some((median, late)) = quantiles(&timeline.blocks.waited) {
        tiles.push(("accept to ready", median, format!("99\u{202f}% within {late}")));
    }
    tiles.push(("gossip accepted", grouped(accept), format!("{} ignored, {} rejected", grouped(ignore), grouped(reject))));
    tiles.push(match summary.kind {
        RunKind::Simulation => ("bans of hostile peers", grouped(bans.hostile), format!("{} of honest ones", grouped(bans.honest))),
        RunKind::Replay => ("bans", grouped(bans.honest + bans.hostile + bans.unknown), String::new()),
    });
    let tile = |(name, value, more): &(&str, String, String)| {
        format!("<div class=\"tile\"><span>{name}</span><strong>{value}</strong><small>{more}</small></div>\n")
    };
    format!("<section class=\"tiles\" aria-label=\"In figures\">\n{}</section>\n", tiles.iter().map(tile).collect::<String>())
}

fn plots(summary: &Summary, timeline: &Timeline) -> String {
    let alone = timeline.blocks.rows.len() < 2;
    let (blocks, propagation) = if alone {
        (
            "How far this node's chain reached, in block numbers, and the age of the oldest block that it knew of and could not execute yet.",
            "From accepted to ready",
        )
    } else {
        (
            "How far the chain reached, in block numbers, and for every node the age of the oldest block that it could not execute yet.",
            "From the publisher to everybody else",
        )
    };
    let peers = if alone { "How many peers this node is connected with." } else { "How many peers the nodes are connected with." };
    let scored = worst_first(&timeline.scores.subjects).len();
    let scores = match (scored, summary.kind) {
        (0, _) => "No peer's score was ever set.".to_owned(),
        (_, RunKind::Replay) => "What this node thought of its peers, in points.".to_owned(),
        (_, RunKind::Simulation) => "The lowest score that any node holds each peer at, in points.".to_owned(),
    };
    let shown = drawn_scores(&timeline.scores.subjects).len();
    let scores = if shown < scored { format!("{scores} Drawn are the {shown} of {scored} peers that fell lowest.") } else { scores };
    let spread = if timeline.to_accepted().total() + timeline.to_ready().total() + timeline.blocks.waited.total() > 0 {
        format!("{propagation}, for nodes that were up when the block was published.")
    } else {
        "No block went from one observed node to another.".to_owned()
    };
    let spread = if alone && timeline.blocks.waited.total() > 0 { format!("{propagation}.") } else { spread };
    format!(
        "<section>\n<h2>Blocks</h2>\n<p>{blocks}</p>\n{}<figure id=\"height\" aria-label=\"Height of the chain over time\"></figure>\n\
         <figure id=\"behind\" aria-label=\"How far each node is behind, over time\"></figure>\n</section>\n\
         <section>\n<h2>Propagation</h2>\n<p>{spread}</p>\n<figure id=\"spread\" aria-label=\"Share of deliveries by delay\"></figure>\n</section>\n\
         <section>\n<h2>Scores</h2>\n<p>{scores}</p>\n<figure id=\"scores\" aria-label=\"Scores of peers over time\"></figure>\n</section>\n\
         <section>\n<h2>Peers</h2>\n<p>{peers}</p>\n<figure id=\"peers\" aria-label=\"Connected peers over time\"></figure>\n</section>\n\
         <section>\n<h2>Verdicts</h2>\n<p>What became of gossip messages. Each lane has a scale of its own.</p>\n\
         <figure id=\"verdicts\" aria-label=\"Verdicts on gossip over time\"></figure>\n</section>\n\
         <noscript><p>The plots need the script that is part of this page.</p></noscript>\n",
        marks(timeline)
    )
}

fn marks(timeline: &Timeline) -> String {
    let mut lines = String::new();
    let listed: Vec<_> = timeline.marks.placed.iter().filter(|placed| !placed.ends).collect();
    for placed in &listed {
        let (at, what, kind) = (moment(placed.at.0), escape(placed.what()), placed.kind().label());
        let until = placed.until.map(|until| format!("\u{2013}{}", moment(until.0))).unwrap_or_default();
        let nodes = placed.nodes();
        let nodes = if nodes.is_empty() { nodes } else { format!(" <small>{nodes}</small>") };
        let _ = writeln!(lines, "<li class=\"{kind}\"><time>{at}{until}</time> {what}{nodes}</li>");
    }
    match listed.len() {
        0 => String::new(),
        1..=12 => format!("<ol class=\"marks\">\n{lines}</ol>\n"),
        count => {
            format!("<details class=\"marks-folded\"><summary>{count} marks</summary>\n<ol class=\"marks\">\n{lines}</ol>\n</details>\n")
        }
    }
}

fn refusals(timeline: &Timeline) -> String {
    let mut rows: Vec<_> = timeline.tally.refusals.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let most = rows.first().map_or(1, |(_, count)| **count);
    let mut lines = String::new();
    for ((rule, label, from), count) in rows {
        let width = (count.saturating_mul(160) / most.max(1)).max(1);
        let _ = writeln!(
            lines,
            "<tr><td><code>{rule}</code></td><td>{label}</td><td>{from}</td><td class=\"number\">{}</td><td class=\"bar\"><svg width=\"160\" \
             height=\"9\" aria-hidden=\"true\"><rect class=\"swatch count\" width=\"{width}\" height=\"9\" rx=\"2\"/></svg></td></tr>",
            grouped(*count)
        );
    }
    if lines.is_empty() {
        return "<section>\n<h2>Refusals</h2>\n<p>No message was refused.</p>\n</section>\n".to_owned();
    }
    format!(
        "<section>\n<h2>Refusals</h2>\n<p>Messages that were not accepted, by the rule of PROTOCOL.md that says so.</p>\n<table>\n<thead><tr>\
         <th>rule</th><th>why</th><th>from</th><th class=\"number\">messages</th><th></th></tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n</section>\n"
    )
}

fn incidents(timeline: &Timeline) -> String {
    let mut rows: Vec<_> = timeline.marks.incidents.values().flatten().collect();
    rows.sort_by_key(|(_, incident)| incident.first);
    if rows.is_empty() {
        return String::new();
    }
    let mut lines = String::new();
    for (text, incident) in &rows {
        let (first, last) = (moment(incident.first.0), moment(incident.last.0));
        let until = if last == first { String::new() } else { format!("\u{2013}{last}") };
        let nodes = match incident.nodes.len() {
            0..=3 => {
                incident.nodes.iter().filter_map(|node| Some(escape(&timeline.blocks.rows.get(*node)?.name))).collect::<Vec<_>>().join(", ")
            }
            count => format!("{count} nodes"),
        };
        let _ = writeln!(
            lines,
            "<tr><td class=\"number\">{first}{until}</td><td>{}</td><td>{nodes}</td><td class=\"number\">{}</td></tr>",
            escape(text),
            grouped(incident.count)
        );
    }
    let left_out = match timeline.marks.left_out {
        0 => String::new(),
        count => format!("<p>{} further ones are not listed.</p>\n", grouped(count)),
    };
    let (count, open) = (rows.len(), if rows.len() <= 20 { " open" } else { "" });
    format!(
        "<section>\n<h2>Incidents</h2>\n<details{open}><summary>{count} that nodes told</summary>\n<table>\n<thead><tr><th class=\"number\">when</th>\
         <th>what</th><th>told by</th><th class=\"number\">times</th></tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n{left_out}</details>\n</section>\n"
    )
}

fn nodes(timeline: &Timeline) -> String {
    let rows = &timeline.blocks.rows;
    let mut lines = String::new();
    for row in rows.iter().take(MAX_NODE_LINES) {
        let state = if row.up { "up" } else { "down" };
        let _ = writeln!(
            lines,
            "<tr><td>{}</td><td>{state}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escape(&row.name),
            grouped(row.ready_to()),
            grouped(row.accepted),
            grouped(u64::from(row.lives)),
        );
    }
    let more = match rows.len().saturating_sub(MAX_NODE_LINES) {
        0 => String::new(),
        more => format!("<p>{more} further nodes are not listed.</p>\n"),
    };
    format!(
        "<section>\n<h2>Nodes</h2>\n<details><summary>{} at the end</summary>\n<table>\n<thead><tr><th>node</th><th>state</th><th class=\"number\">\
         ready to block</th><th class=\"number\">accepted</th><th class=\"number\">starts</th></tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n{more}\
         </details>\n</section>\n",
        rows.len()
    )
}

fn outputs(timeline: &Timeline) -> String {
    let mut lines = String::new();
    for (kind, count) in &timeline.tally.outputs {
        let _ = writeln!(lines, "<tr><td>{kind}</td><td class=\"number\">{}</td></tr>", grouped(*count));
    }
    let in_all = grouped(timeline.tally.outputs.values().sum());
    format!(
        "<section>\n<h2>Outputs</h2>\n<details><summary>{in_all} of all machines</summary>\n<table>\n<thead><tr><th>kind</th><th class=\"number\">\
         count</th></tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n</details>\n</section>\n"
    )
}

/// Text as it stands in HTML, in attributes too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A control character has no business in a report, and a zero byte none in HTML.
            character if character.is_control() && character != '\n' => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

/// JSON that cannot end the element that it lies in: outside of strings it holds none of these characters.
fn quiet(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// SHA-256 in base64, as a content policy names it.
fn digest(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let hash: [u8; 32] = Sha256::digest(text).into();
    let group = |bytes: &[u8]| {
        let bits = bytes.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - bytes.len()));
        let digit = |place: usize| char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]);
        (0..4).map(|place| if place <= bytes.len() { digit(place) } else { '=' }).collect::<String>()
    };
    hash.chunks(3).map(group).collect()
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A span with three figures that count.
fn span(span: Duration) -> String {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    match micros {
        0..1_000 => format!("{micros}\u{202f}µs"),
        1_000..1_000_000 => format!("{}\u{202f}ms", three_figures(micros)),
        1_000_000..120_000_000 => format!("{}\u{202f}s", three_figures(micros / 1_000)),
        _ => moment(micros),
    }
}

/// Thousandths as units, to three figures.
fn three_figures(thousandths: u64) -> String {
    let digits = match thousandths {
        0..10_000 => 2,
        10_000..100_000 => 1,
        _ => 0,
    };
    let text = format!("{:.digits$}", thousandths as f64 / 1_000.0);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A time of the run: seconds, or minutes and hours from two minutes on.
fn moment(micros: u64) -> String {
    let (seconds, hundredths) = (micros / 1_000_000, micros / 10_000 % 100);
    match seconds {
        0..120 => format!("{seconds}.{hundredths:02}\u{202f}s"),
        120..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_a_browser_expects_them() {
        // Source: `printf abc | openssl dgst -sha256 -binary | base64`.
        assert_eq!(digest("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn spans_and_times_keep_the_figures_that_count() {
        let of = |micros| span(Duration::from_micros(micros)).replace('\u{202f}', " ");
        let spans = [7, 1_500, 34_567, 999_900, 1_234_567, 59_000_000, 119_960_000].map(of);
        assert_eq!(spans, ["7 µs", "1.5 ms", "34.6 ms", "1000 ms", "1.23 s", "59 s", "120 s"]);
        assert_eq!([moment(150_000_000), moment(3_725_000_000)], ["2:30", "1:02:05"]);
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn no_text_becomes_markup_and_no_json_ends_its_element() {
        assert_eq!(escape("<b a=\"'\">&\0"), "&lt;b a=&quot;&#39;&quot;&gt;&amp;\u{fffd}");
        assert_eq!(quiet(r#"["</script><!--"]"#), r#"["\u003c/script\u003e\u003c!--"]"#);
    }
}
