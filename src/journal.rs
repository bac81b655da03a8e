//! One line for each request, and its place among the numbers: what was asked, by whom, what came of it and why.
//!
//! Not here: sockets, which tell of themselves (`ws`). Never in a line: queries, bodies, headers, and whatever
//! else may hold a token or what somebody said.

use std::{borrow::Cow, net::IpAddr, time::Instant};

use entity::UserId;
use poem::{Endpoint, Request, Response, Result, http::Method};
use tracing::{debug, info, warn};

use crate::{metrics, origin::TrustedProxies};

/// A path's segment beyond this is no id: perhaps a signature, or a token in the wrong place.
const SEGMENT_BYTES_MAX: usize = 40;
/// Paths beyond this are of nobody who wants an answer.
const PATH_BYTES_MAX: usize = 200;

/// Left in an answer's extensions by whoever knows it: who asked.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub UserId);

/// Left in an answer's extensions where the client isn't told: why it was refused.
#[derive(Clone, Debug)]
pub struct Cause(pub Cow<'static, str>);

/// Keeps a journal of an endpoint.
pub struct Journal<E> {
    endpoint: E,
    proxies: TrustedProxies,
}

impl<E> Journal<E> {
    /// Whose word about a client's address is taken, is told by `proxies`.
    pub fn new(endpoint: E, proxies: TrustedProxies) -> Self {
        Self { endpoint, proxies }
    }
}

impl<E: Endpoint> Endpoint for Journal<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let asked = Asked {
            method: request.method().clone(),
            uri: request.uri().clone(),
            client: self.proxies.approach(&request).client,
            began: Instant::now(),
        };
        let response = self.endpoint.get_response(request).await;
        asked.is_answered(&response);
        Ok(response)
    }
}

struct Asked {
    method: Method,
    uri: poem::http::Uri,
    client: Option<IpAddr>,
    began: Instant,
}

impl Asked {
    /// Reads are told at `debug`: there are many, and they change nothing. Writes and refusals at `info`, faults of ours
    /// at `warn`.
    fn is_answered(&self, response: &Response) {
        let took = self.began.elapsed();
        let status = response.status().as_u16();
        metrics::HTTP_REQUESTS.of(status).one();
        metrics::HTTP_SECONDS.took(took);

        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&self.method);
        let is_told = status >= 400 || !reads || tracing::enabled!(tracing::Level::DEBUG);
        if !is_told {
            return;
        }
        let extensions = response.extensions();
        let user = extensions.get().map(|Caller(user)| user.0);
        let cause = extensions.get().map(|Cause(cause)| &**cause);
        let client = self.client.map(tracing::field::display);
        let ms = took.as_micros() as f64 / 1e3;
        let (method, path) = (self.method.as_str(), shown(self.uri.path()));
        let why = cause.map(|cause| format!(", {cause}")).unwrap_or_default();
        let told = format!("{method} {path}: {status}{why}");
        if status >= 500 {
            warn!(method, path, status, user, client, cause, ms, "{told}");
        } else if status >= 400 || !reads {
            info!(method, path, status, user, client, cause, ms, "{told}");
        } else {
            debug!(method, path, status, user, client, ms, "{told}");
        }
    }
}

/// A path as the log may have it.
fn shown(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| match segment.len() <= SEGMENT_BYTES_MAX {
            true => segment,
            false => "...",
        });
    let mut shown = segments.collect::<Vec<_>>().join("/");
    if shown.len() > PATH_BYTES_MAX {
        // Paths are ASCII: what isn't comes percent-encoded.
        shown = shown
            .chars()
            .take(PATH_BYTES_MAX)
            .chain("...".chars())
            .collect();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shown_and_what_may_be_a_secret_is_not() {
        assert_eq!(shown("/api/chats/7/messages/"), "/api/chats/7/messages/");
        let session = "0123456789abcdef0123456789abcdef";
        assert_eq!(
            shown(&format!("/api/sessions/{session}/")),
            format!("/api/sessions/{session}/")
        );
        let token = "x".repeat(SEGMENT_BYTES_MAX + 1);
        assert_eq!(shown(&format!("/api/{token}/")), "/api/.../");
        assert!(shown(&"/a".repeat(1000)).len() <= PATH_BYTES_MAX + 3);
    }
}
