//! What is heard on sockets is what `openapi/asyncapi.yaml` says: the frames of the transcripts, which are replayed key by
//! key over real sockets, are held against its schemas.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

/// `openapi/asyncapi.yaml`.
struct Described(Value);

impl Described {
    fn read() -> Self {
        let yaml = include_str!("../../openapi/asyncapi.yaml");
        Self(serde_yaml_ng::from_str(yaml).expect("YAML"))
    }

    /// The payload of a dialect's frame of the server's.
    fn payload(&self, dialect: &str, kind: &str) -> Option<&Value> {
        let own = match dialect {
            "chat" => format!("server.{kind}"),
            _ => format!("{dialect}.server.{kind}"),
        };
        self.0["components"]["messages"].get(own)?.get("payload")
    }

    /// The parts that `$ref` and `allOf` put together.
    fn parts<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        if let Some(reference) = schema["$ref"].as_str() {
            let path = reference.trim_start_matches("#/").split('/');
            let referred = path.fold(&self.0, |at, key| &at[key]);
            assert!(!referred.is_null(), "{reference} leads nowhere");
            return self.parts(referred);
        }
        match schema["allOf"].as_array() {
            Some(parts) => parts.iter().flat_map(|part| self.parts(part)).collect(),
            None => vec![schema],
        }
    }

    /// Whether a value has the keys that its schema asks for and no others, down to the last object.
    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let parts = self.parts(schema);
        for choices in parts.iter().filter_map(|part| part["oneOf"].as_array()) {
            let mut tried = choices.iter().map(|choice| self.fits(choice, value));
            if !tried.any(|tried| tried.is_ok()) {
                return Err(format!("none of its forms is {value}"));
            }
        }
        match value {
            Value::Object(given) => {
                let objects = parts
                    .iter()
                    .filter_map(|part| part["properties"].as_object());
                let known: BTreeMap<&String, &Value> = objects.flatten().collect();
                let required = parts.iter().filter_map(|part| part["required"].as_array());
                for key in required.flatten().filter_map(Value::as_str) {
                    if !given.contains_key(key) {
                        return Err(format!("{key} is missing"));
                    }
                }
                for (key, value) in given {
                    match known.get(key) {
                        // An object that is described elsewhere.
                        None if known.is_empty() => {}
                        None => return Err(format!("{key} isn't described")),
                        Some(schema) => self
                            .fits(schema, value)
                            .map_err(|why| format!("{key}: {why}"))?,
                    }
                }
                Ok(())
            }
            Value::Array(values) => {
                let items = parts.iter().find_map(|part| part.get("items"));
                let mut values = values.iter();
                items.map_or(Ok(()), |items| {
                    values.try_for_each(|value| self.fits(items, value))
                })
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn every_frame_that_the_transcripts_hear_is_described() {
    let described = Described::read();
    let mut heard = BTreeMap::new();
    for dialect in ["chat", "chats", "room", "lobby"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
        for entry in fs::read_dir(dir.join(dialect)).expect("the transcripts") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a transcript");
            for line in text.lines() {
                let Some((_, frame)) = line.split_once(" < ") else {
                    continue;
                };
                let frame: Value = serde_json::from_str(frame).expect("JSON");
                let Some(kind) = frame["type"].as_str() else {
                    continue; // the room's errors have none
                };
                // Whatever is the same on /ws/chats/ is described as the chat dialect's.
                let payload = described.payload(dialect, kind);
                let payload = payload.or_else(|| described.payload("chat", kind));
                let place = path.display();
                let payload = payload.unwrap_or_else(|| panic!("{place}: {kind} isn't described"));
                if let Err(why) = described.fits(payload, &frame) {
                    panic!("{place}: {why}: {line}");
                }
                *heard.entry((dialect, kind.to_owned())).or_insert(0) += 1;
            }
        }
    }
    assert!(heard.len() > 25, "hardly anything is heard: {heard:?}");
}

#[test]
fn a_frame_that_lacks_a_key_or_has_an_unknown_one_does_not_fit() {
    let described = Described::read();
    let typing = described.payload("chat", "typing").expect("typing");
    let fits = |frame: &str| described.fits(typing, &serde_json::from_str(frame).expect("JSON"));
    fits(r#"{"type": "typing", "user_id": 1, "username": "anna", "is_typing": true}"#)
        .expect("fits");
    fits(r#"{"type": "typing", "user_id": 1, "is_typing": true}"#).expect_err("no username");
    fits(r#"{"type": "typing", "user_id": 1, "username": "anna", "is_typing": true, "x": 1}"#)
        .expect_err("an unknown key");
}
