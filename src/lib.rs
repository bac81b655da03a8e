//! Tertulia: a chat service. See `ARCHITECTURE.md` for a walk through the rooms.

pub mod chat;
pub mod data_dir;
pub mod lease;
pub mod logging;
pub mod origin;
pub mod settings;
pub mod store;
pub mod view;
