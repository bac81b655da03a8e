//! Signing in and out: simplejwt's four endpoints, and tickets for WebSockets.

use poem_openapi::{Object, OpenApi, types::Example};
use serde::Serialize;

use crate::{
    chat::{AuthError, SignIn},
    rest::{
        answer::Drf,
        body::Body,
        edge::Visitor,
        fields::{Fields, FromFields},
        problem::Problem,
        refused::{ANONYMOUS, INVALID, Refused, SIGNED_IN, THROTTLED, UNAVAILABLE},
        rules::Text,
        schema::Tag,
        signed_in::SignedIn,
    },
};

/// Whoever sends a token in a body may be refused for it.
const TOKEN: u32 = INVALID | ANONYMOUS | UNAVAILABLE;

pub(crate) struct Tokens;

/// Who signs in.
#[derive(Object)]
#[oai(example)]
struct Credentials {
    /// Exact: letters' case counts
    username: String,
    password: String,
}

impl FromFields for Credentials {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username", Text::new());
        let password = fields.required("password", Text::new());
        Some(Self {
            username: username?,
            password: password?,
        })
    }
}

impl Example for Credentials {
    fn example() -> Self {
        Self {
            username: "john_doe".to_owned(),
            password: "correct horse 1".to_owned(),
        }
    }
}

/// The two tokens of a session.
#[derive(Object, Serialize)]
#[oai(example)]
pub(crate) struct TokenPair {
    /// Long-lived: for `POST /api/token/refresh/`
    refresh: String,
    /// Short-lived: for the `Authorization` header
    access: String,
}

const EXAMPLE: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoi...";

impl Example for TokenPair {
    fn example() -> Self {
        Self {
            refresh: EXAMPLE.to_owned(),
            access: EXAMPLE.to_owned(),
        }
    }
}

impl From<crate::chat::TokenPair> for TokenPair {
    fn from(pair: crate::chat::TokenPair) -> Self {
        Self {
            refresh: pair.refresh,
            access: pair.access,
        }
    }
}

/// A refresh token.
#[derive(Object)]
#[oai(example)]
struct RefreshToken {
    refresh: String,
}

impl FromFields for RefreshToken {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            refresh: fields.required("refresh", Text::new())?,
        })
    }
}

impl Example for RefreshToken {
    fn example() -> Self {
        Self {
            refresh: EXAMPLE.to_owned(),
        }
    }
}

/// A new access token; with rotation, a new refresh token too.
#[derive(Object, Serialize)]
#[oai(example)]
struct RefreshedToken {
    access: String,
    /// With `ROTATE_REFRESH_TOKENS` only; the one that was sent is good no more
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<String>,
}

impl Example for RefreshedToken {
    fn example() -> Self {
        Self {
            access: EXAMPLE.to_owned(),
            refresh: None,
        }
    }
}

/// A token of either type.
#[derive(Object)]
#[oai(example)]
struct AnyToken {
    token: String,
}

impl FromFields for AnyToken {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            token: fields.required("token", Text::new())?,
        })
    }
}

impl Example for AnyToken {
    fn example() -> Self {
        Self {
            token: EXAMPLE.to_owned(),
        }
    }
}

/// Nothing: that it is answered is all.
#[derive(Object, Serialize)]
#[oai(example)]
struct Nothing {}

impl Example for Nothing {
    fn example() -> Self {
        Self {}
    }
}

/// A ticket for one WebSocket: `?ticket=`.
#[derive(Object, Serialize)]
#[oai(example)]
struct Ticket {
    ticket: String,
    /// Seconds
    expires_in: u64,
}

impl Example for Ticket {
    fn example() -> Self {
        Self {
            ticket: "MTc5NTIzMzU1Mg.5f0c...".to_owned(),
            expires_in: 30,
        }
    }
}

#[OpenApi(tag = "Tag::Tokens")]
impl Tokens {
    /// Sign in
    ///
    /// Begins a session. Failures are throttled per account and address, over every door.
    #[oai(path = "/api/token/", method = "post", operation_id = "token_obtain")]
    async fn obtain(
        &self,
        visitor: Visitor,
        body: Body<Credentials>,
    ) -> Result<Drf<TokenPair>, Refused<{ TOKEN | THROTTLED }>> {
        let Body(Credentials { username, password }) = body;
        let address = visitor.address();
        let sign_in = SignIn {
            username,
            password,
            address,
            client: visitor.client,
        };
        let pair = visitor.edge.domain.sessions.sign_in(sign_in).await?;
        Ok(Drf::of(&TokenPair::from(pair))?)
    }

    /// Get a new access token
    #[oai(
        path = "/api/token/refresh/",
        method = "post",
        operation_id = "token_refresh"
    )]
    async fn refresh(
        &self,
        visitor: Visitor,
        body: Body<RefreshToken>,
    ) -> Result<Drf<RefreshedToken>, Refused<TOKEN>> {
        let refreshed = visitor.edge.domain.sessions.refresh(&body.0.refresh).await;
        let (access, refresh) = refreshed.map_err(|error| Problem::token(&error))?;
        Ok(Drf::of(&RefreshedToken { access, refresh })?)
    }

    /// Ask whether a token is good
    #[oai(
        path = "/api/token/verify/",
        method = "post",
        operation_id = "token_verify"
    )]
    async fn verify(
        &self,
        visitor: Visitor,
        body: Body<AnyToken>,
    ) -> Result<Drf<Nothing>, Refused<TOKEN>> {
        let verified = visitor.edge.domain.sessions.verify(&body.0.token).await;
        verified.map_err(|error| match error {
            // simplejwt's serializer raises this one itself, as an error of its fields.
            AuthError::Blacklisted => Problem::field("non_field_errors", error.to_string()),
            other => Problem::token(&other),
        })?;
        Ok(Drf::of(&Nothing {})?)
    }

    /// Sign out
    ///
    /// Ends the session: its access tokens and its sockets end, too.
    #[oai(
        path = "/api/token/blacklist/",
        method = "post",
        operation_id = "token_blacklist"
    )]
    async fn blacklist(
        &self,
        visitor: Visitor,
        body: Body<RefreshToken>,
    ) -> Result<Drf<Nothing>, Refused<TOKEN>> {
        let ended = visitor
            .edge
            .domain
            .sessions
            .blacklist(&body.0.refresh)
            .await;
        ended.map_err(|error| Problem::token(&error))?;
        Ok(Drf::of(&Nothing {})?)
    }

    /// Get a one-time ticket for a WebSocket
    ///
    /// It keeps tokens out of addresses and logs: `/ws/chat/1/?ticket=...`
    #[oai(
        path = "/api/token/ticket/",
        method = "post",
        operation_id = "token_ticket"
    )]
    async fn ticket(&self, caller: SignedIn) -> Result<Drf<Ticket>, Refused<SIGNED_IN>> {
        let (ticket, lifetime) = caller.domain().sessions.ticket(&caller.actor);
        // It ends on a whole millisecond: what that takes from the last second isn't worth telling.
        Ok(Drf::of(&Ticket {
            ticket,
            expires_in: lifetime.as_millis().div_ceil(1000) as u64,
        })?)
    }
}
