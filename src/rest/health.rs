//! Whether the process lives, and whether it can serve.

use std::collections::BTreeMap;

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example, Type},
};
use serde::Serialize;

use crate::rest::{answer::encode, edge::Visitor, problem::Problem, refused::Refused, schema::Tag};

pub(crate) struct Health;

/// What was asked, and how it stands.
#[derive(Object, Serialize)]
#[oai(example)]
struct State {
    /// `ok`, or `unavailable`
    status: String,
    /// Each of what the service needs: `ok`, or what is wrong
    checks: BTreeMap<String, String>,
}

impl Example for State {
    fn example() -> Self {
        let checks = BTreeMap::from([("database".to_owned(), "ok".to_owned())]);
        Self {
            status: "ok".to_owned(),
            checks,
        }
    }
}

/// A state with the status that balancers read: 200 or 503.
struct Readiness {
    status: StatusCode,
    body: Vec<u8>,
}

impl Readiness {
    fn of(checks: BTreeMap<String, String>) -> Result<Self, Problem> {
        let (status, word) = match checks.values().all(|state| state == "ok") {
            true => (StatusCode::OK, "ok"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        let body = encode(&State {
            status: word.to_owned(),
            checks,
        })?;
        Ok(Self { status, body })
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        Response::builder()
            .status(self.status)
            .content_type("application/json")
            .body(self.body)
    }
}

impl ApiResponse for Readiness {
    fn meta() -> MetaResponses {
        let meta = |status, description| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: State::schema_ref(),
            }],
            headers: Vec::new(),
        };
        MetaResponses {
            responses: vec![meta(200, "It can serve"), meta(503, "It can't")],
        }
    }

    fn register(registry: &mut Registry) {
        State::register(registry);
    }
}

#[OpenApi(tag = "Tag::Health")]
impl Health {
    /// Ask whether the process lives
    #[oai(path = "/healthz", method = "get", operation_id = "healthz")]
    async fn healthz(&self) -> Result<Readiness, Refused<0>> {
        Ok(Readiness::of(BTreeMap::new())?)
    }

    /// Ask whether the service can serve: whether the database can be reached
    #[oai(path = "/readyz", method = "get", operation_id = "readyz")]
    async fn readyz(&self, visitor: Visitor) -> Result<Readiness, Refused<0>> {
        let checks = visitor.edge.watch.run().await.into_iter();
        let checks = checks.map(|(name, state)| (name.to_owned(), state));
        Ok(Readiness::of(checks.collect())?)
    }
}
