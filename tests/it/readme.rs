//! README's table of dialects: each row's example is what happens.
//!
//! A row's example is a line of frames: `>` is sent, `<` is heard, whatever comes before it; `...` stands for anything,
//! and `TOKEN` for an access token. It happens to anna, the first user, whose group is the first chat.

use tertulia::ws::dialect;

use crate::support::Server;

struct Row<'a> {
    dialect: &'a str,
    target: &'a str,
    frames: Vec<(char, &'a str)>,
}

/// What is written as code in a cell.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn rows(readme: &str) -> Vec<Row<'_>> {
    let (_, table) = readme.split_once("\n## Dialects\n").expect("a chapter");
    let table = table.split_once("\n## ").map_or(table, |(table, _)| table);
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [dialect, url, _sign_in, example] = cells[..] else {
            panic!("not four cells: {line}");
        };
        let frames = code(example).into_iter().map(|frame| {
            let (side, frame) = frame.split_at(1);
            (side.chars().next().expect("a side"), frame.trim())
        });
        Row {
            dialect: dialect.trim(),
            target: code(url).first().expect("a URL"),
            frames: frames.collect(),
        }
    })
    .collect()
}

/// Whether `text` is the pattern, in which `...` stands for anything.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split("...");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[tokio::test]
async fn every_dialect_has_a_row_whose_example_is_what_happens() {
    let rows = rows(include_str!("../../README.md"));
    for known in dialect::DIALECTS {
        let is_documented = !known.frames.is_empty();
        let has_row = rows.iter().any(|row| row.dialect == known.name);
        assert!(has_row || !is_documented, "{} has no row", known.name);
    }
    for row in rows {
        let name = row.dialect;
        assert!(row.frames.len() >= 3, "{name}: three frames");
        let server = Server::start().await;
        let anna = server.user("anna").await;
        let trip = anna.creates_group("trip", []).await;
        assert_eq!((anna.id, trip.id), (1, 1));
        let phone = anna.handshake_at(row.target).open().await;
        let mut phone = phone.unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        phone.name = name.to_owned();
        let mut heard = 0;
        for (side, frame) in row.frames {
            let frame = frame.replace("TOKEN", &anna.access);
            match side {
                '>' => phone.sends_text(&frame).await,
                '<' => {
                    while !fits(&frame, &phone.next_text().await) {}
                    heard += 1;
                }
                side => panic!("{name}: a frame is sent (>) or heard (<), not {side}"),
            }
        }
        assert!(heard > 0, "{name}: nothing is heard");
    }
}

#[test]
fn three_dots_stand_for_anything_and_nothing_else_does() {
    assert!(fits("{\"a\":...,\"c\":3}", "{\"a\":1,\"b\":2,\"c\":3}"));
    assert!(fits("...3}", "{3}") && fits("{...", "{3}") && fits("...", "") && fits("a", "a"));
    for text in ["{\"a\":1}", "{\"a\":1,\"c\":3} ", "x{\"a\":1,\"c\":3}"] {
        assert!(!fits("{\"a\":...,\"c\":3}", text), "{text}");
    }
}
