//! Which refusals an operation answers with, as part of its type, so that the document lists each with
//! its body: `Result<Drf<Chat>, Refused<{ MEMBER | INVALID }>>`.

use poem_openapi::{
    ApiResponse,
    registry::{
        MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
    },
    types::Type,
};
use serde_json::{Value, json};

use crate::{
    chat::{ChatError, SignInError},
    rest::problem::Problem,
};

/// 400: fields that can't be, or no JSON; 413 and 415.
pub(crate) const INVALID: u32 = 1;
/// 401.
pub(crate) const ANONYMOUS: u32 = 1 << 1;
/// 403.
pub(crate) const FORBIDDEN: u32 = 1 << 2;
/// 404.
pub(crate) const NOT_FOUND: u32 = 1 << 3;
/// 429.
pub(crate) const THROTTLED: u32 = 1 << 4;
/// 503.
pub(crate) const UNAVAILABLE: u32 = 1 << 5;

/// What every operation for those who have signed in may answer.
pub(crate) const SIGNED_IN: u32 = ANONYMOUS | UNAVAILABLE;
/// What every operation on something that may not be there may answer.
pub(crate) const MEMBER: u32 = SIGNED_IN | NOT_FOUND;

/// A refusal, for reasons out of `CAUSES`.
pub(crate) struct Refused<const CAUSES: u32>(Problem);

impl<const CAUSES: u32> From<Problem> for Refused<CAUSES> {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl<const CAUSES: u32> From<ChatError> for Refused<CAUSES> {
    fn from(error: ChatError) -> Self {
        Self(error.into())
    }
}

impl<const CAUSES: u32> From<SignInError> for Refused<CAUSES> {
    fn from(error: SignInError) -> Self {
        Self(error.into())
    }
}

impl<const CAUSES: u32> From<Refused<CAUSES>> for poem::Error {
    fn from(refused: Refused<CAUSES>) -> Self {
        refused.0.into()
    }
}

/// One status in the document.
struct Documented {
    cause: u32,
    status: u16,
    /// The schema's name in the document.
    name: &'static str,
    description: &'static str,
    header: Option<(&'static str, &'static str)>,
    example: fn() -> Value,
}

static DOCUMENTED: [Documented; 8] = [
    Documented {
        cause: INVALID,
        status: 400,
        name: "InvalidProblem",
        description: "What is wrong, field by field; or, as `detail`, why the body is no JSON",
        header: None,
        example: || json!({"name": ["This field is required."]}),
    },
    Documented {
        cause: ANONYMOUS,
        status: 401,
        name: "NotSignedInProblem",
        description: "No access token, or one that isn't good (with `code`, and `messages` where the token itself is at fault)",
        header: Some(("WWW-AUTHENTICATE", "`Bearer realm=\"api\"`")),
        example: || json!({"detail": "Authentication credentials were not provided."}),
    },
    Documented {
        cause: FORBIDDEN,
        status: 403,
        name: "ForbiddenProblem",
        description: "The user may see it, but not do that",
        header: None,
        example: || json!({"detail": "You do not have permission to perform this action."}),
    },
    Documented {
        cause: NOT_FOUND,
        status: 404,
        name: "NotFoundProblem",
        description: "Not there, or not for this user",
        header: None,
        example: || json!({"detail": "Not found."}),
    },
    Documented {
        cause: INVALID,
        status: 413,
        name: "TooLargeProblem",
        description: "The body is larger than `BODY_BYTES`",
        header: None,
        example: || json!({"detail": "Request body is too large."}),
    },
    Documented {
        cause: INVALID,
        status: 415,
        name: "MediaTypeProblem",
        description: "Neither JSON nor a form",
        header: None,
        example: || json!({"detail": "Unsupported media type \"text/plain\" in request."}),
    },
    Documented {
        cause: THROTTLED,
        status: 429,
        name: "ThrottledProblem",
        description: "Too much of it in too short a time",
        header: Some(("RETRY-AFTER", "Seconds until it may be tried again")),
        example: || json!({"detail": "Request was throttled. Expected available in 6 seconds."}),
    },
    Documented {
        cause: UNAVAILABLE,
        status: 503,
        name: "UnavailableProblem",
        description: "The database is away. What was sent may have been stored: send it again with the same `client_id`",
        header: Some(("RETRY-AFTER", "Seconds until it may be tried again")),
        example: || json!({"detail": "Service temporarily unavailable, try again later."}),
    },
];

impl<const CAUSES: u32> ApiResponse for Refused<CAUSES> {
    fn meta() -> MetaResponses {
        let responses = documented(CAUSES).map(Documented::meta).collect();
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        for documented in documented(CAUSES) {
            registry
                .schemas
                .entry(documented.name.to_owned())
                .or_insert_with(|| documented.schema());
        }
    }
}

fn documented(causes: u32) -> impl Iterator<Item = &'static Documented> {
    DOCUMENTED
        .iter()
        .filter(move |documented| documented.cause & causes != 0)
}

impl Documented {
    fn meta(&self) -> MetaResponse {
        let headers = self.header.iter().map(|(name, description)| MetaHeader {
            name: (*name).to_owned(),
            description: Some((*description).to_owned()),
            required: true,
            deprecated: false,
            schema: String::schema_ref(),
        });
        MetaResponse {
            description: self.description,
            status: Some(self.status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: MetaSchemaRef::Reference(self.name.to_owned()),
            }],
            headers: headers.collect(),
        }
    }

    fn schema(&self) -> MetaSchema {
        let text = || String::schema_ref();
        let mut schema = MetaSchema::new("object");
        if self.status == 400 {
            let mut sentences = MetaSchema::new("array");
            sentences.items = Some(Box::new(text()));
            let one_of = vec![MetaSchemaRef::Inline(Box::new(sentences)), text()];
            let either = MetaSchema {
                one_of,
                ..MetaSchema::ANY
            };
            schema.additional_properties = Some(Box::new(MetaSchemaRef::Inline(Box::new(either))));
        } else {
            schema.required = vec!["detail"];
            schema.properties = vec![("detail", text())];
        }
        if self.status == 401 {
            schema.properties.push(("code", text()));
            let mut messages = MetaSchema::new("array");
            let message = MetaSchema {
                properties: ["token_class", "token_type", "message"]
                    .map(|key| (key, text()))
                    .into(),
                ..MetaSchema::new("object")
            };
            messages.items = Some(Box::new(MetaSchemaRef::Inline(Box::new(message))));
            schema
                .properties
                .push(("messages", MetaSchemaRef::Inline(Box::new(messages))));
        }
        schema.example = Some((self.example)());
        schema
    }
}
