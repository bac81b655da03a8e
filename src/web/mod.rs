//! The pages for people, out of the binary: the chat page, its client for programs, the WebSocket documents.
//!
//! Here: which file is served where (`assets`), and how (this file: caching, compression, which files other sites
//! may read, the policy that lets a page load nothing from elsewhere and run no script but ours). Not here: what
//! the pages say (`web/` at the top), REST's own documents (`rest`).

mod assets;

use poem::{
    Endpoint, Request, Response, Result,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
};

use self::assets::{Asset, Lifetime, find};
use crate::origin::{AllowedHosts, TrustedProxies};

/// Scripts, styles and fonts are the service's own files: a text can't become one, wherever it got to. The last
/// two lines make the browser refuse it even to a script of ours.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: blob:; \
     media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

/// As REST answers, too.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
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
    // Whoever builds a client elsewhere may load ours from here: it holds no secret.
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    ),
];

/// Whether a request is for one of the pages or their files.
pub fn serves(request: &Request) -> bool {
    find(request.uri().path()).is_some()
}

/// Serves the pages.
pub struct Pages {
    /// Whose word on the host is taken.
    pub proxies: TrustedProxies,
    /// Which hosts we answer for.
    pub hosts: AllowedHosts,
}

impl Endpoint for Pages {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let is_for_us =
            self.hosts.admits_all() || self.hosts.admits(&self.proxies.approach(&request).host);
        let mut response = match find(request.uri().path()) {
            _ if !is_for_us => problem(StatusCode::BAD_REQUEST, "Invalid host."),
            None => problem(StatusCode::NOT_FOUND, "Not found."),
            Some(asset) => match *request.method() {
                Method::GET | Method::HEAD => show(asset, &request),
                ref other => not_allowed(other),
            },
        };
        response.headers_mut().extend(HEADERS);
        Ok(response)
    }
}

fn show(asset: &'static Asset, request: &Request) -> Response {
    let zipped = match accepts(request, header::ACCEPT_ENCODING, "gzip") {
        true => asset.zipped(),
        false => None,
    };
    let etag = match zipped {
        Some(_) => format!("\"{}-gz\"", asset.digest),
        None => format!("\"{}\"", asset.digest),
    };
    let cache_control = match asset.lifetime {
        Lifetime::Forever => "public, max-age=31536000, immutable",
        Lifetime::AskFirst => "no-cache",
    };
    let mut response = Response::builder()
        .header(header::ETAG, &etag)
        .header(header::CACHE_CONTROL, cache_control)
        .header(header::VARY, "Accept-Encoding");
    if asset.is_for_all_sites {
        response = response.header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    }
    if asset.content_type.starts_with("text/html") {
        response = response.header(header::CONTENT_SECURITY_POLICY, POLICY);
    }
    if accepts(request, header::IF_NONE_MATCH, &etag) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response = response.content_type(asset.content_type);
    match zipped {
        Some(zipped) => response
            .header(header::CONTENT_ENCODING, "gzip")
            .body(zipped.clone()),
        None => response.body(asset.bytes.clone()),
    }
}

/// Whether a header's list names `wanted`. An encoding that is refused (`gzip;q=0`) isn't named.
fn accepts(request: &Request, name: HeaderName, wanted: &str) -> bool {
    let lists = request.headers().get_all(name);
    let mut items = lists
        .iter()
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    items.any(|item| {
        let (value, quality) = item.split_once(';').unwrap_or((item, ""));
        let value = value.trim();
        let is_refused = matches!(
            quality.replace(' ', "").as_str(),
            "q=0" | "q=0.0" | "q=0.00" | "q=0.000"
        );
        (value == "*" || value.trim_start_matches("W/") == wanted) && !is_refused
    })
}

fn problem(status: StatusCode, detail: &str) -> Response {
    Response::builder()
        .status(status)
        .content_type("application/json")
        .body(serde_json::json!({ "detail": detail }).to_string())
}

fn not_allowed(method: &Method) -> Response {
    let detail = format!("Method \"{method}\" not allowed.");
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, &detail);
    let allow = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}
