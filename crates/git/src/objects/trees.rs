//! The files of a commit, and what differs between two.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use backlog::names::CommitId;
use gix_hash::ObjectId;
use gix_object::tree::EntryKind;
use gix_object::{CommitRefIter, Kind, TreeRefIter};

use super::{HASH, Objects, id};
use crate::error::GitError;
use crate::read::{Change, ChangeStatus, MAX_FILES, Tree, TreeFile};

/// The most trees that one answer is made of.
const MAX_TREES: usize = 100_000;
/// The longest path in bytes; a longer one cannot be checked out anywhere.
const MAX_PATH: usize = 4_096;
/// The most bytes of all paths together.
const MAX_PATHS: usize = 64 << 20;

/// What a name in a tree stands for; submodules stand for nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    File(u32, ObjectId),
    Tree(ObjectId),
}

/// Trees at the same place in two commits.
struct Pair {
    /// The path with a slash at its end; empty at the top.
    path: Vec<u8>,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
}

/// What one answer may still be made of.
struct Room {
    trees: usize,
    bytes: usize,
}

impl Room {
    fn new() -> Self {
        Self { trees: MAX_TREES, bytes: MAX_PATHS }
    }

    /// Whether there is room for one more tree at a path of this length.
    fn tree(&mut self, path: &[u8]) -> bool {
        let room = self.trees > 0 && path.len() <= MAX_PATH;
        self.trees = self.trees.saturating_sub(1);
        room
    }

    /// Whether there is room for one more path of this length.
    fn path(&mut self, length: usize) -> ControlFlow<()> {
        match self.bytes.checked_sub(length) {
            Some(left) => {
                self.bytes = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }
}

impl Objects {
    /// All files of `commit`, with their sizes if `sizes`. Errors: [`GitError::UnknownCommit`], [`GitError::Damaged`].
    pub fn files(&self, commit: &CommitId, sizes: bool) -> Result<Tree, GitError> {
        let mut tree = Tree { files: Vec::new(), truncated: false };
        // What is still to come, the next one last.
        let mut open = vec![(Vec::new(), Node::Tree(self.tree_of(commit)?))];
        let mut room = Room::new();
        while let Some((path, node)) = open.pop() {
            match node {
                Node::File(..) if tree.files.len() == MAX_FILES => {
                    tree.truncated = true;
                    break;
                }
                Node::File(mode, oid) => {
                    let header = if sizes { self.header(&oid)? } else { None };
                    let (path, oid) = (text(path), oid.to_hex().to_string());
                    tree.files.push(TreeFile { path, oid, size: header.map_or(0, |(_, size)| size), mode });
                }
                Node::Tree(_) if !room.tree(&path) => tree.truncated = true,
                Node::Tree(oid) => {
                    let first = open.len();
                    let whole = self.entries(&oid, |name, node| {
                        room.path(path.len() + name.len())?;
                        open.push((below(&path, name, node), node));
                        ControlFlow::Continue(())
                    })?;
                    tree.truncated |= !whole;
                    open[first..].reverse();
                }
            }
        }
        Ok(tree)
    }

    /// The files that differ between two commits, by path, without submodules. Errors: [`GitError::UnknownCommit`],
    /// [`GitError::Damaged`], [`GitError::TooLarge`] beyond [`MAX_FILES`].
    pub fn changed(&self, from: &CommitId, to: &CommitId) -> Result<Vec<Change>, GitError> {
        let too_large = || GitError::TooLarge { what: "the change", limit: format!("{MAX_FILES} files") };
        let mut open = vec![Pair { path: Vec::new(), old: Some(self.tree_of(from)?), new: Some(self.tree_of(to)?) }];
        let (mut room, mut changes) = (Room::new(), Vec::new());
        while let Some(Pair { path, old, new }) = open.pop() {
            if old == new {
                continue;
            }
            if !room.tree(&path) {
                return Err(too_large());
            }
            let (before, after) = (self.names(old.as_ref())?, self.names(new.as_ref())?);
            let (Some(mut before), Some(after)) = (before, after) else { return Err(too_large()) };
            let now = after.into_iter().map(|(name, now)| (before.remove(&name), name, Some(now)));
            let mut pairs: Vec<(Option<Node>, Vec<u8>, Option<Node>)> =
                now.filter(|(was, _, now)| was != now).collect();
            pairs.extend(before.into_iter().map(|(name, was)| (Some(was), name, None)));
            for (was, name, now) in pairs {
                if changes.len() == MAX_FILES || room.path(path.len() + name.len()).is_break() {
                    return Err(too_large());
                }
                differ([&path[..], &name].concat(), was, now, &mut changes, &mut open);
            }
        }
        changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }

    fn tree_of(&self, commit: &CommitId) -> Result<ObjectId, GitError> {
        let unknown = || GitError::UnknownCommit { command: format!("cat-file commit {commit}") };
        let oid = id(commit.as_str()).ok_or_else(unknown)?;
        if !matches!(self.header(&oid)?, Some((Kind::Commit, _))) {
            return Err(unknown());
        }
        let mut commit = Vec::new();
        self.object(&oid, Kind::Commit, &mut commit)?;
        let tree = CommitRefIter::from_bytes(&commit, HASH).tree_id();
        tree.map_err(|error| self.damaged(&oid, &error))
    }

    /// What is in a tree, by name; `None` when that is too much.
    fn names(&self, tree: Option<&ObjectId>) -> Result<Option<BTreeMap<Vec<u8>, Node>>, GitError> {
        let mut names = BTreeMap::new();
        let Some(oid) = tree else { return Ok(Some(names)) };
        let whole = self.entries(oid, |name, node| {
            names.insert(name.to_vec(), node);
            if names.len() > MAX_FILES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(whole.then_some(names))
    }

    /// Hands the names in a tree to `each`, in git's order, until it breaks; whether it did not.
    fn entries(&self, oid: &ObjectId, mut each: impl FnMut(&[u8], Node) -> ControlFlow<()>) -> Result<bool, GitError> {
        let mut tree = Vec::new();
        if *oid != ObjectId::empty_tree(HASH) {
            self.object(oid, Kind::Tree, &mut tree)?;
        }
        for entry in TreeRefIter::from_bytes(&tree, HASH) {
            let entry = entry.map_err(|error| self.damaged(oid, &error))?;
            let target = entry.oid.to_owned();
            let node = match entry.mode.kind() {
                EntryKind::Tree => Node::Tree(target),
                EntryKind::Blob => Node::File(0o100_644, target),
                EntryKind::BlobExecutable => Node::File(0o100_755, target),
                EntryKind::Link => Node::File(0o120_000, target),
                EntryKind::Commit => continue,
            };
            if each(entry.filename, node).is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What it means that a path stood for something else before: files are told, trees are still to be compared.
fn differ(path: Vec<u8>, was: Option<Node>, now: Option<Node>, changes: &mut Vec<Change>, open: &mut Vec<Pair>) {
    let tree = |node| if let Some(Node::Tree(oid)) = node { Some(oid) } else { None };
    let file = |node| if let Some(Node::File(_, oid)) = node { Some(oid) } else { None };
    let (old, new) = (tree(was), tree(now));
    if old.is_some() || new.is_some() {
        open.push(Pair { path: [&path[..], b"/"].concat(), old, new });
    }
    let status = match (file(was), file(now)) {
        (None, None) => return,
        (None, Some(_)) => ChangeStatus::Added,
        (Some(_), Some(_)) => ChangeStatus::Modified,
        (Some(_), None) => ChangeStatus::Deleted,
    };
    changes.push(Change { path: text(path), oid: file(now).map(|oid| oid.to_hex().to_string()), status });
}

fn below(path: &[u8], name: &[u8], node: Node) -> Vec<u8> {
    let slash: &[u8] = if matches!(node, Node::Tree(_)) { b"/" } else { b"" };
    [path, name, slash].concat()
}

/// Bytes that are no UTF-8 are replaced.
fn text(path: Vec<u8>) -> String {
    String::from_utf8(path).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
