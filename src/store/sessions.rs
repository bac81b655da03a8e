//! Sign-ins: beginning and ending them, refresh tokens, tickets that have been used.
//!
//! Relies on: whatever begins or ends sign-ins of a user changes the user's row first, so that on every database one
//! waits for the other.

use entity::{SessionId, Time, UserId, session, ticket_use, user};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};

use super::{Store, StoreError, Stored, retried};

/// A sign-in by password, as it is written down.
#[derive(Clone, Debug)]
pub struct SignInRow {
    /// The stored password that was proved. Nobody is signed in where it has changed since.
    pub proved: String,
    /// The password stored anew.
    pub rehashed: Option<String>,
    /// What begins.
    pub session: session::Model,
    /// What is done where sessions of its kind live already.
    pub beside: Beside,
}

/// What a sign-in does with the user's sessions of its kind that live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// One more begins beside them.
    Others,
    /// The newest of them goes on, for as long as a new one would last.
    TheSame,
    /// One more begins if they are fewer than this.
    AtMost(u64),
}

/// How a sign-in ended.
#[derive(Clone, Debug)]
pub enum SignedInRow {
    /// The password isn't the one that was proved any more, or the account may not sign in.
    Refused,
    /// So many sessions live that none may begin.
    TooMany,
    /// By this session.
    By(session::Model),
}

/// A refresh token's successor.
#[derive(Clone, Debug)]
pub struct Rotation<'a> {
    /// Whose.
    pub session: &'a SessionId,
    /// The token that is used up.
    pub from: &'a str,
    /// Its successor.
    pub to: &'a str,
    /// When.
    pub at: Time,
    /// When the successor ends.
    pub expires_at: Time,
}

impl Store {
    /// Begins a session of an active user whose password still is the one that was proved, or goes on with one.
    pub async fn sign_in(&self, row: SignInRow) -> Stored<SignedInRow> {
        retried(|| self.sign_in_once(row.clone())).await
    }

    async fn sign_in_once(&self, row: SignInRow) -> Stored<SignedInRow> {
        let transaction = self.begin().await?;
        let now = row.session.created_at;
        let mut change = user::Entity::update_many()
            .col_expr(user::Column::LastLogin, Expr::value(now))
            .filter(user::Column::Id.eq(row.session.user_id))
            .filter(user::Column::Password.eq(row.proved))
            .filter(user::Column::IsActive.eq(true));
        if let Some(password) = row.rehashed {
            change = change.col_expr(user::Column::Password, Expr::value(password));
        }
        if change.exec(&transaction).await?.rows_affected == 0 {
            transaction.rollback().await?;
            return Ok(SignedInRow::Refused);
        }
        let living = session::Entity::find()
            .filter(session::Column::UserId.eq(row.session.user_id))
            .filter(session::Column::Kind.eq(row.session.kind))
            .filter(session::Column::RevokedAt.is_null())
            .filter(session::Column::ExpiresAt.gt(now));
        let same = match row.beside {
            Beside::Others => None,
            Beside::TheSame => {
                let newest = living.order_by_desc(session::Column::CreatedAt);
                newest.one(&transaction).await?
            }
            Beside::AtMost(most) if living.count(&transaction).await? >= most => {
                // The password was right: what it changed stays.
                transaction.commit().await?;
                return Ok(SignedInRow::TooMany);
            }
            Beside::AtMost(_) => None,
        };
        let session = match same {
            Some(same) => {
                let same = session::Model {
                    last_used_at: now,
                    expires_at: row.session.expires_at,
                    ..same
                };
                extend(&transaction, &same.id, now, same.expires_at).await?;
                same
            }
            None => {
                let begun = row.session.into_active_model();
                begun.insert(&transaction).await?
            }
        };
        transaction.commit().await?;
        Ok(SignedInRow::By(session))
    }

    /// Begins a session as it is; false where there is one of that id.
    pub async fn insert_session(&self, row: session::Model) -> Stored<bool> {
        retried(|| async {
            let insert = session::Entity::insert(row.clone().into_active_model());
            is_new(insert.exec_without_returning(self.write()).await)
        })
        .await
    }

    /// One session, ended or not.
    pub async fn find_session(&self, session: &SessionId) -> Stored<Option<session::Model>> {
        Ok(session::Entity::find_by_id(session.clone())
            .one(self.read())
            .await?)
    }

    /// A user's sessions that live at a moment, newest first.
    pub async fn list_sessions(
        &self,
        user: UserId,
        at: Time,
        limit: u64,
    ) -> Stored<Vec<session::Model>> {
        Ok(session::Entity::find()
            .filter(session::Column::UserId.eq(user))
            .filter(session::Column::RevokedAt.is_null())
            .filter(session::Column::ExpiresAt.gt(at))
            .order_by_desc(session::Column::CreatedAt)
            .order_by_desc(session::Column::Id)
            .limit(limit)
            .all(self.read())
            .await?)
    }

    /// Ends a session. Whether it still lived.
    pub async fn revoke_session(&self, session: &SessionId, at: Time) -> Stored<bool> {
        let change = session::Entity::update_many()
            .col_expr(session::Column::RevokedAt, Expr::value(at))
            .filter(session::Column::Id.eq(session.clone()))
            .filter(session::Column::RevokedAt.is_null());
        Ok(change.exec(self.write()).await?.rows_affected > 0)
    }

    /// Puts a successor in the place of a refresh token. False where another was quicker, or the session has ended.
    pub async fn rotate_session(&self, rotation: Rotation<'_>) -> Stored<bool> {
        let change = session::Entity::update_many()
            .col_expr(session::Column::PreviousJti, Expr::value(rotation.from))
            .col_expr(session::Column::RefreshJti, Expr::value(rotation.to))
            .col_expr(session::Column::RotatedAt, Expr::value(rotation.at))
            .col_expr(session::Column::LastUsedAt, Expr::value(rotation.at))
            .col_expr(session::Column::ExpiresAt, Expr::value(rotation.expires_at))
            .filter(session::Column::Id.eq(rotation.session.clone()))
            .filter(session::Column::RefreshJti.eq(rotation.from))
            .filter(session::Column::RevokedAt.is_null());
        Ok(change.exec(self.write()).await?.rows_affected > 0)
    }

    /// Notes that a session was used.
    pub async fn touch_session(&self, session: &SessionId, at: Time) -> Stored<()> {
        session::Entity::update_many()
            .col_expr(session::Column::LastUsedAt, Expr::value(at))
            .filter(session::Column::Id.eq(session.clone()))
            .exec(self.write())
            .await?;
        Ok(())
    }

    /// Notes that a session was used, which lets it live longer.
    pub async fn extend_session(
        &self,
        session: &SessionId,
        at: Time,
        expires_at: Time,
    ) -> Stored<()> {
        extend(self.write(), session, at, expires_at).await
    }

    /// Forgets sessions that ended by themselves before a moment, at most so many. How many it were.
    pub async fn delete_expired_sessions(&self, before: Time, limit: u64) -> Stored<u64> {
        let old: Vec<SessionId> = session::Entity::find()
            .select_only()
            .column(session::Column::Id)
            .filter(session::Column::ExpiresAt.lt(before))
            .limit(limit)
            .into_tuple()
            .all(self.read())
            .await?;
        if old.is_empty() {
            return Ok(0);
        }
        let deletion = session::Entity::delete_many().filter(session::Column::Id.is_in(old));
        Ok(deletion.exec(self.write()).await?.rows_affected)
    }

    /// Uses a ticket up. False where it has been used already.
    pub async fn use_ticket(&self, nonce: String, expires_at: Time) -> Stored<bool> {
        let row = ticket_use::Model { nonce, expires_at };
        retried(|| async {
            let insert = ticket_use::Entity::insert(row.clone().into_active_model());
            is_new(insert.exec_without_returning(self.write()).await)
        })
        .await
    }

    /// Forgets used tickets that have run out.
    pub async fn delete_used_tickets(&self, before: Time) -> Stored<()> {
        ticket_use::Entity::delete_many()
            .filter(ticket_use::Column::ExpiresAt.lt(before))
            .exec(self.write())
            .await?;
        Ok(())
    }
}

/// Ends all sessions of a user that live, within a transaction that holds the user's row.
pub(super) async fn revoke_all(
    transaction: &DatabaseTransaction,
    user: UserId,
    at: Time,
) -> Stored<Vec<SessionId>> {
    let living = session::Column::UserId
        .eq(user)
        .and(session::Column::RevokedAt.is_null());
    let sessions = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(living.clone())
        .into_tuple()
        .all(transaction)
        .await?;
    session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(at))
        .filter(living)
        .exec(transaction)
        .await?;
    Ok(sessions)
}

async fn extend(
    connection: &impl ConnectionTrait,
    session: &SessionId,
    at: Time,
    expires_at: Time,
) -> Stored<()> {
    session::Entity::update_many()
        .col_expr(session::Column::LastUsedAt, Expr::value(at))
        .col_expr(session::Column::ExpiresAt, Expr::value(expires_at))
        .filter(session::Column::Id.eq(session.clone()))
        .exec(connection)
        .await?;
    Ok(())
}

fn is_new<T>(inserted: Result<T, sea_orm::DbErr>) -> Stored<bool> {
    match inserted.map_err(StoreError::from) {
        Ok(_) => Ok(true),
        Err(StoreError::Duplicate(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
