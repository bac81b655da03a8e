//! Chats and who belongs to them. Whole numbers are kept as chats' numbers where they are free, since clients know
//! chats by them.

use std::collections::{HashMap, HashSet};

use entity::{ChatId, ChatKind, Role, Seq, Time, UserId, chat, member};
use futures_util::TryStreamExt;

use super::{
    Failure, Work,
    mapping::{ChatsTable, MembersTable, Reader},
    report::Counts,
    users::People,
};
use crate::{
    chat::RoomName,
    store::{ChatKeys, ImportedChat, TextRow, boolean, database_time, moment},
};

/// Characters of a chat's name.
const NAME_CHARS: usize = 100;
/// Chats of one transaction.
const CHATS_AT_ONCE: usize = 200;

/// A chat that messages may be written to.
pub(super) struct Target {
    /// None in a dry run, where it isn't there yet.
    pub(super) id: Option<ChatId>,
    pub(super) is_new: bool,
    /// Until when its members have read there; none for everything.
    pub(super) readers: HashMap<UserId, Option<Time>>,
}

struct SourceMember {
    user: UserId,
    role: Option<Role>,
    joined_at: Option<Time>,
    read_at: Option<Time>,
}

impl SourceMember {
    fn row(&self, chat: ChatId, otherwise_joined_at: Time) -> member::Model {
        member::Model {
            chat_id: chat,
            user_id: self.user,
            role: self.role.unwrap_or(Role::Member),
            joined_at: self.joined_at.unwrap_or(otherwise_joined_at),
            last_read_seq: Seq(0),
            cleared_seq: Seq(0),
            cleared_count: 0,
        }
    }
}

/// The chats of a table, by their keys there.
pub(super) type Targets = HashMap<String, Target>;

/// Copies the chats of a table. `has_all_members` says that no other part of the mapping is about them.
pub(super) async fn import(
    work: &mut Work,
    table: &ChatsTable,
    people: &People,
    has_all_members: bool,
) -> Result<Targets, Failure> {
    let mut member_counts = Counts::default();
    let mut members = match &table.members {
        Some(members) => read_members(work, members, people, &mut member_counts).await?,
        None => HashMap::new(),
    };
    let tells_reading = table
        .members
        .as_ref()
        .is_some_and(|it| it.read_at.is_some());
    let (known, mut keys, mut here) = match work.is_ready {
        true => (
            work.to.imported_chats(&table.table).await?,
            work.to.chat_keys().await?,
            MembersHere {
                roles: work.to.member_roles().await?,
                changed: work.to.changed_members().await?,
                ..MembersHere::default()
            },
        ),
        false => Default::default(),
    };
    let mut reader = Reader::of(&table.table);
    let id = reader.column(&table.id);
    let kind = reader.field(&table.kind);
    let name = reader.optional(&table.name);
    let created_by = reader.optional(&table.created_by);
    let created_at = reader.optional(&table.created_at);
    let is_private = reader.optional(&table.is_private);

    let bar = work.bar(&table.table).await?;
    let (mut counts, mut targets) = (Counts::default(), Targets::new());
    let (mut kept, mut renumbered) = (Vec::new(), Vec::new());
    let from = work.from.clone();
    let mut rows = std::pin::pin!(from.stream(&reader.columns, &[&table.id]).await?);
    while let Some(row) = rows.try_next().await? {
        counts.read += 1;
        bar.inc(1);
        let key = row[id].clone().unwrap_or_default();
        let of_chat = members.remove(&key).unwrap_or_default();
        // Where reading is told, null is somebody who never read.
        let until = |member: &SourceMember| {
            tells_reading.then(|| member.read_at.unwrap_or(Time::UNIX_EPOCH))
        };
        let readers = of_chat.iter().map(|member| (member.user, until(member)));
        let readers = readers.collect();
        let known_id = known.get(&key).copied();
        let target = Target {
            id: known_id,
            is_new: known_id.is_none(),
            readers,
        };
        targets.insert(key.clone(), target);
        let mut source = SourceChat {
            kind: kind_of(kind.of(&row), &key, &table.table)?,
            name: name.of(&row).unwrap_or_default().to_owned(),
            created_by: created_by.of(&row).and_then(|key| people.find(key)),
            created_at: created_at
                .of(&row)
                .and_then(moment)
                .unwrap_or_else(database_time),
            is_private: is_private.of(&row).and_then(boolean).unwrap_or(false),
            members: of_chat,
            key,
        };
        if let Some(chat) = known_id {
            counts.known += 1;
            // One that was deleted here is nobody's any more, whoever belongs to it there.
            match keys.kinds.get(&chat) {
                Some(kind) if table.members.is_some() && has_all_members => {
                    source.kind = *kind;
                    here.compare(work, people, chat, source, &mut member_counts);
                }
                Some(_) => here.add(chat, &source, &mut member_counts),
                None => member_counts.known += source.members.len() as u64,
            }
            continue;
        }
        counts.new += 1;
        member_counts.new += source.members.len() as u64;
        let chat = source.becomes(work, people, &mut keys)?;
        match chat.keeps_id {
            true => kept.push(chat),
            false => renumbered.push(chat),
        }
    }
    bar.finish_and_clear();
    // First those that keep their number: the database might give it to another.
    for chats in [kept, renumbered] {
        write(work, table, chats, &mut targets).await?;
    }
    if work.writes {
        let MembersHere {
            joined,
            given,
            gone,
            ..
        } = here;
        work.to.import_members(joined, given, gone).await?;
    }
    if let Some(members) = &table.members {
        work.report.table("members", &members.table, member_counts);
    }
    work.report.table("chats", &table.table, counts);
    Ok(targets)
}

/// Who belongs to chats that are here already, and what becomes of them.
#[derive(Default)]
struct MembersHere {
    roles: HashMap<ChatId, HashMap<UserId, Role>>,
    /// Who came, left or was given a role here, not by an import.
    changed: HashMap<ChatId, HashSet<UserId>>,
    joined: Vec<member::Model>,
    given: Vec<(ChatId, UserId, Role)>,
    gone: Vec<(ChatId, UserId)>,
}

impl MembersHere {
    /// Lets a chat have the members that it has there beside those who are here.
    fn add(&mut self, chat: ChatId, source: &SourceChat, counts: &mut Counts) {
        // Those whom another part of the mapping brought in this run are among them.
        let here = self.roles.get(&chat);
        for member in &source.members {
            if here.is_some_and(|here| here.contains_key(&member.user)) {
                counts.known += 1;
            } else {
                counts.new += 1;
                self.joined.push(member.row(chat, database_time()));
            }
        }
    }

    /// Lets a chat have the members and roles that it has there. Where somebody changed its members here, those who are
    /// here are left and reported: which of the two is right, only people know. Personal chats stay of their two.
    fn compare(
        &mut self,
        work: &mut Work,
        people: &People,
        chat: ChatId,
        mut source: SourceChat,
        counts: &mut Counts,
    ) {
        let mut here = self.roles.remove(&chat).unwrap_or_default();
        let changed = self.changed.get(&chat);
        let is_left = changed.is_some() || source.kind == ChatKind::Personal;
        match source.kind {
            ChatKind::Group => {
                source.keeps_owner(&here);
                source.has_owner();
            }
            ChatKind::Personal => source.are_members(),
            ChatKind::Room | ChatKind::Support => {}
        }
        let mut leave = |user: UserId, here: &str, there: &str| {
            let remark = "members differ from there and are left as they are, since their chat was changed here or is \
                          personal";
            let name = people.name(user);
            let row = format!("chat {chat}, {name}: {here} here, {there} there");
            work.report.difference(remark, row);
        };
        for member in &source.members {
            let role = member.role.unwrap_or(Role::Member);
            let is_changed = changed.is_some_and(|changed| changed.contains(&member.user));
            match here.remove(&member.user) {
                Some(same) if same == role => counts.known += 1,
                Some(other) => {
                    counts.known += 1;
                    if is_left {
                        leave(member.user, word(other), word(role));
                    } else {
                        counts.renewed += 1;
                        self.given.push((chat, member.user, role));
                    }
                }
                None if is_changed || source.kind == ChatKind::Personal => {
                    leave(member.user, "no member", word(role));
                }
                None if is_left && role != Role::Member => {
                    leave(member.user, "no member", word(role));
                }
                None => {
                    counts.new += 1;
                    self.joined.push(member.row(chat, database_time()));
                }
            }
        }
        let mut gone: Vec<_> = here.into_iter().collect();
        gone.sort_by_key(|(user, _)| *user);
        for (user, role) in gone {
            if is_left {
                leave(user, word(role), "no member");
            } else {
                counts.removed += 1;
                self.gone.push((chat, user));
            }
        }
    }
}

async fn write(
    work: &mut Work,
    table: &ChatsTable,
    mut chats: Vec<ImportedChat>,
    targets: &mut Targets,
) -> Result<(), Failure> {
    if !work.writes {
        return Ok(());
    }
    while !chats.is_empty() {
        let some: Vec<_> = chats.drain(..chats.len().min(CHATS_AT_ONCE)).collect();
        let keys: Vec<String> = some.iter().map(|chat| chat.key.clone()).collect();
        let ids = work.to.import_chats(&table.table, some).await?;
        for (key, id) in keys.into_iter().zip(ids) {
            if let Some(target) = targets.get_mut(&key) {
                target.id = Some(id);
            }
        }
    }
    Ok(())
}

async fn read_members(
    work: &mut Work,
    table: &MembersTable,
    people: &People,
    counts: &mut Counts,
) -> Result<HashMap<String, Vec<SourceMember>>, Failure> {
    let mut reader = Reader::of(&table.table);
    let chat = reader.column(&table.chat);
    let user = reader.field(&table.user);
    let role = reader.optional(&table.role);
    let joined_at = reader.optional(&table.joined_at);
    let read_at = reader.optional(&table.read_at);
    let bar = work.bar(&table.table).await?;
    let mut members: HashMap<String, Vec<SourceMember>> = HashMap::new();
    let from = work.from.clone();
    let mut rows = std::pin::pin!(from.stream(&reader.columns, &[&table.chat]).await?);
    while let Some(row) = rows.try_next().await? {
        counts.read += 1;
        bar.inc(1);
        let key = row[chat].clone().unwrap_or_default();
        let Some(user) = user.of(&row).and_then(|key| people.find(key)) else {
            let remark = "members are no users, and are left out";
            work.report.remark(remark, format!("of chat {key}"));
            continue;
        };
        let of_chat = members.entry(key).or_default();
        if of_chat.iter().any(|member| member.user == user) {
            continue;
        }
        of_chat.push(SourceMember {
            user,
            role: role.of(&row).map(role_of).transpose()?,
            joined_at: time(&joined_at, &row),
            read_at: time(&read_at, &row),
        });
    }
    bar.finish_and_clear();
    Ok(members)
}

fn time(place: &super::mapping::Place, row: &TextRow) -> Option<Time> {
    place.of(row).and_then(moment)
}

fn kind_of(word: Option<&str>, key: &str, table: &str) -> Result<ChatKind, Failure> {
    match word {
        Some("personal") => Ok(ChatKind::Personal),
        Some("group") => Ok(ChatKind::Group),
        Some("room") => Ok(ChatKind::Room),
        other => {
            let found = other.unwrap_or("null");
            let problem = format!(
                "{table}: the kind {found:?} of chat {key} is none of personal, group and room: say in `words` \
                 which one it means"
            );
            Err(problem.into())
        }
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Member => "member",
        Role::Banned => "banned",
    }
}

fn role_of(word: &str) -> Result<Role, Failure> {
    match word {
        "owner" => Ok(Role::Owner),
        "admin" => Ok(Role::Admin),
        "member" => Ok(Role::Member),
        "banned" => Ok(Role::Banned),
        other => {
            let problem = format!(
                "the role {other:?} is none of owner, admin, member and banned: say in `words` which one it means"
            );
            Err(problem.into())
        }
    }
}

struct SourceChat {
    key: String,
    kind: ChatKind,
    name: String,
    created_by: Option<UserId>,
    created_at: Time,
    is_private: bool,
    members: Vec<SourceMember>,
}

impl SourceChat {
    /// The rows that it becomes here.
    fn becomes(
        mut self,
        work: &mut Work,
        people: &People,
        keys: &mut ChatKeys,
    ) -> Result<ImportedChat, Failure> {
        let pair_key = self.pair(work, keys);
        if self.kind == ChatKind::Group {
            self.has_owner();
        }
        let first = self.members.first().map(|member| member.user);
        let created_by = self.created_by.or(first).or(people.first);
        let created_by = created_by.ok_or("there are chats, but no users")?;
        let (room_name, room_key) = match self.kind {
            ChatKind::Room => {
                let (name, key) = self.room(work, keys);
                (Some(name), key)
            }
            _ => (None, None),
        };
        let name = match self.kind {
            ChatKind::Group => Some(self.group_name(people)),
            ChatKind::Room => room_name.clone(),
            ChatKind::Personal | ChatKind::Support => None,
        };
        let number = self.key.parse().ok().filter(|number: &i64| *number > 0);
        let kept = number.map(ChatId).filter(|id| keys.ids.insert(*id));
        if number.is_some() && kept.is_none() {
            let remark = "chats have another number here, since theirs is taken";
            work.report.remark(remark, self.key.clone());
        }
        let row = chat::Model {
            id: kept.unwrap_or(ChatId(0)),
            kind: self.kind,
            name,
            room_name,
            room_key,
            pair_key,
            support_user_id: None,
            created_by,
            created_at: self.created_at,
            last_seq: Seq(0),
            message_count: 0,
            last_message_at: None,
            is_private: self.is_private,
            is_deleted: false,
            support_read_seq: Seq(0),
            waiting_seq: None,
            waiting_since: None,
        };
        let members = self.members.iter();
        let members = members.map(|member| member.row(row.id, self.created_at));
        Ok(ImportedChat {
            members: members.collect(),
            key: self.key,
            keeps_id: kept.is_some(),
            row,
        })
    }

    /// The key of a personal chat. One that isn't of exactly two, or of two who have one already, becomes a group.
    fn pair(&mut self, work: &mut Work, keys: &mut ChatKeys) -> Option<String> {
        if self.kind != ChatKind::Personal {
            return None;
        }
        if let [one, other] = &self.members[..] {
            let (low, high) = (one.user.min(other.user), one.user.max(other.user));
            let key = format!("{low}:{high}");
            if keys.pairs.insert(key.clone()) {
                self.are_members();
                return Some(key);
            }
        }
        let remark =
            "personal chats aren't of exactly two, or the only one of their two, and become groups";
        work.report.remark(remark, self.key.clone());
        self.kind = ChatKind::Group;
        None
    }

    fn are_members(&mut self) {
        for member in &mut self.members {
            member.role = Some(Role::Member);
        }
    }

    /// Where nobody is called the owner there, whoever was found for the group goes on owning it: rows come in no
    /// certain order, and the first of them may be another one now.
    fn keeps_owner(&mut self, here: &HashMap<UserId, Role>) {
        let owner = Some(Role::Owner);
        if self.members.iter().any(|member| member.role == owner) {
            return;
        }
        let owned = |member: &&mut SourceMember| {
            here.get(&member.user) == owner.as_ref() && member.role != Some(Role::Banned)
        };
        if let Some(member) = self.members.iter_mut().find(owned) {
            member.role = owner;
        }
    }

    /// Whoever made a group owns it, else its first admin, else its first member; never who is banned from it.
    fn has_owner(&mut self) {
        let owner = Some(Role::Owner);
        if self.members.iter().any(|member| member.role == owner) {
            return;
        }
        let (maker, admin) = (self.created_by, Some(Role::Admin));
        let place = |fits: &dyn Fn(&SourceMember) -> bool| {
            let may = |member: &SourceMember| member.role != Some(Role::Banned) && fits(member);
            self.members.iter().position(may)
        };
        let place = place(&|member| Some(member.user) == maker)
            .or_else(|| place(&|member| member.role == admin))
            .or_else(|| place(&|_| true));
        if let Some(place) = place {
            self.members[place].role = owner;
        }
    }

    fn room(&self, work: &mut Work, keys: &mut ChatKeys) -> (String, Option<String>) {
        let name = cut(&self.name).unwrap_or_else(|| cut_to(&self.key));
        let key = RoomName::parse(Some(&name))
            .map(|room| room.key().to_owned())
            .ok();
        let key = key.filter(|key| keys.rooms.insert(key.clone()));
        if key.is_none() {
            let remark = "rooms are kept, but can't be entered by their name, which isn't the only one or can't stand \
                          in an address";
            work.report.remark(remark, name.clone());
        }
        (name, key)
    }

    fn group_name(&self, people: &People) -> String {
        let of_members = || {
            let names: Vec<&str> = self
                .members
                .iter()
                .map(|member| people.name(member.user))
                .collect();
            cut(&names.join(", "))
        };
        cut(&self.name)
            .or_else(of_members)
            .unwrap_or_else(|| cut_to(&self.key))
    }
}

/// A name as it may be here. None if nothing is left of it.
fn cut(name: &str) -> Option<String> {
    let plain: String = name
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    let name = cut_to(plain.trim());
    (!name.is_empty()).then_some(name)
}

fn cut_to(name: &str) -> String {
    let cut: String = name.chars().take(NAME_CHARS).collect();
    cut.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(made_by: i64, members: &[(i64, Option<Role>)]) -> SourceChat {
        let members = members.iter().map(|(user, role)| SourceMember {
            user: UserId(*user),
            role: *role,
            joined_at: None,
            read_at: None,
        });
        SourceChat {
            key: "7".to_owned(),
            kind: ChatKind::Group,
            name: String::new(),
            created_by: Some(UserId(made_by)),
            created_at: database_time(),
            is_private: false,
            members: members.collect(),
        }
    }

    #[test]
    fn who_was_banned_from_the_group_that_they_made_does_not_own_it() {
        let (banned, admin) = (Some(Role::Banned), Some(Role::Admin));
        let roles = |mut group: SourceChat| {
            group.has_owner();
            let roles = group.members.iter().map(|member| member.role);
            roles.collect::<Vec<_>>()
        };
        let owner = Some(Role::Owner);
        for (members, expected) in [
            (vec![(1, None), (2, admin)], vec![owner, admin]),
            (
                vec![(1, banned), (2, None), (3, admin)],
                vec![banned, None, owner],
            ),
            (
                vec![(4, banned), (1, banned), (2, None)],
                vec![banned, banned, owner],
            ),
            (vec![(1, banned)], vec![banned]),
        ] {
            assert_eq!(roles(group(1, &members)), expected);
        }
    }
}
