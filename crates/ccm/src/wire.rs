//! Putting the parts together.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use backlog::names::RepoName;
use backlog::time::{Clock, Timestamp};
use forge::Forge;
use forge::github::webhook::Secrets;
use forge::github::{Credential as GitHubCredential, GitHub, GitHubConfig};
use forge::local::Local;
use gateway::{Credential, CredentialKind};
use pipeline::ledger::StoreLedger;
use pipeline::local::GitBranches;
use pipeline::settings::SandboxKind;
use pipeline::{Context, Forges, Paths};
use secrecy::SecretString;
use store::Store;
use store::sqlite::SqliteStore;

use crate::cli::Common;
use crate::config::{Config, ConfigError, data_dir, secret};

/// The system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock that the others stand in for")]
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

/// Opens the database that the configuration names and brings it to this version's form.
///
/// # Errors
/// When it cannot be opened; the message says what to do.
pub async fn open_store(common: &Common, config: &Config) -> Result<(Arc<dyn Store>, PathBuf)> {
    let dir = data_dir(common.data_dir.as_deref())?;
    make_private(&dir)?;
    let file = store_file(&dir, config);
    Ok((Arc::new(SqliteStore::open(&file).await?), file))
}

/// Copies the database that the configuration names, if there is one yet.
///
/// # Errors
/// When it cannot be read or copied.
pub async fn copy_store(common: &Common, config: &Config, to: &Path) -> Result<()> {
    let dir = data_dir(common.data_dir.as_deref())?;
    let file = store_file(&dir, config);
    if !file.exists() {
        return Ok(());
    }
    Ok(SqliteStore::open(&file).await?.copy(to).await?)
}

fn store_file(dir: &Path, config: &Config) -> PathBuf {
    match &config.server.database {
        Some(url) => PathBuf::from(url.trim_start_matches("sqlite://")),
        None => dir.join("ccm.db"),
    }
}

/// Makes a folder that only this user can read.
///
/// # Errors
/// When it cannot be made.
pub fn make_private(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make the data folder {}; name another one with --data-dir", dir.display()))
}

/// A random secret kept in a file of the data folder, made at first use.
///
/// # Errors
/// When the file cannot be read or written.
pub fn kept_secret(dir: &Path, name: &str) -> Result<SecretString> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = dir.join(name);
    if let Ok(text) = std::fs::read_to_string(&file)
        && text.trim().len() >= 32
    {
        return Ok(text.trim().to_owned().into());
    }
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    let text = hex::encode(bytes);
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut out = open.open(&file).with_context(|| format!("cannot write {}", file.display()))?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.sync_all())
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(text.into())
}

/// Holds the data folder for one service process.
pub struct DataLock {
    _file: File,
}

/// Takes the data folder for this process.
///
/// # Errors
/// When another service holds it.
pub fn lock(dir: &Path) -> Result<DataLock> {
    let path = dir.join("ccm.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("another ccm serves the data folder {}; stop it, or name another folder with --data-dir", dir.display());
    }
    Ok(DataLock { _file: file })
}

/// The local repositories that paths name, each `local/<folder>`, made unique by a number where needed.
///
/// # Errors
/// When a path is not there or is no repository.
pub async fn local_repositories(git: &git::Git, paths: &[PathBuf]) -> Result<Vec<(RepoName, PathBuf)>> {
    let mut named: Vec<(RepoName, PathBuf)> = Vec::new();
    for path in paths {
        let repository = git::LocalRepository::open(git, path).await?;
        // Without a branch there is nothing to start work from.
        repository.head_branch().await?;
        if named.iter().any(|(_, known)| known == repository.path()) {
            continue;
        }
        let folder = repository.path().file_name().map_or("repository".into(), |name| name.to_string_lossy());
        let clean: String =
            folder.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
        let mut name = format!("local/{clean}").parse().or_else(|_| "local/repository".parse::<RepoName>())?;
        let mut n = 2;
        while named.iter().any(|(known, _)| *known == name) {
            name = format!("local/{clean}-{n}").parse()?;
            n += 1;
        }
        named.push((name, repository.path().to_owned()));
    }
    Ok(named)
}

/// The service's parts as the configuration wants them.
///
/// # Errors
/// When a part cannot be made; the message says what to do.
pub async fn context(common: &Common, config: &Config, locals: Vec<(RepoName, PathBuf)>) -> Result<Arc<Context>> {
    let dir = data_dir(common.data_dir.as_deref())?;
    let (store, _) = open_store(common, config).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let git = git::Git::new("git".into());
    let github = match &config.github {
        Some(section) => Some(github(section, &dir, store.clone(), clock.clone())?),
        None => None,
    };
    let local = if locals.is_empty() { None } else { Some(local(locals, &git, &clock)) };
    let upstream = config.model.base_url.parse().map_err(|_| ConfigError("model.base_url is no address".to_owned()))?;
    let credential = secret(&config.model.key_env).map(|secret| Credential { kind: CredentialKind::ApiKey, secret });
    let gateway = gateway::Gateway::new(gateway::GatewayConfig::new(upstream, credential))?;
    let program = std::env::current_exe().context("the path of this program is not known")?;
    let worker = format!("{}{}", machine(), std::process::id());
    let sandbox = match config.sandbox.kind {
        SandboxKind::Bubblewrap => runner::Kind::Bubblewrap,
        SandboxKind::None => runner::Kind::None,
    };
    let webhook_secrets = config.github.as_ref().map(webhook_secrets).transpose()?.flatten();
    let forges = Forges { github, local, webhook_secrets };
    let paths = Paths { data: dir, program };
    Context::new(store, forges, git, clock, gateway, sandbox.sandbox().into(), paths, worker, config.settings())
}

/// The part of a worker's name that all processes of this machine share.
#[must_use]
pub fn machine() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{name}:")
}

/// What GitHub signs its webhooks with, if anything is configured.
fn webhook_secrets(section: &crate::config::GitHub) -> Result<Option<Secrets>> {
    let app = section.app.as_ref();
    let variable = app.and_then(|app| app.webhook_secret_env.as_ref()).or(section.webhook_secret_env.as_ref());
    let present = match (variable, app.and_then(|app| app.webhook_secret_file.as_ref())) {
        (Some(variable), _) => secret(variable).ok_or_else(|| {
            ConfigError(format!(
                "the environment variable {variable} that is named as webhook_secret_env is not set; put the secret of \
                 GitHub's webhook there"
            ))
        })?,
        (None, Some(file)) => std::fs::read_to_string(file)
            .map(|text| text.trim().to_owned().into())
            .map_err(|error| ConfigError(format!("github.app.webhook_secret_file {}: {error}", file.display())))?,
        (None, None) => return Ok(None),
    };
    let previous = section.webhook_previous_secret_env.as_deref().and_then(secret);
    Ok(Secrets::new(present, previous))
}

fn github(
    section: &crate::config::GitHub,
    dir: &Path,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Forge>> {
    let credential = credential(section)?;
    let marker_key = kept_secret(dir, "marker.key")?;
    let api_url = section.api_url.parse().map_err(|_| ConfigError("github.api_url is no address".to_owned()))?;
    let git_url = section.git_url.as_ref().map(|url| url.parse()).transpose();
    let config = GitHubConfig {
        api_url,
        git_url: git_url.map_err(|_| ConfigError("github.git_url is no address".to_owned()))?,
        credential,
        repositories: section.repositories.clone(),
        marker_key,
        contact: section.contact.clone(),
        limits: section.limits.limits()?,
    };
    Ok(Arc::new(GitHub::new(config, Arc::new(StoreLedger::new(store, clock.clone())), clock)?))
}

/// What the service acts with on GitHub.
fn credential(section: &crate::config::GitHub) -> Result<GitHubCredential> {
    if let Some(app) = &section.app {
        let file = &app.private_key_file;
        let text = std::fs::read_to_string(file).with_context(|| {
            let key = "github.app.private_key_file";
            format!("the App's private key {} that {key} names cannot be read", file.display())
        })?;
        return Ok(GitHubCredential::App { id: app.id.trim().to_owned(), private_key: text.into() });
    }
    let variable = section.token_variable();
    let token = secret(variable).ok_or_else(|| {
        ConfigError(format!(
            "the environment variable {variable} that [github] names is not set; put a token with access to contents, \
             issues and pull requests there, or name an App under [github.app]"
        ))
    })?;
    Ok(GitHubCredential::Token(token))
}

fn local(locals: Vec<(RepoName, PathBuf)>, git: &git::Git, clock: &Arc<dyn Clock>) -> Arc<dyn Forge> {
    let login = local_user();
    let author = git::Author { name: login.clone(), email: format!("{login}@localhost") };
    let branches = GitBranches::new(git.clone(), clock.clone(), author);
    Arc::new(Local::new(login, locals, Arc::new(branches), clock.clone()))
}

/// The name of the person at this machine.
#[must_use]
pub fn local_user() -> String {
    ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| "you".to_owned())
}
