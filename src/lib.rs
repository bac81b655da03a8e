//! Tertulia.

pub mod data_dir;
pub mod logging;
pub mod settings;
