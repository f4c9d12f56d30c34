//! Starting programs and servers for a test, on ports that are free.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::counterparts;

/// The longest a program may take until it listens; prism reads 13 MB of description first.
pub(crate) const START: Duration = Duration::from_secs(90);

/// Node with nothing of this machine's environment.
pub(crate) fn node(home: &Path) -> Command {
    let mut command = Command::new(counterparts::node());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home).current_dir(home).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// Starts a program and waits for the address that stands on its output behind or at `mark`; the task reads on, so
/// that the program never waits for a reader.
pub(crate) async fn listening(mut command: Command, mark: &str) -> Result<(Child, String, JoinHandle<()>)> {
    let mut child = command.spawn().context("cannot be started")?;
    let output = child.stdout.take().context("it has an output")?;
    let mut lines = BufReader::new(output).lines();
    let mut said = String::new();
    let found = tokio::time::timeout(START, async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, rest)) = line.split_once(mark) {
                let rest = rest.split_whitespace().next().unwrap_or_default();
                return Ok(if mark.ends_with("//") { format!("{mark}{rest}") } else { rest.to_owned() });
            }
            said.push_str(&line);
            said.push('\n');
        }
        bail!("it ended")
    })
    .await;
    match found {
        Ok(Ok(address)) => {
            let drain = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            Ok((child, address, drain))
        }
        Ok(Err(error)) => Err(error.context(said)),
        Err(_) => bail!("it did not listen within {} s:\n{said}", START.as_secs()),
    }
}

/// Serves on a free loopback port.
pub(crate) async fn serve(app: Router) -> Result<(String, JoinHandle<()>)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let task = tokio::spawn(async move {
        axum::serve(listener, app).await.expect("axum's accept loop never ends with an error");
    });
    Ok((address, task))
}

/// An answer in plain words.
pub(crate) fn plain(status: u16, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status.try_into().expect("only real statuses are used here");
    response
}
