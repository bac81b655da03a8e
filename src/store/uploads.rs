//! Files that users sent, beside the database.
//!
//! Relies on: a file appears under its name when it is whole and on the disk.
//! Bounded by: what the domain lets in.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{
    fs::{self, OpenOptions},
    io::AsyncWriteExt,
};
use uuid::Uuid;

/// A directory of files.
#[derive(Clone, Debug)]
pub struct Uploads(PathBuf);

impl Uploads {
    /// Files in this directory, which the first one makes.
    pub fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Writes a file; in the place of one of that name, if there is one.
    pub async fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .await?;
        let unfinished = self.0.join(format!(".{}", Uuid::new_v4().simple()));
        let written = self.write(&unfinished, bytes).await;
        let named = match written {
            Ok(()) => fs::rename(&unfinished, self.0.join(name)).await,
            failed => failed,
        };
        if named.is_err() {
            let _ = fs::remove_file(&unfinished).await;
        }
        named
    }

    async fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .await?;
        file.write_all(bytes).await?;
        file.sync_all().await
    }

    /// Reads a file, where there is one.
    pub async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(name)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a file, where there is one.
    pub async fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
