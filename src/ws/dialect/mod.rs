//! The dialects: each turns frames into operations and events into frames, and decides nothing else.
//!
//! Here: their table, and what all of them work on. Not here: connections (`ws`), rules (`chat`), order (`hub`).

mod chat;
mod chats;
mod lobby;
mod room;
mod rpc;
mod support;

use std::{sync::Arc, time::Duration};

use entity::{SessionId, Time};
use poem::{Endpoint, Request, Response, Result, Route};

use super::{
    Consumer, Credential, SocketEndpoint, Sockets, signin::asks_for_socket, single::Singles,
};
use crate::{
    chat::{Actor, AuthError, Domain},
    hub::{Encode, Ends, Hubs, Voice},
};

/// What the dialects' consumers work on.
pub struct World {
    /// The operations.
    pub domain: Arc<Domain>,
    /// Where events come from.
    pub hubs: Arc<Hubs>,
    /// One connection per user and chat.
    pub singles: Arc<Singles>,
    /// How long an rpc connection may wait for its first good token.
    pub rpc_deadline: Duration,
    /// What holds for support's connections.
    pub support: SupportRules,
}

/// What holds for the connections of the support dialect.
#[derive(Clone, Copy, Debug)]
pub struct SupportRules {
    /// How long one may wait for its first frame.
    pub deadline: Duration,
    /// Messages that a customer is shown at first.
    pub history: u64,
}

impl super::World for World {
    async fn authenticate(&self, credential: &Credential) -> std::result::Result<Actor, AuthError> {
        match credential {
            Credential::Token(token) => self.domain.sessions.authenticate(token).await,
            Credential::Ticket(ticket) => self.domain.sessions.redeem(ticket).await,
            Credential::Opaque(kind, token) => {
                self.domain.sessions.authenticate_opaque(*kind, token).await
            }
            Credential::Cookie(cookie) => self.domain.sessions.authenticate_cookie(cookie).await,
        }
    }

    async fn renew(&self, actor: &Actor) -> std::result::Result<Actor, AuthError> {
        self.domain.sessions.renew(actor).await
    }

    async fn lives_until(&self, session: &SessionId) -> std::result::Result<Time, AuthError> {
        self.domain.sessions.lives_until(session).await
    }
}

/// A dialect's line in the table.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// What it is called, also in the documents.
    pub name: &'static str,
    /// The frames that its clients send, as the documents list them.
    pub frames: &'static [&'static str],
    /// The frames that the server sends.
    pub events: &'static [&'static str],
    encode: Encode,
    ends: Ends,
}

/// All dialects. Their places are their numbers, by which the hub keeps encodings.
pub const DIALECTS: &[Dialect] = &[
    Dialect {
        name: chat::Chat::NAME,
        frames: chat::FRAMES,
        events: chat::EVENTS,
        encode: chat::encode,
        ends: Ends::Connection,
    },
    Dialect {
        name: chats::Chats::NAME,
        frames: chat::FRAMES,
        events: chats::EVENTS,
        encode: chats::encode,
        ends: Ends::Seat(chats::removed),
    },
    Dialect {
        name: room::Room::NAME,
        frames: room::FRAMES,
        events: room::EVENTS,
        encode: room::encode,
        ends: Ends::Connection,
    },
    Dialect {
        name: lobby::Lobby::NAME,
        frames: lobby::FRAMES,
        events: lobby::EVENTS,
        encode: lobby::encode,
        ends: Ends::Seat(lobby::sent_away),
    },
    Dialect {
        name: rpc::Rpc::NAME,
        frames: rpc::FRAMES,
        events: rpc::EVENTS,
        encode: rpc::encode,
        ends: Ends::Seat(rpc::end),
    },
    Dialect {
        name: support::Support::NAME,
        frames: support::METHODS,
        events: support::EVENTS,
        encode: support::encode,
        ends: Ends::Seat(support::end),
    },
];

/// A dialect as the hub knows it.
fn voice(name: &str) -> Option<Voice> {
    let number = DIALECTS.iter().position(|dialect| dialect.name == name)?;
    let Dialect { encode, ends, .. } = DIALECTS[number];
    Some(Voice {
        number,
        encode,
        ends,
    })
}

/// The dialect that is served where no path names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootDialect {
    /// All of the user's chats on one socket.
    Chats,
    /// Any number of rooms on one socket.
    Lobby,
    /// The whole account, by requests and answers.
    Rpc,
    /// Customers, and operators who answer them.
    Support,
}

/// Where the root dialect is served, to requests that ask for a socket.
const ROOTS: [&str; 3] = ["/", "/ws", "/ws/"];

/// Where each dialect is served, with the slash at the end and without.
pub fn routes(sockets: &Arc<Sockets<World>>, root: Option<RootDialect>) -> Route {
    let chat = || ByNumberOrName {
        by_number: sockets.endpoint::<chat::Chat>(),
        by_name: sockets.endpoint::<room::Room>(),
    };
    let chats = || sockets.endpoint::<chats::Chats>();
    let room = || sockets.endpoint::<room::Room>();
    let lobby = || sockets.endpoint::<lobby::Lobby>();
    let rpc = || sockets.endpoint::<rpc::Rpc>();
    let support = || sockets.endpoint::<support::Support>();
    // Those first that begin alike: the router forgets a pattern whose path is parted for another one.
    let routes = Route::new()
        .at("/ws/chats/", chats())
        .at("/ws/chats", chats())
        .at("/ws/rpc/", rpc())
        .at("/ws/rpc", rpc())
        .at("/ws/chat/:chat_id/", chat())
        .at("/ws/chat/:chat_id", chat())
        .at("/ws/room/:room_name/", room())
        .at("/ws/room/:room_name", room())
        .at("/ws/lobby/", lobby())
        .at("/ws/lobby", lobby())
        .at("/ws/support/", support())
        .at("/ws/support", support());
    ROOTS.into_iter().fold(routes, |routes, path| match root {
        Some(RootDialect::Chats) => routes.at(path, chats()),
        Some(RootDialect::Lobby) => routes.at(path, lobby()),
        Some(RootDialect::Rpc) => routes.at(path, rpc()),
        Some(RootDialect::Support) => routes.at(path, support()),
        None => routes,
    })
}

/// Chats by their numbers, and rooms by their names: a segment of all digits is a number.
struct ByNumberOrName {
    by_number: SocketEndpoint<chat::Chat>,
    by_name: SocketEndpoint<room::Room>,
}

impl Endpoint for ByNumberOrName {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let mut segments = request.uri().path().split('/');
        let name = segments.rfind(|segment| !segment.is_empty());
        match name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            true => self.by_number.call(request).await,
            false => self.by_name.call(request).await,
        }
    }
}

/// Whether a request is for some dialect.
pub fn serves(request: &Request, root: Option<RootDialect>) -> bool {
    let path = request.uri().path();
    if root.is_some() && ROOTS.contains(&path) {
        return asks_for_socket(request);
    }
    let Some(path) = path.strip_prefix("/ws/") else {
        return false;
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    match path.split_once('/') {
        Some(("chat" | "room", name)) => !name.is_empty() && !name.contains('/'),
        Some(_) => false,
        None => matches!(path, "chats" | "lobby" | "rpc" | "support"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::Connection;

    /// A frame's future is made for each frame, on the heap. All that it may have to wait for was once a part of it: 23 KiB
    /// were filled for every message.
    const BYTES_MAX: usize = 2 << 10;

    fn bytes_of<'a, C, F>(
        _receive: impl FnOnce(&'a mut C, &'a mut Connection<World>, &'a str) -> F,
    ) -> (&'static str, usize)
    where
        C: Consumer<World = World>,
        F: Future + 'a,
    {
        (C::NAME, size_of::<F>())
    }

    #[test]
    fn serving_a_frame_takes_little_memory() {
        let all = [
            bytes_of(chat::Chat::receive),
            bytes_of(chats::Chats::receive),
            bytes_of(room::Room::receive),
            bytes_of(lobby::Lobby::receive),
            bytes_of(rpc::Rpc::receive),
            bytes_of(support::Support::receive),
        ];
        let large = all.iter().filter(|(_, bytes)| *bytes > BYTES_MAX);
        assert_eq!(large.collect::<Vec<_>>(), Vec::<&(&str, usize)>::new());
    }
}
