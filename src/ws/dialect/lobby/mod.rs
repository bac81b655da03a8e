//! The lobby dialect (`/ws/lobby/`): any number of rooms by their names on one socket, in Russian.
//!
//! Here: its frames and what they mean. Not here: rules (`chat`), the order (`hub`).
//! Bounded by: `ROOMS_MAX` rooms of one connection.

mod frames;
mod incoming;

use std::collections::HashMap;

use entity::{ChatId, ContentType};
use tracing::{error, info};

pub(super) use self::frames::{encode, sent_away};
use self::incoming::Incoming;
use crate::{
    chat::{Actor, ChatError, RoomName, SendMessage, Thing},
    hub::{Close, Present, Seat, Seated},
    ws::{
        Connection, Consumer, Handshake, SignInRefused, close,
        dialect::{World, voice},
    },
};

pub(super) use self::{frames::EVENTS, incoming::FRAMES};

/// Rooms that one connection is in.
const ROOMS_MAX: usize = 500;

/// One connection to any number of rooms.
pub(super) struct Lobby {
    actor: Actor,
    /// By the names' compared form.
    rooms: HashMap<String, Joined>,
}

/// A room that the connection is in. Its seat is given up first: who goes isn't told of it.
struct Joined {
    chat: ChatId,
    seated: Seated,
    present: Present,
}

/// Why a frame did nothing.
enum Failed {
    Chat(ChatError),
    Connection(Close),
}

impl From<ChatError> for Failed {
    fn from(error: ChatError) -> Self {
        Failed::Chat(error)
    }
}

impl Consumer for Lobby {
    type World = World;
    const NAME: &'static str = "lobby";
    const SIGNED_OUT: Close = close::BAD_TOKEN;

    async fn connect(cx: &mut Connection<World>, handshake: &Handshake) -> Result<Self, Close> {
        let actor = cx
            .sign_in(handshake)
            .await
            .map_err(|refused| match refused {
                SignInRefused::Missing => close::NO_TOKEN,
                SignInRefused::Bad(_) => close::BAD_TOKEN,
                SignInRefused::Unavailable | SignInRefused::Closed(_) => refused.into(),
            })?;
        Ok(Lobby {
            actor,
            rooms: HashMap::new(),
        })
    }

    fn actor(&mut self) -> Option<&mut Actor> {
        Some(&mut self.actor)
    }

    async fn receive(&mut self, cx: &mut Connection<World>, frame: &str) -> Result<(), Close> {
        let incoming = match Incoming::parse(frame, &self.actor.user.username) {
            Ok(incoming) => incoming,
            Err(text) => return refuse(cx, text),
        };
        let is_message = matches!(incoming, Incoming::Message { .. });
        if !is_message && !cx.takes_frame() {
            return refuse(cx, frames::TOO_MANY_REQUESTS);
        }
        let done = match incoming {
            Incoming::Join { room } => self.be_in(cx, &room).await.map(|_| ()),
            Incoming::Leave { room } => {
                self.leave(&room);
                Ok(())
            }
            Incoming::Message { room, text } => self.say(cx, &room, text).await,
        };
        match done {
            Ok(()) => Ok(()),
            Err(Failed::Connection(close)) => Err(close),
            Err(Failed::Chat(error)) => self.fail(cx, &error),
        }
    }

    async fn disconnect(self, _: &mut Connection<World>, _: &Close) {}
}

impl Lobby {
    /// Comes into a room, unless the connection is there.
    async fn be_in(&mut self, cx: &Connection<World>, room: &RoomName) -> Result<ChatId, Failed> {
        match self.find(room) {
            Some(joined) => Ok(joined.chat),
            None => Box::pin(self.join(cx, room)).await,
        }
    }

    async fn join(&mut self, cx: &Connection<World>, room: &RoomName) -> Result<ChatId, Failed> {
        if self.rooms.len() >= ROOMS_MAX {
            self.sort();
        }
        if self.rooms.len() >= ROOMS_MAX {
            let retry_after = std::time::Duration::from_secs(1);
            return Err(ChatError::TooManyRequests { retry_after }.into());
        }
        let world = cx.world().clone();
        let chat = world.domain.chats.join_room(&self.actor, room).await?;
        if self.has(chat) {
            // It was renamed, and is found by its new name; or the connection was sent away from it.
            self.sort();
        }
        if self.has(chat) {
            return Ok(chat);
        }
        let (hub, entered) = world.hubs.enter(&self.actor, chat).await?;
        let seat = Seat {
            connection: cx.id(),
            user: self.actor.id(),
            is_operator: false,
            in_literals: false,
            hears_presence: true,
            voice: voice(Self::NAME).ok_or(Failed::Connection(close::FAULT))?,
            queue: cx.queue().clone(),
            reports: None,
        };
        let seated = world
            .hubs
            .seat(&self.actor, hub, entered, seat, |_, _| None);
        let seated = seated.await.map_err(|close| match close {
            close::NOT_A_MEMBER | close::CHAT_DELETED => ChatError::NotFound(Thing::Chat),
            _ => ChatError::Unavailable,
        })?;
        let present = seated.present(&self.actor);
        let joined = Joined {
            chat,
            seated,
            present,
        };
        self.rooms.insert(room.key().to_owned(), joined);
        Ok(chat)
    }

    fn has(&self, chat: ChatId) -> bool {
        self.rooms.values().any(|joined| joined.chat == chat)
    }

    /// The room of this name, if the connection is in it.
    fn find(&mut self, room: &RoomName) -> Option<&Joined> {
        let joined = self.rooms.get(room.key())?;
        if !joined.is_in() || !joined.is_called(room) {
            self.sort();
        }
        self.rooms.get(room.key())
    }

    /// Forgets the rooms that the connection isn't in any more, and puts those that were renamed under their new names.
    /// A seat that has ended is so given up before the same connection gets another in that chat.
    fn sort(&mut self) {
        let rooms = std::mem::take(&mut self.rooms).into_iter();
        let rooms = rooms.filter(|(_, joined)| joined.is_in());
        self.rooms = rooms
            .map(|(key, joined)| (joined.key().unwrap_or(key), joined))
            .collect();
    }

    /// Ends the connection's presence in a room, not the membership.
    fn leave(&mut self, room: &RoomName) {
        if self.find(room).is_none() {
            return;
        }
        if let Some(Joined {
            seated, present, ..
        }) = self.rooms.remove(room.key())
        {
            drop(seated);
            present.leave();
        }
    }

    async fn say(
        &mut self,
        cx: &Connection<World>,
        room: &RoomName,
        text: String,
    ) -> Result<(), Failed> {
        let send = SendMessage {
            chat: self.be_in(cx, room).await?,
            text,
            client_id: None,
            reply_to: None,
            content_type: ContentType::Text,
        };
        let world = cx.world().clone();
        // The sender learns of it as everyone does: by the event.
        world.domain.messages.send(&self.actor, send).await?;
        Ok(())
    }

    /// Answers with what went wrong. The client is to blame for all but what is away or broken.
    fn fail(&self, cx: &mut Connection<World>, failed: &ChatError) -> Result<(), Close> {
        let text = frames::failed(failed);
        match failed {
            ChatError::Unavailable => log(cx, &text),
            ChatError::Store(cause) => {
                error!(user = %self.actor.id(), "a lobby: {cause}");
            }
            _ => return refuse(cx, &text),
        }
        cx.send(frames::error(&text))
    }
}

impl Joined {
    /// Whether the connection is still there: nobody has sent it away.
    fn is_in(&self) -> bool {
        self.seated.is_live()
    }

    fn is_called(&self, room: &RoomName) -> bool {
        self.key().is_none_or(|key| key == room.key())
    }

    /// The room's name as it is compared.
    fn key(&self) -> Option<String> {
        let head = self.seated.hub().head()?;
        let name = RoomName::parse(head.name.as_deref()).ok()?;
        Some(name.key().to_owned())
    }
}

/// Answers with an error, and logs it as this dialect's document promises.
fn refuse(cx: &mut Connection<World>, text: &str) -> Result<(), Close> {
    log(cx, text);
    cx.send_error(frames::error(text))
}

fn log(cx: &Connection<World>, text: &str) {
    let id = cx.id().0;
    info!(connection = id, "connection {id}: {text}");
}
