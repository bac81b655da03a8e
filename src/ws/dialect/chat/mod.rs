//! The chat dialect (`/ws/chat/{chat_id}/`): one chat, JSON, every event.
//!
//! Here: its frames and what they mean. Not here: rules (`chat`), the JSON objects (`view`), the order (`hub`).

mod frames;
mod incoming;

use std::str::FromStr;

use entity::{ChatId, ContentType, Seq};
use tracing::error;

use self::incoming::{Incoming, Wrong};
use crate::{
    chat::{
        Actor, ChatError, ChatEvent, ChatHead, Direction, EditMessage, Entered, PageNumber,
        SendMessage, Thing,
    },
    hub::{Audience, Close, Present, Seat, Seated, SharedFrame},
    view::{EventView, Links},
    ws::{
        Connection, Consumer, Credential, Handshake, SignInRefused, close,
        dialect::{World, voice},
        single::Single,
    },
};

pub use self::{frames::EVENTS, incoming::FRAMES};

/// One connection to one chat.
pub(super) struct Chat {
    chat: ChatId,
    actor: Actor,
    seated: Seated,
    present: Present,
    /// Where the replay stopped for which the client may ask on.
    continues_at: Option<Seq>,
    /// The list's address, for the links of its pages.
    scheme: &'static str,
    host: Box<str>,
    _single: Option<Single>,
}

/// The frame that tells `event` to such an audience. Its bytes are shared by all of them.
pub(super) fn encode(_: &ChatHead, event: &ChatEvent, audience: Audience) -> Option<SharedFrame> {
    let view = if audience.is_sender {
        EventView::for_sender(event)?
    } else {
        EventView::of(event)?
    };
    let frame = SharedFrame::json(&view);
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
        // Before an older connection's place is taken: a user who only changes connections is there all the time.
        let present = world.hubs.present(&hub, &actor.user, cx.id());
        let single = cx.claim(&world.singles, chat, &actor)?;
        let seat = Seat {
            connection: cx.id(),
            user: actor.id(),
            is_operator: entered
                .head
                .customer
                .is_some_and(|customer| customer != actor.id()),
            in_literals: false,
            hears_presence: true,
            voice: voice(Self::NAME).ok_or(close::FAULT)?,
            queue: cx.queue().clone(),
            reports: None,
        };
        let greeting = |seq, entered: &Entered| {
            Some(frames::connection_established(
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
                cx.send(frames::connection_established(
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
                    cx.send_error(frames::error(
                        "since must be a number",
                        "invalid",
                        None,
                        None,
                    ))?;
                }
                (seated, None)
            }
        };
        let approach = &handshake.approach;
        let mut chat = Chat {
            chat,
            actor,
            seated,
            present,
            continues_at: None,
            scheme: approach.scheme,
            host: approach.host.as_str().into(),
            _single: single,
        };
        match since {
            Some(since) => chat.replay(cx, &entered, since).await?,
            None => chat.present.show(cx.queue(), frames::presence)?,
        }
        Ok(chat)
    }

    async fn receive(&mut self, cx: &mut Connection<World>, frame: &str) -> Result<(), Close> {
        let incoming = match Incoming::parse(frame) {
            Ok(incoming) => incoming,
            Err(wrong) => return cx.send_error(frames::wrong(&wrong)),
        };
        let continues =
            matches!(incoming, Incoming::Sync { since } if Some(since) == self.continues_at);
        if !continues && !matches!(incoming, Incoming::Message { .. }) && !cx.takes_frame() {
            return cx.send_error(frames::too_many_requests(None));
        }
        match incoming {
            Incoming::Message {
                text,
                client_id,
                reply_to,
            } => {
                let send = SendMessage {
                    chat: self.chat,
                    text,
                    client_id: client_id.clone(),
                    reply_to,
                    content_type: ContentType::Text,
                };
                let world = cx.world().clone();
                match world.domain.messages.send(&self.actor, send).await {
                    // A repeat costs no send, so it counts as any other frame does.
                    Ok(sent) if sent.repeat && !cx.takes_frame() => {
                        cx.send_error(frames::too_many_requests(client_id.as_deref()))
                    }
                    Ok(sent) if sent.repeat => cx.send(frames::repeat(&sent.message)),
                    // The sender learns of it as everyone does: by the event.
                    Ok(_) => Ok(()),
                    Err(error) => self.fail(cx, &error, client_id.as_deref()),
                }
            }
            Incoming::Typing { is_typing } => {
                if self.seated.is_live() {
                    self.seated.types(&self.actor, is_typing);
                }
                Ok(())
            }
            Incoming::ReadMessages { up_to } => {
                let world = cx.world().clone();
                match world
                    .domain
                    .reading
                    .mark(&self.actor, self.chat, up_to)
                    .await
                {
                    // Told to everybody here by the event, soon.
                    Ok(mark) if mark.moved => Ok(()),
                    Ok(mark) => cx.send(frames::messages_read(&self.actor, &mark)),
                    Err(error) => self.fail(cx, &error, None),
                }
            }
            Incoming::EditMessage { message, text } => {
                let edit = EditMessage {
                    chat: self.chat,
                    message,
                    text,
                };
                let world = cx.world().clone();
                match world.domain.messages.edit(&self.actor, edit).await {
                    Ok(_) => Ok(()),
                    Err(error) => self.fail(cx, &error, None),
                }
            }
            Incoming::DeleteMessage { message } => {
                let world = cx.world().clone();
                match world
                    .domain
                    .messages
                    .delete(&self.actor, self.chat, message)
                    .await
                {
                    Ok(_) => Ok(()),
                    Err(error) => self.fail(cx, &error, None),
                }
            }
            Incoming::Page(page) => match cx.takes_history() {
                Ok(()) => self.page(cx, page).await,
                Err(retry_after) => cx.send_error(frames::too_many_requests_for(retry_after)),
            },
            Incoming::Keyset {
                direction,
                page_size,
            } => match cx.takes_history() {
                Ok(()) => self.keyset(cx, direction, page_size).await,
                Err(retry_after) => cx.send_error(frames::too_many_requests_for(retry_after)),
            },
            Incoming::Sync { since } => self.sync(cx, since, continues).await,
            Incoming::Authenticate { token } => self.authenticate(cx, token).await,
            Incoming::Ping => cx.send(frames::pong()),
        }
    }

    async fn disconnect(self, _: &mut Connection<World>, close: &Close) {
        if *close == close::NOT_A_MEMBER {
            self.present.leave();
        }
    }
}

impl Chat {
    /// Answers with what went wrong. The client is to blame for all but what is away or broken.
    fn fail(
        &self,
        cx: &mut Connection<World>,
        failed: &ChatError,
        client_id: Option<&str>,
    ) -> Result<(), Close> {
        let frame = frames::failed(failed, client_id);
        match failed {
            ChatError::Unavailable => cx.send(frame),
            ChatError::Store(cause) => {
                error!(chat = %self.chat, user = %self.actor.id(), "chat {}: {cause}", self.chat);
                cx.send(frame)
            }
            _ => cx.send_error(frame),
        }
    }

    async fn page(&self, cx: &mut Connection<World>, asked: PageNumber) -> Result<(), Close> {
        let world = cx.world().clone();
        match world
            .domain
            .history
            .page(&self.actor, self.chat, asked)
            .await
        {
            Ok(page) => {
                let links = self.links(asked.page_size);
                let next = page.has_next.then(|| links.page(asked.page + 1));
                let previous = (asked.page > 1).then(|| links.page(asked.page - 1));
                cx.send(frames::messages(
                    Some(page.count),
                    next,
                    previous,
                    &page.results,
                ))
            }
            Err(error) => self.fail(cx, &error, None),
        }
    }

    async fn keyset(
        &self,
        cx: &mut Connection<World>,
        direction: Direction,
        page_size: u64,
    ) -> Result<(), Close> {
        let world = cx.world().clone();
        match world
            .domain
            .history
            .keyset(&self.actor, self.chat, direction, page_size)
            .await
        {
            Ok(page) => {
                let links = self.links(page_size);
                let oldest = page.results.last().filter(|_| page.has_older);
                let newest = page.results.first().filter(|_| page.has_newer);
                let next = oldest.map(|message| links.before(message.id.0));
                let previous = newest.map(|message| links.after(message.id.0));
                cx.send(frames::messages(None, next, previous, &page.results))
            }
            Err(error) => self.fail(cx, &error, None),
        }
    }

    /// REST's addresses of the same pages.
    fn links(&self, page_size: u64) -> Links {
        let path = format!("/api/chats/{}/messages/", self.chat);
        let query = if page_size == incoming::PAGE_SIZE {
            String::new()
        } else {
            format!("page_size={page_size}")
        };
        Links::new(self.scheme, &self.host, &path, &query)
    }

    async fn sync(
        &mut self,
        cx: &mut Connection<World>,
        since: Seq,
        continues: bool,
    ) -> Result<(), Close> {
        if !continues && let Err(retry_after) = cx.takes_history() {
            return cx.send_error(frames::too_many_requests_for(retry_after));
        }
        let world = cx.world().clone();
        // Membership is checked anew: whoever was removed while they caught up is told so here.
        match world.hubs.enter(&self.actor, self.chat).await {
            Ok((_, entered)) => self.replay(cx, &entered, since).await,
            Err(ChatError::NotFound(Thing::Chat)) => Err(close::NOT_A_MEMBER),
            Err(error) => self.fail(cx, &error, None),
        }
    }

    async fn replay(
        &mut self,
        cx: &Connection<World>,
        entered: &Entered,
        since: Seq,
    ) -> Result<(), Close> {
        let replayed = self
            .seated
            .replay(entered, since, |replayed| Some(frames::synced(&replayed)))
            .await?;
        self.continues_at = replayed.has_more.then_some(replayed.seq);
        if replayed.has_more {
            return Ok(());
        }
        // Who came and went during the replay wasn't told.
        self.present.show(cx.queue(), frames::presence)
    }

    async fn authenticate(
        &mut self,
        cx: &mut Connection<World>,
        token: String,
    ) -> Result<(), Close> {
        let world = cx.world().clone();
        let problem = match world.domain.sessions.authenticate(&token).await {
            Ok(actor) if actor.id() != self.actor.id() => "This token is another user's".to_owned(),
            Ok(_) => match cx.sign_in_by(&Credential::Token(token)).await {
                Ok(actor) => {
                    self.actor = actor;
                    return cx.send(frames::authenticated(self.actor.token_expires_at));
                }
                Err(SignInRefused::Closed(close)) => return Err(close),
                Err(_) => "Token is invalid".to_owned(),
            },
            Err(crate::chat::AuthError::Unavailable) => {
                return self.fail(cx, &ChatError::Unavailable, None);
            }
            Err(error) => error.to_string(),
        };
        cx.send_error(frames::error(&problem, "invalid", None, None))
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
