//! `migrate`: the tables, brought up to date without serving.

use std::time::Duration;

use clap::{Args, Subcommand};
use migration::{Migrator, MigratorTrait, down, up};
use sea_orm::{DatabaseConnection, DbErr};

use super::{Outcome, Place, open_store, print};
use crate::{data_dir::DataDir, logging};

/// `tertulia migrate [up|down|status]`.
#[derive(Args, Debug)]
pub struct Migrate {
    #[command(subcommand)]
    step: Option<Step>,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Step {
    /// Bring the tables up to date (what is done without a word, and before serving)
    Up,
    /// Take the newest step back, with the data in it: make a backup first
    Down,
    /// Tell which steps were taken
    Status,
}

impl Migrate {
    pub(super) async fn run(self) -> Outcome {
        logging::start(&self.place.logging);
        let storage = &self.place.storage;
        let data_dir = DataDir::open(&storage.data_dir)?;
        let store = open_store(data_dir.database_url(&storage.database_url)?).await?;
        let step = self.step.unwrap_or(Step::Up);
        // A service that runs relies on the tables as they are.
        let _alone = match step {
            Step::Up | Step::Down if storage.database_url.is_file() => {
                Some(data_dir.lock(Duration::ZERO).await?)
            }
            Step::Up | Step::Down | Step::Status => None,
        };
        match step {
            Step::Up => up(store.write()).await?,
            Step::Down => down(store.write(), 1).await?,
            Step::Status => {}
        }
        let status = status(store.write()).await?;
        store.close().await;
        print(&status)
    }
}

async fn status(database: &DatabaseConnection) -> Result<String, DbErr> {
    let steps = Migrator::get_migration_with_status_read_only(database).await?;
    let lines = steps
        .iter()
        .map(|step| format!("{:8} {}\n", step.status().to_string(), step.name()));
    Ok(lines.collect())
}
