//! The committed vectors hold, and no change to them goes unseen.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use preconf_vectors::{FileReport, run_dir, run_file};
use serde_json::{Value, json};

const FILES: [&str; 9] = [
    "commitments.json",
    "frames.json",
    "ids.json",
    "invalid.json",
    "message_ids.json",
    "rate_limits.json",
    "reputation.json",
    "reqresp.json",
    "txlists.json",
];

#[test]
fn the_committed_vectors_hold() {
    let report = run_dir(&committed()).expect("the folder is there");
    assert!(report.ok(), "{report:#?}");
    assert_eq!(report.files.iter().map(|file| &file.name[..]).collect::<Vec<_>>(), FILES);
    for file in &report.files {
        assert!(file.passed > 0 && file.pending == 0, "{}", file.name);
    }
}

#[test]
fn an_unknown_file_fails_the_run() {
    let dir = copy("unknown_file");
    fs::write(dir.join("more.json"), "[]").expect("writable");
    let report = run_dir(&dir).expect("the folder is there");
    assert_eq!(problems(&report.files), ["no such file of vectors is known"]);
}

#[test]
fn a_missing_file_fails_the_run() {
    for name in FILES {
        let dir = copy("missing_file");
        fs::remove_file(dir.join(name)).expect("it was there");
        let report = run_dir(&dir).expect("the folder is there");
        let file = report.files.iter().find(|file| file.name == name).expect("it is in the report");
        assert_eq!(file.failures.len(), 1, "{name}");
    }
}

#[test]
fn an_empty_list_fails_its_file() {
    for name in FILES {
        for empty in [json!([]), emptied(&read(name))] {
            assert!(fails(name, &empty), "{name}: {empty}");
        }
    }
}

#[test]
fn text_behind_the_end_and_a_field_said_twice_fail_the_file() {
    for name in FILES {
        let text = fs::read_to_string(committed().join(name)).expect("committed");
        assert!(fails_text(name, &format!("{text} {{}}")), "{name}");
        let (before, after) = text.split_once("\n  \"").or_else(|| text.split_once("\n \"")).expect("a field");
        let field = after.split_once(['[', '{', '\n']).expect("its end").0.trim_end_matches([',', ' ']);
        let value = if field.ends_with(':') { "null" } else { "" };
        assert!(fails_text(name, &format!("{before}\n \"{field}{value}, \"{after}")), "{name}");
    }
}

#[test]
fn an_unknown_field_fails_the_file_wherever_it_stands() {
    for name in FILES {
        for file in single_rows(name) {
            for path in paths(&file, &|value| value.is_object()) {
                let mut changed = file.clone();
                let object = at(&mut changed, &path).as_object_mut().expect("an object");
                object.insert("unknown".to_owned(), Value::Null);
                assert!(fails(name, &changed), "{name}: a field more at {path:?} of {file}");
            }
        }
    }
}

#[test]
fn a_missing_field_fails_the_file_whichever_it_is() {
    for name in FILES {
        for file in single_rows(name) {
            for path in paths(&file, &|value| !value.is_null()) {
                let Some((Key::Field(field), object)) = path.split_last() else { continue };
                let mut changed = file.clone();
                at(&mut changed, object).as_object_mut().expect("an object").remove(field);
                assert!(fails(name, &changed), "{name}: {path:?} less in {file}");
            }
        }
    }
}

#[test]
fn any_changed_value_fails_its_row() {
    for name in FILES {
        let mut changes = 0;
        for file in single_rows(name) {
            for path in paths(&file, &is_leaf) {
                if is_free(name, &path, &file) {
                    continue;
                }
                let mut changed = file.clone();
                change(&path, at(&mut changed, &path));
                assert!(fails(name, &changed), "{name}: a change at {path:?} of {file} goes unseen");
                changes += 1;
            }
        }
        assert!(changes >= 10, "{name}: only {changes} changes were tried");
    }
}

/// Values that may be others without making the row wrong.
fn is_free(name: &str, path: &[Key], file: &Value) -> bool {
    let Some(Key::Field(field)) = path.iter().rfind(|key| matches!(key, Key::Field(_))) else { return false };
    // In a file of several lists the rows stand one deeper; none of the rules below asks for those.
    let row = &file[0];
    match (name, &field[..]) {
        (_, "name") => true,
        // Another cap is crossed, or not, just the same.
        ("frames.json", "cap") => true,
        // Behind a bad length, and short of its end, a stream may hold anything.
        ("frames.json", "stream") => row["expect"] != "frames",
        // A bad message may be bad in another way; a page says nothing of signatures.
        ("invalid.json", "ssz") => {
            let bad = row["verdict"] == "decode_error" || row["verdict"] == "invalid";
            row["type"] == "GetCommitmentsByNumberResponse" || (bad && row["signer"].is_null())
        }
        // A moment later the score is mostly the same.
        ("reputation.json", "t_ms") => true,
        // A wider window, or more per window, may not be felt by those who ask now.
        ("rate_limits.json", "limit" | "window_ms" | "times_ms") => true,
        // One too many is too many of anything.
        ("invalid.json", "item" | "count") => true,
        _ => false,
    }
}

/// Makes another value of the same form.
fn change(path: &[Key], value: &mut Value) {
    const NAMED: [(&str, &[&str]); 3] = [
        ("verdict", &["ok", "ignore", "invalid", "decode_error"]),
        ("gossip_verdict", &["ok", "ignore", "invalid", "decode_error"]),
        ("expect", &["frames", "too_large", "bad_length", "incomplete"]),
    ];
    let named = NAMED.iter().find(|(field, _)| path.last() == Some(&Key::Field((*field).to_owned())));
    *value = match (&*value, named) {
        (Value::String(text), Some((_, names))) => {
            let index = names.iter().position(|name| name == text).expect("a name of the list");
            json!(names[(index + 1) % names.len()])
        }
        (Value::String(text), None) => json!(other_text(text)),
        (Value::Bool(value), _) => json!(!value),
        (Value::Number(number), _) => json!(number.as_i64().expect("a whole number") + 1),
        (Value::Null, _) => json!("0x"),
        (Value::Array(_) | Value::Object(_), _) => unreachable!("not a leaf"),
    };
}

/// The last hex digit flipped; another number; another word.
fn other_text(text: &str) -> String {
    let (head, last) = text.split_at(text.len() - 1);
    match last {
        "x" => format!("{text}00"),
        digit if text.starts_with("0x") || text.bytes().all(|byte| byte.is_ascii_digit()) => {
            let digit = u32::from_str_radix(digit, 16).expect("a digit") ^ 1;
            format!("{head}{digit:x}")
        }
        _ => format!("{text}x"),
    }
}

/// The file cut down to one row, once for each of its rows. What a row of the chain says of itself is said as a case; what two of them
/// say of each other takes two.
fn single_rows(name: &str) -> Vec<Value> {
    let file = read(name);
    if let Value::Array(rows) = &file {
        return rows.iter().map(|row| json!([row])).collect();
    }
    let lists: Vec<(&String, &Vec<Value>)> =
        file.as_object().expect("an object").iter().filter_map(|(list, rows)| Some((list, rows.as_array()?))).collect();
    let mut one_each = file.clone();
    lists.iter().for_each(|(list, rows)| one_each[*list] = json!([rows[0]]));
    let mut files = Vec::new();
    for (list, rows) in lists {
        let target = if list == "chain" { "cases" } else { list };
        files.extend(rows.iter().map(|row| with(&one_each, target, json!([row]))));
        if list == "chain" {
            files.push(with(&one_each, list, json!(rows[..2])));
        }
    }
    files
}

fn with(file: &Value, list: &str, rows: Value) -> Value {
    let mut file = file.clone();
    file[list] = rows;
    file
}

fn emptied(file: &Value) -> Value {
    match file {
        Value::Object(lists) => {
            lists.iter().map(|(name, value)| (name.clone(), if value.is_array() { json!([]) } else { value.clone() })).collect()
        }
        _ => json!([]),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Field(String),
    Index(usize),
}

/// Where every value of a kind stands; of a long list, where the first few do.
fn paths(value: &Value, wanted: &dyn Fn(&Value) -> bool) -> Vec<Vec<Key>> {
    let inside: Vec<(Key, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(field, value)| (Key::Field(field.clone()), value)).collect(),
        Value::Array(items) => items.iter().enumerate().take(8).map(|(index, value)| (Key::Index(index), value)).collect(),
        _ => Vec::new(),
    };
    let mut found: Vec<Vec<Key>> = if wanted(value) { vec![Vec::new()] } else { Vec::new() };
    for (key, value) in inside {
        found.extend(paths(value, wanted).into_iter().map(|rest| [vec![key.clone()], rest].concat()));
    }
    found
}

fn is_leaf(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn at<'a>(value: &'a mut Value, path: &[Key]) -> &'a mut Value {
    path.iter().fold(value, |value, key| match key {
        Key::Field(field) => &mut value[field],
        Key::Index(index) => &mut value[index],
    })
}

fn fails(name: &str, file: &Value) -> bool {
    fails_text(name, &file.to_string())
}

fn fails_text(name: &str, text: &str) -> bool {
    // Other files count on the committed chain; a change to the chain itself is seen in its own file.
    static COMMITMENTS: LazyLock<Vec<u8>> = LazyLock::new(|| fs::read(committed().join("commitments.json")).expect("committed"));
    !run_file(name, text.as_bytes(), &COMMITMENTS).failures.is_empty()
}

fn problems(files: &[FileReport]) -> Vec<String> {
    files.iter().flat_map(|file| &file.failures).map(|failure| failure.problem.to_string()).collect()
}

fn committed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&fs::read(committed().join(name)).expect("committed")).expect("JSON")
}

/// A copy of the committed vectors to spoil.
fn copy(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::remove_dir_all(&dir).ok();
    fs::create_dir_all(&dir).expect("writable");
    for file in FILES {
        fs::copy(committed().join(file), dir.join(file)).expect("writable");
    }
    dir
}
