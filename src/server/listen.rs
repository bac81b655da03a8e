//! The sockets that we listen on: `host:port` or `unix:/path`.

use std::{io, net::SocketAddr, path::PathBuf};

use poem::Addr;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream, lookup_host};

use super::stream::Socket;

pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Listens on an address. A name that stands for several (`localhost`) is bound on all of them
    /// that this machine has.
    pub(super) async fn bind(address: &str, backlog: u32) -> io::Result<Vec<Self>> {
        if let Some(path) = address.strip_prefix("unix:") {
            return Ok(vec![bind_unix(path.into()).await?]);
        }
        let (mut bound, mut failed) = (Vec::new(), None);
        for candidate in lookup_host(address).await? {
            match bind_tcp(candidate, backlog) {
                Ok(listener) => bound.push(Self::Tcp(listener)),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if bound.is_empty() || error.kind() == io::ErrorKind::AddrInUse => {
                Err(error)
            }
            _ if bound.is_empty() => Err(io::Error::other("the name has no address")),
            _ => Ok(bound),
        }
    }

    /// Where it listens; the port is the real one, also where 0 was asked for.
    pub(super) fn local_addr(&self) -> io::Result<Addr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Addr::from),
            Self::Unix(listener, _) => listener.local_addr().map(Addr::from),
        }
    }

    /// The next client and where it comes from.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Addr)> {
        match self {
            Self::Tcp(listener) => {
                let (tcp, remote) = listener.accept().await?;
                // Frames are gathered by us already; waiting for more would only add delay. Fails
                // where the peer is gone again, which the first read will tell.
                let _ = tcp.set_nodelay(true);
                Ok((Socket::Tcp(tcp), remote.into()))
            }
            Self::Unix(listener, _) => {
                let (unix, remote) = listener.accept().await?;
                Ok((Socket::Unix(unix), remote.into()))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // So that a restart needn't wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// A socket file that nobody answers on was left by a process that is dead.
async fn bind_unix(path: PathBuf) -> io::Result<Listener> {
    match UnixListener::bind(&path) {
        Ok(listener) => Ok(Listener::Unix(listener, path)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(&path).await.is_ok() {
                return Err(error);
            }
            std::fs::remove_file(&path)?;
            Ok(Listener::Unix(UnixListener::bind(&path)?, path))
        }
        Err(error) => Err(error),
    }
}
