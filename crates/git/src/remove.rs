//! Removing folders that somebody else filled, and lock files that somebody else left.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::GitError;

/// Wraps an I/O error with the path it is about.
pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> GitError + use<> {
    let path = path.to_owned();
    |source| GitError::Io { path, source }
}

/// Removes a folder with everything in it; one that is not there is fine. Folders without write permission (caches of
/// package tools) are opened up first. Symbolic links are removed, never followed.
///
/// # Errors
/// [`GitError::Io`].
pub async fn remove_folder(path: &Path) -> Result<(), GitError> {
    let owned = path.to_owned();
    blocking(path, move || match fs::remove_dir_all(&owned) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(&owned)?;
            fs::remove_dir_all(&owned)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await
}

/// Removes the `*.lock` files beside and below the refs of the repository in `dir`. Only for a repository that no
/// process works on.
pub(crate) async fn remove_stale_locks(dir: &Path) -> Result<(), GitError> {
    let owned = dir.to_owned();
    blocking(dir, move || {
        let mut folders: Vec<PathBuf> = vec![owned.clone()];
        while let Some(folder) = folders.pop() {
            for entry in entries(&folder)? {
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    let refs = folder != owned || entry.file_name() == "refs";
                    folders.extend(refs.then_some(path));
                } else if path.extension().is_some_and(|extension| extension == "lock") {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    })
    .await
}

fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(entries) => entries.collect(),
    }
}

fn open_up(folder: &Path) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

async fn blocking(path: &Path, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), GitError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panicked| Err(io::Error::other(panicked))).map_err(io_error(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_with_read_only_parts_and_links_goes_without_its_targets() {
        let temp = tempfile::tempdir().unwrap();
        let (outside, folder) = (temp.path().join("outside"), temp.path().join("checkout"));
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        fs::create_dir_all(folder.join("cache/module")).unwrap();
        fs::write(folder.join("cache/module/file"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("cache/link")).unwrap();
        for closed in ["cache/module", "cache"] {
            fs::set_permissions(folder.join(closed), fs::Permissions::from_mode(0o500)).unwrap();
        }
        // Root passes the permissions, so the second way is also tried alone.
        open_up(&folder).unwrap();
        remove_folder(&folder).await.unwrap();
        remove_folder(&folder).await.unwrap();
        assert!(!folder.exists() && outside.join("kept").exists());
    }

    #[tokio::test]
    async fn only_lock_files_of_refs_and_of_the_top_folder_are_removed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        for (path, stays) in [
            ("packed-refs.lock", false),
            ("refs/remotes/origin/main.lock", false),
            ("refs/remotes/origin/main", true),
            ("objects/pack/odd.lock", true),
        ] {
            fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), "").unwrap();
            remove_stale_locks(dir).await.unwrap();
            assert_eq!(dir.join(path).exists(), stays, "{path}");
        }
    }
}
