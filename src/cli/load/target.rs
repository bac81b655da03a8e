//! What is measured: an address, and whether it is a chat service or the limit server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::error::LoadError;

/// Loopback addresses that connections are spread over: each has a range of ports of its own, so that
/// tens of thousands fit at once, and those that have just been closed are in nobody's way.
const SOURCES: usize = 16;

/// A server under load.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Of its nodes.
    addresses: Vec<SocketAddr>,
    /// As the first one stands in its URL, for the `Host` header.
    pub(super) host: String,
    /// The limit server knows no users and no chats, and sends frames back as they came.
    pub(super) is_limit: bool,
}

impl Target {
    pub(super) async fn find(urls: &[String], is_limit: bool) -> Result<Self, LoadError> {
        let mut found = Vec::with_capacity(urls.len());
        for url in urls {
            found.push(find(url).await?);
        }
        let host = found.first().map(|(_, host)| host.clone());
        Ok(Self {
            addresses: found.into_iter().map(|(address, _)| address).collect(),
            host: host.unwrap_or_default(),
            is_limit,
        })
    }

    /// The connection with this number.
    pub(super) async fn connect(&self, number: usize) -> Result<TcpStream, LoadError> {
        let address = self.addresses[number % self.addresses.len()];
        let stream = match address.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => connect_from(source(number), address).await,
            _ => TcpStream::connect(address).await,
        };
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        stream.map_err(|cause| LoadError::Unreachable {
            host: self.host.clone(),
            cause,
        })
    }
}

async fn find(url: &str) -> Result<(SocketAddr, String), LoadError> {
    if url.starts_with("https://") || url.starts_with("wss://") {
        return Err(LoadError::Tls {
            url: url.to_owned(),
        });
    }
    let host = url
        .strip_prefix("http://")
        .map(|host| host.trim_end_matches('/'));
    let Some(host) = host.filter(|host| !host.is_empty() && !host.contains('/')) else {
        return Err(LoadError::Url {
            url: url.to_owned(),
        });
    };
    let with_port = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = lookup_host(&with_port).await.map(|mut found| found.next());
    match address {
        Ok(Some(address)) => Ok((address, host.to_owned())),
        Ok(None) => Err(LoadError::Url {
            url: url.to_owned(),
        }),
        Err(cause) => Err(LoadError::Unreachable {
            host: host.to_owned(),
            cause,
        }),
    }
}

async fn connect_from(source: Ipv4Addr, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(address).await
}

fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 1 + (number % SOURCES) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_names_a_host_and_nothing_else() {
        let urls = ["http://127.0.0.1:8000/", "http://127.0.0.1"].map(str::to_owned);
        let target = Target::find(&urls, false).await.unwrap();
        assert_eq!(target.host, "127.0.0.1:8000");
        let ports: Vec<u16> = target.addresses.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [8000, 80]);
        for url in ["127.0.0.1:8000", "http://", "http://127.0.0.1/ws/"] {
            let error = find(url).await.unwrap_err();
            assert!(matches!(error, LoadError::Url { .. }), "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn that_tls_is_not_spoken_is_said() {
        for url in ["https://127.0.0.1", "wss://127.0.0.1:8443"] {
            let error = find(url).await.unwrap_err();
            assert!(matches!(error, LoadError::Tls { .. }), "{url}: {error}");
        }
    }
}
