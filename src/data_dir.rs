//! The data directory: the database, the generated secret and the lock that keeps a second
//! service from it. For its owner's eyes alone.
//!
//! Not here: what is in the database (`store/`), backups (`cli/backup.rs`).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRngCore, rngs::OsRng};
use rustix::fs::{FlockOperation, flock};

use crate::settings::{DatabaseUrl, Secret, Tokens};

const SECRET_FILE: &str = "secret_key";
const LOCK_FILE: &str = "lock";
/// 384 bits: what HS384 and weaker can use in full.
const SECRET_BYTES: usize = 48;
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// A directory that exists and is this service's own.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// Why the data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A file or directory can't be made, read or written.
    #[error("{}: {cause}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The secret's file holds nothing.
    #[error("{}: the file holds no key", .0.display())]
    EmptySecret(PathBuf),
    /// Another service has it, and didn't let go in time.
    #[error(
        "{}: another tertulia serves from this data directory, and still did after {waited:?}. \
         Stop it first, or name another TERTULIA_DATA_DIR", .path.display()
    )]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// For how long the lock was waited for.
        waited: Duration,
    },
}

/// Held while a service writes to the data directory; gone with its process, however that ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDir {
    /// Opens the directory; makes it, readable by its owner alone, where it doesn't exist.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .and_then(|()| path.canonicalize())
            .map(Self)
            .map_err(|cause| io_error(path, cause))
    }

    /// Where it is, from the root.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the generated secret is kept.
    pub fn secret_path(&self) -> PathBuf {
        self.0.join(SECRET_FILE)
    }

    /// The database's URL; of a file with its path from the root: a relative one is looked up here. A
    /// new file, where the URL allows one, is readable by its owner alone, and so will SQLite make
    /// the files beside it.
    pub fn database_url(&self, url: &DatabaseUrl) -> Result<String, DataDirError> {
        let (is_file, url) = (url.is_file(), url.reveal());
        if !is_file {
            return Ok(url.to_owned());
        }
        let path = self.database_path(url);
        let query = url.split_once('?').map(|(_, query)| query);
        if query.is_some_and(|query| query.contains("mode=rwc")) {
            create_private(&path).map_err(|cause| io_error(&path, cause))?;
        }
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Ok(format!("sqlite://{}{query}", path.display()))
    }

    /// The database's file.
    pub fn database_path(&self, url: &str) -> PathBuf {
        let path = url.strip_prefix("sqlite://").unwrap_or(url);
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        self.0.join(path)
    }

    /// The directory of files that users sent: a relative one is looked up here.
    pub fn uploads_path(&self, dir: &Path) -> PathBuf {
        self.0.join(dir)
    }

    /// The key that signs tokens: the given one, the given file's, else the generated one, which
    /// the first call makes.
    pub fn secret_key(&self, tokens: &Tokens) -> Result<Secret, DataDirError> {
        if let Some(secret) = &tokens.secret_key {
            return Ok(secret.clone());
        }
        if let Some(path) = &tokens.secret_key_file {
            return read_secret(path);
        }
        let path = self.secret_path();
        match read_secret(&path) {
            Err(DataDirError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                self.generate_secret(&path)
            }
            read => read,
        }
    }

    fn generate_secret(&self, path: &Path) -> Result<Secret, DataDirError> {
        let mut key = [0; SECRET_BYTES];
        OsRng
            .try_fill_bytes(&mut key)
            .map_err(|cause| io_error(path, io::Error::other(cause)))?;
        let key = URL_SAFE_NO_PAD.encode(key);
        // Written whole under another name, then linked: of two first starts at once, one's key
        // stays and both use it, and a crash leaves no half of one.
        let unfinished = self.0.join(format!("{SECRET_FILE}.{}", std::process::id()));
        let linked =
            write_secret(&unfinished, &key).and_then(|()| fs::hard_link(&unfinished, path));
        let removed = fs::remove_file(&unfinished);
        match linked.and(removed) {
            Ok(()) => Ok(Secret::new(key)),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => read_secret(path),
            Err(cause) => Err(io_error(path, cause)),
        }
    }

    /// Takes the directory for this process alone, and waits up to `patience` for whoever has it.
    pub async fn lock(&self, patience: Duration) -> Result<DataDirLock, DataDirError> {
        let path = self.0.join(LOCK_FILE);
        let file = create_private(&path).map_err(|cause| io_error(&path, cause))?;
        let began = Instant::now();
        let mut is_told = false;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(DataDirLock { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < patience => {
                    if !is_told {
                        is_told = true;
                        let path = self.0.display();
                        tracing::info!(%path, "{path}: waiting for the tertulia that serves from it");
                    }
                    tokio::time::sleep(LOCK_RETRY).await;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let (path, waited) = (self.0.clone(), patience);
                    return Err(DataDirError::Locked { path, waited });
                }
                Err(errno) => return Err(io_error(&path, errno.into())),
            }
        }
    }
}

fn read_secret(path: &Path) -> Result<Secret, DataDirError> {
    let text = fs::read_to_string(path).map_err(|cause| io_error(path, cause))?;
    match text.trim_end() {
        "" => Err(DataDirError::EmptySecret(path.to_owned())),
        key => Ok(Secret::new(key)),
    }
}

fn write_secret(path: &Path, key: &str) -> io::Result<()> {
    let mut file = create_private(path)?;
    file.set_len(0)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}

/// Opens the file for writing; makes it, readable by its owner alone, where it doesn't exist.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(path)
}

fn io_error(path: &Path, cause: io::Error) -> DataDirError {
    let path = path.to_owned();
    DataDirError::Io { path, cause }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::settings::Settings;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path)
            .map(|file| file.permissions().mode() & 0o777)
            .unwrap_or_default()
    }

    fn fresh() -> (tempfile::TempDir, DataDir) {
        let place = tempfile::tempdir().expect("a temporary directory");
        let dir = DataDir::open(&place.path().join("deep/data")).expect("a data directory");
        (place, dir)
    }

    #[test]
    fn the_directory_and_its_secret_are_their_owners_alone() {
        let (_place, dir) = fresh();
        let tokens = Settings::defaults().tokens;
        let first = dir.secret_key(&tokens).expect("a generated secret");
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.secret_path()), 0o600);
        assert_eq!(first.reveal().len(), 64);
        assert_eq!(dir.secret_key(&tokens).expect("the same one"), first);
        let files = fs::read_dir(dir.path()).expect("its files").count();
        assert_eq!(files, 1, "nothing unfinished is left");
    }

    #[test]
    fn a_given_secret_is_used_and_none_is_generated() {
        let (place, dir) = fresh();
        let mut tokens = Settings::defaults().tokens;
        let file = place.path().join("key");
        fs::write(&file, "from a file\n").expect("written");
        tokens.secret_key_file = Some(file.clone());
        assert_eq!(
            dir.secret_key(&tokens).expect("the file's").reveal(),
            "from a file"
        );
        fs::write(&file, "\n").expect("written");
        assert!(matches!(
            dir.secret_key(&tokens),
            Err(DataDirError::EmptySecret(_))
        ));
        tokens.secret_key_file = Some(place.path().join("missing"));
        assert!(dir.secret_key(&tokens).is_err());
        assert!(!dir.secret_path().exists());
    }

    #[test]
    fn a_relative_database_is_in_the_data_directory_and_an_absolute_one_where_it_says() {
        let (_place, dir) = fresh();
        let url = |given| {
            let url = dir.database_url(&DatabaseUrl::new(given));
            url.expect("a file that can be made")
        };
        let inside = format!("sqlite://{}/tertulia.db?mode=rwc", dir.path().display());
        assert_eq!(url("sqlite://tertulia.db?mode=rwc"), inside);
        assert_eq!(mode(&dir.path().join("tertulia.db")), 0o600);
        assert_eq!(url("sqlite:///srv/chat.db"), "sqlite:///srv/chat.db");
        assert_eq!(url("postgres://db/chat"), "postgres://db/chat");
    }

    #[tokio::test]
    async fn a_second_service_waits_then_refuses_and_gets_in_when_the_first_is_gone() {
        let (_place, dir) = fresh();
        let first = dir.lock(Duration::ZERO).await.expect("nobody has it");
        let second = dir.lock(Duration::from_millis(60)).await;
        assert!(
            matches!(second, Err(DataDirError::Locked { .. })),
            "{second:?}"
        );
        let waiting = dir.clone();
        let third = tokio::spawn(async move { waiting.lock(Duration::from_secs(60)).await });
        tokio::task::yield_now().await;
        drop(first);
        assert!(third.await.expect("not cancelled").is_ok());
    }
}
