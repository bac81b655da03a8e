//! Tertulia: a chat service. See `ARCHITECTURE.md` for a walk through the rooms.

pub mod chat;
pub mod cli;
pub mod data_dir;
pub mod hub;
pub mod lease;
pub mod logging;
pub mod origin;
pub mod server;
pub mod settings;
pub mod store;
pub mod view;
pub mod ws;
