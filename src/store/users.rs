//! Accounts by id, for profiles.

use entity::{UserId, user};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{
    Store, Stored,
    sql::{Sql, ids, with_rows},
};

static BY_ID: Sql = Sql::new(|database| {
    let ids = ids(database);
    format!("SELECT u.* FROM {ids} j JOIN \"user\" u ON u.id = j.id")
});

impl Store {
    /// Accounts by id; those that don't exist are left out.
    pub async fn find_users(&self, users: &[UserId]) -> Stored<Vec<user::Model>> {
        if let [id] = users {
            return Ok(user::Entity::find_by_id(*id)
                .one(self.read())
                .await?
                .into_iter()
                .collect());
        }
        let statement = with_rows(self.read(), &BY_ID, &users, [])?;
        Ok(user::Entity::find()
            .from_raw_sql(statement)
            .all(self.read())
            .await?)
    }

    /// The accounts above one number and up to another.
    pub async fn accounts_between(&self, after: UserId, until: UserId) -> Stored<Vec<user::Model>> {
        Ok(user::Entity::find()
            .filter(user::Column::Id.gt(after))
            .filter(user::Column::Id.lte(until))
            .all(self.read())
            .await?)
    }
}
