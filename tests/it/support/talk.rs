//! People who go on talking and reading whatever happens to the servers: they connect again, send again under the same
//! client id, and resume by number. What they were promised and what they heard is compared in the end.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use sea_orm::DatabaseConnection;
use serde_json::{Value, json};

use super::{Chat, Heard, Message, Person, Phone, look_around, until, within};

/// What one sender was promised: by client id, the message as it was acknowledged.
type Promised = HashMap<String, Message>;

/// Tells everybody when the story is over, and hears how it goes on.
#[derive(Clone, Default)]
struct Over(Arc<Ending>);

#[derive(Default)]
struct Ending {
    is_near: AtomicBool,
    all_is_said: AtomicBool,
    counted: AtomicUsize,
}

impl Over {
    /// Nobody begins to write any more.
    fn is_near(&self) -> bool {
        self.0.is_near.load(SeqCst)
    }

    fn comes(&self) {
        self.0.is_near.store(true, SeqCst);
    }

    /// Nobody writes any more: what is the last number now stays it.
    fn all_is_said(&self) -> bool {
        self.0.all_is_said.load(SeqCst)
    }

    fn leaves_the_rest_to_readers(&self) {
        self.0.all_is_said.store(true, SeqCst);
    }

    /// One more send was acknowledged.
    fn counts(&self) {
        self.0.counted.fetch_add(1, SeqCst);
    }

    fn counted(&self) -> usize {
        self.0.counted.load(SeqCst)
    }
}

/// Connects whenever there is somebody to connect to.
async fn connects(person: &Person, chat: &Chat, since: Option<i64>) -> Phone {
    let query = since
        .map(|since| format!("?since={since}"))
        .unwrap_or_default();
    let handshake = person.handshake_at(&format!("/ws/chat/{chat}/{query}"));
    let mut phone = until("the server to be back", || handshake.try_enter()).await;
    phone.name = person.name.clone();
    if let Some(since) = since {
        phone.resumes_from(since);
    }
    phone
}

/// Sends on a socket, several at a time, and sends again under the same client id what wasn't
/// acknowledged when the connection died, or what the server had to refuse.
async fn sends_on_a_socket(person: Person, chat: Chat, over: Over) -> Promised {
    let mut promised = Promised::new();
    let mut waiting: Vec<String> = Vec::new();
    let mut made = 0_usize;
    loop {
        let mut phone = connects(&person, &chat, None).await;
        loop {
            if waiting.is_empty() {
                if over.is_near() {
                    return promised;
                }
                waiting = (made..made + 4)
                    .map(|number| format!("{}-{number}", person.name))
                    .collect();
                made += 4;
            }
            let mut is_alive = true;
            for id in &waiting {
                let frame = json!({"type": "message", "text": id, "client_id": id});
                is_alive = is_alive && phone.tries_to_send(frame).await;
            }
            let (mut unanswered, mut is_refused) = (waiting.len(), false);
            while is_alive && unanswered > 0 {
                match phone.next().await {
                    Heard::Frame(frame) => match answer(&frame, &mut waiting, &mut promised) {
                        Answer::Kept => {
                            unanswered -= 1;
                            over.counts();
                        }
                        Answer::Unavailable => {
                            unanswered -= 1;
                            is_refused = true;
                        }
                        Answer::None => {}
                    },
                    Heard::Closed(_) => is_alive = false,
                }
            }
            if !is_alive {
                break;
            }
            if is_refused {
                // As a client would: not at once.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Sends on a socket without client ids, so never the same again: what was promised, by its text.
async fn says_each_once(person: Person, chat: Chat, over: Over) -> Promised {
    let mut promised = Promised::new();
    let mut made = 0_usize;
    while !over.is_near() {
        let mut phone = connects(&person, &chat, None).await;
        'alive: while !over.is_near() {
            let text = format!("{}-once-{made}", person.name);
            made += 1;
            if !phone.tries_to_send(json!({"text": text})).await {
                break;
            }
            loop {
                match phone.next().await {
                    Heard::Frame(frame) if frame["data"]["text"] == *text => {
                        promised.insert(text, Message::of(&frame["data"]));
                        over.counts();
                        break;
                    }
                    Heard::Frame(frame) if frame["type"] == "error" => {
                        assert_eq!(frame["code"], "unavailable", "{frame}");
                        break;
                    }
                    Heard::Frame(_) => {}
                    Heard::Closed(_) => break 'alive,
                }
            }
        }
    }
    promised
}

/// What a frame is to one who waits for acknowledgements.
enum Answer {
    None,
    Kept,
    Unavailable,
}

fn answer(frame: &Value, waiting: &mut Vec<String>, promised: &mut Promised) -> Answer {
    let Some(id) = frame["client_id"].as_str() else {
        return Answer::None;
    };
    if frame["type"] == "error" {
        assert_eq!(frame["code"], "unavailable", "{frame}");
        return Answer::Unavailable;
    }
    let message = Message::of(&frame["data"]);
    let before = waiting.len();
    waiting.retain(|waits| waits != id);
    let first = promised
        .entry(id.to_owned())
        .or_insert_with(|| message.clone());
    assert_eq!(
        (first.id, first.seq),
        (message.id, message.seq),
        "{id} was promised as another"
    );
    match before > waiting.len() {
        true => Answer::Kept,
        false => Answer::None,
    }
}

/// Sends over REST, and edits and deletes some of it; what the answers promised.
async fn sends_over_rest(
    person: Person,
    chat: Chat,
    over: Over,
) -> (Promised, HashMap<i64, String>) {
    let (mut promised, mut texts) = (Promised::new(), HashMap::new());
    let base = format!("/api/chats/{chat}/messages/");
    let answered = |request: super::Request| {
        let to = person.to;
        async move {
            until("an answer", || async {
                let reply = request.try_send(to).await.ok()?;
                match reply.status {
                    503 => None,
                    _ => Some(reply),
                }
            })
            .await
        }
    };
    for number in 0.. {
        if over.is_near() {
            break;
        }
        let id = format!("{}-{number}", person.name);
        let body = json!({"text": id, "client_id": id});
        let reply = answered(person.request("POST", &base).json(&body)).await;
        assert!(
            matches!(reply.status, 200 | 201),
            "{}: {}",
            reply.status,
            reply.text()
        );
        over.counts();
        let message = Message::of(&reply.json());
        let target = format!("{base}{}/", message.id);
        match number % 4 {
            1 => {
                let body = json!({"text": "edited"});
                answered(person.request("PATCH", &target).json(&body))
                    .await
                    .expect(200);
                texts.insert(message.id, "edited".to_owned());
            }
            3 => {
                let reply = answered(person.request("DELETE", &target)).await;
                // A deletion that was carried out, its answer lost, may find nothing the second time.
                assert!(
                    matches!(reply.status, 204 | 404),
                    "{}: {}",
                    reply.status,
                    reply.text()
                );
                texts.insert(message.id, String::new());
            }
            _ => {}
        }
        promised.insert(id, message);
    }
    (promised, texts)
}

/// Reads and resumes by number until it has heard everything; what it heard, in its order.
async fn reads(person: Person, chat: Chat, over: Over) -> Vec<Value> {
    let (mut log, mut last_seq) = (Vec::new(), 0);
    loop {
        let mut phone = connects(&person, &chat, Some(last_seq)).await;
        loop {
            let all_is_said = over.all_is_said();
            match phone.next_unless_silent(Duration::from_millis(300)).await {
                Some(Heard::Frame(frame))
                    if frame["type"] == "synced" && frame["has_more"] == true =>
                {
                    phone.syncs(phone.seq()).await;
                }
                Some(Heard::Frame(_)) => {}
                Some(Heard::Closed(_)) => break,
                None if all_is_said && phone.seq() == last_of(&person, &chat).await => {
                    log.extend_from_slice(phone.log());
                    return log;
                }
                None => {}
            }
        }
        log.extend_from_slice(phone.log());
        last_seq = phone.seq();
    }
}

async fn last_of(person: &Person, chat: &Chat) -> i64 {
    person.sees(chat).await["last_seq"]
        .as_i64()
        .expect("the chat's last number")
}

/// People who write and read in some chats until the story is over.
#[derive(Default)]
pub(crate) struct Crowd {
    over: Over,
    on_sockets: Vec<tokio::task::JoinHandle<Promised>>,
    over_rest: Vec<tokio::task::JoinHandle<(Promised, HashMap<i64, String>)>>,
    readers: Vec<(Chat, Person, tokio::task::JoinHandle<Vec<Value>>)>,
}

impl Crowd {
    /// Somebody writes on a socket.
    pub(crate) fn writes(&mut self, person: &Person, chat: Chat) {
        let mut person = person.clone();
        person.name = format!("{}-in-{chat}", person.name);
        let writing = sends_on_a_socket(person, chat, self.over.clone());
        self.on_sockets.push(tokio::spawn(writing));
    }

    /// Somebody writes on a socket without client ids, and sends nothing again.
    pub(crate) fn says_once(&mut self, person: &Person, chat: Chat) {
        let mut person = person.clone();
        person.name = format!("{}-in-{chat}", person.name);
        let saying = says_each_once(person, chat, self.over.clone());
        self.on_sockets.push(tokio::spawn(saying));
    }

    /// Somebody writes over REST, edits and deletes.
    pub(crate) fn posts(&mut self, person: &Person, chat: Chat) {
        let posting = sends_over_rest(person.clone(), chat, self.over.clone());
        self.over_rest.push(tokio::spawn(posting));
    }

    /// Somebody reads.
    pub(crate) fn reads(&mut self, person: &Person, chat: Chat) {
        let reading = reads(person.clone(), chat, self.over.clone());
        self.readers
            .push((chat, person.clone(), tokio::spawn(reading)));
    }

    /// It goes on: sends are acknowledged from now on, too.
    pub(crate) async fn goes_on(&self) {
        let before = self.over.counted();
        until("more to be acknowledged", || async {
            (self.over.counted() >= before + 10).then_some(())
        })
        .await;
    }

    /// It goes on for so long: what happens in that time is what the story is about.
    pub(crate) async fn goes_on_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.goes_on().await;
    }

    /// The story is over: what was promised is kept, everybody heard everything once, in one order. How many promises
    /// there were.
    pub(crate) async fn ends(self, chats: &[Chat], database: &DatabaseConnection) -> usize {
        let over = self.over.clone();
        over.comes();
        let mut promised = Promised::new();
        for sender in self.on_sockets {
            let of_one = within("a sender to finish", sender).await;
            promised.extend(of_one.expect("a sender"));
        }
        let mut texts = HashMap::new();
        for sender in self.over_rest {
            let (of_one, changed) = within("a sender to finish", sender)
                .await
                .expect("a sender");
            // The same ids in several chats: they are told apart by the message.
            let of_one = of_one.into_iter();
            promised.extend(
                of_one.map(|(id, message)| (format!("{id}@{}", message.shown["chat"]), message)),
            );
            texts.extend(changed);
        }
        over.leaves_the_rest_to_readers();
        let mut logs: HashMap<i64, Vec<(Person, Vec<Value>)>> = HashMap::new();
        for (chat, person, reader) in self.readers {
            let log = within("a reader to finish", reader)
                .await
                .expect("a reader");
            logs.entry(chat.id).or_default().push((person, log));
        }
        promises_are_kept(&promised, &texts, chats, database).await;
        for (chat, logs) in &logs {
            all_heard_the_same(&Chat { id: *chat }, logs).await;
            heard_what_is_stored(&look_around::messages(database, *chat).await, &logs[0].1);
        }
        promised.len()
    }
}

async fn promises_are_kept(
    promised: &Promised,
    texts: &HashMap<i64, String>,
    chats: &[Chat],
    database: &DatabaseConnection,
) {
    look_around::numbers_without_gap(database)
        .await
        .expect("every number exactly once");
    let mut rows = HashMap::new();
    for chat in chats {
        for row in look_around::messages(database, chat.id).await {
            // Without a client id each was said once.
            let said = row.client_id.clone().unwrap_or_else(|| row.text.clone());
            let key = (chat.id, row.sender_id, said);
            let other = rows.insert(key.clone(), row);
            assert!(other.is_none(), "{key:?} made two messages");
        }
    }
    let by_id: HashMap<i64, _> = rows.values().map(|row| (row.id.0, row)).collect();
    for (id, message) in promised {
        let row = by_id
            .get(&message.id)
            .unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
        assert_eq!(row.seq.0, message.seq, "{id}");
        let text = texts.get(&message.id).unwrap_or(&message.text);
        assert_eq!(&row.text, text, "{id}");
    }
}

async fn all_heard_the_same(chat: &Chat, logs: &[(Person, Vec<Value>)]) {
    let shape = |frame: &Value| {
        let message = frame["data"]["id"].as_i64();
        (frame["seq"].as_i64(), frame["type"].to_string(), message)
    };
    let shapes: Vec<Vec<_>> = logs
        .iter()
        .map(|(_, log)| log.iter().map(shape).collect())
        .collect();
    let last = last_of(&logs[0].0, chat).await;
    let last = usize::try_from(last).expect("a number");
    for ((reader, _), heard) in logs.iter().zip(&shapes) {
        let name = &reader.name;
        assert_eq!(heard.len(), last, "chat {chat}: what {name} heard");
        assert_eq!(heard, &shapes[0], "chat {chat}: {name} heard otherwise");
    }
}

/// Each message came at its own number, and nothing came as a message that isn't one.
fn heard_what_is_stored(rows: &[entity::message::Model], log: &[Value]) {
    let stored: Vec<(i64, i64)> = rows.iter().map(|row| (row.seq.0, row.id.0)).collect();
    let number = |value: &Value| value.as_i64().expect("a number");
    let messages = log.iter().filter(|frame| frame["type"] == "message");
    let heard = messages.map(|frame| (number(&frame["seq"]), number(&frame["data"]["id"])));
    assert_eq!(heard.collect::<Vec<_>>(), stored);
}
