//! SIGKILL at random moments, again and again, while several people write, edit and delete: what
//! was acknowledged is there, nothing is doubled, and every reader's log is the same.
//!
//! `TERTULIA_TEST_SEED` repeats a run's choices (not its timing).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::{
    Chat, Heard, Message, Person, Phone, binary::Binary, look_around, until, within,
};

const ROUNDS: usize = 20;

/// What one sender was promised: by client id, the message as it was acknowledged.
type Promised = HashMap<String, Message>;

/// Tells the senders when the story is over.
#[derive(Clone, Default)]
struct Over(Arc<AtomicBool>);

impl Over {
    fn is_near(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
/// acknowledged when the connection died.
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
            while is_alive && !waiting.is_empty() {
                match phone.next().await {
                    Heard::Frame(frame) => is_acknowledged(&frame, &mut waiting, &mut promised),
                    Heard::Closed(_) => is_alive = false,
                }
            }
            if !is_alive {
                break;
            }
        }
    }
}

fn is_acknowledged(frame: &Value, waiting: &mut Vec<String>, promised: &mut Promised) {
    let Some(id) = frame["client_id"].as_str() else {
        return;
    };
    assert_ne!(frame["type"], "error", "{frame}");
    let message = Message::of(&frame["data"]);
    waiting.retain(|waits| waits != id);
    let first = promised
        .entry(id.to_owned())
        .or_insert_with(|| message.clone());
    assert_eq!(
        (first.id, first.seq),
        (message.id, message.seq),
        "{id} was promised as another"
    );
}

/// Sends over REST, and edits and deletes some of it; what the answers promised.
async fn sends_over_rest(
    person: Person,
    chat: Chat,
    over: Over,
) -> (Promised, HashMap<i64, String>) {
    let (mut promised, mut texts) = (Promised::new(), HashMap::new());
    let base = format!("/api/chats/{chat}/messages/");
    let answered = |request: crate::support::Request| {
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
            let is_near = over.is_near();
            match phone.next_unless_silent(Duration::from_millis(300)).await {
                Some(Heard::Frame(frame))
                    if frame["type"] == "synced" && frame["has_more"] == true =>
                {
                    phone.syncs(phone.seq()).await;
                }
                Some(Heard::Frame(_)) => {}
                Some(Heard::Closed(_)) => break,
                None if is_near && phone.seq() == last_of(&person, &chat).await => {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_doubled_however_often_it_is_killed() {
    let seed = std::env::var("TERTULIA_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().random());
    println!("TERTULIA_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let no_limits = [
        "--messages-per-minute",
        "0",
        "--changes-per-minute",
        "0",
        "--history-per-minute",
        "0",
        "--frames-per-second",
        "0",
        "--access-token-lifetime",
        "1h",
    ];
    let mut binary = Binary::serves(&no_limits).await;
    let people = ["anna", "boris", "clara", "dora", "emil", "fred"];
    let [anna, boris, clara, dora, emil, fred] = binary.users(people).await;
    let chats = [
        anna.creates_group("trip", [&boris, &clara, &dora, &emil, &fred])
            .await,
        anna.creates_group("work", [&boris, &clara, &dora, &emil, &fred])
            .await,
    ];
    let over = Over::default();
    let mut on_sockets = Vec::new();
    let mut over_rest = Vec::new();
    let mut readers = Vec::new();
    for chat in chats {
        for person in [&anna, &boris, &clara] {
            let mut person = person.clone();
            person.name = format!("{}-in-{chat}", person.name);
            on_sockets.push(tokio::spawn(sends_on_a_socket(person, chat, over.clone())));
        }
        over_rest.push((
            chat,
            tokio::spawn(sends_over_rest(dora.clone(), chat, over.clone())),
        ));
        for person in [&emil, &fred] {
            readers.push((
                chat,
                tokio::spawn(reads(person.clone(), chat, over.clone())),
            ));
        }
    }
    for round in 0..ROUNDS {
        // A random moment is what this story is about; nothing is waited for here.
        tokio::time::sleep(Duration::from_millis(random.random_range(20..400))).await;
        binary.is_killed();
        println!("round {round}: killed");
        binary.starts_again().await;
    }
    over.0.store(true, Ordering::Relaxed);

    let mut promised = Promised::new();
    for sender in on_sockets {
        promised.extend(
            within("a sender to finish", sender)
                .await
                .expect("a sender"),
        );
    }
    let database = look_around::open(&binary.database()).await;
    let mut texts = HashMap::new();
    for (_, sender) in over_rest {
        let (of_one, changed) = within("a sender to finish", sender)
            .await
            .expect("a sender");
        // Both chats' ids begin with the same name: they are told apart by the message.
        promised.extend(
            of_one
                .into_iter()
                .map(|(id, message)| (format!("{id}@{}", message.shown["chat"]), message)),
        );
        texts.extend(changed);
    }
    assert!(
        promised.len() > ROUNDS,
        "hardly anything was sent: {}",
        promised.len()
    );

    let mut logs: HashMap<i64, Vec<(Person, Vec<Value>)>> = HashMap::new();
    for (chat, reader) in readers {
        let log = within("a reader to finish", reader)
            .await
            .expect("a reader");
        logs.entry(chat.id).or_default().push((anna.clone(), log));
    }

    look_around::numbers_without_gap(&database)
        .await
        .expect("every number exactly once");
    let mut rows = HashMap::new();
    for chat in chats {
        for row in look_around::messages(&database, chat.id).await {
            let key = (chat.id, row.sender_id, row.client_id.clone());
            assert!(
                rows.insert(key, row).is_none(),
                "a client id made two messages"
            );
        }
    }
    let by_id: HashMap<i64, _> = rows.values().map(|row| (row.id.0, row)).collect();
    for (id, message) in &promised {
        let row = by_id
            .get(&message.id)
            .unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
        assert_eq!(row.seq.0, message.seq, "{id}");
        let text = texts.get(&message.id).unwrap_or(&message.text);
        assert_eq!(&row.text, text, "{id}");
    }
    println!("{} promises kept over {ROUNDS} kills", promised.len());

    for (chat, logs) in logs {
        let last = last_of(&anna, &Chat { id: chat }).await;
        let shape = |frame: &Value| {
            let message = frame["data"]["id"].as_i64();
            (frame["seq"].as_i64(), frame["type"].to_string(), message)
        };
        let shapes: Vec<Vec<_>> = logs
            .iter()
            .map(|(_, log)| log.iter().map(shape).collect())
            .collect();
        assert_eq!(
            shapes[0].len(),
            usize::try_from(last).expect("a number"),
            "chat {chat}"
        );
        assert_eq!(
            shapes[0], shapes[1],
            "two readers of chat {chat} heard differently"
        );
    }
}
