//! Integration tests.

mod connections;
mod rfc6455;
mod wire;
