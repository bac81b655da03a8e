//! Looking for what was said, in the chats that one belongs to.

use std::sync::Arc;

use entity::{ChatId, MessageId};

use crate::{
    chat::{Actor, ChatError, Message, core::Core},
    store::{Question, Searched},
};

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// As a person typed it: all of its words, and any that begins with the last one.
    pub text: String,
    /// In this chat alone.
    pub chat: Option<ChatId>,
    /// Before this message; without: the newest.
    pub before: Option<MessageId>,
}

/// A page of what was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Newest first.
    pub results: Vec<Arc<Message>>,
    /// Older ones follow the last of them.
    pub has_older: bool,
}

/// Looking for texts.
pub struct Searches {
    pub(super) core: Arc<Core>,
}

impl Searches {
    /// The messages that hold what is looked for, of chats that the caller belongs to: nothing that they hid from
    /// themselves. What was said, edited or deleted a moment ago may not be known yet.
    pub async fn find(
        &self,
        actor: &Actor,
        search: Search,
        page_size: u64,
    ) -> Result<Found, ChatError> {
        let slot = self.core.searches.take(&actor.id()).await;
        let slot = slot.map_err(|retry_after| ChatError::TooManyRequests { retry_after })?;
        let searched = match search.chat {
            None => Searched::Of(actor.id()),
            Some(chat) => {
                let standing = self.core.standing(actor, chat).await?;
                Searched::In(chat, standing.visible_above())
            }
        };
        slot.keep();
        let Some(question) = Question::parse(&search.text) else {
            return Ok(Found {
                results: Vec::new(),
                has_older: false,
            });
        };
        let below = search.before.unwrap_or(MessageId(i64::MAX));
        // One more than the page tells whether there is another.
        let limit = page_size.saturating_add(1);
        let store = &self.core.store;
        let mut rows = store.find_texts(&question, searched, below, limit).await?;
        let has_older = rows.len() as u64 > page_size;
        rows.truncate(usize::try_from(page_size).unwrap_or(usize::MAX));
        Ok(Found {
            results: self.core.messages(rows).await?,
            has_older,
        })
    }
}
