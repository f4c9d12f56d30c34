//! The source `sarif:<tool>`: what another tool reports.
//!
//! **Definition.** The results of a SARIF document at the configured levels, one finding each. The document is a file of the
//! repository, or what a command of the operator prints or writes in a checkout of its own.
//!
//! **Wanted properties.** The command sees what a check sees: the sandbox, no network, no secret, a bounded time. Nothing
//! that it leaves in the checkout is opened from outside of the sandbox.
//!
//! **Design.** The document leaves the sandbox through the command's output, in Base64, each line with a mark that no tool
//! prints by chance.
//! A service that dies leaves its tools' processes to the next one, which ends them at its start (`housekeep::recover`).
//! A command that failed is not run again at the same commit for [`FAILED_FOR`]; meanwhile everything else in the
//! repository goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use backlog::finding::{self, Finding, Fingerprint};
use backlog::names::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use git::Blob;
use runner::checks::{CheckCommand, CheckLimits};
use scan::sarif::{self, Level, MAX_SARIF_BYTES, Report, SarifResult};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::source::{Look, Moves, Source};
use crate::run::confinement;
use crate::settings::{RepositoryPolicy, SarifLevel, SarifSource, Sources};
use crate::wording::one_line;

/// What the folders of tools, and the marks of their processes, begin with. No run's name does.
pub(crate) const TOOL: &str = "sarif-";
/// How many tools run at once.
static TOOLS: Semaphore = Semaphore::const_new(2);
/// For how long a failure at a commit is taken for the answer.
const FAILED_FOR: Duration = Duration::from_hours(6);
/// Where failures are remembered.
const SPACE: &str = "sarif-failures";
/// The most findings of one tool in one repository; the worst first.
const MOST_FINDINGS: usize = 1_000;

/// Why a tool's report is not known: no fault of the repository, in which the rest goes on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ToolFailed(String);

/// See the module.
pub(super) struct Sarif {
    tool: String,
}

impl Sarif {
    /// The tool that the settings call `tool`.
    #[must_use]
    pub(super) fn new(tool: &str) -> Self {
        Self { tool: tool.to_owned() }
    }
}

#[async_trait]
impl Source for Sarif {
    fn name(&self) -> finding::Source {
        finding::Source::Sarif(self.tool.clone())
    }

    fn is_on(&self, settings: &Sources, policy: &RepositoryPolicy) -> bool {
        settings.sarif.contains_key(&self.tool) && policy.sources.sarif != Some(false)
    }

    fn moves(&self) -> Moves {
        Moves { with_code: true, ..Moves::default() }
    }

    fn signature(&self, settings: &Sources) -> String {
        format!("engine={} {:?}", scan::ENGINE_VERSION, settings.sarif.get(&self.tool))
    }

    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>> {
        let settings = look.ctx.settings();
        let Some(tool) = settings.sources.sarif.get(&self.tool) else { return Ok(Vec::new()) };
        let report = match (&tool.command, &tool.file) {
            (Some(command), _) => self.run(look, tool, command).await?,
            (None, Some(file)) => match file_of(look, file).await? {
                Some(bytes) => read(look, bytes, None).await?,
                None => return Ok(Vec::new()),
            },
            (None, None) => return Ok(Vec::new()),
        };
        if report.outside + report.too_many > 0 {
            let (outside, too_many) = (report.outside, report.too_many);
            tracing::info!(repository = %look.repository, tool = self.tool, outside, too_many, "results were left out");
        }
        Ok(self.chosen(look, tool, report))
    }
}

impl Sarif {
    /// What the command reports, unless it failed at this commit a short time ago.
    async fn run(&self, look: &Look<'_>, tool: &SarifSource, command: &str) -> Result<Report> {
        let key = format!("{} {}", look.repository, self.tool);
        let of = digest(&[look.content.commit.as_str(), &format!("{tool:?}")]);
        let store = &look.ctx.store;
        if let Some(note) = store.note(SPACE, &key, look.ctx.now()).await?
            && let Some(why) = note.strip_prefix(&of)
        {
            return Err(ToolFailed(format!("{}; it is tried again later, and at the next commit", why.trim())).into());
        }
        let report = match self.document(look, tool, command).await {
            Ok((bytes, root)) => read(look, bytes, Some(root)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &report
            && error.is::<ToolFailed>()
        {
            let why = format!("{of} {}", one_line(&error.to_string(), 500));
            store.put_note(SPACE, &key, &why, Some(look.ctx.now().plus(FAILED_FOR))).await?;
        }
        report
    }

    /// Runs the command in a checkout of its own: the document, and where the checkout was.
    async fn document(&self, look: &Look<'_>, tool: &SarifSource, command: &str) -> Result<(Vec<u8>, String)> {
        let _place = TOOLS.acquire().await?;
        let ctx = look.ctx;
        let id = format!("{TOOL}{}", &digest(&[look.repository.as_str(), &self.tool])[..16]);
        let folder = ctx.paths.runs().join(&id);
        tokio::fs::create_dir_all(&folder).await.context("cannot make the folder of a tool")?;
        let branch = "ccm/sarif".parse().context("a branch's name")?;
        let mirror = look.mirror().await?;
        let checkout = mirror.checkout(&folder.join("checkout"), &look.content.commit, &branch).await?;
        let confinement = confinement(ctx, &id, checkout.dir(), &mirror);
        let now = look.ctx.now().to_string();
        let mark = format!("sarif-{}", &digest(&[&id, look.content.commit.as_str(), &now])[..32]);
        let lines = [CheckCommand { name: self.tool.clone(), line: script(command, tool.file.as_deref(), &mark) }];
        let limits = CheckLimits { each: Duration::from_secs(tool.minutes * 60), ..CheckLimits::default() };
        let mut printed = Printed { mark, root: None, base64: String::new(), whole: false };
        let cancel = CancellationToken::new();
        let ran = runner::run_checks(&confinement, &lines, ctx.sandbox.as_ref(), &limits, &cancel, &mut |_, line| {
            printed.line(line);
        })
        .await;
        checkout.remove().await?;
        git::remove_folder(&folder).await.context("cannot delete the folder of a tool")?;
        let log = ran?.pop().map(|report| report.log_tail).unwrap_or_default();
        let (root, base64) = printed.end(&log)?;
        let document = STANDARD.decode(base64);
        Ok((document.map_err(|_| ToolFailed("what it printed did not arrive whole".to_owned()))?, root))
    }

    /// The results that count, as findings, by path and line.
    fn chosen(&self, look: &Look<'_>, tool: &SarifSource, report: Report) -> Vec<Finding> {
        let wanted = |level: Level| {
            tool.levels.iter().any(|wanted| match wanted {
                SarifLevel::Error => level == Level::Error,
                SarifLevel::Warning => level == Level::Warning,
                SarifLevel::Note => level == Level::Note,
            })
        };
        let mut results: Vec<SarifResult> = report.results.into_iter().filter(|result| wanted(result.level)).collect();
        results.sort_by(|a, b| {
            let place = |r: &SarifResult| (r.path.clone(), r.line, r.rule.clone(), r.message.clone());
            b.level.cmp(&a.level).then_with(|| place(a).cmp(&place(b)))
        });
        results.truncate(MOST_FINDINGS);
        let mut ordinals: BTreeMap<String, usize> = BTreeMap::new();
        results
            .into_iter()
            .map(|result| {
                let identity = match &result.fingerprint {
                    Some(code) => format!("{} {code}", result.rule),
                    None => format!("{} {} {}", result.rule, result.path, result.message),
                };
                let ordinal = ordinals.entry(identity.clone()).or_default();
                *ordinal += 1;
                self.finding(look, &result, &identity, *ordinal - 1)
            })
            .collect()
    }

    fn finding(&self, look: &Look<'_>, result: &SarifResult, identity: &str, ordinal: usize) -> Finding {
        let source = self.name();
        let kind = if result.rule.is_empty() { result.level.as_str() } else { &result.rule };
        let first = result.message.lines().next().unwrap_or_default();
        let said = format!("{} reports this as {} ({}).", result.tool, kind, result.level.as_str());
        Finding {
            fingerprint: Fingerprint::of(&source, kind, identity, ordinal),
            source,
            kind: kind.to_owned(),
            repository: look.repository.clone(),
            commit: Some(look.content.commit.clone()),
            path: result.path.clone(),
            line: result.line,
            end_line: result.end_line,
            title: one_line(if first.is_empty() { kind } else { first }, 120),
            text: format!("{}\n\n{said}", result.message.chars().take(3_500).collect::<String>()).trim().to_owned(),
            author: None,
            written_on: None,
            owner: None,
            issue: None,
            due: None,
            interest: 0,
            // What one rule says of one file is one piece of work.
            group: (!result.path.is_empty()).then(|| format!("{kind} {}", result.path)),
            url: String::new(),
        }
    }
}

/// The command, and then its document in lines that begin with the mark: what it printed, or the file it wrote. Whatever
/// else is printed meanwhile, also on the error output, comes in between and does not count.
fn script(command: &str, file: Option<&str>, mark: &str) -> String {
    let (before, from, to) = match file {
        Some(file) => ("", format!("'{}'", file.replace('\'', r"'\''")), ">&2"),
        None => ("document=$(mktemp) || exit 1\n", "\"$document\"".to_owned(), "> \"$document\""),
    };
    let after = if file.is_none() { "rm -f -- \"$document\"\n" } else { "" };
    format!(
        "{before}(\n{command}\n) {to}\nprintf '%s at %s\\n' '{mark}' \"$PWD\"\n\
         base64 -- {from} | sed 's/^/{mark} /' && printf '%s end\\n' '{mark}'\n{after}"
    )
}

/// What a script prints, line by line.
struct Printed {
    mark: String,
    /// Where the checkout is inside.
    root: Option<String>,
    base64: String,
    whole: bool,
}

impl Printed {
    /// Where the checkout was, and the document in Base64; `log` says more where there is none.
    fn end(self, log: &str) -> Result<(String, String), ToolFailed> {
        let said: Vec<&str> = log.lines().filter(|line| !line.starts_with(&self.mark)).collect();
        let said = crate::prompt::tail(said.join("\n").trim(), 300).to_owned();
        let said = if said.is_empty() { said } else { format!("; the end of its output: {said}") };
        match self.root.filter(|_| self.whole) {
            Some(root) if !self.base64.is_empty() => Ok((root, self.base64)),
            Some(_) => {
                Err(ToolFailed(format!("it wrote nothing; let it print SARIF, or name the `file` it writes{said}")))
            }
            None => Err(ToolFailed(format!("it came to no end{said}"))),
        }
    }

    fn line(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix(&self.mark).map(str::trim) else { return };
        match (rest.strip_prefix("at "), rest) {
            (Some(root), _) => self.root = Some(root.to_owned()),
            (None, "end") => self.whole = true,
            (None, part) if self.base64.len() <= MAX_SARIF_BYTES / 3 * 4 + 100 => self.base64.push_str(part),
            (None, _) => {}
        }
    }
}

/// What a document reports; `root` is where the repository was when it was written, if it names places by full paths.
async fn read(look: &Look<'_>, document: Vec<u8>, root: Option<String>) -> Result<Report> {
    let report = look.ctx.on_cpu(move || sarif::read(&document, root.as_deref())).await?;
    Ok(report.map_err(|error| ToolFailed(error.to_string()))?)
}

/// A file of the repository, if it has it and it is not too large.
async fn file_of(look: &Look<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    let Some(file) = look.content.files.iter().find(|file| file.path == path) else { return Ok(None) };
    let mut content = None;
    let oids = [file.oid.clone()];
    look.content.bring(&oids).await?;
    let take = |_, blob| {
        if let Blob::Content(bytes) = blob {
            content = Some(bytes);
        }
    };
    look.content.read(&oids, MAX_SARIF_BYTES as u64, take).await?;
    let small = content.ok_or_else(|| ToolFailed(format!("{path} is larger than 32 MiB; let the tool report less")))?;
    Ok(Some(small))
}
