//! SQL over data files in granted folders: CSV, JSON, JSON Lines and Parquet, by SQLite in memory.

mod csv_file;
mod describe;
mod engine;
mod files;
mod json_file;
mod nearest;
mod parquet_file;
mod query;
mod table;
#[cfg(target_arch = "wasm32")]
mod vfs;

toolhost_plugin::plugin!(query::sql_query, describe::sql_tables);
