//! The files of the project as the rules see them.

use std::fs;
use std::path::Path;

/// Folders that are not ours or are made by tools.
const LEFT_OUT: [&str; 3] = [".git", "target", "node_modules"];

/// Every file of the project, ordered by path.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

pub(crate) struct File {
    /// Relative to the root, with `/` between the parts.
    pub(crate) path: String,
    /// Empty where the file is not text.
    pub(crate) text: String,
}

impl Tree {
    /// Reads the project that this test was built from.
    pub(crate) fn load() -> Self {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace holds crates/ccm");
        let mut files = Vec::new();
        read_folder(&root, "", &mut files);
        assert!(files.iter().any(|file| file.path == "Cargo.toml"), "{} is not the workspace", root.display());
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    /// A made-up project, for showing that a rule fires.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The text of one file, or nothing where it does not exist.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        let file = self.files.iter().find(|file| file.path == path)?;
        Some(&file.text)
    }

    /// The names of the folders in `crates/`.
    pub(crate) fn crates(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.files.iter().filter_map(File::owner).collect();
        names.dedup();
        names
    }
}

impl File {
    /// The crate whose folder the file is in.
    pub(crate) fn owner(&self) -> Option<&str> {
        let (name, _) = self.path.strip_prefix("crates/")?.split_once('/')?;
        Some(name)
    }

    /// Whether the whole file serves tests or benchmarks only.
    pub(crate) fn is_test(&self) -> bool {
        self.owner() == Some("testkit")
            || self.path.starts_with("benches/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder of the project can be read") {
        let entry = entry.expect("a folder of the project can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().expect("an entry has a kind");
        if kind.is_dir() && !LEFT_OUT.contains(&name.as_str()) {
            read_folder(&entry.path(), &format!("{prefix}{name}/"), files);
        } else if kind.is_file() {
            files.push(File {
                path: format!("{prefix}{name}"),
                text: fs::read_to_string(entry.path()).unwrap_or_default(),
            });
        }
    }
}
