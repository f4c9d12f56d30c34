//! The real `git http-backend`, run as the CGI program that it is.

use std::path::Path;

use anyhow::{Context, Result};
use http::HeaderMap;

use super::bare;

/// One request for git.
pub(crate) struct Request<'a> {
    /// The folder that holds the bare repositories.
    pub(crate) root: &'a Path,
    pub(crate) method: &'a str,
    /// Repository and service below `root`, such as `/1.git/info/refs`.
    pub(crate) path_info: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// Who asks; nobody may only read.
    pub(crate) user: Option<&'a str>,
}

/// What git answers.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// All other headers.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Runs the program once and reads its answer.
///
/// # Errors
/// When git cannot be started or its answer is none.
pub(crate) async fn http_backend(request: Request<'_>) -> Result<Reply> {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut command = bare::command(request.root);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", request.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", request.path_info)
        .env("QUERY_STRING", request.query)
        .env("REQUEST_METHOD", request.method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1");
    if let Some(user) = request.user {
        command.env("REMOTE_USER", user);
    }
    let output = bare::communicate(command, request.body).await?;
    let end = output.stdout.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.with_context(|| format!("git http-backend: {}", String::from_utf8_lossy(&output.stderr)))?;
    let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
    let body = output.stdout[end + 4..].to_vec();
    let mut reply = Reply { status: 200, content_type: String::new(), headers: Vec::new(), body };
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        match name.to_ascii_lowercase().as_str() {
            "status" => reply.status = value.split(' ').next().unwrap_or_default().parse()?,
            "content-type" => value.clone_into(&mut reply.content_type),
            _ => reply.headers.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(reply)
}
