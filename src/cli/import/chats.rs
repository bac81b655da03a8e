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

pub(super) async fn import(
    work: &mut Work,
    table: &ChatsTable,
    people: &People,
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
    let (known, mut keys, here) = match work.is_ready {
        true => (
            work.to.imported_chats(&table.table).await?,
            work.to.chat_keys().await?,
            work.to.member_keys().await?,
        ),
        false => (HashMap::new(), ChatKeys::default(), HashSet::new()),
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
    let (mut kept, mut renumbered, mut joined) = (Vec::new(), Vec::new(), Vec::new());
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
        if let Some(chat) = known_id {
            counts.known += 1;
            let is_known = |member: &SourceMember| here.contains(&(chat, member.user));
            let (there, new): (Vec<_>, Vec<_>) = of_chat.into_iter().partition(is_known);
            member_counts.known += there.len() as u64;
            member_counts.new += new.len() as u64;
            joined.extend(new.iter().map(|member| member.row(chat, database_time())));
            continue;
        }
        counts.new += 1;
        member_counts.new += of_chat.len() as u64;
        let source = SourceChat {
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
        work.to.import_members(joined).await?;
    }
    if let Some(members) = &table.members {
        work.report.table("members", &members.table, member_counts);
    }
    work.report.table("chats", &table.table, counts);
    Ok(targets)
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
                for member in &mut self.members {
                    member.role = Some(Role::Member);
                }
                return Some(key);
            }
        }
        let remark =
            "personal chats aren't of exactly two, or the only one of their two, and become groups";
        work.report.remark(remark, self.key.clone());
        self.kind = ChatKind::Group;
        None
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
