//! Which checks a repository has, from the files at its root.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use super::CheckCommand;

/// The most that is read of one file, in bytes.
const FILE_LIMIT: u64 = 256 * 1024;

/// What npm writes into a new package as its test.
const NPM_PLACEHOLDER: &str = "no test specified";

/// What lies at the root of a checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootFiles {
    /// Names of files, and of folders with a slash behind.
    pub names: Vec<String>,
    /// The content of `package.json`.
    pub package_json: Option<String>,
    /// The content of `Makefile`.
    pub makefile: Option<String>,
    /// The contents of Python's configuration files, one after the other.
    pub python_config: String,
}

impl RootFiles {
    /// Reads the folder `root`.
    ///
    /// # Errors
    /// When the folder cannot be read; a file that cannot be read counts as empty.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut names = Vec::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
            names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
        }
        names.sort();
        let read = |name: &str| names.iter().any(|n| n == name).then(|| read_bounded(&root.join(name)));
        let python = ["pyproject.toml", "setup.cfg", "tox.ini"].iter().filter_map(|name| read(name));
        Ok(Self {
            package_json: read("package.json"),
            makefile: read("Makefile"),
            python_config: python.collect::<Vec<_>>().join("\n"),
            names,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }
}

fn read_bounded(path: &Path) -> String {
    let mut text = Vec::new();
    // A link out of the checkout could name anything, a pipe for instance: only plain files are read.
    if fs::symlink_metadata(path).is_ok_and(|about| about.is_file())
        && let Ok(file) = fs::File::open(path)
        && file.take(FILE_LIMIT).read_to_end(&mut text).is_err()
    {
        text.clear();
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The checks of a repository with these files at its root. A Makefile counts only where nothing else is known, since
/// its targets mostly call the others.
#[must_use]
pub fn detect(files: &RootFiles) -> Vec<CheckCommand> {
    let mut lines: Vec<String> = Vec::new();
    if files.has("Cargo.toml") {
        let locked = if files.has("Cargo.lock") { " --locked" } else { "" };
        lines.push(format!("cargo check --workspace --all-targets{locked}"));
        lines.push(format!("cargo test --workspace{locked}"));
    }
    lines.extend(node(files));
    lines.extend(python(files).map(str::to_owned));
    if files.has("go.mod") {
        lines.extend(["go vet ./...".to_owned(), "go test ./...".to_owned()]);
    }
    if lines.is_empty() {
        lines.extend(make(files));
    }
    lines.iter().map(|line| CheckCommand::new(line)).collect()
}

fn node(files: &RootFiles) -> Vec<String> {
    let package = files.package_json.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(package) = package else { return Vec::new() };
    let runner = if files.has("pnpm-lock.yaml") {
        "pnpm"
    } else if files.has("yarn.lock") {
        "yarn"
    } else {
        "npm"
    };
    let scripts = ["lint", "test"].into_iter().filter(|name| {
        package["scripts"][*name].as_str().is_some_and(|script| !script.is_empty() && !script.contains(NPM_PLACEHOLDER))
    });
    scripts.map(|name| format!("{runner} run {name}")).collect()
}

fn python(files: &RootFiles) -> Option<&'static str> {
    let configured = ["[tool.pytest", "[tool:pytest]", "[pytest]"].iter().any(|s| files.python_config.contains(s));
    let is_python = files.has_any(&["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "tox.ini"])
        || files.names.iter().any(|name| name.ends_with(".py"));
    if configured || files.has_any(&["pytest.ini", "conftest.py"]) || (is_python && files.has("tests/")) {
        return Some("python3 -m pytest -q");
    }
    let plain_tests = files.names.iter().any(|name| name.starts_with("test") && name.ends_with(".py"));
    (plain_tests || (is_python && files.has("test/"))).then_some("python3 -m unittest")
}

fn make(files: &RootFiles) -> Option<String> {
    let makefile = files.makefile.as_deref()?;
    let has = |target: &str| {
        makefile.lines().any(|line| {
            let named = line.split_once(':').filter(|(_, rest)| !rest.starts_with('='));
            named.is_some_and(|(targets, _)| !line.starts_with('\t') && targets.split_whitespace().any(|t| t == target))
        })
    };
    ["check", "test"].into_iter().find(|target| has(target)).map(|target| format!("make {target}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn of(names: &[&str], package_json: &str, makefile: &str, python: &str) -> Vec<String> {
        let content = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let files = RootFiles {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            package_json: content(package_json),
            makefile: content(makefile),
            python_config: python.to_owned(),
        };
        detect(&files).into_iter().map(|check| check.line).collect()
    }

    #[rstest]
    #[case(&["README.md"], "", "", "", &[])]
    #[case(&["Cargo.toml"], "", "", "", &["cargo check --workspace --all-targets", "cargo test --workspace"])]
    #[case(&["Cargo.toml", "Cargo.lock", "Makefile"], "", "test:\n", "",
        &["cargo check --workspace --all-targets --locked", "cargo test --workspace --locked"])]
    #[case(&["package.json"], r#"{"scripts":{"test":"vitest","lint":"eslint ."}}"#, "", "",
        &["npm run lint", "npm run test"])]
    #[case(&["package.json", "pnpm-lock.yaml"], r#"{"scripts":{"test":"vitest"}}"#, "", "", &["pnpm run test"])]
    #[case(&["package.json"], r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#, "", "", &[])]
    #[case(&["package.json"], "{not json", "", "", &[])]
    #[case(&["pyproject.toml", "tests/"], "", "", "", &["python3 -m pytest -q"])]
    #[case(&["pyproject.toml"], "", "", "[tool.pytest.ini_options]", &["python3 -m pytest -q"])]
    #[case(&["app.py", "test_app.py"], "", "", "", &["python3 -m unittest"])]
    #[case(&["pyproject.toml"], "", "", "[project]", &[])]
    #[case(&["tests/"], "", "", "", &[])]
    #[case(&["go.mod"], "", "", "", &["go vet ./...", "go test ./..."])]
    #[case(&["Makefile"], "", "all: x\n.PHONY: test\nbuild test: x\n\techo\n", "", &["make test"])]
    #[case(&["Makefile"], "", "test:\ncheck: test\n", "", &["make check"])]
    #[case(&["Makefile"], "", "test := 1\n\ttest: no\n", "", &[])]
    fn the_files_at_the_root_say_which_checks_there_are(
        #[case] names: &[&str],
        #[case] package_json: &str,
        #[case] makefile: &str,
        #[case] python: &str,
        #[case] expected: &[&str],
    ) {
        assert_eq!(of(names, package_json, makefile, python), expected);
    }

    #[test]
    fn a_checkout_is_read_without_following_links() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("secret.json"), r#"{"scripts":{"test":"x"}}"#).unwrap();
        std::os::unix::fs::symlink(root.path().join("secret.json"), root.path().join("package.json")).unwrap();
        fs::create_dir(root.path().join("tests")).unwrap();
        fs::write(root.path().join("setup.py"), "").unwrap();
        let files = RootFiles::read(root.path()).unwrap();
        assert_eq!(files.names, ["package.json", "secret.json", "setup.py", "tests/"]);
        assert_eq!(files.package_json.as_deref(), Some(""));
        assert_eq!(detect(&files), [CheckCommand::new("python3 -m pytest -q")]);
    }
}
