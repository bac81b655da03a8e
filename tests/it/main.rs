//! Integration tests.

mod connections;
mod house;
mod http_server;
mod rfc6455;
mod wire;
