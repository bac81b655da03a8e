//! The room dialect (`/ws/room/{room_name}/`, and `/ws/chat/{room_name}/` where that is no number): one room by its
//! name, made by whoever comes first.
//!
//! Here: its frames and what they mean. Not here: rules (`chat`), the order (`hub`).

mod frames;
mod incoming;

use std::{str::FromStr, sync::Arc};

use entity::{ChatId, ContentType, Seq};
use tracing::error;

pub(super) use self::frames::encode;
use self::incoming::Incoming;
use crate::{
    chat::{Actor, ChatError, Direction, Entered, RoomName, SendMessage},
    hub::{Close, Present, REPLAY_MAX, Seat, Seated},
    ws::{
        Connection, Consumer, Handshake, close,
        dialect::{World, voice},
    },
};

pub(super) use self::{frames::EVENTS, incoming::FRAMES};

/// Messages that a newcomer is told, where they don't say how many.
const HISTORY: u64 = 50;
const HISTORY_MAX: u64 = 500;
/// Of a history, so many are written before the next are made.
const HISTORY_AT_ONCE: usize = 50;

/// One connection to one room.
pub(super) struct Room {
    chat: ChatId,
    actor: Actor,
    seated: Seated,
    _present: Present,
}

impl Consumer for Room {
    type World = World;
    const NAME: &'static str = "room";

    async fn connect(cx: &mut Connection<World>, handshake: &Handshake) -> Result<Self, Close> {
        let actor = cx.sign_in(handshake).await?;
        let name = RoomName::parse(room_name(handshake));
        let name = name.map_err(|_| close::NO_SUCH_ROOM)?;
        let world = cx.world().clone();
        let chat = world.domain.chats.join_room(&actor, &name).await;
        let chat = chat.map_err(|error| refused(name.name(), &error))?;
        let (hub, entered) = world
            .hubs
            .enter(&actor, chat)
            .await
            .map_err(|error| refused(name.name(), &error))?;
        let seat = Seat {
            connection: cx.id(),
            user: actor.id(),
            is_operator: false,
            in_literals: false,
            hears_presence: true,
            voice: voice(Self::NAME).ok_or(close::FAULT)?,
            queue: cx.queue().clone(),
            reports: None,
        };
        let seated = world.hubs.stand(hub, seat);
        let newcomer = Newcomer {
            actor: &actor,
            entered: &entered,
            handshake,
        };
        let present = newcomer.arrives(cx, &seated).await?;
        Ok(Room {
            chat,
            actor,
            seated,
            _present: present,
        })
    }

    fn actor(&mut self) -> Option<&mut Actor> {
        Some(&mut self.actor)
    }

    async fn receive(&mut self, cx: &mut Connection<World>, frame: &str) -> Result<(), Close> {
        match Incoming::parse(frame) {
            Err(wrong) => cx.send_error(frames::error(wrong.text())),
            Ok(Incoming::Message { text }) => {
                let send = SendMessage {
                    chat: self.chat,
                    text,
                    client_id: None,
                    reply_to: None,
                    content_type: ContentType::Text,
                };
                let world = cx.world().clone();
                match world.domain.messages.send(&self.actor, send).await {
                    // The sender learns of it as everyone does: by the event.
                    Ok(_) => Ok(()),
                    Err(error) => self.fail(cx, &error),
                }
            }
            Ok(Incoming::Typing { .. }) if !cx.takes_frame() => {
                cx.send_error(frames::too_many_requests())
            }
            Ok(Incoming::Typing { is_typing }) => {
                self.seated.types(&self.actor, is_typing);
                Ok(())
            }
        }
    }

    async fn disconnect(self, _: &mut Connection<World>, _: &Close) {}
}

impl Room {
    /// Answers with what went wrong. The client is to blame for all but what is away or broken.
    fn fail(&self, cx: &mut Connection<World>, failed: &ChatError) -> Result<(), Close> {
        let frame = frames::failed(failed);
        match failed {
            ChatError::Unavailable => cx.send(frame),
            ChatError::Store(cause) => {
                error!(chat = %self.chat, user = %self.actor.id(), "chat {}: {cause}", self.chat);
                cx.send(frame)
            }
            _ => cx.send_error(frame),
        }
    }
}

/// Somebody on their way in, who is told in this order: who is there, what was said or what they missed, that they came.
struct Newcomer<'a> {
    actor: &'a Actor,
    entered: &'a Entered,
    handshake: &'a Handshake,
}

impl Newcomer<'_> {
    async fn arrives(&self, cx: &mut Connection<World>, seated: &Seated) -> Result<Present, Close> {
        let shown = seated.hub().presence_with(&self.actor.user);
        cx.send(frames::users_list(&shown))?;
        let mut since = match self.resumes() {
            Some(since) => since,
            None => {
                self.is_told_history(cx).await?;
                self.entered.last_seq
            }
        };
        loop {
            let replayed = seated.replay(self.entered, since, |_| None).await?;
            since = replayed.seq;
            if !replayed.has_more {
                break;
            }
        }
        let present = seated.present(self.actor);
        // Comings and goings weren't told while the newcomer read.
        present.show(cx.queue(), |now| {
            let is_news = *now != shown && now.count_where_cut().is_none();
            is_news.then(|| frames::users_list(now))
        })?;
        if !present.was_told() {
            cx.send(frames::user_join(&self.actor.user))?;
        }
        Ok(present)
    }

    /// After which number the newcomer goes on, where that isn't too far back.
    fn resumes(&self) -> Option<Seq> {
        let since = self.handshake.query("since").map(i64::from_str)?;
        let since = since.ok().filter(|since| *since >= 0)?;
        let last = self.entered.last_seq.0;
        let is_near = since <= last && last - since <= REPLAY_MAX as i64;
        is_near.then_some(Seq(since))
    }

    /// The newest messages as they stand, the oldest of them first. What comes after them is replayed.
    async fn is_told_history(&self, cx: &mut Connection<World>) -> Result<(), Close> {
        let asked = self.handshake.query("history").map(u64::from_str);
        let count = match asked {
            Some(Ok(count)) => count.min(HISTORY_MAX),
            Some(Err(_)) | None => HISTORY,
        };
        if count == 0 {
            return Ok(());
        }
        let world: Arc<World> = cx.world().clone();
        let chat = self.entered.head.id;
        let newest = Direction::Before(None);
        let history = &world.domain.history;
        let page = history.keyset(self.actor, chat, newest, count).await;
        let messages = page
            .map_err(|error| {
                refused(
                    self.entered.head.name.as_deref().unwrap_or_default(),
                    &error,
                )
            })?
            .results;
        let messages: Vec<_> = messages
            .into_iter()
            .rev()
            .filter(|message| message.seq <= self.entered.last_seq)
            .collect();
        for some in messages.chunks(HISTORY_AT_ONCE) {
            for message in some {
                cx.send(frames::chat_message(message.seq, message))?;
            }
            cx.sent().await?;
        }
        Ok(())
    }
}

/// The room's name. Where chats by their numbers live too, all digits are one of those.
fn room_name(handshake: &Handshake) -> Option<&str> {
    if let Some(name) = handshake.param("room_name") {
        return Some(name);
    }
    let name = handshake.param("chat_id")?;
    let is_number = name.trim().bytes().all(|byte| byte.is_ascii_digit());
    (!is_number).then_some(name)
}

/// Why somebody isn't let in: the room can't be, or isn't open to them.
fn refused(name: &str, error: &ChatError) -> Close {
    match error {
        ChatError::Unavailable => close::UNAVAILABLE,
        ChatError::Store(cause) if cause.is_away() => close::UNAVAILABLE,
        ChatError::Store(cause) => {
            error!(room = name, "room {name:?}: {cause}");
            close::FAULT
        }
        ChatError::NotFound(_)
        | ChatError::Forbidden(_)
        | ChatError::Invalid { .. }
        | ChatError::TooManyRequests { .. }
        | ChatError::TooManyMessages { .. }
        | ChatError::EmptyText
        | ChatError::TextTooLong { .. }
        | ChatError::NullCharacter => close::NO_SUCH_ROOM,
    }
}
