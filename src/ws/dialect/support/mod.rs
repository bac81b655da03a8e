//! The support dialect (`/ws/support/`): a customer's one chat with the operators; of staff, all open ones.
//!
//! Here: its frames, and to whom an operator's answer without an addressee goes: that hangs on what this connection was
//! shown. Not here: who may answer whom (`chat`), which chats are heard and who waits in them (`hub`).

mod frames;
mod incoming;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use entity::{ChatId, ContentType, MessageId, Seq, UserId};
use serde_json::Value;
use tracing::error;

use self::{
    frames::{Customer, Failure, MessageView, Shown, answer, failed, push},
    incoming::{Method, Request},
};
use super::{World, voice};
use crate::{
    chat::{
        Actor, ChatError, ChatEvent, ChatHead, FollowedChats, Message, OpaqueKind, Profile,
        SendMessage, Stretch, SupportListed, What,
    },
    hub::{Audience, Beginning, Close, Follow, Following, SharedFrame},
    ws::{Connection, Consumer, Credential, Handshake, SignInRefused, close},
};

pub(super) use self::{frames::EVENTS, incoming::METHODS};

/// Messages of all open chats that an operator is shown at first.
const OPERATOR_HISTORY: u64 = 100;
/// Chats that a list shows.
const CHATS_MAX: u64 = 500;

/// One connection of a customer or an operator.
pub(super) struct Support {
    /// Whom the handshake's own token showed.
    handshaken: Option<Actor>,
    signed_in: Option<SignedIn>,
}

/// What there is once somebody has signed in.
struct SignedIn {
    actor: Actor,
    following: Following,
    /// Whom this connection answered last.
    answered: Option<ChatId>,
}

/// The push that tells an event. What is answered isn't pushed to its asker too.
pub(super) fn encode(
    head: &ChatHead,
    event: &ChatEvent,
    audience: Audience,
) -> Option<SharedFrame> {
    let customer = Customer {
        id: head.customer?,
        name: head.customer_name.as_deref().unwrap_or_default(),
    };
    let shown = match &event.what {
        What::Sent(message) => Shown::Message {
            message: MessageView::of(message, customer),
        },
        What::Typing { is_typing, .. } => Shown::typing(*is_typing, customer.id),
        What::Read {
            last_read_message, ..
        } => Shown::read(*last_read_message, customer.id),
        What::Edited(_)
        | What::Deleted(_)
        | What::ReactionAdded { .. }
        | What::ReactionRemoved { .. }
        | What::MemberJoined { .. }
        | What::MemberLeft { .. }
        | What::MemberChanged { .. }
        | What::ChatUpdated(_)
        | What::ChatDeleted(_)
        | What::Entered(_)
        | What::Left { .. }
        | What::Presence(_)
        | What::Opened { .. }
        | What::Passed(_)
        | What::Hidden => return None,
    };
    let frame = (!audience.is_origin).then(|| push(shown))?;
    Some(match event.is_ephemeral() {
        true => frame.ephemeral(),
        false => frame,
    })
}

/// Nothing tells that a chat isn't the client's any more: it hears no more of it.
pub(super) fn end(_: &ChatHead) -> Option<SharedFrame> {
    None
}

impl Consumer for Support {
    type World = World;
    const NAME: &'static str = "support";

    async fn connect(cx: &mut Connection<World>, handshake: &Handshake) -> Result<Self, Close> {
        let handshaken = match cx.sign_in(handshake).await {
            Ok(actor) => Some(actor),
            Err(SignInRefused::Closed(close)) => return Err(close),
            // The first frame may have a better one.
            Err(SignInRefused::Missing | SignInRefused::Bad(_) | SignInRefused::Unavailable) => {
                None
            }
        };
        cx.must_sign_in_within(cx.world().support.deadline);
        Ok(Support {
            handshaken,
            signed_in: None,
        })
    }

    fn actor(&mut self) -> Option<&mut Actor> {
        match &mut self.signed_in {
            Some(signed_in) => Some(&mut signed_in.actor),
            None => self.handshaken.as_mut(),
        }
    }

    async fn receive(&mut self, cx: &mut Connection<World>, frame: &str) -> Result<(), Close> {
        let Request { id, method } = Request::parse(frame);
        let method = match (method, &self.signed_in) {
            (Ok(Method::Auth { token }), _) => {
                return Box::pin(self.auth(cx, &id, token)).await;
            }
            (_, None) => return Err(close::NOT_SIGNED_IN),
            (Err(failure), _) => return cx.send_error(failed(&id, failure)),
            (Ok(method), _) => method,
        };
        let Some(signed_in) = &mut self.signed_in else {
            return Err(close::NOT_SIGNED_IN);
        };
        // What a customer sends has a limit of its own.
        if !matches!(method, Method::Send { .. }) && !cx.takes_frame() {
            return cx.send_error(failed(&id, Failure::TooMany));
        }
        match Box::pin(signed_in.serve(cx, &id, method)).await {
            Ok(frame) => cx.send(frame),
            Err(error) => fail(cx, &id, &error),
        }
    }

    async fn disconnect(self, _: &mut Connection<World>, _: &Close) {}
}

/// Answers with what went wrong. The client is to blame for all but what is away or broken.
fn fail(cx: &mut Connection<World>, id: &Value, error: &ChatError) -> Result<(), Close> {
    let frame = failed(id, error.into());
    match error {
        ChatError::Unavailable => cx.send(frame),
        ChatError::Store(cause) => {
            error!(connection = cx.id().0, "connection {}: {cause}", cx.id().0);
            cx.send(frame)
        }
        _ => cx.send_error(frame),
    }
}

impl Support {
    /// Signs in and begins to hear; once more by the same user, shows again what was said.
    async fn auth(
        &mut self,
        cx: &mut Connection<World>,
        id: &Value,
        token: Option<String>,
    ) -> Result<(), Close> {
        let actor = match token {
            Some(token) => {
                let credential = Credential::shown(OpaqueKind::Support, &token);
                if let Some(signed_in) = &self.signed_in {
                    let world = cx.world().clone();
                    let shown = crate::ws::World::authenticate(&*world, &credential).await;
                    if shown.is_ok_and(|shown| shown.id() != signed_in.actor.id()) {
                        return cx.send_error(failed(id, Failure::NotAllowed));
                    }
                }
                cx.sign_in_by(&credential).await?
            }
            None => match (&self.signed_in, &self.handshaken) {
                (Some(signed_in), _) => signed_in.actor.clone(),
                (None, Some(handshaken)) => {
                    cx.stays_signed_in(handshaken);
                    handshaken.clone()
                }
                (None, None) => return Err(close::NOT_SIGNED_IN),
            },
        };
        if let Some(signed_in) = &mut self.signed_in {
            signed_in.actor = actor;
            let again = Method::History {
                of: None,
                before: None,
            };
            return match signed_in.serve(cx, id, again).await {
                Ok(frame) => cx.send(frame),
                Err(error) => fail(cx, id, &error),
            };
        }
        let world = cx.world().clone();
        let follow = Follow {
            actor: actor.clone(),
            voice: voice(Self::NAME).ok_or(close::FAULT)?,
            in_literals: false,
            chats: FollowedChats::Support,
            queue: cx.queue().clone(),
            announce: None,
        };
        let beginning = world.hubs.follow(follow).await.map_err(refused)?;
        let history = History::of(&world, &actor, &beginning)
            .await
            .map_err(refused)?;
        let greeting = answer(id, history.shown());
        // Before it hears more: an answer that came meanwhile is told by then.
        for (chat, at) in history.waiting() {
            beginning.waiting().shows(chat, at, true);
        }
        let following = beginning.begin(Some(greeting)).await.map_err(refused)?;
        self.signed_in = Some(SignedIn {
            actor,
            following,
            answered: None,
        });
        Ok(())
    }
}

/// Why nobody is let in.
fn refused(error: ChatError) -> Close {
    match error {
        ChatError::Store(cause) if !cause.is_away() => {
            error!("support chats: {cause}");
            close::FAULT
        }
        _ => close::UNAVAILABLE,
    }
}

/// What was said before a connection began to hear.
struct History {
    messages: Vec<Arc<Message>>,
    chats: HashMap<ChatId, Shelf>,
}

/// A chat, as far as its history goes.
struct Shelf {
    head: Arc<ChatHead>,
    is_operated: bool,
    last_seq: Seq,
    waiting_seq: Option<Seq>,
}

impl History {
    async fn of(world: &World, actor: &Actor, beginning: &Beginning) -> Result<History, ChatError> {
        let shelf = |followed: &crate::chat::Followed| {
            let entered = &followed.entered;
            let shelf = Shelf {
                head: entered.head.clone(),
                is_operated: entered.head.customer != Some(actor.id()),
                last_seq: entered.last_seq,
                waiting_seq: followed.waiting_seq,
            };
            (entered.head.id, shelf)
        };
        let chats: HashMap<ChatId, Shelf> = beginning.chats().map(shelf).collect();
        let domain = &world.domain;
        let messages = if actor.is_staff {
            let all: Vec<ChatId> = chats.keys().copied().collect();
            domain.support.newest(&all, None, OPERATOR_HISTORY).await?
        } else {
            match chats.keys().next() {
                Some(own) => page(world, actor, *own, None).await?,
                None => Vec::new(),
            }
        };
        // What came after that is pushed.
        let is_past = |message: &Arc<Message>| {
            let shelf = chats.get(&message.chat);
            shelf.is_some_and(|shelf| message.seq <= shelf.last_seq)
        };
        Ok(History {
            messages: messages.into_iter().filter(is_past).collect(),
            chats,
        })
    }

    fn shown(&self) -> Shown<'_> {
        Shown::messages(self.messages.iter().filter_map(|message| {
            let head = &self.chats.get(&message.chat)?.head;
            let customer = Customer {
                id: head.customer?,
                name: head.customer_name.as_deref().unwrap_or_default(),
            };
            Some((message.as_ref(), customer))
        }))
    }

    /// The chats of which an unanswered message is shown, and the numbers at which they stand.
    fn waiting(&self) -> impl Iterator<Item = (ChatId, Seq)> {
        self.messages.iter().filter_map(|message| {
            let shelf = self.chats.get(&message.chat)?;
            let is_unanswered = message.seq >= shelf.waiting_seq?;
            (shelf.is_operated && is_unanswered).then_some((message.chat, shelf.last_seq))
        })
    }
}

/// A page of one chat, oldest first; deleted messages are left out, and don't count.
async fn page(
    world: &World,
    actor: &Actor,
    chat: ChatId,
    before: Option<MessageId>,
) -> Result<Vec<Arc<Message>>, ChatError> {
    let (history, size) = (&world.domain.history, world.support.history);
    let which = Stretch::Before(before);
    history.stretch(actor, chat, which, size).await
}

impl SignedIn {
    async fn serve(
        &mut self,
        cx: &mut Connection<World>,
        id: &Value,
        method: Method,
    ) -> Result<SharedFrame, ChatError> {
        let world = cx.world().clone();
        match method {
            Method::Auth { .. } => Err(ChatError::Forbidden("signed in already")),
            Method::Send { text } => {
                let support = &world.domain.support;
                let chat = support.open_chat(&self.actor, &text).await?;
                // Before it is said: what is answered isn't pushed as well.
                self.following.enter(chat).await?;
                let customer = self.actor.user.clone();
                self.send(&world, id, chat, &customer, text).await
            }
            Method::OperatorSend { text, to } => {
                let (chat, customer) = self.recipient(&world, to).await?;
                let sent = self.send(&world, id, chat, &customer, text).await?;
                self.answered = Some(chat);
                Ok(sent)
            }
            Method::History { of, before } => {
                cx.takes_history()
                    .map_err(|retry_after| ChatError::TooManyRequests { retry_after })?;
                self.history(&world, id, of, before).await
            }
            Method::Chats => {
                let (chats, _) = world.domain.support.list(&self.actor, 1, CHATS_MAX).await?;
                let last = chats
                    .iter()
                    .filter_map(|listed| listed.chat.last_message.as_deref());
                self.shows(&world, last.filter(|message| !message.is_deleted))
                    .await?;
                Ok(answer(id, Shown::chats(&chats)))
            }
            Method::Read { of } => {
                self.following.hears_passing();
                let (chat, customer) = self.chat_of(&world, of).await?;
                let Some(chat) = chat else {
                    return Ok(answer(id, Shown::read(None, customer.id)));
                };
                let mark = world.domain.reading.mark(&self.actor, chat, None).await?;
                Ok(answer(id, Shown::read(mark.last_read_message, customer.id)))
            }
            Method::Typing { is_typing, of } => {
                self.following.hears_passing();
                let (chat, customer) = self.chat_of(&world, of).await?;
                let place = chat.and_then(|chat| self.following.place(chat));
                if let Some(seated) = place.filter(|seated| seated.is_live()) {
                    seated.types(&self.actor, is_typing);
                }
                Ok(answer(id, Shown::typing(is_typing, customer.id)))
            }
        }
    }

    async fn send(
        &self,
        world: &World,
        id: &Value,
        chat: ChatId,
        customer: &Arc<Profile>,
        text: String,
    ) -> Result<SharedFrame, ChatError> {
        let send = SendMessage {
            chat,
            text,
            client_id: None,
            reply_to: None,
            content_type: ContentType::Text,
        };
        let sent = world.domain.messages.send(&self.actor, send).await?;
        let message = MessageView::of(&sent.message, customer.into());
        Ok(answer(id, Shown::Message { message }))
    }

    /// To whom an operator speaks: to whom they name; else to the one whose unanswered message this connection was
    /// shown; where nobody waits, to whom it answered last.
    async fn recipient(
        &self,
        world: &World,
        named: Option<UserId>,
    ) -> Result<(ChatId, Arc<Profile>), ChatError> {
        let support = &world.domain.support;
        if let Some(customer) = named {
            return support.chat_with(&self.actor, customer).await;
        }
        let waiting = self.following.waiting();
        let chat = match waiting.only() {
            None if waiting.is_empty() => self.answered,
            only => only,
        };
        support.conversation(&self.actor, chat).await
    }

    /// The chat that a request is about: a customer's own, which may not be there yet; of an operator, the one of the
    /// customer that they name.
    async fn chat_of(
        &self,
        world: &World,
        named: Option<UserId>,
    ) -> Result<(Option<ChatId>, Arc<Profile>), ChatError> {
        let support = &world.domain.support;
        match named {
            Some(customer) if customer != self.actor.id() => {
                let (chat, customer) = support.chat_with(&self.actor, customer).await?;
                Ok((Some(chat), customer))
            }
            None if self.actor.is_staff => {
                let (chat, customer) = support.conversation(&self.actor, None).await?;
                Ok((Some(chat), customer))
            }
            _ => {
                let own = support.own_chat(&self.actor).await?;
                Ok((own, self.actor.user.clone()))
            }
        }
    }

    async fn history(
        &self,
        world: &World,
        id: &Value,
        of: Option<UserId>,
        before: Option<MessageId>,
    ) -> Result<SharedFrame, ChatError> {
        if self.actor.is_staff && of.is_none() {
            let (chats, _) = world.domain.support.list(&self.actor, 1, CHATS_MAX).await?;
            let ids: Vec<ChatId> = chats.iter().map(|listed| listed.chat.head.id).collect();
            let support = &world.domain.support;
            let messages = support.newest(&ids, before, OPERATOR_HISTORY).await?;
            self.shows(world, messages.iter().map(Arc::as_ref)).await?;
            let with_customer = messages.iter().filter_map(|message| {
                let is_its = |listed: &&SupportListed| listed.chat.head.id == message.chat;
                let listed = chats.iter().find(is_its)?;
                Some((message.as_ref(), Customer::from(&listed.customer)))
            });
            return Ok(answer(id, Shown::messages(with_customer)));
        }
        let (chat, customer) = self.chat_of(world, of).await?;
        let messages = match chat {
            Some(chat) => page(world, &self.actor, chat, before).await?,
            None => Vec::new(),
        };
        if customer.id != self.actor.id() {
            self.shows(world, messages.iter().map(Arc::as_ref)).await?;
        }
        let all = messages
            .iter()
            .map(|message| (message.as_ref(), Customer::from(&customer)));
        Ok(answer(id, Shown::messages(all)))
    }

    /// An operator is shown messages that they asked for: among them may be some that wait for an answer.
    async fn shows(
        &self,
        world: &World,
        messages: impl Iterator<Item = &Message> + Clone,
    ) -> Result<(), ChatError> {
        let chats: HashSet<ChatId> = messages.clone().map(|message| message.chat).collect();
        if chats.is_empty() {
            return Ok(());
        }
        let pairs: Vec<_> = chats.into_iter().map(|chat| (&self.actor, chat)).collect();
        for (_, followed) in world.domain.chats.enter_all(&pairs).await? {
            let (entered, waiting_seq) = (&followed.entered, followed.waiting_seq);
            let chat = entered.head.id;
            let is_unanswered = |message: &Message| {
                message.chat == chat && waiting_seq.is_some_and(|waiting| message.seq >= waiting)
            };
            if entered.head.customer != Some(self.actor.id()) && messages.clone().any(is_unanswered)
            {
                let waiting = self.following.waiting();
                waiting.shows(chat, entered.last_seq, true);
            }
        }
        Ok(())
    }
}
