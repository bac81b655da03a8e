//! The settings themselves, one entry each. The doc comment is the help; the default is written as
//! a person would give it, so that help, README and code cannot differ.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args};
use ipnet::IpNet;

use super::{
    kinds::{
        Bind, ConnectionRule, DatabaseUrl, JwtAlgorithm, LayerUrl, LogFormat, PasswordHasher,
        Registration, RootDialect, Secret, SocketLife, UserDirectory, UsersOf,
    },
    units,
};

/// Where the service listens, and whom it believes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct Listening {
    /// Addresses to serve on, comma-separated: address:port or unix:/path
    #[arg(long, value_name = "ADDRESSES", default_value = "127.0.0.1:8000")]
    #[arg(value_delimiter = ',', value_parser = Bind::parse)]
    pub bind: Vec<Bind>,
    /// Web origins other than the same host that may use the service from a browser,
    /// comma-separated; * for all
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',', value_parser = units::origin)]
    pub allowed_origins: Vec<String>,
    /// Host names that requests may be for, comma-separated; any when not given
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', value_parser = units::host)]
    pub allowed_hosts: Vec<String>,
    /// Proxies whose X-Forwarded-For and X-Forwarded-Host are believed: addresses or networks such
    /// as 10.0.0.0/8, comma-separated
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', value_parser = units::network)]
    pub trusted_proxies: Vec<IpNet>,
    /// The certificate, as PEM, with those that lead to its issuer behind it: addresses with a port
    /// then speak TLS. It is read anew at SIGHUP
    #[arg(long, value_name = "PATH")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, as PEM
    #[arg(long, value_name = "PATH")]
    pub tls_key: Option<PathBuf>,
    /// An address of its own for GET /metrics, open to whoever can reach it: address:port or
    /// unix:/path. Without one the metrics are served with the rest, to staff
    #[arg(long, value_name = "ADDRESS", value_parser = Bind::parse)]
    pub metrics_bind: Option<Bind>,
    /// Time over which sockets are closed at a stop; a second serve on the same data directory
    /// waits for this and 5s more
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    pub drain: Duration,
}

/// Where everything is kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct Storage {
    /// Directory of the database and the generated secret; made on the first start
    #[arg(long, value_name = "PATH", default_value = "./data")]
    pub data_dir: PathBuf,
    /// The database: a file, sqlite://path?mode=rwc, whose path is looked up in the data directory;
    /// or postgres://user:password@host:5432/name?sslmode=verify-full, or mysql:// (mariadb://)
    /// with ssl-mode=VERIFY_IDENTITY. Prefer the variable: others can read a command line
    #[arg(
        long,
        value_name = "URL",
        default_value = "sqlite://tertulia.db?mode=rwc"
    )]
    #[arg(value_parser = DatabaseUrl::parse)]
    pub database_url: DatabaseUrl,
    /// Directory of the files that users send; a relative one is in the data directory
    #[arg(long, value_name = "PATH", default_value = "uploads")]
    pub uploads_dir: PathBuf,
    /// Connections to the database that read; when not given, 8 to a server and 4 to a file
    #[arg(long, value_name = "NUMBER")]
    #[arg(value_parser = |text: &str| units::between::<u32>(text, 1, 1000))]
    pub database_pool: Option<u32>,
    /// Connections to the database that write, besides those that read; SQLite always has one
    #[arg(long, value_name = "NUMBER", default_value = "4")]
    #[arg(value_parser = |text: &str| units::between::<u32>(text, 2, 1000))]
    pub database_writers: u32,
    /// Time that a query waits for a connection to the database, one that must be made anew
    /// included
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = units::lifetime)]
    pub database_timeout: Duration,
    /// Time that a statement may take on PostgreSQL and MySQL, and half of it waiting for a lock; 0s
    /// is no limit
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = units::duration)]
    pub database_statement_timeout: Duration,
}

/// How nodes, and a Django project beside them, hear of each other.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Channel layer")]
pub struct Layer {
    /// The channel layer: memory:// for one node; redis://user:password@host:6379/0, rediss:// or
    /// unix:///path?db=0 for several, in the form of channels_redis' pubsub layer; redis+core://
    /// (rediss+core, unix+core) in that of its core layer. Several servers, comma-separated, share
    /// the groups. Prefer the variable: others can read a command line
    #[arg(long, value_name = "URLS", default_value = "memory://")]
    #[arg(value_delimiter = ',', value_parser = LayerUrl::parse)]
    pub layer_url: Vec<LayerUrl>,
    /// What all names on Redis begin with
    #[arg(long, value_name = "TEXT", default_value = "asgi", value_parser = units::layer_prefix)]
    pub layer_prefix: String,
    /// The group of a Django project that hears a chat's events, {id} being the chat's number
    #[arg(long, value_name = "PATTERN", default_value = "chat_{id}", value_parser = units::layer_group)]
    pub layer_group: String,
    /// Events that also go to that group, comma-separated, as in message,message_edited: each as
    /// chat.{event}, with the keys of the chat dialect's frame. Every Django consumer in the group
    /// needs a method for each
    #[arg(long, value_name = "EVENTS", value_delimiter = ',')]
    pub layer_events: Vec<String>,
    /// Keys that what goes over Redis is encrypted with, comma-separated: the first one encrypts,
    /// all are tried for decrypting. Prefer the variable: others can read a command line
    #[arg(long, value_name = "KEYS", value_delimiter = ',', value_parser = Secret::parse)]
    pub layer_encryption_keys: Vec<Secret>,
}

/// By whom mail is sent. Recovery codes go by it; without, the command line prints them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Mail")]
pub struct Mail {
    /// The mail server, as in smtps://user:password@host:465 or smtp://host:587?tls=required;
    /// without one no recovery codes are sent. Prefer the variable: others can read a command line
    #[arg(long, value_name = "URL", value_parser = Secret::parse)]
    pub smtp_url: Option<Secret>,
    /// In whose name mail is sent
    #[arg(long, value_name = "ADDRESS")]
    pub mail_from: Option<String>,
}

/// How sign-ins are signed and how long they last.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tokens")]
pub struct Tokens {
    /// The key that signs tokens (a private key as PEM for RS, ES and EdDSA); generated into the
    /// data directory when not given. Other users of the machine can read it on a command line:
    /// prefer the variable or the file
    #[arg(long, value_name = "KEY", value_parser = Secret::parse)]
    pub secret_key: Option<Secret>,
    /// A file that holds the key instead; white space at its end is not part of the key
    #[arg(long, value_name = "PATH")]
    pub secret_key_file: Option<PathBuf>,
    /// How tokens are signed
    #[arg(long, value_name = "NAME", default_value = "HS256")]
    pub jwt_algorithm: JwtAlgorithm,
    /// The public key, as PEM, that verifies RS, ES and EdDSA. Where the key above is no private
    /// one, another service signs with it, and the tokens made here are HS256
    #[arg(long, value_name = "PATH")]
    pub jwt_public_key_file: Option<PathBuf>,
    /// A set of public keys (JWKS) of others whose tokens are taken too, each for its own algorithm
    #[arg(long, value_name = "PATH")]
    pub jwt_jwks_file: Option<PathBuf>,
    /// The issuer that tokens carry and must have
    #[arg(long, value_name = "NAME")]
    pub jwt_issuer: Option<String>,
    /// The audience that tokens carry and must have
    #[arg(long, value_name = "NAME")]
    pub jwt_audience: Option<String>,
    /// How far the clocks of whoever signs tokens may be apart
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = units::duration)]
    pub jwt_leeway: Duration,
    /// The claim that names a token's user
    #[arg(long, value_name = "NAME", default_value = "user_id")]
    #[arg(value_parser = units::claim)]
    pub user_id_claim: String,
    /// Earlier keys whose tokens are still taken, comma-separated (public or private keys, as PEM,
    /// for RS, ES and EdDSA)
    #[arg(long, value_name = "KEYS", value_delimiter = ',', value_parser = Secret::parse)]
    pub jwt_previous_keys: Vec<Secret>,
    /// How long an access token is good for
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = units::lifetime)]
    pub access_token_lifetime: Duration,
    /// How long a sign-in lasts
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = units::lifetime)]
    pub refresh_token_lifetime: Duration,
    /// Whether a refresh token is used up by its use and answered with its successor
    #[arg(long, value_name = "true|false", default_value = "false", value_parser = units::yes_or_no)]
    #[arg(action = ArgAction::Set)]
    pub rotate_refresh_tokens: bool,
    /// What ends a socket's sign-in: the end of its session, or its token's expiry too
    #[arg(long, value_name = "WHAT", default_value = "session")]
    pub expire_sockets: SocketLife,
}

/// Who may have an account.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Accounts")]
pub struct Accounts {
    /// Who may register users: anybody (open), staff, or nobody (closed)
    #[arg(long, value_name = "WHO", default_value = "open")]
    pub registration: Registration,
    /// Whose profiles a user finds: everybody's (open), or those of exact names and of people whom
    /// one shares a chat with (exact)
    #[arg(long, value_name = "HOW", default_value = "open")]
    pub user_directory: UserDirectory,
    /// Size of a user's picture as it is sent, 1KiB to 64MiB
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    #[arg(value_parser = |text: &str| units::size_between(text, 1 << 10, 64 << 20))]
    pub avatar_bytes: usize,
}

/// A Django project beside the service.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Beside Django")]
pub struct Django {
    /// Who owns the accounts: this service (own), or a Django project (django), whose table of users
    /// is then read live and written first
    #[arg(long, value_name = "WHO", default_value = "own")]
    pub users: UsersOf,
    /// The project's database, where that isn't the service's own; its users, sessions and
    /// blacklisted tokens are there. Prefer the variable: others can read a command line
    #[arg(long, value_name = "URL", value_parser = DatabaseUrl::parse)]
    pub django_database_url: Option<DatabaseUrl>,
    /// The project's table of users
    #[arg(long, value_name = "NAME", default_value = "auth_user")]
    pub django_user_table: String,
    /// That table's columns that have other names, comma-separated, as in
    /// username=login,first_name= (there is none)
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = units::renamed)]
    pub django_user_columns: Vec<(String, String)>,
    /// The project's SECRET_KEY, which signs its session cookies, where it isn't the key that signs
    /// tokens here
    #[arg(long, value_name = "KEY", value_parser = Secret::parse)]
    pub django_secret_key: Option<Secret>,
    /// The project's session cookie, which signs sockets in (SESSION_COOKIE_NAME)
    #[arg(long, value_name = "NAME", default_value = "sessionid")]
    pub django_session_cookie: String,
    /// How long a session that is kept in the cookie is good (SESSION_COOKIE_AGE)
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = units::lifetime)]
    pub django_session_age: Duration,
}

/// What passwords cost: its own group, since commands that set passwords are given it too.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Accounts")]
pub struct Passwords {
    /// How new passwords are stored, in Django's forms: bcrypt_sha256, pbkdf2_sha256 or argon2.
    /// All of Django's forms are taken, and stored anew at the next sign-in
    #[arg(long, value_name = "FORM", default_value = "bcrypt_sha256")]
    pub password_hasher: PasswordHasher,
    /// Rounds of password hashing, on bcrypt's scale (4 to 15); each one more doubles the time. 12
    /// is what Django takes, of each form
    #[arg(long, value_name = "NUMBER", default_value = "12")]
    #[arg(value_parser = |text: &str| units::between::<u32>(text, 4, 15))]
    pub password_cost: u32,
}

/// How much a user may do. 0 switches a limit off.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits (0 is off)")]
pub struct Limits {
    /// Characters of a message
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = units::count)]
    pub message_chars: u32,
    /// Messages in any 60 seconds, per user
    #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = units::count)]
    pub messages_per_minute: u32,
    /// Frames other than messages a second, per connection (twice as many in a burst)
    #[arg(long, value_name = "NUMBER", default_value = "30", value_parser = units::count)]
    pub frames_per_second: u32,
    /// Edits, deletions and reactions a minute, per user
    #[arg(long, value_name = "NUMBER", default_value = "60", value_parser = units::count)]
    pub changes_per_minute: u32,
    /// Pages of history and replays a minute, per connection
    #[arg(long, value_name = "NUMBER", default_value = "60", value_parser = units::count)]
    pub history_per_minute: u32,
    /// Searches a minute, per user
    #[arg(long, value_name = "NUMBER", default_value = "30", value_parser = units::count)]
    pub searches_per_minute: u32,
    /// New rooms an hour, per user
    #[arg(long, value_name = "NUMBER", default_value = "20", value_parser = units::count)]
    pub rooms_per_hour: u32,
    /// New users an hour, per address
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = units::count)]
    pub registrations_per_hour: u32,
    /// Failed sign-ins in 10 minutes, per account and address
    #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = units::count)]
    pub signin_failures: u32,
    /// Sign-ins of the rpc dialect that live at once, per user
    #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = units::count)]
    pub max_sessions: u32,
    /// Messages that a customer of the support dialect is shown at first
    #[arg(long, value_name = "NUMBER", default_value = "500")]
    #[arg(value_parser = |text: &str| units::between::<u64>(text, 1, 10_000))]
    pub support_history: u64,
    /// Whether members, and not only owner and admins, may add others to a group
    #[arg(long, value_name = "true|false", default_value = "true", value_parser = units::yes_or_no)]
    #[arg(action = ArgAction::Set)]
    pub members_add: bool,
}

/// What a connection may hold.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connections")]
pub struct Connections {
    /// The dialect that is also served at /, /ws and /ws/ to requests that ask for a socket
    #[arg(long, value_name = "DIALECT")]
    pub root_dialect: Option<RootDialect>,
    /// A user's second socket to the same chat: takes the first one's place (replace), is closed
    /// itself (reject), or stays beside it (many)
    #[arg(long, value_name = "RULE", default_value = "replace")]
    pub connections_per_chat: ConnectionRule,
    /// Sockets of one user; 0 is no limit
    #[arg(long, value_name = "NUMBER", default_value = "50", value_parser = units::count)]
    pub connections_per_user: u32,
    /// Connections in all; the descriptor limit less 256 when not given
    #[arg(long, value_name = "NUMBER")]
    #[arg(value_parser = |text: &str| units::between::<usize>(text, 1, 10_000_000))]
    pub max_connections: Option<usize>,
    /// Time for a request's headers, and so for a handshake, to come in; and for the support
    /// dialect's first frame
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::lifetime)]
    pub signin_deadline: Duration,
    /// Time for an rpc connection to show its first good token
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = units::lifetime)]
    pub rpc_deadline: Duration,
    /// Size of a message on a socket, 1KiB to 16MiB
    #[arg(long, value_name = "SIZE", default_value = "64KiB")]
    #[arg(value_parser = |text: &str| units::size_between(text, 1 << 10, 16 << 20))]
    pub frame_bytes: usize,
    /// Size of a request's body, 1KiB to 1GiB
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    #[arg(value_parser = |text: &str| units::size_between(text, 1 << 10, 1 << 30))]
    pub body_bytes: usize,
    /// Size of a file that is sent to a chat, 1KiB to 1GiB
    #[arg(long, value_name = "SIZE", default_value = "10MiB")]
    #[arg(value_parser = |text: &str| units::size_between(text, 1 << 10, 1 << 30).map(|size| size as u64))]
    pub attachment_bytes: u64,
    /// Users that a list of who is in a chat names; with more there, they are only counted
    #[arg(long, value_name = "NUMBER", default_value = "200")]
    #[arg(value_parser = |text: &str| units::between::<usize>(text, 0, 10_000))]
    pub presence_limit: usize,
    /// Frames that wait for a slow connection, at most; one more closes it
    #[arg(long, value_name = "NUMBER", default_value = "256")]
    #[arg(value_parser = |text: &str| units::between::<usize>(text, 1, 1_000_000))]
    pub queue_frames: usize,
    /// Bytes that wait for a slow connection, at most
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    #[arg(value_parser = |text: &str| units::size_between(text, 1 << 10, 1 << 30))]
    pub queue_bytes: usize,
    /// Bytes that wait for all connections together, at most; over it the fullest are closed
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    #[arg(value_parser = |text: &str| units::size_between(text, 1 << 10, 1 << 40))]
    pub queue_total: usize,
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct Logging {
    /// What is logged: error, warn, info, debug, trace, also by module, as in info,tertulia=debug
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = units::log_filter)]
    pub log: String,
    /// The form of log lines: for people, or one JSON object each; pretty on a terminal, json
    /// otherwise, when not given
    #[arg(long, value_name = "FORM")]
    pub log_format: Option<LogFormat>,
}
