//! Files that users sent, beside the database.
//!
//! Relies on: a file appears under its name when it is whole and on the disk, and so does the name (fsync(2) of a file says
//! nothing of its directory).
//! Bounded by: what the domain lets in.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tokio::{
    fs::{self, File, OpenOptions},
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
        self.make_dir().await?;
        let unfinished = self.0.join(format!(".{}", Uuid::new_v4().simple()));
        let written = self.write(&unfinished, bytes).await;
        let named = match written {
            Ok(()) => rename(&unfinished, &self.0.join(name)).await,
            failed => failed,
        };
        if named.is_err() {
            let _ = fs::remove_file(&unfinished).await;
        }
        named
    }

    async fn make_dir(&self) -> io::Result<()> {
        let mut dir = fs::DirBuilder::new();
        dir.recursive(true).mode(0o700).create(&self.0).await
    }

    async fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = create(path).await?;
        file.write_all(bytes).await?;
        file.sync_all().await
    }

    /// Begins a file that comes in pieces. It has no name yet.
    pub async fn begin(&self) -> io::Result<Unfinished> {
        self.make_dir().await?;
        let path = self.0.join(format!(".{}", Uuid::new_v4().simple()));
        let file = create(&path).await?;
        Ok(Unfinished {
            file: Some(file),
            path,
        })
    }

    /// Opens a file, where there is one; with its size.
    pub async fn open(&self, name: &str) -> io::Result<Option<(File, u64)>> {
        match File::open(self.0.join(name)).await {
            Ok(file) => {
                let bytes = file.metadata().await?.len();
                Ok(Some((file, bytes)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of files, unfinished ones too, that were written before a moment.
    pub async fn older_than(&self, before: SystemTime) -> io::Result<Vec<String>> {
        let mut entries = match fs::read_dir(&self.0).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            // One that is gone meanwhile is nobody's concern.
            let Ok(about) = entry.metadata().await else {
                continue;
            };
            if let (true, Ok(name)) = (about.is_file(), entry.file_name().into_string())
                && about.modified()? < before
            {
                names.push(name);
            }
        }
        Ok(names)
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

/// Gives a file its name, for good.
async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to).await?;
    match to.parent() {
        Some(dir) => File::open(dir).await?.sync_all().await,
        None => Ok(()),
    }
}

async fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .await
}

/// A file that is being written. Dropped, it is removed.
#[derive(Debug)]
pub struct Unfinished {
    file: Option<File>,
    path: PathBuf,
}

impl Unfinished {
    /// Writes the next piece.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes).await,
            None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Gives it its name, when it is on the disk.
    pub async fn finish(mut self, name: &str) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        file.flush().await?;
        file.sync_all().await?;
        rename(&self.path, &self.path.with_file_name(name)).await?;
        self.file = None;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // At once, wherever it is dropped; what fails is found by who looks for old ones.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
