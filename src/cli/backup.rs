//! `backup`: a data directory to start on, copied while a service serves from this one.
//!
//! The copy appears under its name when it is whole and on the disk; before that it is a directory
//! beside it, which a failure removes.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Outcome, Place, open_store, print};
use crate::{
    data_dir::{DataDir, create_private},
    logging,
};

/// What is said where the database has tools of its own for this.
const ANOTHERS: &str = "this copies SQLite's database; use pg_dump or mysqldump (mariadb-dump) --single-transaction for \
                        yours, and copy the uploads after it";

/// `tertulia backup PATH`.
#[derive(Args, Debug)]
pub struct Backup {
    /// The new directory; start on it with TERTULIA_DATA_DIR. A secret that a setting gives is not
    /// in it
    path: PathBuf,
    #[command(flatten)]
    place: Place,
}

impl Backup {
    pub(super) async fn run(self) -> Outcome {
        logging::start(&self.place.logging);
        let storage = &self.place.storage;
        if !storage.database_url.is_file() {
            return Err(ANOTHERS.into());
        }
        let data_dir = DataDir::open(&storage.data_dir)?;
        let source = data_dir.database_path(storage.database_url.reveal());
        if !source.exists() {
            let problem = format!("{}: there is no database to copy", source.display());
            return Err(problem.into());
        }
        if self.path.exists() {
            let problem = format!(
                "{}: exists already, name a new directory",
                self.path.display()
            );
            return Err(problem.into());
        }
        let unfinished = unfinished(&self.path)?;
        DirBuilder::new().mode(0o700).create(&unfinished)?;
        let uploads = data_dir.uploads_path(&storage.uploads_dir);
        let copied = copy(&data_dir, &source, &uploads, &unfinished).await;
        let named = copied.and_then(|()| Ok(fs::rename(&unfinished, &self.path)?));
        if let Err(error) = named {
            fs::remove_dir_all(&unfinished)?;
            return Err(error);
        }
        sync_parent(&self.path)?;
        print(&format!("{}\n", self.path.display()))
    }
}

async fn copy(data_dir: &DataDir, source: &Path, uploads: &Path, target: &Path) -> Outcome {
    let name = source.file_name().ok_or("the database has no file name")?;
    let database = target.join(name);
    let path = database.to_str().ok_or("the path is not UTF-8")?;
    create_private(&database)?;
    let store = open_store(format!("sqlite://{}?mode=rw", source.display())).await?;
    store.copy_to(path).await?;
    store.close().await;
    File::open(&database)?.sync_all()?;
    let secret = data_dir.secret_path();
    if secret.exists() {
        // Keeps the mode: its owner's alone.
        let copied = target.join(secret.file_name().ok_or("the secret has no file name")?);
        fs::copy(&secret, &copied)?;
        File::open(&copied)?.sync_all()?;
    }
    copy_uploads(uploads, &target.join("uploads"))?;
    Ok(File::open(target)?.sync_all()?)
}

/// After the database: what its copy names is there. What went since isn't missed, it is named no more.
fn copy_uploads(source: &Path, target: &Path) -> Outcome {
    if !source.exists() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let copy = target.join(entry.file_name());
        match fs::copy(entry.path(), &copy) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
            Ok(_) => File::open(&copy)?.sync_all()?,
        }
    }
    Ok(File::open(target)?.sync_all()?)
}

/// A name beside `path`, so that the last step is a rename on the same file system.
fn unfinished(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("the backup needs a name"))?
        .to_string_lossy();
    Ok(path.with_file_name(format!(".{name}.unfinished-{}", std::process::id())))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.canonicalize()?;
    match parent.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
