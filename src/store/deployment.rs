//! The mark by which a database knows its directory of uploads.

use entity::deployment;
use sea_orm::{EntityTrait, IntoActiveModel};

use super::{Store, StoreError, Stored};

const ONLY: i32 = 1;

impl Store {
    /// The database's mark; where it has none, it gets the proposed one.
    pub async fn deployment_mark(&self, proposed: &str) -> Stored<String> {
        if let Some(mark) = self.find_deployment_mark().await? {
            return Ok(mark);
        }
        let row = deployment::Model {
            id: ONLY,
            mark: proposed.to_owned(),
        };
        let insert = deployment::Entity::insert(row.into_active_model());
        let inserted = insert.exec_without_returning(self.write()).await;
        match inserted.map_err(StoreError::from) {
            // Another node may have been first.
            Ok(_) | Err(StoreError::Duplicate(_)) => {}
            Err(error) => return Err(error),
        }
        let mark = self.find_deployment_mark().await?;
        Ok(mark.unwrap_or_else(|| proposed.to_owned()))
    }

    async fn find_deployment_mark(&self) -> Stored<Option<String>> {
        let row = deployment::Entity::find_by_id(ONLY)
            .one(self.write())
            .await?;
        Ok(row.map(|row| row.mark))
    }
}
