//! Chats, groups and messages.

use std::sync::Arc;

use entity::{ChatId, ChatKind, MessageId, Role, UserId};

use super::{
    answer::{ChatRow, Data, Failure},
    done,
    method::Contact,
};
use crate::chat::{Actor, ChatError, ChatPatch, Domain, EditMessage, NewChat, Sent, Stretch};

/// Chats of a list, which these clients ask for as a whole.
const CHATS_LISTED: u64 = 1000;
/// Members that a chat of the list names.
const MEMBERS_NAMED: u64 = 200;
/// Messages of an answer.
const MESSAGES_LISTED: u64 = 500;
/// Members that one request may remove: each is a change of its own.
const REMOVED_AT_ONCE: usize = 100;

type Answered = Result<Data, Failure>;

/// The personal chat with somebody.
pub(super) async fn open(domain: &Arc<Domain>, actor: &Actor, with: Contact) -> Answered {
    let other = match with {
        Contact::Id(id) => id,
        Contact::Name(name) => domain.users.named(&name).await?,
    };
    let new = NewChat {
        kind: ChatKind::Personal,
        name: None,
        members: vec![other],
        is_private: false,
    };
    let created = domain.chats.create(actor, new).await?;
    Ok(Data::Chat {
        chat_id: Some(created.chat.head.id.0),
    })
}

pub(super) async fn list(domain: &Arc<Domain>, actor: &Actor) -> Answered {
    let chats = &domain.chats;
    let (listed, _) = chats.list(actor, None, None, 1, CHATS_LISTED).await?;
    let members = domain.members.first_of(&listed, MEMBERS_NAMED).await?;
    let rows = listed.iter().map(|chat| {
        let members = members.get(&chat.head.id).map_or(&[][..], Vec::as_slice);
        ChatRow::of(chat, actor.id(), members)
    });
    Ok(Data::Chats {
        chats: Some(rows.collect()),
    })
}

pub(super) async fn messages(
    domain: &Arc<Domain>,
    actor: &Actor,
    chat: ChatId,
    from: Option<MessageId>,
) -> Answered {
    let history = &domain.history;
    let which = from.map_or(Stretch::Before(None), Stretch::From);
    let messages = history.stretch(actor, chat, which, MESSAGES_LISTED).await?;
    Ok(Data::messages(&messages))
}

pub(super) fn sent(sent: &Sent) -> Data {
    Data::Message {
        message_id: Some(sent.message.id.0),
    }
}

pub(super) async fn edit(
    domain: &Arc<Domain>,
    actor: &Actor,
    chat: ChatId,
    message: MessageId,
    text: String,
) -> Answered {
    let edit = EditMessage {
        chat,
        message,
        text,
    };
    done(domain.messages.edit(actor, edit).await)
}

pub(super) async fn delete(domain: &Arc<Domain>, actor: &Actor, chat: ChatId) -> Answered {
    done(domain.chats.delete(actor, chat).await)
}

pub(super) async fn create_group(
    domain: &Arc<Domain>,
    actor: &Actor,
    name: String,
    members: Vec<UserId>,
) -> Answered {
    let new = NewChat {
        kind: ChatKind::Group,
        name: Some(name),
        members,
        is_private: false,
    };
    let created = domain.chats.create(actor, new).await?;
    Ok(Data::Chat {
        chat_id: Some(created.chat.head.id.0),
    })
}

/// Renames, adds, removes, in this order, up to the first that may not be.
pub(super) async fn edit_group(
    domain: &Arc<Domain>,
    actor: &Actor,
    chat: ChatId,
    name: Option<String>,
    add: Vec<UserId>,
    remove: Vec<UserId>,
) -> Answered {
    if name.is_none() && add.is_empty() && remove.is_empty() {
        return Err(Failure::missing(&["name", "add", "remove"]));
    }
    if remove.len() > REMOVED_AT_ONCE {
        let why = format!("field remove must have at most {REMOVED_AT_ONCE} ids");
        return Err(Failure::bad(why));
    }
    if name.is_some() {
        let patch = ChatPatch {
            name,
            ..ChatPatch::default()
        };
        domain.chats.update(actor, chat, patch).await?;
    }
    if !add.is_empty() {
        domain.members.add(actor, chat, add, Role::Member).await?;
    }
    for user in remove {
        domain.members.remove(actor, chat, user).await?;
    }
    Ok(Data::Nothing {})
}

/// Other than `deleteChat` it never only hides one.
pub(super) async fn delete_group(domain: &Arc<Domain>, actor: &Actor, chat: ChatId) -> Answered {
    let found = domain.chats.find(actor, chat).await?;
    match found.head.kind {
        ChatKind::Group | ChatKind::Room => delete(domain, actor, chat).await,
        ChatKind::Personal | ChatKind::Support => {
            Err(ChatError::Forbidden("this chat is no group").into())
        }
    }
}
