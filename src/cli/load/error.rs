//! Why a load ended early.

use std::{io, path::PathBuf};

use crate::data_dir::DataDirError;

/// What went wrong, in words for whoever started the load.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("{0}")]
    Arguments(&'static str),
    #[error("{url} is no address of a server: http://HOST:PORT is")]
    Url { url: String },
    #[error(
        "{url}: a load speaks no TLS; name an address that the server has without it, as http://HOST:PORT"
    )]
    Tls { url: String },
    #[error("cannot reach {host}: {cause}")]
    Unreachable { host: String, cause: io::Error },
    #[error("{0}: {1}")]
    Io(&'static str, #[source] io::Error),
    #[error("the secret key in {path}: {cause}")]
    SecretKey { path: PathBuf, cause: io::Error },
    #[error("the tokens in {path}: {cause}")]
    Tokens { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("signing a token: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("`tertulia user create` failed: {0}")]
    Users(String),
    #[error("there is no process {0}, or its /proc cannot be read")]
    NoProcess(u32),
    #[error("{needed} open files are needed and {limit} allowed (ulimit -n)")]
    OpenFiles { needed: u64, limit: u64 },
    #[error("{request} was answered {status}: {body}")]
    Answer {
        request: String,
        status: u16,
        body: String,
    },
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    #[error("the server closed a connection: {0}")]
    Closed(String),
    #[error("the server answered with an error: {0}")]
    Refused(String),
    #[error("a receiver was due number {due} and got {got}: {frame}")]
    OutOfOrder { due: u64, got: u64, frame: String },
    #[error("a receiver got a message that nobody here sent: {0}")]
    Strange(String),
    #[error("messages were lost: {0}")]
    Lost(String),
}
