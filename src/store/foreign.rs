//! Tables of a database that isn't ours, such as a Django project's: their columns come as text, whatever types they
//! have there.
//!
//! Not here: what the columns mean. Bounded by: rows are streamed, or asked for by key or with a limit.

use std::time::Duration;

use entity::Time;
use futures_util::{Stream, StreamExt};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, QueryResult,
    StreamTrait, Value,
    sea_query::{Alias, Expr, ExprTrait, Func, IntoTableRef, Query, SelectStatement, TableRef},
};

use super::{Store, StoreError, Stored};

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
            .order_by(Alias::new(by), sea_orm::Order::Asc)
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
            query.order_by(Alias::new(*column), sea_orm::Order::Asc);
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
        query.from(table_ref(&columns.table));
        for column in &columns.columns {
            query.expr(Expr::col(Alias::new(column)).cast_as(Alias::new(text)));
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

fn table_ref(name: &str) -> TableRef {
    match name.split_once('.') {
        Some((schema, table)) => (Alias::new(schema), Alias::new(table)).into_table_ref(),
        None => Alias::new(name).into_table_ref(),
    }
}
