//! The sockets: one machinery for all dialects.

pub mod close;
