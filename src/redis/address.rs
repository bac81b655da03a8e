//! Where a Redis is: `redis://`, `rediss://` or `unix://`, with user, password and database; or the name of a master and
//! the sentinels that know where it is.

use std::{fmt, str::FromStr};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

/// A Redis server's address. Shown, it tells no password.
#[derive(Clone)]
pub struct Address {
    pub(super) server: ConnectionInfo,
    /// The master's name, and whom to ask where it is.
    pub(super) master: Option<(String, Vec<ConnectionAddr>)>,
}

/// Why an address can't be used; the address itself stays out of it, as it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    /// Reads `redis://user:password@host:port/database`, `rediss://...` for TLS, `unix:///path?db=0&user=...&pass=...`.
    /// With `?master=name` the host is a sentinel; `&sentinel=host:port` names more of them, which are asked the same way.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (server, query) = text.split_once('?').unwrap_or((text, ""));
        let (ours, theirs): (Vec<_>, Vec<_>) = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .partition(|(key, _)| matches!(*key, "master" | "sentinel"));
        let theirs: Vec<String> = theirs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let server = format!("{server}?{}", theirs.join("&"))
            .into_connection_info()
            .map_err(|error| AddressError(error.to_string()))?;
        // Pushed messages need the third protocol: Redis 6 and every Valkey speak it.
        let settings = server.redis_settings().clone();
        let server = server.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
        let master = ours.iter().find(|(key, _)| *key == "master");
        let mut sentinels = vec![server.addr().clone()];
        for (_, sentinel) in ours.iter().filter(|(key, _)| *key == "sentinel") {
            let (host, port) = host_and_port(sentinel)?;
            sentinels.push(another(server.addr(), host, port));
        }
        let master = match master {
            Some((_, name)) => Some(((*name).to_owned(), sentinels)),
            None if sentinels.len() > 1 => {
                return Err(AddressError(
                    "sentinels are named, but no master".to_owned(),
                ));
            }
            None => None,
        };
        Ok(Address { server, master })
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), AddressError> {
    let host_and_port = text.rsplit_once(':');
    host_and_port
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
        .ok_or_else(|| AddressError(format!("{text:?} is not a sentinel such as host:26379")))
}

/// Another place, reached as the first one is: by TLS or without.
fn another(first: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match first {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    }
}

impl Address {
    /// The same server, reached at another address.
    pub(super) fn server_at(&self, host: String, port: u16) -> ConnectionInfo {
        let at = another(self.server.addr(), host, port);
        self.server.clone().set_addr(at)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.server.redis_settings().db();
        match &self.master {
            Some((name, _)) => write!(f, "{name} by way of {}/{database}", self.server.addr()),
            None => write!(f, "{}/{database}", self.server.addr()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let address = text.parse::<Address>();
        address.map_or_else(|error| format!("refused: {error}"), |it| it.to_string())
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(shown("redis://anna:hunter2@cache:6380/3"), "cache:6380/3");
        assert_eq!(shown("rediss://:hunter2@cache"), "cache:6379/0");
        assert_eq!(
            shown("unix:///run/redis.sock?db=2&pass=hunter2"),
            "/run/redis.sock/2"
        );
        let refused = shown("redis://anna:hunter2@/x");
        assert!(
            refused.starts_with("refused: ") && !refused.contains("hunter2"),
            "{refused}"
        );
        assert!(shown("http://cache").starts_with("refused: "));
        assert!(shown("redis://cache/none").starts_with("refused: "));
    }

    #[test]
    fn a_master_is_asked_of_its_sentinels() {
        let address: Address = "redis://:secret@one:26379/1?master=chat&sentinel=two:26380"
            .parse()
            .unwrap();
        let (name, sentinels) = address.master.clone().unwrap();
        assert_eq!(name, "chat");
        assert_eq!(sentinels.len(), 2);
        let master = address.server_at("10.0.0.7".to_owned(), 6379);
        assert_eq!(master.addr().to_string(), "10.0.0.7:6379");
        assert_eq!(master.redis_settings().password(), Some("secret"));
        let is_plain = |at: &ConnectionAddr| matches!(at, ConnectionAddr::Tcp(..));
        assert!(sentinels.iter().all(is_plain));
        assert!(shown("redis://one?sentinel=two:1").starts_with("refused: "));
        assert!(shown("redis://one?master=chat&sentinel=two").starts_with("refused: "));
    }

    #[test]
    fn all_sentinels_are_asked_by_tls_where_the_first_one_is() {
        let address: Address = "rediss://one:26379?master=chat&sentinel=two:26380"
            .parse()
            .unwrap();
        let (_, sentinels) = address.master.clone().unwrap();
        let shown: Vec<String> = sentinels.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["one:26379", "two:26380"]);
        let is_by_tls = |at: &ConnectionAddr| matches!(at, ConnectionAddr::TcpTls { .. });
        assert!(sentinels.iter().all(is_by_tls));
        let master = address.server_at("chat".to_owned(), 6379);
        assert!(is_by_tls(master.addr()));
    }
}
