//! `ccm scan` beside the programs that look for the same words: ripgrep in a folder, `git grep` in a bare repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::fleet;
use crate::report::{Report, median, of, seconds};

/// How often each program is measured, after one run of each to warm the tree.
const TURNS: usize = 7;
const WORDS: &str = "TODO|FIXME|HACK|XXX|BUG";

/// One program at work.
struct Way {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Way {
    fn of(name: &'static str, program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        Self { name, program: program.into(), arguments: arguments.iter().map(|one| (*one).to_owned()).collect() }
    }

    /// Seconds by the clock.
    fn run(&self, folder: &Path) -> Result<f64> {
        let begun = Instant::now();
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = command.status().with_context(|| format!("cannot run {}", self.program.display()))?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(of(begun.elapsed()))
    }
}

/// Measures and prints. The tree is `CCM_BENCH_TREE`, or the sources of the crates that cargo has fetched.
pub fn run(report: &mut Report) -> Result<()> {
    let home = std::env::var_os("HOME").map(PathBuf::from).context("HOME is not set")?;
    let tree = std::env::var_os("CCM_BENCH_TREE").map_or(home.join(".cargo/registry/src"), PathBuf::from);
    let ccm = fleet::program()?;
    let folder = tempfile::tempdir()?;
    let files = commit(&tree, folder.path())?;
    let scan = || Way::of("ccm scan", &ccm, &["scan", ".", "--format", "json"]);
    let rg = Way::of("ripgrep", "rg", &["--hidden", "-g", "!.git", WORDS, "."]);
    if Command::new("rg").arg("--version").output().is_ok() {
        let title = format!("A folder of {files} files");
        let ratio = compare(report, &title, &tree, &rg, &scan())?;
        report.promise(&format!("at most 1.5 times as long as ripgrep: {ratio:.2}"), ratio <= 1.5);
    }
    let grep = Way::of("git grep", "git", &["grep", "-n", "-w", "-E", WORDS, "HEAD"]);
    let ratio =
        compare(report, &format!("The same {files} files in a bare repository"), folder.path(), &grep, &scan())?;
    report.promise(&format!("keeps up with git grep: {ratio:.2} times as long"), ratio <= 1.0);
    Ok(())
}

/// Both by turns; gives how many times as long ours takes, by the medians.
fn compare(report: &mut Report, title: &str, folder: &Path, theirs: &Way, ours: &Way) -> Result<f64> {
    report.table(title, &["Program", "Median", "All"]);
    let mut times = [Vec::new(), Vec::new()];
    for turn in 0..=TURNS {
        for (times, way) in times.iter_mut().zip([theirs, ours]) {
            let time = way.run(folder)?;
            if turn > 0 {
                times.push(time);
            }
        }
    }
    for (times, way) in times.iter().zip([theirs, ours]) {
        let all: Vec<String> = times.iter().map(|time| seconds(*time)).collect();
        report.row(&[way.name.to_owned(), seconds(median(times.clone())), all.join(", ")]);
    }
    let [theirs, ours] = times.map(median);
    Ok(ours / theirs)
}

/// Commits the files of `tree` into a bare repository in `folder`, packed as a mirror is.
fn commit(tree: &Path, folder: &Path) -> Result<usize> {
    let git = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Bench", "-c", "user.email=bench@example.org", "-c", "core.excludesFile="]);
        let output = command.arg("--git-dir").arg(folder).args(arguments).current_dir(tree).output()?;
        ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    git(&["init", "--quiet", "--bare"])?;
    git(&["--work-tree", ".", "add", "--all", "--force", "."])?;
    let tree = git(&["write-tree"])?;
    let commit = git(&["commit-tree", "-m", "all", tree.trim()])?;
    git(&["update-ref", "HEAD", commit.trim()])?;
    git(&["gc", "--quiet"])?;
    Ok(git(&["ls-tree", "-r", "--name-only", "HEAD"])?.lines().count())
}
