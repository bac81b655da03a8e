//! Integration tests.

mod connections;
mod http_server;
mod rfc6455;
mod wire;
