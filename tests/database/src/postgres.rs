//! PostgreSQL copies a database itself.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::{connect, failed, template_name, with_name};

/// Of those who make the template.
const LOCK: i64 = 0x7465_7374;

pub(super) async fn make(server: String, name: String, with_tables: bool) {
    let database = connect(&server, 1).await;
    let sql = match with_tables {
        true => {
            let template = template_name();
            if !exists(&database, &template).await {
                make_template(&server, &database, &template).await;
            }
            format!("CREATE DATABASE {name} TEMPLATE {template}")
        }
        false => format!("CREATE DATABASE {name}"),
    };
    carry_out(&database, &sql).await;
    let _ = database.close().await;
}

pub(super) async fn remove(server: String, name: String) {
    let database = connect(&server, 1).await;
    carry_out(
        &database,
        &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
    )
    .await;
    let _ = database.close().await;
}

async fn make_template(server: &str, database: &DatabaseConnection, template: &str) {
    // One connection: the lock is its own.
    carry_out(database, &format!("SELECT pg_advisory_lock({LOCK})")).await;
    if !exists(database, template).await {
        let unfinished = format!("{template}_unfinished");
        carry_out(
            database,
            &format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"),
        )
        .await;
        carry_out(database, &format!("CREATE DATABASE {unfinished}")).await;
        let made = connect(&with_name(server, &unfinished), 2).await;
        let tables = migration::up(&made).await;
        tables.unwrap_or_else(|error| failed("the tables", error));
        let _ = made.close().await;
        let named = format!("ALTER DATABASE {unfinished} RENAME TO {template}");
        carry_out(database, &named).await;
    }
    carry_out(database, &format!("SELECT pg_advisory_unlock({LOCK})")).await;
}

async fn exists(database: &DatabaseConnection, name: &str) -> bool {
    let sql = "SELECT 1 AS found FROM pg_database WHERE datname = $1";
    let asked = Statement::from_sql_and_values(DbBackend::Postgres, sql, [name.into()]);
    let found = database.query_one_raw(asked).await;
    found
        .unwrap_or_else(|error| failed("its template", error))
        .is_some()
}

async fn carry_out(database: &DatabaseConnection, sql: &str) {
    let done = database.execute_unprepared(sql).await;
    done.unwrap_or_else(|error| failed(sql, error));
}
