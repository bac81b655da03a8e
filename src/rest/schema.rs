//! The objects that the document shows, each with an example. What is sent is written from `view`'s
//! objects; that both agree is held by a test.

use std::borrow::Cow;

use poem_openapi::{
    Enum, Object, Tags,
    registry::{MetaSchema, MetaSchemaRef},
    types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::Value;

/// What belongs together in the document.
#[derive(Tags)]
pub(crate) enum Tag {
    /// Signing in and out, as simplejwt does it
    Tokens,
    /// One's own sign-ins
    Sessions,
    /// Accounts, profiles, blocks
    Users,
    /// Conversations
    Chats,
    /// Who belongs to a chat, and with which role
    Members,
    /// What was said
    Messages,
    /// What happened, and how far people have read
    Events,
    /// Whether the service is well
    Health,
}

/// A time: RFC 3339 in UTC with six digits of microseconds, or none where they are all 0.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instant(pub(crate) String);

impl Type for Instant {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string_date-time".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let schema = MetaSchema::new_with_format("string", "date-time");
        MetaSchemaRef::Inline(Box::new(schema))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for Instant {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            Some(Value::String(text)) => Ok(Self(text)),
            other => Err(ParseError::expected_type(other.unwrap_or_default())),
        }
    }
}

impl ToJSON for Instant {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.0.clone()))
    }
}

/// The example's usual moment, and one a little later.
pub(crate) fn earlier() -> Instant {
    Instant("2026-11-15T10:00:00Z".to_owned())
}

pub(crate) fn later() -> Instant {
    Instant("2026-11-15T10:30:00.250000Z".to_owned())
}

/// What sort of conversation a chat is.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[oai(rename_all = "snake_case")]
pub(crate) enum ChatKind {
    Personal,
    Group,
    Room,
    Support,
}

impl From<ChatKind> for entity::ChatKind {
    fn from(kind: ChatKind) -> Self {
        match kind {
            ChatKind::Personal => Self::Personal,
            ChatKind::Group => Self::Group,
            ChatKind::Room => Self::Room,
            ChatKind::Support => Self::Support,
        }
    }
}

/// What a member may do.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[oai(rename_all = "snake_case")]
pub(crate) enum Role {
    Owner,
    Admin,
    Member,
}

impl From<Role> for entity::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
        }
    }
}

/// What a message's text is.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[oai(rename_all = "snake_case")]
pub(crate) enum ContentType {
    Text,
    Picture,
    Sticker,
    File,
}

/// What everybody may know of a user.
#[derive(Object, Debug, Clone, PartialEq)]
#[oai(example)]
pub(crate) struct Profile {
    pub(crate) id: i64,
    pub(crate) username: String,
    /// May be empty
    pub(crate) first_name: String,
    /// May be empty
    pub(crate) last_name: String,
}

impl Example for Profile {
    fn example() -> Self {
        Self {
            id: 1,
            username: "john_doe".to_owned(),
            first_name: "John".to_owned(),
            last_name: "Doe".to_owned(),
        }
    }
}

/// A file that was sent with a message, whose text is its name.
#[derive(Object, Debug, Clone, PartialEq)]
#[oai(example)]
pub(crate) struct Attachment {
    pub(crate) id: i64,
    /// As its sender called it, made safe
    pub(crate) name: String,
    /// By its content
    pub(crate) content_type: String,
    pub(crate) bytes: i64,
    /// Where it is fetched, for an hour, by whoever has the address
    pub(crate) url: String,
}

impl Example for Attachment {
    fn example() -> Self {
        Self {
            id: 7,
            name: "photo.jpg".to_owned(),
            content_type: "image/jpeg".to_owned(),
            bytes: 183_204,
            url: "/api/attachments/7/?expires=1794913200&signature=kTf0x1cWzvJ0".to_owned(),
        }
    }
}

/// A message in its latest state, the same over REST and on every socket.
#[derive(Object, Debug, Clone, PartialEq)]
#[oai(example)]
pub(crate) struct Message {
    pub(crate) id: i64,
    pub(crate) chat: i64,
    /// Its number in the chat
    pub(crate) seq: i64,
    /// Empty once deleted
    pub(crate) text: String,
    pub(crate) sender: Profile,
    /// Never goes back within a chat
    pub(crate) timestamp: Instant,
    pub(crate) is_edited: bool,
    #[oai(nullable)]
    pub(crate) edited_at: Option<Instant>,
    pub(crate) is_deleted: bool,
    /// The message of the same chat that it answers
    #[oai(nullable)]
    pub(crate) reply_to: Option<i64>,
    pub(crate) content_type: ContentType,
    /// The file, where it is one
    #[oai(nullable)]
    pub(crate) attachment: Option<Attachment>,
}

impl Example for Message {
    fn example() -> Self {
        Self {
            id: 123,
            chat: 1,
            seq: 42,
            text: "Hello, how are you?".to_owned(),
            sender: Profile::example(),
            timestamp: later(),
            is_edited: false,
            edited_at: None,
            is_deleted: false,
            reply_to: None,
            content_type: ContentType::Text,
            attachment: None,
        }
    }
}

/// A page of a list.
#[derive(Object, Debug, Clone, PartialEq)]
#[oai(example)]
pub(crate) struct Page<T: ParseFromJSON + ToJSON + Example> {
    /// How many there are on all pages
    pub(crate) count: u64,
    /// The next page's address
    #[oai(nullable)]
    pub(crate) next: Option<String>,
    /// The previous page's address
    #[oai(nullable)]
    pub(crate) previous: Option<String>,
    pub(crate) results: Vec<T>,
}

impl<T: ParseFromJSON + ToJSON + Example> Example for Page<T> {
    fn example() -> Self {
        Self {
            count: 1,
            next: None,
            previous: None,
            results: vec![T::example()],
        }
    }
}

/// A page of messages, newest first. Pages by `before` or `after` have no `count`.
#[derive(Object, Debug, Clone, PartialEq)]
#[oai(example)]
pub(crate) struct MessagePage {
    /// How many there are on all pages; absent in pages by `before` or `after`
    pub(crate) count: Option<u64>,
    /// The page of older messages
    #[oai(nullable)]
    pub(crate) next: Option<String>,
    /// The page of newer messages
    #[oai(nullable)]
    pub(crate) previous: Option<String>,
    pub(crate) results: Vec<Message>,
}

impl Example for MessagePage {
    fn example() -> Self {
        let address = "https://chat.example.org/api/chats/1/messages/";
        Self {
            count: Some(120),
            next: Some(format!("{address}?page=2")),
            previous: None,
            results: vec![Message::example()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chat::{self, ChatEvent},
        rest::answer::encode,
        view::{MessageView, PageView},
    };

    fn told() -> chat::Message {
        serde_json::from_value(serde_json::json!({
            "id": 123, "chat": 1, "seq": 42, "text": "Hello, how are you?",
            "sender": {"id": 1, "username": "john_doe", "first_name": "John", "last_name": "Doe"},
            "timestamp": "2026-11-15T10:30:00.250Z", "edited_at": null, "is_deleted": false,
            "reply_to": null, "content_type": "text", "client_id": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_page_is_written_as_the_document_shows_it() {
        let message = told();
        let page = PageView {
            count: Some(120),
            next: Some("https://chat.example.org/api/chats/1/messages/?page=2".to_owned()),
            previous: None,
            results: vec![MessageView::from(&message)],
        };
        let written: Value = serde_json::from_slice(&encode(&page).ok().unwrap()).unwrap();
        assert_eq!(Some(written), MessagePage::example().to_json());
    }

    #[test]
    fn an_event_begins_with_its_type_and_number() {
        let event: ChatEvent = serde_json::from_value(serde_json::json!({
            "chat": 1, "seq": 43, "by": 1, "what": {"Deleted": told()},
        }))
        .unwrap();
        let view = crate::view::EventView::of(&event).unwrap();
        let written = serde_json::to_string(&view).unwrap();
        let expected = r#"{"type":"message_deleted","seq":43,"message_id":123,"data":{"id":123,"#;
        assert!(written.starts_with(expected), "{written}");
    }
}
