//! A node for tests: the domain's rooms over a database of its own, or over one that it shares with another node.

use std::{collections::HashSet, sync::Arc};

use entity::{UserId, user};
use parking_lot::Mutex;
use tempfile::TempDir;
use test_database::TestDatabase;

use crate::{
    auth::{
        PasswordCost, PasswordHasher, Passwords, Secret, Tickets, TokenKeys, links::Links,
        tokens::TokenSettings,
    },
    chat::{
        Accounts, ChatEvent, Limits, Means, OpaqueKeys, Publish, SessionRules, Sessions, SignIn,
        SignInError, TokenPair, UserRules, Users, attachments::Files, avatars::Avatars, core::Core,
        people::People, revoked::Revocations, writer::Writer,
    },
    lease::MemoryLease,
    store::{Commit, Keyed, NewAccountRow, Store, StoreOptions, Uploads, database_time},
};

pub(crate) const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "the nodes' secret, of more than 32 bytes";

/// Where nodes keep everything.
pub(crate) struct Disk {
    directory: TempDir,
    database: Arc<TestDatabase>,
}

/// One process of the service.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) sessions: Sessions,
    pub(crate) users: Users,
    /// Who has a socket open.
    pub(crate) online: Arc<Mutex<HashSet<UserId>>>,
    /// It outlives the disk.
    _database: Arc<TestDatabase>,
    /// What was published.
    pub(crate) published: Arc<Mutex<Vec<Arc<ChatEvent>>>>,
}

/// Hubs that only remember.
#[derive(Default)]
struct Published(Arc<Mutex<Vec<Arc<ChatEvent>>>>);

impl Publish for Published {
    fn publish(&self, events: Vec<Arc<ChatEvent>>) {
        self.0.lock().extend(events);
    }
}

impl Disk {
    pub(crate) async fn new() -> Disk {
        Disk {
            directory: tempfile::tempdir().unwrap(),
            database: Arc::new(TestDatabase::new()),
        }
    }

    async fn open(&self) -> Store {
        let options = StoreOptions::alone(self.database.url().to_owned());
        Store::open(&options).await.unwrap()
    }

    pub(crate) async fn node(&self) -> Node {
        self.node_with(SessionRules::default(), hasher()).await
    }

    pub(crate) async fn node_with(&self, rules: SessionRules, hasher: PasswordHasher) -> Node {
        self.build(rules, UserRules::default(), hasher).await
    }

    pub(crate) async fn node_where(&self, users: UserRules) -> Node {
        self.build(SessionRules::default(), users, hasher()).await
    }

    async fn build(&self, rules: SessionRules, users: UserRules, hasher: PasswordHasher) -> Node {
        let store = self.open().await;
        let people = Arc::new(People::new(store.clone()));
        let published = Arc::<Mutex<Vec<_>>>::default();
        let writer = Writer::start(
            store.clone(),
            Commit::default(),
            people.clone(),
            Arc::new(Published(published.clone())),
        );
        let uploads = Uploads::new(self.directory.path().join("uploads"));
        let links = Links::new(&Secret::new(SECRET));
        let files = Files::new(uploads.clone(), links, 1 << 20);
        let core = Core::new(
            store.clone(),
            writer,
            people.clone(),
            Limits::default(),
            Arc::new(Published::default()),
            Arc::new(MemoryLease::default()),
            Arc::new(files),
        );
        let core = Arc::new(core);
        let revocations = Arc::new(Revocations::new(people, rules.access_lifetime));
        let accounts = Accounts::open(store.clone(), hasher.clone());
        let means = Means {
            keys: keys(),
            tickets: Tickets::new(&Secret::new(SECRET)),
            opaque: OpaqueKeys::new(&Secret::new(SECRET), &[]),
            hasher,
        };
        let sessions = Sessions::new(core.clone(), means, rules, revocations.clone());
        sessions.load().await.unwrap();
        let online = Arc::<Mutex<HashSet<UserId>>>::default();
        let connected = online.clone();
        let is_online = Box::new(move |user| connected.lock().contains(&user));
        let avatars = Avatars::new(uploads, 1 << 20);
        let users = Users::new(
            core,
            accounts,
            revocations.clone(),
            users,
            is_online,
            avatars,
        );
        Node {
            store,
            revocations,
            sessions,
            users,
            online,
            _database: self.database.clone(),
            published,
        }
    }
}

/// What all nodes, and the Django beside them, sign with.
pub(crate) fn keys() -> TokenKeys {
    TokenKeys::new(TokenSettings::new(Secret::new(SECRET))).unwrap()
}

pub(crate) fn hasher() -> PasswordHasher {
    PasswordHasher::new(Passwords::new(PasswordCost::MIN))
}

impl Node {
    /// Somebody who has an account, with `PASSWORD`.
    pub(crate) async fn account(&self, name: &str) -> user::Model {
        let row = NewAccountRow {
            username: Keyed {
                text: name.to_owned(),
                key: Some(name.to_owned()),
            },
            password: Passwords::new(PasswordCost::MIN).hash(PASSWORD),
            email: Keyed {
                text: String::new(),
                key: None,
            },
            first_name: String::new(),
            last_name: String::new(),
            is_staff: false,
            joined_at: database_time(),
        };
        self.store.insert_account(row).await.unwrap()
    }

    pub(crate) async fn try_sign_in(
        &self,
        name: &str,
        password: &str,
    ) -> Result<TokenPair, SignInError> {
        let sign_in = SignIn {
            username: name.to_owned(),
            password: password.to_owned(),
            address: "192.0.2.1".parse().ok(),
            client: "Firefox".to_owned(),
        };
        self.sessions.sign_in(sign_in).await
    }

    pub(crate) async fn signs_in(&self, name: &str) -> TokenPair {
        self.try_sign_in(name, PASSWORD).await.unwrap()
    }

    /// What the database says of somebody.
    pub(crate) async fn row(&self, user: UserId) -> user::Model {
        self.store.find_users(&[user]).await.unwrap().pop().unwrap()
    }
}
