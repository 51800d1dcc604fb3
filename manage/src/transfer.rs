//! Import and export of users by the thousand, in the same file formats.

mod export;
mod file;
mod import;
mod refused_rows;
mod row;
mod value;
mod writer;

pub(crate) use export::{ExportArgs, export};
pub(crate) use import::{ImportArgs, import};
