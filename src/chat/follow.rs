//! What a connection needs that hears all chats of its user, and, of staff, all open support chats.

use std::sync::Arc;

use chrono::TimeDelta;
use entity::{ChatId, Seq, Time, UserId};

use crate::{
    chat::{Actor, ChatError, ChatHead, ChatListed, Chats, Entered, chats::head, standing::stand},
    store::database_time,
};

/// A support chat is open while it has a message that is no older.
const SUPPORT_OPEN_FOR: TimeDelta = TimeDelta::days(30);

/// Which chats a connection hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowedChats {
    /// All that its user belongs to.
    Own,
    /// Those, and of staff the open support chats.
    OwnAndSupport,
    /// Its user's own support chat, and of staff the open ones.
    Support,
}

impl FollowedChats {
    /// Whether staff hear the open support chats.
    pub fn has_support(self) -> bool {
        match self {
            FollowedChats::Own => false,
            FollowedChats::OwnAndSupport | FollowedChats::Support => true,
        }
    }

    /// Whether such a chat is one of them.
    pub fn has(self, chat: &ChatHead) -> bool {
        match self {
            FollowedChats::Own | FollowedChats::OwnAndSupport => true,
            FollowedChats::Support => chat.customer.is_some(),
        }
    }
}

/// A chat that a user follows.
#[derive(Clone, Debug)]
pub struct Followed {
    /// How the user stands to it.
    pub entered: Entered,
    /// They don't see it before the next message: they hid it, or it is a support chat that isn't open.
    pub is_quiet: bool,
    /// The last number that is history to them: what comes after it was said since they belong to the chat, or since
    /// they hid it.
    pub news_after: Seq,
    /// The customer's first message that no operator has answered, in a support chat.
    pub waiting_seq: Option<Seq>,
    /// A personal chat, or a group of at most 20: who hears all their chats is present there.
    pub is_small: bool,
}

impl Chats {
    /// The chats that a connection of the caller is to hear, hidden ones too.
    pub async fn followed(
        &self,
        actor: &Actor,
        which: FollowedChats,
    ) -> Result<Vec<ChatId>, ChatError> {
        let mut chats = match which {
            FollowedChats::Own | FollowedChats::OwnAndSupport => {
                self.core.store.chats_of(actor.id()).await?
            }
            FollowedChats::Support => {
                let own = self.core.store.find_support_chat(actor.id()).await?;
                own.map(|chat| chat.id).into_iter().collect()
            }
        };
        if which.has_support() && actor.is_staff {
            let open = self.open_support_chats(support_open_since()).await?;
            chats.extend(open);
            chats.sort_unstable();
            chats.dedup();
        }
        Ok(chats)
    }

    /// Support chats with a message at or after a moment.
    pub async fn open_support_chats(&self, since: Time) -> Result<Vec<ChatId>, ChatError> {
        Ok(self.core.store.support_chats_since(since).await?)
    }

    /// How users stand to chats, by the pairs' places: one query. Where they may not enter, nothing.
    pub async fn enter_all(
        &self,
        pairs: &[(&Actor, ChatId)],
    ) -> Result<Vec<(usize, Followed)>, ChatError> {
        let asked: Vec<_> = pairs
            .iter()
            .map(|(actor, chat)| (*chat, actor.id()))
            .collect();
        let open_since = support_open_since();
        let rows = self.core.store.enter_all(&asked, open_since).await?;
        let customers = rows
            .iter()
            .filter_map(|row| row.entered.chat.support_user_id);
        let customers = self.core.people.profiles(customers).await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let (place, before, is_small) = (row.place, row.before, row.is_small);
            let row = row.entered;
            let Some((actor, _)) = pairs.get(place) else {
                continue;
            };
            let unread_count = row.unread_count.unwrap_or_default().unsigned_abs();
            let is_hidden =
                row.cleared_seq != Seq(0) && row.chat.message_count <= row.cleared_count;
            let Ok(standing) = stand(actor, row) else {
                continue;
            };
            let chat = &standing.row.chat;
            let mut head = head(chat);
            let customer = head.customer.and_then(|id| customers.get(&id));
            head.customer_name = customer.map(|customer| customer.username.clone());
            let is_open = chat.last_message_at.is_some_and(|at| at >= open_since);
            all.push((
                place,
                Followed {
                    is_quiet: is_hidden || (standing.as_operator && !is_open),
                    news_after: before.max(standing.visible_above()),
                    waiting_seq: chat.waiting_seq,
                    is_small,
                    entered: Entered {
                        head: Arc::new(head),
                        role: standing.role,
                        last_seq: chat.last_seq,
                        visible_above: standing.visible_above(),
                        last_read_seq: standing.last_read_seq(),
                        unread_count,
                    },
                },
            ));
        }
        Ok(all)
    }

    /// Chats as their users' lists show them, by the pairs' places: a query each for the chats, their last messages,
    /// their members and names, whatever their number.
    pub async fn list_all(
        &self,
        pairs: &[(&Actor, ChatId)],
    ) -> Result<Vec<(usize, ChatListed)>, ChatError> {
        let asked: Vec<_> = pairs
            .iter()
            .map(|(actor, chat)| (*chat, actor.id()))
            .collect();
        let rows = self.core.store.list_all(&asked).await?;
        let (mut places, mut theirs) = (Vec::new(), Vec::new());
        for (place, row) in rows {
            if let Some((actor, _)) = pairs.get(place)
                && stand(actor, row.entered.clone()).is_ok()
            {
                places.push(place);
                theirs.push((*actor, row));
            }
        }
        Ok(places.into_iter().zip(self.listed(theirs).await?).collect())
    }

    /// Memberships of some users begun at or after a moment, for the sweep.
    pub async fn memberships_since(
        &self,
        users: &[UserId],
        since: Time,
    ) -> Result<Vec<(ChatId, UserId)>, ChatError> {
        Ok(self.core.store.memberships_since(users, since).await?)
    }
}

/// Since when a support chat must have a message to be open.
pub(super) fn support_open_since() -> Time {
    database_time() - SUPPORT_OPEN_FOR
}
