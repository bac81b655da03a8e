//! Who may see a chat: asked before every reading operation. What is written is checked in the writer's transaction.

use entity::{ChatId, MessageId, Role, Seq, UserId, message};

use crate::{
    chat::{Actor, ChatError, Thing, core::Core},
    store::{EnterRow, PageAsked, PageRow, Stored},
};

/// A chat as a member stands to it.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) row: EnterRow,
    /// `Member` for staff in support chats.
    pub(crate) role: Role,
    /// Staff who are no members: what is read there is read for all operators.
    pub(crate) as_operator: bool,
}

/// Messages as the store has them, and who asked for them.
pub(crate) struct Page {
    pub(crate) standing: Standing,
    pub(crate) messages: Vec<message::Model>,
}

impl Standing {
    /// How far the caller has read; for operators, how far any has.
    pub(crate) fn last_read_seq(&self) -> Seq {
        let own = if self.as_operator {
            self.row.chat.support_read_seq
        } else {
            self.row.last_read_seq
        };
        own.max(self.visible_above())
    }

    /// Only numbers above it are shown.
    pub(crate) fn visible_above(&self) -> Seq {
        self.row.cleared_seq.max(Seq(0))
    }
}

impl Core {
    /// The caller's standing. Who isn't a member, or is barred, learns nothing; nor does anybody of a deleted chat.
    pub(crate) async fn standing(
        &self,
        actor: &Actor,
        chat: ChatId,
    ) -> Result<Standing, ChatError> {
        let row = self.store.find_standing(chat, actor.id()).await?;
        stand(actor, row.ok_or(ChatError::NotFound(Thing::Chat))?)
    }

    /// A page of a chat, with the caller's standing in it: one query for both.
    pub(crate) async fn page(
        &self,
        actor: &Actor,
        chat: ChatId,
        asked: PageAsked,
    ) -> Result<Page, ChatError> {
        let store = &self.store;
        let row = store.find_page(chat, actor.id(), actor.is_staff, asked);
        shown(actor, asked.place.is_some(), row.await?)
    }

    /// The newest messages, or the newest before one, without those deleted: they don't count.
    pub(crate) async fn newest_said(
        &self,
        actor: &Actor,
        chat: ChatId,
        before: Option<MessageId>,
        limit: u64,
    ) -> Result<Page, ChatError> {
        let store = &self.store;
        let row = store.find_newest_said(chat, actor.id(), actor.is_staff, before, limit);
        shown(actor, before.is_some(), row.await?)
    }

    /// Others' messages after what the caller has read, counted to 1000.
    pub(crate) async fn unread_count(&self, standing: &Standing, user: UserId) -> Stored<u64> {
        match standing.row.unread_count {
            Some(count) => Ok(count.unsigned_abs()),
            None => {
                self.store
                    .count_unread(standing.row.chat.id, user, standing.last_read_seq())
                    .await
            }
        }
    }
}

/// A page that the caller may see.
fn shown(actor: &Actor, names_place: bool, row: Option<PageRow>) -> Result<Page, ChatError> {
    let row = row.ok_or(ChatError::NotFound(Thing::Chat))?;
    let standing = stand(actor, row.entered)?;
    if names_place {
        // What the caller hid from themselves is no place either.
        let place = row.place.filter(|place| *place > standing.visible_above());
        place.ok_or(ChatError::NotFound(Thing::Message))?;
    }
    Ok(Page {
        standing,
        messages: row.messages,
    })
}

/// What the caller is to a chat.
pub(crate) fn stand(actor: &Actor, row: EnterRow) -> Result<Standing, ChatError> {
    if row.chat.is_deleted {
        return Err(ChatError::NotFound(Thing::Chat));
    }
    let role = row.role.filter(|role| *role != Role::Banned);
    let as_operator = role.is_none() && actor.is_staff && row.chat.support_user_id.is_some();
    match role.or(as_operator.then_some(Role::Member)) {
        Some(role) => Ok(Standing {
            row,
            role,
            as_operator,
        }),
        None => Err(ChatError::NotFound(Thing::Chat)),
    }
}
