//! The database of a Django project, as its migrations make it: users, sessions and blacklisted tokens, with a story's
//! own tables beside them.

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::tokens::SECRET;

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

    /// What a query says, in its only column.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let statement = Statement::from_string(self.database.get_database_backend(), sql);
        let row = self
            .database
            .query_one_raw(statement)
            .await
            .expect("an answer");
        row.expect("a row").try_get_by_index(0).expect("a text")
    }

    /// Signs in at the site: the key of a session, as a cookie has it. `stored` is the password that it began with.
    pub(crate) async fn signs_in(&self, id: i64, stored: &str, until: &str) -> String {
        let hash = salted(
            "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash",
            stored,
        );
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let session = json!({
            "_auth_user_id": id.to_string(),
            "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
            "_auth_user_hash": hash,
        });
        let value = format!("{}:1xUcMD", URL_SAFE_NO_PAD.encode(session.to_string()));
        let signature = salted("django.contrib.sessions.SessionStoresigner", &value);
        let data = format!("{value}:{}", URL_SAFE_NO_PAD.encode(signature));
        let key = uuid::Uuid::new_v4().simple().to_string();
        self.does(&format!(
            "INSERT INTO django_session VALUES ('{key}', '{data}', '{until}')"
        ))
        .await;
        key
    }
}

/// Django's `salted_hmac`, with the stories' own key as the project's secret.
fn salted(salt: &str, value: &str) -> Vec<u8> {
    let key = Sha256::digest(format!("{salt}{SECRET}"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key will do");
    mac.update(value.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
