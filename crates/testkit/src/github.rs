//! GitHub as a stateful model behind real HTTP, with git.
//!
//! **Definition.** [`FakeGitHub`] listens on a loopback port. Its address is the root of the REST API, and
//! `{url}/{owner}/{repo}.git` is the git side, served by the real `git http-backend` over real bare repositories.
//!
//! **Wanted properties.** A real client cannot tell it from GitHub in anything the product relies on: routes, field
//! names, status codes, limits, validators, paging, permissions, redirects. Everything that GitHub may do wrong can be
//! ordered ([`Fault`]). Whatever limit the client breaks is noticed ([`FakeGitHub::violations`]).
//!
//! **Design.** One table of routes (`routes`), handlers that work on one `World` under one lock, git for everything
//! that is git's (heads of pull requests, merges, diffs, contents). Time is the injected clock, so that hours pass at
//! once. What waits (latency, slow answers, endless bodies) waits in real time, or on the clock
//! ([`FakeGitHub::in_virtual_time`]). Stories change the world by short verbs
//! (`verbs`), which need no permission and are not requests: neither limits nor faults nor the referee see them.
//!
//! **Known differences.** Little of GraphQL (see `graphql`), searches know a few qualifiers, no forks, one head
//! repository per pull request; rebase
//! merges are refused as if the repository forbade them. Job logs live on a second port ([`FakeGitHub::elsewhere`]),
//! as on GitHub, where the client must not send its credentials.
//!
//! **Known races.** Requests that were on their way when a pause was announced arrive afterwards. The referee cannot
//! tell them from disobedience: a test with concurrent requests says how many it tolerates
//! ([`FakeGitHub::tolerate_in_flight`]).

mod alerts;
mod apps;
pub(crate) mod bare;
mod call;
pub(crate) mod cgi;
mod checks;
mod contents;
mod credentials;
mod discussion;
mod faults;
mod graphql;
mod hub;
mod issues;
mod labels;
mod latency;
mod limits;
mod permission;
mod pulls;
mod referee;
mod refs;
mod render;
mod repositories;
mod reviews;
mod routes;
mod search;
mod serve;
mod smart_http;
mod verbs;
mod webhooks;
mod world;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backlog::time::Clock;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use alerts::{Alert, Kind as AlertKind};
pub use apps::{App, Selection};
pub use faults::Fault;
pub use permission::Permission;
pub use referee::{Kind, Request};
pub use verbs::{IssueRef, PullRequest, PushRule, Target};
pub use webhooks::{Delivery, Mishap};
pub use world::{CheckRun, Comment, Issue, IssueEvent, Pull, Review, ReviewComment};

use crate::clock::TestClock;
use hub::{Hub, Time};

/// The name under which requests without credentials are counted.
const ANONYMOUS: &str = "anonymous";

/// A running fake GitHub; it ends when dropped.
#[derive(Debug)]
pub struct FakeGitHub {
    hub: Arc<Hub>,
    servers: [JoinHandle<()>; 2],
    _root: TempDir,
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

impl FakeGitHub {
    /// Starts an empty GitHub on a free port of the loopback interface.
    ///
    /// # Panics
    /// When no port or temporary folder can be had.
    pub async fn start(clock: Arc<dyn Clock>) -> Self {
        Self::in_time(Time::Real(clock)).await
    }

    /// As [`FakeGitHub::start`], but answers take their time on the clock, which a driver must move
    /// ([`TestClock::drive`](crate::clock::TestClock::drive)).
    ///
    /// # Panics
    /// When no port or temporary folder can be had.
    pub async fn in_virtual_time(clock: Arc<TestClock>) -> Self {
        Self::in_time(Time::Virtual(clock)).await
    }

    async fn in_time(time: Time) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder for the repositories");
        let (api, base) = listen().await;
        let (other, elsewhere) = listen().await;
        let hub = Arc::new(Hub::new(time, base, elsewhere, root.path().to_owned()));
        let servers = [tokio::spawn(accept(api, hub.clone(), false)), tokio::spawn(accept(other, hub.clone(), true))];
        Self { hub, servers, _root: root }
    }

    /// Address of the API, and the start of every clone address; without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.hub.base
    }

    /// Address of the other host, where job logs are and where [`Fault::redirect_elsewhere`] leads.
    #[must_use]
    pub fn elsewhere(&self) -> &str {
        &self.hub.elsewhere
    }

    /// Orders a fault.
    pub fn fail(&self, fault: Fault) {
        self.hub.faults().add(fault);
    }

    /// Orders a fault for the n-th request since the start, counted from 1 over everything that arrives.
    pub fn fail_nth_request(&self, n: u64, fault: Fault) {
        self.hub.faults().add(fault.at_arrival(n));
    }

    /// Takes back all faults that have not happened.
    pub fn stop_failing(&self) {
        self.hub.faults().clear();
    }

    /// How many requests the other host has answered, where logs and archives are.
    #[must_use]
    pub fn request_count_elsewhere(&self) -> u64 {
        self.hub.elsewhere_count.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// How many requests arrived so far.
    #[must_use]
    pub fn request_count(&self) -> u64 {
        self.hub.referee().arrivals()
    }

    /// All requests so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.hub.referee().log()
    }

    /// How many requests are being answered at the moment, git included.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.hub.referee().open()
    }

    /// Keeps only the last so many requests to look at ([`FakeGitHub::requests`]); the rules see all.
    pub fn keep_requests(&self, last: usize) {
        self.hub.referee().keep(last);
    }

    /// Demands that writes of one actor come one at a time and start at least `gap` apart.
    pub fn demand_write_gap(&self, gap: Duration) {
        self.hub.referee().demand_manners(gap);
    }

    /// Refuses nobody for making too much content, as an enterprise server without limits; the referee still objects.
    pub fn lift_content_limits(&self) {
        self.hub.referee().free_content();
    }

    /// How long every answer takes, unless its route is named in [`FakeGitHub::set_latency_of`]: in real time, or on the
    /// clock of [`FakeGitHub::in_virtual_time`].
    pub fn set_latency(&self, time: Duration) {
        self.hub.latencies().set("", time);
    }

    /// How long the answers of a route take, named as in [`Fault::on`].
    pub fn set_latency_of(&self, route: &str, time: Duration) {
        self.hub.latencies().set(route, time);
    }

    /// Requests of one route, named as in [`Fault::on`].
    #[must_use]
    pub fn requests_matching(&self, route: &str) -> Vec<Request> {
        self.hub.referee().matching(route)
    }

    /// How many requests each route had, by method and template.
    #[must_use]
    pub fn requests_by_route(&self) -> BTreeMap<String, usize> {
        self.hub.referee().counts()
    }

    /// Every rule of GitHub that was broken so far, as sentences. A test of a polite client expects none.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.hub.referee().violations()
    }

    /// A process died that may have been told of a pause `within` this time and had not passed it on yet.
    pub fn died(&self, within: Duration) {
        let now = self.hub.clock.now();
        self.hub.referee().unheard(now, within);
    }

    /// How many requests per pause may arrive late because they were on their way; none unless told.
    pub fn tolerate_in_flight(&self, late: usize) {
        self.hub.referee().tolerate(late);
    }

    /// How many requests of the ordinary kind an hour a user has; 5,000 unless told, 60 without credentials
    /// (`anonymous`).
    pub fn set_hourly_limit(&self, login: &str, limit: u64) {
        self.set_limit(login, "core", limit);
    }

    /// How much of a resource (`core`, `graphql`, `search`, `code_search`) a caller has per window.
    pub fn set_limit(&self, login: &str, resource: &str, limit: u64) {
        self.hub.limits().resize(login, resource, limit);
    }

    /// For how long after a push GitHub has not computed yet whether a pull request can be merged (virtual time).
    pub fn set_mergeable_after(&self, wait: Duration) {
        self.hub.world().mergeable_after = wait;
    }

    /// For how long after its creation a search does not find an issue (virtual time).
    pub fn set_search_lag(&self, lag: Duration) {
        self.hub.world().search_lag = lag;
    }

    /// How many entries a listing of a whole tree has at most; 100,000 unless told.
    pub fn set_most_tree_entries(&self, most: usize) {
        self.hub.world().most_tree_entries = most;
    }

    /// With which status (301, 302, 307, 308) a write to a renamed repository is sent on; 307 unless told.
    pub fn set_write_redirect(&self, status: u16) {
        self.hub.world().write_redirect = status;
    }

    /// How many queries asked who wrote something.
    #[must_use]
    pub fn blames(&self) -> usize {
        self.hub.world().blames
    }

    /// From how many fields at the top on a GraphQL document is too much: it ends in a 502, and costs twice.
    pub fn set_most_aliases(&self, most: usize) {
        self.hub.world().most_aliases = most;
    }

    /// Changes how entity tags are computed, as GitHub may any day.
    pub fn change_etag_formula(&self, salt: &str) {
        *self.hub.etag_salt.lock().expect("no test thread fails while it holds the salt") = salt.to_owned();
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, format!("http://{address}"))
}

/// Serves connections until the task is aborted, and their tasks with it.
async fn accept(listener: TcpListener, hub: Arc<Hub>, elsewhere: bool) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let hub = hub.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let hub = hub.clone();
                async move {
                    if elsewhere {
                        serve::serve_elsewhere(hub, request).await
                    } else {
                        serve::serve(hub, request).await
                    }
                }
            });
            // Broken connections are part of the play: faults close them, clients give up.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
