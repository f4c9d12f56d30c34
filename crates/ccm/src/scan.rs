//! `ccm scan`: one discovery pass. Nothing is stored and nothing is written anywhere.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use ::scan::{FileTodos, MAX_FILE_BYTES, TodoOptions};
use anyhow::{Context as _, Result};
use backlog::finding::{Finding, Source};
use backlog::names::{CommitId, RepoName};
use backlog::task::Task;
use backlog::time::Clock as _;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;

use crate::cli::{Common, Format, Scan};
use crate::config::{self, Config, ConfigError};
use crate::{DONE, FINDINGS, output, wire};

/// One line of `--format json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    score: i64,
    reasons: &'a [backlog::rank::Reason],
}

/// Looks for work in every named place and prints it, best first.
///
/// # Errors
/// When a place is not there or cannot be read.
pub async fn scan(common: &Common, arguments: &Scan) -> Result<u8> {
    let config = config::load(common.config.as_deref())?.config;
    for source in &arguments.source {
        match source.parse() {
            Ok(Source::Todo) => {}
            Ok(other) => {
                return Err(
                    ConfigError(format!("the source {other} is not part of this version; there is todo")).into()
                );
            }
            Err(error) => return Err(ConfigError(error.to_string()).into()),
        }
    }
    let places = if arguments.places.is_empty() { vec![".".to_owned()] } else { arguments.places.clone() };
    let mut found = Vec::new();
    for place in &places {
        found.extend(one(common, &config, place, arguments.since.as_deref()).await?);
    }
    let now = wire::SystemClock.now();
    let mut tasks: Vec<Task> = found
        .into_iter()
        .map(|finding| {
            let mut task = Task::of_finding(finding, now);
            task.score = backlog::rank::score(&task, &config.rank, now);
            task
        })
        .collect();
    tasks.sort_by(|a, b| {
        let place = |task: &Task| task.finding.as_ref().map(|f| (f.repository.clone(), f.path.clone(), f.line));
        b.score.points.cmp(&a.score.points).then_with(|| place(a).cmp(&place(b)))
    });
    let format = if common.json { Format::Json } else { arguments.format };
    print(format, &tasks)?;
    Ok(if arguments.exit_code && !tasks.is_empty() { FINDINGS } else { DONE })
}

async fn one(common: &Common, config: &Config, place: &str, since: Option<&str>) -> Result<Vec<Finding>> {
    let path = Path::new(place);
    if path.is_dir() {
        let (path, options) = (path.to_owned(), options(config)?);
        let (commit, changed) = versioned(&path, since).await?;
        let name = name_of(&path)?;
        return tokio::task::spawn_blocking(move || {
            folder(&path, &name, commit.as_ref(), changed.as_deref(), &options)
        })
        .await
        .context("reading the folder failed unexpectedly")?;
    }
    let Ok(name) = place.parse::<RepoName>() else {
        return Err(ConfigError(format!("{place} is neither a folder nor OWNER/NAME")).into());
    };
    if config.github.is_none() {
        return Err(ConfigError(format!(
            "{place} is no folder here, and ccm.toml has no [github] section to fetch it"
        ))
        .into());
    }
    remote(common, config, &name, since).await
}

fn options(config: &Config) -> Result<TodoOptions> {
    Ok(TodoOptions::new(config.sources.todo.tags.clone())
        .map_err(|error| ConfigError(format!("sources.todo.tags: {error}")))?)
}

/// The commit of a folder under version control, and what changed since a revision.
async fn versioned(path: &Path, since: Option<&str>) -> Result<(Option<CommitId>, Option<Vec<String>>)> {
    let git = git::Git::new("git".into());
    let repository = match git::LocalRepository::open(&git, path).await {
        Ok(repository) => repository,
        Err(error) if since.is_some() => return Err(error).context("--since needs a git repository"),
        Err(_) => return Ok((None, None)),
    };
    let head = repository.head().await.ok();
    let changed = match since {
        Some(revision) => Some(repository.changed_since(revision).await?),
        None => None,
    };
    Ok((head, changed))
}

/// `local/<folder>`, as `serve` calls it.
fn name_of(path: &Path) -> Result<RepoName> {
    let full = std::fs::canonicalize(path).with_context(|| format!("cannot use {}", path.display()))?;
    let folder = full.file_name().map_or("repository".into(), |name| name.to_string_lossy());
    let clean: String =
        folder.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    Ok(format!("local/{clean}").parse().or_else(|_| "local/repository".parse())?)
}

/// Reads the files of a folder on all cores, as `.gitignore` allows.
fn folder(
    path: &Path,
    name: &RepoName,
    commit: Option<&CommitId>,
    only: Option<&[String]>,
    options: &TodoOptions,
) -> Result<Vec<Finding>> {
    let found = Mutex::new(Vec::new());
    let bar = progress();
    let walk =
        ignore::WalkBuilder::new(path).hidden(false).filter_entry(|entry| entry.file_name() != ".git").build_parallel();
    walk.run(|| {
        Box::new(|entry| {
            let Ok(entry) = entry else { return ignore::WalkState::Continue };
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                return ignore::WalkState::Continue;
            }
            bar.inc(1);
            let relative = entry.path().strip_prefix(path).unwrap_or(entry.path()).to_string_lossy().into_owned();
            if only.is_some_and(|only| !only.contains(&relative)) {
                return ignore::WalkState::Continue;
            }
            let todos = read(entry.path(), &relative, options);
            if !todos.is_empty() {
                found
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push(FileTodos { path: relative, todos });
            }
            ignore::WalkState::Continue
        })
    });
    bar.finish_and_clear();
    let found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(::scan::findings(name, commit, found))
}

/// A file that cannot be read is left out: a scan of a folder is not the place to fail for one.
fn read(path: &Path, relative: &str, options: &TodoOptions) -> Vec<::scan::Todo> {
    let Ok(metadata) = path.metadata() else { return Vec::new() };
    if metadata.len() > MAX_FILE_BYTES || ::scan::skip_reason(relative, b"", metadata.len()).is_some() {
        return Vec::new();
    }
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    if ::scan::skip_reason(relative, &bytes, metadata.len()).is_some() {
        return Vec::new();
    }
    ::scan::todos(relative, &bytes, options)
}

fn progress() -> ProgressBar {
    if std::io::stderr().is_terminal() {
        let bar = ProgressBar::new_spinner().with_message("files read");
        bar.set_style(
            indicatif::ProgressStyle::with_template("{spinner} {pos} {msg}")
                .unwrap_or_else(|_| indicatif::ProgressStyle::default_spinner()),
        );
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    } else {
        ProgressBar::hidden()
    }
}

/// Reads a repository on the code host through a mirror in a temporary data folder.
async fn remote(common: &Common, config: &Config, name: &RepoName, since: Option<&str>) -> Result<Vec<Finding>> {
    if since.is_some() {
        return Err(ConfigError("--since works on folders; name a checkout".to_owned()).into());
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let common = Common { data_dir: Some(PathBuf::from(folder.path())), ..common.clone() };
    let ctx = wire::context(&common, config, Vec::new()).await?;
    let mirror = pipeline::discover::mirror(&ctx, name).await?;
    let Some(head) = mirror.fetch().await?.head else { return Ok(Vec::new()) };
    let tree = mirror.files(&head).await?;
    pipeline::discover::todo::findings(&ctx, &mirror, name, &head, &tree).await
}

fn print(format: Format, tasks: &[Task]) -> Result<()> {
    let findings = || tasks.iter().filter_map(|task| task.finding.as_ref().map(|finding| (task, finding)));
    match format {
        Format::Json => {
            for (task, finding) in findings() {
                let line = Line { finding, score: task.score.points, reasons: &task.score.reasons };
                output::line(&serde_json::to_string(&line)?);
            }
        }
        Format::Table if tasks.is_empty() => output::remark("Nothing was found."),
        Format::Table => {
            let rows = findings()
                .map(|(task, finding)| {
                    let place = format!("{}:{}", finding.path, finding.line);
                    vec![
                        task.score.points.to_string(),
                        finding.repository.name().to_owned(),
                        place,
                        finding.title.clone(),
                    ]
                })
                .collect();
            output::line(&output::table(&["POINTS", "REPOSITORY", "PLACE", "TITLE"], rows));
            output::remark(&format!("{} finding{}.", tasks.len(), if tasks.len() == 1 { "" } else { "s" }));
        }
        Format::Sarif => {
            output::json(&sarif(&findings().map(|(_, finding)| finding).collect::<Vec<_>>()))?;
        }
    }
    Ok(())
}

/// The findings as SARIF 2.1.0.
fn sarif(findings: &[&Finding]) -> serde_json::Value {
    let mut kinds: Vec<&str> = findings.iter().map(|finding| finding.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let rules: Vec<_> = kinds
        .iter()
        .map(|kind| json!({ "id": kind, "shortDescription": { "text": format!("A comment that says {kind}") } }))
        .collect();
    let results: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "ruleId": finding.kind,
                "level": "note",
                "message": { "text": finding.text },
                "partialFingerprints": { "ccm/v1": finding.fingerprint },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": uri(&finding.path) },
                    "region": { "startLine": finding.line.max(1), "endLine": finding.end_line.max(1) },
                } }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": { "name": "ccm", "version": env!("CARGO_PKG_VERSION"), "rules": rules } }, "results": results }],
    })
}

/// A path as a relative URI reference: everything outside RFC 3986's unreserved characters and `/` is escaped.
fn uri(path: &str) -> String {
    path.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
