//! Conversations: making, listing, changing and deleting them.

use entity::{ChatId, UserId};
use poem_openapi::{Object, OpenApi, param::Path, types::Example};

use crate::{
    chat::{self, NewChat},
    rest::{
        answer::{CreatedOrFound, Drf, NoContent},
        body::Body,
        fields::{Fields, FromFields},
        pagination::{Here, Page as PageNumber, PageSize, numbered},
        problem::Problem,
        query::{Parameter, Query},
        refused::{FORBIDDEN, INVALID, MEMBER, Refused, SIGNED_IN, THROTTLED},
        rules::{Choice, Flag, Keys, Text},
        schema::{ChatKind, Instant, Message, Page, Profile, Role, Tag, earlier, later},
        signed_in::SignedIn,
    },
    view::ChatView,
};

/// How many can be named when a chat is made, or added at once.
pub(crate) const MEMBERS_MAX: usize = 1000;

/// The width of a chat's name.
const NAME_CHARS: usize = 100;

const KINDS: &[(&str, ChatKind)] = &[
    ("personal", ChatKind::Personal),
    ("group", ChatKind::Group),
    ("room", ChatKind::Room),
    ("support", ChatKind::Support),
];

pub(crate) struct Chats;

/// A chat as the caller sees it.
#[derive(Object)]
#[oai(example)]
pub(crate) struct Chat {
    id: i64,
    kind: ChatKind,
    /// A group's name, a room's room name; null for personal and support chats
    #[oai(nullable)]
    name: Option<String>,
    /// Only members may enter
    is_private: bool,
    /// The caller's
    role: Role,
    /// Of personal chats and groups of at most 20; the others have `member_count`
    members: Option<Vec<Profile>>,
    /// Where the members aren't listed
    member_count: Option<u64>,
    #[oai(nullable)]
    last_message: Option<Message>,
    /// The chat's counter: what a client keeps for `since`
    last_seq: i64,
    /// Counted to 1000 and no further
    unread_count: u64,
    created_at: Instant,
    /// When something was said last, else when the chat was made
    updated_at: Instant,
}

impl Chat {
    /// As operators see one.
    pub(crate) fn of_support() -> Self {
        Self {
            kind: ChatKind::Support,
            name: None,
            is_private: false,
            role: Role::Member,
            members: None,
            member_count: Some(1),
            unread_count: 2,
            ..Self::example()
        }
    }
}

impl Example for Chat {
    fn example() -> Self {
        Self {
            id: 1,
            kind: ChatKind::Group,
            name: Some("trip".to_owned()),
            is_private: true,
            role: Role::Owner,
            members: Some(vec![Profile::example()]),
            member_count: None,
            last_message: Some(Message::example()),
            last_seq: 42,
            unread_count: 0,
            created_at: earlier(),
            updated_at: later(),
        }
    }
}

/// A chat to be made.
#[derive(Object)]
#[oai(example)]
struct ChatDraft {
    kind: ChatKind,
    /// Of groups and rooms
    #[oai(nullable, validator(max_length = 100))]
    name: Option<String>,
    /// Ids of those to add; of a personal chat, the other one's
    #[oai(validator(max_items = 1000))]
    members: Option<Vec<i64>>,
    /// Only members may enter
    is_private: Option<bool>,
}

impl FromFields for ChatDraft {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let kind = fields.required("kind", Choice(KINDS));
        let name = fields.nullable("name", Text::new().at_most(NAME_CHARS));
        let members = fields.optional(
            "members",
            Keys {
                count_max: MEMBERS_MAX,
            },
        );
        let is_private = fields.optional("is_private", Flag);
        Some(Self {
            kind: kind?,
            name,
            members,
            is_private,
        })
    }
}

impl Example for ChatDraft {
    fn example() -> Self {
        Self {
            kind: ChatKind::Group,
            name: Some("trip".to_owned()),
            members: Some(vec![2, 3]),
            is_private: None,
        }
    }
}

/// What may be changed of a group or room.
#[derive(Object)]
#[oai(example)]
struct ChatPatch {
    #[oai(validator(max_length = 100))]
    name: Option<String>,
    /// Only members may enter
    is_private: Option<bool>,
}

impl FromFields for ChatPatch {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name", Text::new().at_most(NAME_CHARS));
        Some(Self {
            name,
            is_private: fields.optional("is_private", Flag),
        })
    }
}

impl Example for ChatPatch {
    fn example() -> Self {
        Self {
            name: Some("journey".to_owned()),
            is_private: None,
        }
    }
}

impl Parameter for ChatKind {
    type Shown = ChatKind;

    fn parse(name: &'static str, text: &str) -> Result<Self, Problem> {
        let kind = KINDS.iter().find(|(word, _)| *word == text);
        kind.map(|(_, kind)| *kind).ok_or_else(|| {
            let sentence = "Select a valid choice. {text} is not one of the available choices.";
            Problem::field(name, sentence.replace("{text}", text))
        })
    }
}

#[OpenApi(tag = "Tag::Chats")]
impl Chats {
    /// List one's own chats, last active first
    #[oai(path = "/api/chats/", method = "get", operation_id = "chats_list")]
    async fn list(
        &self,
        caller: SignedIn,
        /// Only chats of this kind
        kind: Query<ChatKind>,
        /// A part of a name
        search: Query<String>,
        /// From 1, or `last`
        page: Query<PageNumber>,
        /// At most 100
        page_size: Query<PageSize>,
        here: Here,
    ) -> Result<Drf<Page<Chat>>, Refused<{ MEMBER | INVALID }>> {
        let kind = kind.0.map(Into::into);
        let search = search.0.filter(|search| !search.trim().is_empty());
        let chats = &caller.domain().chats;
        let page = numbered(page.0, page_size.0, &here.0, |page, size| {
            chats.list(&caller.actor, kind, search.as_deref(), page, size)
        })
        .await?;
        Ok(Drf::of(&page.shown::<ChatView<'_>>())?)
    }

    /// Make a chat
    ///
    /// A personal or support chat that is there already comes back with 200.
    #[oai(path = "/api/chats/", method = "post", operation_id = "chats_create")]
    async fn create(
        &self,
        caller: SignedIn,
        body: Body<ChatDraft>,
    ) -> Result<CreatedOrFound<Chat>, Refused<{ SIGNED_IN | INVALID | FORBIDDEN | THROTTLED }>>
    {
        let Body(ChatDraft {
            kind,
            name,
            members,
            is_private,
        }) = body;
        let new = NewChat {
            kind: kind.into(),
            name,
            members: members
                .unwrap_or_default()
                .into_iter()
                .map(UserId)
                .collect(),
            is_private: is_private.unwrap_or_default(),
        };
        let created = caller.domain().chats.create(&caller.actor, new).await?;
        let location = format!("/api/chats/{}/", created.chat.head.id);
        let answer = Drf::of(&ChatView::from(&created.chat))?;
        Ok(answer.created(location).unless(created.existing))
    }

    /// See a chat
    #[oai(path = "/api/chats/:id/", method = "get", operation_id = "chats_find")]
    async fn find(&self, caller: SignedIn, id: Path<i64>) -> Result<Drf<Chat>, Refused<MEMBER>> {
        let chat = caller
            .domain()
            .chats
            .find(&caller.actor, ChatId(id.0))
            .await?;
        Ok(Drf::of(&ChatView::from(&chat))?)
    }

    /// Rename a group or room, make it private or public
    #[oai(
        path = "/api/chats/:id/",
        method = "patch",
        operation_id = "chats_update"
    )]
    async fn update(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        body: Body<ChatPatch>,
    ) -> Result<Drf<Chat>, Refused<{ MEMBER | INVALID | FORBIDDEN }>> {
        let Body(ChatPatch { name, is_private }) = body;
        let patch = chat::ChatPatch { name, is_private };
        let chat = caller
            .domain()
            .chats
            .update(&caller.actor, ChatId(id.0), patch)
            .await?;
        Ok(Drf::of(&ChatView::from(&chat))?)
    }

    /// Delete a chat
    ///
    /// A group or room for all, as its owner or staff. A personal or support chat is hidden from the
    /// caller alone, with all that was said so far; the next message shows it again.
    #[oai(
        path = "/api/chats/:id/",
        method = "delete",
        operation_id = "chats_delete"
    )]
    async fn delete(
        &self,
        caller: SignedIn,
        id: Path<i64>,
    ) -> Result<NoContent, Refused<{ MEMBER | FORBIDDEN }>> {
        caller
            .domain()
            .chats
            .delete(&caller.actor, ChatId(id.0))
            .await?;
        Ok(NoContent)
    }
}
