//! From a request to a connection: is it a WebSocket handshake (RFC 6455, 4.2.1), does a page that
//! may ask for it ask, and with what does its user sign in.
//!
//! Not here: whether a token is good (the domain). A failed sign-in is no failed handshake: browsers
//! show their page nothing of a refused handshake, so it is accepted and closed with a code.

use base64::{Engine, prelude::BASE64_STANDARD};
use poem::{
    Request, Response,
    http::{HeaderMap, HeaderName, Method, StatusCode, Version, header},
};
use sha1::{Digest, Sha1};
use tracing::info;

use super::close;
use crate::{
    chat::{AuthError, OpaqueKind},
    hub::Close,
    metrics,
    origin::{AllowedOrigins, Approach, TrustedProxies, is_same_host},
    urlencoded,
};

/// What a key is answered with is its hash together with this (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The subprotocol that carries a token: `bearer, <token>`.
const BEARER: &str = "bearer";
/// Of a user agent, this much is logged.
const USER_AGENT_CHARS_MAX: usize = 200;

/// What somebody signs in with. Never logged.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// An access token.
    Token(String),
    /// A one-time ticket, made for a URL.
    Ticket(String),
    /// The opaque token of a dialect whose clients sign in by frame.
    Opaque(OpaqueKind, String),
    /// The session cookie of a Django beside us.
    Cookie(String),
}

impl Credential {
    /// A token that came in a frame: access tokens have two dots, opaque ones have one.
    pub fn shown(kind: OpaqueKind, token: &str) -> Self {
        match token.matches('.').count() {
            2 => Self::Token(token.to_owned()),
            _ => Self::Opaque(kind, token.to_owned()),
        }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(..)",
            Self::Ticket(_) => "Ticket(..)",
            Self::Opaque(..) => "Opaque(..)",
            Self::Cookie(_) => "Cookie(..)",
        })
    }
}

/// Why a sign-in on a connection failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInRefused {
    /// The handshake had no token.
    Missing,
    /// The token isn't good.
    Bad(AuthError),
    /// The database can't be asked.
    Unavailable,
    /// The user may not have one more connection.
    Closed(Close),
}

impl From<AuthError> for SignInRefused {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable => Self::Unavailable,
            AuthError::Missing => Self::Missing,
            bad => Self::Bad(bad),
        }
    }
}

impl From<SignInRefused> for Close {
    fn from(refused: SignInRefused) -> Self {
        match refused {
            SignInRefused::Missing | SignInRefused::Bad(_) => close::NOT_SIGNED_IN,
            SignInRefused::Unavailable => close::UNAVAILABLE,
            SignInRefused::Closed(close) => close,
        }
    }
}

/// What a handshake said, for a consumer's `connect`.
#[derive(Debug)]
pub struct Handshake {
    /// Where it came from, and the host that it asked for.
    pub approach: Approach,
    /// The client's program.
    pub user_agent: String,
    pub(super) credential: Option<Credential>,
    params: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

impl Handshake {
    /// A parameter of the path, such as `chat_id`, percent-decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        last(&self.params, name)
    }

    /// A parameter of the query, such as `since`; of several the last, as in Django.
    pub fn query(&self, name: &str) -> Option<&str> {
        last(&self.query, name)
    }
}

/// Who may ask, from where.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// Whose `X-Forwarded-*` is believed.
    pub proxies: TrustedProxies,
    /// Which sites' pages may connect, besides our own.
    pub allowed: AllowedOrigins,
    /// The cookie that signs in, where one does.
    pub session_cookie: Option<String>,
}

/// The answer to a handshake that can't be accepted.
pub(super) type Refusal = Box<Response>;

/// A handshake that can be accepted, and the answer that accepts it.
pub(super) fn shake(
    request: &Request,
    origins: &Origins,
) -> Result<(Handshake, Response), Refusal> {
    let key = websocket_key(request, origins)?;
    let approach = origins.proxies.approach(request);
    check_origin(request, &approach, origins)?;
    let headers = request.headers();
    let query = urlencoded::pairs(request.uri().query().unwrap_or_default());
    let offered = bearer_protocol(headers);
    let handshake = Handshake {
        credential: credential(headers, offered, &query)
            .or_else(|| session_cookie(headers, &approach, origins)),
        user_agent: text(headers, header::USER_AGENT)
            .chars()
            .filter(|c| !c.is_control())
            .take(USER_AGENT_CHARS_MAX)
            .collect(),
        params: request
            .path_params::<std::collections::HashMap<String, String>>()
            .map(|params| params.into_iter().collect())
            .unwrap_or_default(),
        query,
        approach,
    };
    let mut accepted = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept_key(&key));
    if offered.is_some() {
        accepted = accepted.header(header::SEC_WEBSOCKET_PROTOCOL, BEARER);
    }
    Ok((handshake, accepted.finish()))
}

/// Whether a request asks for a socket, rightly or not.
pub(super) fn asks_for_socket(request: &Request) -> bool {
    lists(request.headers(), header::UPGRADE, "websocket")
}

fn websocket_key(request: &Request, origins: &Origins) -> Result<String, Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() < Version::HTTP_11 {
        let detail = "A WebSocket handshake is a GET request of HTTP/1.1.";
        return Err(refusal(request, origins, StatusCode::BAD_REQUEST, detail));
    }
    if !asks_for_socket(request) || !lists(headers, header::CONNECTION, "upgrade") {
        let detail = "This address speaks WebSocket.";
        return Err(upgrade_required(request, origins, detail));
    }
    if text(headers, header::SEC_WEBSOCKET_VERSION).trim() != "13" {
        let detail = "Only version 13 of WebSocket is spoken.";
        return Err(upgrade_required(request, origins, detail));
    }
    let key = text(headers, header::SEC_WEBSOCKET_KEY).trim();
    match BASE64_STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(key.to_owned()),
        _ => Err(refusal(
            request,
            origins,
            StatusCode::BAD_REQUEST,
            "Sec-WebSocket-Key is not 16 bytes in base64.",
        )),
    }
}

/// A page of another site would act with the user's own rights (cross-site WebSocket hijacking);
/// programs send no Origin.
fn check_origin(request: &Request, approach: &Approach, origins: &Origins) -> Result<(), Refusal> {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = String::from_utf8_lossy(origin.as_bytes());
    if origins.allowed.admits(&origin, approach) {
        return Ok(());
    }
    let host = &approach.host;
    let detail = format!(
        "Origin {origin} is not allowed: the host is {host}. List the origin in \
         TERTULIA_ALLOWED_ORIGINS; behind a proxy that changes Host, send X-Forwarded-Host and \
         name the proxy in TERTULIA_TRUSTED_PROXIES."
    );
    Err(refusal(request, origins, StatusCode::FORBIDDEN, &detail))
}

/// The first that is there, in this order.
fn credential(
    headers: &HeaderMap,
    offered: Option<&str>,
    query: &[(String, String)],
) -> Option<Credential> {
    let token = |token: &str| Credential::Token(token.to_owned());
    bearer_header(headers)
        .or(offered)
        .map(token)
        .or_else(|| filled(query, "ticket").map(|ticket| Credential::Ticket(ticket.to_owned())))
        .or_else(|| filled(query, "token").map(token))
}

/// A cookie comes along whoever's page asks: it signs in where the page is one of ours, or of a site that is named, or
/// where no page asks. That all sites may connect (`*`) is not enough.
fn session_cookie(
    headers: &HeaderMap,
    approach: &Approach,
    origins: &Origins,
) -> Option<Credential> {
    let name = origins.session_cookie.as_deref()?;
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().ok()?;
        if !origins.allowed.lists(origin) && !is_same_host(origin, approach) {
            return None;
        }
    }
    let mut cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='));
    let (_, value) = cookies.find(|(key, _)| *key == name)?;
    let value = value.trim_matches('"');
    (!value.is_empty()).then(|| Credential::Cookie(value.to_owned()))
}

fn bearer_header(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
        .filter(|token| !token.is_empty())
}

/// What follows `bearer` in the list of subprotocols.
fn bearer_protocol(headers: &HeaderMap) -> Option<&str> {
    let mut offered = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim);
    offered.find(|protocol| protocol.eq_ignore_ascii_case(BEARER))?;
    offered.next().filter(|token| !token.is_empty())
}

fn accept_key(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

fn upgrade_required(request: &Request, origins: &Origins, detail: &str) -> Refusal {
    let mut response = refusal(request, origins, StatusCode::UPGRADE_REQUIRED, detail);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::UPGRADE, "websocket"),
        (header::CONNECTION, "Upgrade"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}

/// Says why, to the client and in the log.
pub(super) fn refusal(
    request: &Request,
    origins: &Origins,
    status: StatusCode,
    detail: &str,
) -> Refusal {
    let path = request.original_uri().path();
    let code = status.as_u16();
    let client = origins
        .proxies
        .approach(request)
        .client
        .map(tracing::field::display);
    metrics::HANDSHAKES_REFUSED.of(code).one();
    info!(
        path,
        status = code,
        client,
        "{path}: handshake refused, {code}: {detail}"
    );
    let response = Response::builder()
        .status(status)
        .content_type("application/json")
        .body(serde_json::json!({ "detail": detail }).to_string());
    Box::new(response)
}

fn lists(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn filled<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    last(pairs, name).filter(|value| !value.is_empty())
}

fn last<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .rfind(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}
