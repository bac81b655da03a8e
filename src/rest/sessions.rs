//! One's own sign-ins: which there are, and signing out elsewhere.

use entity::SessionId;
use poem_openapi::{Enum, Object, OpenApi, param::Path, types::Example};
use serde::Serialize;

use crate::{
    chat::SessionListed,
    rest::{
        answer::{Drf, NoContent},
        pagination::{Here, Page as PageNumber, PageSize, numbered},
        query::Query,
        refused::{MEMBER, Refused},
        schema::{Instant, Page, Tag, earlier, later},
        signed_in::SignedIn,
    },
    view::Timestamp,
};

pub(crate) struct Sessions;

/// By which door a session was begun.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum SessionKind {
    Jwt,
    Support,
    Rpc,
}

/// A sign-in.
#[derive(Object)]
#[oai(example)]
struct Session {
    id: String,
    kind: SessionKind,
    created_at: Instant,
    expires_at: Instant,
    /// Written at most once an hour
    last_used_at: Instant,
    /// The user agent
    client: String,
    /// Whether it is the one that asks
    is_current: bool,
}

impl Example for Session {
    fn example() -> Self {
        Self {
            id: "325f6ad6e6e24ff7816a9af0a6207740".to_owned(),
            kind: SessionKind::Jwt,
            created_at: earlier(),
            expires_at: Instant("2026-12-15T10:00:00Z".to_owned()),
            last_used_at: later(),
            client: "Mozilla/5.0 (X11; Linux x86_64)".to_owned(),
            is_current: true,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct SessionView<'a> {
    id: &'a str,
    kind: entity::SessionKind,
    created_at: Timestamp,
    expires_at: Timestamp,
    last_used_at: Timestamp,
    client: &'a str,
    is_current: bool,
}

impl<'a> From<&'a SessionListed> for SessionView<'a> {
    fn from(session: &'a SessionListed) -> Self {
        Self {
            id: &session.id.0,
            kind: session.kind,
            created_at: Timestamp(session.created_at),
            expires_at: Timestamp(session.expires_at),
            last_used_at: Timestamp(session.last_used_at),
            client: &session.client,
            is_current: session.is_current,
        }
    }
}

#[OpenApi(tag = "Tag::Sessions")]
impl Sessions {
    /// List one's own sign-ins, newest first
    #[oai(
        path = "/api/sessions/",
        method = "get",
        operation_id = "sessions_list"
    )]
    async fn list(
        &self,
        caller: SignedIn,
        /// From 1, or `last`
        page: Query<PageNumber>,
        /// At most 100
        page_size: Query<PageSize>,
        here: Here,
    ) -> Result<Drf<Page<Session>>, Refused<MEMBER>> {
        // A user has few of them: all are read, and the page is cut out.
        let sessions = caller.domain().sessions.list(&caller.actor).await?;
        let page = numbered(page.0, page_size.0, &here.0, |page, size| {
            let count = sessions.len() as u64;
            let skipped = usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
            let shown = sessions.iter().skip(skipped).take(size as usize);
            std::future::ready(Ok((shown.cloned().collect(), count)))
        })
        .await?;
        Ok(Drf::of(&page.shown::<SessionView<'_>>())?)
    }

    /// Sign out elsewhere
    ///
    /// Its tokens and sockets end.
    #[oai(
        path = "/api/sessions/:id/",
        method = "delete",
        operation_id = "sessions_revoke"
    )]
    async fn revoke(
        &self,
        caller: SignedIn,
        id: Path<String>,
    ) -> Result<NoContent, Refused<MEMBER>> {
        caller
            .domain()
            .sessions
            .revoke(&caller.actor, &SessionId(id.0))
            .await?;
        Ok(NoContent)
    }
}
