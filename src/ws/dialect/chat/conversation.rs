//! What a client does in a chat: the same on the socket of one chat and on that of all chats.

use entity::{ChatId, ContentType, UserId};
use tracing::error;

use super::{
    frames::Frames,
    incoming::{Incoming, PAGE_SIZE},
};
use crate::{
    chat::{Actor, AuthError, ChatError, Direction, EditMessage, PageNumber, SendMessage, Sent},
    hub::Close,
    origin::Approach,
    view::Links,
    ws::{Connection, Credential, Reply, SignInRefused, dialect::World},
};

/// Who talks, from where.
pub(in crate::ws::dialect) struct Conversation {
    pub(in crate::ws::dialect) actor: Actor,
    /// The lists' address, for the links of their pages.
    scheme: &'static str,
    host: Box<str>,
}

impl Conversation {
    pub(in crate::ws::dialect) fn new(actor: Actor, approach: &Approach) -> Self {
        Conversation {
            actor,
            scheme: approach.scheme,
            host: approach.host.as_str().into(),
        }
    }

    /// Serves a frame, but for those that concern the connection's seat.
    pub(in crate::ws::dialect) async fn serve(
        &mut self,
        cx: &mut Connection<World>,
        chat: ChatId,
        frames: Frames,
        incoming: Incoming,
    ) -> Result<(), Close> {
        match incoming {
            Incoming::Message {
                text,
                client_id,
                reply_to,
            } => {
                let send = SendMessage {
                    chat,
                    text,
                    client_id,
                    reply_to,
                    content_type: ContentType::Text,
                };
                self.send(cx, frames, send);
                Ok(())
            }
            _ if !cx.takes_frame() => cx.send_error(frames.too_many_requests(None)),
            other => Box::pin(self.serve_other(cx, chat, frames, other)).await,
        }
    }

    /// Says something. The next frame may come before it is committed.
    fn send(&self, cx: &mut Connection<World>, frames: Frames, send: SendMessage) {
        let (chat, user) = (send.chat, self.actor.id());
        let client_id = send.client_id.clone();
        let posted = cx.world().domain.messages.post(&self.actor, send);
        cx.later(async move {
            let sent = match posted {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            sent_or_not(&sent, chat, user, frames, client_id.as_deref())
        });
    }

    async fn serve_other(
        &mut self,
        cx: &mut Connection<World>,
        chat: ChatId,
        frames: Frames,
        incoming: Incoming,
    ) -> Result<(), Close> {
        let world = cx.world().clone();
        match incoming {
            Incoming::ReadMessages { up_to } => {
                match world.domain.reading.mark(&self.actor, chat, up_to).await {
                    // Told to everybody here by the event, soon.
                    Ok(mark) if mark.moved => Ok(()),
                    Ok(mark) => cx.send(frames.messages_read(&self.actor, &mark)),
                    Err(error) => self.fail(cx, chat, frames, &error, None),
                }
            }
            Incoming::EditMessage { message, text } => {
                let edit = EditMessage {
                    chat,
                    message,
                    text,
                };
                match world.domain.messages.edit(&self.actor, edit).await {
                    Ok(_) => Ok(()),
                    Err(error) => self.fail(cx, chat, frames, &error, None),
                }
            }
            Incoming::DeleteMessage { message } => {
                let messages = &world.domain.messages;
                match messages.delete(&self.actor, chat, message).await {
                    Ok(_) => Ok(()),
                    Err(error) => self.fail(cx, chat, frames, &error, None),
                }
            }
            Incoming::Page(page) => match cx.takes_history() {
                Ok(()) => self.page(cx, chat, frames, page).await,
                Err(retry_after) => cx.send_error(frames.too_many_requests_for(retry_after)),
            },
            Incoming::Keyset {
                direction,
                page_size,
            } => match cx.takes_history() {
                Ok(()) => self.keyset(cx, chat, frames, direction, page_size).await,
                Err(retry_after) => cx.send_error(frames.too_many_requests_for(retry_after)),
            },
            Incoming::Authenticate { token } => self.authenticate(cx, chat, frames, token).await,
            Incoming::Ping => cx.send(frames.pong()),
            // Sent above.
            Incoming::Message { .. } => Ok(()),
            // These are the seat's.
            Incoming::Typing { .. } | Incoming::Sync { .. } => Ok(()),
        }
    }

    /// Answers with what went wrong.
    pub(in crate::ws::dialect) fn fail(
        &self,
        cx: &mut Connection<World>,
        chat: ChatId,
        frames: Frames,
        failed: &ChatError,
        client_id: Option<&str>,
    ) -> Result<(), Close> {
        cx.reply(reason(failed, chat, self.actor.id(), frames, client_id))
    }

    async fn page(
        &self,
        cx: &mut Connection<World>,
        chat: ChatId,
        frames: Frames,
        asked: PageNumber,
    ) -> Result<(), Close> {
        let world = cx.world().clone();
        match world.domain.history.page(&self.actor, chat, asked).await {
            Ok(page) => {
                let links = self.links(chat, asked.page_size);
                let next = page.has_next.then(|| links.page(asked.page + 1));
                let previous = (asked.page > 1).then(|| links.page(asked.page - 1));
                cx.send(frames.messages(Some(page.count), next, previous, &page.results))
            }
            Err(error) => self.fail(cx, chat, frames, &error, None),
        }
    }

    async fn keyset(
        &self,
        cx: &mut Connection<World>,
        chat: ChatId,
        frames: Frames,
        direction: Direction,
        page_size: u64,
    ) -> Result<(), Close> {
        let world = cx.world().clone();
        let history = &world.domain.history;
        match history
            .keyset(&self.actor, chat, direction, page_size)
            .await
        {
            Ok(page) => {
                let links = self.links(chat, page_size);
                let oldest = page.results.last().filter(|_| page.has_older);
                let newest = page.results.first().filter(|_| page.has_newer);
                let next = oldest.map(|message| links.before(message.id.0));
                let previous = newest.map(|message| links.after(message.id.0));
                cx.send(frames.messages(None, next, previous, &page.results))
            }
            Err(error) => self.fail(cx, chat, frames, &error, None),
        }
    }

    /// REST's addresses of the same pages.
    fn links(&self, chat: ChatId, page_size: u64) -> Links {
        let path = format!("/api/chats/{chat}/messages/");
        let query = if page_size == PAGE_SIZE {
            String::new()
        } else {
            format!("page_size={page_size}")
        };
        Links::new(self.scheme, &self.host, &path, &query)
    }

    async fn authenticate(
        &mut self,
        cx: &mut Connection<World>,
        chat: ChatId,
        frames: Frames,
        token: String,
    ) -> Result<(), Close> {
        let world = cx.world().clone();
        let problem = match world.domain.sessions.authenticate(&token).await {
            Ok(actor) if actor.id() != self.actor.id() => "This token is another user's".to_owned(),
            Ok(_) => match cx.sign_in_by(&Credential::Token(token)).await {
                Ok(actor) => {
                    self.actor = actor;
                    return cx.send(frames.authenticated(self.actor.token_expires_at));
                }
                Err(SignInRefused::Closed(close)) => return Err(close),
                Err(_) => "Token is invalid".to_owned(),
            },
            Err(AuthError::Unavailable) => {
                return self.fail(cx, chat, frames, &ChatError::Unavailable, None);
            }
            Err(error) => error.to_string(),
        };
        cx.send_error(frames.error(&problem, "invalid", None, None))
    }
}

/// What the sender of a message is told.
fn sent_or_not(
    sent: &Result<Sent, ChatError>,
    chat: ChatId,
    user: UserId,
    frames: Frames,
    client_id: Option<&str>,
) -> Reply {
    match sent {
        // They learn of it as everyone does: by the event.
        Ok(sent) if !sent.repeat => Reply::Silence,
        // A repeat costs no send, so it counts as any other frame does.
        Ok(sent) => Reply::Paced {
            answer: frames.repeat(&sent.message),
            refusal: frames.too_many_requests(client_id),
        },
        Err(error) => reason(error, chat, user, frames, client_id),
    }
}

/// What went wrong. The client is to blame for all but what is away or broken.
fn reason(
    failed: &ChatError,
    chat: ChatId,
    user: UserId,
    frames: Frames,
    client_id: Option<&str>,
) -> Reply {
    let frame = frames.failed(failed, client_id);
    match failed {
        ChatError::Unavailable => Reply::Answer(frame),
        ChatError::Store(cause) => {
            error!(%chat, %user, "chat {chat}: {cause}");
            Reply::Answer(frame)
        }
        _ => Reply::Error(frame),
    }
}
