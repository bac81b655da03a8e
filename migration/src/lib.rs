//! The making of Tertulia's tables, for SQLite, PostgreSQL and MariaDB/MySQL from the same code.

pub use sea_orm_migration::{MigrationStatus, MigratorTrait};
use sea_orm_migration::{
    prelude::*,
    sea_orm::{
        ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Statement,
        TransactionTrait,
    },
};

mod columns;
mod m20261121_000001_first;
mod m20261121_000002_client_ids;
mod m20261121_000003_recovery;
mod m20261121_000005_imported;
mod m20261121_000006_search;
mod m20261121_000007_attachment;
mod m20261121_000010_deployment;

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
            Box::new(m20261121_000006_search::Migration),
            Box::new(m20261121_000007_attachment::Migration),
            Box::new(m20261121_000010_deployment::Migration),
        ]
    }
}

/// The advisory lock that migrations are made under: "tertulia" as a number, and as the beginning of a name.
const LOCK: i64 = 0x7465_7274_756c_6961;
const LOCK_NAME: &str = "tertulia ";
/// Another node's migration is waited for so long, where the database wants to know.
const LOCK_SECONDS: u32 = 3600;

/// Takes all steps that were not taken yet. Of several that try at once, one does it and the others wait; on SQLite
/// whoever calls has the database alone. Needs two connections.
pub async fn up(database: &DatabaseConnection) -> Result<(), DbErr> {
    let held = hold(database).await?;
    let done = Migrator::up(database, None).await;
    release(held).await?;
    done
}

/// Takes the newest steps back, as `up` takes them.
pub async fn down(database: &DatabaseConnection, steps: u32) -> Result<(), DbErr> {
    let held = hold(database).await?;
    let done = Migrator::down(database, Some(steps)).await;
    release(held).await?;
    done
}

async fn hold(database: &DatabaseConnection) -> Result<Option<DatabaseTransaction>, DbErr> {
    let backend = database.get_database_backend();
    let ask = match backend {
        DbBackend::Postgres => Statement::from_sql_and_values(
            backend,
            "SELECT true AS held FROM pg_advisory_xact_lock($1)",
            [LOCK.into()],
        ),
        DbBackend::MySql => Statement::from_sql_and_values(
            backend,
            "SELECT coalesce(get_lock(concat(?, sha1(database())), ?), 0) AS held",
            [LOCK_NAME.into(), LOCK_SECONDS.into()],
        ),
        _ => return Ok(None),
    };
    // The transaction keeps the connection, which keeps the lock.
    let holder = database.begin().await?;
    let row = holder.query_one_raw(ask).await?;
    let held: bool = row.map_or(Ok(false), |row| row.try_get("", "held"))?;
    match held {
        true => Ok(Some(holder)),
        false => Err(DbErr::Migration(
            "another node has been migrating for too long".to_owned(),
        )),
    }
}

async fn release(held: Option<DatabaseTransaction>) -> Result<(), DbErr> {
    let Some(holder) = held else { return Ok(()) };
    let backend = holder.get_database_backend();
    if backend == DbBackend::MySql {
        let release = "SELECT release_lock(concat(?, sha1(database())))";
        let release = Statement::from_sql_and_values(backend, release, [LOCK_NAME.into()]);
        holder.query_one_raw(release).await?;
    }
    holder.rollback().await
}
