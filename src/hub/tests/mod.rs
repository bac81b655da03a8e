//! Hubs under tests: what readers with a queue and no socket hear.

mod alone;
mod audience;
mod follow;
mod nodes;
mod presence;
mod reader;
mod round;
mod testing;
mod unread;
