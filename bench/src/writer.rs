//! The writer alone: the service's own path of a message, checks and publishing included, without a socket.
//!
//! As many tasks as `singles` has send through the domain of a service that nobody is connected to.

use std::{
    error::Error,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use entity::{ChatId, ChatKind, ContentType, Role, UserId, chat, member, user};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait};
use tertulia::{
    chat::{Actor, ChatError, Domain, Profile, SendMessage},
    data_dir::DataDir,
    service::{Service, open_store},
    settings::{Bind, DatabaseUrl, Settings},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sends messages from many tasks at once through the writer, and prints how many a second were committed.
#[derive(Parser)]
#[command(version)]
struct Writer {
    /// The data directory, which is made
    data_dir: PathBuf,

    /// An empty database; without it, a file in the data directory
    #[arg(long)]
    database_url: Option<String>,

    /// Tasks, each with a message on its way
    #[arg(long, default_value_t = 256)]
    tasks: i64,

    /// Chats that they write to
    #[arg(long, default_value_t = 64)]
    chats: i64,

    /// How long to measure
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

const TEXT: &str = "0 123456 123456789012 xxxxxxxxxxxxxxxxxx";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let writer = Writer::parse();
    let mut settings = Settings::defaults();
    settings.storage.data_dir = writer.data_dir.clone();
    if let Some(url) = &writer.database_url {
        settings.storage.database_url = DatabaseUrl::new(url);
    }
    settings.listening.bind = vec![Bind::Tcp("127.0.0.1:0".parse()?)];
    settings.limits.messages_per_minute = 0;
    let service = Service::start(settings.clone()).await?;
    populate(&writer, &settings).await?;

    let is_over = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..writer.tasks {
        let chat = ChatId(task % writer.chats + 1);
        tasks.spawn(send(
            service.domain().clone(),
            chat,
            UserId(task + 1),
            is_over.clone(),
        ));
    }
    tokio::time::sleep(Duration::from_secs(writer.seconds)).await;
    is_over.store(true, Ordering::Relaxed);
    let mut commits = 0;
    for sent in tasks.join_all().await {
        commits += sent?;
    }
    let per_second = (commits as f64 / started.elapsed().as_secs_f64()).round();
    println!(
        r#"{{"scenario":"writer","tasks":{},"chats":{},"commits_per_second":{per_second}}}"#,
        writer.tasks, writer.chats
    );
    service.stop().await;
    Ok(())
}

/// A user for each task, in one chat each.
async fn populate(writer: &Writer, settings: &Settings) -> Result<(), Box<dyn Error>> {
    let store = open_store(settings, &DataDir::open(&writer.data_dir)?).await?;
    let now = chrono::Utc::now();
    for task in 0..writer.tasks {
        let user = user::ActiveModel {
            username: Set(format!("user{task}")),
            password: Set("!".to_owned()),
            email: Set(String::new()),
            first_name: Set(String::new()),
            last_name: Set(String::new()),
            is_staff: Set(false),
            is_active: Set(true),
            date_joined: Set(now),
            changed_at: Set(now),
            ..Default::default()
        };
        user.insert(store.write()).await?;
    }
    for number in 0..writer.chats {
        let chat = chat::ActiveModel {
            kind: Set(ChatKind::Group),
            name: Set(Some("writer".to_owned())),
            created_by: Set(UserId(1)),
            created_at: Set(now),
            ..Default::default()
        };
        let chat = chat.insert(store.write()).await?;
        let members = (0..writer.tasks)
            .filter(|task| task % writer.chats == number)
            .map(|task| member::ActiveModel {
                chat_id: Set(chat.id),
                user_id: Set(UserId(task + 1)),
                role: Set(Role::Member),
                joined_at: Set(now),
                last_read_seq: Set(entity::Seq(0)),
                cleared_seq: Set(entity::Seq(0)),
                cleared_count: Set(0),
            });
        member::Entity::insert_many(members)
            .exec_without_returning(store.write())
            .await?;
    }
    store.close().await;
    Ok(())
}

/// Sends until it is over; gives back how many were committed.
async fn send(
    domain: Arc<Domain>,
    chat: ChatId,
    user: UserId,
    is_over: Arc<AtomicBool>,
) -> Result<u64, ChatError> {
    let profile = Profile {
        id: user,
        username: String::new(),
        first_name: String::new(),
        last_name: String::new(),
    };
    let actor = Actor {
        user: Arc::new(profile),
        is_staff: false,
        session: None,
        token_expires_at: domain.now(),
        token_issued_at: None,
        connection: None,
    };
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        let message = SendMessage {
            chat,
            text: TEXT.to_owned(),
            client_id: Some(sent.to_string()),
            reply_to: None,
            content_type: ContentType::Text,
        };
        domain.messages.send(&actor, message).await?;
        sent += 1;
    }
    Ok(sent)
}
