//! Rows that come from another service: written as they were there, with numbers of ours.
//!
//! Relies on: whoever imports is alone with these chats. A batch is one transaction, so that what was interrupted goes
//! on after its last batch. Numbers that are written as they were are counted on from before their transaction ends
//! (`count_on`), so that none is given again, whenever that is interrupted.

use std::collections::{HashMap, HashSet};

use entity::{
    ChangeKind, ChatId, ChatKind, ContentType, MessageId, Role, Seq, Time, UserId, change, chat,
    imported, member, message, session, user,
};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::{
    Store, Stored,
    sql::{Kind, Sql, rows, update, with_rows},
};

/// Rows of one statement.
const ROWS_AT_ONCE: usize = 500;
/// Members of one statement, in which they are one parameter.
const MEMBERS_AT_ONCE: usize = 10_000;

static READ_MARKS: Sql = Sql::new(|database| {
    let marks = [("user_id", Kind::Number), ("seq", Kind::Number)];
    update(
        database,
        "member",
        "last_read_seq = j.seq",
        &rows(database, &marks),
        "t.chat_id = ?2 AND t.user_id = j.user_id AND t.last_read_seq < j.seq",
    )
});

static ROLES: Sql = Sql::new(|database| {
    let roles = [
        ("chat_id", Kind::Number),
        ("user_id", Kind::Number),
        ("given", Kind::Words),
    ];
    update(
        database,
        "member",
        "role = j.given",
        &rows(database, &roles),
        "t.chat_id = j.chat_id AND t.user_id = j.user_id",
    )
});

/// What an account is known by, here already.
#[derive(Clone, Debug)]
pub struct AccountKeys {
    /// Its number.
    pub id: UserId,
    /// Exact.
    pub username: String,
    /// Folded.
    pub username_key: Option<String>,
    /// Folded.
    pub email_key: Option<String>,
    /// It may sign in.
    pub is_active: bool,
}

/// What chats are known by, here already.
#[derive(Clone, Debug, Default)]
pub struct ChatKeys {
    /// All numbers.
    pub ids: HashSet<ChatId>,
    /// Of personal chats.
    pub pairs: HashSet<String>,
    /// Of rooms.
    pub rooms: HashSet<String>,
    /// What those are that weren't deleted.
    pub kinds: HashMap<ChatId, ChatKind>,
}

/// A chat to be written, with its members.
#[derive(Clone, Debug)]
pub struct ImportedChat {
    /// Its key where it comes from.
    pub key: String,
    /// The chat; its number is taken where `keeps_id` says so.
    pub row: chat::Model,
    /// Whether the row's number is free.
    pub keeps_id: bool,
    /// Members, but for their chat.
    pub members: Vec<member::Model>,
}

/// A message to be written after those that are there.
#[derive(Clone, Debug)]
pub struct ImportedMessage {
    /// Tells it from others, also in the next import.
    pub client_id: String,
    /// Whose.
    pub sender: UserId,
    /// Empty where it was deleted.
    pub text: String,
    /// What the text is.
    pub content_type: ContentType,
    /// When.
    pub timestamp: Time,
    /// When it was changed.
    pub edited_at: Option<Time>,
    /// It was deleted.
    pub is_deleted: bool,
}

impl Store {
    /// What all accounts are known by.
    pub async fn account_keys(&self) -> Stored<Vec<AccountKeys>> {
        type Row = (UserId, String, Option<String>, Option<String>, bool);
        let rows: Vec<Row> = user::Entity::find()
            .select_only()
            .columns([
                user::Column::Id,
                user::Column::Username,
                user::Column::UsernameKey,
                user::Column::EmailKey,
                user::Column::IsActive,
            ])
            .into_tuple()
            .all(self.read())
            .await?;
        let keys = rows.into_iter();
        let keys = keys.map(
            |(id, username, username_key, email_key, is_active)| AccountKeys {
                id,
                username,
                username_key,
                email_key,
                is_active,
            },
        );
        Ok(keys.collect())
    }

    /// Which of these keys accounts have, of names and of addresses.
    pub async fn taken_keys(
        &self,
        usernames: Vec<String>,
        emails: Vec<String>,
    ) -> Stored<(HashSet<String>, HashSet<String>)> {
        let taken = async |column: user::Column, keys: Vec<String>| -> Stored<HashSet<String>> {
            let rows: Vec<Option<String>> = user::Entity::find()
                .select_only()
                .column(column)
                .filter(column.is_in(keys))
                .into_tuple()
                .all(self.read())
                .await?;
            Ok(rows.into_iter().flatten().collect())
        };
        let usernames = taken(user::Column::UsernameKey, usernames).await?;
        Ok((usernames, taken(user::Column::EmailKey, emails).await?))
    }

    /// Writes accounts with their numbers.
    pub async fn import_accounts(&self, rows: Vec<user::Model>) -> Stored<()> {
        let transaction = self.begin().await?;
        for some in rows.chunks(ROWS_AT_ONCE) {
            let some = some.iter().cloned();
            let some = some.map(|row| row.into_active_model().reset_all());
            user::Entity::insert_many(some)
                .exec_without_returning(&transaction)
                .await?;
        }
        count_on(&transaction, "user").await?;
        Ok(transaction.commit().await?)
    }

    /// Accounts by their numbers, and who of them has signed in here.
    pub async fn accounts_with_sessions(
        &self,
        ids: Vec<UserId>,
    ) -> Stored<(HashMap<UserId, user::Model>, HashSet<UserId>)> {
        let rows = user::Entity::find()
            .filter(user::Column::Id.is_in(ids.iter().copied()))
            .all(self.read())
            .await?;
        let signed_in: Vec<UserId> = session::Entity::find()
            .select_only()
            .column(session::Column::UserId)
            .distinct()
            .filter(session::Column::UserId.is_in(ids))
            .into_tuple()
            .all(self.read())
            .await?;
        let rows = rows.into_iter().map(|row| (row.id, row));
        Ok((rows.collect(), signed_in.into_iter().collect()))
    }

    /// Gives accounts the keys of their addresses, which nobody has.
    pub async fn import_email_keys(&self, keys: Vec<(UserId, String)>) -> Stored<()> {
        let transaction = self.begin().await?;
        for (user, key) in keys {
            user::Entity::update_many()
                .col_expr(user::Column::EmailKey, Expr::value(key))
                .filter(user::Column::Id.eq(user))
                .exec(&transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Writes anew what accounts that are there have from where they came.
    pub async fn import_accounts_again(&self, rows: Vec<user::Model>) -> Stored<()> {
        let transaction = self.begin().await?;
        // First nobody has an address: two may have exchanged theirs.
        let ids = rows.iter().map(|row| row.id);
        user::Entity::update_many()
            .col_expr(user::Column::EmailKey, Expr::value(None::<String>))
            .filter(user::Column::Id.is_in(ids))
            .exec(&transaction)
            .await?;
        for row in rows {
            let columns = user::ActiveModel {
                password: Set(row.password),
                email: Set(row.email),
                email_key: Set(row.email_key),
                first_name: Set(row.first_name),
                last_name: Set(row.last_name),
                is_staff: Set(row.is_staff),
                is_active: Set(row.is_active),
                last_login: Set(row.last_login),
                ..Default::default()
            };
            user::Entity::update_many()
                .set(columns)
                .filter(user::Column::Id.eq(row.id))
                .exec(&transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// What all chats are known by.
    pub async fn chat_keys(&self) -> Stored<ChatKeys> {
        type Row = (ChatId, Option<String>, Option<String>, ChatKind, bool);
        let rows: Vec<Row> = chat::Entity::find()
            .select_only()
            .columns([
                chat::Column::Id,
                chat::Column::PairKey,
                chat::Column::RoomKey,
                chat::Column::Kind,
                chat::Column::IsDeleted,
            ])
            .into_tuple()
            .all(self.read())
            .await?;
        let mut keys = ChatKeys::default();
        for (id, pair, room, kind, is_deleted) in rows {
            keys.ids.insert(id);
            if !is_deleted {
                keys.kinds.insert(id, kind);
            }
            keys.pairs.extend(pair);
            keys.rooms.extend(room);
        }
        Ok(keys)
    }

    /// The chats that came from a source already, by their keys there.
    pub async fn imported_chats(&self, source: &str) -> Stored<HashMap<String, ChatId>> {
        let rows = imported::Entity::find()
            .filter(imported::Column::Source.eq(source))
            .all(self.read())
            .await?;
        Ok(rows.into_iter().map(|row| (row.key, row.chat_id)).collect())
    }

    /// Writes chats with their members. Their numbers here, in the same order.
    pub async fn import_chats(
        &self,
        source: &str,
        chats: Vec<ImportedChat>,
    ) -> Stored<Vec<ChatId>> {
        let transaction = self.begin().await?;
        let mut ids = Vec::with_capacity(chats.len());
        let mut is_counted = true;
        for chat in chats {
            let kept = match chat.keeps_id {
                true => Set(chat.row.id),
                false => NotSet,
            };
            if !chat.keeps_id && !is_counted {
                count_on(&transaction, "chat").await?;
            }
            is_counted = !chat.keeps_id;
            let row = chat::ActiveModel {
                id: kept,
                ..chat.row.into_active_model().reset_all()
            };
            let id = row.insert(&transaction).await?.id;
            let members = chat.members.into_iter().map(|member| {
                let member = member::Model {
                    chat_id: id,
                    ..member
                };
                member.into_active_model().reset_all()
            });
            let members: Vec<_> = members.collect();
            for some in members.chunks(ROWS_AT_ONCE) {
                member::Entity::insert_many(some.to_vec())
                    .exec_without_returning(&transaction)
                    .await?;
            }
            let known = imported::Model {
                source: source.to_owned(),
                key: chat.key,
                chat_id: id,
            };
            known.into_active_model().insert(&transaction).await?;
            ids.push(id);
        }
        if !is_counted {
            count_on(&transaction, "chat").await?;
        }
        transaction.commit().await?;
        Ok(ids)
    }

    /// Who belongs to which chat, and as what.
    pub async fn member_roles(&self) -> Stored<HashMap<ChatId, HashMap<UserId, Role>>> {
        let rows: Vec<(ChatId, UserId, Role)> = member::Entity::find()
            .select_only()
            .columns([
                member::Column::ChatId,
                member::Column::UserId,
                member::Column::Role,
            ])
            .into_tuple()
            .all(self.read())
            .await?;
        let mut members: HashMap<ChatId, HashMap<UserId, Role>> = HashMap::new();
        for (chat, user, role) in rows {
            members.entry(chat).or_default().insert(user, role);
        }
        Ok(members)
    }

    /// Who was made a member, left or was given a role by somebody who used the service; what an import does isn't
    /// among it.
    pub async fn changed_members(&self) -> Stored<HashMap<ChatId, HashSet<UserId>>> {
        let of_members = [
            ChangeKind::MemberJoined,
            ChangeKind::MemberLeft,
            ChangeKind::MemberChanged,
        ];
        let rows: Vec<(ChatId, Option<UserId>)> = change::Entity::find()
            .select_only()
            .columns([change::Column::ChatId, change::Column::UserId])
            .distinct()
            .filter(change::Column::Kind.is_in(of_members))
            .into_tuple()
            .all(self.read())
            .await?;
        let mut members: HashMap<ChatId, HashSet<UserId>> = HashMap::new();
        for (chat, user) in rows {
            members.entry(chat).or_default().extend(user);
        }
        Ok(members)
    }

    /// Writes members of chats that are there, the roles of others who are, and removes those who are gone, who come
    /// chat by chat.
    pub async fn import_members(
        &self,
        joined: Vec<member::Model>,
        roles: Vec<(ChatId, UserId, Role)>,
        gone: Vec<(ChatId, UserId)>,
    ) -> Stored<()> {
        let transaction = self.begin().await?;
        for of_chat in gone.chunk_by(|one, next| one.0 == next.0) {
            for some in of_chat.chunks(ROWS_AT_ONCE) {
                let users = some.iter().map(|(_, user)| *user);
                member::Entity::delete_many()
                    .filter(member::Column::ChatId.eq(some[0].0))
                    .filter(member::Column::UserId.is_in(users))
                    .exec(&transaction)
                    .await?;
            }
        }
        for some in roles.chunks(MEMBERS_AT_ONCE) {
            let change = with_rows(&transaction, &ROLES, &some, [])?;
            transaction.execute_raw(change).await?;
        }
        for some in joined.chunks(ROWS_AT_ONCE) {
            let some = some.iter().cloned();
            let some = some.map(|member| member.into_active_model().reset_all());
            member::Entity::insert_many(some)
                .exec_without_returning(&transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// A chat's messages by their client ids: their numbers, those in the chat, and those of what they answer.
    pub async fn client_ids(
        &self,
        chat: ChatId,
    ) -> Stored<HashMap<String, (MessageId, Seq, Option<MessageId>)>> {
        type Row = (Option<String>, MessageId, Seq, Option<MessageId>);
        let rows: Vec<Row> = message::Entity::find()
            .select_only()
            .columns([
                message::Column::ClientId,
                message::Column::Id,
                message::Column::Seq,
                message::Column::ReplyTo,
            ])
            .filter(message::Column::ChatId.eq(chat))
            .filter(message::Column::ClientId.is_not_null())
            .into_tuple()
            .all(self.read())
            .await?;
        let known = rows.into_iter();
        let known = known
            .filter_map(|(client_id, id, seq, reply_to)| Some((client_id?, (id, seq, reply_to))));
        Ok(known.collect())
    }

    /// Writes messages after those of the chat that are there, in this order: each takes the next number, and no
    /// moment goes back. Senders are made members where `joins` says so. The chat's last number then.
    pub async fn import_messages(
        &self,
        chat: ChatId,
        messages: Vec<ImportedMessage>,
        joins: bool,
    ) -> Stored<Option<Seq>> {
        let transaction = self.begin().await?;
        let query = chat::Entity::find_by_id(chat);
        let query = match transaction.get_database_backend() {
            // The transaction has its lock from the beginning, and SQLite has no other.
            DbBackend::Sqlite => query,
            _ => query.lock_exclusive(),
        };
        let Some(row) = query.one(&transaction).await? else {
            return Ok(None);
        };
        let mut seq = row.last_seq.0;
        let mut last_at = row.last_message_at;
        let mut rows = Vec::with_capacity(messages.len());
        let mut senders = HashSet::new();
        let count = messages.len() as i64;
        for message in messages {
            seq += 1;
            let timestamp = last_at.map_or(message.timestamp, |last| {
                std::cmp::max(last, message.timestamp)
            });
            last_at = Some(timestamp);
            senders.insert(message.sender);
            rows.push(message::ActiveModel {
                id: NotSet,
                chat_id: Set(chat),
                seq: Set(Seq(seq)),
                sender_id: Set(message.sender),
                text: Set(message.text),
                content_type: Set(message.content_type),
                client_id: Set(Some(message.client_id)),
                reply_to: Set(None),
                timestamp: Set(timestamp),
                edited_at: Set(message.edited_at),
                is_deleted: Set(message.is_deleted),
            });
        }
        for some in rows.chunks(ROWS_AT_ONCE) {
            message::Entity::insert_many(some.to_vec())
                .exec_without_returning(&transaction)
                .await?;
        }
        chat::Entity::update_many()
            .col_expr(chat::Column::LastSeq, Expr::value(Seq(seq)))
            .col_expr(
                chat::Column::MessageCount,
                Expr::value(row.message_count + count),
            )
            .col_expr(chat::Column::LastMessageAt, Expr::value(last_at))
            .filter(chat::Column::Id.eq(chat))
            .exec(&transaction)
            .await?;
        if joins {
            let joined_at = row.created_at;
            let members = senders.into_iter().map(|user_id| {
                let member = member::Model {
                    chat_id: chat,
                    user_id,
                    role: Role::Member,
                    joined_at,
                    last_read_seq: Seq(0),
                    cleared_seq: Seq(0),
                    cleared_count: 0,
                };
                member.into_active_model().reset_all()
            });
            let key = [member::Column::ChatId, member::Column::UserId];
            member::Entity::insert_many(members)
                .on_conflict(OnConflict::columns(key).do_nothing_on(key).to_owned())
                .exec_without_returning(&transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(Some(Seq(seq)))
    }

    /// Lets members of a chat have read what is not younger than their moment and, who have none, everything up to
    /// `last`. No mark goes back.
    // All of the chat's moments at once: they never go back in it, so that each reader's place is found without asking
    // again, and a number and a moment are less than what `client_ids` reads.
    pub async fn import_reads(
        &self,
        chat: ChatId,
        readers: &HashMap<UserId, Option<Time>>,
        last: Seq,
    ) -> Stored<()> {
        let moments: Vec<(Seq, Time)> = match readers.values().any(Option::is_some) {
            true => {
                message::Entity::find()
                    .select_only()
                    .columns([message::Column::Seq, message::Column::Timestamp])
                    .filter(message::Column::ChatId.eq(chat))
                    .order_by_asc(message::Column::Seq)
                    .into_tuple()
                    .all(self.read())
                    .await?
            }
            false => Vec::new(),
        };
        let read = |until: &Option<Time>| match until {
            None => last,
            Some(until) => {
                let count = moments.partition_point(|(_, at)| at <= until);
                count.checked_sub(1).map_or(Seq(0), |at| moments[at].0)
            }
        };
        let marks = readers.iter().map(|(user, until)| (*user, read(until)));
        let marks: Vec<(UserId, Seq)> = marks.filter(|(_, seq)| *seq > Seq(0)).collect();
        for some in marks.chunks(MEMBERS_AT_ONCE) {
            let change = with_rows(self.write(), &READ_MARKS, &some, [chat.into()])?;
            self.write().execute_raw(change).await?;
        }
        Ok(())
    }

    /// Writes down what messages answer.
    pub async fn import_replies(&self, replies: Vec<(MessageId, MessageId)>) -> Stored<()> {
        let transaction = self.begin().await?;
        for (id, answers) in replies {
            message::Entity::update_many()
                .col_expr(message::Column::ReplyTo, Expr::value(answers))
                .filter(message::Column::Id.eq(id))
                .filter(message::Column::ReplyTo.is_null())
                .exec(&transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Lets the next numbers that the database gives follow those that are there: for what was written by a program that
    /// didn't see to it, or was restored.
    pub async fn count_on(&self) -> Stored<()> {
        for table in ["user", "chat"] {
            count_on(self.write(), table).await?;
        }
        Ok(())
    }
}

/// Lets the next number that the database gives follow those in a table. PostgreSQL alone counts apart: a row that
/// brings its number doesn't move the sequence.
// Never back: whoever else writes may have taken what follows, and no number may be given twice.
async fn count_on(database: &impl ConnectionTrait, table: &str) -> Stored<()> {
    if database.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let sql = format!(
        "SELECT setval(sequence, highest) FROM \
         (SELECT pg_get_serial_sequence('\"{table}\"', 'id')::regclass AS sequence, max(id) AS highest FROM \"{table}\") \
         AS rows WHERE highest > coalesce(pg_sequence_last_value(sequence), 0)"
    );
    database.execute_unprepared(&sql).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use test_database::TestDatabase;

    use super::*;
    use crate::store::{StoreOptions, database_time};

    async fn opened(database: &TestDatabase) -> Store {
        let options = StoreOptions::alone(database.url().to_owned());
        Store::open(&options).await.unwrap()
    }

    fn account(id: i64) -> user::Model {
        let now = database_time();
        user::Model {
            id: UserId(id),
            username: format!("user {id}"),
            username_key: None,
            password: String::new(),
            email: String::new(),
            email_key: None,
            first_name: String::new(),
            last_name: String::new(),
            is_staff: false,
            is_active: true,
            avatar: None,
            date_joined: now,
            last_login: None,
            last_seen: None,
            tokens_valid_after: None,
            changed_at: now,
        }
    }

    /// Somebody new, who is given a number.
    async fn registers(store: &Store, name: &str) -> i64 {
        let row = user::Model {
            username: name.to_owned(),
            ..account(0)
        };
        let row = user::ActiveModel {
            id: NotSet,
            ..row.into_active_model().reset_all()
        };
        row.insert(store.write()).await.unwrap().id.0
    }

    fn chat(key: &str, kept: Option<i64>) -> ImportedChat {
        ImportedChat {
            key: key.to_owned(),
            row: chat::Model {
                id: ChatId(kept.unwrap_or(0)),
                kind: ChatKind::Group,
                name: Some(key.to_owned()),
                room_name: None,
                room_key: None,
                pair_key: None,
                support_user_id: None,
                created_by: UserId(1),
                created_at: database_time(),
                last_seq: Seq(0),
                message_count: 0,
                last_message_at: None,
                is_private: false,
                is_deleted: false,
                support_read_seq: Seq(0),
                waiting_seq: None,
                waiting_since: None,
            },
            keeps_id: kept.is_some(),
            members: Vec::new(),
        }
    }

    #[tokio::test]
    async fn accounts_that_kept_their_numbers_leave_the_next_ones_to_others() {
        let database = TestDatabase::new();
        let store = opened(&database).await;
        let rows = [1, 2, 3, 7].map(account);
        store.import_accounts(rows.into()).await.unwrap();
        assert_eq!(registers(&store, "anna").await, 8);
        store.import_accounts(vec![account(5)]).await.unwrap();
        assert_eq!(registers(&store, "boris").await, 9);
        store.close().await;
    }

    #[tokio::test]
    async fn chats_that_are_given_a_number_are_given_a_free_one() {
        let database = TestDatabase::new();
        let store = opened(&database).await;
        let chats = vec![
            chat("a", Some(1)),
            chat("b", Some(2)),
            chat("c", None),
            chat("d", Some(9)),
        ];
        let ids = store.import_chats("one", chats).await.unwrap();
        assert_eq!(ids, [1, 2, 3, 9].map(ChatId));
        let more = vec![chat("a", None)];
        assert_eq!(
            store.import_chats("another", more).await.unwrap(),
            [ChatId(10)]
        );
        store.close().await;
    }

    #[tokio::test]
    async fn counting_on_never_gives_a_number_again_that_somebody_had() {
        let database = TestDatabase::new();
        let store = opened(&database).await;
        store.count_on().await.unwrap();
        assert_eq!(registers(&store, "anna").await, 1);
        assert_eq!(registers(&store, "boris").await, 2);
        let boris = user::Entity::delete_by_id(UserId(2));
        boris.exec(store.write()).await.unwrap();
        store.count_on().await.unwrap();
        assert_eq!(registers(&store, "vera").await, 3);
        // As a program wrote them that counted nothing.
        let row = account(20).into_active_model().reset_all();
        row.insert(store.write()).await.unwrap();
        store.count_on().await.unwrap();
        assert_eq!(registers(&store, "gleb").await, 21);
        store.close().await;
    }
}
