//! Who does something: somebody who has signed in.

use std::sync::Arc;

use entity::{SessionId, Time, UserId};

use crate::chat::{ConnectionId, Profile};

/// A user who has signed in, by one session, perhaps on one connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who, as of now.
    pub user: Arc<Profile>,
    /// Operators of support chats, who may use the admin operations.
    pub is_staff: bool,
    /// The sign-in; none for tokens that another service made.
    pub session: Option<SessionId>,
    /// When the token itself ends.
    pub token_expires_at: Time,
    /// When the token was made, where it tells.
    pub token_issued_at: Option<Time>,
    /// The connection, where it is one: events that it causes carry it to its own node's hubs.
    pub connection: Option<ConnectionId>,
}

impl Actor {
    /// The account's id.
    pub fn id(&self) -> UserId {
        self.user.id
    }
}
