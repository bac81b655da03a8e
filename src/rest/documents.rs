//! The OpenAPI document, and the two pages that show it: all out of the binary, nothing from elsewhere.

use poem::{
    EndpointExt, IntoResponse, Response,
    endpoint::{BoxEndpoint, make_sync},
    get,
    http::header,
};
use poem_openapi::OpenApiService;

use crate::rest::Apis;

/// What the pages may load: themselves. Should a new version of theirs name another host, the browser
/// refuses it. Both are one file with its script and style in it; ReDoc searches in a worker.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; \
    worker-src blob:; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// ReDoc's template asks another host for its fonts; the reader's own do as well.
const REDOC_FONTS: &str = r#"<link href="https://fonts.googleapis.com/css?family=Montserrat:300,400,700|Roboto:300,400,700" rel="stylesheet">"#;

const DESCRIPTION: &str = "\
One chat over REST and WebSockets: what is sent here is heard there at once.

Bodies, errors and pages follow Django REST framework, tokens follow simplejwt. Paths end in a slash; \
without it the answer is the same. Sign in at `POST /api/token/`, and send the access token as \
`Authorization: Bearer ...`.

A chat counts what happens in it: every message and every change takes the next `seq`. A client that \
remembers the last one it saw misses nothing: `GET /api/chats/{id}/events/?since=`, or `?since=` at the \
WebSocket `/ws/chat/{id}/`.";

fn service() -> OpenApiService<Apis, ()> {
    OpenApiService::new(crate::rest::apis(), "Tertulia", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .server("/")
}

/// The OpenAPI document as JSON and as YAML.
pub fn document() -> (String, String) {
    let service = service();
    (service.spec() + "\n", service.spec_yaml())
}

/// The addresses that show the document, with what they answer.
pub(crate) fn pages() -> Vec<(&'static str, BoxEndpoint<'static>)> {
    let service = service();
    let (json, yaml) = document();
    vec![
        ("/openapi.json/", fixed(json, "application/json")),
        (
            "/openapi.yaml/",
            fixed(yaml, "application/yaml; charset=utf-8"),
        ),
        ("/swagger/", fixed(service.swagger_ui_html(), HTML)),
        (
            "/redoc/",
            fixed(service.redoc_html().replace(REDOC_FONTS, ""), HTML),
        ),
    ]
}

const HTML: &str = "text/html; charset=utf-8";

fn fixed(text: String, content_type: &'static str) -> BoxEndpoint<'static> {
    let body = bytes::Bytes::from(text);
    let show = move || -> Response {
        Response::builder()
            .content_type(content_type)
            .header(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
            .body(body.clone())
            .into_response()
    };
    get(make_sync(move |_| show())).boxed()
}
