//! Atomic replacement of files: a crash leaves either the old content or the new.

use std::{fs, io, path::Path};

/// Writes `content` to a temporary file next to `path` and renames it.
pub(crate) fn write(path: &Path, content: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, content)?;
    fs::rename(&temporary, path)
}
