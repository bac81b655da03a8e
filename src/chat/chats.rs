//! Making, listing, changing and deleting chats.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use entity::{ChangeKind, ChatId, ChatKind, MessageId, Role, Seq, Time, UserId};

use crate::{
    chat::{
        Actor, ChatError, ChatEvent, ChatHead, Message, Profile, Thing, What,
        core::Core,
        names::{GroupName, RoomName},
        standing::stand,
        writer::{By, Change, Operation, Turn},
    },
    metrics,
    store::{Cleared, ListedRow, NewChatRow, StoreError, database_time},
};

/// Groups of at most so many list their members.
const MEMBERS_LISTED: u64 = 20;

/// A chat to be made.
#[derive(Clone, Debug)]
pub struct NewChat {
    /// What sort.
    pub kind: ChatKind,
    /// Of groups and rooms.
    pub name: Option<String>,
    /// Whom to add; of a personal chat, the other one.
    pub members: Vec<UserId>,
    /// Only members may enter.
    pub is_private: bool,
}

/// A chat that was made, or was there: one per pair, one support chat per user.
#[derive(Clone, Debug)]
pub struct Created {
    /// The chat, as its caller sees it.
    pub chat: ChatListed,
    /// It was there before.
    pub existing: bool,
}

/// What to change of a chat. `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct ChatPatch {
    /// A group's or room's name.
    pub name: Option<String>,
    /// Only members may enter.
    pub is_private: Option<bool>,
}

/// A chat as one of its members sees it in a list.
#[derive(Clone, Debug)]
pub struct ChatListed {
    /// What is the same for every member.
    pub head: ChatHead,
    /// The caller's role; `Member` for staff in support chats.
    pub role: Role,
    /// Of personal chats and groups of at most 20.
    pub members: Option<Vec<Arc<Profile>>>,
    /// Without the barred.
    pub member_count: u64,
    /// The newest that the caller may see.
    pub last_message: Option<Arc<Message>>,
    /// The chat's counter.
    pub last_seq: Seq,
    /// Others' messages after what the caller has read, counted to 1000.
    pub unread_count: u64,
    /// `last_message_at`, else `created_at`.
    pub updated_at: Time,
}

/// What a connection needs when it enters a chat.
#[derive(Clone, Debug)]
pub struct Entered {
    /// The chat.
    pub head: Arc<ChatHead>,
    /// The member's role; `Member` for staff in support chats.
    pub role: Role,
    /// The chat's counter when it was read.
    pub last_seq: Seq,
    /// Only numbers above it are shown to the member.
    pub visible_above: Seq,
    /// How far the member has read; for operators, how far any has.
    pub last_read_seq: Seq,
    /// Others' messages after what the member has read, counted to 1000.
    pub unread_count: u64,
}

/// Conversations.
pub struct Chats {
    pub(super) core: Arc<Core>,
}

impl Chats {
    /// The caller's chats, last active first, and how many there are. `page` from 1; `search` looks into names.
    pub async fn list(
        &self,
        actor: &Actor,
        kind: Option<ChatKind>,
        search: Option<&str>,
        page: u64,
        page_size: u64,
    ) -> Result<(Vec<ChatListed>, u64), ChatError> {
        let skipped = page.saturating_sub(1).saturating_mul(page_size);
        let (rows, count) = self
            .core
            .store
            .list_chats(actor.id(), kind, search, page_size, skipped)
            .await?;
        let rows = rows.into_iter().map(|row| (actor, row)).collect();
        Ok((self.listed(rows).await?, count))
    }

    /// One chat, for a member.
    pub async fn find(&self, actor: &Actor, chat: ChatId) -> Result<ChatListed, ChatError> {
        let row = self.core.store.find_listed(actor.id(), chat).await?;
        let row = row.ok_or(ChatError::NotFound(Thing::Chat))?;
        self.listed(vec![(actor, row)])
            .await?
            .pop()
            .ok_or(ChatError::NotFound(Thing::Chat))
    }

    /// What a connection needs when it enters: one query.
    pub async fn enter(&self, actor: &Actor, chat: ChatId) -> Result<Entered, ChatError> {
        let row = self.core.store.enter(chat, actor.id()).await?;
        let standing = stand(actor, row.ok_or(ChatError::NotFound(Thing::Chat))?)?;
        let unread_count = self.core.unread_count(&standing, actor.id()).await?;
        let mut head = head(&standing.row.chat);
        if let Some(customer) = head.customer {
            let customer = self.core.people.profile(customer).await?;
            head.customer_name = Some(customer.username.clone());
        }
        Ok(Entered {
            head: Arc::new(head),
            role: standing.role,
            last_seq: standing.row.chat.last_seq,
            visible_above: standing.visible_above(),
            last_read_seq: standing.last_read_seq(),
            unread_count,
        })
    }

    /// Whether a chat of this number exists at all: what a refused connection is told by its code.
    pub async fn exists(&self, chat: ChatId) -> Result<bool, ChatError> {
        Ok(self
            .core
            .store
            .find_chat(chat)
            .await?
            .is_some_and(|chat| !chat.is_deleted))
    }

    /// The counters of chats, for the sweep; one query, whatever their number.
    pub async fn last_seqs(&self, chats: &[ChatId]) -> Result<Vec<(ChatId, Seq)>, ChatError> {
        Ok(self.core.store.last_seqs(chats).await?)
    }

    /// Makes a chat; a personal or support chat that exists is returned.
    pub async fn create(&self, actor: &Actor, new: NewChat) -> Result<Created, ChatError> {
        let (chat, existing) = match new.kind {
            ChatKind::Personal => self.create_personal(actor, &new.members).await?,
            ChatKind::Support => self.create_support(actor).await?,
            ChatKind::Group => (self.create_group(actor, new).await?, false),
            ChatKind::Room => (self.create_room(actor, new).await?, false),
        };
        Ok(Created {
            chat: self.find(actor, chat).await?,
            existing,
        })
    }

    async fn create_personal(
        &self,
        actor: &Actor,
        members: &[UserId],
    ) -> Result<(ChatId, bool), ChatError> {
        let &[other] = members else {
            return Err(ChatError::invalid(
                "members",
                "A personal chat is with exactly one other user.",
            ));
        };
        if other == actor.id() {
            return Err(ChatError::invalid(
                "members",
                "A personal chat is with another user.",
            ));
        }
        let pair_key = format!("{}:{}", other.min(actor.id()), other.max(actor.id()));
        if let Some(chat) = self.core.store.find_chat_by_pair(&pair_key).await? {
            return Ok((chat.id, true));
        }
        self.core.existing_users("members", vec![other]).await?;
        if !self
            .core
            .store
            .who_blocks(&[other], actor.id())
            .await?
            .is_empty()
        {
            return Err(ChatError::Forbidden(
                "this user doesn't take messages from you",
            ));
        }
        let mut row = new_row(ChatKind::Personal, actor.id());
        row.pair_key = Some(pair_key.clone());
        row.members = vec![(actor.id(), Role::Member), (other, Role::Member)];
        match self.make(row).await {
            Ok(chat) => Ok((chat, false)),
            // The other one was faster.
            Err(StoreError::Duplicate(text)) => {
                match self.core.store.find_chat_by_pair(&pair_key).await? {
                    Some(chat) => Ok((chat.id, true)),
                    None => Err(StoreError::Duplicate(text).into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn create_support(&self, actor: &Actor) -> Result<(ChatId, bool), ChatError> {
        if let Some(chat) = self.core.store.find_support_chat(actor.id()).await? {
            return Ok((chat.id, true));
        }
        let mut row = new_row(ChatKind::Support, actor.id());
        row.support_user_id = Some(actor.id());
        row.members = vec![(actor.id(), Role::Member)];
        match self.make(row).await {
            Ok(chat) => Ok((chat, false)),
            // Another connection of the same user was faster.
            Err(StoreError::Duplicate(text)) => {
                match self.core.store.find_support_chat(actor.id()).await? {
                    Some(chat) => Ok((chat.id, true)),
                    None => Err(StoreError::Duplicate(text).into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn create_group(&self, actor: &Actor, new: NewChat) -> Result<ChatId, ChatError> {
        let name = GroupName::parse(new.name.as_deref())?;
        let mut row = new_row(ChatKind::Group, actor.id());
        row.name = Some(name.into_string());
        row.is_private = new.is_private;
        row.members = self.first_members(actor, new.members).await?;
        Ok(self.make(row).await?)
    }

    async fn create_room(&self, actor: &Actor, new: NewChat) -> Result<ChatId, ChatError> {
        let name = RoomName::parse(new.name.as_deref())?;
        let chat = self
            .make_room(actor, &name, new.is_private, new.members)
            .await?;
        chat.ok_or_else(room_exists)
    }

    /// Makes a room, unless its name is taken.
    pub(super) async fn make_room(
        &self,
        actor: &Actor,
        name: &RoomName,
        is_private: bool,
        members: Vec<UserId>,
    ) -> Result<Option<ChatId>, ChatError> {
        let slot = self.core.rooms.take(&actor.id()).await;
        let slot = slot
            .inspect_err(|_| metrics::THROTTLED.of("room").one())
            .map_err(|retry_after| ChatError::TooManyRequests { retry_after })?;
        let mut row = new_row(ChatKind::Room, actor.id());
        row.name = Some(name.name().to_owned());
        row.room = Some((name.name().to_owned(), name.key().to_owned()));
        row.is_private = is_private;
        row.members = self.first_members(actor, members).await?;
        match self.make(row).await {
            Ok(chat) => {
                slot.keep();
                Ok(Some(chat))
            }
            Err(StoreError::Duplicate(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a chat, and tells the connections of its members that hear all their chats. Where that is lost with its
    /// caller's task, the sweep finds the memberships.
    pub(super) async fn make(&self, row: NewChatRow) -> Result<ChatId, StoreError> {
        let members = row.members.iter().map(|(user, _)| *user).collect();
        let chat = self.core.store.create_chat(row).await?;
        self.core.publish.publish(vec![Arc::new(ChatEvent {
            chat: chat.id,
            seq: None,
            by: chat.created_by,
            origin: None,
            what: What::Opened {
                members,
                customer: chat.support_user_id,
            },
        })]);
        Ok(chat.id)
    }

    async fn first_members(
        &self,
        actor: &Actor,
        others: Vec<UserId>,
    ) -> Result<Vec<(UserId, Role)>, ChatError> {
        let others = self.core.existing_users("members", others).await?;
        if !self
            .core
            .store
            .who_blocks(&others, actor.id())
            .await?
            .is_empty()
        {
            return Err(ChatError::Forbidden(
                "one of these users doesn't want to be added by you",
            ));
        }
        let others = others
            .into_iter()
            .filter(|user| *user != actor.id())
            .map(|user| (user, Role::Member));
        Ok(std::iter::once((actor.id(), Role::Owner))
            .chain(others)
            .collect())
    }

    /// Renames, makes private or public.
    pub async fn update(
        &self,
        actor: &Actor,
        chat: ChatId,
        patch: ChatPatch,
    ) -> Result<ChatListed, ChatError> {
        match self
            .core
            .writer
            .carry_out(Update {
                by: actor.clone(),
                chat,
                patch,
            })
            .await
        {
            Err(ChatError::Store(StoreError::Duplicate(_))) => return Err(room_exists()),
            updated => updated?,
        }
        self.find(actor, chat).await
    }

    /// Deletes a group or room for all; hides a personal or support chat, and what was said, from the caller.
    pub async fn delete(&self, actor: &Actor, chat: ChatId) -> Result<(), ChatError> {
        self.core
            .writer
            .carry_out(Delete {
                by: actor.clone(),
                chat,
            })
            .await
    }

    /// Rows as their callers see them: a query each for last messages, members and names, whatever their number.
    pub(super) async fn listed(
        &self,
        rows: Vec<(&Actor, ListedRow)>,
    ) -> Result<Vec<ChatListed>, ChatError> {
        let last: Vec<MessageId> = rows
            .iter()
            .filter_map(|(_, row)| row.last_message)
            .collect();
        let last = self
            .core
            .messages(self.core.store.find_messages(&last).await?)
            .await?;
        let last: HashMap<MessageId, Arc<Message>> = last
            .into_iter()
            .map(|message| (message.id, message))
            .collect();
        let small: BTreeSet<ChatId> = rows
            .iter()
            .filter(|(_, row)| lists_members(row))
            .map(|(_, row)| row.entered.chat.id)
            .collect();
        let small: Vec<ChatId> = small.into_iter().collect();
        let members = self.core.store.members_of(&small).await?;
        let people = self
            .core
            .people
            .profiles(members.iter().map(|(_, user)| *user))
            .await?;
        let mut by_chat: HashMap<ChatId, Vec<Arc<Profile>>> = HashMap::new();
        for (chat, user) in members {
            by_chat
                .entry(chat)
                .or_default()
                .extend(people.get(&user).cloned());
        }
        let mut listed = Vec::with_capacity(rows.len());
        for (actor, row) in rows {
            let members = lists_members(&row).then(|| {
                let members = by_chat.get(&row.entered.chat.id);
                members.cloned().unwrap_or_default()
            });
            let last_message = row.last_message.and_then(|id| last.get(&id).cloned());
            let member_count = row.member_count.unsigned_abs();
            let standing = stand(actor, row.entered)?;
            let unread_count = self.core.unread_count(&standing, actor.id()).await?;
            let chat = &standing.row.chat;
            listed.push(ChatListed {
                head: head(chat),
                role: standing.role,
                members,
                member_count,
                last_message,
                last_seq: chat.last_seq,
                unread_count,
                updated_at: chat.last_message_at.unwrap_or(chat.created_at),
            });
        }
        Ok(listed)
    }
}

fn lists_members(row: &ListedRow) -> bool {
    match row.entered.chat.kind {
        ChatKind::Personal => true,
        ChatKind::Group => row.member_count.unsigned_abs() <= MEMBERS_LISTED,
        ChatKind::Room | ChatKind::Support => false,
    }
}

fn new_row(kind: ChatKind, created_by: UserId) -> NewChatRow {
    NewChatRow {
        kind,
        name: None,
        room: None,
        pair_key: None,
        support_user_id: None,
        created_by,
        created_at: database_time(),
        is_private: false,
        members: Vec::new(),
    }
}

fn room_exists() -> ChatError {
    ChatError::invalid("name", "room with this name already exists.")
}

struct Update {
    by: Actor,
    chat: ChatId,
    patch: ChatPatch,
}

impl Operation for Update {
    type Output = ();

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<(), ChatError> {
        let chat = turn.chat(self.chat)?.clone();
        let role = turn.role(self.chat, self.by.id(), self.by.is_staff).await?;
        let role = role.ok_or(ChatError::NotFound(Thing::Chat))?;
        let has_name = matches!(chat.kind, ChatKind::Group | ChatKind::Room);
        let is_private = self.patch.is_private.unwrap_or(chat.is_private);
        let allowed = match role {
            Role::Owner => true,
            Role::Admin => is_private == chat.is_private,
            Role::Member | Role::Banned => false,
        };
        if !has_name || !allowed {
            return Err(ChatError::Forbidden(
                "only the owner changes a chat, and admins rename it",
            ));
        }
        let (name, room) = match (&self.patch.name, chat.kind) {
            (None, _) => (None, None),
            (Some(name), ChatKind::Room) => {
                let name = RoomName::parse(Some(name))?;
                if turn
                    .batch()
                    .room_key_is_taken(name.key(), self.chat)
                    .await?
                {
                    return Err(room_exists());
                }
                (Some(name.name().to_owned()), Some(name))
            }
            (Some(name), _) => (Some(GroupName::parse(Some(name))?.into_string()), None),
        };
        let is_same = is_private == chat.is_private && (name.is_none() || name == chat.name);
        if is_same {
            return Ok(());
        }
        let room_names = room.as_ref().map(|room| (room.name(), room.key()));
        turn.batch()
            .update_chat(self.chat, name.as_deref(), room_names, is_private)
            .await?;
        let row = turn.chat_mut(self.chat)?;
        row.is_private = is_private;
        if let Some(room) = &room {
            row.room_name = Some(room.name().to_owned());
            row.room_key = Some(room.key().to_owned());
        }
        row.name = name.or(row.name.take());
        let what = What::ChatUpdated(turn.head(self.chat)?);
        turn.record(
            self.chat,
            By::from(&self.by),
            Change::of_chat(ChangeKind::ChatUpdated),
            what,
        )?;
        Ok(())
    }
}

struct Delete {
    by: Actor,
    chat: ChatId,
}

impl Operation for Delete {
    type Output = ();

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<(), ChatError> {
        let chat = turn.chat(self.chat)?.clone();
        let role = turn.role(self.chat, self.by.id(), self.by.is_staff).await?;
        if role.is_none() && !self.by.is_staff {
            return Err(ChatError::NotFound(Thing::Chat));
        }
        if matches!(chat.kind, ChatKind::Personal | ChatKind::Support) {
            let member = turn.batch().find_member(self.chat, self.by.id()).await?;
            if member.is_none() {
                return Err(ChatError::Forbidden("only its own members hide a chat"));
            }
            // -1: hidden before anything was said.
            let seq = if chat.last_seq == Seq(0) {
                Seq(-1)
            } else {
                chat.last_seq
            };
            turn.batch()
                .clear(
                    self.chat,
                    self.by.id(),
                    Cleared {
                        seq,
                        count: chat.message_count,
                    },
                )
                .await?;
            turn.tell(ChatEvent {
                chat: self.chat,
                seq: None,
                by: self.by.id(),
                origin: self.by.connection,
                what: What::Hidden,
            });
            return Ok(());
        }
        if role != Some(Role::Owner) && !self.by.is_staff {
            return Err(ChatError::Forbidden("only its owner deletes a chat"));
        }
        delete(turn, By::from(&self.by), self.chat).await
    }
}

/// Deletes a group or room for all.
pub(super) async fn delete(turn: &mut Turn<'_>, by: By, chat: ChatId) -> Result<(), ChatError> {
    turn.batch().mark_deleted(chat).await?;
    let what = What::ChatDeleted(turn.head(chat)?);
    turn.record(chat, by, Change::of_chat(ChangeKind::ChatDeleted), what)?;
    turn.chat_mut(chat)?.is_deleted = true;
    Ok(())
}

/// What is the same for every member, of a row.
pub(crate) fn head(row: &entity::chat::Model) -> ChatHead {
    ChatHead {
        id: row.id,
        kind: row.kind,
        name: row.room_name.clone().or_else(|| row.name.clone()),
        is_private: row.is_private,
        created_by: row.created_by,
        created_at: row.created_at,
        customer: row.support_user_id,
        customer_name: None,
    }
}
