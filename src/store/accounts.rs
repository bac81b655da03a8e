//! Accounts: finding them by name, making and changing them, who knows whom, blocks.

use std::collections::HashSet;

use entity::{SessionId, Time, UserId, block, session, user};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, FromQueryResult, IntoActiveModel,
    QueryFilter, Value,
    sea_query::{ExprTrait, IntoCondition, OnConflict},
};

use super::{
    Store, StoreError, Stored, retried,
    sessions::revoke_all,
    sql::{
        Kind, Sql, composed, contains, ids, rows, rows_text, statement, time_text, update,
        with_rows,
    },
};

/// Rows of one statement where many accounts are made.
const ROWS_AT_ONCE: u64 = 100_000;

static INSERT_MANY: Sql = Sql::new(|database| {
    let rows = rows(
        database,
        &[("username", Kind::Words), ("username_key", Kind::Words)],
    );
    format!(
        "INSERT INTO \"user\" (username, username_key, password, email, first_name, last_name, is_staff, is_active, \
         date_joined, changed_at) \
         SELECT j.username, j.username_key, ?2, '', '', '', ?3, TRUE, ?4, ?4 FROM {rows} j ORDER BY j.place"
    )
});

// Member rows are looked up by (chat, user): a room of thousands costs no more than a personal chat.
static SHARE_A_CHAT: Sql = Sql::new(|database| {
    let ids = ids(database);
    format!(
        "SELECT DISTINCT b.user_id AS id FROM member a JOIN chat c ON c.id = a.chat_id CROSS JOIN {ids} j \
         JOIN member b ON b.chat_id = a.chat_id AND b.user_id = j.id \
         WHERE a.user_id = ?2 AND a.role <> 'banned' AND b.role <> 'banned' AND NOT c.is_deleted"
    )
});

static LAST_SEEN: Sql = Sql::new(|database| {
    let seen = [("user_id", Kind::Number), ("seen", Kind::Moment)];
    update(
        database,
        "\"user\"",
        "last_seen = j.seen",
        &rows(database, &seen),
        "t.id = j.user_id AND (t.last_seen IS NULL OR t.last_seen < j.seen)",
    )
});

/// Where inserts of others wait, so that ids follow one another.
const ALONE: &str = "LOCK TABLE \"user\" IN SHARE ROW EXCLUSIVE MODE";

/// A name with the key by which it is unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// As written.
    pub text: String,
    /// NFKC, lower case; none where it need not be unique.
    pub key: Option<String>,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccountRow {
    /// Its name.
    pub username: Keyed,
    /// Django's stored form.
    pub password: String,
    /// May be empty, without a key.
    pub email: Keyed,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// An operator.
    pub is_staff: bool,
    /// When.
    pub joined_at: Time,
}

/// What is to be changed of an account. `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// A new name.
    pub username: Option<Keyed>,
    /// A new stored password.
    pub password: Option<String>,
    /// A new address.
    pub email: Option<Keyed>,
    /// A new first name.
    pub first_name: Option<String>,
    /// A new last name.
    pub last_name: Option<String>,
    /// Another picture's hash, or none.
    pub avatar: Option<Option<String>>,
    /// An operator or not.
    pub is_staff: Option<bool>,
    /// Active or not.
    pub is_active: Option<bool>,
    /// Nothing is changed unless the stored password still is this one.
    pub only_if_password: Option<String>,
    /// All sessions end, and tokens without one.
    pub ends_sign_ins: bool,
    /// A session that begins after that.
    pub begins: Option<session::Model>,
}

/// Which names are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The user name is.
    pub username: bool,
    /// The e-mail address is.
    pub email: bool,
}

/// Which accounts a list shows.
#[derive(Clone, Copy, Debug)]
pub enum Listed<'a> {
    /// All that there are.
    All,
    /// Those whose names contain a text; it stands there also as a user name's key.
    Containing {
        /// As it was asked for.
        text: &'a str,
        /// NFKC, lower case.
        key: &'a str,
    },
    /// The one of that name.
    Named {
        /// As it was asked for.
        text: &'a str,
        /// NFKC, lower case.
        key: &'a str,
    },
    /// Those who share a chat with a user, and the user.
    Known(UserId),
}

impl Store {
    /// An account by its exact name.
    pub async fn find_user_by_name(&self, username: &str) -> Stored<Option<user::Model>> {
        Ok(user::Entity::find()
            .filter(user::Column::Username.eq(username))
            .one(self.read())
            .await?)
    }

    /// Whether another account than `except` has such names.
    pub async fn find_taken(
        &self,
        username: Option<&Keyed>,
        email: Option<&Keyed>,
        except: Option<UserId>,
    ) -> Stored<Taken> {
        let others = except.unwrap_or(UserId(0)); // ids begin at 1
        let mut taken = Taken::default();
        if let Some(username) = username {
            let by_name = user::Column::Username
                .eq(&username.text)
                .or(user::Column::UsernameKey.eq(username.key.as_deref()));
            taken.username = self.has_user(by_name, others).await?;
        }
        if let Some(key) = email.and_then(|email| email.key.as_deref()) {
            taken.email = self
                .has_user(user::Column::EmailKey.eq(key), others)
                .await?;
        }
        Ok(taken)
    }

    async fn has_user(&self, condition: impl IntoCondition, others: UserId) -> Stored<bool> {
        let found = user::Entity::find()
            .filter(condition)
            .filter(user::Column::Id.ne(others))
            .one(self.read())
            .await?;
        Ok(found.is_some())
    }

    /// Makes an account.
    pub async fn insert_account(&self, row: NewAccountRow) -> Stored<user::Model> {
        retried(|| self.insert_account_once(row.clone())).await
    }

    async fn insert_account_once(&self, row: NewAccountRow) -> Stored<user::Model> {
        let account = user::ActiveModel {
            id: NotSet,
            username: Set(row.username.text),
            username_key: Set(row.username.key),
            password: Set(row.password),
            email: Set(row.email.text),
            email_key: Set(row.email.key),
            first_name: Set(row.first_name),
            last_name: Set(row.last_name),
            is_staff: Set(row.is_staff),
            is_active: Set(true),
            avatar: Set(None),
            date_joined: Set(row.joined_at),
            last_login: Set(None),
            last_seen: Set(None),
            tokens_valid_after: Set(None),
            changed_at: Set(row.joined_at),
        };
        Ok(account.insert(self.write()).await?)
    }

    /// Makes the accounts `prefix1` to `prefix<count>`, all with one stored password. The first one's id; the others'
    /// follow it. All of them or none: it is one transaction, so that nobody else's id comes between.
    pub async fn insert_accounts(
        &self,
        prefix: &Keyed,
        count: u64,
        password: &str,
        is_staff: bool,
        at: Time,
    ) -> Stored<Option<UserId>> {
        retried(|| self.insert_accounts_once(prefix, count, password, is_staff, at)).await
    }

    async fn insert_accounts_once(
        &self,
        prefix: &Keyed,
        count: u64,
        password: &str,
        is_staff: bool,
        at: Time,
    ) -> Stored<Option<UserId>> {
        let key = prefix.key.as_deref().unwrap_or_default();
        let transaction = self.begin().await?;
        if self.database() == DbBackend::Postgres {
            transaction.execute_unprepared(ALONE).await?;
        }
        for first in (1..=count).step_by(ROWS_AT_ONCE as usize) {
            let numbers = first..=std::cmp::min(count, first + ROWS_AT_ONCE - 1);
            let rows: Vec<[String; 2]> = numbers
                .map(|number| [format!("{}{number}", prefix.text), format!("{key}{number}")])
                .collect();
            let values: [Value; 4] = [
                rows_text(&rows)?.into(),
                password.into(),
                is_staff.into(),
                at.into(),
            ];
            transaction
                .execute_raw(statement(&transaction, &INSERT_MANY, values))
                .await?;
        }
        let made = |number: u64| {
            let name = format!("{}{number}", prefix.text);
            user::Entity::find()
                .filter(user::Column::Username.eq(name))
                .one(&transaction)
        };
        let (first, last) = (made(1).await?, made(count).await?);
        if let (Some(first), Some(last)) = (&first, &last)
            && last.id.0.abs_diff(first.id.0) + 1 != count
        {
            return Err(StoreError::Contended("other accounts came between".into()));
        }
        transaction.commit().await?;
        Ok(first.map(|first| first.id))
    }

    /// Changes an account, and ends and begins sign-ins with it. The account as it is then, and the sessions that
    /// ended; none where there is no such account, or its password is another by now.
    pub async fn change_account(
        &self,
        id: UserId,
        change: AccountChange,
        at: Time,
    ) -> Stored<Option<(user::Model, Vec<SessionId>)>> {
        retried(|| self.change_account_once(id, change.clone(), at)).await
    }

    async fn change_account_once(
        &self,
        id: UserId,
        change: AccountChange,
        at: Time,
    ) -> Stored<Option<(user::Model, Vec<SessionId>)>> {
        let (only_if_password, ends, begins) = (
            change.only_if_password.clone(),
            change.ends_sign_ins,
            change.begins.clone(),
        );
        let transaction = self.begin().await?;
        let mut update = user::Entity::update_many()
            .set(changed_columns(change, at))
            .filter(user::Column::Id.eq(id));
        if let Some(password) = only_if_password {
            update = update.filter(user::Column::Password.eq(password));
        }
        if update.exec(&transaction).await?.rows_affected == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        let ended = match ends {
            true => revoke_all(&transaction, id, at).await?,
            false => Vec::new(),
        };
        if let Some(session) = begins {
            session.into_active_model().insert(&transaction).await?;
        }
        let account = user::Entity::find_by_id(id).one(&transaction).await?;
        transaction.commit().await?;
        Ok(account.map(|account| (account, ended)))
    }

    /// A page of accounts by name, and how many there are. Who was deleted isn't listed; who was deactivated only
    /// where asked for.
    pub async fn list_accounts(
        &self,
        listed: Listed<'_>,
        with_inactive: bool,
        limit: u64,
        offset: u64,
    ) -> Stored<(Vec<user::Model>, u64)> {
        let mut filter =
            String::from("FROM \"user\" u WHERE (u.is_active OR (?1 AND u.password <> ''))");
        let mut values: Vec<Value> = vec![with_inactive.into()];
        match listed {
            Listed::All => {}
            Listed::Containing { text, key } => {
                let names = ["u.username", "u.first_name", "u.last_name"];
                let names = contains(&names, text, &mut values);
                let key = contains(&["u.username_key"], key, &mut values);
                filter.push_str(&format!(" AND ({names} OR {key})"));
            }
            Listed::Named { text, key } => {
                values.extend([text.into(), key.into()]);
                filter.push_str(" AND (u.username = ?2 OR u.username_key = ?3)");
            }
            Listed::Known(user) => {
                values.push(user.into());
                filter.push_str(
                    " AND (u.id = ?2 OR u.id IN (SELECT b.user_id FROM member a JOIN chat c ON c.id = a.chat_id \
                     JOIN member b ON b.chat_id = a.chat_id WHERE a.user_id = ?2 AND a.role <> 'banned' \
                     AND b.role <> 'banned' AND NOT c.is_deleted))",
                );
            }
        }
        let count = format!("SELECT count(*) AS n {filter}");
        let count: i64 = self
            .read()
            .query_one_raw(composed(self.read(), &count, values.clone()))
            .await?
            .map_or(Ok(0), |row| row.try_get("", "n"))?;
        let (limited, skipped) = (values.len() + 1, values.len() + 2);
        let page =
            format!("SELECT u.* {filter} ORDER BY u.username LIMIT ?{limited} OFFSET ?{skipped}");
        // More than databases count to is past the end as well.
        let offset = std::cmp::min(offset, i64::MAX.unsigned_abs());
        values.extend([limit.into(), offset.into()]);
        let rows = self
            .read()
            .query_all_raw(composed(self.read(), &page, values))
            .await?;
        let accounts = rows
            .iter()
            .map(|row| user::Model::from_query_result(row, ""))
            .collect::<Result<_, _>>()?;
        Ok((accounts, count.unsigned_abs()))
    }

    /// Which of `others` share a chat with a user.
    pub async fn who_shares_a_chat(
        &self,
        user: UserId,
        others: &[UserId],
    ) -> Stored<HashSet<UserId>> {
        let asked = with_rows(self.read(), &SHARE_A_CHAT, &others, [user.into()])?;
        let rows = self.read().query_all_raw(asked).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// Blocks; again does nothing.
    pub async fn insert_block(&self, user: UserId, blocked: UserId) -> Stored<()> {
        let row = block::Model {
            user_id: user,
            blocked_id: blocked,
        };
        let again = OnConflict::columns([block::Column::UserId, block::Column::BlockedId])
            .do_nothing_on([block::Column::UserId, block::Column::BlockedId])
            .to_owned();
        block::Entity::insert(row.into_active_model())
            .on_conflict(again)
            .exec_without_returning(self.write())
            .await?;
        Ok(())
    }

    /// Unblocks; again does nothing.
    pub async fn delete_block(&self, user: UserId, blocked: UserId) -> Stored<()> {
        block::Entity::delete_by_id((user, blocked))
            .exec(self.write())
            .await?;
        Ok(())
    }

    /// Notes when users were last seen. Earlier than what is known changes nothing.
    pub async fn write_last_seen(&self, seen: &[(UserId, Time)]) -> Stored<()> {
        let mut seen = seen.to_vec();
        // In one order on all nodes, as far as the database keeps to it.
        seen.sort_unstable();
        let rows: Vec<(UserId, String)> = seen
            .iter()
            .map(|(user, at)| (*user, time_text(self.database(), *at)))
            .collect();
        retried(|| async {
            let change = with_rows(self.write(), &LAST_SEEN, &rows, [])?;
            self.write().execute_raw(change).await?;
            Ok(())
        })
        .await
    }
}

fn changed_columns(change: AccountChange, at: Time) -> user::ActiveModel {
    let mut columns = user::ActiveModel {
        changed_at: Set(at),
        ..Default::default()
    };
    if let Some(username) = change.username {
        columns.username = Set(username.text);
        columns.username_key = Set(username.key);
    }
    if let Some(email) = change.email {
        columns.email = Set(email.text);
        columns.email_key = Set(email.key);
    }
    if let Some(password) = change.password {
        columns.password = Set(password);
    }
    if let Some(first_name) = change.first_name {
        columns.first_name = Set(first_name);
    }
    if let Some(last_name) = change.last_name {
        columns.last_name = Set(last_name);
    }
    if let Some(avatar) = change.avatar {
        columns.avatar = Set(avatar);
    }
    if let Some(is_staff) = change.is_staff {
        columns.is_staff = Set(is_staff);
    }
    if let Some(is_active) = change.is_active {
        columns.is_active = Set(is_active);
    }
    if change.ends_sign_ins {
        columns.tokens_valid_after = Set(Some(at));
    }
    columns
}
