//! The server's frames: `message`, `system`, `error`, and nothing else, since this dialect's clients print whatever
//! comes. They tell messages from the rest by the key `username`.

use serde::Serialize;

use crate::{
    chat::{ChatError, ChatEvent, ChatHead, Departure, What},
    hub::{Audience, SharedFrame},
};

/// The frames' types, as the documents list them.
pub(crate) const EVENTS: &[&str] = &["message", "system", "error"];

pub(super) const NOT_JSON: &str = "Неверный JSON";
pub(super) const NO_TYPE: &str = "Ошибка валидации: Вы не указали поле \"type\", которое должно быть со значением \
    \"join\", \"leave\" или \"message\"";
pub(super) const NO_USERNAME: &str = "Ошибка валидации: Вы не указали поле \"username\"!";
pub(super) const NO_ROOM: &str = "Ошибка валидации: Вы не указали поле \"room\"!";
pub(super) const NO_MESSAGE: &str = "Ошибка валидации: Вы не указали поле \"message\"!";
pub(super) const ANOTHER_USER: &str = "Ошибка валидации: Имя пользователя не совпадает с токеном";
pub(super) const TOO_MANY_REQUESTS: &str = "Слишком много запросов";
pub(super) const CLOSED_ROOM: &str = "Доступ в комнату запрещён";
const UNAVAILABLE: &str = "Сервис временно недоступен";

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Outgoing<'a> {
    Message {
        username: &'a str,
        message: &'a str,
        room: Option<&'a str>,
    },
    System {
        message: &'a str,
    },
    Error {
        message: &'a str,
    },
}

/// The frame that tells `event` to such an audience. Its bytes are shared by all of them.
pub(in crate::ws::dialect) fn encode(
    head: &ChatHead,
    event: &ChatEvent,
    audience: Audience,
) -> Option<SharedFrame> {
    let room = head.name.as_deref();
    match &event.what {
        What::Sent(message) => Some(SharedFrame::json(&Outgoing::Message {
            username: &message.sender.username,
            message: &message.text,
            room,
        })),
        // Whose doing it is isn't told of it.
        What::Entered(_) | What::Left { .. } if audience.is_sender => None,
        What::Entered(user) => Some(system(&format!(
            "Пользователь {} вошёл в комнату \"{}\"",
            user.username,
            room.unwrap_or_default()
        ))),
        What::Left { user, how, .. } => Some(system(&match how {
            Departure::Asked => format!("Пользователь {} покинул комнату", user.username),
            Departure::Lost => format!("{} отключился", user.username),
        })),
        What::Edited(_)
        | What::Deleted(_)
        | What::ReactionAdded { .. }
        | What::ReactionRemoved { .. }
        | What::MemberJoined { .. }
        | What::MemberLeft { .. }
        | What::MemberChanged { .. }
        | What::ChatUpdated(_)
        | What::ChatDeleted(_)
        | What::Typing { .. }
        | What::Presence(_)
        | What::Read { .. }
        | What::Opened { .. }
        | What::Passed(_)
        | What::Hidden => None,
    }
}

/// What a connection is told of a room that it is in no more, by another's doing.
pub(in crate::ws::dialect) fn sent_away(_: &ChatHead) -> Option<SharedFrame> {
    Some(error(CLOSED_ROOM))
}

fn system(message: &str) -> SharedFrame {
    SharedFrame::json(&Outgoing::System { message }).ephemeral()
}

pub(super) fn error(message: &str) -> SharedFrame {
    SharedFrame::json(&Outgoing::Error { message })
}

/// An error of the domain in this dialect's words.
pub(super) fn failed(failed: &ChatError) -> String {
    match failed {
        ChatError::NotFound(_) | ChatError::Forbidden(_) => CLOSED_ROOM.to_owned(),
        ChatError::EmptyText => NO_MESSAGE.to_owned(),
        ChatError::TextTooLong { max, .. } => format!("Сообщение длиннее {max} символов"),
        ChatError::NullCharacter => "Сообщение содержит недопустимые символы".to_owned(),
        ChatError::Invalid { .. } => NO_ROOM.to_owned(),
        ChatError::TooManyMessages { per_minute, .. } => {
            format!("Слишком много сообщений: не более {per_minute} в минуту")
        }
        ChatError::TooManyRequests { .. } => TOO_MANY_REQUESTS.to_owned(),
        ChatError::Unavailable => UNAVAILABLE.to_owned(),
        ChatError::Store(cause) if cause.is_away() => UNAVAILABLE.to_owned(),
        ChatError::Store(_) => "Внутренняя ошибка сервера".to_owned(),
    }
}
