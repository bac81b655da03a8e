//! Support chats for those who answer them, and the support dialect's own door.

use std::sync::Arc;

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{Method, StatusCode, header},
};
use poem_openapi::{Object, OpenApi, types::Example};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    chat::{OpaqueKind, SignIn, SignInError, SupportListed},
    rest::{
        answer::Drf,
        chats::Chat,
        edge::Edge,
        pagination::{Here, Page as PageNumber, PageSize, numbered},
        problem::Problem,
        query::Query,
        refused::{FORBIDDEN, Refused, SIGNED_IN},
        schema::{Instant, Page, Profile, Tag, earlier},
        signed_in::SignedIn,
    },
    view::{ChatView, ProfileView, Timestamp},
};

pub(crate) struct SupportChats;

/// An open support chat, as operators see it.
#[derive(Object)]
#[oai(example)]
struct SupportChat {
    #[oai(flatten)]
    chat: Chat,
    /// Whose chat
    customer: Profile,
    /// Since when a message of theirs is unanswered, where one is
    #[oai(nullable)]
    waiting_since: Option<Instant>,
}

impl Example for SupportChat {
    fn example() -> Self {
        Self {
            chat: Chat::of_support(),
            customer: Profile::example(),
            waiting_since: Some(earlier()),
        }
    }
}

#[derive(Serialize)]
struct SupportView<'a> {
    #[serde(flatten)]
    chat: ChatView<'a>,
    customer: ProfileView<'a>,
    waiting_since: Option<Timestamp>,
}

impl<'a> From<&'a SupportListed> for SupportView<'a> {
    fn from(listed: &'a SupportListed) -> Self {
        Self {
            chat: (&listed.chat).into(),
            customer: listed.customer.as_ref().into(),
            waiting_since: listed.waiting_since.map(Timestamp),
        }
    }
}

#[OpenApi(tag = "Tag::Chats")]
impl SupportChats {
    /// List the open support chats, as staff
    ///
    /// Those with an unanswered message first, the longest waiting first. A support chat is open while it has a
    /// message of the last 30 days.
    #[oai(
        path = "/api/support/chats/",
        method = "get",
        operation_id = "support_chats_list"
    )]
    async fn list(
        &self,
        caller: SignedIn,
        /// From 1, or `last`
        page: Query<PageNumber>,
        /// At most 100
        page_size: Query<PageSize>,
        here: Here,
    ) -> Result<Drf<Page<SupportChat>>, Refused<{ SIGNED_IN | FORBIDDEN }>> {
        let support = &caller.domain().support;
        let page = numbered(page.0, page_size.0, &here.0, |page, size| {
            support.list(&caller.actor, page, size)
        })
        .await?;
        Ok(Drf::of(&page.shown::<SupportView<'_>>())?)
    }
}

/// `POST /v1/auth/`: a name and a password for a token. Its clients tell its answers apart by their status; but for
/// the token they are empty.
pub(crate) struct SupportAuth {
    pub(crate) edge: Arc<Edge>,
}

#[derive(Deserialize)]
struct Credentials {
    user_name: String,
    password: String,
}

#[derive(Serialize)]
struct Answer {
    error: Option<()>,
    result: Token,
    /// The user's.
    id: i64,
}

#[derive(Serialize)]
struct Token {
    token: String,
}

impl Endpoint for SupportAuth {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        Ok(self.answer(request).await.unwrap_or_else(empty))
    }
}

impl SupportAuth {
    async fn answer(&self, mut request: Request) -> std::result::Result<Response, StatusCode> {
        if request.method() != Method::POST {
            return Err(StatusCode::NOT_FOUND);
        }
        let body = request.take_body();
        let body = body.into_bytes_limit(self.edge.body_bytes_max).await;
        let body = body.map_err(|_| StatusCode::NOT_FOUND)?;
        let Credentials {
            user_name,
            password,
        } = credentials(&body).ok_or(StatusCode::NOT_FOUND)?;
        let agent = request.headers().get(header::USER_AGENT);
        let sign_in = SignIn {
            username: user_name,
            password,
            address: self.edge.proxies.approach(&request).client,
            client: agent
                .map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned())
                .unwrap_or_default(),
        };
        let sessions = &self.edge.domain.sessions;
        match sessions.sign_in_opaque(OpaqueKind::Support, sign_in).await {
            Ok(session) => Ok(poem::web::Json(Answer {
                error: None,
                result: Token {
                    token: session.token,
                },
                id: session.user.0,
            })
            .into_response()),
            Err(SignInError::NoAccount) => Err(StatusCode::FORBIDDEN),
            Err(error) => Ok(emptied(&Problem::from(error).into_response())),
        }
    }
}

/// An object; serde would read them out of an array, too.
fn credentials(body: &[u8]) -> Option<Credentials> {
    let fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    serde_json::from_value(Value::Object(fields)).ok()
}

/// What it says by its status, and when to come again.
fn emptied(answer: &Response) -> Response {
    let mut response = empty(answer.status());
    if let Some(wait) = answer.headers().get(header::RETRY_AFTER) {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, wait.clone());
    }
    response
}

fn empty(status: StatusCode) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_LENGTH, 0)
        .finish()
}
