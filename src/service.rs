//! Wiring: builds the rooms from the bottom up, drains them from the top down. It alone knows every room.

mod layer;

use std::{future::Future, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::OptionFuture;
use poem::{Addr, Endpoint, Request, Response, Result, Route};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    auth::{
        Algorithm, DjangoSessions, KeyError, PasswordCost, PasswordForm, PasswordHasher, Passwords,
        RecoveryCodes, Secret, Tickets, TokenKeys, links::Links, tokens::TokenSettings,
    },
    chat::{
        self, BesideDjango, Directory, Domain, Foundations, LOOK_EVERY, Means, OpaqueKeys,
        SessionRules, UserRules,
    },
    data_dir::{DataDir, DataDirError, DataDirLock},
    hub::{self, HubTasks, Hubs, QueueLimits, QueueTotal},
    journal::Journal,
    layer::{ChannelLayer, LayerError},
    lease::{Lease, MemoryLease, RedisLease},
    mail::{MailError, Mailer},
    metrics,
    origin::{AllowedHosts, AllowedOrigins, TrustedProxies},
    redis::{Address, AddressError},
    rest::{self, Check, Edge, Watch},
    server::{Server, ServerLimits, Tls, TlsError},
    settings::{
        self, ConnectionRule, JwtAlgorithm, LayerUrl, Registration, Settings, SettingsError,
        SocketLife, UserDirectory,
    },
    store::{
        AccountColumns, Commit, DjangoBlacklist, DjangoTables, Foreign, MigrationError, Store,
        StoreError, StoreOptions, Uploads,
    },
    web::{self, Pages},
    ws::{
        Origins, Registry, SecondConnection, Singles, SocketLimits, Sockets,
        dialect::{self, SupportRules, World},
    },
};

/// To the database of a Django project.
const DJANGO_CONNECTIONS: u32 = 4;
/// Those who gather metrics are few.
const METRICS_CONNECTIONS_MAX: usize = 64;

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// Its tables.
    #[error("the database's tables: {0}")]
    Migration(#[from] MigrationError),
    /// The keys that sign tokens.
    #[error("the keys that sign tokens: {0}")]
    Keys(#[from] KeyError),
    /// The channel layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The Redis that nodes share.
    #[error("LAYER_URL: {0}")]
    Redis(#[from] AddressError),
    /// A setting that only the rooms which it is for could check.
    #[error(transparent)]
    Setting(#[from] SettingsError),
    /// What users and sessions are read into memory at the start.
    #[error("reading what a start needs: {0}")]
    Domain(#[from] chat::ChatError),
    /// The mail server's address, or ours.
    #[error("SMTP_URL and MAIL_FROM: {0}")]
    Mail(#[from] MailError),
    /// The certificate, or its key.
    #[error("TLS_CERT and TLS_KEY: {0}")]
    Tls(#[from] TlsError),
    /// Nodes would not find each other's files.
    #[error(
        "TERTULIA_UPLOADS_DIR: {} is not the directory that the other nodes of this database use. Name that one, which \
         all must share; or, if it is lost for good, write {mark} into the file {} there", dir.display(), layer::MARK
    )]
    Uploads {
        /// This node's directory.
        dir: PathBuf,
        /// What the database and the right directory hold.
        mark: String,
    },
    /// Listening.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a program that embeds the service may put in the place of the usual.
#[derive(Default)]
pub struct Parts {
    /// The channel layer; in memory where not given. Nodes of one process that share one hear each other.
    pub layer: Option<Arc<dyn ChannelLayer>>,
    /// What this node holds in common with others; nothing where not given. Nodes of one process may share a `MemoryTown`.
    pub lease: Option<Arc<dyn Lease>>,
    /// How the writer's transactions end.
    pub commit: Commit,
    /// Several services of one process may use one data directory.
    pub shares_data_dir: bool,
}

/// A running service.
pub struct Service {
    addresses: Vec<Addr>,
    tls: Option<Arc<Tls>>,
    metrics_addresses: Vec<Addr>,
    domain: Arc<Domain>,
    hub_tasks: HubTasks,
    registry: Arc<Registry>,
    store: Store,
    drain: Duration,
    stop_serving: CancellationToken,
    serving: JoinHandle<()>,
    stop_registry: CancellationToken,
    registry_task: JoinHandle<()>,
    django_task: Option<JoinHandle<()>>,
    _lock: Option<DataDirLock>,
}

impl Service {
    /// Starts: makes the data directory and the tables where they don't exist, and listens.
    pub async fn start(settings: Settings) -> std::result::Result<Service, StartError> {
        Self::start_with(settings, Parts::default()).await
    }

    /// Starts with other parts.
    pub async fn start_with(
        settings: Settings,
        parts: Parts,
    ) -> std::result::Result<Service, StartError> {
        let data_dir = DataDir::open(&settings.storage.data_dir)?;
        let storage = &settings.storage;
        let is_alone = storage.database_url.is_file() && !parts.shares_data_dir;
        let lock = match is_alone {
            false => None,
            true => Some(
                data_dir
                    .lock(settings.listening.drain + Duration::from_secs(5))
                    .await?,
            ),
        };
        let secret = data_dir.secret_key(&settings.tokens)?;
        Store::migrate(&data_dir.database_url(&storage.database_url)?).await?;
        let store = open_store(&settings, &data_dir).await?;
        store.count_on().await?;

        let lease = match parts.lease {
            Some(lease) => lease,
            None => lease(&settings).await?,
        };
        if settings.layer.is_shared() {
            layer::check_uploads(&store, &uploads(&settings, &data_dir)).await?;
        }
        let layer = match parts.layer {
            Some(layer) => layer,
            None => layer::open(&settings.layer).await?,
        };
        let presence_max = settings.connections.presence_limit;
        let to_django = layer::to_django(&settings.layer)?;
        let (hubs, hub_tasks) =
            hub::start(layer.clone(), lease.clone(), presence_max, to_django).await?;
        let queues = QueueLimits {
            frames_max: settings.connections.queue_frames,
            bytes_max: settings.connections.queue_bytes,
            total_bytes_max: settings.connections.queue_total,
        };
        let registry = Registry::new(
            QueueTotal::new(queues),
            settings.connections.connections_per_user,
        );
        let online = registry.clone();
        let foreign = match &settings.django.django_database_url {
            Some(url) => Foreign::open(url.reveal(), DJANGO_CONNECTIONS).await?,
            None => Foreign::beside(&store),
        };
        let foundations = Foundations {
            store: store.clone(),
            commit: parts.commit,
            limits: limits(&settings),
            means: means(&settings, secret.reveal())?,
            rules: session_rules(&settings),
            user_rules: user_rules(&settings),
            uploads: uploads(&settings, &data_dir),
            avatar_bytes_max: settings.accounts.avatar_bytes,
            attachment_bytes_max: settings.connections.attachment_bytes,
            links: Links::new(&Secret::new(secret.reveal())),
            codes: RecoveryCodes::new(&Secret::new(secret.reveal())),
            mailer: mailer(&settings)?,
            django: beside_django(&settings, secret.reveal(), &foreign),
            blacklist: DjangoBlacklist::open(foreign.clone()).await?,
            online: Box::new(move |user| online.count_of(user) > 0),
            publish: hubs.clone(),
            lease: lease.clone(),
        };
        let domain = Arc::new(Domain::start(foundations).await?);
        hub_tasks.attach(&hubs, &domain);
        let revoking = registry.clone();
        domain
            .sessions
            .on_revoked(move |revoked| revoking.revoke(revoked));
        let renewing = registry.clone();
        domain
            .sessions
            .on_changed(move |user, is_staff| renewing.account_changed(user, is_staff));
        // The domain asks the registry who is online: held by each other, they would never be dropped.
        let seeing = Arc::downgrade(&domain);
        registry.on_left(move |user| {
            if let Some(domain) = seeing.upgrade() {
                domain.users.seen(user, domain.now());
            }
        });

        let rule = second_connection(&settings);
        let singles = Singles::new(rule, hubs.clone(), lease.clone());
        let mut watch = watch(&store, &registry);
        if settings.layer.is_shared() {
            watch.checks.push(layer::check(layer));
        }
        let watch = Arc::new(watch);
        let front = front(&settings, watch.clone(), &domain, hubs, &singles, &registry);
        let metrics = metrics_server(&settings).await?;
        let addresses = settings.listening.bind.iter().map(ToString::to_string);
        let tls = tls(&settings)?;
        let server = Server::bind(addresses, server_limits(&settings)).await?;
        let server = server.secured_by(tls.clone());
        let addresses = server.local_addrs();
        let (stop_serving, stop_registry) = (CancellationToken::new(), CancellationToken::new());
        let metrics_addresses = metrics.iter().flat_map(Server::local_addrs).collect();
        let stop = stop_serving.clone();
        let serving = tokio::spawn(async move {
            let serving = server.serve(front, stop.clone());
            let showing = metrics.map(|it| it.serve(rest::metrics_endpoint(watch), stop));
            tokio::join!(serving, OptionFuture::from(showing));
        });
        let (keeper, stop) = (registry.clone(), stop_registry.clone());
        let registry_task = tokio::spawn(async move {
            tokio::join!(
                keeper.run(stop.clone()),
                keeper.clone().keep_online(lease, stop.clone()),
                singles.keep_owners(keeper.clone(), stop.clone()),
            );
        });
        let following = (domain.clone(), registry.clone(), stop_registry.clone());
        let django_task = (settings.django.users == settings::UsersOf::Django).then(|| {
            tokio::spawn(async move { follow_django(following.0, following.1, following.2).await })
        });
        Ok(Service {
            addresses,
            tls,
            metrics_addresses,
            domain,
            hub_tasks,
            registry,
            store,
            drain: settings.listening.drain,
            stop_serving,
            serving,
            stop_registry,
            registry_task,
            django_task,
            _lock: lock,
        })
    }

    /// Where it listens; ports are the real ones.
    pub fn local_addrs(&self) -> &[Addr] {
        &self.addresses
    }

    /// Its certificate, where it speaks TLS.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Where it shows its metrics, if that is a place of their own.
    pub fn metrics_addrs(&self) -> &[Addr] {
        &self.metrics_addresses
    }

    /// The addresses among them that have a port.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses
            .iter()
            .filter_map(|address| address.as_socket_addr().copied())
            .collect()
    }

    /// The domain's operations.
    pub fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    /// Open sockets.
    pub fn connections(&self) -> usize {
        self.registry.count()
    }

    /// Bytes that wait in all queues.
    pub fn queued_bytes(&self) -> usize {
        self.registry.queued_bytes()
    }

    /// Serves until `shutdown`, then drains.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        self.stop().await;
    }

    /// Ends from the top down: stops accepting, closes sockets with 1012 spread over the drain, finishes the requests
    /// in flight and the writer's batch.
    pub async fn stop(self) {
        info!("draining for {:?}", self.drain);
        self.stop_serving.cancel();
        self.registry.drain(self.drain).await;
        if let Err(failed) = self.serving.await {
            warn!("the server ended badly: {failed}");
        }
        self.stop_registry.cancel();
        if let Err(failed) = self.registry_task.await {
            warn!("the registry ended badly: {failed}");
        }
        if let Some(task) = self.django_task
            && let Err(failed) = task.await
        {
            warn!("the look at Django ended badly: {failed}");
        }
        self.domain.stop().await;
        self.hub_tasks.stop().await;
        self.store.close().await;
        info!("drained");
    }
}

/// What this node holds in common with the others: in the first of the channel layer's Redis servers, so that all that one
/// question asks for is in one place.
async fn lease(settings: &Settings) -> std::result::Result<Arc<dyn Lease>, AddressError> {
    let layer = &settings.layer;
    Ok(match layer.layer_url.first() {
        Some(LayerUrl::Redis(_, url)) => {
            let address = url.reveal().parse::<Address>()?;
            Arc::new(RedisLease::open(address, &layer.layer_prefix).await)
        }
        Some(LayerUrl::Memory) | None => Arc::new(MemoryLease::default()),
    })
}

/// Looks what Django has changed, until `stop`.
async fn follow_django(domain: Arc<Domain>, registry: Arc<Registry>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        if let Err(error) = domain.look_at_django(&registry.users()).await {
            warn!("Django's accounts can't be looked at: {error}");
        }
    }
}

/// The Django project that owns the accounts, where one does.
fn beside_django(settings: &Settings, secret: &str, foreign: &Foreign) -> Option<BesideDjango> {
    let django = &settings.django;
    if django.users == settings::UsersOf::Own {
        return None;
    }
    let secret = django
        .django_secret_key
        .as_ref()
        .map_or(secret, |own| own.reveal());
    let previous = settings.tokens.jwt_previous_keys.iter();
    let secrets = std::iter::once(secret)
        .chain(previous.map(|key| key.reveal()))
        .map(Secret::new)
        .collect();
    let mut columns = AccountColumns {
        table: django.django_user_table.clone(),
        ..AccountColumns::default()
    };
    for (ours, theirs) in &django.django_user_columns {
        columns.rename(ours, theirs);
    }
    Some(BesideDjango {
        tables: DjangoTables::new(foreign.clone(), columns),
        sessions: DjangoSessions::new(secrets, django.django_session_age),
    })
}

/// Connects to the database of these settings.
pub async fn open_store(
    settings: &Settings,
    data_dir: &DataDir,
) -> std::result::Result<Store, StartError> {
    let url = &settings.storage.database_url;
    // More readers of a file bring no more answers, and each has a cache of its own.
    let usual = if url.is_file() { 4 } else { 8 };
    let options = StoreOptions {
        url: data_dir.database_url(url)?,
        readers: settings.storage.database_pool.unwrap_or(usual),
        writers: settings.storage.database_writers,
        acquire_timeout: settings.storage.database_timeout,
        statement_timeout: settings.storage.database_statement_timeout,
    };
    Ok(Store::open(&options).await?)
}

fn limits(settings: &Settings) -> chat::Limits {
    let limits = &settings.limits;
    chat::Limits {
        message_chars: limits.message_chars as usize,
        messages_per_minute: limits.messages_per_minute,
        changes_per_minute: limits.changes_per_minute,
        searches_per_minute: limits.searches_per_minute,
        registrations_per_hour: limits.registrations_per_hour,
        rooms_per_hour: limits.rooms_per_hour,
        signin_failures: limits.signin_failures,
        members_add: limits.members_add,
    }
}

fn session_rules(settings: &Settings) -> SessionRules {
    SessionRules {
        access_lifetime: settings.tokens.access_token_lifetime,
        refresh_lifetime: settings.tokens.refresh_token_lifetime,
        rotate: settings.tokens.rotate_refresh_tokens,
        leeway: settings.tokens.jwt_leeway,
        rpc_sessions_max: settings.limits.max_sessions,
    }
}

fn user_rules(settings: &Settings) -> UserRules {
    UserRules {
        registration: match settings.accounts.registration {
            Registration::Open => chat::Registration::Open,
            Registration::Staff => chat::Registration::Staff,
            Registration::Closed => chat::Registration::Closed,
        },
        directory: match settings.accounts.user_directory {
            UserDirectory::Open => Directory::Open,
            UserDirectory::Exact => Directory::Exact,
        },
    }
}

fn means(settings: &Settings, secret: &str) -> std::result::Result<Means, StartError> {
    let secret = Secret::new(secret);
    let previous: Vec<Secret> = settings
        .tokens
        .jwt_previous_keys
        .iter()
        .map(|key| Secret::new(key.reveal()))
        .collect();
    let keys = TokenKeys::new(token_settings(settings, &secret, &previous)?)?;
    let hasher = PasswordHasher::new(passwords(&settings.passwords));
    Ok(Means {
        keys,
        tickets: Tickets::new(&secret),
        opaque: OpaqueKeys::new(&secret, &previous),
        hasher,
    })
}

/// How passwords are stored.
pub fn passwords(settings: &settings::Passwords) -> Passwords {
    let form = match settings.password_hasher {
        settings::PasswordHasher::BcryptSha256 => PasswordForm::BcryptSha256,
        settings::PasswordHasher::Pbkdf2Sha256 => PasswordForm::Pbkdf2Sha256,
        settings::PasswordHasher::Argon2 => PasswordForm::Argon2,
    };
    let cost = PasswordCost::new(settings.password_cost).unwrap_or(PasswordCost::DEFAULT);
    Passwords::stored_as(form, cost)
}

fn token_settings(
    settings: &Settings,
    secret: &Secret,
    previous: &[Secret],
) -> std::result::Result<TokenSettings, StartError> {
    let tokens = &settings.tokens;
    let read = |path: &Option<PathBuf>| path.as_ref().map(std::fs::read_to_string).transpose();
    let public_key = read(&tokens.jwt_public_key_file)?.map(Secret::new);
    let common = TokenSettings {
        key_set: read(&tokens.jwt_jwks_file)?,
        issuer: tokens.jwt_issuer.clone(),
        audience: tokens.jwt_audience.clone(),
        leeway: tokens.jwt_leeway,
        user_id_claim: tokens.user_id_claim.clone(),
        ..TokenSettings::new(secret.clone())
    };
    let algorithm = algorithm(tokens.jwt_algorithm);
    if tokens.jwt_algorithm.is_symmetric() || secret.is_private_pem() {
        return Ok(TokenSettings {
            algorithm,
            public_key,
            previous_keys: previous.to_vec(),
            ..common
        });
    }
    info!(
        "another service signs tokens with {algorithm:?}: the key here is no private one, so the \
         tokens made here are HS256"
    );
    let (others, previous_keys) = previous.iter().cloned().partition(Secret::is_pem);
    Ok(TokenSettings {
        previous_keys,
        others: public_key
            .into_iter()
            .chain(others)
            .map(|key| (algorithm, key))
            .collect(),
        ..common
    })
}

/// Where files are kept: in the data directory, unless they are to be elsewhere.
pub fn uploads(settings: &Settings, data_dir: &DataDir) -> Uploads {
    Uploads::new(data_dir.uploads_path(&settings.storage.uploads_dir))
}

fn mailer(settings: &Settings) -> std::result::Result<Option<Mailer>, StartError> {
    let mail = &settings.mail;
    match (&mail.smtp_url, &mail.mail_from) {
        (Some(url), Some(from)) => Ok(Some(Mailer::new(url.reveal(), from)?)),
        _ => Ok(None),
    }
}

fn algorithm(setting: JwtAlgorithm) -> Algorithm {
    match setting {
        JwtAlgorithm::HS256 => Algorithm::HS256,
        JwtAlgorithm::HS384 => Algorithm::HS384,
        JwtAlgorithm::HS512 => Algorithm::HS512,
        JwtAlgorithm::RS256 => Algorithm::RS256,
        JwtAlgorithm::RS384 => Algorithm::RS384,
        JwtAlgorithm::RS512 => Algorithm::RS512,
        JwtAlgorithm::ES256 => Algorithm::ES256,
        JwtAlgorithm::ES384 => Algorithm::ES384,
        JwtAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

fn server_limits(settings: &Settings) -> ServerLimits {
    ServerLimits {
        connections_max: settings.connections.connections_max(),
        head_deadline: settings.connections.signin_deadline,
        drain: settings.listening.drain,
        ..ServerLimits::default()
    }
}

fn second_connection(settings: &Settings) -> SecondConnection {
    match settings.connections.connections_per_chat {
        ConnectionRule::Replace => SecondConnection::Replaces,
        ConnectionRule::Reject => SecondConnection::IsRejected,
        ConnectionRule::Many => SecondConnection::Stays,
    }
}

/// The certificate, where there is one.
fn tls(settings: &Settings) -> std::result::Result<Option<Arc<Tls>>, TlsError> {
    let listening = &settings.listening;
    match (&listening.tls_cert, &listening.tls_key) {
        (Some(certificate), Some(key)) => Tls::open(certificate, key).map(Some),
        _ => Ok(None),
    }
}

/// What those who watch the service may ask.
fn watch(store: &Store, registry: &Arc<Registry>) -> Watch {
    let (asked, registry) = (store.clone(), registry.clone());
    let database = Check {
        name: "database",
        run: Box::new(move || {
            let store = asked.clone();
            Box::pin(async move { store.ping().await.map_err(|_| "away".to_owned()) })
        }),
    };
    Watch {
        checks: vec![database],
        measure: Box::new(move || metrics::QUEUED_BYTES.set(registry.queued_bytes())),
    }
}

/// Listens for those who gather metrics, where they have an address of their own.
async fn metrics_server(settings: &Settings) -> io::Result<Option<Server>> {
    let Some(bind) = &settings.listening.metrics_bind else {
        return Ok(None);
    };
    let limits = ServerLimits {
        connections_max: METRICS_CONNECTIONS_MAX,
        ..server_limits(settings)
    };
    Server::bind([bind.to_string()], limits).await.map(Some)
}

fn front(
    settings: &Settings,
    watch: Arc<Watch>,
    domain: &Arc<Domain>,
    hubs: Arc<Hubs>,
    singles: &Arc<Singles>,
    registry: &Arc<Registry>,
) -> impl Endpoint<Output = Response> + use<> {
    let proxies = TrustedProxies::new(settings.listening.trusted_proxies.clone());
    let origins = AllowedOrigins::new(settings.listening.allowed_origins.clone());
    let sockets = Arc::new(Sockets {
        world: Arc::new(World {
            domain: domain.clone(),
            hubs,
            singles: singles.clone(),
            rpc_deadline: settings.connections.rpc_deadline,
            support: SupportRules {
                deadline: settings.connections.signin_deadline,
                history: settings.limits.support_history,
            },
        }),
        registry: registry.clone(),
        limits: SocketLimits {
            frame_bytes_max: settings.connections.frame_bytes,
            frames_per_second: settings.limits.frames_per_second,
            history_per_minute: settings.limits.history_per_minute,
            ends_with_token: settings.tokens.expire_sockets == SocketLife::Token,
        },
        origins: Origins {
            proxies: proxies.clone(),
            allowed: origins.clone(),
            session_cookie: (settings.django.users == settings::UsersOf::Django)
                .then(|| settings.django.django_session_cookie.clone()),
        },
    });
    let hosts = AllowedHosts::new(settings.listening.allowed_hosts.clone());
    let pages = Pages {
        proxies: proxies.clone(),
        hosts: hosts.clone(),
    };
    let rest = rest::endpoint(Edge {
        domain: domain.clone(),
        proxies: proxies.clone(),
        origins,
        hosts,
        body_bytes_max: settings.connections.body_bytes,
        watch,
        shows_metrics: settings.listening.metrics_bind.is_none(),
    });
    let root = settings
        .connections
        .root_dialect
        .map(|dialect| match dialect {
            settings::RootDialect::Chats => dialect::RootDialect::Chats,
            settings::RootDialect::Lobby => dialect::RootDialect::Lobby,
            settings::RootDialect::Rpc => dialect::RootDialect::Rpc,
            settings::RootDialect::Support => dialect::RootDialect::Support,
        });
    Front {
        sockets: dialect::routes(&sockets, root),
        root,
        pages: Journal::new(pages, proxies.clone()),
        rest: Journal::new(rest, proxies),
    }
}

/// Sockets where a dialect is served, the pages where they are, REST everywhere else.
struct Front<R> {
    sockets: Route,
    root: Option<dialect::RootDialect>,
    pages: Journal<Pages>,
    rest: R,
}

impl<R: Endpoint<Output = Response>> Endpoint for Front<R> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if dialect::serves(&request, self.root) {
            return self.sockets.call(request).await;
        }
        if web::serves(&request) {
            return self.pages.call(request).await;
        }
        self.rest.call(request).await
    }
}
