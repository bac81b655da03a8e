use std::sync::atomic::{AtomicUsize, Ordering};

use entity::{ChatKind, ContentType, MessageId, Role, Seq, UserId, message};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, QueryOrder,
};
use test_database::{Kind, Proxy, TestDatabase};

use super::*;
use crate::{
    chat::{Profile, Text, Thing, What},
    store::{NewChatRow, StoreOptions, database_time},
};

/// What the writer has published.
#[derive(Default)]
struct Heard(Mutex<Vec<Arc<ChatEvent>>>);

impl Publish for Heard {
    fn publish(&self, events: Vec<Arc<ChatEvent>>) {
        self.0.lock().extend(events);
    }
}

struct Desktop {
    store: Store,
    writer: Writer,
    heard: Arc<Heard>,
    anna: Arc<Profile>,
    chats: Vec<ChatId>,
    database: Arc<TestDatabase>,
}

impl Desktop {
    async fn open(chats: usize, commit: Commit) -> Desktop {
        let database = Arc::new(TestDatabase::new());
        let url = database.url().to_owned();
        Desktop::open_at(chats, commit, database, url).await
    }

    async fn open_at(
        chats: usize,
        commit: Commit,
        database: Arc<TestDatabase>,
        url: String,
    ) -> Desktop {
        let store = Store::open(&StoreOptions::alone(url)).await.unwrap();
        let now = database_time();
        let anna = entity::user::ActiveModel {
            username: Set("anna".into()),
            password: Set(String::new()),
            email: Set(String::new()),
            first_name: Set(String::new()),
            last_name: Set(String::new()),
            is_staff: Set(false),
            is_active: Set(true),
            date_joined: Set(now),
            changed_at: Set(now),
            ..Default::default()
        };
        let anna = anna.insert(store.write()).await.unwrap();
        let profile = Profile {
            id: anna.id,
            username: anna.username,
            first_name: String::new(),
            last_name: String::new(),
        };
        let mut made = Vec::new();
        for _ in 0..chats {
            let row = NewChatRow {
                kind: ChatKind::Group,
                name: Some("trip".into()),
                room: None,
                pair_key: None,
                support_user_id: None,
                created_by: anna.id,
                created_at: now,
                is_private: false,
                members: vec![(anna.id, Role::Owner)],
            };
            made.push(store.create_chat(row).await.unwrap().id);
        }
        let people = Arc::new(People::new(store.clone()));
        let heard = Arc::new(Heard::default());
        let writer = Writer::start(store.clone(), commit, people, heard.clone());
        Desktop {
            store,
            writer,
            heard,
            anna: Arc::new(profile),
            chats: made,
            database,
        }
    }

    /// Another node of the same database, whose writer is its own.
    async fn beside(&self) -> Desktop {
        let options = StoreOptions::alone(self.database.url().to_owned());
        let store = Store::open(&options).await.unwrap();
        let people = Arc::new(People::new(store.clone()));
        let writer = Writer::start(store.clone(), Commit::default(), people, self.heard.clone());
        Desktop {
            store,
            writer,
            heard: self.heard.clone(),
            anna: self.anna.clone(),
            chats: self.chats.clone(),
            database: self.database.clone(),
        }
    }

    async fn send(
        &self,
        chat: ChatId,
        text: &str,
        client_id: Option<&str>,
    ) -> Result<Sent, ChatError> {
        self.send_as(&self.anna, chat, text, client_id, None).await
    }

    async fn send_as(
        &self,
        sender: &Arc<Profile>,
        chat: ChatId,
        text: &str,
        client_id: Option<&str>,
        reply_to: Option<MessageId>,
    ) -> Result<Sent, ChatError> {
        let message = NewMessage {
            chat,
            text: Text::parse(text, 1000).unwrap(),
            content_type: ContentType::Text,
            client_id: client_id.map(str::to_owned),
            reply_to,
            sender: sender.clone(),
            is_staff: false,
            by: By {
                user: sender.id,
                connection: None,
            },
            file: None,
        };
        self.writer.append(message, Ok(Slot::free()))?.await
    }

    async fn rows(&self, chat: ChatId) -> Vec<message::Model> {
        use sea_orm::{ColumnTrait, QueryFilter};
        let rows = message::Entity::find().filter(message::Column::ChatId.eq(chat));
        rows.order_by_asc(message::Column::Seq)
            .all(self.store.read())
            .await
            .unwrap()
    }

    /// Every acknowledged text is there once, the numbers have no gap, and what was told is what is there.
    async fn check(&self, acknowledged: &[String]) {
        let mut texts = Vec::new();
        let mut ids = Vec::new();
        for chat in &self.chats {
            let rows = self.rows(*chat).await;
            let seqs: Vec<i64> = rows.iter().map(|row| row.seq.0).collect();
            assert_eq!(
                seqs,
                (1..=seqs.len() as i64).collect::<Vec<_>>(),
                "chat {chat}"
            );
            assert!(
                rows.is_sorted_by_key(|row| row.timestamp),
                "chat {chat}: time went back"
            );
            let head = self.store.find_chat(*chat).await.unwrap().unwrap();
            assert_eq!(
                (head.last_seq, head.message_count),
                (Seq(seqs.len() as i64), seqs.len() as i64)
            );
            let told: Vec<(i64, i64)> = self
                .heard
                .0
                .lock()
                .iter()
                .filter(|event| event.chat == *chat)
                .filter_map(|event| match &event.what {
                    What::Sent(message) => Some((event.seq?.0, message.id.0)),
                    _ => None,
                })
                .collect();
            assert_eq!(
                told,
                rows.iter()
                    .map(|row| (row.seq.0, row.id.0))
                    .collect::<Vec<_>>(),
                "chat {chat}"
            );
            texts.extend(rows.iter().map(|row| row.text.clone()));
            ids.extend(rows.into_iter().map(|row| row.id));
        }
        let mut expected = acknowledged.to_vec();
        expected.sort();
        texts.sort();
        assert_eq!(texts, expected);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), texts.len());
    }
}

/// Sends from many tasks at once; the texts that were acknowledged.
async fn storm(desktop: &Arc<Desktop>, senders: usize, each: usize) -> Vec<String> {
    let tasks: Vec<_> = (0..senders)
        .map(|sender| {
            let desktop = desktop.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0..each {
                    let chat = desktop.chats[(sender + number) % desktop.chats.len()];
                    let text = format!("{sender}/{number}");
                    let sent = desktop.send(chat, &text, None).await.unwrap();
                    assert!(!sent.repeat);
                    assert_eq!(sent.message.text, text);
                    acknowledged.push(text);
                }
                acknowledged
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_at_once_is_committed_in_groups_and_told_in_order() {
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = commits.clone();
    let commit = Commit::new(move |transaction| {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(transaction.commit())
    });
    let desktop = Arc::new(Desktop::open(3, commit).await);
    let acknowledged = storm(&desktop, 64, 10).await;
    desktop.check(&acknowledged).await;
    assert_eq!(acknowledged.len(), 640);
    let commits = commits.load(Ordering::Relaxed);
    assert!(
        commits < 320,
        "{commits} commits for 640 messages of 64 senders"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_commit_neither_loses_nor_doubles_messages_without_client_ids() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let number = Arc::new(AtomicUsize::new(seed as usize % 1000));
    let commit = Commit::new(move |transaction| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let cut = || DbErr::Conn(sea_orm::RuntimeErr::Internal("cut at COMMIT".into()));
        Box::pin(async move {
            match number % 5 {
                // The commit happens, its answer is lost.
                0 | 3 => {
                    transaction.commit().await?;
                    Err(cut())
                }
                // The commit never arrives.
                1 => {
                    transaction.rollback().await?;
                    Err(cut())
                }
                _ => transaction.commit().await,
            }
        })
    });
    let desktop = Arc::new(Desktop::open(4, commit).await);
    let acknowledged = storm(&desktop, 32, 20).await;
    assert_eq!(acknowledged.len(), 640);
    desktop.check(&acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_on_the_wire_neither_loses_nor_doubles_messages_without_client_ids() {
    if test_database::kind() == Kind::Sqlite {
        return; // it has no wire
    }
    let database = Arc::new(TestDatabase::new());
    let proxy = Arc::new(Proxy::before(&database));
    let url = database.url_by(&proxy);
    let number = Arc::new(AtomicUsize::new(0));
    let (cuts, counted) = (proxy.clone(), number.clone());
    let commit = Commit::new(move |transaction| {
        match counted.fetch_add(1, Ordering::Relaxed) % 4 {
            // The server commits, and its answer is lost.
            0 => cuts.swallows_an_answer(),
            // COMMIT doesn't arrive.
            2 => cuts.cuts(),
            _ => {}
        }
        Box::pin(transaction.commit())
    });
    let desktop = Arc::new(Desktop::open_at(4, commit, database, url).await);
    let acknowledged = storm(&desktop, 16, 10).await;
    assert_eq!(acknowledged.len(), 160);
    assert!(
        number.load(Ordering::Relaxed) > 8,
        "hardly anything was cut"
    );
    desktop.beside().await.check(&acknowledged).await; // by connections that were not cut
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_writers_of_the_same_chats_never_show_a_deadlock() {
    let first = Desktop::open(16, Commit::default()).await;
    let mut nodes = Vec::new();
    for _ in 1..8 {
        nodes.push(Arc::new(first.beside().await));
    }
    nodes.push(Arc::new(first));
    let storms = nodes.iter().enumerate().map(|(number, node)| {
        let node = node.clone();
        tokio::spawn(async move {
            let senders = (0..8).map(|sender| {
                let node = node.clone();
                async move {
                    for count in 0..10 {
                        let chat = node.chats[(number * 5 + sender * 3 + count * 7) % 16];
                        let sent = node.send(chat, "all at once", None).await;
                        assert!(sent.is_ok(), "{sent:?}");
                    }
                }
            });
            futures_util::future::join_all(senders).await;
        })
    });
    for storm in storms.collect::<Vec<_>>() {
        storm.await.unwrap();
    }
    let mut count = 0;
    for chat in &nodes[0].chats {
        let rows = nodes[0].rows(*chat).await;
        let numbers = rows.iter().map(|row| row.seq.0);
        assert!(numbers.eq(1..=rows.len() as i64), "chat {chat}");
        assert!(rows.is_sorted_by_key(|row| (row.timestamp, row.id)));
        count += rows.len();
    }
    assert_eq!(count, 640);
}

#[tokio::test]
async fn one_bad_row_fails_alone() {
    let desktop = Arc::new(Desktop::open(1, Commit::default()).await);
    let poison = match test_database::kind() {
        Kind::Sqlite => {
            "CREATE TRIGGER poison BEFORE INSERT ON message WHEN NEW.text = 'poison' \
             BEGIN SELECT RAISE(ABORT, 'poison'); END"
        }
        Kind::Postgres | Kind::MySql => "ALTER TABLE message ADD CHECK (text <> 'poison')",
    };
    desktop
        .store
        .write()
        .execute_unprepared(poison)
        .await
        .unwrap();
    let chat = desktop.chats[0];
    let (before, bad, after) = tokio::join!(
        desktop.send(chat, "before", None),
        desktop.send(chat, "poison", None),
        desktop.send(chat, "after", None)
    );
    assert!(matches!(bad, Err(ChatError::Store(_))), "{bad:?}");
    assert!(before.is_ok() && after.is_ok());
    desktop.check(&["before".into(), "after".into()]).await;
}

#[tokio::test]
async fn a_stranger_fails_alone_and_is_told_nothing_else() {
    let desktop = Arc::new(Desktop::open(1, Commit::default()).await);
    let chat = desktop.chats[0];
    let stranger = Arc::new(Profile {
        id: UserId(999),
        ..Profile::clone(&desktop.anna)
    });
    // Once among members, and once after that, when all are looked at first.
    for round in 0..2 {
        let text = |name: &str| format!("{name} {round}");
        let (before, after) = (text("before"), text("after"));
        let (first, bad, nowhere, second) = tokio::join!(
            desktop.send(chat, &before, Some(&before)),
            desktop.send_as(&stranger, chat, "psst", None, None),
            desktop.send_as(&stranger, chat, "psst", None, Some(MessageId(777))),
            desktop.send(chat, &after, Some(&after))
        );
        for refused in [bad, nowhere] {
            assert!(matches!(refused, Err(ChatError::NotFound(Thing::Chat))));
        }
        assert!(first.is_ok() && second.is_ok());
    }
    let said = ["before 0", "after 0", "before 1", "after 1"];
    desktop.check(&said.map(str::to_owned)).await;
}

#[tokio::test]
async fn a_repeated_client_id_gives_the_first_message_within_a_batch_and_later() {
    let desktop = Arc::new(Desktop::open(2, Commit::default()).await);
    let [here, there] = desktop.chats[..] else {
        panic!("two chats")
    };
    let (first, second) = tokio::join!(
        desktop.send(here, "one", Some("k")),
        desktop.send(here, "another", Some("k"))
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(!first.repeat && second.repeat);
    assert_eq!(first.message, second.message);
    let third = desktop.send(here, "one", Some("k")).await.unwrap();
    assert!(third.repeat);
    assert_eq!(third.message, first.message);
    let elsewhere = desktop.send(there, "elsewhere", Some("k")).await.unwrap();
    assert!(
        !elsewhere.repeat,
        "a client id is the chat's and sender's own"
    );
    desktop.check(&["one".into(), "elsewhere".into()]).await;
}

#[tokio::test]
async fn client_ids_that_differ_in_case_accent_or_blank_are_different_ones() {
    let desktop = Desktop::open(1, Commit::default()).await;
    let chat = desktop.chats[0];
    let ids = ["k", "K", "k ", " k", "ķ", "k\u{327}", "😀", "😁"];
    for round in 0..2 {
        for id in ids {
            let sent = desktop.send(chat, &format!("as {id}"), Some(id)).await;
            assert_eq!(sent.unwrap().repeat, round > 0, "{id:?}");
        }
    }
    let said: Vec<String> = ids
        .iter()
        .map(|id| format!("as {id}").trim().to_owned())
        .collect();
    desktop.check(&said).await;
}

#[tokio::test]
async fn over_the_limit_only_a_repeat_is_answered_and_a_failed_send_gives_its_slot_back() {
    let desktop = Desktop::open(1, Commit::default()).await;
    let chat = desktop.chats[0];
    let first = desktop.send(chat, "one", Some("k")).await.unwrap();
    let windows = crate::lease::Windows::<UserId>::new(1, Duration::from_secs(60));
    let message = |chat, client_id: Option<&str>| NewMessage {
        chat,
        text: Text::parse("two", 1000).unwrap(),
        content_type: ContentType::Text,
        client_id: client_id.map(str::to_owned),
        reply_to: None,
        sender: desktop.anna.clone(),
        is_staff: false,
        by: By {
            user: desktop.anna.id,
            connection: None,
        },
        file: None,
    };
    let full = crate::lease::Windows::<UserId>::new(1, Duration::from_secs(60));
    full.take_here(&desktop.anna.id).unwrap().keep();
    let over = OverLimit {
        windows: full,
        per_minute: 1,
        retry_after: Duration::from_secs(7),
    };
    let repeat = desktop
        .writer
        .append(message(chat, Some("k")), Err(over.clone()))
        .unwrap()
        .await
        .unwrap();
    assert_eq!((repeat.repeat, &repeat.message), (true, &first.message));
    let refused = desktop
        .writer
        .append(message(chat, Some("new")), Err(over))
        .unwrap()
        .await;
    assert!(matches!(
        refused,
        Err(ChatError::TooManyMessages { per_minute: 1, .. })
    ));

    let nowhere = ChatId(999);
    let slot = windows.take_here(&desktop.anna.id).unwrap();
    let missing = desktop
        .writer
        .append(message(nowhere, None), Ok(slot))
        .unwrap()
        .await;
    assert!(matches!(missing, Err(ChatError::NotFound(_))));
    let slot = windows
        .take_here(&desktop.anna.id)
        .expect("the failed send gave its slot back");
    desktop
        .writer
        .append(message(chat, None), Ok(slot))
        .unwrap()
        .await
        .unwrap();
    assert!(
        windows.take_here(&desktop.anna.id).is_err(),
        "an accepted send keeps it"
    );
    desktop.writer.stop().await;
    assert!(matches!(
        desktop.send(chat, "late", None).await,
        Err(ChatError::Unavailable)
    ));
}

#[tokio::test]
async fn while_the_database_is_locked_nothing_is_acknowledged_and_then_everything_is() {
    let desktop = Arc::new(Desktop::open(1, Commit::default()).await);
    let chat = desktop.chats[0];
    let lock = desktop.store.begin().await.unwrap();
    let waiting = tokio::spawn({
        let desktop = desktop.clone();
        async move { desktop.send(chat, "patience", None).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(lock);
    assert!(waiting.await.unwrap().is_ok());
    desktop.check(&["patience".into()]).await;
}

#[tokio::test]
async fn a_fault_in_one_batch_does_not_end_all_sending() {
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let commit = Commit::new(move |transaction| {
        assert!(
            !is_first.swap(false, Ordering::Relaxed),
            "a fault, made for this test"
        );
        Box::pin(transaction.commit())
    });
    let desktop = Desktop::open(1, commit).await;
    let chat = desktop.chats[0];
    assert!(matches!(
        desktop.send(chat, "lost", None).await,
        Err(ChatError::Unavailable)
    ));
    desktop.send(chat, "found", None).await.unwrap();
    desktop.check(&["found".into()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_one_call_and_whose_answer_is_lost_is_neither_lost_nor_doubled() {
    let chats = match test_database::kind() {
        Kind::Sqlite => 4,
        Kind::Postgres => 1,
        Kind::MySql => return, // it has no such batches
    };
    let (heard, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (answers, losses) = (heard.clone(), lost.clone());
    let commit = Commit::at_once(move |answer| {
        if answers.fetch_add(1, Ordering::Relaxed) % 3 != 0 {
            return answer;
        }
        losses.fetch_add(1, Ordering::Relaxed);
        Err(StoreError::Away("the answer was lost".into()))
    });
    let desktop = Arc::new(Desktop::open(chats, commit).await);
    let acknowledged = storm(&desktop, 16, 10).await;
    assert_eq!(acknowledged.len(), 160);
    desktop.check(&acknowledged).await;
    let (heard, lost) = (heard.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
    assert!(lost > 2 && heard > lost, "{lost} of {heard} were lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_others_wrote_to_or_deleted_is_looked_at_again() {
    let desktop = Desktop::open(1, Commit::default()).await;
    let (chat, other) = (desktop.chats[0], desktop.beside().await);
    let mut acknowledged = Vec::new();
    for number in 0..6 {
        let desktop = if number % 2 == 0 { &desktop } else { &other };
        // Twice, so that the second may go by what the first has found.
        for text in [format!("{number} a"), format!("{number} b")] {
            let sent = desktop.send(chat, &text, Some(&text)).await.unwrap();
            assert!(!sent.repeat);
            let again = desktop.send(chat, &text, Some(&text)).await.unwrap();
            assert!(again.repeat && again.message.id == sent.message.id);
            acknowledged.push(text);
        }
    }
    desktop.check(&acknowledged).await;

    let stranger = Arc::new(Profile {
        id: UserId(desktop.anna.id.0 + 1000),
        ..Profile::clone(&desktop.anna)
    });
    let refused = desktop.send_as(&stranger, chat, "let me in", None, None);
    assert!(matches!(
        refused.await,
        Err(ChatError::NotFound(Thing::Chat))
    ));
    let gone = entity::chat::ActiveModel {
        id: Set(chat),
        is_deleted: Set(true),
        ..Default::default()
    };
    gone.update(desktop.store.write()).await.unwrap();
    let late = desktop.send(chat, "too late", None).await;
    assert!(matches!(late, Err(ChatError::NotFound(Thing::Chat))));
    desktop.check(&acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_message_in_a_personal_chat_is_one_call_and_a_block_stops_it() {
    if test_database::kind() == Kind::MySql {
        return; // it has no such batches
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let commit = Commit::at_once(move |answer| {
        counted.fetch_add(1, Ordering::Relaxed);
        answer
    });
    let mut desktop = Desktop::open(0, commit).await;
    let other = UserId(desktop.anna.id.0 + 1000);
    let row = NewChatRow {
        kind: ChatKind::Personal,
        name: None,
        room: None,
        pair_key: Some("anna and another".into()),
        support_user_id: None,
        created_by: other,
        created_at: database_time(),
        is_private: false,
        members: vec![(desktop.anna.id, Role::Member), (other, Role::Member)],
    };
    let chat = desktop.store.create_chat(row).await.unwrap().id;
    desktop.chats.push(chat);
    for text in ["the row isn't known", "one call", "one more"] {
        desktop.send(chat, text, None).await.unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let block = entity::block::ActiveModel {
        user_id: Set(other),
        blocked_id: Set(desktop.anna.id),
    };
    block.insert(desktop.store.write()).await.unwrap();
    let refused = desktop.send(chat, "are you there?", None).await;
    assert!(
        matches!(refused, Err(ChatError::Forbidden(_))),
        "{refused:?}"
    );
    let told = ["the row isn't known", "one call", "one more"].map(str::to_owned);
    desktop.check(&told).await;
}
