//! Who belongs to a chat, and with which role.

use std::{collections::HashMap, sync::Arc};

use entity::{ChangeKind, ChatId, ChatKind, Role, Seq, Time, UserId, member};

use crate::chat::{
    Actor, ChatError, ChatListed, Profile, Thing, What,
    core::Core,
    writer::{By, Change, Operation, Turn},
};

/// Users added, or named when a chat is made, at once.
pub(crate) const ADD_AT_ONCE: usize = 1000;
/// Chats left in one transaction when an account ends.
const LEAVE_AT_ONCE: usize = 100;

/// A user's membership of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: Arc<Profile>,
    /// With which role.
    pub role: Role,
    /// Since when.
    pub joined_at: Time,
    /// How far they have read.
    pub last_read_seq: Seq,
}

/// Adding, removing, promoting, leaving.
pub struct Members {
    pub(super) core: Arc<Core>,
}

impl Members {
    /// The members of a chat, longest-standing first, and how many there are. `page` from 1.
    pub async fn list(
        &self,
        actor: &Actor,
        chat: ChatId,
        page: u64,
        page_size: u64,
    ) -> Result<(Vec<Member>, u64), ChatError> {
        self.core.standing(actor, chat).await?;
        let skipped = page.saturating_sub(1).saturating_mul(page_size);
        let (rows, count) = self
            .core
            .store
            .list_members(chat, page_size, skipped)
            .await?;
        let people = self
            .core
            .people
            .profiles(rows.iter().map(|row| row.user_id))
            .await?;
        let members = rows
            .into_iter()
            .filter_map(|row| Some(of(&row, people.get(&row.user_id)?.clone())));
        Ok((members.collect(), count))
    }

    /// The first members of chats that the caller has found, at most so many of each.
    pub async fn first_of(
        &self,
        chats: &[ChatListed],
        limit: u64,
    ) -> Result<HashMap<ChatId, Vec<UserId>>, ChatError> {
        let chats: Vec<ChatId> = chats.iter().map(|chat| chat.head.id).collect();
        let mut members: HashMap<ChatId, Vec<UserId>> = HashMap::new();
        for (chat, user) in self.core.store.first_members_of(&chats, limit).await? {
            members.entry(chat).or_default().push(user);
        }
        Ok(members)
    }

    /// One member.
    pub async fn find(
        &self,
        actor: &Actor,
        chat: ChatId,
        user: UserId,
    ) -> Result<Member, ChatError> {
        self.core.standing(actor, chat).await?;
        let row = self.core.store.find_member(chat, user).await?;
        let row = row
            .filter(|row| row.role != Role::Banned)
            .ok_or(ChatError::NotFound(Thing::Member))?;
        Ok(of(&row, self.core.people.profile(user).await?))
    }

    /// Adds users to a group or room; who is a member already stays as they are. Whoever was barred isn't any more.
    pub async fn add(
        &self,
        actor: &Actor,
        chat: ChatId,
        users: Vec<UserId>,
        role: Role,
    ) -> Result<Vec<Member>, ChatError> {
        if !actor.is_staff {
            self.core.standing(actor, chat).await?;
        }
        let users = self.core.existing_users("members", users).await?;
        if !self
            .core
            .store
            .who_blocks(&users, actor.id())
            .await?
            .is_empty()
        {
            return Err(ChatError::Forbidden(
                "one of these users doesn't want to be added by you",
            ));
        }
        let members_add = self.core.limits.members_add;
        self.core
            .writer
            .carry_out(Add {
                by: actor.clone(),
                chat,
                users,
                role,
                members_add,
            })
            .await
    }

    /// Gives a member another role. `Owner` hands the ownership over: the caller becomes an admin.
    pub async fn set_role(
        &self,
        actor: &Actor,
        chat: ChatId,
        user: UserId,
        role: Role,
    ) -> Result<Member, ChatError> {
        self.core
            .writer
            .carry_out(SetRole {
                by: actor.clone(),
                chat,
                user,
                role,
            })
            .await
    }

    /// Removes another, who is barred from then on; or leaves, where `user` is the caller.
    pub async fn remove(&self, actor: &Actor, chat: ChatId, user: UserId) -> Result<(), ChatError> {
        if user == actor.id() {
            return self
                .core
                .writer
                .carry_out(Leave {
                    by: actor.clone(),
                    chats: vec![chat],
                    of_account: false,
                })
                .await;
        }
        self.core
            .writer
            .carry_out(Remove {
                by: actor.clone(),
                chat,
                user,
            })
            .await
    }
}

impl Core {
    /// Ends all memberships of an account that ends, with the events of leaving.
    pub(crate) async fn leave_all(&self, actor: &Actor) -> Result<(), ChatError> {
        let memberships = self.store.memberships_of(actor.id()).await?;
        let chats: Vec<ChatId> = memberships
            .iter()
            .filter(|member| member.role != Role::Banned)
            .map(|member| member.chat_id)
            .collect();
        for chats in chats.chunks(LEAVE_AT_ONCE) {
            let leave = Leave {
                by: actor.clone(),
                chats: chats.to_vec(),
                of_account: true,
            };
            self.writer.carry_out(leave).await?;
        }
        Ok(())
    }

    /// Each of these users once, if all exist and are active.
    pub(crate) async fn existing_users(
        &self,
        field: &'static str,
        mut users: Vec<UserId>,
    ) -> Result<Vec<UserId>, ChatError> {
        users.sort_unstable();
        users.dedup();
        if users.len() > ADD_AT_ONCE {
            let reason = format!("Ensure this field has no more than {ADD_AT_ONCE} elements.");
            return Err(ChatError::invalid(field, reason));
        }
        let found = self.accounts(&users).await?;
        for user in &users {
            if !found.iter().any(|row| row.id == *user && row.is_active) {
                return Err(ChatError::invalid(
                    field,
                    format!("Invalid pk \"{user}\" - object does not exist."),
                ));
            }
        }
        Ok(users)
    }
}

fn of(row: &member::Model, user: Arc<Profile>) -> Member {
    Member {
        user,
        role: row.role,
        joined_at: row.joined_at,
        last_read_seq: row.last_read_seq,
    }
}

/// The caller's role in a chat that has roles. Staff who don't belong to it have none, and may see no more of it.
async fn role_among(turn: &Turn<'_>, by: &Actor, chat: ChatId) -> Result<Option<Role>, ChatError> {
    let kind = turn.chat(chat)?.kind;
    let role = turn.role(chat, by.id(), by.is_staff).await?;
    if role.is_none() && !by.is_staff {
        return Err(ChatError::NotFound(Thing::Chat));
    }
    match kind {
        ChatKind::Group | ChatKind::Room => Ok(role),
        ChatKind::Personal | ChatKind::Support => Err(ChatError::Forbidden(
            "nobody is added to or removed from it",
        )),
    }
}

struct Add {
    by: Actor,
    chat: ChatId,
    users: Vec<UserId>,
    role: Role,
    members_add: bool,
}

impl Operation for Add {
    type Output = Vec<Member>;

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<Vec<Member>, ChatError> {
        let own = role_among(turn, &self.by, self.chat).await?;
        let leads = matches!(own, Some(Role::Owner | Role::Admin));
        let may_add = leads
            || (own.is_some() && self.members_add && turn.chat(self.chat)?.kind == ChatKind::Group);
        if !(may_add || self.by.is_staff) || (self.role != Role::Member && !leads) {
            return Err(ChatError::Forbidden("members may not add others here"));
        }
        if !matches!(self.role, Role::Member | Role::Admin) {
            return Err(ChatError::invalid(
                "role",
                "Members are added as member or admin.",
            ));
        }
        let people = turn.people().profiles(self.users.iter().copied()).await?;
        let rows = turn.batch().find_members(self.chat, &self.users).await?;
        for user in &self.users {
            let known = rows.iter().find(|row| row.user_id == *user);
            let is_barred = known.is_some_and(|row| row.role == Role::Banned);
            // Staff who don't belong to it lift others' bars, and let nobody in who wasn't in before: not themselves.
            if is_barred && !leads && (!self.by.is_staff || *user == self.by.id()) {
                return Err(ChatError::Forbidden(
                    "one of these users was removed, and only owner or admins add them again",
                ));
            }
            if !is_barred && !may_add {
                return Err(ChatError::Forbidden("members may not add others here"));
            }
        }
        let mut members = Vec::with_capacity(self.users.len());
        for user in &self.users {
            let Some(profile) = people.get(user).cloned() else {
                continue;
            };
            let known = rows.iter().find(|row| row.user_id == *user);
            if let Some(row) = known.filter(|row| row.role != Role::Banned) {
                members.push(of(row, profile));
                continue;
            }
            turn.batch()
                .put_member(self.chat, *user, self.role, turn.now())
                .await?;
            let change = Change::of_member(ChangeKind::MemberJoined, *user, self.role);
            let what = What::MemberJoined {
                user: profile.clone(),
                role: self.role,
            };
            turn.record(self.chat, By::from(&self.by), change, what)?;
            let last_read_seq = known.map_or(Seq(0), |row| row.last_read_seq);
            members.push(Member {
                user: profile,
                role: self.role,
                joined_at: turn.now(),
                last_read_seq,
            });
        }
        Ok(members)
    }
}

struct SetRole {
    by: Actor,
    chat: ChatId,
    user: UserId,
    role: Role,
}

impl Operation for SetRole {
    type Output = Member;

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<Member, ChatError> {
        let own = role_among(turn, &self.by, self.chat)
            .await?
            .ok_or(ChatError::NotFound(Thing::Chat))?;
        let row = turn.batch().find_member(self.chat, self.user).await?;
        let row = row
            .filter(|row| row.role != Role::Banned)
            .ok_or(ChatError::NotFound(Thing::Member))?;
        let user = turn.people().profile(self.user).await?;
        if self.role == Role::Banned {
            return Err(ChatError::invalid(
                "role",
                "\"banned\" is not a valid choice.",
            ));
        }
        let allowed = match own {
            // Giving the ownership away is the one way to be without it: a chat always has an owner.
            Role::Owner => self.user != self.by.id() || self.role == Role::Owner,
            Role::Admin => row.role == Role::Member && self.role == Role::Admin,
            Role::Member | Role::Banned => false,
        };
        if !allowed && row.role != self.role {
            return Err(ChatError::Forbidden("this role is not yours to give"));
        }
        if row.role == self.role {
            return Ok(of(&row, user));
        }
        if self.role == Role::Owner {
            self.give(turn, self.by.id(), self.by.user.clone(), Role::Admin)
                .await?;
        }
        self.give(turn, self.user, user.clone(), self.role).await?;
        Ok(Member {
            role: self.role,
            ..of(&row, user)
        })
    }
}

impl SetRole {
    async fn give(
        &self,
        turn: &mut Turn<'_>,
        user: UserId,
        profile: Arc<Profile>,
        role: Role,
    ) -> Result<(), ChatError> {
        give(turn, By::from(&self.by), self.chat, user, profile, role).await
    }
}

async fn give(
    turn: &mut Turn<'_>,
    by: By,
    chat: ChatId,
    user: UserId,
    profile: Arc<Profile>,
    role: Role,
) -> Result<(), ChatError> {
    turn.batch().set_role(chat, user, role).await?;
    let change = Change::of_member(ChangeKind::MemberChanged, user, role);
    turn.record(
        chat,
        by,
        change,
        What::MemberChanged {
            user: profile,
            role,
        },
    )?;
    Ok(())
}

struct Remove {
    by: Actor,
    chat: ChatId,
    user: UserId,
}

impl Operation for Remove {
    type Output = ();

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<(), ChatError> {
        let own = role_among(turn, &self.by, self.chat).await?;
        let row = turn.batch().find_member(self.chat, self.user).await?;
        let row = row
            .filter(|row| row.role != Role::Banned)
            .ok_or(ChatError::NotFound(Thing::Member))?;
        let allowed = match own {
            Some(Role::Owner) => true,
            Some(Role::Admin) => row.role == Role::Member,
            _ => false,
        };
        if !allowed && !self.by.is_staff {
            return Err(ChatError::Forbidden("this member is not yours to remove"));
        }
        let user = turn.people().profile(self.user).await?;
        if row.role == Role::Owner {
            hand_over(turn, By::from(&self.by), self.chat, self.user).await?;
        }
        turn.batch()
            .set_role(self.chat, self.user, Role::Banned)
            .await?;
        let change = Change::of_member(ChangeKind::MemberLeft, self.user, Role::Banned);
        let what = What::MemberLeft {
            user,
            role: Role::Banned,
        };
        turn.record(self.chat, By::from(&self.by), change, what)?;
        Ok(())
    }
}

/// Gives the chat of an owner who goes to the longest-standing admin, else member. Whether there is one.
async fn hand_over(
    turn: &mut Turn<'_>,
    by: By,
    chat: ChatId,
    owner: UserId,
) -> Result<bool, ChatError> {
    let others = turn.batch().list_members(chat).await?;
    let others: Vec<_> = others
        .into_iter()
        .filter(|row| row.user_id != owner && row.role != Role::Banned)
        .collect();
    let heir = others
        .iter()
        .find(|row| row.role == Role::Admin)
        .or(others.first());
    let Some(heir) = heir else { return Ok(false) };
    let profile = turn.people().profile(heir.user_id).await?;
    give(turn, by, chat, heir.user_id, profile, Role::Owner).await?;
    Ok(true)
}

/// Leaves chats by oneself, which bars nothing.
struct Leave {
    by: Actor,
    chats: Vec<ChatId>,
    /// The account ends: personal and support chats are left too.
    of_account: bool,
}

impl Operation for Leave {
    type Output = ();

    fn chats(&self) -> Vec<ChatId> {
        self.chats.clone()
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<(), ChatError> {
        for chat in &self.chats {
            match self.leave(turn, *chat).await {
                // Left or deleted meanwhile.
                Err(ChatError::NotFound(_)) if self.of_account => {}
                left => left?,
            }
        }
        Ok(())
    }
}

impl Leave {
    async fn leave(&self, turn: &mut Turn<'_>, chat: ChatId) -> Result<(), ChatError> {
        let kind = turn.chat(chat)?.kind;
        let row = turn.batch().find_member(chat, self.by.id()).await?;
        let row = row
            .filter(|row| row.role != Role::Banned)
            .ok_or(ChatError::NotFound(Thing::Chat))?;
        if !self.of_account && matches!(kind, ChatKind::Personal | ChatKind::Support) {
            return Err(ChatError::Forbidden(
                "nobody is added to or removed from it",
            ));
        }
        let by = By::from(&self.by);
        let is_last = row.role == Role::Owner && !hand_over(turn, by, chat, self.by.id()).await?;
        turn.batch().delete_member(chat, self.by.id()).await?;
        let change = Change::of_member(ChangeKind::MemberLeft, self.by.id(), row.role);
        turn.record(
            chat,
            by,
            change,
            What::MemberLeft {
                user: self.by.user.clone(),
                role: row.role,
            },
        )?;
        if is_last && kind == ChatKind::Group {
            crate::chat::chats::delete(turn, by, chat).await?;
        }
        Ok(())
    }
}
