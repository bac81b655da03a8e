//! Replays `tests/transcripts/<dialect>/<story>.txt` over real sockets.
//!
//! A line is a step:
//!
//! | line | means |
//! |---|---|
//! | `group: anna, boris` | anna makes a group with the others; all sign up with `First Last` names of their own |
//! | `people: anna, boris` | they sign up, and that is all |
//! | `setting: messages_per_minute 3` | before anything else |
//! | `anna connects` / `anna connects since 4` | a socket; `connection_established` is the next frame |
//! | `operators: olga` | the same, and they are staff |
//! | `anna connects to /ws/room/general/` | a socket elsewhere |
//! | `anna connects as nobody to /ws/support/` | the same without a token |
//! | `anna signs in at /v1/auth/ {...}` | what their name and password are answered |
//! | `anna > {...}` | anna sends this text, JSON or not |
//! | `boris < {...}` | the next frame that boris hears has exactly these keys and values |
//! | `boris ~ {...}` | the next frame is this text, in which `...` stands for anything |
//! | `anna hangs up` | a clean close |
//! | `boris x 4003` | boris's socket is closed with this code |
//! | `anna POST /path/ {...}` | a request that must succeed |
//! | `# ...` | why |
//!
//! In what is heard, `"*"` is anything, `"<time>"` a time as DRF writes it, `"<stamp>"` one to the second, `"<id>"` a number;
//! `"$name"` is bound where it first stands and the same ever after, also in what is sent.
//! `$CHAT` and `$anna` (a user's id) are bound from the start; `"$anna as text"` is its digits, `"$anna's token"` an
//! access token.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tertulia::settings::Settings;

use crate::{
    readme::fits,
    support::{Chat, Handshake, Heard, Person, Phone, Request, Server, person::PASSWORD},
};

struct Replay {
    server: Server,
    people: HashMap<String, Person>,
    phones: HashMap<String, Phone>,
    bound: HashMap<String, Value>,
    chat: Option<Chat>,
}

impl Replay {
    async fn steps(&mut self, line: &str) -> Result<(), String> {
        if let Some(names) = line.strip_prefix("people:") {
            self.sign_up(names).await;
            return Ok(());
        }
        if let Some(names) = line.strip_prefix("group:") {
            self.makes_group(names).await;
            return Ok(());
        }
        if let Some(names) = line.strip_prefix("operators:") {
            self.sign_up_operators(names).await;
            return Ok(());
        }
        let (name, rest) = line.split_once(' ').ok_or("a step is: who does what")?;
        let rest = rest.trim();
        if let Some(target) = rest.strip_prefix("connects as nobody to ") {
            let handshake = self.server.handshake(target);
            return self.opens(name, handshake).await;
        }
        if let Some(door) = rest.strip_prefix("signs in at ") {
            return self.signs_in_at(name, door).await;
        }
        if let Some(target) = rest.strip_prefix("connects to ") {
            return self.connects_to(name, target).await;
        }
        if rest == "connects" || rest.starts_with("connects since ") {
            return self
                .connects(name, rest.strip_prefix("connects since "))
                .await;
        }
        if rest == "hangs up" {
            let phone = self.phones.remove(name).ok_or("not connected")?;
            phone.closes().await;
            return Ok(());
        }
        let (verb, what) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            ">" => {
                let frame = self.filled(what);
                self.phone(name)?.sends_text(&frame).await;
                Ok(())
            }
            "<" => {
                let heard = match self.phone(name)?.next().await {
                    Heard::Frame(frame) => frame,
                    Heard::Closed(close) => {
                        return Err(format!("{name} was closed with {close:?}"));
                    }
                };
                let wanted: Value =
                    serde_json::from_str(what).map_err(|error| error.to_string())?;
                self.fits(&wanted, &heard)
                    .map_err(|why| format!("{why}: heard {heard}"))
            }
            "~" => {
                let wanted = self.filled(what);
                let heard = self.phone(name)?.next_text().await;
                match fits(&wanted, &heard) {
                    true => Ok(()),
                    false => Err(format!("heard {heard}")),
                }
            }
            "x" => match self.phone(name)?.next().await {
                Heard::Closed(close) if close.code.to_string() == what => {
                    self.phones.remove(name);
                    Ok(())
                }
                heard => Err(format!("{name} heard {heard:?}")),
            },
            "POST" | "PATCH" | "DELETE" | "PUT" => self.asks(name, verb, what).await,
            _ => Err(format!("no such step: {verb}")),
        }
    }

    async fn sign_up(&mut self, names: &str) -> Vec<Person> {
        let mut people = Vec::new();
        for name in names.split(',').map(str::trim) {
            let person = self.server.user(name).await;
            self.bound.insert(format!("${name}"), json!(person.id));
            let token = format!("${name}'s token");
            self.bound.insert(token, json!(person.access));
            people.push(person.clone());
            self.people.insert(name.to_owned(), person);
        }
        people
    }

    async fn sign_up_operators(&mut self, names: &str) {
        for name in names.split(',').map(str::trim) {
            let person = self.server.operator(name).await;
            self.bound.insert(format!("${name}"), json!(person.id));
            self.people.insert(name.to_owned(), person);
        }
    }

    /// By the form of the support dialect's door.
    async fn signs_in_at(&mut self, name: &str, door: &str) -> Result<(), String> {
        let (path, wanted) = door.split_once(' ').ok_or("a door and its answer")?;
        let body = json!({"user_name": name, "password": PASSWORD});
        let request = Request::new("POST", path).json(&body);
        let answer = request.send(self.server.address()).await.expect(200);
        let wanted: Value = serde_json::from_str(wanted).map_err(|error| error.to_string())?;
        self.fits(&wanted, &answer)
            .map_err(|why| format!("{why}: answered {answer}"))
    }

    async fn makes_group(&mut self, names: &str) {
        let people = self.sign_up(names).await;
        let others: Vec<i64> = people[1..].iter().map(|person| person.id).collect();
        let group = json!({"kind": "group", "name": "transcript", "members": others});
        let chat = people[0].creates(group).await;
        self.bound.insert("$CHAT".to_owned(), json!(chat.id));
        self.chat = Some(chat);
    }

    async fn connects(&mut self, name: &str, since: Option<&str>) -> Result<(), String> {
        let chat = self.chat.ok_or("no group yet")?;
        let since = since.map(|since| self.filled(since));
        let query = since
            .map(|since| format!("?since={since}"))
            .unwrap_or_default();
        self.connects_to(name, &format!("/ws/chat/{chat}/{query}"))
            .await
    }

    async fn connects_to(&mut self, name: &str, target: &str) -> Result<(), String> {
        let handshake = self.people[name].handshake_at(target);
        self.opens(name, handshake).await
    }

    async fn opens(&mut self, name: &str, handshake: Handshake) -> Result<(), String> {
        let mut phone = handshake
            .open()
            .await
            .map_err(|refused| format!("{refused:?}"))?;
        phone.name = name.to_owned();
        self.phones.insert(name.to_owned(), phone);
        Ok(())
    }

    async fn asks(&mut self, name: &str, method: &str, what: &str) -> Result<(), String> {
        let what = self.filled(what);
        let (path, body) = what.split_once(' ').unwrap_or((&what, ""));
        let request = self.people[name].request(method, path);
        let request = match body {
            "" => request,
            body => request.body("application/json", body),
        };
        let reply = request.send(self.server.address()).await;
        match reply.status {
            200..300 => Ok(()),
            status => Err(format!("{status}: {}", reply.text())),
        }
    }

    fn phone(&mut self, name: &str) -> Result<&mut Phone, String> {
        self.phones
            .get_mut(name)
            .ok_or_else(|| format!("{name} is not connected"))
    }

    /// The text with what is bound filled in: `"$name"` with its quotes by the JSON, else bare.
    fn filled(&self, text: &str) -> String {
        let mut names: Vec<&String> = self.bound.keys().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let mut text = text.to_owned();
        for name in names {
            let value = self.bound[name].to_string();
            text = text
                .replace(&format!("\"{name} as text\""), &format!("\"{value}\""))
                .replace(&format!("\"{name}\""), &value)
                .replace(name.as_str(), &value);
        }
        text
    }

    fn fits(&mut self, wanted: &Value, heard: &Value) -> Result<(), String> {
        match (wanted, heard) {
            (Value::String(any), _) if any == "*" => Ok(()),
            (Value::String(id), Value::Number(_)) if id == "<id>" => Ok(()),
            (Value::String(time), Value::String(heard)) if time == "<time>" => {
                match is_time(heard) {
                    true => Ok(()),
                    false => Err(format!("{heard:?} is no time as DRF writes it")),
                }
            }
            (Value::String(name), _) if name.starts_with('$') && name.ends_with(" as text") => {
                let name = name.trim_end_matches(" as text");
                let digits = self.bound.get(name).map(Value::to_string);
                match digits.as_deref() == heard.as_str() {
                    true => Ok(()),
                    false => Err(format!("{name} is {digits:?}, not {heard}")),
                }
            }
            (Value::String(stamp), Value::String(heard)) if stamp == "<stamp>" => {
                let read = chrono::NaiveDateTime::parse_from_str(heard, "%Y-%m-%d %H:%M:%S");
                match read.is_ok() && heard.len() == 19 {
                    true => Ok(()),
                    false => Err(format!("{heard:?} is no time to the second")),
                }
            }
            (Value::String(name), _) if name.starts_with('$') => {
                let bound = self
                    .bound
                    .entry(name.clone())
                    .or_insert_with(|| heard.clone());
                match bound == heard {
                    true => Ok(()),
                    false => Err(format!("{name} is {bound}, not {heard}")),
                }
            }
            (Value::Object(wanted), Value::Object(heard)) => {
                let keys = |object: &serde_json::Map<String, Value>| {
                    let mut keys: Vec<String> = object.keys().cloned().collect();
                    keys.sort();
                    keys
                };
                if keys(wanted) != keys(heard) {
                    return Err(format!("keys {:?}, not {:?}", keys(wanted), keys(heard)));
                }
                wanted.iter().try_for_each(|(key, value)| {
                    self.fits(value, &heard[key])
                        .map_err(|why| format!("{key}: {why}"))
                })
            }
            (Value::Array(wanted), Value::Array(heard)) if wanted.len() == heard.len() => {
                let mut pairs = wanted.iter().zip(heard);
                pairs.try_for_each(|(wanted, heard)| self.fits(wanted, heard))
            }
            _ if wanted == heard => Ok(()),
            _ => Err(format!("wanted {wanted}, not {heard}")),
        }
    }
}

fn is_time(text: &str) -> bool {
    let has_form = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.fZ").is_ok();
    has_form && (text.len() == 20 || text.len() == 27)
}

fn set(settings: &mut Settings, line: &str) {
    let (name, value) = line
        .trim()
        .split_once(' ')
        .expect("a setting and its value");
    let value: u32 = value.parse().expect("a number");
    match name {
        "messages_per_minute" => settings.limits.messages_per_minute = value,
        "message_chars" => settings.limits.message_chars = value,
        _ => panic!("no setting {name} in transcripts"),
    }
}

async fn replays(path: &Path) {
    let text = fs::read_to_string(path).expect("a transcript");
    let name = path.file_name().expect("a name").to_string_lossy();
    let server = Server::start_with(|settings| {
        for line in text.lines() {
            if let Some(setting) = line.strip_prefix("setting:") {
                set(settings, setting);
            }
        }
    })
    .await;
    let mut replay = Replay {
        server,
        people: HashMap::new(),
        phones: HashMap::new(),
        bound: HashMap::new(),
        chat: None,
    };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with("setting:") {
            continue;
        }
        if let Err(why) = replay.steps(line).await {
            panic!("{name}:{}: {line}\n{why}", number + 1);
        }
    }
    replay.phones.clear();
}

#[tokio::test]
async fn every_transcript_of_the_chat_dialect_is_what_happens() {
    replays_all("chat", 5).await;
}

#[tokio::test]
async fn every_transcript_of_the_room_dialect_is_what_happens() {
    replays_all("room", 3).await;
}

#[tokio::test]
async fn every_transcript_of_the_lobby_dialect_is_what_happens() {
    replays_all("lobby", 2).await;
}

#[tokio::test]
async fn every_transcript_of_the_rpc_dialect_is_what_happens() {
    replays_all("rpc", 3).await;
}

/// All transcripts of a dialect, of which there are at least so many.
async fn replays_all(dialect: &str, at_least: usize) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let dir = dir.join(dialect);
    let entries = fs::read_dir(dir).expect("the transcripts");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= at_least, "{paths:?}");
    for path in paths {
        replays(&path).await;
    }
}

#[tokio::test]
async fn every_transcript_of_the_chats_dialect_is_what_happens() {
    replays_all("chats", 1).await;
}

#[tokio::test]
async fn every_transcript_of_the_support_dialect_is_what_happens() {
    replays_all("support", 3).await;
}
