//! `ccm scan`: one discovery pass. Nothing is stored and nothing is written anywhere.

mod bare;
mod choice;
mod files;
mod folder;
mod origin;
mod print;
mod sarif;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ::scan::{LeftOut, Selection, TodoOptions};
use anyhow::{Context as _, Result};
use backlog::finding::{Finding, Source};
use backlog::names::{CommitId, RepoName};
use backlog::task::Task;
use backlog::time::{Clock as _, Day};

use choice::Choice;
use print::Explanation;

use crate::cli::{Common, Format, Scan};
use crate::config::{self, Config, ConfigError};
use crate::{DONE, FINDINGS, output, wire};

/// Looks for work in every named place and prints it, best first.
///
/// # Errors
/// When a place is not there or cannot be read.
pub async fn scan(common: &Common, arguments: &Scan) -> Result<u8> {
    let mut config = config::load(common.config.as_deref())?.config;
    let choice = Choice::of(&arguments.source, &mut config)?;
    let places = if arguments.places.is_empty() { vec![".".to_owned()] } else { arguments.places.clone() };
    let format = if common.json { Format::Json } else { arguments.format };
    if arguments.explain && format == Format::Sarif {
        return Err(ConfigError("--explain goes with --format table or json".to_owned()).into());
    }
    let mut found = Vec::new();
    let mut explanations = Vec::new();
    let mut folders = BTreeSet::new();
    for place in &places {
        // One folder is read once, under however many names.
        if std::fs::canonicalize(place).is_ok_and(|folder| !folders.insert(folder)) {
            continue;
        }
        let looked = one(common, &config, &choice, place, arguments).await?;
        found.extend(looked.findings);
        explanations.extend(looked.explanations);
    }
    let now = wire::SystemClock.now();
    let mut tasks: Vec<Task> = found
        .into_iter()
        .map(|finding| {
            let mut task = Task::of_finding(finding, now);
            task.score = backlog::rank::score(&task, &config.rank, None, now);
            task
        })
        .collect();
    tasks.sort_by(|a, b| {
        let place = |task: &Task| task.finding.as_ref().map(|f| (f.repository.clone(), f.path.clone(), f.line));
        b.score.points.cmp(&a.score.points).then_with(|| place(a).cmp(&place(b)))
    });
    print::findings(format, &tasks, Day::of(now))?;
    print::explanations(format, &explanations)?;
    Ok(if arguments.exit_code && !tasks.is_empty() { FINDINGS } else { DONE })
}

/// What a look at one place gave.
#[derive(Default)]
struct Looked {
    findings: Vec<Finding>,
    explanations: Vec<Explanation>,
}

async fn one(common: &Common, config: &Config, choice: &Choice, place: &str, arguments: &Scan) -> Result<Looked> {
    let (path, since) = (Path::new(place), arguments.since.as_deref());
    if path.is_dir() {
        let more = choice.more_in_folders(config)?;
        let mut found = Looked::default();
        if config.sources.todo.enabled && choice.takes(&Source::Todo) {
            found = comments(config, path, arguments).await?;
        }
        if more {
            if since.is_some() {
                return Err(ConfigError("--since works for the source todo only".to_owned()).into());
            }
            found.findings.extend(committed(common, config, choice, path).await?);
        }
        return Ok(found);
    }
    if path.exists() {
        return Err(ConfigError(format!("{place} is no folder; name the folder that it is in")).into());
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
    if arguments.blame {
        return Err(ConfigError("--blame works on folders; name a checkout".to_owned()).into());
    }
    if arguments.explain {
        return Err(ConfigError("--explain works on folders; name a checkout".to_owned()).into());
    }
    Ok(Looked { findings: remote(common, config, choice, &name, since).await?, ..Looked::default() })
}

/// The comments in a folder as it is now, or in the last commit of a bare repository.
async fn comments(config: &Config, path: &Path, arguments: &Scan) -> Result<Looked> {
    let (path, options, selection) = (path.to_owned(), options(config)?, selection(config)?);
    std::fs::read_dir(&path)
        .with_context(|| format!("cannot list the folder {}; scan it as somebody who may read it", path.display()))?;
    let Versioned { commit, changed, bare, repository } = versioned(&path, arguments).await?;
    let (name, explain, head) = (name_of(&path)?, arguments.explain, commit.clone());
    let report = tokio::task::spawn_blocking(move || {
        let look = files::Look { options: &options, selection, only: changed.as_deref(), explain };
        let Some((objects, head)) = bare.zip(head) else {
            return Ok(look.read(folder::list(&path), folder::Folder(&path)));
        };
        let (entries, more) = bare::list(&objects, &head)?;
        if more {
            output::remark(&format!("It has more than {} files; only those are looked at.", entries.len()));
        }
        Ok::<_, git::GitError>(look.read(entries, objects))
    });
    let report = report.await.context("reading the folder failed unexpectedly")??;
    let mut looked = looked(report, &name, commit.as_ref());
    if let Some((repository, commit)) = repository.zip(commit).filter(|_| arguments.blame) {
        origin::learn(&repository, &commit, &mut looked.findings).await;
    }
    Ok(looked)
}

/// What the other sources find in the last commit of a folder's branch.
async fn committed(common: &Common, config: &Config, choice: &Choice, path: &Path) -> Result<Vec<Finding>> {
    let config = Config { github: None, ..config.clone() };
    let locals = wire::local_repositories(&git::Git::new("git".into()), &[path.to_owned()]).await?;
    let Some((name, _)) = locals.first().cloned() else { return Ok(Vec::new()) };
    let wanted = |source: &Source| *source != Source::Todo && choice.takes(source);
    once(common, &config, locals, &name, wanted).await
}

/// What sources find in a repository, through a temporary data folder.
async fn once(
    common: &Common,
    config: &Config,
    locals: Vec<(RepoName, PathBuf)>,
    name: &RepoName,
    wanted: impl Fn(&Source) -> bool,
) -> Result<Vec<Finding>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let common = Common { data_dir: Some(PathBuf::from(folder.path())), ..common.clone() };
    let ctx = wire::context(&common, config, locals).await?;
    pipeline::discover::once(&ctx, name, wanted).await
}

fn looked(report: files::Report, name: &RepoName, commit: Option<&CommitId>) -> Looked {
    let left_out: Vec<String> = report.skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if !left_out.is_empty() {
        output::remark(&format!("{} files; left out: {}.", report.files, left_out.join(", ")));
    }
    let whole = |(path, reason): (String, &'static str)| Explanation {
        path,
        line: None,
        left_out: reason.to_owned(),
        text: String::new(),
    };
    let tag = |(path, LeftOut { line, reason, text }): (String, LeftOut)| Explanation {
        path,
        line: Some(line),
        left_out: reason.to_string(),
        text,
    };
    let files = report.skipped_files.into_iter().map(whole);
    Looked {
        explanations: files.chain(report.left_out.into_iter().map(tag)).collect(),
        findings: ::scan::findings(name, commit, report.found),
    }
}

fn options(config: &Config) -> Result<TodoOptions> {
    let todo = &config.sources.todo;
    let options = TodoOptions::new(todo.tags.clone()).context("sources.todo.tags")?;
    Ok(options.with_markdown_fences(todo.markdown_fences))
}

fn selection(config: &Config) -> Result<Selection> {
    Selection::excluding(&config.sources.todo.exclude).context("sources.todo.exclude")
}

/// What is known of a folder under version control.
#[derive(Default)]
struct Versioned {
    /// The commit that is checked out, or the last one.
    commit: Option<CommitId>,
    /// The files that changed since a revision.
    changed: Option<Vec<String>>,
    /// What is read where there is no work tree.
    bare: Option<git::Objects>,
    /// What can be asked for more.
    repository: Option<git::LocalRepository>,
}

async fn versioned(path: &Path, arguments: &Scan) -> Result<Versioned> {
    let (git, since) = (git::Git::new("git".into()), arguments.since.as_deref());
    let repository = match git::LocalRepository::open(&git, path).await {
        Ok(repository) => repository,
        Err(error) if since.is_some() => return Err(error).context("--since needs a git repository"),
        Err(error) if arguments.blame => return Err(error).context("--blame needs a git repository"),
        Err(_) => return Ok(Versioned::default()),
    };
    let (commit, bare) = (repository.head().await.ok(), repository.bare().await?);
    let changed = match since {
        Some(revision) => {
            let changed = repository.changed_since(revision).await;
            Some(changed.with_context(|| format!("--since {revision}: name a commit, a branch or a tag"))?)
        }
        None => None,
    };
    Ok(Versioned { commit, changed, bare, repository: Some(repository) })
}

/// `local/<folder>`, as `serve` calls it.
fn name_of(path: &Path) -> Result<RepoName> {
    let full = std::fs::canonicalize(path).with_context(|| format!("cannot use {}", path.display()))?;
    let folder = full.file_name().map_or("repository".into(), |name| name.to_string_lossy());
    let clean: String =
        folder.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    Ok(format!("local/{clean}").parse().or_else(|_| "local/repository".parse())?)
}

/// Reads a repository on the code host.
async fn remote(
    common: &Common,
    config: &Config,
    choice: &Choice,
    name: &RepoName,
    since: Option<&str>,
) -> Result<Vec<Finding>> {
    if since.is_some() {
        return Err(ConfigError("--since works on folders; name a checkout".to_owned()).into());
    }
    once(common, config, Vec::new(), name, |source| choice.takes(source)).await
}
