//! What every answer gets whatever it says: the headers of Django's middleware, those that let listed
//! sites read it (CORS), and the same answer with and without the slash at the end.

use std::sync::Arc;

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::PathAndQuery},
};

use crate::rest::{edge::Edge, problem::Problem, resource::refusal};

/// As Django's `SecurityMiddleware` and `XFrameOptionsMiddleware` set them by default.
const DJANGO_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

const PREFLIGHT_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
    ),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type"),
    ),
    (
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    ),
];

/// The routes, and what their answers are wrapped in.
pub(crate) struct Envelope<E> {
    pub(crate) edge: Arc<Edge>,
    pub(crate) routes: E,
}

impl<E: Endpoint<Output = Response>> Endpoint for Envelope<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut response = if !self.is_for_us(&request) {
            Problem::detail(StatusCode::BAD_REQUEST, "Invalid host.").into_response()
        } else if is_preflight(&request) {
            preflight()
        } else {
            add_slash(&mut request);
            self.routes.call(request).await.unwrap_or_else(refusal)
        };
        let headers = response.headers_mut();
        for (name, value) in DJANGO_HEADERS {
            headers.entry(name).or_insert(value);
        }
        // Also where no page asked: what a cache keeps of that must not be given to one that does.
        if origin.is_some() || self.edge.origins.admits_others() {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin {
            self.share_with(&origin, &mut response);
        }
        Ok(response)
    }
}

impl<E> Envelope<E> {
    fn is_for_us(&self, request: &Request) -> bool {
        let edge = &self.edge;
        edge.hosts.admits_all()
            || is_probe(request)
            || edge.hosts.admits(&edge.proxies.approach(request).host)
    }

    /// Lets a listed site's page read the answer. Never credentials for everybody: `*` goes without.
    fn share_with(&self, origin: &HeaderValue, response: &mut Response) {
        let origins = &self.edge.origins;
        let headers = response.headers_mut();
        let is_listed = origin.to_str().is_ok_and(|origin| origins.lists(origin));
        if is_listed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        } else if origins.any() {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
        } else {
            return;
        }
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Retry-After, Location"),
        );
    }
}

/// Asked by whoever watches over the service: they know it by its address, or by a name of their own.
fn is_probe(request: &Request) -> bool {
    let path = request.uri().path();
    matches!(path.trim_end_matches('/'), "/healthz" | "/readyz")
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answered before anybody asks who calls: browsers send no token with it. To a site that isn't listed
/// it says nothing that lets it go on.
fn preflight() -> Response {
    let mut response = Response::builder()
        .header(header::CONTENT_LENGTH, 0)
        .finish();
    response.headers_mut().extend(PREFLIGHT_HEADERS);
    response
}

/// Paths end in a slash; without it the answer is the same. Django redirects, and most clients repeat
/// a redirected POST as a GET.
fn add_slash(request: &mut Request) {
    let path = request.uri().path();
    if path.ends_with('/') {
        return;
    }
    let with_slash = match request.uri().query() {
        Some(query) => format!("{path}/?{query}"),
        None => format!("{path}/"),
    };
    if let Ok(path_and_query) = PathAndQuery::try_from(with_slash) {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}
