//! One address and the operations on it, asked in DRF's order: who calls (401), whether there is such
//! an operation (405), then the operation itself (400, 403, 404).

use std::{collections::HashMap, sync::Arc};

use poem::{
    Endpoint, Request, Response, Result,
    endpoint::BoxEndpoint,
    http::{HeaderValue, Method, StatusCode, header},
};
use poem_openapi::{OpenApi, error::ParsePathError, registry::MetaResponses};
use serde::Serialize;

use crate::{
    journal::Caller,
    rest::{
        answer::encode,
        edge::{Arrival, Edge},
        problem::Problem,
        signed_in::authenticate,
    },
    urlencoded,
};

/// What DRF lists in `Allow`, in its order.
const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// An address with its operations.
pub(crate) struct Resource {
    edge: Arc<Edge>,
    operations: Vec<Operation>,
    allow: HeaderValue,
    description: Description,
    /// Whether any operation wants a token; where none does, none is looked at.
    is_protected: bool,
}

struct Operation {
    method: Method,
    is_protected: bool,
    /// Whether it answers in JSON; else with a file or a picture, as which it is asked for.
    tells_json: bool,
    endpoint: BoxEndpoint<'static>,
}

/// The answer to OPTIONS.
#[derive(Serialize)]
struct Description {
    name: String,
    description: &'static str,
    renders: [&'static str; 1],
    parses: [&'static str; 3],
}

/// The addresses of an API with their operations; whether one wants a token is read off its metadata,
/// so that the document can't say otherwise.
pub(crate) fn resources<T: OpenApi>(api: T, edge: &Arc<Edge>) -> Vec<(String, Resource)> {
    let mut table = HashMap::new();
    api.add_routes(&mut table);
    let mut resources = Vec::new();
    for path in T::meta().into_iter().flat_map(|api| api.paths) {
        let route = route_of(&path.path);
        let mut endpoints = table.remove(&route).unwrap_or_default();
        let operations: Vec<Operation> = path
            .operations
            .iter()
            .filter_map(|operation| {
                let endpoint = endpoints.remove(&operation.method)?;
                let is_protected = !operation.security.is_empty();
                Some(Operation {
                    method: operation.method.clone(),
                    is_protected,
                    tells_json: tells_json(&operation.responses),
                    endpoint,
                })
            })
            .collect();
        let route = format!("{}/", route.trim_end_matches('/')); // see `envelope`
        resources.push((route, Resource::new(edge.clone(), &path.path, operations)));
    }
    resources
}

fn tells_json(responses: &MetaResponses) -> bool {
    let good = responses.responses.iter();
    let good = good.filter(|response| response.status.is_some_and(|status| status < 300));
    good.flat_map(|response| &response.content)
        .all(|content| content.content_type.starts_with("application/json"))
}

/// `/api/chats/{id}/` as poem-openapi calls it in its table: `/api/chats/:param0/`.
fn route_of(path: &str) -> String {
    let mut number = 0;
    let segments = path.split('/').map(|segment| {
        if segment.starts_with('{') {
            number += 1;
            format!(":param{}", number - 1)
        } else {
            segment.to_owned()
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

impl Resource {
    fn new(edge: Arc<Edge>, path: &str, operations: Vec<Operation>) -> Self {
        let mut allow = String::new();
        for method in METHODS {
            if operations
                .iter()
                .any(|operation| operation.method == method)
            {
                allow.push_str(method.as_str());
                allow.push_str(", ");
            }
        }
        if operations
            .iter()
            .any(|operation| operation.method == Method::GET)
        {
            allow.push_str("HEAD, ");
        }
        allow.push_str("OPTIONS");
        let is_protected = operations.iter().any(|operation| operation.is_protected);
        Self {
            edge,
            operations,
            allow: HeaderValue::try_from(allow).unwrap_or(HeaderValue::from_static("OPTIONS")),
            description: Description::of(path),
            is_protected,
        }
    }

    async fn answer(&self, mut request: Request) -> Result<Response> {
        let is_head = request.method() == Method::HEAD;
        let method = if is_head {
            &Method::GET
        } else {
            request.method()
        };
        let operation = self
            .operations
            .iter()
            .find(|operation| operation.method == *method);
        if operation.is_none_or(|operation| operation.tells_json) && !is_acceptable(&request) {
            return Err(Problem::not_acceptable().into());
        }
        if asks_for_another_format(&request) {
            return Err(Problem::not_found().into());
        }
        let actor = match self.is_protected {
            true => authenticate(&self.edge.domain, &request).await?,
            false => None,
        };
        if actor.is_none()
            && operation.map_or(self.is_protected, |operation| operation.is_protected)
        {
            return Err(Problem::not_signed_in().into());
        }
        let Some(operation) = operation else {
            return match method {
                &Method::OPTIONS => self.describe(),
                other => Err(Problem::method_not_allowed(other.as_str()).into()),
            };
        };
        let caller = actor.as_ref().map(|actor| Caller(actor.id()));
        request.extensions_mut().insert(Arrival {
            edge: self.edge.clone(),
            actor,
        });
        let answered = operation.endpoint.call(request).await;
        let mut response = answered.unwrap_or_else(refusal);
        if let Some(caller) = caller {
            response.extensions_mut().insert(caller);
        }
        if is_head {
            without_body(response).await
        } else {
            Ok(response)
        }
    }

    fn describe(&self) -> Result<Response> {
        let body = encode(&self.description)?;
        Ok(Response::builder()
            .content_type("application/json")
            .body(body))
    }
}

impl Endpoint for Resource {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let mut response = match self.answer(request).await {
            Ok(response) => response,
            Err(error) => refusal(error),
        };
        response
            .headers_mut()
            .insert(header::ALLOW, self.allow.clone());
        Ok(response)
    }
}

/// An error as DRF would have put it.
pub(crate) fn refusal(error: poem::Error) -> Response {
    use poem::IntoResponse;
    if error.is_from_response() {
        return error.into_response();
    }
    // An id that is no number names nothing.
    if error.is::<ParsePathError>() || error.status() == StatusCode::NOT_FOUND {
        return Problem::not_found().into_response();
    }
    if error.status().is_client_error() {
        return Problem::detail(error.status(), "Malformed request.").into_response();
    }
    tracing::error!(%error, "a request failed");
    Problem::fault().into_response()
}

/// Marks an answer that is written while it is read: nobody knows how long it will be.
#[derive(Clone)]
pub(crate) struct Unmeasured;

/// HEAD is GET without what it is about: the headers, and the length where it is known, stay.
async fn without_body(response: Response) -> Result<Response> {
    let (parts, body) = response.into_parts();
    let is_unmeasured = parts.extensions.get::<Unmeasured>().is_some();
    if is_unmeasured || parts.headers.contains_key(header::CONTENT_LENGTH) {
        return Ok(Response::from_parts(parts, poem::Body::empty()));
    }
    let length = body.into_bytes().await.map_err(|_| Problem::fault())?.len();
    let mut response = Response::from_parts(parts, poem::Body::empty());
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// DRF's `?format=`: there is JSON alone.
fn asks_for_another_format(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let asked = urlencoded::value(query, "format");
    asked.is_some_and(|format| !format.is_empty() && format != "json")
}

/// Whether the client takes JSON. One that asks for a page to look at gets it as well: there is no
/// other form of it here.
fn is_acceptable(request: &Request) -> bool {
    let mut accepts = request.headers().get_all(header::ACCEPT).iter().peekable();
    accepts.peek().is_none()
        || accepts
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|range| {
                let range = range.split(';').next().unwrap_or_default().trim();
                ["", "*/*", "application/*", "application/json", "text/html"]
                    .iter()
                    .any(|known| range.eq_ignore_ascii_case(known))
            })
}

impl Description {
    /// DRF names a view by its class; here the address has to do: `Chat Messages List`.
    fn of(path: &str) -> Self {
        let is_instance = path.ends_with('}');
        let words = path
            .split('/')
            .filter(|segment| !segment.is_empty() && *segment != "api" && !segment.starts_with('{'))
            .map(|segment| {
                let mut letters = segment.chars();
                let first = letters.next().map(|letter| letter.to_ascii_uppercase());
                first.into_iter().chain(letters).collect::<String>()
            });
        let suffix = if is_instance { "Instance" } else { "List" };
        Self {
            name: words
                .chain([suffix.to_owned()])
                .collect::<Vec<_>>()
                .join(" "),
            description: "",
            renders: ["application/json"],
            parses: [
                "application/json",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
            ],
        }
    }
}
