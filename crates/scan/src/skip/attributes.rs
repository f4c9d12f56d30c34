//! What `.gitattributes` files say about the files of a repository.

use std::collections::HashMap;

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
        let lines = Lines { text: &text, root: prefix.is_empty() };
        let (generated, vendored) = (lines.matcher("linguist-generated"), lines.matcher("linguist-vendored"));
        let folder = Folder { prefix, generated, vendored };
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

/// A `.gitattributes` file.
struct Lines<'a> {
    text: &'a str,
    /// Whether it is the repository's first one, which alone may define macros.
    root: bool,
}

impl Lines<'_> {
    /// What sets or unsets `attribute`, as patterns in which `!` unsets. Lines that are no patterns are left out, as git
    /// does. The macros of the first file count in the first file.
    fn matcher(&self, attribute: &str) -> Gitignore {
        let lines =
            || self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
        let mut macros: HashMap<&str, bool> = HashMap::new();
        let definitions = lines().filter_map(|line| line.strip_prefix("[attr]")?.split_once(char::is_whitespace));
        for (name, attributes) in definitions.filter(|_| self.root) {
            let set = attributes.split_whitespace().filter_map(|word| says_of(word, attribute, &macros)).next_back();
            macros.extend(set.map(|set| (name, set)));
        }
        let mut builder = GitignoreBuilder::new("");
        for line in lines().filter(|line| !line.starts_with('[')) {
            let Some((pattern, attributes)) = pattern(line) else { continue };
            for set in attributes.split_whitespace().filter_map(|word| says_of(word, attribute, &macros)) {
                let _ = builder.add_line(None, &if set { pattern.to_owned() } else { format!("!{pattern}") });
            }
        }
        builder.build().unwrap_or_else(|_| Gitignore::empty())
    }
}

/// Whether a word such as `-text` or `text=auto` sets or unsets `attribute`, itself or as a macro that is set.
fn says_of(word: &str, attribute: &str, macros: &HashMap<&str, bool>) -> Option<bool> {
    if let Some(name) = word.strip_prefix('-') {
        return (name == attribute).then_some(false);
    }
    match word.split_once('=') {
        Some((name, value)) => (name == attribute).then(|| !value.eq_ignore_ascii_case("false")),
        None if word == attribute => Some(true),
        None => macros.get(word).copied(),
    }
}

/// The pattern of a line, which may stand in quotes, and the attributes after it.
fn pattern(line: &str) -> Option<(&str, &str)> {
    match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"'),
        None => line.split_once(char::is_whitespace),
    }
}
