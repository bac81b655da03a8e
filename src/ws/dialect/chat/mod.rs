//! The chat dialect (`/ws/chat/{chat_id}/`): one chat, JSON, every event.
//!
//! Here: its frames and what they mean. Not here: rules (`chat`), the JSON objects (`view`), the order (`hub`).

mod conversation;
mod frames;
mod incoming;

use std::str::FromStr;

use entity::{ChatId, Seq};
use tracing::error;

pub(super) use self::{
    conversation::Conversation,
    frames::Frames,
    incoming::{Incoming, Wrong, fields, invalid, number},
};
use crate::{
    chat::{Actor, ChatError, ChatEvent, ChatHead, Entered, Presence, Thing},
    hub::{Audience, Close, Present, Seat, Seated, SharedFrame},
    view::EventView,
    ws::{
        Connection, Consumer, Handshake, close,
        dialect::{World, voice},
        single::Single,
    },
};

pub(super) use self::{frames::EVENTS, incoming::FRAMES};

/// One connection to one chat.
pub(super) struct Chat {
    chat: ChatId,
    conversation: Conversation,
    seated: Seated,
    present: Present,
    /// Where the replay stopped for which the client may ask on.
    continues_at: Option<Seq>,
    _single: Option<Single>,
}

/// The frame that tells `event` to such an audience. Its bytes are shared by all of them.
pub(super) fn encode(_: &ChatHead, event: &ChatEvent, audience: Audience) -> Option<SharedFrame> {
    tell(Frames::default(), event, audience)
}

/// An event as it is shown here, or among many chats.
pub(super) fn tell(frames: Frames, event: &ChatEvent, audience: Audience) -> Option<SharedFrame> {
    let view = if audience.is_sender {
        EventView::for_sender(event)?
    } else {
        EventView::of(event)?
    };
    let frame = frames.frame(&view);
    Some(if event.is_ephemeral() {
        frame.ephemeral()
    } else {
        frame
    })
}

impl Consumer for Chat {
    type World = World;
    const NAME: &'static str = "chat";

    async fn connect(cx: &mut Connection<World>, handshake: &Handshake) -> Result<Self, Close> {
        let actor = cx.sign_in(handshake).await?;
        let chat = handshake
            .param("chat_id")
            .and_then(|id| i64::from_str(id).ok())
            .map(ChatId);
        let chat = chat.ok_or(close::NO_SUCH_CHAT)?;
        let world = cx.world().clone();
        let (hub, entered) = match world.hubs.enter(&actor, chat).await {
            Ok(entered) => entered,
            Err(error) => return Err(refused(&world, chat, &error).await),
        };
        let customer = entered.head.customer;
        let is_operator = customer.is_some_and(|customer| customer != actor.id());
        if is_operator {
            cx.sits_as_operator(&actor).await?;
        }
        // Before an older connection's place is taken: a user who only changes connections is there all the time.
        let present = world.hubs.present(&hub, &actor.user, cx.id());
        let single = cx.claim(&world.singles, chat, &actor).await?;
        let seat = Seat {
            connection: cx.id(),
            user: actor.id(),
            is_operator,
            in_literals: false,
            hears_presence: true,
            voice: voice(Self::NAME).ok_or(close::FAULT)?,
            queue: cx.queue().clone(),
            reports: None,
        };
        let greeting = |seq, entered: &Entered| {
            Some(Frames::connection_established(
                chat,
                &actor,
                seq,
                entered.unread_count,
            ))
        };
        let since = handshake.query("since").map(i64::from_str);
        let (seated, since) = match since {
            Some(Ok(since)) if since >= 0 => {
                let seated = world.hubs.stand(hub, seat);
                let stands = seated
                    .hub()
                    .delivered()
                    .unwrap_or(entered.last_seq)
                    .max(entered.last_seq);
                cx.send(Frames::connection_established(
                    chat,
                    &actor,
                    stands,
                    entered.unread_count,
                ))?;
                (seated, Some(Seq(since)))
            }
            wrong => {
                let seated = world
                    .hubs
                    .seat(&actor, hub, entered.clone(), seat, greeting)
                    .await?;
                if wrong.is_some() {
                    let wrong = "since must be a number";
                    cx.send_error(Frames::default().error(wrong, "invalid", None, None))?;
                }
                (seated, None)
            }
        };
        let mut chat = Chat {
            chat,
            conversation: Conversation::new(actor, &handshake.approach),
            seated,
            present,
            continues_at: None,
            _single: single,
        };
        match since {
            Some(since) => chat.replay(cx, &entered, since).await?,
            None => {
                let shown = |presence: &Presence| Some(Frames::default().presence(presence));
                chat.present.show(cx.queue(), shown)?;
            }
        }
        Ok(chat)
    }

    fn actor(&mut self) -> Option<&mut Actor> {
        Some(&mut self.conversation.actor)
    }

    async fn receive(&mut self, cx: &mut Connection<World>, frame: &str) -> Result<(), Close> {
        let frames = Frames::default();
        let incoming = Incoming::parse(frame);
        // Sends overlap; every other frame relies on what was sent before it.
        if !matches!(incoming, Ok(Incoming::Message { .. })) {
            cx.settled().await?;
        }
        let incoming = match incoming {
            Ok(incoming) => incoming,
            Err(wrong) => return cx.send_error(frames.wrong(&wrong)),
        };
        match incoming {
            Incoming::Typing { is_typing } => {
                if !cx.takes_frame() {
                    return cx.send_error(frames.too_many_requests(None));
                }
                if self.seated.is_live() {
                    self.seated.types(&self.conversation.actor, is_typing);
                }
                Ok(())
            }
            Incoming::Sync { since } => Box::pin(self.sync(cx, since)).await,
            other => self.conversation.serve(cx, self.chat, frames, other).await,
        }
    }

    async fn disconnect(self, _: &mut Connection<World>, _: &Close) {}
}

impl Chat {
    async fn sync(&mut self, cx: &mut Connection<World>, since: Seq) -> Result<(), Close> {
        let frames = Frames::default();
        if Some(since) != self.continues_at {
            if !cx.takes_frame() {
                return cx.send_error(frames.too_many_requests(None));
            }
            if let Err(retry_after) = cx.takes_history() {
                return cx.send_error(frames.too_many_requests_for(retry_after));
            }
        }
        let world = cx.world().clone();
        // Membership is checked anew: whoever was removed while they caught up is told so here.
        match world.hubs.enter(&self.conversation.actor, self.chat).await {
            Ok((_, entered)) => self.replay(cx, &entered, since).await,
            Err(ChatError::NotFound(Thing::Chat)) => Err(close::NOT_A_MEMBER),
            Err(error) => self.conversation.fail(cx, self.chat, frames, &error, None),
        }
    }

    async fn replay(
        &mut self,
        cx: &Connection<World>,
        entered: &Entered,
        since: Seq,
    ) -> Result<(), Close> {
        let frames = Frames::default();
        let replayed = self
            .seated
            .replay(entered, since, |replayed| Some(frames.synced(&replayed)))
            .await?;
        self.continues_at = replayed.has_more.then_some(replayed.seq);
        if replayed.has_more {
            return Ok(());
        }
        // Who came and went during the replay wasn't told.
        let shown = |presence: &Presence| Some(frames.presence(presence));
        self.present.show(cx.queue(), shown)
    }
}

/// Why somebody isn't let in: the chat doesn't exist, or isn't theirs.
async fn refused(world: &World, chat: ChatId, error: &ChatError) -> Close {
    match error {
        ChatError::NotFound(_) => match world.domain.chats.exists(chat).await {
            Ok(true) => close::NOT_A_MEMBER,
            Ok(false) => close::NO_SUCH_CHAT,
            Err(_) => close::UNAVAILABLE,
        },
        ChatError::Store(cause) if !cause.is_away() => {
            error!(%chat, "chat {chat}: {cause}");
            close::FAULT
        }
        _ => close::UNAVAILABLE,
    }
}
