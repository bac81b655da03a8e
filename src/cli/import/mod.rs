//! `import django`: copies the users of a Django project and, by a mapping file, its chats, members and messages.
//!
//! Messages that are here already are left as they are, so that an import that was interrupted goes on, and one more
//! brings what is new. Accounts and members follow what they became there, unless they were changed here since. Whatever
//! can't be copied as it is stands in the report.
//!
//! Not here: how rows are read there (`store/foreign.rs`) and written here (`store/import.rs`).

mod chats;
mod mapping;
mod messages;
mod report;
mod users;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use migration::{Migrator, MigratorTrait};

use super::{Outcome, Place, open_store, print};
use crate::{
    data_dir::DataDir,
    logging,
    settings::DatabaseUrl,
    store::{Foreign, Store},
};
use mapping::Mapping;
use report::Report;

/// `tertulia import ...`.
#[derive(Args, Debug)]
pub struct Import {
    #[command(subcommand)]
    source: Source,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// Copy a Django project's users with their ids, passwords and flags and, by a mapping file, its
    /// chats and messages. Stop the service first; doing it twice changes nothing
    Django(Django),
}

#[derive(Args, Debug)]
struct Django {
    /// The project's database, as in sqlite:///srv/site/db.sqlite3 or postgres://user@host/site
    // Checked in `run`: whatever clap refuses it shows whole, and this may hold a password.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Which tables and columns hold users, chats, members and messages; without, Django's own
    /// table of users is copied, and no chats
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Read, check and report; write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Any failure, in words for the person who gave the command.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where rows come from and go to.
struct Work {
    from: Foreign,
    to: Store,
    /// Not in a dry run.
    writes: bool,
    /// The tables are there: else nothing is in them.
    is_ready: bool,
    report: Report,
}

impl Import {
    pub(super) async fn run(self) -> Outcome {
        logging::start(&self.place.logging);
        let Source::Django(django) = self.source;
        let from =
            DatabaseUrl::parse(&django.from).map_err(|problem| format!("--from: {problem}"))?;
        let mapping = match &django.mapping {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|cause| format!("{}: {cause}", path.display()))?;
                Mapping::parse(&text).map_err(|problem| format!("{}: {problem}", path.display()))?
            }
            None => Mapping::default(),
        };
        let storage = &self.place.storage;
        let data_dir = DataDir::open(&storage.data_dir)?;
        // A service that runs would know nothing of what is written below it.
        let _alone = match storage.database_url.is_file() {
            true => Some(data_dir.lock(Duration::ZERO).await?),
            false => None,
        };
        let to = open_store(data_dir.database_url(&storage.database_url)?).await?;
        let pending = Migrator::get_pending_migrations_read_only(to.write()).await?;
        let writes = !django.dry_run;
        if writes && !pending.is_empty() {
            migration::up(to.write()).await?;
        }
        let from = Foreign::open(from.reveal(), 1).await;
        let mut work = Work {
            from: from.map_err(|error| format!("--from: {error}"))?,
            to,
            writes,
            is_ready: writes || pending.is_empty(),
            report: Report::default(),
        };
        let imported = work.run(&mapping).await;
        print(&work.report.text(writes))?;
        work.from.close().await;
        work.to.close().await;
        imported
    }
}

impl Work {
    async fn run(&mut self, mapping: &Mapping) -> Outcome {
        if self.writes {
            // What an earlier version of this left behind, where it was interrupted.
            self.to.count_on().await?;
        }
        let people = users::import(self, &mapping.users).await?;
        for table in &mapping.chats {
            // Who belongs to the same chats by another part, by its members or its messages, isn't gone for not being in
            // this one.
            let parts = mapping.chats.iter().filter(|it| it.table == table.table);
            let chats = chats::import(self, table, &people, parts.count() == 1).await?;
            messages::import(self, table, &people, chats).await?;
        }
        Ok(())
    }

    /// A bar that is drawn on a terminal.
    async fn bar(&self, table: &str) -> Result<ProgressBar, Failure> {
        let rows = self.from.count(table).await;
        let rows = rows.map_err(|error| format!("{table}: {error}"))?;
        let style = ProgressStyle::with_template(
            "{prefix:>20} {bar:30} {human_pos} of {human_len} rows, {per_sec}, {eta} left",
        )?;
        let bar = ProgressBar::new(rows).with_style(style);
        bar.set_prefix(table.to_owned());
        Ok(bar)
    }
}
