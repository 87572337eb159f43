//! Is every rule of `core/PROTOCOL.md` decided somewhere and proven by a test, as `RULES.md` says?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One row of the table.
struct Row {
    rule: String,
    decided_in: Vec<String>,
    proven_in: Vec<String>,
    stands: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}, which RULES.md names: {error}"))
}

/// The table's rows, in order.
fn rows() -> Vec<Row> {
    let files = |cell: &str| cell.split(',').map(|file| file.trim().trim_matches('`').to_owned()).filter(|file| !file.is_empty()).collect();
    let table = read("conformance/RULES.md");
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [rule, _, decided_in, proven_in, stands] = cells[..] else { panic!("five cells are expected: {line}") };
        Row { rule: rule.to_owned(), decided_in: files(decided_in), proven_in: files(proven_in), stands: stands.to_owned() }
    });
    rows.collect()
}

/// The rules of the protocol, in its order: each begins an item of a list.
fn listed() -> Vec<String> {
    let text = read("core/PROTOCOL.md");
    let first_words = text.lines().filter_map(|line| line.strip_prefix("- ")?.split(' ').next());
    first_words.filter(|word| is_rule(word)).map(str::to_owned).collect()
}

/// The rule numbers in a text: `P` with a section and a number, `C` or `T` with a number, perhaps a letter. A range names its two ends.
fn cited(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let words = text.split(|c| !is_word(c)).map(|word| word.trim_matches('.'));
    words.filter(|word| is_rule(word)).collect()
}

fn is_rule(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| digits(text.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or(text));
    match (word.get(..1), word.get(1..)) {
        (Some("C" | "T"), Some(rest)) => number(rest),
        (Some("P"), Some(rest)) => rest.split_once('.').is_some_and(|(section, rest)| digits(section) && number(rest)),
        _ => false,
    }
}

/// The rule that a test's name starts with: `p5_4a_…` is P5.4a, `c8_…` is C8.
fn named(name: &str) -> Option<String> {
    let mut parts = name.split('_');
    let first = parts.next()?;
    let rule = match first.get(..1)? {
        "p" => format!("P{}.{}", first.get(1..)?, parts.next()?),
        "c" | "t" => format!("{}{}", first.get(..1)?.to_uppercase(), first.get(1..)?),
        _ => return None,
    };
    is_rule(&rule).then_some(rule)
}

/// What a file's tests cite: each function under a `test` attribute, and each scenario for runtimes, with the comments and attributes above it.
fn proven(source: &str) -> Vec<String> {
    let lines: Vec<_> = source.lines().collect();
    let mut rules = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_test_attribute(line.trim()) || is_scenario(line)) {
        let above = lines[..at].iter().rev().take_while(|line| line.trim().starts_with("//") || line.trim().starts_with("#["));
        let start = at - above.count();
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = lines[at..].iter().position(|line| *line == format!("{indent}}}")).map_or(lines.len(), |len| at + len);
        let text = lines[start..end].join("\n");
        let name = text.split_once("fn ").and_then(|(_, rest)| rest.split('(').next());
        rules.extend(name.and_then(named));
        rules.extend(cited(&text).into_iter().map(str::to_owned));
    }
    rules
}

fn is_test_attribute(line: &str) -> bool {
    let Some(attribute) = line.strip_prefix("#[") else { return false };
    let path = attribute.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).next().unwrap_or_default();
    path.rsplit("::").next() == Some("test")
}

/// A scenario of `both_runtimes` is generic, so no attribute can make a test of it; one that no list there makes a test of is dead code.
fn is_scenario(line: &str) -> bool {
    line.starts_with("async fn ") && (line.contains("<A: Runtime, B: Runtime>()") || line.contains("<R: Runtime>()"))
}

/// Why a row is wrong.
fn faults(row: &Row) -> Vec<String> {
    let Row { rule, decided_in, proven_in, stands } = row;
    let mut faults = Vec::new();
    let later =
        |mark: &str| stands.strip_prefix(mark).and_then(|rest| rest.strip_suffix(')')).is_some_and(|issue| issue.parse::<u32>().is_ok());
    if later("not yet (issue ") {
        return faults;
    }
    if stands != "yes" && !later("in part (issue ") {
        faults.push(format!("{rule}: {stands:?} is no mark"));
    }
    if decided_in.is_empty() || proven_in.is_empty() {
        faults.push(format!("{rule} stands, and no file or no test is named"));
    }
    let undecided = decided_in.iter().filter(|file| !cited(&read(file)).contains(&rule.as_str()));
    faults.extend(undecided.map(|file| format!("{file} does not cite {rule}")));
    let unproven = proven_in.iter().filter(|file| !proven(&read(file)).contains(rule));
    faults.extend(unproven.map(|file| format!("no test in {file} cites {rule}")));
    faults
}

#[test]
fn every_rule_that_stands_has_a_file_and_a_test_that_cite_it() {
    let faults: Vec<_> = rows().iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_has_every_rule_once_and_in_order() {
    let listed = listed();
    assert!(listed.contains(&"C6a".to_owned()), "the page is read");
    assert_eq!(rows().into_iter().map(|row| row.rule).collect::<Vec<_>>(), listed);
}

#[test]
fn no_source_cites_a_rule_that_is_not() {
    let listed = listed();
    let mut unknown = BTreeMap::new();
    let mut folders: Vec<_> =
        ["core", "runtime-tokio", "runtime-async-std", "conformance"].into_iter().map(|name| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with(file!()) {
                let text = fs::read_to_string(&path).unwrap();
                for rule in cited(&text).into_iter().filter(|rule| !listed.iter().any(|known| known == rule)) {
                    unknown.insert(rule.to_owned(), path.clone());
                }
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_row_without_its_test_is_a_fault() {
    let row = |rule: &str, decided_in: &str, proven_in: &str, stands: &str| Row {
        rule: rule.to_owned(),
        decided_in: vec![decided_in.to_owned()],
        proven_in: vec![proven_in.to_owned()],
        stands: stands.to_owned(),
    };
    let (file, tests) = ("core/src/evidence.rs", "core/tests/rules/evidence.rs");
    assert!(faults(&row("P5.4", file, tests, "yes")).is_empty());
    assert_eq!(faults(&row("P8.5", file, tests, "yes")).len(), 2, "neither cites it");
    assert_eq!(faults(&row("P8.5", file, tests, "in part (issue 4)")).len(), 2, "in part is no excuse");
    assert!(faults(&row("P8.5", file, tests, "not yet (issue 4)")).is_empty());
    assert_eq!(faults(&row("P5.4", file, tests, "soon")).len(), 1);
}

#[test]
fn rules_are_found_in_names_comments_and_bodies_of_tests_alone() {
    let source = "// P1.1 is no test's\n\n/// P2.2\n#[test]\nfn p3_3a_holds() {\n    check(\"C4\"); // T5, P6.6\n}\n\nfn helper() {\n    // P7.7\n}\n";
    assert_eq!(proven(source), ["P3.3a", "P2.2", "C4", "T5", "P6.6"]);
    assert_eq!(named("c6a_waits").as_deref(), Some("C6a"));
    assert_eq!(cited("C1–C3, C6a, (P5.4a). P10, CT1, P5.x, 1.P2"), ["C1", "C3", "C6a", "P5.4a"]);
    assert_eq!(
        proven("// C3\nasync fn a<A: Runtime, B: Runtime>() {\n    // C4\n}\n\n// C5\nasync fn helper<R: Runtime>(n: u8) {}\n"),
        ["C3", "C4"]
    );
    assert!(is_test_attribute("#[tokio::test(flavor = \"current_thread\")]") && !is_test_attribute("#[cfg(test)]"));
}
