//! `ccm init`: a configuration file to start from.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::cli::Common;
use crate::config::{ConfigError, parse};
use crate::{DONE, output};

const TEMPLATE: &str = include_str!("init/ccm.toml");

/// Writes a commented configuration file.
///
/// # Errors
/// When the file exists already, or cannot be written.
pub fn init(common: &Common, force: bool, github: &[String]) -> Result<u8> {
    let file = common.config.clone().unwrap_or_else(|| PathBuf::from("ccm.toml"));
    if file.exists() && !force {
        return Err(ConfigError(format!("{} exists already; `ccm init --force` replaces it", file.display())).into());
    }
    let mut text = TEMPLATE.to_owned();
    if !github.is_empty() {
        let globs = toml::Value::from(github.to_vec());
        let section = format!("[github]\ntoken_env = \"GITHUB_TOKEN\"\nrepositories = {globs}\n");
        text = text.replace("# [github]\n# token_env = \"GITHUB_TOKEN\"\n# repositories = [\"me/*\"]\n", &section);
    }
    parse(&text).map_err(|error| ConfigError(format!("the file would not be valid: {error}")))?;
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    output::remark(&format!("Wrote {}. Next: `ccm doctor` says what is missing, `ccm serve` starts.", file.display()));
    Ok(DONE)
}
