//! Tables of a database that isn't ours, such as a Django project's: their columns come as text, whatever types they
//! have there.
//!
//! Not here: what the columns mean. Bounded by: rows are streamed, or asked for by key or with a limit.

use std::time::Duration;

use entity::Time;
use futures_util::{Stream, StreamExt};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Order, QueryResult,
    StreamTrait, Value,
    sea_query::{Alias, Expr, ExprTrait, Func, IntoTableRef, Query, SelectStatement, TableRef},
    sqlx::{mysql::MySqlConnectOptions, postgres::PgConnectOptions},
};

use super::{Store, StoreError, Stored};

/// What the table is called in a query. PostgreSQL names a cast's result after its column, and a bare name in ORDER BY is
/// the result's there: the text's order, in which 10 comes before 2.
const TABLE: &str = "it";
/// How long a query waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);

/// A row's columns, in the order in which they were asked for.
pub type TextRow = Vec<Option<String>>;

/// A database that isn't ours.
#[derive(Clone, Debug)]
pub struct Foreign {
    read: DatabaseConnection,
    write: DatabaseConnection,
}

/// A table and those of its columns that are read. A table's name may have its schema in front: `chat.message`.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The table's name.
    pub table: String,
    /// The columns' names.
    pub columns: Vec<String>,
}

impl Foreign {
    /// Connects. Nothing is made where there is nothing.
    pub async fn open(url: &str, connections: u32) -> Stored<Self> {
        let url = known_to_driver(url);
        if !is_readable(&url) {
            return Err(StoreError::Refused("its URL can't be read".into()));
        }
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .sqlx_logging(false)
            .test_before_acquire(false)
            .map_sqlx_sqlite_opts(|sqlite| sqlite.busy_timeout(Duration::from_secs(5)))
            // A moment with a zone is told in the connection's.
            .map_sqlx_postgres_opts(|postgres| postgres.options([("TimeZone", "UTC")]));
        let read = Database::connect(options).await?;
        let write = read.clone();
        Ok(Self { read, write })
    }

    /// The tables beside ours, in the same database.
    pub fn beside(store: &Store) -> Self {
        Self {
            read: store.read().clone(),
            write: store.write().clone(),
        }
    }

    /// A moment as a column of the project's holds it: SQLite has text for it, in UTC without a zone.
    pub fn time(&self, time: Time) -> Value {
        match self.read.get_database_backend() {
            DbBackend::Sqlite => time.format("%Y-%m-%d %H:%M:%S%.6f").to_string().into(),
            DbBackend::MySql => time.naive_utc().into(),
            _ => time.into(),
        }
    }

    /// Whether it has such a table.
    pub async fn has(&self, table: &str) -> Stored<bool> {
        let mut query = Query::select();
        query.expr(Expr::val(1)).from(table_ref(table)).limit(1);
        match self.read.query_one(&query).await.map_err(StoreError::from) {
            Ok(_) => Ok(true),
            Err(StoreError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The rows whose column has one of these values.
    pub async fn find(
        &self,
        columns: &Columns,
        by: &str,
        values: Vec<Value>,
    ) -> Stored<Vec<TextRow>> {
        let mut query = self.select(columns);
        query.and_where(Expr::col(Alias::new(by)).is_in(values));
        self.all(query, columns).await
    }

    /// The first rows after a number, in its order.
    pub async fn after(
        &self,
        columns: &Columns,
        by: &str,
        number: i64,
        limit: u64,
    ) -> Stored<Vec<TextRow>> {
        let mut query = self.select(columns);
        query
            .and_where(Expr::col(Alias::new(by)).gt(number))
            .order_by((TABLE, Alias::new(by)), Order::Asc)
            .limit(limit);
        self.all(query, columns).await
    }

    /// One row more.
    pub async fn insert(&self, table: &str, values: Vec<(&str, Value)>) -> Stored<()> {
        let mut query = Query::insert();
        let (columns, values): (Vec<_>, Vec<_>) = values
            .into_iter()
            .map(|(column, value)| (Alias::new(column), Expr::value(value)))
            .unzip();
        query
            .into_table(table_ref(table))
            .columns(columns)
            .values_panic(values);
        self.write.execute(&query).await?;
        Ok(())
    }

    /// Other values in the rows whose columns all have these. How many rows those are.
    pub async fn update(
        &self,
        table: &str,
        values: Vec<(&str, Value)>,
        by: Vec<(&str, Value)>,
    ) -> Stored<u64> {
        let mut query = Query::update();
        query.table(table_ref(table));
        for (column, value) in values {
            query.value(Alias::new(column), value);
        }
        for (column, value) in by {
            query.and_where(Expr::col(Alias::new(column)).eq(value));
        }
        Ok(self.write.execute(&query).await?.rows_affected())
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &str) -> Stored<u64> {
        let mut query = Query::select();
        query
            .expr_as(Func::count(Expr::val(1)), Alias::new("n"))
            .from(table_ref(table));
        let row = self.read.query_one(&query).await?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "n"))?;
        Ok(count.unsigned_abs())
    }

    /// All rows, in this order, as they come.
    pub async fn stream<'a>(
        &'a self,
        columns: &Columns,
        order: &[&str],
    ) -> Stored<impl Stream<Item = Stored<TextRow>> + Send + 'a> {
        let mut query = self.select(columns);
        for column in order {
            query.order_by((TABLE, Alias::new(*column)), Order::Asc);
        }
        let width = columns.columns.len();
        let rows = self.read.stream(&query).await?;
        Ok(rows.map(move |row| text_row(&row?, width)))
    }

    /// Closes all connections.
    pub async fn close(self) {
        // Nothing is left to do for one that can't be closed.
        let _closed = self.read.close().await;
    }

    fn select(&self, columns: &Columns) -> SelectStatement {
        let text = match self.read.get_database_backend() {
            DbBackend::MySql => "char",
            _ => "text",
        };
        let mut query = Query::select();
        query.from_as(table_ref(&columns.table), TABLE);
        for column in &columns.columns {
            query.expr(Expr::col((TABLE, Alias::new(column))).cast_as(Alias::new(text)));
        }
        query
    }
    async fn all(&self, query: SelectStatement, columns: &Columns) -> Stored<Vec<TextRow>> {
        let rows = self.read.query_all(&query).await?;
        let width = columns.columns.len();
        rows.iter().map(|row| text_row(row, width)).collect()
    }
}

fn text_row(row: &QueryResult, width: usize) -> Stored<TextRow> {
    let columns = (0..width).map(|column| Ok(row.try_get_by_index(column)?));
    columns.collect()
}

/// The drivers have one name for MySQL and MariaDB.
fn known_to_driver(url: &str) -> String {
    match url.strip_prefix("mariadb:") {
        Some(rest) => format!("mysql:{rest}"),
        None => url.to_owned(),
    }
}

/// Whether the driver can read it. SeaORM would tell of one that it can't with its password.
fn is_readable(url: &str) -> bool {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => url.parse::<PgConnectOptions>().is_ok(),
        Some("mysql") => url.parse::<MySqlConnectOptions>().is_ok(),
        scheme => scheme == Some("sqlite"),
    }
}

fn table_ref(name: &str) -> TableRef {
    match name.split_once('.') {
        Some((schema, table)) => (Alias::new(schema), Alias::new(table)).into_table_ref(),
        None => Alias::new(name).into_table_ref(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;
    use test_database::TestDatabase;

    use super::*;

    /// Numbers whose texts have another order, all of one moment.
    async fn numbered(count: i64) -> (TestDatabase, Foreign) {
        let database = TestDatabase::empty();
        let foreign = Foreign::open(database.url(), 1).await.unwrap();
        let rows: Vec<String> = (1..=count).map(|id| format!("({id}, 7)")).collect();
        for sql in [
            "CREATE TABLE numbered (id integer PRIMARY KEY, moment integer NOT NULL)".to_owned(),
            format!("INSERT INTO numbered VALUES {}", rows.join(", ")),
        ] {
            foreign.write.execute_unprepared(&sql).await.unwrap();
        }
        (database, foreign)
    }

    fn ids() -> Columns {
        Columns {
            table: "numbered".to_owned(),
            columns: vec!["id".to_owned(), "moment".to_owned()],
        }
    }

    fn number(row: &TextRow) -> i64 {
        row[0].as_deref().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn rows_after_a_number_are_those_that_follow_it_and_not_its_text() {
        let (_database, foreign) = numbered(1200).await;
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let page = foreign.after(&ids(), "id", after, 100).await.unwrap();
            let Some(last) = page.last() else { break };
            after = number(last);
            seen.extend(page.iter().map(number));
        }
        assert_eq!(seen, (1..=1200).collect::<Vec<_>>());
        foreign.close().await;
    }

    #[tokio::test]
    async fn rows_of_one_moment_are_streamed_in_the_order_of_their_numbers() {
        let (_database, foreign) = numbered(12).await;
        let rows = foreign.stream(&ids(), &["moment", "id"]).await.unwrap();
        let rows: Vec<TextRow> = rows.try_collect().await.unwrap();
        let seen: Vec<i64> = rows.iter().map(number).collect();
        assert_eq!(seen, (1..=12).collect::<Vec<_>>());
        foreign.close().await;
    }

    #[tokio::test]
    async fn a_url_that_can_not_be_read_is_not_shown() {
        for url in [
            "oracle://site:hunter2@db/site",
            "postgres://site:hunter2@db:many/site",
            "mariadb://site:hunter2#@db/site",
            "mysql://site:hunter2@[::1/site",
        ] {
            let refused = Foreign::open(url, 1).await.err();
            let told = refused.map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(told, "refused: its URL can't be read", "{url}");
        }
    }

    #[test]
    fn mariadb_is_known_by_both_its_names() {
        for (url, known) in [
            ("mariadb://site@db/site", "mysql://site@db/site"),
            ("mysql://site@db/site", "mysql://site@db/site"),
            ("sqlite:///mariadb:", "sqlite:///mariadb:"),
        ] {
            assert_eq!(known_to_driver(url), known);
        }
    }
}
