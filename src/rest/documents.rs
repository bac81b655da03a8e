//! The OpenAPI document, and the two pages that show it: all out of the binary, nothing from elsewhere.

use std::collections::HashMap;

use poem::{
    EndpointExt, IntoResponse, Response,
    endpoint::{BoxEndpoint, make_sync},
    http::{Method, header},
};
use poem_openapi::{
    OpenApi, OpenApiService,
    registry::{MetaApi, Registry},
};

use crate::rest::{Apis, apis, problem::Problem};

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

/// The API under its real addresses: poem-openapi cuts off the slash at the end, which all of
/// `/api/` have.
struct Slashed;

impl OpenApi for Slashed {
    fn meta() -> Vec<MetaApi> {
        let mut apis = Apis::meta();
        for path in apis.iter_mut().flat_map(|api| &mut api.paths) {
            if path.path.starts_with("/api/") {
                path.path.push('/');
            }
        }
        apis
    }

    fn register(registry: &mut Registry) {
        Apis::register(registry);
    }

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        apis().add_routes(table);
    }
}

fn service() -> OpenApiService<Slashed, ()> {
    OpenApiService::new(Slashed, "Tertulia", env!("CARGO_PKG_VERSION"))
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
    make_sync(move |request| match *request.method() {
        Method::GET | Method::HEAD => Response::builder()
            .content_type(content_type)
            .header(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
            .body(body.clone()),
        ref other => Problem::method_not_allowed(other.as_str())
            .into_response()
            .with_header(header::ALLOW, "GET, HEAD")
            .into_response(),
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const COMMITTED: &str = include_str!("../../openapi/openapi.yaml");

    #[test]
    fn the_committed_document_is_what_the_code_says() {
        let (_, yaml) = document();
        assert!(
            yaml == COMMITTED,
            "write it anew: tertulia openapi > openapi/openapi.yaml"
        );
    }

    /// Every operation with its method and address.
    fn operations(document: &Value) -> Vec<(String, &Value)> {
        let paths = document["paths"].as_object().into_iter().flatten();
        paths
            .flat_map(|(path, operations)| {
                let operations = operations.as_object().into_iter().flatten();
                operations.map(move |(method, operation)| (format!("{method} {path}"), operation))
            })
            .collect()
    }

    /// What a schema is, where it is only named.
    fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => &document["components"]["schemas"][name.rsplit('/').next().unwrap()],
            None => schema,
        }
    }

    #[test]
    fn every_operation_has_a_name_an_example_its_errors_and_its_security() {
        let document: Value = serde_json::from_str(&document().0).unwrap();
        let operations = operations(&document);
        assert!(operations.len() > 30, "{}", operations.len());
        for (name, operation) in operations {
            assert!(
                operation["operationId"].is_string() && operation["summary"].is_string(),
                "{name}"
            );
            let bodies = operation["requestBody"]["content"]
                .as_object()
                .into_iter()
                .flatten();
            let answers = operation["responses"].as_object().into_iter().flatten();
            let answers =
                answers.flat_map(|(_, answer)| answer["content"].as_object().into_iter().flatten());
            for (media_type, content) in bodies.chain(answers) {
                let schema = resolved(&document, &content["schema"]);
                let shown = match schema["type"].as_str() {
                    Some("array") => resolved(&document, &schema["items"]),
                    _ => schema,
                };
                assert!(!shown["example"].is_null(), "{name} {media_type}: {schema}");
            }
            let responses = operation["responses"].as_object().unwrap();
            let is_protected = operation["security"][0]["jwtAuth"].is_array();
            let is_open = ["/api/token/", "/recovery/", "get /api/users/{id}/avatar/"]
                .iter()
                .chain(&["/healthz", "/readyz", "get /api/attachments/{id}/"])
                .any(|open| name.contains(open))
                && !name.ends_with("/ticket/");
            assert_eq!(
                is_protected,
                !is_open && name != "post /api/users/",
                "{name}"
            );
            assert!(!is_protected || responses.contains_key("401"), "{name}");
            assert!(
                operation["requestBody"].is_null() || responses.contains_key("400"),
                "{name}"
            );
            assert!(
                !name.contains("{id}") || responses.contains_key("404"),
                "{name}"
            );
        }
    }

    #[test]
    fn no_address_and_no_answer_stands_twice() {
        // serde_json keeps the last of two alike; written again, nothing may be missing.
        let (json, _) = document();
        let parsed: Value = serde_json::from_str(&json).unwrap();
        let again = serde_json::to_string_pretty(&parsed).unwrap();
        assert_eq!(again.len(), json.trim_end().len());
    }

    #[test]
    fn the_pages_load_nothing_from_elsewhere() {
        let service = service();
        let redoc = service.redoc_html();
        assert!(
            redoc.contains(REDOC_FONTS),
            "the template has changed: look what it loads"
        );
        for page in [service.swagger_ui_html(), redoc.replace(REDOC_FONTS, "")] {
            for sign in [
                "<link",
                "src=\"http",
                "href=\"//",
                "@import",
                "url(http",
                "url(//",
            ] {
                // The scripts hold templates of their own; what the page itself says comes before them.
                let script = page.find("<script").unwrap();
                assert!(!page[..script].contains(sign), "{sign}");
            }
            assert!(!page.contains("<script src") && !page.contains("googleapis"));
        }
    }
}
