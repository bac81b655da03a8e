//! Settings whose values are words or have a form of their own.

use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use clap::ValueEnum;
use redis::IntoConnectionInfo;

/// One place to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// An address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Bind {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:")
            && path.starts_with('/')
        {
            return Ok(Self::Unix(path.into()));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "{text:?} is neither an address with a port such as 127.0.0.1:8000 nor unix:/path"
            )
        })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A key or password: never printed, not even for debugging.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("is empty".to_owned());
        }
        Ok(Self::new(text))
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where the database is. It may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// A database's URL that was not written by somebody who gave settings.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    // The URL itself stays out of a refusal, and so would it not be if it came to SeaORM, which shows whatever it can't read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("is not a URL such as postgres://user:password@host/name".to_owned());
        };
        let is_usable = match scheme {
            "sqlite" => {
                let path = rest.split_once('?').map_or(rest, |(path, _)| path);
                if path.is_empty() || path.contains(":memory:") {
                    return Err(
                        "a file is needed: what is in memory alone could not be kept".to_owned(),
                    );
                }
                true
            }
            "postgres" | "postgresql" | "mysql" | "mariadb" => names_a_database(rest),
            _ => {
                return Err(format!(
                    "{scheme}://... is none of sqlite://, postgres:// and mysql:// (mariadb://)"
                ));
            }
        };
        match is_usable {
            true => Ok(Self::new(text)),
            false => Err(format!(
                "is not a URL such as {scheme}://user:password@host/name"
            )),
        }
    }

    /// Whether it is a file of this machine, which one process has for itself.
    pub fn is_file(&self) -> bool {
        self.0.starts_with("sqlite:")
    }

    /// The URL itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// `user:password@host:5432/name?...`
fn names_a_database(rest: &str) -> bool {
    let place = rest.split(['?', '#']).next().unwrap_or_default();
    let Some((server, name)) = place.split_once('/') else {
        return false;
    };
    let host = server.rsplit_once('@').map_or(server, |(_, host)| host);
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (host, ""),
    };
    let is_host = match host.strip_prefix('[') {
        Some(address) => address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        // None at all is a socket's, which the query names.
        None if host.is_empty() => server.is_empty(),
        None => !host.contains(|c: char| c.is_whitespace() || "[]<>\\^|:".contains(c)),
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.parse::<u16>().is_ok());
    !name.is_empty() && is_host && is_port
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once(':').map_or("", |(scheme, _)| scheme);
        write!(f, "DatabaseUrl({scheme}:..)")
    }
}

/// Where the channel layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerUrl {
    /// In this process.
    Memory,
    /// On a Redis, whose address is the secret: it may hold a password.
    Redis(LayerForm, Secret),
}

/// Which of channels_redis' two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerForm {
    /// `channels_redis.pubsub.RedisPubSubChannelLayer`
    PubSub,
    /// `channels_redis.core.RedisChannelLayer`
    Core,
}

impl LayerUrl {
    /// Which of channels_redis' layers; none in memory.
    pub fn form(&self) -> Option<LayerForm> {
        match self {
            Self::Memory => None,
            Self::Redis(form, _) => Some(*form),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("is not a URL such as memory:// or redis://host:6379/0".to_owned());
        };
        let (server, form) = scheme.split_once('+').unwrap_or((scheme, "pubsub"));
        let form = match (server, form) {
            ("memory", _) if scheme == "memory" && rest.is_empty() => return Ok(Self::Memory),
            ("redis" | "rediss" | "unix", "pubsub") => LayerForm::PubSub,
            ("redis" | "rediss" | "unix", "core") => LayerForm::Core,
            _ => {
                return Err(format!(
                    "{scheme}://... is none of memory://, redis://, rediss:// and unix://, the latter three also with \
                     +pubsub or +core"
                ));
            }
        };
        let url = format!("{server}://{rest}");
        match url.as_str().into_connection_info() {
            Ok(_) => Ok(Self::Redis(form, Secret::new(url))),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
#[allow(
    missing_docs,
    reason = "the names are RFC 7518's and RFC 8037's, and say all"
)]
pub enum JwtAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    ES256,
    ES384,
    EdDSA,
}

impl JwtAlgorithm {
    /// Whether the key that signs also verifies.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// How new passwords are stored, as Django calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PasswordHasher {
    /// bcrypt over SHA-256.
    #[value(name = "bcrypt_sha256")]
    BcryptSha256,
    /// What Django writes unless told otherwise.
    #[value(name = "pbkdf2_sha256")]
    Pbkdf2Sha256,
    /// argon2id.
    Argon2,
}

/// What ends a socket's sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SocketLife {
    /// The end of its session alone.
    Session,
    /// Its access token's expiry too.
    Token,
}

/// Who may register users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Anybody.
    Open,
    /// Staff only.
    Staff,
    /// Nobody over REST.
    Closed,
}

/// Who owns the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsersOf {
    /// This service.
    Own,
    /// A Django project.
    Django,
}

/// Whose profiles a user finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UserDirectory {
    /// Everybody's.
    Open,
    /// Those of exact names, and of people whom one shares a chat with.
    Exact,
}

/// What becomes of a user's second socket to the same chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConnectionRule {
    /// It takes the first one's place.
    Replace,
    /// It is closed.
    Reject,
    /// Both stay.
    Many,
}

/// The dialect that is also served at `/`, `/ws` and `/ws/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RootDialect {
    /// All of the user's chats on one socket.
    Chats,
    /// Any number of rooms on one socket.
    Lobby,
    /// The whole account, by requests and answers.
    Rpc,
    /// Customers, and operators who answer them.
    Support,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object each.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_cannot_be_kept_or_opened_is_refused_without_telling_its_password() {
        for usable in [
            "sqlite:///var/lib/chat.db",
            "postgres://chat:hunter2@db/chat?sslmode=verify-full",
            "postgresql:///chat?host=/run/postgresql",
            "mysql://chat:hunter2@db:3307/chat?ssl-mode=REQUIRED",
            "mariadb://chat@localhost/chat?socket=/run/mysqld/mysqld.sock",
            "postgres://chat:hunter2@[::1]:5433/chat",
            "mysql://chat:hunter2@[::1]/chat",
        ] {
            let url = DatabaseUrl::parse(usable);
            assert!(
                url.is_ok_and(|url| !format!("{url:?}").contains("hunter2")),
                "{usable}"
            );
        }
        for refused in [
            "sqlite://:memory:",
            "chat.db",
            "oracle://chat:hunter2@db/chat",
            "postgres://chat:hunter2@db:many/chat",
            "mariadb://chat:hunter2@db:70000/chat",
            "postgres://chat:hunter2#@db/chat",
            "postgres://chat:hunter2/@db/chat",
            "mysql://chat:hunter2@[::1/chat",
            "postgres://chat:hunter2@d b/chat",
            "postgres://chat:hunter2@/chat?host=/run/postgresql",
            "mysql://chat:hunter2@db",
            "mysql://chat:hunter2@db/?ssl-mode=REQUIRED",
        ] {
            let error = DatabaseUrl::parse(refused);
            assert!(
                error.is_err_and(|error| !error.contains("hunter2")),
                "{refused}"
            );
        }
    }
}
