//! Recovery codes: at most one per account.

use entity::{Time, UserId, recovery};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::{Expr, ExprTrait, OnConflict},
};

use super::{Store, Stored, retried};

impl Store {
    /// Puts a code in the place of whatever the account had.
    pub async fn put_recovery(&self, row: recovery::Model) -> Stored<()> {
        let columns = [
            recovery::Column::CodeHash,
            recovery::Column::ExpiresAt,
            recovery::Column::Tries,
        ];
        let instead = OnConflict::column(recovery::Column::UserId)
            .update_columns(columns)
            .to_owned();
        retried(|| async {
            recovery::Entity::insert(row.clone().into_active_model())
                .on_conflict(instead.clone())
                .exec_without_returning(self.write())
                .await?;
            Ok(())
        })
        .await
    }

    /// What is stored of an account's code, where there is one that may be tried once more: this is that try.
    pub async fn try_recovery(
        &self,
        user: UserId,
        at: Time,
        tries_max: i32,
    ) -> Stored<Option<String>> {
        retried(|| self.try_recovery_once(user, at, tries_max)).await
    }

    async fn try_recovery_once(
        &self,
        user: UserId,
        at: Time,
        tries_max: i32,
    ) -> Stored<Option<String>> {
        let transaction = self.begin().await?;
        let tried = recovery::Entity::update_many()
            .col_expr(
                recovery::Column::Tries,
                Expr::col(recovery::Column::Tries).add(1),
            )
            .filter(recovery::Column::UserId.eq(user))
            .filter(recovery::Column::ExpiresAt.gt(at))
            .filter(recovery::Column::Tries.lt(tries_max))
            .exec(&transaction)
            .await?;
        if tried.rows_affected == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        let row = recovery::Entity::find_by_id(user).one(&transaction).await?;
        transaction.commit().await?;
        Ok(row.map(|row| row.code_hash))
    }

    /// Uses a code up. False where it was used already, or another took its place.
    pub async fn use_recovery(&self, user: UserId, code_hash: &str) -> Stored<bool> {
        let deletion = recovery::Entity::delete_many()
            .filter(recovery::Column::UserId.eq(user))
            .filter(recovery::Column::CodeHash.eq(code_hash));
        Ok(deletion.exec(self.write()).await?.rows_affected > 0)
    }
}
