//! Integration tests.

mod connections;
mod house;
mod http_server;
mod rest_accounts;
mod rest_forms;
mod rest_headers;
mod rest_pages;
mod rest_tokens;
mod rfc6455;
mod support;
mod wire;
