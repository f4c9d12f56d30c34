//! An archive of a commit, read in memory: its files with their ids, and the contents that somebody wants.
//!
//! *Wanted properties.* Nothing is written anywhere, so that no name in an archive can do harm. What is read has
//! bounds. The files are exactly those of the commit's tree: the tree's id is computed from what came and has to be the
//! expected one. An archive that leaves files out or changes them (`export-ignore`, `export-subst`, submodules, large
//! files kept elsewhere) is [`Unfit`] then; the repository is read through git instead.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use flate2::read::GzDecoder;
use sha1::{Digest, Sha1};
use tar::{Archive, Entry, EntryType};

use crate::read::{MAX_FILES, TreeFile};

/// The most bytes that come out of one archive.
const MAX_BYTES: u64 = 128 << 20;
/// The most bytes of contents that are kept of one.
const MAX_KEPT: usize = 16 << 20;
/// The longest path, in bytes, and its most parts.
const MAX_PATH: usize = 4_096;
const MAX_DEPTH: usize = 256;
const CHUNK: usize = 16 << 10;

const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_000;
const FOLDER: u32 = 0o40_000;

/// What an archive holds.
#[derive(Debug)]
pub struct Unpacked {
    /// The files of the tree, by path, as [`crate::Mirror::files`] gives them.
    pub files: Vec<TreeFile>,
    /// The contents that were wanted and found room, by their ids.
    pub contents: HashMap<String, Vec<u8>>,
}

/// Why an archive cannot stand for the commit.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is damaged, or no archive.
    #[error("the archive cannot be read")]
    Unreadable(#[from] io::Error),
    /// It is too large.
    #[error("the archive has more than {0}")]
    TooLarge(String),
    /// It holds something that no tree holds.
    #[error("the archive holds something that is no file of a commit")]
    Foreign,
    /// It lacks files of the tree, or has others.
    #[error("the archive does not hold the files of the commit exactly")]
    OtherTree,
}

/// Reads a gzipped tar whose entries lie below one folder, of the commit whose tree is `tree`. Contents are kept of those
/// files that `keep` wants by their path and size. CPU work.
///
/// # Errors
/// [`Unfit`].
pub fn unpack(archive: &[u8], tree: &str, mut keep: impl FnMut(&str, u64) -> bool) -> Result<Unpacked, Unfit> {
    let mut root = Folder::default();
    let mut unpacked = Unpacked { files: Vec::new(), contents: HashMap::new() };
    let mut kept = 0;
    let bounded = GzDecoder::new(archive).take(MAX_BYTES);
    let mut tar = Archive::new(bounded);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let Some(path) = path_of(&entry)? else { continue };
        let (mode, size) = match entry.header().entry_type() {
            EntryType::Regular if entry.header().mode()? & 0o100 != 0 => (PROGRAM, entry.size()),
            EntryType::Regular => (FILE, entry.size()),
            EntryType::Symlink => (LINK, 0),
            EntryType::Directory => continue,
            _ => return Err(Unfit::Foreign),
        };
        let shown = String::from_utf8_lossy(&path).into_owned();
        let (oid, size, content) = if mode == LINK {
            let target = entry.link_name_bytes().ok_or(Unfit::Foreign)?.into_owned();
            (blob_id(&target), target.len() as u64, None)
        } else {
            let wanted = kept < MAX_KEPT && size <= (MAX_KEPT - kept) as u64 && keep(&shown, size);
            let (oid, content) = read(&mut entry, size, wanted)?;
            (oid, size, content)
        };
        if unpacked.files.len() == MAX_FILES {
            return Err(Unfit::TooLarge(format!("{MAX_FILES} files")));
        }
        root.put(&path, mode, oid)?;
        let oid = hex::encode(oid);
        unpacked.files.push(TreeFile { path: shown, oid: oid.clone(), size, mode });
        if let Some(content) = content {
            kept += content.len();
            unpacked.contents.insert(oid, content);
        }
    }
    if tar.into_inner().limit() == 0 {
        return Err(Unfit::TooLarge(format!("{MAX_BYTES} bytes")));
    }
    if hex::encode(root.id()) != tree {
        return Err(Unfit::OtherTree);
    }
    Ok(unpacked)
}

/// The path below the folder that everything is in; `None` for that folder itself and for what is about the archive.
fn path_of(entry: &Entry<'_, impl Read>) -> Result<Option<Vec<u8>>, Unfit> {
    if entry.header().entry_type() == EntryType::XGlobalHeader {
        return Ok(None);
    }
    let path = entry.path_bytes();
    let Some(slash) = path.iter().position(|byte| *byte == b'/') else { return Ok(None) };
    let path = &path[slash + 1..];
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if path.len() > MAX_PATH {
        return Err(Unfit::TooLarge(format!("{MAX_PATH} bytes in a path")));
    }
    Ok((!path.is_empty()).then(|| path.to_vec()))
}

/// Reads a content for its id, and keeps it if it is wanted.
fn read(entry: &mut impl Read, size: u64, wanted: bool) -> Result<([u8; 20], Option<Vec<u8>>), Unfit> {
    let mut hash = Sha1::new_with_prefix(format!("blob {size}\0"));
    let mut content = wanted.then(|| Vec::with_capacity(usize::try_from(size).unwrap_or(0)));
    let (mut buffer, mut seen) = ([0; CHUNK], 0);
    loop {
        let read = entry.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        seen += read as u64;
        hash.update(&buffer[..read]);
        if let Some(content) = &mut content {
            content.extend_from_slice(&buffer[..read]);
        }
    }
    if seen == size {
        Ok((hash.finalize().into(), content))
    } else {
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}

fn blob_id(content: &[u8]) -> [u8; 20] {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
    hash.update(content);
    hash.finalize().into()
}

/// A folder of the tree. Git sorts its entries by their names, those of folders with a `/` at the end.
#[derive(Default)]
struct Folder(BTreeMap<Vec<u8>, Node>);

enum Node {
    File(u32, [u8; 20]),
    Folder(Folder),
}

impl Folder {
    fn put(&mut self, path: &[u8], mode: u32, oid: [u8; 20]) -> Result<(), Unfit> {
        let mut folder = self;
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let (name, above) = parts.split_last().ok_or(Unfit::Foreign)?;
        if parts.len() > MAX_DEPTH || parts.iter().any(|part| matches!(*part, b"" | b"." | b"..")) {
            return Err(Unfit::Foreign);
        }
        for part in above {
            let key = [*part, b"/"].concat();
            folder = match folder.0.entry(key).or_insert_with(|| Node::Folder(Self::default())) {
                Node::Folder(below) => below,
                Node::File(..) => return Err(Unfit::Foreign),
            };
        }
        folder.0.insert(name.to_vec(), Node::File(mode, oid));
        Ok(())
    }

    /// The tree's id. Its depth was bounded when it was made.
    fn id(&self) -> [u8; 20] {
        let mut body = Vec::new();
        for (key, node) in &self.0 {
            let (mode, oid) = match node {
                Node::File(mode, oid) => (*mode, *oid),
                Node::Folder(below) => (FOLDER, below.id()),
            };
            let name = key.strip_suffix(b"/").unwrap_or(key);
            body.extend_from_slice(format!("{mode:o} ").as_bytes());
            body.extend_from_slice(name);
            body.push(0);
            body.extend_from_slice(&oid);
        }
        let mut hash = Sha1::new_with_prefix(format!("tree {}\0", body.len()));
        hash.update(&body);
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests;
