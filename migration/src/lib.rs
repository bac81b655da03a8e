//! The making of Tertulia's tables, for SQLite, PostgreSQL and MariaDB/MySQL from the same code.

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::{MigrationStatus, MigratorTrait};

mod m20261121_000001_first;
mod m20261121_000002_client_ids;
mod m20261121_000003_recovery;
mod m20261121_000005_imported;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_first::Migration),
            Box::new(m20261121_000002_client_ids::Migration),
            Box::new(m20261121_000003_recovery::Migration),
            Box::new(m20261121_000005_imported::Migration),
        ]
    }
}
