//! What `.gitattributes` files say about the files of a repository.

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The most `.gitattributes` files of a repository that are taken up.
const MAX_FILES: usize = 1_000;
/// The most bytes of one that are read.
const MAX_BYTES: usize = 64 << 10;

/// What is said of one file; `None` where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributed {
    pub(super) generated: Option<bool>,
    pub(super) vendored: Option<bool>,
}

/// All `.gitattributes` files of a repository, the deepest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    folders: Vec<Folder>,
}

#[derive(Clone, Debug)]
struct Folder {
    /// With `/` at the end; empty for the root.
    prefix: String,
    generated: Gitignore,
    vendored: Gitignore,
}

impl Attributes {
    pub(super) fn add(&mut self, path: &str, bytes: &[u8]) {
        let prefix = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]);
        let folder = Folder {
            generated: matcher(&text, "linguist-generated"),
            vendored: matcher(&text, "linguist-vendored"),
            prefix,
        };
        if self.folders.len() < MAX_FILES && !(folder.generated.is_empty() && folder.vendored.is_empty()) {
            let at = self.folders.partition_point(|other| other.prefix.len() >= folder.prefix.len());
            self.folders.insert(at, folder);
        }
    }

    pub(super) fn of(&self, path: &str) -> Attributed {
        let mut said = Attributed::default();
        for folder in &self.folders {
            let Some(inside) = path.strip_prefix(folder.prefix.as_str()) else { continue };
            said.generated = said.generated.or_else(|| says(&folder.generated, inside));
            said.vendored = said.vendored.or_else(|| says(&folder.vendored, inside));
        }
        said
    }
}

fn says(matcher: &Gitignore, path: &str) -> Option<bool> {
    let matched = matcher.matched_path_or_any_parents(path, false);
    if matched.is_none() { None } else { Some(matched.is_ignore()) }
}

/// The lines that set or unset `attribute`, as patterns in which `!` unsets. Lines that are no patterns are left out, as
/// git does.
fn matcher(text: &str, attribute: &str) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!', '['])) {
        let Some((pattern, attributes)) = pattern(line) else { continue };
        for word in attributes.split_whitespace() {
            let set = match word.strip_prefix('-') {
                Some(name) => (name == attribute).then_some(false),
                None => match word.split_once('=') {
                    Some((name, value)) => (name == attribute).then(|| !value.eq_ignore_ascii_case("false")),
                    None => (word == attribute).then_some(true),
                },
            };
            if let Some(set) = set {
                let _ = builder.add_line(None, &if set { pattern.to_owned() } else { format!("!{pattern}") });
            }
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// The pattern of a line, which may stand in quotes, and the attributes after it.
fn pattern(line: &str) -> Option<(&str, &str)> {
    match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"'),
        None => line.split_once(char::is_whitespace),
    }
}
