//! The rpc dialect (`/ws/rpc/`): one request, one answer, in order, over the whole account. Requests are JSON or Python
//! literals, and each is answered in its own encoding.
//!
//! Here: its frames and what they mean. Not here: rules (`chat`), who hears what (`hub`).
//! Bounded by: the machinery's frame size until somebody has signed in, then [`FRAME_BYTES_MAX`].

mod accounts;
mod answer;
mod chats;
mod literal;
mod method;
mod value;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use tracing::warn;

use self::{
    answer::{Data, Failure},
    method::{Encoding, Method, Request, Signed},
};
use crate::{
    chat::{Actor, ChatEvent, ChatHead, OpaqueKind, What},
    hub::{Audience, Close, Follow, Following, SharedFrame},
    ws::{
        Connection, Consumer, Credential, Handshake, SignInRefused, close,
        dialect::{World, voice},
    },
};

pub(super) use self::{answer::EVENTS, method::FRAMES};

/// The size of a frame from whoever has signed in: photos come in them.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// For so long a token isn't looked up again; what ends its session is known all the same.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// When one more frame may come to whoever sends too many: the pace is a second's.
const FRAMES_AGAIN: Duration = Duration::from_secs(1);

/// One connection, of whoever shows a token.
pub(super) struct Rpc {
    address: Option<IpAddr>,
    client: String,
    /// The opaque token that was shown last.
    known: Option<Known>,
    /// Whoever has subscribed hears all their chats.
    following: Option<Following>,
}

/// A good token and whose it is.
struct Shown {
    token: String,
    actor: Actor,
}

struct Known {
    token: String,
    actor: Actor,
    since: Instant,
}

/// What a request came to: an answer either way, or the connection's end.
type Served<T> = Result<Result<T, Failure>, Close>;

/// The push that tells a new message. Of nothing else do these clients know.
pub(super) fn encode(_: &ChatHead, event: &ChatEvent, audience: Audience) -> Option<SharedFrame> {
    let encoding = match audience.in_literals {
        true => Encoding::Literal,
        false => Encoding::Json,
    };
    match &event.what {
        What::Sent(message) => Some(answer::push(encoding, message)),
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
        | What::Read { .. }
        | What::Entered(_)
        | What::Left { .. }
        | What::Presence(_)
        | What::Opened { .. }
        | What::Passed(_)
        | What::Hidden => None,
    }
}

/// Nothing tells that a chat isn't the client's any more: it hears no more of it.
pub(super) fn end(_: &ChatHead) -> Option<SharedFrame> {
    None
}

impl Consumer for Rpc {
    type World = World;
    const NAME: &'static str = "rpc";

    async fn connect(cx: &mut Connection<World>, handshake: &Handshake) -> Result<Self, Close> {
        cx.must_sign_in_within(cx.world().rpc_deadline);
        Ok(Rpc {
            address: handshake.approach.client,
            client: handshake.user_agent.clone(),
            known: None,
            following: None,
        })
    }

    /// Each request shows a token, and is served for whoever that is then.
    fn actor(&mut self) -> Option<&mut Actor> {
        None
    }

    async fn receive(&mut self, cx: &mut Connection<World>, frame: &str) -> Result<(), Close> {
        let Some(request) = Request::read(frame) else {
            // All of its values are strings: it reads the same in both encodings.
            let unsupported = Err(Failure::unsupported());
            return cx.send_error(answer::answer(Encoding::Json, None, &unsupported));
        };
        let outcome = match request.mode() {
            Some(mode) => self.serve(cx, &request, mode).await?,
            None => Err(Failure::missing(&["mode"])),
        };
        if matches!(outcome, Ok(Data::Told)) {
            return Ok(());
        }
        let answer = answer::answer(request.encoding, request.mode(), &outcome);
        match outcome {
            Err(failure) if !failure.is_ours() => cx.send_error(answer),
            _ => cx.send(answer),
        }
    }

    async fn disconnect(self, _: &mut Connection<World>, _: &Close) {}
}

impl Rpc {
    async fn serve(
        &mut self,
        cx: &mut Connection<World>,
        request: &Request,
        mode: &str,
    ) -> Served<Data> {
        let method = match request.method(mode) {
            Ok(method) => method,
            Err(failure) => return Ok(Err(failure)),
        };
        // Sends have a limit of their own.
        let wants_to_send = matches!(
            method,
            Method::Signed {
                wants: Signed::SendMessage { .. },
                ..
            }
        );
        if !wants_to_send && !cx.takes_frame() {
            return Ok(Err(Failure::too_fast(FRAMES_AGAIN)));
        }
        match method {
            Method::CheckConnection => Ok(Ok(Data::Nothing {})),
            Method::Auth { username, password } => {
                Box::pin(self.auth(cx, username, password)).await
            }
            Method::Register {
                username,
                password,
                email,
            } => Box::pin(self.register(cx, username, password, email)).await,
            Method::Recovery { username, known } => {
                self.recover(cx, username, known);
                Ok(Ok(Data::Nothing {}))
            }
            Method::RecoveryConfirm {
                username,
                code,
                password,
            } => Ok(Box::pin(self.confirm(cx, &username, &code, password)).await),
            Method::Signed { token, wants } => match self.admit(cx, &token).await? {
                Ok(actor) => {
                    let shown = Shown { token, actor };
                    Box::pin(self.serve_signed(cx, request, &shown, wants)).await
                }
                Err(failure) => Ok(Err(failure)),
            },
        }
    }

    async fn serve_signed(
        &mut self,
        cx: &mut Connection<World>,
        request: &Request,
        shown: &Shown,
        wants: Signed,
    ) -> Served<Data> {
        let actor = &shown.actor;
        let world = cx.world().clone();
        let domain = &world.domain;
        Ok(match wants {
            Signed::CheckToken => Ok(Data::Nothing {}),
            Signed::ChangeUsername { username } => {
                accounts::change_username(domain, actor, username).await
            }
            Signed::ChangeEmail { email, password } => {
                let confirmed = domain
                    .sessions
                    .confirm(actor, &password, self.address)
                    .await;
                match confirmed {
                    Ok(()) => accounts::change_email(domain, actor, email).await,
                    Err(error) => Err(error.into()),
                }
            }
            Signed::SetPhoto { content } => done(domain.users.set_avatar(actor, content).await),
            Signed::Subscribe => return self.subscribe(cx, request, shown).await,
            Signed::Logout => self.logout(cx, actor).await,
            Signed::CreatePersonalChat { with } => chats::open(domain, actor, with).await,
            Signed::GetChats => chats::list(domain, actor).await,
            Signed::GetMessages { chat, from } => {
                // Whoever knows where they stand polls, since older clients hear of nothing: an ordinary frame.
                let taken = from.map_or_else(|| cx.takes_history(), |_| Ok(()));
                match taken {
                    Ok(()) => chats::messages(domain, actor, chat, from).await,
                    Err(retry_after) => Err(Failure::too_fast(retry_after)),
                }
            }
            Signed::SendMessage {
                chat,
                content,
                content_type,
                client_id,
            } => {
                let send = crate::chat::SendMessage {
                    chat,
                    text: content,
                    client_id,
                    reply_to: None,
                    content_type,
                };
                match domain.messages.send(actor, send).await {
                    // A repeat costs no send, so it counts as any other frame does.
                    Ok(sent) if sent.repeat && !cx.takes_frame() => {
                        Err(Failure::too_fast(FRAMES_AGAIN))
                    }
                    Ok(sent) => Ok(chats::sent(&sent)),
                    Err(error) => Err(error.into()),
                }
            }
            Signed::DeleteChat { chat } => chats::delete(domain, actor, chat).await,
            Signed::CreateGroup { name, members } => {
                chats::create_group(domain, actor, name, members).await
            }
            Signed::EditGroup {
                chat,
                name,
                add,
                remove,
            } => chats::edit_group(domain, actor, chat, name, add, remove).await,
            Signed::DeleteGroup { chat } => chats::delete_group(domain, actor, chat).await,
            Signed::EditMessage {
                chat,
                message,
                content,
            } => chats::edit(domain, actor, chat, message, content).await,
            Signed::DeleteMessage { chat, message } => {
                let deleted = domain.messages.delete(actor, chat, message).await;
                done(deleted)
            }
            Signed::ReadMessages { chat, up_to } => {
                let marked = domain.reading.mark(actor, chat, up_to).await;
                done(marked)
            }
        })
    }

    /// From now on new messages of all chats are pushed, in the encoding of this request. Its answer comes before them.
    async fn subscribe(
        &mut self,
        cx: &mut Connection<World>,
        request: &Request,
        Shown { token, actor }: &Shown,
    ) -> Served<Data> {
        // What is pushed must end with the session that asked for it.
        if cx.session() != actor.session || cx.user() != Some(actor.id()) {
            let credential = Credential::shown(OpaqueKind::Rpc, token);
            if let Err(failure) = self.sign_in(cx, &credential).await? {
                return Ok(Err(failure));
            }
        }
        self.following = None;
        let follow = Follow {
            actor: actor.clone(),
            voice: voice(Self::NAME).ok_or(close::FAULT)?,
            in_literals: request.encoding == Encoding::Literal,
            chats: crate::chat::FollowedChats::Own,
            queue: cx.queue().clone(),
            announce: None,
        };
        let world = cx.world().clone();
        let beginning = match world.hubs.follow(follow).await {
            Ok(beginning) => beginning,
            Err(error) => return Ok(Err(error.into())),
        };
        let subscribed = Ok(Data::Nothing {});
        let answer = answer::answer(request.encoding, request.mode(), &subscribed);
        match beginning.begin(Some(answer)).await {
            Ok(following) => self.following = Some(following),
            // Told already that it works: whoever comes back finds it so.
            Err(error) => {
                warn!(user = %actor.id(), "user {}: not all chats could be followed: {error}", actor.id());
                return Err(close::UNAVAILABLE);
            }
        }
        Ok(Ok(Data::Told))
    }

    /// Who shows this token. The first who does is signed in here: the connection lives as long as their session.
    async fn admit(&mut self, cx: &mut Connection<World>, token: &str) -> Served<Actor> {
        let credential = Credential::shown(OpaqueKind::Rpc, token);
        let world = cx.world().clone();
        if cx.user().is_none() {
            return Box::pin(self.sign_in(cx, &credential)).await;
        }
        let sessions = &world.domain.sessions;
        let known = self
            .known
            .as_ref()
            .filter(|known| known.token == token && known.since.elapsed() < KNOWN_FOR);
        let actor = match (known, &credential) {
            (Some(known), _) => sessions.renew(&known.actor).await,
            (None, credential) => {
                let actor = Box::pin(crate::ws::World::authenticate(&*world, credential)).await;
                actor.map(|actor| {
                    self.remember(
                        credential,
                        Actor {
                            connection: Some(cx.id()),
                            ..actor
                        },
                    )
                })
            }
        };
        Ok(actor.map_err(Failure::from))
    }

    async fn sign_in(
        &mut self,
        cx: &mut Connection<World>,
        credential: &Credential,
    ) -> Served<Actor> {
        match cx.sign_in_by(credential).await {
            Ok(actor) => {
                cx.takes_frames_of(FRAME_BYTES_MAX);
                Ok(Ok(self.remember(credential, actor)))
            }
            Err(SignInRefused::Closed(close)) => Err(close),
            Err(SignInRefused::Bad(error)) => Ok(Err(error.into())),
            Err(SignInRefused::Missing) => Ok(Err(Failure::signed_out())),
            Err(SignInRefused::Unavailable) => Ok(Err(crate::chat::ChatError::Unavailable.into())),
        }
    }

    /// Only opaque tokens are looked up; others tell all themselves, their end too.
    fn remember(&mut self, credential: &Credential, actor: Actor) -> Actor {
        if let Credential::Opaque(_, token) = credential {
            self.known = Some(Known {
                token: token.clone(),
                actor: actor.clone(),
                since: Instant::now(),
            });
        }
        actor
    }
}

/// The answer of a method that tells nothing but that it was done.
fn done<T>(outcome: Result<T, crate::chat::ChatError>) -> Result<Data, Failure> {
    outcome.map(|_| Data::Nothing {}).map_err(Failure::from)
}
