//! Integration tests: stories about people who use the service, and about connections on their own.

mod support;

mod chats;
mod command_line;
mod connection_rule;
mod connections;
mod crash;
mod doors;
mod editing;
mod history;
mod house;
mod http_server;
mod limits;
mod membership;
mod reactions;
mod reading;
mod repeats;
mod rest_accounts;
mod rest_forms;
mod rest_headers;
mod rest_pages;
mod rest_tokens;
mod resuming;
mod rfc6455;
mod seed_client;
mod sending;
mod signing_out;
mod slow;
mod stopping;
mod transcripts;
mod two_nodes;
mod typing;
mod walk;
mod wire;
mod wrong_frames;
