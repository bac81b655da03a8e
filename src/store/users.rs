//! Accounts by id, for profiles.

use entity::{UserId, user};
use sea_orm::EntityTrait;

use super::{Store, Stored, sql::with_rows};

impl Store {
    /// Accounts by id; those that don't exist are left out.
    pub async fn find_users(&self, ids: &[UserId]) -> Stored<Vec<user::Model>> {
        if let [id] = ids {
            return Ok(user::Entity::find_by_id(*id)
                .one(self.read())
                .await?
                .into_iter()
                .collect());
        }
        let sql = "SELECT u.* FROM json_each(?) j JOIN user u ON u.id = j.value";
        let statement = with_rows(self.read(), sql, &ids, [])?;
        Ok(user::Entity::find()
            .from_raw_sql(statement)
            .all(self.read())
            .await?)
    }
}
