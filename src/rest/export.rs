//! Everything that the service holds on the user who asks, written while it is read.

use std::{io, sync::Arc};

use bytes::Bytes;
use entity::UserId;
use futures_util::stream;
use poem::{Body, IntoResponse, Response, http::header};
use poem_openapi::{
    ApiResponse, OpenApi,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};
use serde::Serialize;
use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    chat::{Actor, Changed, ChatError, Exported, Membership, Message, Reacted},
    rest::{
        answer::encode,
        edge::Edge,
        problem::Problem,
        refused::{Refused, SIGNED_IN, THROTTLED},
        resource::Unmeasured,
        schema::Tag,
        sessions::SessionView,
        signed_in::SignedIn,
    },
    view::{AccountView, MessageView, Timestamp},
};

/// Pages that wait for a slow reader.
const PAGES_AHEAD: usize = 1;

pub(crate) struct Export;

#[derive(Serialize)]
struct MembershipView<'a> {
    chat: i64,
    kind: Option<entity::ChatKind>,
    name: Option<&'a str>,
    role: entity::Role,
    joined_at: Timestamp,
    last_read_seq: i64,
    cleared_seq: i64,
}

impl<'a> From<&'a Membership> for MembershipView<'a> {
    fn from(membership: &'a Membership) -> Self {
        Self {
            chat: membership.chat.0,
            kind: membership.kind,
            name: membership.name.as_deref(),
            role: membership.role,
            joined_at: Timestamp(membership.joined_at),
            last_read_seq: membership.last_read_seq.0,
            cleared_seq: membership.cleared_seq.0,
        }
    }
}

#[derive(Serialize)]
struct ReactedView<'a> {
    message: i64,
    emoji: &'a str,
}

impl<'a> From<&'a Reacted> for ReactedView<'a> {
    fn from(reacted: &'a Reacted) -> Self {
        Self {
            message: reacted.message.0,
            emoji: &reacted.emoji,
        }
    }
}

#[derive(Serialize)]
struct ChangedView<'a> {
    chat: i64,
    seq: i64,
    kind: entity::ChangeKind,
    message: Option<i64>,
    user: Option<i64>,
    by: i64,
    role: Option<entity::Role>,
    emoji: Option<&'a str>,
    at: Timestamp,
}

impl<'a> From<&'a Changed> for ChangedView<'a> {
    fn from(changed: &'a Changed) -> Self {
        Self {
            chat: changed.chat.0,
            seq: changed.seq.0,
            kind: changed.kind,
            message: changed.message.map(|id| id.0),
            user: changed.user.map(|id| id.0),
            by: changed.by.0,
            role: changed.role,
            emoji: changed.emoji.as_deref(),
            at: Timestamp(changed.at),
        }
    }
}

/// An entry of a list.
trait Entry {
    fn encode(&self) -> Result<Vec<u8>, Problem>;
}

impl Entry for UserId {
    fn encode(&self) -> Result<Vec<u8>, Problem> {
        encode(&self.0)
    }
}

impl Entry for Membership {
    fn encode(&self) -> Result<Vec<u8>, Problem> {
        encode(&MembershipView::from(self))
    }
}

impl Entry for Arc<Message> {
    fn encode(&self) -> Result<Vec<u8>, Problem> {
        encode(&MessageView::from(self.as_ref()))
    }
}

impl Entry for Reacted {
    fn encode(&self) -> Result<Vec<u8>, Problem> {
        encode(&ReactedView::from(self))
    }
}

impl Entry for Changed {
    fn encode(&self) -> Result<Vec<u8>, Problem> {
        encode(&ChangedView::from(self))
    }
}

/// What reads, and the far end of what was read.
struct Exporting {
    edge: Arc<Edge>,
    actor: Actor,
    pieces: mpsc::Sender<io::Result<Bytes>>,
}

/// Why the rest isn't written.
enum Broken {
    /// Nobody reads on.
    Gone,
    /// It can't be read.
    Failed,
}

impl From<Problem> for Broken {
    fn from(_: Problem) -> Self {
        Self::Failed
    }
}

impl From<ChatError> for Broken {
    fn from(error: ChatError) -> Self {
        warn!("an export can't be read: {error}");
        Self::Failed
    }
}

impl Exporting {
    /// Writes all of it. Where that breaks off, the answer has no end, so that nobody takes it for the whole.
    async fn run(self) {
        if let Err(Broken::Failed) = self.write().await {
            let user = self.actor.id();
            warn!(%user, "user {user}: an export was broken off");
            let broken = io::Error::other("the export was broken off");
            let _gone = self.pieces.send(Err(broken)).await;
        }
    }

    async fn write(&self) -> Result<(), Broken> {
        let domain = &self.edge.domain;
        let (actor, exports) = (&self.actor, &domain.exports);
        let account = domain.users.find(actor, actor.id()).await?;
        self.piece(
            b"{\"account\":".to_vec(),
            &encode(&AccountView::from(&account))?,
        )
        .await?;
        let sessions = domain.sessions.list(actor).await?;
        let sessions: Vec<_> = sessions.iter().map(SessionView::from).collect();
        self.piece(b",\"sessions\":".to_vec(), &encode(&sessions)?)
            .await?;
        self.list("blocks", |after| exports.blocks(actor, after))
            .await?;
        self.list("chats", |after| exports.memberships(actor, after))
            .await?;
        self.list("messages", |after| exports.messages(actor, after))
            .await?;
        self.list("reactions", |after| exports.reactions(actor, after))
            .await?;
        self.list("changes", |after| exports.changes(actor, after))
            .await?;
        self.piece(Vec::new(), b"}").await
    }

    /// Writes a list under its name, page by page.
    async fn list<T: Entry, K, F>(
        &self,
        name: &str,
        read: impl Fn(Option<K>) -> F,
    ) -> Result<(), Broken>
    where
        F: Future<Output = Result<Exported<T, K>, ChatError>>,
    {
        let mut page = format!(",\"{name}\":[").into_bytes();
        let (mut after, mut is_first) = (None, true);
        loop {
            let (entries, next) = read(after).await?;
            for entry in &entries {
                if !std::mem::take(&mut is_first) {
                    page.push(b',');
                }
                page.extend(entry.encode()?);
            }
            if next.is_none() {
                return self.piece(page, b"]").await;
            }
            self.piece(std::mem::take(&mut page), b"").await?;
            after = next;
        }
    }

    async fn piece(&self, mut before: Vec<u8>, bytes: &[u8]) -> Result<(), Broken> {
        before.extend_from_slice(bytes);
        let sent = self.pieces.send(Ok(before.into())).await;
        sent.map_err(|_| Broken::Gone)
    }
}

/// The file that is being written.
struct Streamed(mpsc::Receiver<io::Result<Bytes>>);

impl IntoResponse for Streamed {
    fn into_response(self) -> Response {
        let pieces = stream::unfold(self.0, |mut pieces| async move {
            pieces.recv().await.map(|piece| (piece, pieces))
        });
        Response::builder()
            .content_type("application/json")
            .header(
                header::CONTENT_DISPOSITION,
                "attachment; filename=\"tertulia-export.json\"",
            )
            .header(header::CACHE_CONTROL, "no-store")
            .extension(Unmeasured)
            .body(Body::from_bytes_stream(pieces))
    }
}

impl ApiResponse for Streamed {
    fn meta() -> MetaResponses {
        let schema = MetaSchema {
            example: Some(serde_json::json!({
                "account": {"id": 1, "username": "john_doe"}, "sessions": [], "blocks": [3], "chats": [],
                "messages": [], "reactions": [{"message": 123, "emoji": "👍"}], "changes": [],
            })),
            ..MetaSchema::new("object")
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "`account`, and the lists `sessions`, `blocks`, `chats`, `messages` (with files), \
                              `reactions`, `changes`",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: "application/json",
                    schema: MetaSchemaRef::Inline(Box::new(schema)),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_: &mut Registry) {}
}

#[OpenApi(tag = "Tag::Users")]
impl Export {
    /// Take away everything that the service holds on oneself
    ///
    /// One object, written while it is read; 5 an hour. What others said or did is not in it.
    #[oai(
        path = "/api/users/me/export/",
        method = "get",
        operation_id = "me_export"
    )]
    async fn export(
        &self,
        caller: SignedIn,
    ) -> Result<Streamed, Refused<{ SIGNED_IN | THROTTLED }>> {
        caller.domain().exports.begin(&caller.actor).await?;
        let (pieces, written) = mpsc::channel(PAGES_AHEAD);
        let exporting = Exporting {
            edge: caller.edge,
            actor: caller.actor,
            pieces,
        };
        // Ends with the answer: who reads no further is noticed at the next page.
        tokio::spawn(exporting.run());
        Ok(Streamed(written))
    }
}
