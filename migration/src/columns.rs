//! What a column is on each database, so that all keep the same: strings that compare by bytes, times with microseconds.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend, Statement},
};

/// The columns of one database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    database: DbBackend,
    is_mariadb: bool,
}

impl Columns {
    pub(crate) async fn of(manager: &SchemaManager<'_>) -> Result<Self, DbErr> {
        let database = manager.get_database_backend();
        let mut is_mariadb = false;
        if database == DbBackend::MySql {
            let asked = Statement::from_string(database, "SELECT version() AS version");
            let row = manager.get_connection().query_one_raw(asked).await?;
            let version: Option<String> = row.map(|row| row.try_get("", "version")).transpose()?;
            is_mariadb = version.is_some_and(|version| version.contains("MariaDB"));
        }
        Ok(Self {
            database,
            is_mariadb,
        })
    }

    /// Partial indexes: MySQL has none.
    pub(crate) fn has_partial_indexes(self) -> bool {
        self.database != DbBackend::MySql
    }

    /// A table whose strings compare by bytes: those that differ only in case, accent or trailing space are different.
    pub(crate) fn table(self, mut table: TableCreateStatement) -> TableCreateStatement {
        if self.database == DbBackend::MySql {
            // The two have the order of bytes, in which no blank is added, by different names.
            let collation = match self.is_mariadb {
                true => "utf8mb4_nopad_bin",
                false => "utf8mb4_0900_bin",
            };
            table
                .engine("InnoDB")
                .character_set("utf8mb4")
                .collate(collation);
        }
        table
    }

    fn bytewise(self, mut column: ColumnDef) -> ColumnDef {
        if self.database == DbBackend::Postgres {
            column.extra("COLLATE \"C\"");
        }
        column
    }

    /// At most so many characters.
    pub(crate) fn string(self, name: &'static str, chars: u32) -> ColumnDef {
        self.bytewise(ColumnDef::new(name).string_len(chars).not_null().take())
    }

    /// At most so many characters, or none.
    pub(crate) fn string_null(self, name: &'static str, chars: u32) -> ColumnDef {
        self.bytewise(ColumnDef::new(name).string_len(chars).null().take())
    }

    /// As many characters as a request can hold.
    pub(crate) fn text(self, name: &'static str) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        match self.database {
            DbBackend::MySql => column.custom("mediumtext"),
            _ => column.text(),
        };
        self.bytewise(column.not_null().take())
    }

    /// A moment, with microseconds.
    pub(crate) fn time(self, name: &'static str) -> ColumnDef {
        self.moment(name).not_null().take()
    }

    /// A moment, or none.
    pub(crate) fn time_null(self, name: &'static str) -> ColumnDef {
        self.moment(name).null().take()
    }

    fn moment(self, name: &'static str) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        match self.database {
            // Its own timestamps end in 2038 and hold whole seconds.
            DbBackend::MySql => column.custom("datetime(6)"),
            _ => column.timestamp_with_time_zone(),
        };
        column
    }
}
