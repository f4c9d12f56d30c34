//! `ccm init`: a configuration file to start from.

mod app;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use pipeline::settings::SecurityAlertSource;

use crate::cli::{Common, Init};
use crate::config::{ConfigError, GitHub, data_dir, parse};
use crate::{DONE, output};

const TEMPLATE: &str = include_str!("init/ccm.toml");
/// What stands in the template for GitHub.
const NO_GITHUB: &str = "# [github]\n# token_env = \"GITHUB_TOKEN\"\n# repositories = [\"me/*\"]\n";

/// What stands in the template for security alerts.
const NO_ALERTS: &str =
    "# [sources.security-alert]\n# enabled = true       # and alerts of GitHub; they need further permissions\n";

/// Writes a commented configuration file, after making a GitHub App where one is wanted.
///
/// # Errors
/// When the file exists already, or cannot be written, or the App is not made.
pub async fn init(common: &Common, wanted: Init) -> Result<u8> {
    let file = common.config.clone().unwrap_or_else(|| PathBuf::from("ccm.toml"));
    if file.exists() && !wanted.force {
        return Err(ConfigError(format!("{} exists already; `ccm init --force` replaces it", file.display())).into());
    }
    let mut globs = wanted.github.clone();
    if globs.is_empty() {
        globs = ask_for_repositories(wanted.github_app)?;
    }
    if wanted.github_app && globs.is_empty() {
        return Err(ConfigError("name what the App is to work at, such as --github 'me/*'".to_owned()).into());
    }
    let section = match (wanted.github_app, globs.is_empty()) {
        (true, _) => {
            let dir = data_dir(common.data_dir.as_deref())?;
            crate::wire::make_private(&dir)?;
            let (section, install_url) = app_section(&wanted, &globs, &dir).await?;
            output::remark(&format!("Install the App for the accounts it is to work in: {install_url}"));
            section
        }
        (false, false) => github_section(&wanted, &globs, "token_env = \"GITHUB_TOKEN\"\n"),
        (false, true) => NO_GITHUB.to_owned(),
    };
    let mut text = TEMPLATE.replace(NO_GITHUB, &section);
    if wanted.security_alerts {
        text = text.replace(NO_ALERTS, "[sources.security-alert]\nenabled = true\n");
    }
    parse(&text).map_err(|error| ConfigError(format!("the file would not be valid: {error}")))?;
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    output::remark(&format!("Wrote {}. Next: `ccm doctor` says what is missing, `ccm serve` starts.", file.display()));
    Ok(DONE)
}

/// `[github]` with what it acts with.
fn github_section(wanted: &Init, globs: &[String], credential: &str) -> String {
    let globs = toml::Value::from(globs.to_vec());
    let api_url = wanted.api_url.as_ref().map_or(String::new(), |url| format!("api_url = {}\n", quoted(url)));
    format!("[github]\n{api_url}repositories = {globs}\n{credential}")
}

/// Has an App made; gives the configuration's section and where people install it.
async fn app_section(wanted: &Init, globs: &[String], dir: &Path) -> Result<(String, String)> {
    let api_url = wanted.api_url.clone().unwrap_or_else(|| GitHub::default().api_url);
    let api_url = api_url.parse().map_err(|_| ConfigError(format!("--api-url {api_url} is no address")))?;
    let (organization, webhook_url) = (wanted.organization.clone(), wanted.webhook_url.clone());
    let alerts = if wanted.security_alerts { SecurityAlertSource::default().kinds } else { Vec::new() };
    let made = app::make(&app::Wish { api_url, organization, webhook_url, alerts }, dir).await?;
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let (key, secret) = (path(&made.private_key_file), path(&made.webhook_secret_file));
    let app =
        format!("\n[github.app]\nid = \"{}\"\nprivate_key_file = {key}\nwebhook_secret_file = {secret}\n", made.id);
    Ok((github_section(wanted, globs, &app), made.install_url))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Asks on a terminal; elsewhere nobody can answer.
fn ask_for_repositories(needed: bool) -> Result<Vec<String>> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Ok(Vec::new());
    }
    let or = if needed { "" } else { "; empty: only folders on this machine" };
    write!(std::io::stderr(), "Which repositories on GitHub, such as me/* or org/app{or}? ")?;
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    Ok(line.split([' ', ',', '\n']).filter(|glob| !glob.is_empty()).map(str::to_owned).collect())
}
