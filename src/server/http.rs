//! One connection while it speaks HTTP/1.1: requests in, the endpoint's answers out.
//!
//! Bounded by: the time for a request's headers (then 408), the time in which not a byte moves, the
//! size of the headers, and at shutdown the time of the drain.

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use poem::{
    Addr, Endpoint, Response,
    http::{self, StatusCode, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::{
    ServerLimits,
    stream::{Place, Socket, Stream, Watched},
    tls::Tls,
    upgrade::UpgradeSlot,
};
use crate::metrics;

/// Request line and headers together; hyper answers 431 beyond.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// hyper's buffers in either direction.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// What every connection of a server needs to know.
pub(super) struct Shared<E> {
    pub(super) endpoint: E,
    pub(super) limits: ServerLimits,
    /// No new requests; those in flight are finished.
    pub(super) draining: CancellationToken,
    /// The time of the drain is over.
    pub(super) abandoned: CancellationToken,
}

/// Serves a connection once it is TLS; the handshake has the time that a request's headers have.
pub(super) async fn serve_secured<E>(
    shared: Arc<Shared<E>>,
    tls: Arc<Tls>,
    tcp: TcpStream,
    place: Place,
    local: Addr,
    remote: Addr,
) where
    E: Endpoint + 'static,
{
    let handshake = tokio::time::timeout(shared.limits.head_deadline, tls.accept(tcp));
    let problem = tokio::select! {
        () = shared.draining.cancelled() => return,
        secured = handshake => match secured {
            Ok(Ok(tls)) => {
                let stream = Stream::new(Socket::Tls(Box::new(Mutex::new(tls))), place);
                return serve(shared, stream, local, remote).await;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        },
    };
    metrics::HTTP_REFUSED.of("tls").one();
    debug!(remote = %remote, "{remote}: no TLS handshake: {problem}");
}

/// Serves a connection until it ends or somebody takes it over.
pub(super) async fn serve<E>(shared: Arc<Shared<E>>, stream: Stream, local: Addr, remote: Addr)
where
    E: Endpoint + 'static,
{
    let slot = UpgradeSlot::default();
    let scheme = match stream.is_secured() {
        true => Scheme::HTTPS,
        false => Scheme::HTTP,
    };
    let served = AtomicUsize::new(0);
    let moved = Arc::new(AtomicBool::new(true));
    let service = service_fn(|mut request: http::Request<Incoming>| {
        served.fetch_add(1, Relaxed);
        request.extensions_mut().insert(slot.clone());
        let addresses = (LocalAddr(local.clone()), RemoteAddr(remote.clone()));
        answer(&shared.endpoint, &slot, request, addresses, scheme.clone())
    });
    let io = TokioIo::new(Watched {
        stream,
        moved: moved.clone(),
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head_deadline)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(io, service);

    let ended = {
        let mut stalled = pin!(stall(&moved, &shared.limits));
        let mut draining = pin!(shared.draining.cancelled());
        let mut is_draining = false;
        loop {
            tokio::select! {
                ended = &mut connection => break Some(ended),
                () = &mut stalled => {
                    metrics::HTTP_REFUSED.of("stalled").one();
                    break None;
                }
                () = shared.abandoned.cancelled() => break None,
                () = &mut draining, if !is_draining => {
                    is_draining = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    };
    match ended {
        // With an upgrade hyper lets go without closing; the socket is ours again.
        Some(Ok(())) => {
            if let Some(takeover) = slot.take() {
                let parts = connection.into_parts();
                takeover(parts.io.into_inner().stream, parts.read_buf);
            }
        }
        // A connection that was kept for a next request, which didn't come, just ends.
        Some(Err(error)) if error.is_timeout() => {
            let parts = connection.into_parts();
            if served.load(Relaxed) == 0 || !parts.read_buf.is_empty() {
                metrics::HTTP_REFUSED.of("slow_headers").one();
                debug!(remote = %remote, "{remote}: request headers took too long");
                let detail = "The request's headers took too long.";
                refuse(parts.io.into_inner().stream, "408 Request Timeout", detail).await;
            }
        }
        Some(Err(error)) => debug!(remote = %remote, "{remote}: connection ended: {error}"),
        None => debug!(remote = %remote, "{remote}: connection given up, nothing moved"),
    }
}

/// Ends when not a byte has gone either way for the time allowed: a body or an answer that its
/// client leaves hanging.
async fn stall(moved: &AtomicBool, limits: &ServerLimits) {
    while moved.swap(false, Relaxed) {
        tokio::time::sleep(limits.stall_deadline).await;
    }
}

/// One request. A panic in an endpoint costs its own request only.
fn answer<E: Endpoint + 'static>(
    endpoint: &E,
    slot: &UpgradeSlot,
    request: http::Request<Incoming>,
    (local, remote): (LocalAddr, RemoteAddr),
    scheme: Scheme,
) -> impl Future<
    Output = Result<
        http::Response<impl hyper::body::Body<Data = Bytes, Error = std::io::Error> + 'static>,
        Infallible,
    >,
> {
    let request = poem::Request::from((request, local, remote, scheme));
    let path = request.uri().path().to_owned();
    async move {
        let outcome = AssertUnwindSafe(endpoint.get_response(request))
            .catch_unwind()
            .await;
        let response = outcome.unwrap_or_else(|_| {
            error!(path, "{path}: the endpoint panicked");
            Response::builder()
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .content_type("application/json")
                .body(r#"{"detail":"Internal server error"}"#)
        });
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            drop(slot.take());
        }
        Ok(http::Response::from(response))
    }
}

/// Answers without having read a whole request, and closes so that the answer arrives: a socket
/// that is closed with bytes unread is reset, and the answer may be lost with it.
pub(super) async fn refuse(mut stream: Stream, status: &str, detail: &str) {
    let body = format!(r#"{{"detail":"{detail}"}}"#);
    let retry = if status.starts_with("503") {
        "Retry-After: 5\r\n"
    } else {
        ""
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{retry}Connection: close\r\n\r\n{body}",
        body.len()
    );
    let farewell = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(super::REFUSAL_MAX, farewell).await;
}
