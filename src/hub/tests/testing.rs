//! Nodes that share a database file, and people on them.

use std::sync::Arc;

use chrono::TimeDelta;
use entity::{ChatId, ChatKind, ContentType, Seq};
use sea_orm::ConnectionTrait;
use tempfile::TempDir;
use test_database::TestDatabase;

use crate::{
    auth::{
        PasswordCost, PasswordHasher, Passwords, RecoveryCodes, Secret, Tickets, TokenKeys,
        links::Links, tokens::TokenSettings,
    },
    chat::{
        Actor, ChatPatch, Domain, Foundations, Limits, Means, NewChat, OpaqueKeys, Profile,
        SendMessage, SessionRules, UserRules,
    },
    hub::{self, HubTasks, Hubs},
    layer::ChannelLayer,
    lease::{Lease, MemoryLease},
    store::{Commit, Keyed, NewAccountRow, Store, StoreOptions, Uploads, database_time},
};

/// Where nodes keep everything.
pub(super) struct Town {
    directory: TempDir,
    database: TestDatabase,
}

/// One process of the service, without doors.
pub(super) struct Node {
    pub(super) hubs: Arc<Hubs>,
    pub(super) domain: Arc<Domain>,
    store: Store,
    tasks: HubTasks,
}

impl Town {
    pub(super) async fn new() -> Self {
        Town {
            directory: tempfile::tempdir().unwrap(),
            database: TestDatabase::new(),
        }
    }

    async fn store(&self) -> Store {
        let options = StoreOptions::alone(self.database.url().to_owned());
        Store::open(&options).await.unwrap()
    }

    pub(super) async fn node(&self, layer: Arc<dyn ChannelLayer>) -> Node {
        let secret = Secret::new("the town's secret, of more than 32 bytes");
        let means = Means {
            keys: TokenKeys::new(TokenSettings::new(secret.clone())).unwrap(),
            tickets: Tickets::new(&secret),
            opaque: OpaqueKeys::new(&secret, &[]),
            hasher: PasswordHasher::new(Passwords::new(PasswordCost::MIN)),
        };
        let limits = Limits {
            messages_per_minute: 0,
            ..Limits::default()
        };
        let lease: Arc<dyn Lease> = Arc::new(MemoryLease::default());
        let (hubs, tasks) = hub::start(layer, lease.clone(), 200, hub::ToDjango::default())
            .await
            .unwrap();
        let store = self.store().await;
        let foundations = Foundations {
            store: store.clone(),
            commit: Commit::default(),
            publish: hubs.clone(),
            limits,
            means,
            rules: SessionRules::default(),
            user_rules: UserRules::default(),
            online: Box::new(|_| false),
            uploads: Uploads::new(self.directory.path().join("uploads")),
            avatar_bytes_max: 1 << 20,
            attachment_bytes_max: 1 << 20,
            links: Links::new(&secret),
            codes: RecoveryCodes::new(&secret),
            mailer: None,
            lease,
            django: None,
            blacklist: None,
        };
        let domain = Arc::new(Domain::start(foundations).await.unwrap());
        tasks.attach(&hubs, &domain);
        Node {
            hubs,
            domain,
            store,
            tasks,
        }
    }
}

impl Node {
    /// Somebody who has an account and has signed in.
    pub(super) async fn person(&self, name: &str) -> Actor {
        self.account(name, false).await
    }

    /// The same of an operator.
    pub(super) async fn operator(&self, name: &str) -> Actor {
        self.account(name, true).await
    }

    async fn account(&self, name: &str, is_staff: bool) -> Actor {
        let no_mail = Keyed {
            text: String::new(),
            key: None,
        };
        let row = NewAccountRow {
            username: Keyed {
                text: name.to_owned(),
                key: Some(name.to_owned()),
            },
            password: "!".to_owned(),
            email: no_mail,
            first_name: String::new(),
            last_name: String::new(),
            is_staff,
            joined_at: database_time(),
        };
        let row = self.store.insert_account(row).await.unwrap();
        let user = Profile {
            id: row.id,
            username: row.username,
            first_name: row.first_name,
            last_name: row.last_name,
        };
        Actor {
            user: Arc::new(user),
            is_staff,
            session: None,
            token_expires_at: database_time() + TimeDelta::hours(1),
            token_issued_at: None,
            connection: None,
        }
    }

    /// A group with these members.
    pub(super) async fn group(&self, owner: &Actor, members: &[&Actor]) -> ChatId {
        let new = NewChat {
            kind: ChatKind::Group,
            name: Some("trip".to_owned()),
            members: members.iter().map(|member| member.id()).collect(),
            is_private: false,
        };
        let created = self.domain.chats.create(owner, new).await.unwrap();
        created.chat.head.id
    }

    pub(super) async fn renames(&self, who: &Actor, chat: ChatId, name: &str) {
        let patch = ChatPatch {
            name: Some(name.to_owned()),
            is_private: None,
        };
        let renamed = self.domain.chats.update(who, chat, patch);
        renamed.await.unwrap();
    }

    pub(super) async fn says(&self, who: &Actor, chat: ChatId, text: &str) -> Seq {
        let send = SendMessage {
            chat,
            text: text.to_owned(),
            client_id: None,
            reply_to: None,
            content_type: ContentType::Text,
        };
        let sent = self.domain.messages.send(who, send).await.unwrap();
        sent.message.seq
    }

    /// Says so many things at once; the last number.
    pub(super) async fn says_much(&self, who: &Actor, chat: ChatId, count: usize) -> Seq {
        let said = (0..count).map(|n| async move { self.says(who, chat, &n.to_string()).await });
        let numbers = futures_util::future::join_all(said).await;
        numbers.into_iter().max().unwrap_or_default()
    }

    /// From now on no node can read what was said.
    pub(super) async fn hides_messages(&self) {
        self.carries_out("ALTER TABLE message RENAME TO message_away")
            .await;
    }

    /// It can be read again.
    pub(super) async fn shows_messages(&self) {
        self.carries_out("ALTER TABLE message_away RENAME TO message")
            .await;
    }

    async fn carries_out(&self, sql: &str) {
        self.store.write().execute_unprepared(sql).await.unwrap();
    }

    pub(super) async fn stop(self) {
        self.domain.stop().await;
        self.tasks.stop().await;
        self.store.close().await;
    }
}
