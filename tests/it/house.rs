//! Imports point downward only: reads the paths of `src/` and names whoever climbs a floor.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What each room may import. Who isn't listed stands above all rooms (`service`, `cli`, `main`).
const ROOMS: &[(&str, &[&str])] = &[
    ("rest", &["view", "chat"]),
    ("ws", &["view", "chat", "hub", "lease"]),
    ("web", &[]),
    ("hub", &["view", "chat", "layer", "lease"]),
    ("view", &["chat"]),
    ("chat", &["store", "lease", "auth", "mail", "picture"]),
    ("store", &[]),
    ("layer", &["redis"]),
    ("lease", &["redis"]),
    ("auth", &[]),
    ("redis", &[]),
    ("mail", &[]),
    ("picture", &[]),
    // What carries requests and connections to the edges, and knows nothing of either.
    ("server", &[]),
    ("origin", &[]),
    ("journal", &["origin"]),
    ("data_dir", &[]),
    ("logging", &[]),
    ("settings", &[]),
];
/// Lie below every room: leaves without a word of ours.
const GROUND: &[&str] = &["metrics", "urlencoded"];
/// What an edge stands on besides the rooms below it.
const UNDER_EDGES: &[&str] = &["server", "origin", "journal"];
const EDGES: &[&str] = &["rest", "ws", "web"];
/// The rooms that may read `entity`: the domain and the store, and for its typed ids everybody.
const TYPED_IDS: &[&str] = &["ChatId", "MessageId", "Seq", "SessionId", "UserId", "Time"];

fn may_import(room: &str, other: &str) -> bool {
    let Some((_, below)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return true;
    };
    let of_process = matches!(room, "data_dir" | "logging") && other == "settings";
    room == other
        || GROUND.contains(&other)
        || below.contains(&other)
        || of_process
        || (EDGES.contains(&room) && UNDER_EDGES.contains(&other))
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory of the sources") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => sources(&path, into),
            false if path.extension().is_some_and(|extension| extension == "rs") => into.push(path),
            false => {}
        }
    }
}

/// A room's tests may look into any room.
fn is_test(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == "tests.rs" || name == "testing.rs")
}

/// The code without comments and without the tests at its end, each line still at its place.
fn code(text: &str) -> String {
    let tests = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let lines = text[..tests]
        .lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    lines.collect::<Vec<_>>().join("\n")
}

fn word(text: &str) -> &str {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    &text[..end]
}

/// The first components of `{a::b, c::{d, e}}`, each with its offset; of `a::b`, just `a`.
fn heads(text: &str) -> Vec<(usize, &str)> {
    if !text.starts_with('{') {
        return vec![(0, word(text))];
    }
    let mut heads = Vec::new();
    let (mut depth, mut is_start) = (0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '{' => {
                depth += 1;
                is_start = depth == 1;
            }
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' => is_start = depth == 1,
            _ if c.is_whitespace() => {}
            _ if is_start => {
                heads.push((at, word(&text[at..])));
                is_start = false;
            }
            _ => {}
        }
    }
    heads
}

/// Every `<root>::...` in the code: line, and the component that follows.
fn paths<'a>(code: &'a str, root: &str) -> Vec<(usize, &'a str)> {
    let start = format!("{root}::");
    let mut found = Vec::new();
    for (at, _) in code.match_indices(&start) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + start.len()..];
        for (offset, head) in heads(rest) {
            let line = code[..at + start.len() + offset].matches('\n').count() + 1;
            found.push((line, head));
        }
    }
    found
}

fn room(path: &Path, src: &Path) -> String {
    let inside = path.strip_prefix(src).expect("a file of src");
    let first = inside
        .components()
        .next()
        .expect("a name")
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn nobody_climbs_a_floor() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 10, "the sources are somewhere else");
    let mut climbers = BTreeSet::new();
    for file in files.iter().filter(|file| !is_test(file)) {
        let text = fs::read_to_string(file).expect("a source file");
        let code = code(&text);
        let (room, shown) = (
            room(file, &src),
            file.strip_prefix(&src).expect("inside").display(),
        );
        for (line, other) in paths(&code, "crate") {
            if !may_import(&room, other) {
                climbers.insert(format!("src/{shown}:{line}: {room} may not import {other}"));
            }
        }
        let is_above_rooms = !ROOMS.iter().any(|(name, _)| *name == room);
        let knows_tables = is_above_rooms || matches!(&*room, "chat" | "store");
        for (line, item) in paths(&code, "entity") {
            if !knows_tables && item.chars().next().is_some_and(char::is_lowercase) {
                climbers.insert(format!(
                    "src/{shown}:{line}: {room} may not read the table {item}"
                ));
            }
            let is_type = item.chars().next().is_some_and(char::is_uppercase);
            if matches!(&*room, "layer" | "lease" | "auth" | "server")
                && is_type
                && !TYPED_IDS.contains(&item)
            {
                climbers.insert(format!("src/{shown}:{line}: {room} has no word for {item}"));
            }
        }
        let has_sql = ["sea_orm", "sqlx"]
            .iter()
            .flat_map(|orm| paths(&code, orm))
            .next();
        if let Some((line, _)) = has_sql.filter(|_| room != "store" && !is_above_rooms) {
            climbers.insert(format!("src/{shown}:{line}: {room} has no word for SQL"));
        }
    }
    let climbers: Vec<String> = climbers.into_iter().collect();
    assert!(
        climbers.is_empty(),
        "imports point downward only:\n{}",
        climbers.join("\n")
    );
}

#[test]
fn a_climber_is_seen_in_every_way_of_writing_it() {
    let code = code(
        "use crate::store::Batch; // crate::ws\nfn f() -> crate::hub::Hub {}\nuse crate::{\n    chat::{Actor, Text},\n    rest,\n};\n",
    );
    let seen = paths(&code, "crate");
    assert_eq!(seen, [(1, "store"), (2, "hub"), (4, "chat"), (5, "rest")]);
    assert!(!may_import("store", "chat") && !may_import("rest", "ws") && !may_import("hub", "ws"));
    assert!(may_import("ws", "hub") && may_import("chat", "store") && may_import("service", "ws"));
}
