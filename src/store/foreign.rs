//! Tables of a database that isn't ours, such as a Django project's: their columns come as text, whatever types they
//! have there.
//!
//! Not here: what the columns mean. Bounded by: rows are streamed, or asked for by key or with a limit.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, QueryResult,
    StreamTrait,
    sea_query::{Alias, Expr, ExprTrait, Func, IntoTableRef, Query, SelectStatement, TableRef},
};

use super::Stored;

/// How long a query waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);

/// A row's columns, in the order in which they were asked for.
pub type TextRow = Vec<Option<String>>;

/// A database that isn't ours.
#[derive(Clone, Debug)]
pub struct Foreign {
    connection: DatabaseConnection,
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
        let connection = Database::connect(options).await?;
        Ok(Self { connection })
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &str) -> Stored<u64> {
        let mut query = Query::select();
        query
            .expr_as(Func::count(Expr::val(1)), Alias::new("n"))
            .from(table_ref(table));
        let row = self.connection.query_one(&query).await?;
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
        let rows = self.connection.stream(&query).await?;
        Ok(rows.map(move |row| text_row(&row?, width)))
    }

    /// Closes all connections.
    pub async fn close(self) {
        // Nothing is left to do for one that can't be closed.
        let _closed = self.connection.close().await;
    }

    fn select(&self, columns: &Columns) -> SelectStatement {
        let text = match self.connection.get_database_backend() {
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
