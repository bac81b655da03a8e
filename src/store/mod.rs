//! The database, through SeaORM: plain functions, one file per topic. It asks and writes, it never decides.

mod error;

pub use error::StoreError;
