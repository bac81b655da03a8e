//! The search index: following the chats, and asking it. What each database indexes words with differs, and stands
//! here and in `words.rs`.
//!
//! Relies on: a chat's numbers have no gap and are committed in their order, so that one number says how far the index
//! has come; a node that writes to the index has locked that number, so that none overtakes another.

use std::collections::{BTreeMap, HashMap};

use entity::{
    ChangeKind, ChatId, MessageId, Role, Seq, UserId, change, chat, member, message, search_mark,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, FromQueryResult,
    QueryFilter, QueryOrder, QuerySelect, Value,
    sea_query::{Expr, ExprTrait, Func, OnConflict, Query},
};

use super::{
    Store, Stored,
    sql::composed,
    words::{Question, indexed},
};

/// Chats that a question names; who belongs to more is looked for in all.
const NAMED_MAX: u64 = 256;

/// Where is searched.
#[derive(Clone, Copy, Debug)]
pub enum Searched {
    /// In all chats that a user belongs to.
    Of(UserId),
    /// In one chat, above a number.
    In(ChatId, Seq),
}

/// How far a chat is to be followed now.
struct Stretch {
    to: Seq,
    has_more: bool,
}

impl Store {
    /// Chats that the index hasn't followed to their last number, after this one, in their order.
    pub async fn chats_behind(&self, after: ChatId, limit: u64) -> Stored<Vec<ChatId>> {
        let chat = |column| (chat::Entity, column);
        let mark = |column| (search_mark::Entity, column);
        let behind = Query::select()
            .column(chat(chat::Column::Id))
            .from(chat::Entity)
            .left_join(
                search_mark::Entity,
                Expr::col(mark(search_mark::Column::ChatId)).equals(chat(chat::Column::Id)),
            )
            .and_where(Expr::col(chat(chat::Column::Id)).gt(after.0))
            .and_where(Expr::col(chat(chat::Column::LastSeq)).gt(Func::coalesce([
                Expr::col(mark(search_mark::Column::Seq)),
                Expr::val(0),
            ])))
            .order_by(chat(chat::Column::Id), sea_orm::Order::Asc)
            .limit(limit)
            .to_owned();
        let rows = self.read().query_all(&behind).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// Takes what happened next in these chats into the index, at most `numbers` of each. Comes back with those in
    /// which more happened.
    pub async fn index(&self, chats: &[ChatId], numbers: u64) -> Stored<Vec<ChatId>> {
        let transaction = self.begin().await?;
        let stretches = stretches(&transaction, chats, numbers).await?;
        if !stretches.is_empty() {
            let messages = to_index(&transaction, &stretches, numbers).await?;
            rewrite(&transaction, messages).await?;
            let marks = stretches
                .iter()
                .map(|(chat, stretch)| search_mark::ActiveModel {
                    chat_id: Set(*chat),
                    seq: Set(stretch.to),
                });
            let moved = OnConflict::column(search_mark::Column::ChatId)
                .update_column(search_mark::Column::Seq)
                .to_owned();
            search_mark::Entity::insert_many(marks)
                .on_conflict(moved)
                .exec_without_returning(&transaction)
                .await?;
        }
        transaction.commit().await?;
        let more = stretches.iter().filter(|(_, stretch)| stretch.has_more);
        Ok(more.map(|(chat, _)| *chat).collect())
    }

    /// The newest messages that answer a question and may be seen there, below an id, newest first.
    pub async fn find_texts(
        &self,
        question: &Question,
        searched: Searched,
        below: MessageId,
        limit: u64,
    ) -> Stored<Vec<message::Model>> {
        let database = self.read().get_database_backend();
        let (scope, narrowed, more): (_, _, [Value; 2]) = match searched {
            Searched::Of(user) => (
                "JOIN member b ON b.chat_id = m.chat_id AND b.user_id = ?4 AND b.role <> ?5 \
                 AND m.seq > b.cleared_seq",
                self.named_chats(user).await?,
                [user.into(), Role::Banned.into()],
            ),
            Searched::In(chat, above) => (
                "AND m.chat_id = ?4 AND m.seq > ?5",
                vec![chat],
                [chat.into(), above.into()],
            ),
        };
        // The index is asked first, newest first, and what it finds is looked at until the page is full.
        let found = match database {
            DbBackend::Postgres => {
                "message_search f JOIN message m ON m.id = f.message_id AND f.words @@ ?1::tsquery \
                 AND f.message_id < ?2"
            }
            DbBackend::MySql => {
                "message_search f JOIN message m ON m.id = f.message_id \
                 AND MATCH (f.words) AGAINST (?1 IN BOOLEAN MODE) AND f.message_id < ?2"
            }
            _ => {
                "message_search f CROSS JOIN message m ON m.id = f.rowid AND f.message_search MATCH ?1 \
                 AND f.rowid < ?2"
            }
        };
        let key = index_key(database);
        let sql = format!(
            "SELECT m.* FROM {found} {scope} JOIN chat c ON c.id = m.chat_id AND NOT c.is_deleted \
             WHERE NOT m.is_deleted ORDER BY f.{key} DESC LIMIT ?3"
        );
        let [fourth, fifth] = more;
        let values = [
            question.expression(database, &narrowed).into(),
            below.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
            fourth,
            fifth,
        ];
        let rows = self
            .read()
            .query_all_raw(composed(self.read(), &sql, values))
            .await?;
        let message = |row| Ok(message::Model::from_query_result(row, "")?);
        rows.iter().map(message).collect()
    }

    /// The chats of a user, where they are few enough to be named.
    async fn named_chats(&self, user: UserId) -> Stored<Vec<ChatId>> {
        let chats: Vec<ChatId> = member::Entity::find()
            .select_only()
            .column(member::Column::ChatId)
            .filter(member::Column::UserId.eq(user))
            .filter(member::Column::Role.ne(Role::Banned))
            .limit(NAMED_MAX + 1)
            .into_tuple()
            .all(self.read())
            .await?;
        let are_few = chats.len() as u64 <= NAMED_MAX;
        Ok(if are_few { chats } else { Vec::new() })
    }
}

/// Locks how far these chats are in the index, and finds how far they are to be followed now: those that are ahead.
async fn stretches(
    transaction: &DatabaseTransaction,
    chats: &[ChatId],
    numbers: u64,
) -> Stored<BTreeMap<ChatId, Stretch>> {
    let mut marks = lock_marks(transaction, chats).await?;
    let new: Vec<ChatId> = chats
        .iter()
        .copied()
        .filter(|chat| !marks.contains_key(chat))
        .collect();
    if !new.is_empty() {
        let rows = new.iter().map(|chat| search_mark::ActiveModel {
            chat_id: Set(*chat),
            seq: Set(Seq(0)),
        });
        let key = search_mark::Column::ChatId;
        search_mark::Entity::insert_many(rows)
            .on_conflict(OnConflict::column(key).do_nothing_on([key]).to_owned())
            .exec_without_returning(transaction)
            .await?;
        marks.extend(lock_marks(transaction, &new).await?);
    }
    // Read before the messages: all up to these numbers is committed.
    let last: Vec<(ChatId, Seq)> = chat::Entity::find()
        .select_only()
        .column(chat::Column::Id)
        .column(chat::Column::LastSeq)
        .filter(chat::Column::Id.is_in(chats.iter().copied()))
        .into_tuple()
        .all(transaction)
        .await?;
    let stretch = |(chat, last): (ChatId, Seq)| {
        let from = *marks.get(&chat)?;
        let to = Ord::min(last, Seq(from.0.saturating_add_unsigned(numbers)));
        let stretch = Stretch {
            to,
            has_more: to < last,
        };
        (from < to).then_some((chat, stretch))
    };
    Ok(last.into_iter().filter_map(stretch).collect())
}

async fn lock_marks(
    transaction: &DatabaseTransaction,
    chats: &[ChatId],
) -> Stored<HashMap<ChatId, Seq>> {
    // In ascending id, as the writer locks chats: two nodes wait for each other instead of deadlocking.
    let marks = search_mark::Entity::find()
        .filter(search_mark::Column::ChatId.is_in(chats.iter().copied()))
        .order_by_asc(search_mark::Column::ChatId)
        .lock_exclusive()
        .all(transaction)
        .await?;
    Ok(marks
        .into_iter()
        .map(|mark| (mark.chat_id, mark.seq))
        .collect())
}

/// The messages in these stretches, new or changed, each once, in their latest state.
async fn to_index(
    transaction: &DatabaseTransaction,
    stretches: &BTreeMap<ChatId, Stretch>,
    numbers: u64,
) -> Stored<BTreeMap<MessageId, message::Model>> {
    let chats: Vec<i64> = stretches.keys().map(|chat| chat.0).collect();
    let mark = |column| Expr::col((search_mark::Entity, column));
    let numbers = i64::try_from(numbers).unwrap_or(i64::MAX);
    // The stretches of these chats, by the columns that hold a row's chat and number.
    let stretch = |chat: Expr, seq: Expr| {
        let after = seq.clone().gt(mark(search_mark::Column::Seq));
        let until = seq.lte(mark(search_mark::Column::Seq).add(numbers));
        let of_chat = mark(search_mark::Column::ChatId).is_in(chats.iter().copied());
        let same = mark(search_mark::Column::ChatId).eq(chat);
        same.and(of_chat).and(after).and(until)
    };
    let column = |column| Expr::col((message::Entity, column));
    let mut said = message::Entity::find();
    QuerySelect::query(&mut said).inner_join(
        search_mark::Entity,
        stretch(
            column(message::Column::ChatId),
            column(message::Column::Seq),
        ),
    );
    let mut messages: BTreeMap<MessageId, message::Model> = BTreeMap::new();
    for row in said.all(transaction).await? {
        // What was committed since the stretches were measured comes with the next ones.
        let is_in = |stretch: &Stretch| row.seq <= stretch.to;
        if stretches.get(&row.chat_id).is_some_and(is_in) {
            messages.insert(row.id, row);
        }
    }
    let column = |column| Expr::col((change::Entity, column));
    let changes = column(change::Column::MessageId)
        .eq(Expr::col((message::Entity, message::Column::Id)))
        .and(change::Column::Kind.is_in([ChangeKind::MessageEdited, ChangeKind::MessageDeleted]));
    let mut changed = message::Entity::find();
    QuerySelect::query(&mut changed)
        .inner_join(change::Entity, changes)
        .inner_join(
            search_mark::Entity,
            stretch(column(change::Column::ChatId), column(change::Column::Seq)),
        );
    for row in changed.all(transaction).await? {
        messages.insert(row.id, row);
    }
    Ok(messages)
}

/// Puts messages into the index as they are now: none that is deleted.
async fn rewrite(
    transaction: &DatabaseTransaction,
    messages: BTreeMap<MessageId, message::Model>,
) -> Stored<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let database = transaction.get_database_backend();
    let key = index_key(database);
    let old = Query::delete()
        .from_table(INDEX)
        .and_where(Expr::col(key).is_in(messages.keys().map(|id| id.0)))
        .to_owned();
    transaction.execute(&old).await?;
    let mut new = Query::insert()
        .into_table(INDEX)
        .columns([key, "words"])
        .to_owned();
    let mut is_empty = true;
    for message in messages.into_values().filter(|message| !message.is_deleted) {
        let words = Expr::val(indexed(message.chat_id, &message.text, database));
        let words = match database {
            DbBackend::Postgres => {
                let words = Func::cust("string_to_array").arg(words).arg(" ");
                Func::cust("array_to_tsvector").arg(words).into()
            }
            _ => words,
        };
        new.values_panic([Expr::val(message.id.0), words]);
        is_empty = false;
    }
    if !is_empty {
        transaction.execute(&new).await?;
    }
    Ok(())
}

const INDEX: &str = "message_search";

/// The index's column of message ids.
fn index_key(database: DbBackend) -> &'static str {
    match database {
        DbBackend::Postgres | DbBackend::MySql => "message_id",
        _ => "rowid",
    }
}
