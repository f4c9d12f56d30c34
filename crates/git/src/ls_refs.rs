//! Asking a remote where its branches are, without anything else.
//!
//! *Definition.* One `POST {url}/git-upload-pack` in git's protocol version 2 with the command `ls-refs`: about 130
//! bytes up and, for `HEAD`, 150 down, however many refs the repository has. The git program needs two requests and
//! downloads every ref, because `ls-remote` filters by name only after it has read them all.
//!
//! *Wanted properties.* Each request takes its turn at the host (`pace`); a login never follows a redirect to
//! another origin; an answer is bounded in bytes and in time; whatever a server answers is refs or an error.
//!
//! *Design.* The capability request is left out at first. A server that does not like that is asked for its
//! capabilities before, and one that does not speak version 2 is left to the git program, as are folders. Which way
//! works is remembered for each host until the program ends; refusals of a single repository change nothing about it.
//!
//! *Known races.* Two first requests to one host may both find out the way; accepted, it costs a request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use backlog::names::{BranchName, CommitId};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};

use crate::error::{GitError, classify};
use crate::pace::{AT_ONCE, Kind};
use crate::process::Git;
use crate::remote::Remote;

mod packet;

use packet::{Packet, packets};

/// The longest answer: bytes.
const ANSWER_BYTES: usize = 4 << 20;
/// From the request to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(5);
/// Redirects that are followed on one origin, as after a rename.
const HOPS: usize = 3;
const COMMAND: &str = "ls-refs";

/// Where a remote's default branch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHead {
    /// The default branch; `None` when `HEAD` names none.
    pub branch: Option<BranchName>,
    /// Its commit; `None` when the remote has no commits.
    pub commit: Option<CommitId>,
}

/// What a remote listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Refs {
    /// The branch that `HEAD` names.
    pub(crate) head: Option<BranchName>,
    /// Names and commits; a tag's is the commit behind it.
    pub(crate) refs: Vec<(String, CommitId)>,
}

/// How a host is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// At once.
    Direct,
    /// After its capabilities were asked for.
    Asked,
    /// By the git program.
    Program,
}

const WAYS: [Way; 3] = [Way::Direct, Way::Asked, Way::Program];

/// One host: the way that worked.
#[derive(Default)]
struct Host {
    way: Mutex<Option<Way>>,
}

/// The way to the hosts; part of [`Git`]. There are as many hosts as the configuration names.
#[derive(Default)]
pub(crate) struct Web {
    http: OnceLock<Option<reqwest::Client>>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

/// Why one way gave no refs.
enum Trouble {
    /// The server does not work this way, it seems: another may.
    Way(String),
    /// No other way would help.
    Final(GitError),
}

impl Git {
    /// Where the default branch of `remote` is now: one small request. Errors: [`GitError::Limited`], and the others
    /// of the network.
    pub async fn remote_head(&self, remote: Remote) -> Result<RemoteHead, GitError> {
        let listed = self.ls_refs(&remote.validated()?, &["HEAD"]).await?;
        let commit = listed.refs.into_iter().find(|(name, _)| name == "HEAD").map(|(_, commit)| commit);
        Ok(RemoteHead { branch: listed.head, commit })
    }

    /// The refs of `remote` whose names begin with one of `names`, and perhaps others.
    pub(crate) async fn ls_refs(&self, remote: &Remote, names: &[&str]) -> Result<Refs, GitError> {
        let url = Url::parse(&remote.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let (Some(url), Some(http)) = (url, self.web().http.get_or_init(client)) else {
            return self.ls_remote(remote, names).await;
        };
        let host = self.web().host(&url);
        let known = *host.way.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = String::new();
        for way in WAYS.into_iter().skip_while(|way| known.is_some_and(|known| *way != known)) {
            let asking = Asking { http, remote, names, proven: known.is_some() };
            let listed = match way {
                // The program takes its own turn.
                Way::Program => self.ls_remote(remote, names).await.map_err(Trouble::Final),
                way => {
                    let turn = self.pace().turn(remote, Kind::Look).await?;
                    let direct = way == Way::Direct;
                    let listed = if direct { asking.list().await } else { asking.list_after_asking().await };
                    if let Err(Trouble::Final(error)) = &listed {
                        turn.ended(Some(error));
                    }
                    listed
                }
            };
            match listed {
                Ok(refs) => {
                    *host.way.lock().unwrap_or_else(PoisonError::into_inner) = Some(way);
                    return Ok(refs);
                }
                Err(Trouble::Way(why)) => refused = why,
                Err(Trouble::Final(error)) => return Err(error),
            }
        }
        Err(GitError::Failed { command: COMMAND.to_owned(), code: None, stderr: refused })
    }

    /// The same by the git program, which downloads every ref.
    async fn ls_remote(&self, remote: &Remote, names: &[&str]) -> Result<Refs, GitError> {
        let root = std::path::Path::new("/");
        let call = self.call(["ls-remote", "--quiet", "--symref", "--"]).folder(root).remote(remote).arg(&remote.url);
        let text = names.iter().fold(call, |call, name| call.arg(name)).text().await?;
        let mut listed = Refs::default();
        for (value, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            if let Some(target) = value.strip_prefix("ref: refs/heads/") {
                if name == "HEAD" {
                    listed.head = target.parse().ok();
                }
            } else if let Ok(commit) = value.parse() {
                listed.refs.push((name.to_owned(), commit));
            }
        }
        Ok(listed)
    }
}

impl Web {
    fn host(&self, url: &Url) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(url.origin().ascii_serialization()).or_default())
    }
}

/// Without a client everything is left to the git program.
fn client() -> Option<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("git/2 (ccm/", env!("CARGO_PKG_VERSION"), ")"))
        .connect_timeout(CONNECT)
        .timeout(PATIENCE)
        .pool_max_idle_per_host(AT_ONCE)
        .pool_idle_timeout(Duration::from_secs(30))
        .build()
        .inspect_err(|error| tracing::warn!(%error, "branches are asked for by the git program, which is slower"))
        .ok()
}

/// One question.
struct Asking<'a> {
    http: &'a reqwest::Client,
    remote: &'a Remote,
    names: &'a [&'a str],
    /// The host has answered this way before: a refusal is about the repository.
    proven: bool,
}

impl Asking<'_> {
    async fn list(&self) -> Result<Refs, Trouble> {
        let (status, body) = self.send(Method::POST, "/git-upload-pack").await?;
        match status {
            StatusCode::OK => self.read(&body),
            // It may be the missing capability request that is refused.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND if self.proven => {
                Err(Trouble::Final(self.refusal(status)))
            }
            status => Err(Trouble::Way(format!("HTTP {}", status.as_u16()))),
        }
    }

    async fn list_after_asking(&self) -> Result<Refs, Trouble> {
        let (status, body) = self.send(Method::GET, "/info/refs?service=git-upload-pack").await?;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
            return Err(Trouble::Final(self.refusal(status)));
        }
        // Without this the git program would take any page for an empty repository of an old kind of server.
        let packets = packets(&body).ok().filter(|_| status == StatusCode::OK).unwrap_or_default();
        let (git, second) = (b"# service=git-upload-pack".as_slice(), b"version 2".as_slice());
        let says = |line| packets.contains(&Packet::Line(line));
        if !says(git) && !says(second) {
            let stderr = format!("HTTP {}, and its answer is not git's", status.as_u16());
            return Err(Trouble::Final(GitError::Failed { command: COMMAND.to_owned(), code: None, stderr }));
        }
        if !says(second) {
            return Err(Trouble::Way("it does not speak git's protocol version 2".to_owned()));
        }
        Asking { proven: true, ..*self }.list().await
    }

    /// Sends one request and reads its answer, up to the bound.
    async fn send(&self, method: Method, service: &str) -> Result<(StatusCode, Vec<u8>), Trouble> {
        let mut url = format!("{}{service}", self.remote.url.trim_end_matches('/'));
        for _ in 0..=HOPS {
            let request = self.http.request(method.clone(), &url).header("git-protocol", "version=2");
            let request = match method {
                Method::POST => request
                    .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
                    .header(ACCEPT, "application/x-git-upload-pack-result")
                    .body(packet::question(self.names)),
                _ => request,
            };
            let mut response = self.signed(request).send().await.map_err(|error| self.broken(error))?;
            let status = response.status();
            if status.is_redirection() {
                url = self.moved(&url, response.headers().get(LOCATION), service)?;
                continue;
            }
            if status == StatusCode::TOO_MANY_REQUESTS {
                let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let (repository, retry_after) = (self.remote.url.clone(), seconds.map(Duration::from_secs));
                return Err(Trouble::Final(GitError::Limited { repository, retry_after }));
            }
            if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
                return Err(self.transient(format!("HTTP {}", status.as_u16())));
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
                if body.len() + chunk.len() > ANSWER_BYTES {
                    let limit = format!("{ANSWER_BYTES} bytes");
                    return Err(Trouble::Final(GitError::TooLarge { what: "the list of a remote's branches", limit }));
                }
                body.extend_from_slice(&chunk);
            }
            return Ok((status, body));
        }
        Err(self.transient(format!("it was redirected more than {HOPS} times")))
    }

    fn signed(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let Some(authorization) = self.remote.authorization() else { return request };
        match HeaderValue::from_str(&authorization) {
            Ok(mut value) => {
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            // Base64 always is a header's value.
            Err(_) => request,
        }
    }

    /// Where a redirect leads, if that is the same service on the same origin.
    fn moved(&self, from: &str, to: Option<&HeaderValue>, service: &str) -> Result<String, Trouble> {
        let from = Url::parse(from).ok();
        let to = to.and_then(|to| to.to_str().ok()).and_then(|to| from.as_ref()?.join(to).ok());
        match (from, to) {
            (Some(from), Some(to)) if to.origin() == from.origin() && to.as_str().ends_with(service) => Ok(to.into()),
            (_, to) => Err(Trouble::Final(GitError::Denied {
                repository: self.remote.url.clone(),
                message: format!(
                    "it redirects to {}; the login is not sent there",
                    to.and_then(|to| to.host_str().map(str::to_owned)).unwrap_or_else(|| "nowhere".to_owned())
                ),
            })),
        }
    }

    fn read(&self, body: &[u8]) -> Result<Refs, Trouble> {
        let packets = packets(body).map_err(|why| self.unreadable(why))?;
        let mut listed = Refs::default();
        for packet in &packets {
            match packet {
                Packet::Line(line) => self.take(line, &mut listed)?,
                Packet::Flush => return Ok(listed),
                Packet::Other => {}
            }
        }
        Err(self.transient("its answer ends in the middle".to_owned()))
    }

    fn take(&self, line: &[u8], listed: &mut Refs) -> Result<(), Trouble> {
        let line = String::from_utf8_lossy(line);
        if let Some(said) = line.strip_prefix("ERR ") {
            let secrets = self.remote.secrets();
            let said = secrets.iter().fold(said.to_owned(), |said, secret| said.replace(secret, "[secret]"));
            return Err(Trouble::Final(classify(COMMAND.to_owned(), None, said, Some(&self.remote.url))));
        }
        let mut parts = line.split(' ');
        let (Some(Ok(mut commit)), Some(name)) = (parts.next().map(str::parse), parts.next()) else {
            return Err(Trouble::Way("its answer holds something else than refs".to_owned()));
        };
        for attribute in parts {
            if let Some(target) = attribute.strip_prefix("symref-target:refs/heads/").filter(|_| name == "HEAD") {
                listed.head = target.parse().ok();
            } else if let Some(Ok(peeled)) = attribute.strip_prefix("peeled:").map(str::parse) {
                commit = peeled;
            }
        }
        listed.refs.push((name.to_owned(), commit));
        Ok(())
    }

    fn unreadable(&self, why: packet::Unreadable) -> Trouble {
        match why {
            packet::Unreadable::Short => self.transient("its answer ends in the middle".to_owned()),
            packet::Unreadable::Garbage => Trouble::Way("its answer is not git's".to_owned()),
        }
    }

    fn refusal(&self, status: StatusCode) -> GitError {
        let repository = self.remote.url.clone();
        match status {
            StatusCode::NOT_FOUND => GitError::NotFound { repository },
            status => GitError::Denied { repository, message: format!("HTTP {}", status.as_u16()) },
        }
    }

    fn broken(&self, error: reqwest::Error) -> Trouble {
        if error.is_timeout() {
            return Trouble::Final(GitError::Timeout { command: COMMAND.to_owned(), after: PATIENCE });
        }
        self.transient(error.without_url().to_string())
    }

    fn transient(&self, message: String) -> Trouble {
        Trouble::Final(GitError::Transient { repository: self.remote.url.clone(), message })
    }
}

#[cfg(test)]
mod tests;
