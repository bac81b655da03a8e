//! The chats dialect (`/ws/chats/`): the chat dialect for all chats of a user on one socket. Each frame names its chat.
//!
//! Here: what a list of chats needs besides. Not here: what is done in a chat (`chat`), which chats are heard (`hub`).

mod frames;
mod incoming;

use std::collections::HashMap;

use entity::{ChatId, Seq};

use self::incoming::{Incoming, Since};
use super::{
    World,
    chat::{self, Conversation, Frames},
    voice,
};
use crate::{
    chat::{Actor, ChatError, ChatEvent, ChatHead, Followed, FollowedChats, Thing},
    hub::{Announce, Audience, CHAT_DELETED, Close, Follow, Following, REPLAY_MAX, SharedFrame},
    ws::{Connection, Consumer, Handshake, close},
};

pub(super) use self::frames::EVENTS;

/// One connection to all chats of its user.
pub(super) struct Chats {
    conversation: Conversation,
    following: Following,
    /// Where replays stopped for which the client may ask on.
    continue_at: HashMap<ChatId, Seq>,
}

/// The frame that tells `event` to such an audience. Its bytes are shared by all of them.
pub(super) fn encode(
    head: &ChatHead,
    event: &ChatEvent,
    audience: Audience,
) -> Option<SharedFrame> {
    chat::tell(Frames::of(head.id), event, audience)
}

/// What is told of a chat that the user doesn't belong to any more.
pub(super) fn removed(head: &ChatHead) -> Option<SharedFrame> {
    Some(frames::chat_removed(head.id))
}

impl Consumer for Chats {
    type World = World;
    const NAME: &'static str = "chats";

    async fn connect(cx: &mut Connection<World>, handshake: &Handshake) -> Result<Self, Close> {
        let actor = cx.sign_in(handshake).await?;
        let with_support = actor.is_staff && handshake.query("support") == Some("1");
        let follow = Follow {
            actor: actor.clone(),
            voice: voice(Self::NAME).ok_or(close::FAULT)?,
            in_literals: false,
            chats: match with_support {
                true => FollowedChats::OwnAndSupport,
                false => FollowedChats::Own,
            },
            queue: cx.queue().clone(),
            announce: Some(Announce {
                added: frames::chat_added,
                unread: frames::unread,
                presence: |chat, presence| Frames::of(chat).presence(presence),
            }),
        };
        let world = cx.world().clone();
        let beginning = world.hubs.follow(follow).await.map_err(refused)?;
        let greeting = frames::connection_established(&actor, beginning.chats(), with_support);
        let following = beginning.begin(Some(greeting)).await.map_err(refused)?;
        Ok(Chats {
            conversation: Conversation::new(actor, &handshake.approach),
            following,
            continue_at: HashMap::new(),
        })
    }

    fn actor(&mut self) -> Option<&mut Actor> {
        Some(&mut self.conversation.actor)
    }

    async fn receive(&mut self, cx: &mut Connection<World>, frame: &str) -> Result<(), Close> {
        let incoming = Incoming::parse(frame);
        // Sends overlap; every other frame relies on what was sent before it.
        if !matches!(
            incoming,
            Ok(Incoming::Of(_, chat::Incoming::Message { .. }))
        ) {
            cx.settled().await?;
        }
        let incoming = match incoming {
            Ok(incoming) => incoming,
            Err((frames, wrong)) => return cx.send_error(frames.wrong(&wrong)),
        };
        match incoming {
            Incoming::Sync(since) => Box::pin(self.sync(cx, since)).await,
            Incoming::Of(chat, chat::Incoming::Typing { is_typing }) => {
                self.types(cx, chat, is_typing)
            }
            Incoming::Of(chat, incoming) => {
                let frames = Frames::of(chat);
                self.conversation.serve(cx, chat, frames, incoming).await
            }
            Incoming::OfNone(incoming) => {
                let frames = Frames::default();
                self.conversation
                    .serve(cx, ChatId(0), frames, incoming)
                    .await
            }
        }
    }

    async fn disconnect(self, _: &mut Connection<World>, _: &Close) {}
}

impl Chats {
    fn types(
        &self,
        cx: &mut Connection<World>,
        chat: ChatId,
        is_typing: bool,
    ) -> Result<(), Close> {
        let frames = Frames::of(chat);
        if !cx.takes_frame() {
            return cx.send_error(frames.too_many_requests(None));
        }
        match self.following.place(chat) {
            None => cx.send_error(frames.failed(&ChatError::NotFound(Thing::Chat), None)),
            Some(seated) => {
                if seated.is_live() {
                    seated.types(&self.conversation.actor, is_typing);
                }
                Ok(())
            }
        }
    }

    /// Replays some chats one after the other: all together at most as many events as one chat's replay has.
    async fn sync(&mut self, cx: &mut Connection<World>, asked: Vec<Since>) -> Result<(), Close> {
        let frames = match asked.as_slice() {
            [one] => Frames::of(one.chat),
            _ => Frames::default(),
        };
        let continues = |since: &Since| self.continue_at.get(&since.chat) == Some(&since.seq);
        if asked.is_empty() || !asked.iter().all(continues) {
            if !cx.takes_frame() {
                return cx.send_error(frames.too_many_requests(None));
            }
            if let Err(retry_after) = cx.takes_history() {
                return cx.send_error(frames.too_many_requests_for(retry_after));
            }
        }
        let world = cx.world().clone();
        let actor = self.conversation.actor.clone();
        let pairs: Vec<_> = asked.iter().map(|since| (&actor, since.chat)).collect();
        // Membership is checked anew, of all at once.
        let entered = match world.domain.chats.enter_all(&pairs).await {
            Ok(entered) => entered,
            Err(error) => return self.conversation.fail(cx, ChatId(0), frames, &error, None),
        };
        let mut entered: HashMap<usize, Followed> = entered.into_iter().collect();
        let (mut left, mut is_wrong) = (REPLAY_MAX, false);
        for (place, since) in asked.iter().enumerate() {
            let is_listed = self.lists(since.chat);
            let told = match entered.remove(&place) {
                Some(followed) => self.replay(&followed, since.seq, left).await?,
                None => None,
            };
            match told {
                Some(events) => left -= events,
                None => {
                    self.following.forget(since.chat);
                    self.continue_at.remove(&since.chat);
                    if is_listed {
                        cx.send(frames::chat_removed(since.chat))?;
                    }
                    let missing = ChatError::NotFound(Thing::Chat);
                    cx.send(Frames::of(since.chat).failed(&missing, None))?;
                    is_wrong = true;
                }
            }
        }
        // However many chats it names, it is one frame.
        if is_wrong { cx.violates() } else { Ok(()) }
    }

    /// Whether a chat is one of the client's, as far as it was told: it hears it, or is to ask for more of it. Of one that
    /// ends meanwhile the hub tells nothing, where the connection has no seat.
    fn lists(&self, chat: ChatId) -> bool {
        let place = self.following.place(chat);
        place.is_some_and(|seated| seated.is_live()) || self.continue_at.contains_key(&chat)
    }

    /// How many events were told; none where the membership has ended meanwhile.
    async fn replay(
        &mut self,
        followed: &Followed,
        since: Seq,
        events_max: usize,
    ) -> Result<Option<usize>, Close> {
        let entered = &followed.entered;
        let chat = entered.head.id;
        let seated = self.following.take_place(followed);
        let end = |replayed| Some(Frames::of(chat).synced(&replayed));
        match seated.replay_some(entered, since, events_max, end).await {
            Ok((replayed, told)) => {
                match replayed.has_more {
                    true => self.continue_at.insert(chat, replayed.seq),
                    false => {
                        self.following.show_presence(chat);
                        self.continue_at.remove(&chat)
                    }
                };
                Ok(Some(told))
            }
            Err(close) if close == close::NOT_A_MEMBER || close == CHAT_DELETED => Ok(None),
            Err(close) => Err(close),
        }
    }
}

/// Why nobody is let in.
fn refused(error: ChatError) -> Close {
    match error {
        ChatError::Store(cause) if !cause.is_away() => {
            tracing::error!("all chats of a user: {cause}");
            close::FAULT
        }
        _ => close::UNAVAILABLE,
    }
}
