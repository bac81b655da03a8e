//! Rooms by their names: whoever comes first makes one, whoever comes becomes a member.

use entity::{ChangeKind, ChatId, Role};

use crate::{
    chat::{
        Actor, ChatError, Chats, Thing, What,
        names::RoomName,
        writer::{By, Change, Operation, Turn},
    },
    store::EnterRow,
};

impl Chats {
    /// Makes the caller a member of the room of this name, which is made if it isn't there. A private room is for those
    /// who are members already; to whom it is closed, and to the barred, it is not found.
    pub async fn join_room(&self, actor: &Actor, name: &RoomName) -> Result<ChatId, ChatError> {
        if let Some(chat) = self.join_existing(actor, name).await? {
            return Ok(chat);
        }
        match self.make_room(actor, name, false, Vec::new()).await? {
            Some(chat) => Ok(chat),
            // Somebody else was faster.
            None => self
                .join_existing(actor, name)
                .await?
                .ok_or(ChatError::NotFound(Thing::Chat)),
        }
    }

    async fn join_existing(
        &self,
        actor: &Actor,
        name: &RoomName,
    ) -> Result<Option<ChatId>, ChatError> {
        let room = self.core.store.find_room(name.key(), actor.id()).await?;
        let Some(EnterRow { chat, role, .. }) = room else {
            return Ok(None);
        };
        match role {
            Some(Role::Banned) => Err(ChatError::NotFound(Thing::Chat)),
            Some(Role::Owner | Role::Admin | Role::Member) => Ok(Some(chat.id)),
            None => {
                let by = actor.clone();
                let join = Join { by, chat: chat.id };
                self.core.writer.carry_out(join).await?;
                Ok(Some(chat.id))
            }
        }
    }
}

struct Join {
    by: Actor,
    chat: ChatId,
}

impl Operation for Join {
    type Output = ();

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<(), ChatError> {
        let is_private = turn.chat(self.chat)?.is_private;
        let row = turn.batch().find_member(self.chat, self.by.id()).await?;
        match row.map(|row| row.role) {
            // From another connection meanwhile.
            Some(Role::Owner | Role::Admin | Role::Member) => return Ok(()),
            None if !is_private => {}
            Some(Role::Banned) | None => return Err(ChatError::NotFound(Thing::Chat)),
        }
        let (user, role) = (self.by.user.clone(), Role::Member);
        turn.batch()
            .put_member(self.chat, user.id, role, turn.now())
            .await?;
        let change = Change::of_member(ChangeKind::MemberJoined, user.id, role);
        let what = What::MemberJoined { user, role };
        turn.record(self.chat, By::from(&self.by), change, what)?;
        Ok(())
    }
}
