//! The table of routes: method, GitHub's own template, what it is to the limits, and who answers.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::call::{Call, Reply};
use super::hub::Hub;
use super::referee::Kind;
use super::referee::Kind::{CodeSearch, Content, Git, Mint, Query, Read, Search, Write};
use super::world::World;
use super::{
    alerts, apps, checks, contents, discussion, graphql, issues, labels, pulls, refs, repositories, reviews, search,
    webhooks,
};

/// Who answers a route.
pub(super) enum Handler {
    /// From the world alone.
    Now(fn(&Call, &mut World) -> Reply),
    /// With the help of git.
    Later(fn(Arc<Call>, Arc<Hub>) -> BoxFuture<'static, Reply>),
    /// Git's own server.
    Git,
}

/// One line of the table.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) template: &'static str,
    pub(super) kind: Kind,
    pub(super) handler: Handler,
}

const fn now(
    method: &'static str,
    template: &'static str,
    kind: Kind,
    handler: fn(&Call, &mut World) -> Reply,
) -> Route {
    Route { method, template, kind, handler: Handler::Now(handler) }
}

type Later = fn(Arc<Call>, Arc<Hub>) -> BoxFuture<'static, Reply>;

const fn later(method: &'static str, template: &'static str, kind: Kind, handler: Later) -> Route {
    Route { method, template, kind, handler: Handler::Later(handler) }
}

const fn git(method: &'static str, template: &'static str) -> Route {
    Route { method, template, kind: Git, handler: Handler::Git }
}

/// Earlier lines win. `{ref}`, `{branch}` and `{path}` take several segments.
static ROUTES: &[Route] = &[
    git("GET", "/{owner}/{repo}.git/info/refs"),
    git("POST", "/{owner}/{repo}.git/git-upload-pack"),
    git("POST", "/{owner}/{repo}.git/git-receive-pack"),
    // What a document is to the limits is in the document.
    later("POST", "/graphql", Query, |c, h| Box::pin(graphql::post(c, h))),
    now("GET", "/search/issues", Search, search::issues),
    later("GET", "/search/code", CodeSearch, |c, h| Box::pin(search::code(c, h))),
    later("GET", "/repos/{owner}/{repo}/git/trees/{tree_sha}", Read, |c, h| Box::pin(contents::tree(c, h))),
    later("GET", "/repos/{owner}/{repo}/tarball/{ref}", Read, |c, h| Box::pin(contents::tarball(c, h))),
    now("GET", "/app", Read, apps::me),
    now("GET", "/app/installations", Read, apps::installations),
    now("GET", "/app/installations/{installation_id}", Read, apps::installation),
    now("POST", "/app/installations/{installation_id}/access_tokens", Mint, apps::mint),
    now("POST", "/app-manifests/{code}/conversions", Write, apps::convert),
    now("DELETE", "/installation/token", Write, apps::revoke),
    now("GET", "/repos/{owner}/{repo}/installation", Read, apps::of_repository),
    now("GET", "/orgs/{org}/installation", Read, apps::of_account),
    now("GET", "/users/{username}/installation", Read, apps::of_account),
    now("GET", "/user", Read, repositories::me),
    now("GET", "/users/{username}", Read, repositories::user),
    now("GET", "/user/repos", Read, repositories::of_user),
    now("GET", "/orgs/{org}/repos", Read, repositories::of_organization),
    now("GET", "/users/{username}/repos", Read, repositories::of_owner),
    now("GET", "/installation/repositories", Read, repositories::of_installation),
    later("GET", "/app/hook/deliveries", Read, |c, h| Box::pin(webhooks::list(c, h))),
    later("GET", "/app/hook/deliveries/{delivery_id}", Read, |c, h| Box::pin(webhooks::get(c, h))),
    later("POST", "/app/hook/deliveries/{delivery_id}/attempts", Write, |c, h| Box::pin(webhooks::attempt(c, h))),
    now("GET", "/meta", Read, repositories::meta),
    now("GET", "/versions", Read, repositories::versions),
    now("GET", "/repos/{owner}/{repo}", Read, repositories::get),
    now("GET", "/repos/{owner}/{repo}/collaborators/{username}/permission", Read, repositories::permission),
    now("GET", "/repos/{owner}/{repo}/issues", Read, issues::list),
    now("POST", "/repos/{owner}/{repo}/issues", Content, issues::create),
    now("GET", "/repos/{owner}/{repo}/issues/comments", Read, discussion::of_repository),
    now("GET", "/repos/{owner}/{repo}/issues/comments/{comment_id}", Read, discussion::get),
    now("PATCH", "/repos/{owner}/{repo}/issues/comments/{comment_id}", Write, discussion::edit),
    now("DELETE", "/repos/{owner}/{repo}/issues/comments/{comment_id}", Write, discussion::delete),
    now("GET", "/repos/{owner}/{repo}/issues/events", Read, discussion::events_of_repository),
    now("GET", "/repos/{owner}/{repo}/issues/{issue_number}", Read, issues::get),
    now("PATCH", "/repos/{owner}/{repo}/issues/{issue_number}", Write, issues::edit),
    now("GET", "/repos/{owner}/{repo}/issues/{issue_number}/comments", Read, discussion::list),
    now("POST", "/repos/{owner}/{repo}/issues/{issue_number}/comments", Content, discussion::create),
    now("GET", "/repos/{owner}/{repo}/issues/{issue_number}/events", Read, discussion::events),
    now("GET", "/repos/{owner}/{repo}/issues/{issue_number}/timeline", Read, discussion::timeline),
    now("GET", "/repos/{owner}/{repo}/issues/{issue_number}/labels", Read, labels::of_issue),
    now("POST", "/repos/{owner}/{repo}/issues/{issue_number}/labels", Write, labels::add),
    now("DELETE", "/repos/{owner}/{repo}/issues/{issue_number}/labels/{name}", Write, labels::remove),
    now("GET", "/repos/{owner}/{repo}/labels", Read, labels::list),
    now("POST", "/repos/{owner}/{repo}/labels", Write, labels::create),
    now("GET", "/repos/{owner}/{repo}/labels/{name}", Read, labels::get),
    now("GET", "/repos/{owner}/{repo}/git/ref/{ref}", Read, refs::get),
    later("POST", "/repos/{owner}/{repo}/git/refs", Write, |c, h| Box::pin(refs::create(c, h))),
    later("PATCH", "/repos/{owner}/{repo}/git/refs/{ref}", Write, |c, h| Box::pin(refs::update(c, h))),
    later("DELETE", "/repos/{owner}/{repo}/git/refs/{ref}", Write, |c, h| Box::pin(refs::delete(c, h))),
    now("GET", "/repos/{owner}/{repo}/branches", Read, refs::branches),
    later("GET", "/repos/{owner}/{repo}/branches/{branch}", Read, |c, h| Box::pin(refs::branch(c, h))),
    later("GET", "/repos/{owner}/{repo}/contents", Read, |c, h| Box::pin(contents::get(c, h))),
    later("GET", "/repos/{owner}/{repo}/contents/{path}", Read, |c, h| Box::pin(contents::get(c, h))),
    now("GET", "/repos/{owner}/{repo}/pulls", Read, pulls::list),
    later("POST", "/repos/{owner}/{repo}/pulls", Content, |c, h| Box::pin(pulls::create(c, h))),
    later("GET", "/repos/{owner}/{repo}/pulls/{pull_number}", Read, |c, h| Box::pin(pulls::get(c, h))),
    later("PATCH", "/repos/{owner}/{repo}/pulls/{pull_number}", Write, |c, h| Box::pin(pulls::edit(c, h))),
    later("GET", "/repos/{owner}/{repo}/pulls/{pull_number}/files", Read, |c, h| Box::pin(pulls::files(c, h))),
    later("PUT", "/repos/{owner}/{repo}/pulls/{pull_number}/merge", Content, |c, h| Box::pin(pulls::merge(c, h))),
    now("GET", "/repos/{owner}/{repo}/pulls/{pull_number}/merge", Read, reviews::is_merged),
    now("GET", "/repos/{owner}/{repo}/pulls/{pull_number}/reviews", Read, reviews::list),
    now("POST", "/repos/{owner}/{repo}/pulls/{pull_number}/reviews", Content, reviews::create),
    now("GET", "/repos/{owner}/{repo}/pulls/{pull_number}/comments", Read, reviews::comments),
    now("GET", "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers", Read, reviews::requested),
    now("POST", "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers", Content, reviews::request),
    now("GET", "/repos/{owner}/{repo}/commits/{ref}/check-runs", Read, checks::of_commit),
    now("GET", "/repos/{owner}/{repo}/commits/{ref}/status", Read, checks::status),
    now("GET", "/repos/{owner}/{repo}/commits/{ref}/statuses", Read, checks::statuses),
    later("GET", "/repos/{owner}/{repo}/commits/{ref}", Read, |c, h| Box::pin(contents::commit(c, h))),
    now("POST", "/repos/{owner}/{repo}/statuses/{sha}", Write, checks::set_status),
    now("GET", "/repos/{owner}/{repo}/check-runs/{check_run_id}", Read, checks::get),
    now("GET", "/repos/{owner}/{repo}/actions/runs", Read, checks::runs),
    now("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}", Read, checks::run),
    now("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs", Read, checks::jobs),
    now("GET", "/repos/{owner}/{repo}/actions/jobs/{job_id}", Read, checks::job),
    now("GET", "/repos/{owner}/{repo}/actions/jobs/{job_id}/logs", Read, checks::logs),
    now("GET", "/repos/{owner}/{repo}/dependabot/alerts", Read, alerts::dependabot),
    now("GET", "/repos/{owner}/{repo}/code-scanning/alerts", Read, alerts::code_scanning),
    now("GET", "/repos/{owner}/{repo}/secret-scanning/alerts", Read, alerts::secret_scanning),
];

/// The free route about the limits, which the server answers itself.
pub(super) static RATE_LIMIT: Route = now("GET", "/rate_limit", Read, repositories::meta);

/// The route of a request and the values of its placeholders.
pub(super) fn find(method: &str, path: &str) -> Option<(&'static Route, Vec<(&'static str, String)>)> {
    if method == "GET" && path == RATE_LIMIT.template {
        return Some((&RATE_LIMIT, Vec::new()));
    }
    let method = if method == "HEAD" { "GET" } else { method };
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
    ROUTES.iter().filter(|route| route.method == method).find_map(|route| Some((route, fit(route.template, &parts)?)))
}

/// Fits a path's segments into a template; a greedy placeholder takes what the rest leaves over.
fn fit(template: &'static str, parts: &[&str]) -> Option<Vec<(&'static str, String)>> {
    let wanted: Vec<&'static str> = template.split('/').skip(1).collect();
    let greedy = wanted.iter().position(|part| matches!(*part, "{ref}" | "{branch}" | "{path}"));
    let extra = parts.len().checked_sub(wanted.len())?;
    if greedy.is_none() && extra > 0 {
        return None;
    }
    let mut values = Vec::new();
    let mut at = 0;
    for (index, want) in wanted.iter().enumerate() {
        let take = if greedy == Some(index) { extra + 1 } else { 1 };
        let text = parts[at..at + take].iter().map(|part| decode(part)).collect::<Vec<_>>().join("/");
        at += take;
        let Some(rest) = want.strip_prefix('{') else {
            if *want == text {
                continue;
            } else {
                return None;
            };
        };
        let (name, suffix) = rest.split_once('}')?;
        let value = text.strip_suffix(suffix).filter(|value| !value.is_empty())?;
        values.push((name, value.to_owned()));
    }
    Some(values)
}

/// Decodes `%41`; anything malformed stays as it is.
fn decode(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.filter(|_| bytes[at] == b'%') {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_route() {
        let table = [
            ("GET", "/user", "/user", ""),
            ("GET", "/me/app.git/info/refs", "/{owner}/{repo}.git/info/refs", "owner=me repo=app"),
            (
                "GET",
                "/repos/me/a.b/issues/7",
                "/repos/{owner}/{repo}/issues/{issue_number}",
                "owner=me repo=a.b issue_number=7",
            ),
            ("GET", "/repos/a/b/issues/comments", "/repos/{owner}/{repo}/issues/comments", "owner=a repo=b"),
            (
                "GET",
                "/repos/a/b/git/ref/heads/x/y",
                "/repos/{owner}/{repo}/git/ref/{ref}",
                "owner=a repo=b ref=heads/x/y",
            ),
            (
                "GET",
                "/repos/a/b/commits/x/y/status",
                "/repos/{owner}/{repo}/commits/{ref}/status",
                "owner=a repo=b ref=x/y",
            ),
            (
                "DELETE",
                "/repos/a/b/issues/1/labels/good%20first%2Fissue",
                "/repos/{owner}/{repo}/issues/{issue_number}/labels/{name}",
                "owner=a repo=b issue_number=1 name=good first/issue",
            ),
        ];
        for (method, path, template, expected) in table {
            let (route, values) = find(method, path).expect(path);
            let values: Vec<String> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!((route.template, values.join(" ").as_str()), (template, expected));
        }
        assert!(find("GET", "/graphql").is_none());
        assert!(find("PUT", "/user").is_none());
    }
}
