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
    address: SocketAddr,
    /// As it stands in the URL, for the `Host` header.
    pub(super) host: String,
    /// The limit server knows no users and no chats, and sends frames back as they came.
    pub(super) is_limit: bool,
}

impl Target {
    pub(super) async fn find(url: &str, is_limit: bool) -> Result<Self, LoadError> {
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
            Ok(Some(address)) => Ok(Self {
                address,
                host: host.to_owned(),
                is_limit,
            }),
            Ok(None) => Err(LoadError::Url {
                url: url.to_owned(),
            }),
            Err(cause) => Err(LoadError::Unreachable {
                host: host.to_owned(),
                cause,
            }),
        }
    }

    /// The connection with this number.
    pub(super) async fn connect(&self, number: usize) -> Result<TcpStream, LoadError> {
        let stream = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => self.connect_from(source(number)).await,
            _ => TcpStream::connect(self.address).await,
        };
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        stream.map_err(|cause| LoadError::Unreachable {
            host: self.host.clone(),
            cause,
        })
    }

    async fn connect_from(&self, source: Ipv4Addr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        socket.connect(self.address).await
    }
}

fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 1 + (number % SOURCES) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_names_a_host_and_nothing_else() {
        let target = Target::find("http://127.0.0.1:8000/", false).await.unwrap();
        assert_eq!(
            (target.host.as_str(), target.address.port()),
            ("127.0.0.1:8000", 8000)
        );
        assert_eq!(
            Target::find("http://127.0.0.1", false)
                .await
                .unwrap()
                .address
                .port(),
            80
        );
        for url in [
            "127.0.0.1:8000",
            "https://127.0.0.1",
            "http://",
            "http://127.0.0.1/ws/",
        ] {
            assert!(Target::find(url, false).await.is_err(), "{url}");
        }
    }
}
