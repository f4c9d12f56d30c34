//! Claude Code Manager: keeps the backlog of many repositories worked.
//!
//! The binary reads the command line and the configuration, puts the parts together, and looks after their life.

#![allow(unreachable_pub, reason = "a binary has no outside; `pub` says what a module offers to the others")]

mod cli;
mod config;
mod demo;
mod doctor;
mod dry_run;
mod init;
mod output;
mod progress;
mod scan;
mod serve;
mod tasks;
mod wire;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser as _};
use cli::{Cli, Command, ConfigAction};
use config::ConfigError;

/// Everything went well.
const DONE: u8 = 0;
/// It failed.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
const USAGE: u8 = 2;
/// There are findings, and `--exit-code` was asked for.
const FINDINGS: u8 = 3;
/// A signal ended it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::SandboxBridge { socket, port, command } = cli.command {
        return bridge(socket, port, command);
    }
    output::logging(cli.common.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error).context("cannot start the event loop")),
    };
    let code = runtime.block_on(run(cli));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> Result<u8> {
    let common = cli.common;
    match cli.command {
        Command::Serve { paths, dry_run: true } => dry_run::dry_run(&common, &paths).await,
        Command::Serve { paths, dry_run: false } => serve::serve(&common, &paths).await,
        Command::Scan(arguments) => scan::scan(&common, &arguments).await,
        Command::Add { title, repo, body, agent } => tasks::add(&common, &title, &repo, &body, agent).await,
        Command::Tasks { action } => tasks::tasks(&common, action).await,
        Command::Init(wanted) => init::init(&common, wanted).await,
        Command::Doctor => doctor::doctor(&common).await,
        Command::Config { action } => match action {
            ConfigAction::Check => {
                let loaded = config::load(common.config.as_deref())?;
                let place = loaded.file.map_or("the defaults".to_owned(), |file| file.display().to_string());
                output::line(&format!("{place}: valid"));
                Ok(DONE)
            }
            ConfigAction::Schema => output::json(&config::schema()),
            ConfigAction::Show => {
                let loaded = config::load(common.config.as_deref())?;
                if common.json {
                    return output::json(&serde_json::to_value(&loaded.config)?);
                }
                output::line(toml::to_string_pretty(&loaded.config)?.trim_end());
                Ok(DONE)
            }
        },
        Command::Migrate => {
            let loaded = config::load(common.config.as_deref())?;
            let place = wire::open_store(&common, &loaded.config).await?.1;
            output::line(&format!("{} is of this version's form", place.display()));
            Ok(DONE)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ccm", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(DONE)
        }
        Command::Openapi => output::json(&web::openapi()),
        Command::Demo { headless, listen } => demo::demo(&common, headless, &listen).await,
        Command::DemoAgent { arguments: _ } => demo::agent::replay().await,
        Command::SandboxBridge { .. } => unreachable!("handled before the event loop starts"),
    }
}

/// The bridge runs on one thread: it lives inside a sandbox with few processes.
fn bridge(socket: std::path::PathBuf, port: u16, command: Vec<String>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(runner::bridge::run(&socket, port, &command)) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(FAILED)),
        Err(error) => fail(&error.into()),
    }
}

/// Says what went wrong, once, with what to do about it.
fn fail(error: &anyhow::Error) -> ExitCode {
    output::remark(&format!("error: {error:#}"));
    let usage = error.downcast_ref::<ConfigError>().is_some();
    ExitCode::from(if usage { USAGE } else { FAILED })
}
