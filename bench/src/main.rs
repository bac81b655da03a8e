//! Limit server.
fn main() {}
