//! The file of the rows that an import refused.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::json;

/// The refused rows, as JSON lines. Only the file's owner may read it, because its line numbers
/// point to users in the imported file.
pub(super) struct RefusedRows {
    path: PathBuf,
    file: BufWriter<File>,
    count: u64,
}

impl RefusedRows {
    /// Creates the file `path`, or one next to `imported`.
    pub(super) fn create(path: Option<PathBuf>, imported: &Path) -> Result<Self> {
        let path = path.unwrap_or_else(|| {
            let mut name = imported.as_os_str().to_owned();
            name.push(".refused.jsonl");
            name.into()
        });
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).with_context(|| {
            format!(
                "writing {}; choose another file with --refused",
                path.display()
            )
        })?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
            count: 0,
        })
    }

    /// Adds the row at `line`.
    pub(super) fn add(&mut self, line: u64, reason: &str) -> Result<()> {
        self.count += 1;
        let row = json!({ "line": line, "reason": reason });
        writeln!(self.file, "{row}").with_context(|| format!("writing {}", self.path.display()))
    }

    /// Prints the path of the file, or removes it if it is empty. Returns the number of rows.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.file.flush()?;
        if self.count == 0 {
            std::fs::remove_file(&self.path)?;
        } else {
            eprintln!(
                "the refused rows and their reasons are in {}",
                self.path.display()
            );
        }
        Ok(self.count)
    }
}
