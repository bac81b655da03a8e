//! The database of a Django project, as its migrations make it: users, sessions and blacklisted tokens, with a story's
//! own tables beside them.

use std::path::{Path, PathBuf};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use serde_json::Value;

/// The password of everybody in a project.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// As Django stores it; a thousandth of its rounds.
pub(crate) const STORED: &str =
    "pbkdf2_sha256$1000$NGt8KBWoCDImJtgLpuA9m0$tE5CiKfR8kkfwwtVLBCaWdicpPidaCj6ZRwNPEXich8=";

/// A project's database on SQLite.
pub(crate) struct Project {
    file: PathBuf,
    database: DatabaseConnection,
}

impl Project {
    /// A new one in this directory, with the tables of `django.contrib.auth`, of sessions and of simplejwt's
    /// blacklist.
    pub(crate) async fn begins(dir: &Path) -> Self {
        let file = dir.join("project.sqlite3");
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let database = Database::connect(url).await.expect("a database");
        let schema: Value = serde_json::from_str(include_str!("../../vectors/auth_schema.json"))
            .expect("the recorded schema");
        let project = Self { file, database };
        for table in [
            "auth_user",
            "django_session",
            "token_blacklist_outstandingtoken",
            "token_blacklist_blacklistedtoken",
        ] {
            let statement = schema["sqlite"][table].as_str().expect("a statement");
            project.does(statement).await;
        }
        project
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.file.display())
    }

    /// Statements of a story's own.
    pub(crate) async fn does(&self, sql: &str) {
        let done = self.database.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Somebody who signed up there.
    pub(crate) async fn signs_up(&self, id: i64, username: &str) {
        self.does(&format!(
            "INSERT INTO auth_user (id, password, last_login, is_superuser, username, last_name, email, is_staff, \
             is_active, date_joined, first_name) VALUES ({id}, '{STORED}', NULL, 0, '{username}', 'Story', \
             'mail@example.org', 0, 1, '2024-01-02 03:04:05.678901', 'From Django')"
        ))
        .await;
    }
}
