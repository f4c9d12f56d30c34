//! The refs of a mirror, read from its files.
//!
//! *Design.* The folder is one that this program made, with git's plain files for refs (`process::environment` says so to
//! newer versions too). A ref has a file of its own or a line in `packed-refs`; git writes the line before it removes the
//! file, so looking in this order finds it.

use std::io;
use std::path::Path;

use backlog::names::CommitId;

use crate::error::GitError;
use crate::remove::io_error;

/// The name of the ref that `HEAD` stands for, there or not.
pub(crate) async fn head(dir: &Path) -> Result<Option<String>, GitError> {
    let text = text(&dir.join("HEAD")).await?;
    Ok(text.and_then(|text| Some(text.trim_end().strip_prefix("ref: ")?.to_owned())))
}

/// The commit of the ref `name`, if it is there.
pub(crate) async fn commit(dir: &Path, name: &str) -> Result<Option<CommitId>, GitError> {
    if let Some(text) = text(&dir.join(name)).await? {
        return Ok(text.trim_end().parse().ok());
    }
    let packed = text(&dir.join("packed-refs")).await?.unwrap_or_default();
    let mut refs = packed.lines().filter_map(|line| line.split_once(' '));
    Ok(refs.find(|(_, known)| *known == name).and_then(|(commit, _)| commit.parse().ok()))
}

/// What is in a file, if it is there.
async fn text(path: &Path) -> Result<Option<String>, GitError> {
    match tokio::fs::read(path).await {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        // A folder where the ref would be a file: there is another ref below that name.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(io_error(path)(error)),
    }
}
