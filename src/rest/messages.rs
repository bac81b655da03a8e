//! What was said: pages, sending, editing, deleting, reactions.

use std::sync::Arc;

use entity::{ChatId, ContentType, MessageId, UserId};
use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::Serialize;

use crate::{
    chat::{self, Actor, Direction, Domain, EditMessage, PageNumber, SendMessage, Sent},
    rest::{
        answer::{CreatedOrFound, Drf, NoContent},
        body::Body,
        fields::{Fields, FromFields},
        pagination::{Here, Page, PageSize, numbered},
        problem::Problem,
        query::{Parameter, Query},
        refused::{FORBIDDEN, INVALID, MEMBER, Refused, THROTTLED},
        rules::{Key, Text},
        schema::{Message, MessagePage, Tag},
        signed_in::SignedIn,
    },
    view::{Links, MessageView, PageView},
};

pub(crate) struct Messages;

/// What editing, deleting and reacting may be refused for.
const CHANGE: u32 = MEMBER | FORBIDDEN | THROTTLED;

/// A message to be sent.
#[derive(Object)]
#[oai(example)]
struct Draft {
    /// Trimmed at both ends before it is counted
    #[oai(validator(min_length = 1, max_length = 1000))]
    text: String,
    /// The sender's own key: the same again gives the first message, and makes none
    #[oai(nullable, validator(max_length = 64))]
    client_id: Option<String>,
    /// A message of the same chat
    #[oai(nullable)]
    reply_to: Option<i64>,
}

impl FromFields for Draft {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let text = fields.required("text", Text::new());
        let client_id = fields.nullable("client_id", Text::new());
        let reply_to = fields.nullable("reply_to", Key);
        Some(Self {
            text: text?,
            client_id,
            reply_to,
        })
    }
}

impl Example for Draft {
    fn example() -> Self {
        Self {
            text: "Hello, how are you?".to_owned(),
            client_id: Some("b7a1-42".to_owned()),
            reply_to: None,
        }
    }
}

/// A message's new text.
#[derive(Object)]
#[oai(example)]
struct NewText {
    /// Trimmed at both ends before it is counted
    #[oai(validator(min_length = 1, max_length = 1000))]
    text: String,
}

impl FromFields for NewText {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            text: fields.required("text", Text::new())?,
        })
    }
}

impl Example for NewText {
    fn example() -> Self {
        Self {
            text: "Hello, how are you all?".to_owned(),
        }
    }
}

/// How far somebody has read.
#[derive(Object, Serialize)]
struct Reader {
    user_id: i64,
    last_read_seq: i64,
}

/// A message, and who has read it.
#[derive(Object)]
#[oai(example)]
struct MessageRead {
    #[oai(flatten)]
    message: Message,
    /// At most 100
    read_by: Vec<Reader>,
}

impl Example for MessageRead {
    fn example() -> Self {
        let read_by = vec![Reader {
            user_id: 2,
            last_read_seq: 44,
        }];
        Self {
            message: Message::example(),
            read_by,
        }
    }
}

#[derive(Serialize)]
struct MessageReadView<'a> {
    #[serde(flatten)]
    message: MessageView<'a>,
    read_by: Vec<Reader>,
}

/// A place in a chat: a message's id; empty for the newest end.
pub(crate) struct Place(pub(crate) Option<MessageId>);

impl Parameter for Place {
    type Shown = i64;

    fn parse(name: &'static str, text: &str) -> Result<Self, Problem> {
        match text.trim() {
            "" => Ok(Self(None)),
            text => Ok(Self(Some(MessageId(i64::parse(name, text)?)))),
        }
    }
}

/// A page by its place; it needs no count, and is as quick at any depth.
async fn keyset(
    domain: &Domain,
    actor: &Actor,
    chat: ChatId,
    direction: Direction,
    size: Option<PageSize>,
    links: &Links,
) -> Result<PageView<Arc<chat::Message>>, Problem> {
    let PageSize(size) = size.unwrap_or_default();
    let page = domain.history.keyset(actor, chat, direction, size).await?;
    let oldest = page.results.last().filter(|_| page.has_older);
    let newest = page.results.first().filter(|_| page.has_newer);
    Ok(PageView {
        count: None,
        next: oldest.map(|message| links.before(message.id.0)),
        previous: newest.map(|message| links.after(message.id.0)),
        results: page.results,
    })
}

/// The answer to whoever sent a message.
pub(crate) fn sent(sent: &Sent) -> Result<CreatedOrFound<Message>, Problem> {
    let message = sent.message.as_ref();
    let location = format!("/api/chats/{}/messages/{}/", message.chat, message.id);
    let answer = Drf::of(&MessageView::from(message))?;
    Ok(answer.created(location).unless(sent.repeat))
}

#[OpenApi(tag = "Tag::Messages")]
impl Messages {
    /// Read a chat's messages, newest first
    ///
    /// By `page`, with a count; or by `before` or `after` a message, without one: such pages are as
    /// quick at any depth, and nobody who writes meanwhile shifts them.
    #[oai(
        path = "/api/chats/:id/messages/",
        method = "get",
        operation_id = "messages_list"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "one for each parameter of the address"
    )]
    async fn list(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        /// From 1, or `last`
        page: Query<Page>,
        /// At most 100
        page_size: Query<PageSize>,
        /// A message's id: those before it. Empty: the newest
        before: Query<Place>,
        /// A message's id: those that follow it
        after: Query<Place>,
        here: Here,
    ) -> Result<Drf<MessagePage>, Refused<{ MEMBER | INVALID }>> {
        let (domain, actor, chat) = (caller.domain(), &caller.actor, ChatId(id.0));
        let direction = match (before.0, after.0) {
            (Some(Place(place)), _) => Some(Direction::Before(place)),
            (None, Some(Place(Some(place)))) => Some(Direction::After(place)),
            (None, Some(Place(None))) => {
                return Err(Problem::field("after", "A valid integer is required.").into());
            }
            (None, None) => None,
        };
        let page = match direction {
            Some(direction) => keyset(domain, actor, chat, direction, page_size.0, &here.0).await?,
            None => {
                numbered(page.0, page_size.0, &here.0, |page, page_size| async move {
                    let asked = PageNumber { page, page_size };
                    let page = domain.history.page(actor, chat, asked).await?;
                    Ok((page.results, page.count))
                })
                .await?
            }
        };
        let results = page
            .results
            .iter()
            .map(|message| MessageView::from(message.as_ref()))
            .collect();
        let PageView {
            count,
            next,
            previous,
            ..
        } = page;
        Ok(Drf::of(&PageView {
            count,
            next,
            previous,
            results,
        })?)
    }

    /// Send a message
    ///
    /// What comes back is stored. A repeated `client_id` gives the first message again, with 200.
    #[oai(
        path = "/api/chats/:id/messages/",
        method = "post",
        operation_id = "messages_send"
    )]
    async fn send(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        body: Body<Draft>,
    ) -> Result<CreatedOrFound<Message>, Refused<{ MEMBER | INVALID | FORBIDDEN | THROTTLED }>>
    {
        let Body(Draft {
            text,
            client_id,
            reply_to,
        }) = body;
        let send = SendMessage {
            chat: ChatId(id.0),
            text,
            client_id,
            reply_to: reply_to.map(MessageId),
            content_type: ContentType::Text,
        };
        let messages = &caller.domain().messages;
        Ok(sent(&messages.send(&caller.actor, send).await?)?)
    }

    /// Delete all of a user's messages in a chat, as its owner, admin or staff
    #[oai(
        path = "/api/chats/:id/messages/",
        method = "delete",
        operation_id = "messages_delete_all"
    )]
    async fn delete_all_of(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        /// The user's id
        sender: Query<i64>,
    ) -> Result<NoContent, Refused<{ CHANGE | INVALID }>> {
        let sender = sender
            .0
            .ok_or_else(|| Problem::field("sender", "This field is required."))?;
        let messages = &caller.domain().messages;
        messages
            .delete_all_of(&caller.actor, ChatId(id.0), UserId(sender))
            .await?;
        Ok(NoContent)
    }

    /// See a message, and who has read it
    #[oai(
        path = "/api/chats/:id/messages/:message_id/",
        method = "get",
        operation_id = "messages_find"
    )]
    async fn find(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        message_id: Path<i64>,
    ) -> Result<Drf<MessageRead>, Refused<MEMBER>> {
        let (chat, message) = (ChatId(id.0), MessageId(message_id.0));
        let (message, readers) = caller
            .domain()
            .history
            .find(&caller.actor, chat, message)
            .await?;
        let read_by = readers
            .iter()
            .map(|reader| Reader {
                user_id: reader.user.0,
                last_read_seq: reader.last_read_seq.0,
            })
            .collect();
        Ok(Drf::of(&MessageReadView {
            message: message.as_ref().into(),
            read_by,
        })?)
    }

    /// Edit one's own message
    #[oai(
        path = "/api/chats/:id/messages/:message_id/",
        method = "patch",
        operation_id = "messages_edit"
    )]
    async fn edit(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        message_id: Path<i64>,
        body: Body<NewText>,
    ) -> Result<Drf<Message>, Refused<{ CHANGE | INVALID }>> {
        let edit = EditMessage {
            chat: ChatId(id.0),
            message: MessageId(message_id.0),
            text: body.0.text,
        };
        let message = caller.domain().messages.edit(&caller.actor, edit).await?;
        Ok(Drf::of(&MessageView::from(message.as_ref()))?)
    }

    /// Delete a message: one's own, or as the chat's owner, admin or staff
    #[oai(
        path = "/api/chats/:id/messages/:message_id/",
        method = "delete",
        operation_id = "messages_delete"
    )]
    async fn delete(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        message_id: Path<i64>,
    ) -> Result<NoContent, Refused<CHANGE>> {
        let (chat, message) = (ChatId(id.0), MessageId(message_id.0));
        caller
            .domain()
            .messages
            .delete(&caller.actor, chat, message)
            .await?;
        Ok(NoContent)
    }

    /// React to a message
    #[oai(
        path = "/api/chats/:id/messages/:message_id/reactions/:emoji/",
        method = "put",
        operation_id = "reactions_add"
    )]
    async fn react(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        message_id: Path<i64>,
        /// Percent-encoded in the address
        emoji: Path<String>,
    ) -> Result<NoContent, Refused<{ CHANGE | INVALID }>> {
        let (chat, message) = (ChatId(id.0), MessageId(message_id.0));
        caller
            .domain()
            .messages
            .react(&caller.actor, chat, message, &emoji.0)
            .await?;
        Ok(NoContent)
    }

    /// Take a reaction back
    #[oai(
        path = "/api/chats/:id/messages/:message_id/reactions/:emoji/",
        method = "delete",
        operation_id = "reactions_remove"
    )]
    async fn unreact(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        message_id: Path<i64>,
        /// Percent-encoded in the address
        emoji: Path<String>,
    ) -> Result<NoContent, Refused<{ CHANGE | INVALID }>> {
        let (chat, message) = (ChatId(id.0), MessageId(message_id.0));
        caller
            .domain()
            .messages
            .unreact(&caller.actor, chat, message, &emoji.0)
            .await?;
        Ok(NoContent)
    }
}
