//! How far one has read.

use entity::{ChatId, MessageId};
use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::Serialize;

use crate::rest::{
    answer::Drf,
    body::Body,
    fields::{Fields, FromFields},
    refused::{INVALID, MEMBER, Refused},
    rules::Key,
    schema::Tag,
    signed_in::SignedIn,
};

pub(crate) struct Reading;

/// How far.
#[derive(Object)]
#[oai(example)]
struct UpTo {
    /// A message's id; without it, everything
    #[oai(nullable)]
    up_to: Option<i64>,
}

impl FromFields for UpTo {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            up_to: fields.nullable("up_to", Key),
        })
    }
}

impl Example for UpTo {
    fn example() -> Self {
        Self { up_to: Some(123) }
    }
}

/// Where the reader stands now.
#[derive(Object, Serialize)]
#[oai(example)]
struct ReadMark {
    /// Never goes back
    last_read_seq: i64,
    /// Counted to 1000 and no further
    unread_count: u64,
}

impl Example for ReadMark {
    fn example() -> Self {
        Self {
            last_read_seq: 42,
            unread_count: 0,
        }
    }
}

#[OpenApi(tag = "Tag::Events")]
impl Reading {
    /// Mark as read, up to a message or everything
    #[oai(
        path = "/api/chats/:id/read/",
        method = "post",
        operation_id = "chats_read"
    )]
    async fn mark(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        body: Body<UpTo>,
    ) -> Result<Drf<ReadMark>, Refused<{ MEMBER | INVALID }>> {
        let up_to = body.0.up_to.map(MessageId);
        let reading = &caller.domain().reading;
        let mark = reading
            .mark_committed(&caller.actor, ChatId(id.0), up_to)
            .await?;
        let mark = ReadMark {
            last_read_seq: mark.last_read_seq.0,
            unread_count: mark.unread_count,
        };
        Ok(Drf::of(&mark)?)
    }
}
