//! Support: a customer's one chat, and all open ones for the operators who answer them.

use std::sync::Arc;

use entity::{ChatId, MessageId, Time, UserId};

use crate::chat::{
    Actor, ChatError, ChatListed, Chats, Message, Profile, Text, Thing, core::Core,
    follow::support_open_since,
};

/// An open support chat, as an operator's list shows it.
#[derive(Clone, Debug)]
pub struct SupportListed {
    /// The chat; what is unread there is what no operator has read.
    pub chat: ChatListed,
    /// Whose chat.
    pub customer: Arc<Profile>,
    /// Since when a message of theirs is unanswered, where one is.
    pub waiting_since: Option<Time>,
}

/// What customers and operators need besides their chats.
pub struct Support {
    pub(super) core: Arc<Core>,
}

impl Support {
    /// The caller's own support chat, where they have one.
    pub async fn own_chat(&self, actor: &Actor) -> Result<Option<ChatId>, ChatError> {
        let chat = self.core.store.find_support_chat(actor.id()).await?;
        Ok(chat.map(|chat| chat.id))
    }

    /// The caller's own support chat, in which they are about to say something; made where they have none, and where that
    /// can be said.
    pub async fn open_chat(&self, actor: &Actor, text: &str) -> Result<ChatId, ChatError> {
        Text::parse(text, self.core.limits.message_chars)?;
        self.core.may_send(actor)?;
        let chats = Chats {
            core: self.core.clone(),
        };
        Ok(chats.create_support(actor).await?.0)
    }

    /// A customer's support chat, for an operator other than themselves.
    pub async fn chat_with(
        &self,
        operator: &Actor,
        customer: UserId,
    ) -> Result<(ChatId, Arc<Profile>), ChatError> {
        operates(operator)?;
        let chat = self.core.store.find_support_chat(customer).await?;
        let chat = chat.filter(|chat| !chat.is_deleted && customer != operator.id());
        let chat = chat.ok_or(ChatError::NotFound(Thing::User))?;
        Ok((chat.id, self.core.people.profile(customer).await?))
    }

    /// A support chat and its customer, for an operator; without one, nobody is spoken to.
    pub async fn conversation(
        &self,
        operator: &Actor,
        chat: Option<ChatId>,
    ) -> Result<(ChatId, Arc<Profile>), ChatError> {
        operates(operator)?;
        let chat = chat.ok_or(ChatError::NotFound(Thing::User))?;
        let row = self.core.store.find_chat(chat).await?;
        let customer = row.and_then(|row| row.support_user_id);
        let customer = customer.ok_or(ChatError::NotFound(Thing::Chat))?;
        Ok((chat, self.core.people.profile(customer).await?))
    }

    /// The newest messages of several chats that the caller follows, or of those before a message of one of them, oldest
    /// first; deleted ones are left out.
    pub async fn newest(
        &self,
        chats: &[ChatId],
        before: Option<MessageId>,
        limit: u64,
    ) -> Result<Vec<Arc<Message>>, ChatError> {
        let store = &self.core.store;
        if let Some(before) = before {
            let place = store.find_messages(&[before]).await?;
            let is_theirs = place.iter().any(|row| chats.contains(&row.chat_id));
            is_theirs
                .then_some(())
                .ok_or(ChatError::NotFound(Thing::Message))?;
        }
        let mut rows = store.newest_messages(chats, before, limit).await?;
        rows.reverse();
        self.core.messages(rows).await
    }

    /// A page of the open support chats, and how many there are: those that wait first, longest waiting first. `page`
    /// from 1.
    pub async fn list(
        &self,
        operator: &Actor,
        page: u64,
        page_size: u64,
    ) -> Result<(Vec<SupportListed>, u64), ChatError> {
        operates(operator)?;
        let skipped = page.saturating_sub(1).saturating_mul(page_size);
        let (open, count) = self
            .core
            .store
            .list_support_chats(support_open_since(), page_size, skipped)
            .await?;
        let chats = Chats {
            core: self.core.clone(),
        };
        let pairs: Vec<_> = open.iter().map(|(chat, _)| (operator, *chat)).collect();
        let mut listed = chats.list_all(&pairs).await?;
        listed.sort_by_key(|(place, _)| *place);
        let customers = listed.iter().filter_map(|(_, chat)| chat.head.customer);
        let people = self.core.people.profiles(customers).await?;
        let mut all = Vec::with_capacity(listed.len());
        for (place, chat) in listed {
            let customer = chat.head.customer.and_then(|id| people.get(&id).cloned());
            if let Some(customer) = customer {
                all.push(SupportListed {
                    waiting_since: open[place].1,
                    customer,
                    chat,
                });
            }
        }
        Ok((all, count))
    }
}

fn operates(actor: &Actor) -> Result<(), ChatError> {
    match actor.is_staff {
        true => Ok(()),
        false => Err(ChatError::Forbidden("only operators answer support chats")),
    }
}
