//! `ccm doctor`: is everything in place, and what to do where it is not.

use std::path::Path;

use anyhow::Result;
use backlog::time::Clock as _;
use pipeline::settings::{AgentKind, SandboxKind};
use serde::Serialize;

use crate::cli::Common;
use crate::config::{self, Config, data_dir, secret};
use crate::{DONE, FAILED, output, wire};

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mark {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Line {
    mark: Mark,
    what: String,
    finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

/// The report.
#[derive(Debug, Default, Serialize)]
struct Report {
    lines: Vec<Line>,
}

impl Report {
    fn ok(&mut self, what: &str, finding: impl Into<String>) {
        self.lines.push(Line { mark: Mark::Ok, what: what.to_owned(), finding: finding.into(), mend: None });
    }

    fn warn(&mut self, what: &str, finding: impl Into<String>, mend: impl Into<String>) {
        self.lines.push(Line {
            mark: Mark::Warn,
            what: what.to_owned(),
            finding: finding.into(),
            mend: Some(mend.into()),
        });
    }

    fn fail(&mut self, what: &str, finding: impl Into<String>, mend: impl Into<String>) {
        self.lines.push(Line {
            mark: Mark::Fail,
            what: what.to_owned(),
            finding: finding.into(),
            mend: Some(mend.into()),
        });
    }
}

/// Checks everything and prints a line for each.
///
/// # Errors
/// Never for what is wrong with the machine: that is in the report, and the exit code is 1.
pub async fn doctor(common: &Common) -> Result<u8> {
    let mut report = Report::default();
    let config = match config::load(common.config.as_deref()) {
        Ok(loaded) => {
            let place =
                loaded.file.map_or("no file, the defaults are in force".to_owned(), |file| file.display().to_string());
            report.ok("configuration", place);
            loaded.config
        }
        Err(error) => {
            report.fail(
                "configuration",
                format!("{error:#}"),
                "mend the file; `ccm config schema` says what may stand in it",
            );
            Config::default()
        }
    };
    match git::Git::new("git".into()).version().await {
        Ok(version) => report.ok("git", version.to_string()),
        Err(error) => report.fail("git", error.to_string(), "install git 2.38 or newer"),
    }
    sandbox(&mut report, &config).await;
    agents(&mut report, &config);
    data(&mut report, common, &config).await;
    port(&mut report, &config).await;
    github(&mut report, common, &config).await;
    let failed = report.lines.iter().any(|line| line.mark == Mark::Fail);
    if common.json {
        output::json(&report)?;
    } else {
        for line in &report.lines {
            let mark = match line.mark {
                Mark::Ok => "ok  ",
                Mark::Warn => "warn",
                Mark::Fail => "FAIL",
            };
            output::line(&format!("{mark}  {}: {}", line.what, line.finding));
            if let Some(mend) = &line.mend {
                output::line(&format!("      {mend}"));
            }
        }
    }
    Ok(if failed { FAILED } else { DONE })
}

async fn sandbox(report: &mut Report, config: &Config) {
    let kind = match config.sandbox.kind {
        SandboxKind::Bubblewrap => runner::Kind::Bubblewrap,
        SandboxKind::None => runner::Kind::None,
    };
    let probe = runner::probe(kind).await;
    match (probe.works, probe.reason, probe.mend) {
        (false, reason, mend) => report.fail(
            "sandbox",
            format!("{kind} does not work here: {}", reason.unwrap_or_default()),
            mend.unwrap_or("choose another kind in [sandbox]".to_owned()),
        ),
        (true, Some(reason), mend) => {
            report.warn("sandbox", format!("{} ({reason})", probe.level), mend.unwrap_or("nothing to mend".to_owned()));
        }
        (true, None, _) => report.ok("sandbox", probe.level.to_string()),
    }
    for folder in config.sandbox.toolchains.iter().filter(|folder| !folder.is_dir()) {
        report.fail("toolchain", format!("{} is not there", folder.display()), "correct sandbox.toolchains");
    }
}

fn agents(report: &mut Report, config: &Config) {
    for (name, agent) in &config.agents {
        let what = format!("agent {name}");
        let program = agent.program.as_deref().unwrap_or("claude");
        match find_program(program) {
            Some(path) => report.ok(&what, path),
            None => {
                let mend = match agent.kind {
                    AgentKind::Claude => format!(
                        "install Claude Code (npm install -g @anthropic-ai/claude-code), or set agents.{name}.program to its path"
                    ),
                    AgentKind::Command => format!("install it, or set agents.{name}.program to its path"),
                };
                report.fail(&what, format!("the program `{program}` was not found"), mend);
            }
        }
    }
    if config.agents.values().any(|agent| agent.kind == AgentKind::Claude) && secret(&config.model.key_env).is_none() {
        report.warn(
            "model key",
            format!("the environment variable {} is not set", config.model.key_env),
            "set it for `ccm serve`; without it the model refuses every agent",
        );
    }
}

/// Where a program is: an absolute path, or found on `PATH`.
fn find_program(program: &str) -> Option<String> {
    let is_program = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return is_program(Path::new(program)).then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|path| is_program(path))
        .map(|path| path.display().to_string())
}

async fn data(report: &mut Report, common: &Common, config: &Config) {
    let opened = wire::open_store(common, config).await;
    match &opened {
        Ok((store, file)) => match store.probe(std::time::Duration::from_secs(10)).await {
            Ok(()) => report.ok("database", file.display().to_string()),
            Err(error) => {
                report.fail("database", format!("{}: {error}", file.display()), "see that the disk is not full")
            }
        },
        Err(error) => report.fail("database", format!("{error:#}"), "name another data folder with --data-dir"),
    }
    if let Ok((store, _)) = &opened {
        for parked in store.repositories().await.unwrap_or_default() {
            if let Some(reason) = parked.parked {
                report.warn(&format!("repository {}", parked.name), "it is parked", reason);
            }
        }
        for intent in store.open_intents().await.unwrap_or_default() {
            if intent.state == backlog::intent::IntentState::GivenUp {
                report.warn(
                    &format!("write {}", intent.id),
                    format!(
                        "it was sent {} times to {} and nobody knows whether it arrived",
                        intent.sends, intent.repository
                    ),
                    "look there; close a duplicate, or retry the task",
                );
            }
        }
    }
    let Ok(dir) = data_dir(common.data_dir.as_deref()) else { return };
    match rustix::fs::statvfs(&dir) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize) / (1 << 30);
            if free < 2 {
                report.warn(
                    "disk",
                    format!("{free} GiB free below {}", dir.display()),
                    "mirrors and checkouts need more; free some",
                );
            } else {
                report.ok("disk", format!("{free} GiB free below {}", dir.display()));
            }
        }
        Err(error) => report.warn("disk", format!("{}: {error}", dir.display()), "name another folder with --data-dir"),
    }
}

async fn port(report: &mut Report, config: &Config) {
    let listen = &config.server.listen;
    match tokio::net::TcpListener::bind(listen).await {
        Ok(_) => report.ok("port", format!("{listen} is free")),
        Err(error) => report.warn(
            "port",
            format!("{listen}: {error}"),
            "fine if it is a ccm that serves there; else name another address in [server] listen",
        ),
    }
}

/// What to look at when the credential is refused.
fn mend_of(section: &config::GitHub) -> String {
    match &section.app {
        Some(app) => format!("check github.app.id and the key in {}", app.private_key_file.display()),
        None => format!("check the token in {}", section.token_variable()),
    }
}

/// The App's key is a password: nobody else should be able to read it.
fn key_file(report: &mut Report, section: &config::GitHub) {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(app) = &section.app else { return };
    let (what, file) = ("App's key", app.private_key_file.display());
    match app.private_key_file.metadata() {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            report.warn(what, format!("{file} can be read by others"), format!("chmod 600 {file}"));
        }
        Ok(_) => report.ok(what, file.to_string()),
        Err(error) => report.fail(what, format!("{file}: {error}"), "correct github.app.private_key_file"),
    }
}

/// Asks for what the sweep and the sources ask for, only to find out whether the credential may. What it may not is among
/// the host's notices then.
async fn may_read(report: &mut Report, forge: &dyn forge::Forge, config: &Config, name: backlog::names::RepoName) {
    let sources = &config.sources.security_alert;
    if sources.enabled {
        match forge.alerts(&name, &sources.kinds).await {
            Ok(found) => report.ok("alerts", format!("{} are open in {name}", found.open.len())),
            Err(error) => report.warn("alerts", error.to_string(), "wait, or look at the limits below"),
        }
    }
    if let Err(error) = forge.changes(&[forge::Known { name, mark: String::new() }]).await {
        report.warn("changes", error.to_string(), "wait, or look at the limits below");
    }
}

async fn github(report: &mut Report, common: &Common, config: &Config) {
    let Some(section) = &config.github else {
        return report.ok("github", "not configured; only local folders are worked");
    };
    let ctx = match wire::context(common, config, Vec::new()).await {
        Ok(ctx) => ctx,
        Err(error) => return report.fail("github", format!("{error:#}"), "mend that, then run `ccm doctor` again"),
    };
    let Some(forge) = &ctx.forges.github else { return };
    key_file(report, section);
    match forge.login().await {
        Ok(login) => report.ok("github", format!("{} as {login}", section.api_url)),
        Err(error) => {
            return report.fail("github", error.to_string(), mend_of(section));
        }
    }
    let views = forge.repositories().await;
    let first = views.as_ref().ok().and_then(|views| views.first()).map(|view| view.name.clone());
    match views {
        Ok(views) if views.is_empty() => {
            report.fail(
                "repositories",
                "no repository matches",
                "correct github.repositories, or give the token access",
            );
        }
        Ok(views) => {
            let denied: Vec<_> = views
                .iter()
                .filter(|view| !view.can_push && !view.archived)
                .map(|view| view.name.to_string())
                .collect();
            report.ok("repositories", format!("{} match", views.len()));
            if !denied.is_empty() {
                report.warn(
                    "repositories",
                    format!("no push access to {}", denied.join(", ")),
                    "give the token write access to contents",
                );
            }
        }
        Err(error) => {
            report.fail("repositories", error.to_string(), "see that every entry of github.repositories exists")
        }
    }
    if let Some(repository) = first {
        may_read(report, forge.as_ref(), config, repository).await;
    }
    for (n, notice) in forge.notices().into_iter().enumerate() {
        match n {
            0 => report.ok("changes", notice),
            _ => report.warn("GitHub", notice, "see \"How changes are noticed\" in docs/operating.md"),
        }
    }
    unreachable(report, forge.as_ref());
    let now = wire::SystemClock.now();
    for limit in forge.limits() {
        let paused = limit
            .paused_until
            .filter(|until| *until > now)
            .map_or(String::new(), |until| format!(", paused until {until}"));
        let why = limit.reason.map_or(String::new(), |reason| format!(" ({reason})"));
        let shared = if limit.members > 1 { format!(", shared by {} processes", limit.members) } else { String::new() };
        let left = format!("{} of {} left for {}{shared}{paused}{why}", limit.remaining, limit.limit, limit.actor);
        report.ok(&format!("limit {}", limit.resource), left);
    }
}

/// What cannot be worked, and what mends it.
fn unreachable(report: &mut Report, forge: &dyn forge::Forge) {
    for there in forge.unreachable() {
        let (what, found) = match &there.repository {
            Some(name) => (format!("repository {name}"), "it cannot be worked"),
            None => (format!("account {}", there.owner), "its repositories are not worked"),
        };
        report.warn(&what, found, there.why);
    }
}
