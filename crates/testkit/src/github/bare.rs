//! The bare repositories behind the fake, worked on by the real git program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use backlog::time::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Where git is. Started by its place no copy of this process is made first, which takes longer than most calls do.
fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&path).map(|folder| folder.join("git"));
        places.find(|place| place.is_file()).unwrap_or_else(|| "git".into())
    });
    &PROGRAM
}

/// A git process that sees nothing of this machine's or user's configuration.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(program());
    command.env_clear().current_dir(dir).kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Feeds `input` and collects everything; the input goes in while the output comes out.
pub(crate) async fn communicate(mut command: Command, input: &[u8]) -> Result<std::process::Output> {
    let mut child = command.spawn().context("git could not be started; is it installed?")?;
    let mut stdin = child.stdin.take().context("the child has no standard input")?;
    let input = input.to_vec();
    let feed = tokio::spawn(async move {
        // A child that does not read its input (an early refusal) closes the pipe; that is its right.
        let _closed_early = stdin.write_all(&input).await;
    });
    let output = child.wait_with_output().await?;
    feed.abort();
    Ok(output)
}

/// Runs git in a bare repository and gives its standard output.
///
/// # Errors
/// When git fails; the message carries its standard error.
pub(crate) async fn git(dir: &Path, args: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut command = command(dir);
    command.args(args);
    let output = communicate(command, input).await?;
    if !output.status.success() {
        bail!("git {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// As [`git`], as trimmed text.
pub(crate) async fn git_text(dir: &Path, args: &[&str]) -> Result<String> {
    Ok(String::from_utf8_lossy(&git(dir, args, b"").await?).trim().to_owned())
}

/// The tree of a commit. Blocks for as long as git takes, the first time: a commit is always the same.
pub(crate) fn tree_of(dir: &Path, commit: &str) -> String {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tree) = known().get(commit) {
        return tree.clone();
    }
    let mut command = command(dir).into_std();
    let output = command.args(["rev-parse", "--verify", "--quiet", &format!("{commit}^{{tree}}")]).output();
    let tree =
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if !tree.is_empty() {
        known().insert(commit.to_owned(), tree.clone());
    }
    tree
}

/// Some lines of a file: the first and the last, and the commit that wrote them.
pub(crate) type Range = (u64, u64, String);

/// Who wrote the lines of a file at a commit; `None` when there is no such file. Blocks for as long as git takes.
pub(crate) fn blame(dir: &Path, commit: &str, path: &str) -> Option<Vec<Range>> {
    let output = command(dir).into_std().args(["blame", "--porcelain", commit, "--", path]).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // `<commit> <line then> <line now> <lines>` begins a range; the line's own text begins with a tab.
    let range = |line: &str| {
        let mut words = line.split(' ');
        let (commit, _, first, count) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let (first, count): (u64, u64) = (first.parse().ok()?, count.parse().ok()?);
        (commit.len() == 40 && words.next().is_none()).then(|| (first, first + count - 1, commit.to_owned()))
    };
    Some(text.lines().filter(|line| !line.starts_with('\t')).filter_map(range).collect())
}

/// Name, address and time of a commit's author. Blocks for as long as git takes.
pub(crate) fn author(dir: &Path, commit: &str) -> [String; 3] {
    let mut command = command(dir).into_std();
    let output = command.args(["show", "--no-patch", "--format=%an%n%ae%n%at", commit]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let mut lines = text.lines().map(str::to_owned);
    let mut next = || lines.next().unwrap_or_default();
    let (name, email, seconds) = (next(), next(), next());
    [name, email, Timestamp(seconds.parse::<i64>().unwrap_or(0) * 1000).to_string()]
}

/// The files of a commit as GitHub packs them: a gzipped tar, everything below one folder.
pub(crate) async fn archive(dir: &Path, folder: &str, commit: &str) -> Result<Vec<u8>> {
    git(dir, &["archive", "--format=tar.gz", &format!("--prefix={folder}/"), commit], b"").await
}

/// Makes an empty bare repository that may be pushed to and partially cloned.
pub(crate) async fn init(dir: &Path, default_branch: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    git(dir, &["init", "--bare", "--quiet", "--template=", &format!("--initial-branch={default_branch}"), "."], b"")
        .await?;
    let config = "\n[http]\n\treceivepack = true\n[uploadpack]\n\tallowFilter = true\n\tallowAnySHA1InWant = true\n\
                  [receive]\n\tautogc = false\n[gc]\n\tauto = 0\n";
    let path = dir.join("config");
    let text = fs::read_to_string(&path)? + config;
    fs::write(&path, text)?;
    let hooks = dir.join("hooks");
    fs::create_dir_all(&hooks)?;
    let hook = hooks.join("pre-receive");
    fs::write(&hook, include_str!("pre-receive.sh"))?;
    make_executable(&hook)
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The object a full ref name points at; loose refs win over packed ones.
pub(crate) fn read_ref(dir: &Path, name: &str) -> Option<String> {
    if !name.starts_with("refs/") || name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return None;
    }
    if let Ok(text) = fs::read_to_string(dir.join(name)) {
        return Some(text.trim().to_owned());
    }
    packed_refs(dir).remove(name)
}

fn packed_refs(dir: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(dir.join("packed-refs")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with(['#', '^']));
    lines.filter_map(|line| line.split_once(' ')).map(|(sha, name)| (name.to_owned(), sha.to_owned())).collect()
}

/// All branches with their tips.
pub(crate) fn branches(dir: &Path) -> BTreeMap<String, String> {
    let packed = packed_refs(dir).into_iter();
    let mut found: BTreeMap<String, String> =
        packed.filter_map(|(name, sha)| Some((name.strip_prefix("refs/heads/")?.to_owned(), sha))).collect();
    collect_loose(&dir.join("refs/heads"), "", &mut found);
    found
}

fn collect_loose(folder: &Path, prefix: &str, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect_loose(&entry.path(), &format!("{name}/"), into);
        } else if !name.ends_with(".lock")
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            into.insert(name, text.trim().to_owned());
        }
    }
}

/// A change to one file of a commit: its new content, or its removal.
pub(crate) type Change<'a> = (&'a str, Option<&'a [u8]>);

/// Adds a commit to a branch in one git process; a missing branch starts at `from` or empty. Gives the new tip.
pub(crate) async fn commit(
    dir: &Path,
    branch: &str,
    from: Option<&str>,
    author: &str,
    at: Timestamp,
    message: &str,
    changes: &[Change<'_>],
) -> Result<String> {
    let mut stream = format!(
        "commit refs/heads/{branch}\ncommitter {author} <{author}@example.com> {} +0000\ndata {}\n{message}\n",
        at.0 / 1000,
        message.len()
    )
    .into_bytes();
    if let Some(from) = from {
        stream.extend_from_slice(format!("from {from}\n").as_bytes());
    }
    for (path, content) in changes {
        match content {
            Some(content) => {
                stream.extend_from_slice(format!("M 100644 inline {path}\ndata {}\n", content.len()).as_bytes());
                stream.extend_from_slice(content);
                stream.push(b'\n');
            }
            None => stream.extend_from_slice(format!("D {path}\n").as_bytes()),
        }
    }
    git(dir, &["fast-import", "--quiet", "--force"], &stream).await?;
    read_ref(dir, &format!("refs/heads/{branch}")).context("git made the commit but the branch is missing")
}

/// How merging two commits would end.
pub(super) enum MergeTree {
    /// The tree of the clean merge.
    Clean(String),
    /// The two sides change the same lines.
    Conflict,
}

/// Tries a merge without touching anything.
pub(super) async fn merge_tree(dir: &Path, base: &str, head: &str) -> Result<MergeTree> {
    let mut command = command(dir);
    command.args(["merge-tree", "--write-tree", "--no-messages", base, head]);
    let output = communicate(command, b"").await?;
    match output.status.code() {
        Some(0) => Ok(MergeTree::Clean(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
        Some(1) => Ok(MergeTree::Conflict),
        _ => bail!("git merge-tree failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

/// Makes a commit from a tree without moving any branch.
pub(super) async fn commit_tree(
    dir: &Path,
    tree: &str,
    parents: &[&str],
    author: &str,
    at: Timestamp,
    message: &str,
) -> Result<String> {
    let mut command = command(dir);
    command.args(["commit-tree", tree, "-F", "-"]);
    for parent in parents {
        command.args(["-p", parent]);
    }
    let (date, email) = (format!("{} +0000", at.0 / 1000), format!("{author}@example.com"));
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), author).env(format!("GIT_{who}_EMAIL"), &email);
        command.env(format!("GIT_{who}_DATE"), &date);
    }
    let output = communicate(command, message.as_bytes()).await?;
    if !output.status.success() {
        bail!("git commit-tree failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// One file of a diff.
#[derive(Debug)]
pub(super) struct FileChange {
    pub(super) path: String,
    pub(super) status: &'static str,
    pub(super) blob: String,
    pub(super) additions: u64,
    pub(super) deletions: u64,
}

/// The files that `head` changes since it left `base`.
pub(super) async fn changed_files(dir: &Path, base: &str, head: &str) -> Result<Vec<FileChange>> {
    let range = format!("{base}...{head}");
    let args = ["-c", "core.quotepath=false", "diff", "--raw", "--numstat", "--no-abbrev", "--no-renames", &range];
    let text = git_text(dir, &args).await?;
    let mut files = Vec::new();
    for line in text.lines().filter(|line| line.starts_with(':')) {
        let (meta, path) = line.split_once('\t').context("a raw diff line without a path")?;
        let mut fields = meta.split(' ').skip(2);
        let (old, new) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (status, blob) = match fields.next().unwrap_or_default() {
            "A" => ("added", new),
            "D" => ("removed", old),
            _ => ("modified", new),
        };
        files.push(FileChange { path: path.to_owned(), status, blob: blob.to_owned(), additions: 0, deletions: 0 });
    }
    for line in text.lines().filter(|line| !line.starts_with(':')) {
        let mut fields = line.splitn(3, '\t');
        let (added, deleted) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let path = fields.next().unwrap_or_default();
        if let Some(file) = files.iter_mut().find(|file| file.path == path) {
            file.additions = added.parse().unwrap_or(0);
            file.deletions = deleted.parse().unwrap_or(0);
        }
    }
    Ok(files)
}

/// How many commits `head` has that `base` has not.
pub(super) async fn commits_between(dir: &Path, base: &str, head: &str) -> Result<u64> {
    let text = git_text(dir, &["rev-list", "--count", &format!("{base}..{head}")]).await?;
    text.parse().context("git rev-list --count gave no number")
}
