//! The command line: what each command is given. What a command does stands in its own file.
//!
//! Not here: what a setting means (`settings`), rules about users and chats (`chat`); a command
//! goes through the same operations as every other door.

mod backup;
mod demo;
pub mod documents;
mod import;
mod load;
mod migrate;
mod serve;
mod user;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    settings::{Logging, Settings, Storage, environment},
    store::{Store, StoreError, StoreOptions},
};

/// How a command ends: well, or with what is told to the person who gave it.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// For a command line or a setting that makes no sense, as clap has it.
const EXIT_USAGE: u8 = 2;

/// A chat service that speaks the protocols of Django Channels projects, and loses nothing.
///
/// Without a command it serves. Every setting below is also a variable, TERTULIA_ and its name; a
/// file .env in the working directory counts as well. Times are written 500ms, 10s, 15m, 24h, 30d;
/// sizes 65536, 64KiB, 1MiB, 1GiB.
#[derive(Parser)]
#[command(name = "tertulia", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

/// What is asked for.
#[derive(Subcommand)]
pub enum Command {
    /// Serve (what is done without a command); brings the database up to date first
    Serve(Box<Settings>),
    /// Bring the tables up to date, take the newest step back, or tell how they stand
    Migrate(migrate::Migrate),
    /// Make users, set their passwords and rights, end their sign-ins
    User(user::User),
    /// Copy everything that is kept, while serving; the copy is a data directory to start on
    Backup(backup::Backup),
    /// Copy the users and chats of another project's database
    Import(Box<import::Import>),
    /// Print the OpenAPI document: REST
    Openapi,
    /// Print the AsyncAPI document: every frame of the WebSocket protocols
    Asyncapi,
    /// Serve two people, their chats and what they said, to look at; nothing is kept
    Demo(Box<demo::Demo>),
    /// Measure a server that speaks the chat dialect
    Load(Box<load::Load>),
}

/// What every command that looks into the data directory is given.
#[derive(Args, Debug)]
struct Place {
    #[command(flatten)]
    storage: Storage,
    #[command(flatten)]
    logging: Logging,
}

/// Reads the command line and the environment. Where there is nothing to do (help was asked for,
/// something made no sense), it has been told and the process is to end with the given code.
pub fn read() -> Result<Command, ExitCode> {
    match dotenvy::from_path(".env") {
        Ok(()) => {}
        Err(dotenvy::Error::Io(cause)) if cause.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refuse(&format!(".env: {error}"))),
    }
    let command = CommandLine::command()
        .mut_subcommand("import", flags_anywhere)
        .mut_subcommand("migrate", flags_anywhere)
        .mut_subcommand("user", flags_anywhere);
    let given = environment::attach(command)
        .try_get_matches()
        .and_then(|matches| CommandLine::from_arg_matches(&matches));
    let given = given.map_err(|error| match environment::settings_error(&error) {
        Some(error) => refuse(&error.to_string()),
        None => {
            // That the help can't be written is nothing that could be told.
            let _told = error.print();
            let code = u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE);
            ExitCode::from(code)
        }
    })?;
    let serve = Command::Serve(Box::new(given.settings));
    let command = given.command.unwrap_or(serve);
    if let Command::Serve(settings) = &command {
        settings
            .check()
            .map_err(|error| refuse(&error.to_string()))?;
    }
    Ok(command)
}

/// Lets a command's flags stand after the word that says what it is to do, too.
fn flags_anywhere(command: clap::Command) -> clap::Command {
    command.mut_args(|flag| flag.global(true))
}

fn refuse(problem: &str) -> ExitCode {
    eprintln!("tertulia: {problem}");
    ExitCode::from(EXIT_USAGE)
}

/// Does what is asked for.
pub async fn run(command: Command) -> Outcome {
    match command {
        // Boxed: their states are deep, and together deeper than the compiler is ready to look.
        Command::Serve(settings) => Box::pin(serve::run(*settings)).await,
        Command::Migrate(migrate) => Box::pin(migrate.run()).await,
        Command::User(user) => Box::pin(user.run()).await,
        Command::Backup(backup) => Box::pin(backup.run()).await,
        Command::Import(import) => Box::pin(import.run()).await,
        Command::Openapi => documents::openapi(),
        Command::Asyncapi => documents::asyncapi(),
        Command::Demo(demo) => Box::pin(demo.run()).await,
        Command::Load(load) => tokio::task::spawn_blocking(|| load.run()).await?,
    }
}

/// Opens the database for one command.
async fn open_store(url: String) -> Result<Store, StoreError> {
    Store::open(&StoreOptions::alone(url)).await
}

/// Writes to the standard output. That nobody reads on, as behind `| head`, is no failure.
fn print(text: &str) -> Outcome {
    match io::stdout().write_all(text.as_bytes()) {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        CommandLine::command().debug_assert();
    }
}
