//! `openapi` and `asyncapi`: the documents of the two edges, as the service also serves them.

use super::{Outcome, print};
use crate::rest;

/// Every frame of the WebSocket protocols, as it is committed.
pub const ASYNCAPI: &str = include_str!("../../openapi/asyncapi.yaml");

pub(super) fn openapi() -> Outcome {
    let (_json, yaml) = rest::document();
    print(&yaml)
}

pub(super) fn asyncapi() -> Outcome {
    print(ASYNCAPI)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_yaml_ng::Value;

    use super::*;
    use crate::ws::{close, dialect};

    fn document() -> Value {
        serde_yaml_ng::from_str(ASYNCAPI).expect("YAML")
    }

    /// What `#/a/b` stands for.
    fn resolve<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
        let path = reference.strip_prefix("#/")?.split('/');
        path.into_iter().try_fold(document, |at, key| at.get(key))
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Mapping(mapping) => {
                for (key, value) in mapping {
                    match (key.as_str(), value.as_str()) {
                        (Some("$ref"), Some(reference)) => found.push(reference.to_owned()),
                        _ => references(value, found),
                    }
                }
            }
            Value::Sequence(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    /// The parts of a payload's schema that `allOf` and `$ref` put together.
    fn schemas<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
        let reference = schema.get("$ref").and_then(Value::as_str);
        if let Some(referred) = reference.and_then(|reference| resolve(document, reference)) {
            return schemas(document, referred);
        }
        let parts = schema.get("allOf").and_then(Value::as_sequence);
        match parts {
            Some(parts) => parts
                .iter()
                .flat_map(|part| schemas(document, part))
                .collect(),
            None => vec![schema],
        }
    }

    /// A message's channel, whether its client or the server sends it, and its name: `room.client.typing`. What is the
    /// chat dialect's doesn't say so.
    fn parts(key: &str) -> (&str, &str, &str) {
        let parts: Vec<&str> = key.splitn(3, '.').collect();
        match parts[..] {
            [side @ ("client" | "server"), name] => ("chat", side, name),
            [channel, side, name] => (channel, side, name),
            _ => panic!("{key} is no frame's name"),
        }
    }

    #[test]
    fn the_frames_are_those_that_the_dialects_read_and_write() {
        let document = document();
        let messages = document["components"]["messages"].as_mapping();
        let keys = messages.expect("messages").keys();
        let keys: Vec<_> = keys.filter_map(Value::as_str).map(parts).collect();
        let told = |channel: &str, side: &str| {
            let names = keys.iter().filter(|key| (key.0, key.1) == (channel, side));
            BTreeSet::from_iter(names.map(|key| key.2))
        };
        for dialect in dialect::DIALECTS {
            let known = |names: &[&'static str]| BTreeSet::from_iter(names.iter().copied());
            let name = dialect.name;
            assert_eq!(told(name, "client"), known(dialect.frames), "{name}");
            assert_eq!(told(name, "server"), known(dialect.events), "{name}");
        }
        for (channel, _, name) in &keys {
            let mut known = dialect::DIALECTS.iter();
            let is_known = known.any(|dialect| dialect.name == *channel);
            assert!(is_known, "{channel} is no dialect: {name}");
        }
    }

    #[test]
    fn the_close_codes_are_told_as_the_code_has_them() {
        let told: Vec<_> = document()["info"]["x-close-codes"]
            .as_sequence()
            .expect("codes")
            .iter()
            .map(|row| {
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                let texts = (text("reason"), text("comes-back"), text("meaning"));
                (row["code"].as_u64().unwrap_or_default(), texts)
            })
            .collect();
        let known = close::TABLE.iter().map(|row| {
            let comes_back = match row.comes_back {
                close::Return::AfterRandomWait => "after-random-wait",
                close::Return::OnceMended => "once-mended",
                close::Return::Never => "never",
            };
            let texts = [row.close.reason, comes_back, row.meaning].map(str::to_owned);
            (u64::from(row.close.code), texts.into())
        });
        assert_eq!(told, known.collect::<Vec<_>>());
    }

    #[test]
    fn the_readme_lists_the_close_codes() {
        let readme = include_str!("../../README.md");
        for row in close::TABLE {
            let line = format!("| {} | {} |", row.close.code, row.meaning);
            assert!(readme.contains(&line), "README.md lacks {line}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            assert!(resolve(&document, &reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_frame_has_an_example_with_the_keys_that_it_must_have_and_no_unknown_one() {
        let document = document();
        let messages = resolve(&document, "#/components/messages").and_then(Value::as_mapping);
        for (key, message) in messages.expect("messages") {
            let key = key.as_str().expect("a name");
            let schemas = schemas(&document, &message["payload"]);
            let keys = |of: &str| -> Vec<&str> {
                let lists = schemas.iter().filter_map(|schema| schema.get(of));
                let keys = lists.flat_map(|list| match list {
                    Value::Mapping(properties) => properties.keys().collect::<Vec<_>>(),
                    Value::Sequence(names) => names.iter().collect(),
                    _ => Vec::new(),
                });
                keys.filter_map(Value::as_str).collect()
            };
            let (required, known) = (keys("required"), keys("properties"));
            let examples = message["examples"].as_sequence().expect("examples");
            assert!(!examples.is_empty(), "{key}");
            for example in examples {
                let payload = example["payload"].as_mapping().expect("an object");
                assert_eq!(message["name"].as_str(), Some(parts(key).2), "{key}");
                if let Some(named) = payload.get("type").and_then(Value::as_str) {
                    assert_eq!(named, parts(key).2, "{key}");
                }
                for required in &required {
                    assert!(payload.contains_key(*required), "{key}: {required}");
                }
                for given in payload.keys().filter_map(Value::as_str) {
                    assert!(known.contains(&given), "{key}: {given}");
                }
            }
        }
    }

    #[test]
    fn every_frame_belongs_to_its_channel_and_to_an_operation() {
        let document = document();
        let mut told = Vec::new();
        references(&document["operations"], &mut told);
        let messages = resolve(&document, "#/components/messages").and_then(Value::as_mapping);
        for key in messages.expect("messages").keys().filter_map(Value::as_str) {
            let channel = parts(key).0;
            let reference = format!("#/channels/{channel}/messages/{key}");
            assert!(resolve(&document, &reference).is_some(), "{reference}");
            assert!(told.contains(&reference), "{reference}");
        }
    }
}
