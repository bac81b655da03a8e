//! Tertulia: a chat service. See `ARCHITECTURE.md` for a walk through the rooms.

pub mod auth;
pub mod chat;
pub mod cli;
pub mod data_dir;
pub mod hub;
pub mod journal;
pub mod layer;
pub mod lease;
pub mod logging;
pub mod mail;
pub mod metrics;
pub mod origin;
pub mod picture;
pub mod redis;
pub mod rest;
pub mod server;
pub mod service;
pub mod settings;
pub mod store;
pub mod urlencoded;
pub mod view;
pub mod web;
pub mod ws;
