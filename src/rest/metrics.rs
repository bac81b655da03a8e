//! What the service counts, for Prometheus: to staff here, or to whoever reaches the address that is kept for it.

use std::sync::Arc;

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{Method, StatusCode},
};
use poem_openapi::{
    ApiResponse, OpenApi,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};

use crate::{
    metrics,
    rest::{
        edge::Watch,
        problem::Problem,
        refused::{FORBIDDEN, NOT_FOUND, Refused, SIGNED_IN},
        schema::Tag,
        signed_in::SignedIn,
    },
};

/// The format's own name.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) struct Metrics;

/// All numbers, as text.
struct Exposition(String);

impl Exposition {
    async fn of(watch: &Watch) -> std::result::Result<Self, Problem> {
        for (name, state) in watch.run().await {
            metrics::UP.of(name).set(usize::from(state == "ok"));
        }
        (watch.measure)();
        // What the system tells of the process is read from files.
        let text = tokio::task::spawn_blocking(metrics::text).await;
        text.map(Self).map_err(|_| Problem::fault())
    }
}

impl IntoResponse for Exposition {
    fn into_response(self) -> Response {
        Response::builder().content_type(EXPOSITION).body(self.0)
    }
}

impl ApiResponse for Exposition {
    fn meta() -> MetaResponses {
        let schema = MetaSchema {
            example: Some(
                "# TYPE tertulia_messages_total counter\ntertulia_messages_total 5\n".into(),
            ),
            ..MetaSchema::new("string")
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The text format of Prometheus",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: EXPOSITION,
                    schema: MetaSchemaRef::Inline(Box::new(schema)),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_: &mut Registry) {}
}

#[OpenApi(tag = "Tag::Health")]
impl Metrics {
    /// Read what the service counts, as staff
    ///
    /// Where `METRICS_BIND` is set it is served there, to whoever can reach that address, and not here (404).
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(
        &self,
        caller: SignedIn,
    ) -> Result<Exposition, Refused<{ SIGNED_IN | FORBIDDEN | NOT_FOUND }>> {
        if !caller.actor.is_staff {
            return Err(Problem::forbidden().into());
        }
        if !caller.edge.shows_metrics {
            return Err(Problem::not_found().into());
        }
        Ok(Exposition::of(&caller.edge.watch).await?)
    }
}

/// What is served on an address of its own: the numbers, to whoever asks.
pub fn metrics_endpoint(watch: Arc<Watch>) -> impl Endpoint<Output = Response> {
    Alone(watch)
}

struct Alone(Arc<Watch>);

impl Endpoint for Alone {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if request.uri().path().trim_end_matches('/') != "/metrics" {
            return Ok(Problem::not_found().into_response());
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        match Exposition::of(&self.0).await {
            Ok(exposition) => Ok(exposition.into_response()),
            Err(problem) => Ok(problem.into_response()),
        }
    }
}
