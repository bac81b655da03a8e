//! A service in this process, on a runtime and a temporary database of its own. When it goes out of
//! scope it is looked around, stopped, and its database read.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tertulia::{
    layer::ChannelLayer,
    lease::{Lease, MemoryTown},
    service::{Parts, Service},
    settings::{Bind, DatabaseUrl, Secret, Settings},
};
use test_database::{Kind, Proxy, TestDatabase};
use tokio::sync::oneshot;

use super::{Handshake, PATIENCE, Person, Reply, Request, look_around, tokens, until};

/// A service that serves until the story ends.
pub(crate) struct Server {
    to: SocketAddr,
    settings: Settings,
    place: Arc<ServerPlace>,
    stop: Option<oneshot::Sender<()>>,
    runs: Option<JoinHandle<Result<(), String>>>,
}

/// Where a server, and those beside it, keep everything: gone with the last of them.
struct ServerPlace {
    /// Its database's URL.
    url: String,
    proxy: Option<Proxy>,
    _database: Option<TestDatabase>,
    dir: TempDir,
}

impl ServerPlace {
    fn new() -> Arc<Self> {
        Self::with(false)
    }

    fn with(proxy: bool) -> Arc<Self> {
        // A service makes its tables itself; on a server copies are cheaper.
        let database = match test_database::kind() {
            Kind::Sqlite => TestDatabase::empty(),
            Kind::Postgres | Kind::MySql => TestDatabase::new(),
        };
        let proxy = proxy.then(|| Proxy::before(&database));
        Arc::new(Self {
            url: match &proxy {
                Some(proxy) => database.url_by(proxy),
                None => database.url().to_owned(),
            },
            proxy,
            _database: Some(database),
            dir: tempfile::tempdir().expect("a temporary directory"),
        })
    }
}

impl Server {
    /// With the defaults of the documents.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let place = ServerPlace::new();
        let mut settings = settings(&place);
        change(&mut settings);
        Self::start_in(place, settings, Parts::default())
    }

    /// With a proxy before its database, which must be on a server, and with no limit of sends.
    pub(crate) async fn behind_proxy() -> Self {
        let place = ServerPlace::with(true);
        let mut settings = settings(&place);
        settings.limits.messages_per_minute = 0;
        Self::start_in(place, settings, Parts::default())
    }

    /// What stands before its database.
    pub(crate) fn proxy(&self) -> &Proxy {
        self.place.proxy.as_ref().expect("a server behind a proxy")
    }

    /// On a directory whose `data` something has been put into.
    pub(crate) async fn start_on(dir: TempDir) -> Self {
        let file = dir.path().join("data/tertulia.db");
        let place = Arc::new(ServerPlace {
            url: format!("sqlite://{}?mode=rw", file.display()),
            proxy: None,
            _database: None,
            dir,
        });
        let settings = settings(&place);
        Self::start_in(place, settings, Parts::default())
    }

    /// Two servers of one database, which hear each other by this layer, without limits.
    pub(crate) async fn two_nodes(layer: Arc<dyn ChannelLayer>) -> [Self; 2] {
        let town = MemoryTown::default();
        Self::nodes(
            |_| (layer.clone(), Arc::new(town.node())),
            |settings| {
                settings.limits.messages_per_minute = 0;
                settings.limits.changes_per_minute = 0;
            },
        )
        .await
    }

    /// Servers of one database, each with a layer and a lease, and with other settings.
    pub(crate) async fn nodes<const N: usize>(
        common: impl Fn(usize) -> (Arc<dyn ChannelLayer>, Arc<dyn Lease>),
        change: impl Fn(&mut Settings),
    ) -> [Self; N] {
        let place = ServerPlace::new();
        std::array::from_fn(|number| {
            let mut settings = settings(&place);
            change(&mut settings);
            let (layer, lease) = common(number);
            let parts = Parts {
                layer: Some(layer),
                lease: Some(lease),
                shares_data_dir: true,
                ..Parts::default()
            };
            Self::start_in(place.clone(), settings, parts)
        })
    }

    /// One more server of the same database, with other settings.
    pub(crate) async fn beside_with(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.settings.clone();
        change(&mut settings);
        let parts = Parts {
            shares_data_dir: true,
            ..Parts::default()
        };
        Self::start_in(self.place.clone(), settings, parts)
    }

    fn start_in(place: Arc<ServerPlace>, settings: Settings, parts: Parts) -> Self {
        let given = settings.clone();
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let runs = std::thread::spawn(move || serve(settings, parts, &ready, stopped));
        match started.recv_timeout(PATIENCE) {
            Ok(to) => Self {
                to,
                settings: given,
                place,
                stop: Some(stop),
                runs: Some(runs),
            },
            Err(_) => panic!("the service didn't start: {:?}", runs.join()),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.to
    }

    /// How it was started.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its database.
    pub(crate) fn database(&self) -> &str {
        &self.place.url
    }

    /// Where it keeps the files that users send.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.place.dir.path().join("data/uploads")
    }

    /// Somebody new, signed in.
    pub(crate) async fn user(&self, name: &str) -> Person {
        Person::registers(self.to, name).await
    }

    /// Several people, signed in.
    pub(crate) async fn users<const N: usize>(&self, names: [&str; N]) -> [Person; N] {
        Person::all_register(self.to, names).await
    }

    /// Somebody new who is an operator.
    pub(crate) async fn operator(&self, name: &str) -> Person {
        let person = self.user(name).await;
        let database = look_around::open(self.database()).await;
        look_around::makes_staff(&database, person.id).await;
        until("the service to see who is staff", || async {
            let me = person.get("/api/users/me/").await.expect(200);
            (me["is_staff"] == true).then_some(())
        })
        .await;
        person
    }

    /// Somebody's password, as it is stored.
    pub(crate) async fn stored_password(&self, person: &Person) -> String {
        let database = look_around::open(self.database()).await;
        look_around::account(&database, person.id).await.password
    }

    /// How many files its table knows.
    pub(crate) async fn attachments(&self) -> u64 {
        let database = look_around::open(self.database()).await;
        look_around::attachments(&database).await
    }

    /// What its search index holds.
    pub(crate) async fn words_in_index(&self) -> Vec<String> {
        let database = look_around::open(self.database()).await;
        look_around::indexed_words(&database).await
    }

    /// Its search index is lost.
    pub(crate) async fn forgets_index(&self) {
        let database = look_around::open(self.database()).await;
        look_around::forgets_index(&database).await;
    }

    /// What somebody is answered who isn't signed in.
    pub(crate) async fn get(&self, target: &str) -> Reply {
        Request::new("GET", target).send(self.to).await
    }

    /// A handshake of somebody who says nothing of themselves.
    pub(crate) fn handshake(&self, target: &str) -> Handshake {
        Handshake::new(self.to, target)
    }
}

fn settings(place: &ServerPlace) -> Settings {
    let mut settings = Settings::defaults();
    settings.listening.bind = vec![Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))];
    settings.listening.drain = Duration::from_millis(100);
    settings.storage.data_dir = place.dir.path().join("data");
    settings.storage.database_url = DatabaseUrl::new(&place.url);
    settings.tokens.secret_key = Some(Secret::new(tokens::SECRET));
    settings.passwords.password_cost = 4;
    settings
}

/// Serves until told to stop, then looks around: nobody may be left behind.
fn serve(
    settings: Settings,
    parts: Parts,
    ready: &mpsc::Sender<SocketAddr>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), String> {
    let database = settings.storage.database_url.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let service = Service::start_with(settings, parts)
            .await
            .map_err(|error| error.to_string())?;
        let address = service.addresses().first().copied().ok_or("no address")?;
        ready.send(address).map_err(|error| error.to_string())?;
        let _gone = stopped.await;
        let emptied = is_empty_at_last(&service).await;
        service.stop().await;
        emptied?;
        look_around::numbers_without_gap(&look_around::open(database.reveal()).await).await
    })
}

/// Everybody has gone when the story ends: so must their connections and what waited for them.
async fn is_empty_at_last(service: &Service) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let (connections, bytes) = (service.connections(), service.queued_bytes());
        if connections == 0 && bytes == 0 {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!(
                "left behind: {connections} connections, {bytes} bytes queued"
            ));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.stop.take().map(|stop| stop.send(()));
        let Some(runs) = self.runs.take() else { return };
        if std::thread::panicking() {
            return; // the story has failed already: its own message is the one to read
        }
        match runs.join() {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => panic!("the server was looked around when it stopped: {problem}"),
            Err(_) => panic!("the server panicked"),
        }
    }
}
