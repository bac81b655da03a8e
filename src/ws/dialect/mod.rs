//! The dialects: each turns frames into operations and events into frames, and decides nothing else.
//!
//! Here: their table, and what all of them work on. Not here: connections (`ws`), rules (`chat`), order (`hub`).

mod chat;
mod chats;
mod rpc;

use std::{sync::Arc, time::Duration};

use poem::Route;

use super::{Consumer, Credential, Sockets, single::Singles};
use crate::{
    chat::{Actor, AuthError, Domain},
    hub::{Encode, Ends, Hubs, Voice},
};

pub use chat::{EVENTS, FRAMES};
pub use chats::EVENTS as CHATS_EVENTS;
pub use rpc::METHODS;

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
}

impl super::World for World {
    async fn authenticate(&self, credential: &Credential) -> Result<Actor, AuthError> {
        match credential {
            Credential::Token(token) => self.domain.sessions.authenticate(token).await,
            Credential::Ticket(ticket) => self.domain.sessions.redeem(ticket).await,
            Credential::Opaque(kind, token) => {
                self.domain.sessions.authenticate_opaque(*kind, token).await
            }
        }
    }

    async fn renew(&self, actor: &Actor) -> Result<Actor, AuthError> {
        self.domain.sessions.renew(actor).await
    }
}

/// A dialect's line in the table.
struct Dialect {
    name: &'static str,
    encode: Encode,
    ends: Ends,
}

/// All dialects. Their places are their numbers, by which the hub keeps encodings.
const DIALECTS: &[Dialect] = &[
    Dialect {
        name: chat::Chat::NAME,
        encode: chat::encode,
        ends: Ends::Connection,
    },
    Dialect {
        name: chats::Chats::NAME,
        encode: chats::encode,
        ends: Ends::Seat(chats::removed),
    },
    Dialect {
        name: rpc::Rpc::NAME,
        encode: rpc::encode,
        ends: Ends::Seat(rpc::end),
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

/// Where each dialect is served, with the slash at the end and without.
pub fn routes(sockets: &Arc<Sockets<World>>) -> Route {
    let chat = || sockets.endpoint::<chat::Chat>();
    let (chats, rpc) = (
        || sockets.endpoint::<chats::Chats>(),
        || sockets.endpoint::<rpc::Rpc>(),
    );
    // Those first that begin alike: the router forgets a pattern whose path is parted for another one.
    Route::new()
        .at("/ws/chats/", chats())
        .at("/ws/chats", chats())
        .at("/ws/rpc/", rpc())
        .at("/ws/rpc", rpc())
        .at("/ws/chat/:chat_id<\\d+>/", chat())
        .at("/ws/chat/:chat_id<\\d+>", chat())
}

/// Whether some dialect is served at this path.
pub fn serves(path: &str) -> bool {
    let fixed = path.strip_suffix('/').unwrap_or(path);
    if matches!(fixed, "/ws/chats" | "/ws/rpc") {
        return true;
    }
    let segment = path
        .strip_prefix("/ws/chat/")
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    segment.is_some_and(|segment| {
        !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
    })
}
