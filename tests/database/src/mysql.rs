//! MariaDB and MySQL copy no databases: what a migrated one's tables are made by is carried out anew, in one call.

use std::fmt::Write;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::{connect, failed, template_name, with_name};

/// What says that a template is whole.
const WHOLE: &str = "whole";

pub(super) async fn make(server: String, name: String, with_tables: bool) {
    let database = connect(&with_name(&server, ""), 1).await;
    let mut sql = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4; USE {name};");
    if with_tables {
        let template = template_name();
        if !tables(&database, &template)
            .await
            .iter()
            .any(|table| table == WHOLE)
        {
            make_template(&server, &database, &template).await;
        }
        for table in tables(&database, &template).await {
            if table == WHOLE {
                continue;
            }
            let made_by = text(
                &database,
                &format!("SHOW CREATE TABLE {template}.`{table}`"),
                1,
            )
            .await;
            let _ = write!(sql, "{made_by};");
        }
        let _ = write!(
            sql,
            "INSERT INTO seaql_migrations SELECT * FROM {template}.seaql_migrations"
        );
    }
    carry_out(&database, &sql).await;
    let _ = database.close().await;
}

pub(super) async fn remove(server: String, name: String) {
    let database = connect(&with_name(&server, ""), 1).await;
    // It would wait for transactions, and a test that is blocked by this call ends none.
    for id in connections_to(&database, &name).await {
        // One may be gone by now.
        let _ = database.execute_unprepared(&format!("KILL {id}")).await;
    }
    carry_out(&database, &format!("DROP DATABASE IF EXISTS {name}")).await;
    let _ = database.close().await;
}

async fn connections_to(database: &DatabaseConnection, name: &str) -> Vec<i64> {
    let sql = "SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist WHERE db = ?";
    let asked = Statement::from_sql_and_values(DbBackend::MySql, sql, [name.into()]);
    let rows = database.query_all_raw(asked).await;
    let rows = rows.unwrap_or_else(|error| failed("who is connected", error));
    let ids = rows.iter().map(|row| row.try_get("", "id"));
    ids.collect::<Result<_, _>>()
        .unwrap_or_else(|error| failed("who is connected", error))
}

async fn make_template(server: &str, database: &DatabaseConnection, template: &str) {
    // One connection: the lock is its own.
    carry_out(database, "SELECT get_lock('test template', 600)").await;
    if !tables(database, template)
        .await
        .iter()
        .any(|table| table == WHOLE)
    {
        let sql = format!("DROP DATABASE IF EXISTS {template}; CREATE DATABASE {template}");
        carry_out(database, &sql).await;
        let made = connect(&with_name(server, template), 2).await;
        let tables = migration::up(&made).await;
        tables.unwrap_or_else(|error| failed("the tables", error));
        let _ = made.close().await;
        carry_out(
            database,
            &format!("CREATE TABLE {template}.{WHOLE} (id INT)"),
        )
        .await;
    }
    carry_out(database, "SELECT release_lock('test template')").await;
}

async fn tables(database: &DatabaseConnection, name: &str) -> Vec<String> {
    let sql = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ?";
    let asked = Statement::from_sql_and_values(DbBackend::MySql, sql, [name.into()]);
    let rows = database.query_all_raw(asked).await;
    let rows = rows.unwrap_or_else(|error| failed("its template", error));
    let names = rows.iter().map(|row| row.try_get("", "name"));
    names
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| failed("its template's tables", error))
}

async fn text(database: &DatabaseConnection, sql: &str, column: usize) -> String {
    let asked = Statement::from_string(DbBackend::MySql, sql);
    let row = database.query_one_raw(asked).await;
    let row = row.unwrap_or_else(|error| failed(sql, error));
    row.and_then(|row| row.try_get_by_index(column).ok())
        .unwrap_or_else(|| failed(sql, "no answer"))
}

async fn carry_out(database: &DatabaseConnection, sql: &str) {
    let done = database.execute_unprepared(sql).await;
    done.unwrap_or_else(|error| failed(sql, error));
}
