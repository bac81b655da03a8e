//! The accounts of a Django project, in its own table, and its other tables that concern sign-ins.
//!
//! Not here: when they are asked for, and what a difference means (`chat/django.rs`).

use entity::{Time, UserId};
use sea_orm::Value;

use super::{
    AccountChange, Columns, Foreign, NewAccountRow, StoreError, Stored, TextRow,
    text_values::{boolean, moment},
};

/// Sessions of `django.contrib.sessions`.
const SESSIONS: &str = "django_session";
/// Refresh tokens of simplejwt's blacklist app, and those among them that are blacklisted.
const OUTSTANDING: &str = "token_blacklist_outstandingtoken";
const BLACKLISTED: &str = "token_blacklist_blacklistedtoken";

/// An account as Django has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DjangoAccount {
    /// Its number.
    pub id: UserId,
    /// Exact.
    pub username: String,
    /// In a stored form.
    pub password: String,
    /// May be empty.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// An operator.
    pub is_staff: bool,
    /// May sign in.
    pub is_active: bool,
    /// Since when.
    pub date_joined: Option<Time>,
}

/// Accounts in the order of their numbers.
#[derive(Clone, Debug)]
pub struct DjangoPage {
    /// Those that have a name.
    pub accounts: Vec<DjangoAccount>,
    /// The last number, of whoever has it; none where the page is empty.
    pub until: Option<UserId>,
    /// No more follow.
    pub is_last: bool,
}

/// What an account's columns are called there; none where there is no such column.
#[derive(Clone, Debug)]
pub struct AccountColumns {
    /// The table, perhaps with its schema in front.
    pub table: String,
    /// The number by which tokens name the user.
    pub id: String,
    /// The name to sign in with.
    pub username: String,
    /// The stored password.
    pub password: String,
    /// The address.
    pub email: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// Operators.
    pub is_staff: Option<String>,
    /// Superusers, where a new account must say so.
    pub is_superuser: Option<String>,
    /// Who may sign in.
    pub is_active: Option<String>,
    /// Since when.
    pub date_joined: Option<String>,
}

impl Default for AccountColumns {
    fn default() -> Self {
        let named = |name: &str| Some(name.to_owned());
        Self {
            table: "auth_user".to_owned(),
            id: "id".to_owned(),
            username: "username".to_owned(),
            password: "password".to_owned(),
            email: named("email"),
            first_name: named("first_name"),
            last_name: named("last_name"),
            is_staff: named("is_staff"),
            is_superuser: named("is_superuser"),
            is_active: named("is_active"),
            date_joined: named("date_joined"),
        }
    }
}

impl AccountColumns {
    /// Calls one of them otherwise; an empty name: there is no such column.
    pub fn rename(&mut self, ours: &str, theirs: &str) {
        let optional = match ours {
            "id" => return theirs.clone_into(&mut self.id),
            "username" => return theirs.clone_into(&mut self.username),
            "password" => return theirs.clone_into(&mut self.password),
            "email" => &mut self.email,
            "first_name" => &mut self.first_name,
            "last_name" => &mut self.last_name,
            "is_staff" => &mut self.is_staff,
            "is_superuser" => &mut self.is_superuser,
            "is_active" => &mut self.is_active,
            "date_joined" => &mut self.date_joined,
            _ => return,
        };
        *optional = Some(theirs.to_owned()).filter(|name| !name.is_empty());
    }
}

/// A Django project's tables.
#[derive(Clone, Debug)]
pub struct DjangoTables {
    foreign: Foreign,
    columns: AccountColumns,
}

impl DjangoTables {
    /// Those that are reached by `foreign`.
    pub fn new(foreign: Foreign, columns: AccountColumns) -> Self {
        Self { foreign, columns }
    }

    /// Accounts by their numbers; those that don't exist are left out.
    pub async fn find(&self, ids: &[UserId]) -> Stored<Vec<DjangoAccount>> {
        let ids = ids.iter().map(|id| Value::from(id.0)).collect();
        let rows = self
            .foreign
            .find(&self.read(), &self.columns.id, ids)
            .await?;
        Ok(rows.iter().filter_map(|row| self.account(row)).collect())
    }

    /// An account by its exact name.
    pub async fn find_by_name(&self, username: &str) -> Stored<Option<DjangoAccount>> {
        let names = vec![Value::from(username)];
        let rows = self
            .foreign
            .find(&self.read(), &self.columns.username, names)
            .await?;
        Ok(rows.iter().find_map(|row| self.account(row)))
    }

    /// The first accounts after a number. `Refused` where one's id is no number.
    pub async fn after(&self, id: UserId, limit: u64) -> Stored<DjangoPage> {
        let rows = self
            .foreign
            .after(&self.read(), &self.columns.id, id.0, limit)
            .await?;
        let is_no_number = || StoreError::Refused("an account's id is no number".into());
        let number = |row: &TextRow| row.first()?.as_deref()?.parse().ok().map(UserId);
        Ok(DjangoPage {
            until: match rows.last() {
                Some(row) => Some(number(row).ok_or_else(is_no_number)?),
                None => None,
            },
            is_last: (rows.len() as u64) < limit,
            accounts: rows.iter().filter_map(|row| self.account(row)).collect(),
        })
    }

    /// Makes an account.
    pub async fn insert(&self, row: &NewAccountRow) -> Stored<()> {
        let columns = &self.columns;
        let mut values = vec![
            (&*columns.username, Value::from(&*row.username.text)),
            (&*columns.password, Value::from(&*row.password)),
        ];
        let named: [(&Option<String>, Value); 7] = [
            (&columns.email, (&*row.email.text).into()),
            (&columns.first_name, (&*row.first_name).into()),
            (&columns.last_name, (&*row.last_name).into()),
            (&columns.is_staff, row.is_staff.into()),
            (&columns.is_superuser, false.into()),
            (&columns.is_active, true.into()),
            (&columns.date_joined, self.foreign.time(row.joined_at)),
        ];
        values.extend(
            named
                .into_iter()
                .filter_map(|(name, value)| Some((name.as_deref()?, value))),
        );
        self.foreign.insert(&columns.table, values).await
    }

    /// Changes an account. False where there is none, or its password is another by now.
    pub async fn change(&self, id: UserId, change: &AccountChange) -> Stored<bool> {
        let columns = &self.columns;
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let named: [(Option<&str>, Option<Value>); 7] = [
            (
                Some(&columns.username),
                change.username.as_ref().map(|name| (&*name.text).into()),
            ),
            (Some(&columns.password), text(&change.password)),
            (
                columns.email.as_deref(),
                change.email.as_ref().map(|email| (&*email.text).into()),
            ),
            (columns.first_name.as_deref(), text(&change.first_name)),
            (columns.last_name.as_deref(), text(&change.last_name)),
            (
                columns.is_staff.as_deref(),
                change.is_staff.map(Value::from),
            ),
            (
                columns.is_active.as_deref(),
                change.is_active.map(Value::from),
            ),
        ];
        let values: Vec<_> = named
            .into_iter()
            .filter_map(|(name, value)| Some((name?, value?)))
            .collect();
        if values.is_empty() {
            return Ok(true);
        }
        let mut by = vec![(&*columns.id, Value::from(id.0))];
        if let Some(password) = &change.only_if_password {
            by.push((&columns.password, Value::from(&**password)));
        }
        Ok(self.foreign.update(&columns.table, values, by).await? > 0)
    }

    /// What a session's row holds, and until when it is good.
    pub async fn session(&self, key: &str) -> Stored<Option<(String, Time)>> {
        let columns = Columns {
            table: SESSIONS.to_owned(),
            columns: vec!["session_data".to_owned(), "expire_date".to_owned()],
        };
        let rows = self
            .foreign
            .find(&columns, "session_key", vec![key.into()])
            .await?;
        let row = rows.into_iter().next();
        Ok(row.and_then(|row| {
            let [data, until] = <[_; 2]>::try_from(row).ok()?;
            Some((data?, moment(&until?)?))
        }))
    }

    /// Which columns are read: three that must be there, then those that are.
    fn read(&self) -> Columns {
        let columns = &self.columns;
        let mut names = vec![
            columns.id.clone(),
            columns.username.clone(),
            columns.password.clone(),
        ];
        names.extend(columns.optional().into_iter().flatten().cloned());
        Columns {
            table: columns.table.clone(),
            columns: names,
        }
    }

    fn account(&self, row: &TextRow) -> Option<DjangoAccount> {
        let (known, rest) = row.split_first_chunk::<3>()?;
        let [id, username, password] = known;
        let mut rest = rest.iter();
        let mut present = |column: Option<&String>| -> Option<&str> {
            column?;
            rest.next()?.as_deref()
        };
        let [
            email,
            first_name,
            last_name,
            is_staff,
            is_active,
            date_joined,
        ] = self.columns.optional().map(&mut present);
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Some(DjangoAccount {
            id: UserId(id.as_deref()?.parse().ok()?),
            username: username.clone()?,
            password: text(password.as_deref()),
            email: text(email),
            first_name: text(first_name),
            last_name: text(last_name),
            is_staff: is_staff.and_then(boolean).unwrap_or(false),
            is_active: is_active.and_then(boolean).unwrap_or(true),
            date_joined: date_joined.and_then(moment),
        })
    }
}

impl AccountColumns {
    /// Those that a table may lack, in the order in which they are read.
    fn optional(&self) -> [Option<&String>; 6] {
        [
            self.email.as_ref(),
            self.first_name.as_ref(),
            self.last_name.as_ref(),
            self.is_staff.as_ref(),
            self.is_active.as_ref(),
            self.date_joined.as_ref(),
        ]
    }
}

/// The refresh tokens that a project has blacklisted.
#[derive(Clone, Debug)]
pub struct DjangoBlacklist {
    foreign: Foreign,
}

/// A refresh token to be blacklisted.
#[derive(Clone, Copy, Debug)]
pub struct BlacklistedToken<'a> {
    /// Its id.
    pub jti: &'a str,
    /// Itself.
    pub token: &'a str,
    /// Whose.
    pub user: UserId,
    /// When it ends.
    pub expires_at: Time,
}

impl DjangoBlacklist {
    /// Where the tables of simplejwt's blacklist are, if they are there.
    pub async fn open(foreign: Foreign) -> Stored<Option<Self>> {
        let is_there = foreign.has(BLACKLISTED).await? && foreign.has(OUTSTANDING).await?;
        Ok(is_there.then_some(Self { foreign }))
    }

    /// Whether a refresh token is blacklisted there.
    pub async fn holds(&self, jti: &str) -> Stored<bool> {
        let Some(token) = self.outstanding(jti).await? else {
            return Ok(false);
        };
        let blacklisted = columns(BLACKLISTED, "token_id");
        let rows = self
            .foreign
            .find(&blacklisted, "token_id", vec![token.into()])
            .await?;
        Ok(!rows.is_empty())
    }

    /// Blacklists a refresh token there too. Once more does nothing.
    pub async fn add(&self, token: BlacklistedToken<'_>, now: Time) -> Stored<()> {
        if self.holds(token.jti).await? {
            return Ok(());
        }
        if self.outstanding(token.jti).await?.is_none() {
            let values = vec![
                ("jti", Value::from(token.jti)),
                ("token", token.token.into()),
                ("user_id", token.user.0.into()),
                ("created_at", self.foreign.time(now)),
                ("expires_at", self.foreign.time(token.expires_at)),
            ];
            again_is_no_failure(self.foreign.insert(OUTSTANDING, values).await)?;
        }
        let Some(id) = self.outstanding(token.jti).await? else {
            return Ok(());
        };
        let values = vec![
            ("token_id", id.into()),
            ("blacklisted_at", self.foreign.time(now)),
        ];
        again_is_no_failure(self.foreign.insert(BLACKLISTED, values).await)
    }

    async fn outstanding(&self, jti: &str) -> Stored<Option<i64>> {
        let outstanding = columns(OUTSTANDING, "id");
        let rows = self
            .foreign
            .find(&outstanding, "jti", vec![jti.into()])
            .await?;
        let id = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next()?);
        Ok(id.and_then(|id| id.parse().ok()))
    }
}

fn columns(table: &str, column: &str) -> Columns {
    Columns {
        table: table.to_owned(),
        columns: vec![column.to_owned()],
    }
}

/// Another was faster.
fn again_is_no_failure(inserted: Stored<()>) -> Stored<()> {
    match inserted {
        Err(StoreError::Duplicate(_)) => Ok(()),
        inserted => inserted,
    }
}
