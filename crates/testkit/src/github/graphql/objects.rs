//! What the fields of each type are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::bare;
use super::super::checks;
use super::super::issues::shown;
use super::super::permission::Permission;
use super::super::render;
use super::super::world::{Comment, Found, Issue, World};
use super::{Refused, Run};
use backlog::time::Timestamp;

/// An object of GitHub's schema.
#[derive(Clone, Debug)]
pub(super) enum Thing {
    /// The root of queries.
    Query,
    /// A person, bot or organisation.
    User(String),
    /// By its index in the world.
    Repository(usize),
    /// A branch of a repository and its tip.
    Ref(usize, String, String),
    /// A commit of a repository by its SHA.
    Commit(usize, String),
    /// Who wrote a file of a repository.
    Blame(usize, Vec<bare::Range>),
    /// Who wrote some lines of it.
    BlameRange(usize, bare::Range),
    /// A tree by its SHA.
    Tree(String),
    /// An issue of a repository, by its number.
    Issue(usize, u64),
    /// A pull request of a repository, by its number.
    Pull(usize, u64),
    /// A comment in a conversation.
    Comment(Comment),
    /// A page of a list: its type, the items, and what else it says.
    Connection(&'static str, Vec<Thing>, Value),
    /// Fields that are plain values.
    Plain(&'static str, Value),
    /// What a mutation gives back: its type, the changed object by its field, and the caller's own id.
    Payload(&'static str, &'static str, Box<Thing>, Value),
}

/// The value of a field before the selections below it are applied.
pub(super) enum Out {
    Leaf(Value),
    One(Thing),
    Many(Vec<Out>),
    /// `null`, with an error of this type.
    Missing(&'static str, String),
    /// The same for a field that is never `null`: so the object around it is.
    Void(&'static str, String),
}

impl Thing {
    /// An issue, or the pull request that it is.
    pub(super) fn of(at: usize, issue: &Issue) -> Self {
        if issue.pull.is_some() { Self::Pull(at, issue.number) } else { Self::Issue(at, issue.number) }
    }

    /// GitHub's name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::User(login) if login.ends_with("[bot]") => "Bot",
            Self::User(_) => "User",
            Self::Repository(_) => "Repository",
            Self::Ref(..) => "Ref",
            Self::Commit(..) => "Commit",
            Self::Blame(..) => "Blame",
            Self::BlameRange(..) => "BlameRange",
            Self::Tree(_) => "Tree",
            Self::Issue(..) => "Issue",
            Self::Pull(..) => "PullRequest",
            Self::Comment(_) => "IssueComment",
            Self::Connection(name, ..) | Self::Plain(name, _) | Self::Payload(name, ..) => name,
        }
    }

    /// Whether a selection on this type or interface applies.
    pub(super) fn is_a(&self, on: &str) -> bool {
        on == self.type_name()
            || match self {
                Self::User(_) => matches!(on, "Node" | "Actor" | "RepositoryOwner"),
                Self::Repository(_) | Self::Ref(..) | Self::Issue(..) | Self::Pull(..) | Self::Comment(_) => {
                    on == "Node"
                }
                Self::Commit(..) | Self::Tree(_) => matches!(on, "Node" | "GitObject"),
                _ => false,
            }
    }
}

fn leaf(value: impl Into<Value>) -> Option<Out> {
    Some(Out::Leaf(value.into()))
}

fn one(thing: Thing) -> Option<Out> {
    Some(Out::One(thing))
}

fn time(at: Timestamp) -> Option<Out> {
    leaf(at.to_string())
}

/// The value of a field; `None` when the type has no such field.
pub(super) fn field(
    run: &Run<'_>,
    world: &World,
    thing: &Thing,
    name: &str,
    arguments: &Map<String, Value>,
) -> Result<Option<Out>, Refused> {
    Ok(match thing {
        Thing::Query => query(run, world, name, arguments),
        Thing::User(login) => match name {
            "login" => leaf(login.trim_end_matches("[bot]")),
            "id" => leaf(render::node("User", render::user_id(login))),
            "databaseId" => leaf(render::user_id(login)),
            "url" => leaf(format!("{}/{login}", run.call.base)),
            _ => None,
        },
        Thing::Repository(at) => repository(run, world, *at, name, arguments)?,
        Thing::Ref(at, branch, oid) => match name {
            "id" => leaf(STANDARD.encode(format!("Ref{}:{branch}", world.repos[*at].id))),
            "name" => leaf(branch.clone()),
            "prefix" => leaf("refs/heads/"),
            "target" => one(Thing::Commit(*at, oid.clone())),
            _ => None,
        },
        Thing::Tree(oid) => match name {
            "oid" => leaf(oid.clone()),
            "id" => leaf(format!("T_{oid}")),
            _ => None,
        },
        Thing::Commit(at, oid) => commit(world, *at, oid, name, arguments),
        Thing::Blame(at, ranges) => match name {
            "ranges" => {
                let range = |range: &bare::Range| Out::One(Thing::BlameRange(*at, range.clone()));
                Some(Out::Many(ranges.iter().map(range).collect()))
            }
            _ => None,
        },
        Thing::BlameRange(at, (first, last, commit)) => match name {
            "startingLine" => leaf(*first),
            "endingLine" => leaf(*last),
            "commit" => one(Thing::Commit(*at, commit.clone())),
            _ => None,
        },
        Thing::Issue(at, number) | Thing::Pull(at, number) => match world.repos[*at].issue(*number) {
            Some(issue) => issue_field(run, world, *at, issue, name, arguments)?,
            None => None,
        },
        Thing::Comment(comment) => match name {
            "id" => leaf(render::node("IssueComment", comment.id)),
            "databaseId" => leaf(comment.id),
            "body" => leaf(comment.body.clone()),
            "createdAt" => time(comment.created_at),
            "updatedAt" => time(comment.updated_at),
            "author" => one(Thing::User(comment.user.clone())),
            _ => None,
        },
        Thing::Connection(_, items, page) => match name {
            "nodes" => Some(Out::Many(items.iter().cloned().map(Out::One).collect())),
            "totalCount" => leaf(page["totalCount"].clone()),
            "pageInfo" => one(Thing::Plain("PageInfo", page["pageInfo"].clone())),
            _ => None,
        },
        Thing::Plain(_, fields) => fields.get(name).cloned().map(Out::Leaf),
        Thing::Payload(_, inner, thing, id) => match name {
            "clientMutationId" => leaf(id.clone()),
            _ if name == *inner => one((**thing).clone()),
            _ => None,
        },
    })
}

/// A field of a commit.
fn commit(world: &World, at: usize, oid: &str, name: &str, arguments: &Map<String, Value>) -> Option<Out> {
    match name {
        "statusCheckRollup" => match checks::rollup(&world.repos[at], oid) {
            Some(state) => one(Thing::Plain("StatusCheckRollup", json!({"state": state}))),
            None => leaf(Value::Null),
        },
        "oid" => leaf(oid.to_owned()),
        "abbreviatedOid" => leaf(oid[..7].to_owned()),
        "id" => leaf(format!("C_{oid}")),
        "authoredDate" => leaf(bare::author(&world.repos[at].git_dir, oid)[2].clone()),
        "author" => {
            let [name, email, date] = bare::author(&world.repos[at].git_dir, oid);
            one(Thing::Plain("GitActor", json!({"name": name, "email": email, "date": date})))
        }
        "blame" => {
            let path = arguments.get("path").and_then(Value::as_str).unwrap_or_default();
            match bare::blame(&world.repos[at].git_dir, oid, path) {
                Some(ranges) => one(Thing::Blame(at, ranges)),
                None => Some(Out::Void("NOT_FOUND", format!("Could not resolve file for path '{path}'."))),
            }
        }
        "tree" => one(Thing::Tree(bare::tree_of(&world.repos[at].git_dir, oid))),
        _ => None,
    }
}

fn query(run: &Run<'_>, world: &World, name: &str, arguments: &Map<String, Value>) -> Option<Out> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    match name {
        "viewer" => one(Thing::User(run.call.who().to_owned())),
        "repository" => Some(by_name(run, world, text("owner"), text("name"))),
        "node" => Some(by_id(run, world, text("id"))),
        "nodes" => {
            let ids = arguments.get("ids").and_then(Value::as_array).into_iter().flatten();
            Some(Out::Many(ids.map(|id| by_id(run, world, id.as_str().unwrap_or_default())).collect()))
        }
        "rateLimit" => {
            let (bucket, cost) = (run.bucket, run.cost);
            let reset = Timestamp(bucket.reset_seconds() * 1000).to_string();
            one(Thing::Plain(
                "RateLimit",
                json!({
                    "cost": cost.points(), "nodeCount": cost.nodes, "limit": bucket.limit, "used": bucket.used,
                    "remaining": bucket.remaining(), "resetAt": reset,
                }),
            ))
        }
        _ => None,
    }
}

fn by_name(run: &Run<'_>, world: &World, owner: &str, name: &str) -> Out {
    let at = match world.find(owner, name) {
        Found::Here(at) | Found::Moved(at) => Some(at),
        Found::Nowhere => None,
    };
    let missing =
        || Out::Missing("NOT_FOUND", format!("Could not resolve to a Repository with the name '{owner}/{name}'."));
    at.map_or_else(missing, |at| seen(run, world, at, Thing::Repository(at), missing))
}

/// An object of a repository, if the caller may see the repository.
fn seen(run: &Run<'_>, world: &World, at: usize, thing: Thing, missing: impl Fn() -> Out) -> Out {
    if run.call.permission(world, at) == Permission::None {
        return missing();
    }
    if world.repos[at].forbidden {
        return Out::Missing("FORBIDDEN", "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization.".to_owned());
    }
    Out::One(thing)
}

/// The kind of object and the number in a node id of this server.
pub(super) fn decode(id: &str) -> Option<(String, u64)> {
    let text = String::from_utf8(STANDARD.decode(id).ok()?).ok()?;
    let digits = text.find(|c: char| c.is_ascii_digit())?;
    Some((text[..digits].to_owned(), text[digits..].parse().ok()?))
}

/// The repository, issue or pull request with this node id, and the repository it is in.
pub(super) fn locate(world: &World, id: &str) -> Option<(usize, Thing)> {
    let (kind, number) = decode(id)?;
    let mut repos = world.repos.iter().enumerate();
    match kind.as_str() {
        "Repository" => repos.find(|(_, repo)| repo.id == number).map(|(at, _)| (at, Thing::Repository(at))),
        "Issue" | "PullRequest" => repos.find_map(|(at, repo)| {
            let issue = repo.issues.iter().find(|issue| issue.id == number)?;
            Some((at, Thing::of(at, issue)))
        }),
        _ => None,
    }
}

fn by_id(run: &Run<'_>, world: &World, id: &str) -> Out {
    let missing = || Out::Missing("NOT_FOUND", format!("Could not resolve to a node with the global id of '{id}'"));
    locate(world, id).map_or_else(missing, |(at, thing)| seen(run, world, at, thing, missing))
}

fn repository(
    run: &Run<'_>,
    world: &World,
    at: usize,
    name: &str,
    arguments: &Map<String, Value>,
) -> Result<Option<Out>, Refused> {
    let repo = &world.repos[at];
    let tip = |branch: &str| repo.branch(branch).map(|oid| Thing::Ref(at, branch.to_owned(), oid));
    let or_null = |thing: Option<Thing>| Some(thing.map_or(Out::Leaf(Value::Null), Out::One));
    Ok(match name {
        "id" => leaf(render::node("Repository", repo.id)),
        "databaseId" => leaf(repo.id),
        "name" => leaf(repo.name.clone()),
        "nameWithOwner" => leaf(repo.full_name()),
        "owner" => one(Thing::User(repo.owner.clone())),
        "url" => leaf(format!("{}/{}", run.call.base, repo.full_name())),
        "isArchived" => leaf(repo.archived),
        "isDisabled" => leaf(repo.blocked),
        "isLocked" => leaf(false),
        "isPrivate" => leaf(repo.private),
        "hasIssuesEnabled" => leaf(repo.has_issues),
        "createdAt" => time(repo.created_at),
        "pushedAt" => time(repo.pushed_at),
        "updatedAt" => time(repo.updated_at),
        "viewerPermission" => match world.permission(at, run.call.actor.as_deref()) {
            // An installation has permissions of its own and no role.
            _ if run.call.who().ends_with("[bot]") => leaf(Value::Null),
            permission => leaf(super::super::permission::role(permission).to_ascii_uppercase()),
        },
        "defaultBranchRef" => or_null(tip(&repo.default_branch)),
        "ref" => {
            let full = arguments.get("qualifiedName").and_then(Value::as_str).unwrap_or_default();
            or_null(tip(full.strip_prefix("refs/heads/").unwrap_or(full)))
        }
        "object" => {
            let oid = arguments.get("oid").and_then(Value::as_str).unwrap_or_default();
            let here = !bare::tree_of(&repo.git_dir, oid).is_empty();
            or_null(here.then(|| Thing::Commit(at, oid.to_owned())))
        }
        "issue" | "pullRequest" => {
            let number = arguments.get("number").and_then(Value::as_u64).unwrap_or(0);
            let found = repo.issue(number).filter(|issue| issue.pull.is_some() == (name == "pullRequest"));
            let kind = if name == "issue" { "an Issue" } else { "a PullRequest" };
            let missing =
                || Out::Missing("NOT_FOUND", format!("Could not resolve to {kind} with the number of {number}."));
            Some(found.map_or_else(missing, |issue| Out::One(Thing::of(at, issue))))
        }
        "issues" => Some(connection(run, world, at, "IssueConnection", arguments)?),
        "pullRequests" => Some(connection(run, world, at, "PullRequestConnection", arguments)?),
        _ => None,
    })
}

/// The page of issues or pull requests that was asked for.
fn connection(
    run: &Run<'_>,
    world: &World,
    at: usize,
    kind: &'static str,
    arguments: &Map<String, Value>,
) -> Result<Out, Refused> {
    let pulls = kind == "PullRequestConnection";
    let texts = |value: Option<&Value>| -> Option<Vec<String>> {
        let items = value?.as_array()?.iter().filter_map(Value::as_str);
        Some(items.map(str::to_owned).collect())
    };
    let (states, labels) = (texts(arguments.get("states")), texts(arguments.get("labels")));
    let since =
        arguments.get("filterBy").and_then(|filter| filter["since"].as_str()).and_then(Timestamp::parse_rfc3339);
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    let (head, base) = (text("headRefName"), text("baseRefName"));
    let mut found: Vec<&Issue> = world.repos[at].issues.iter().collect();
    found.retain(|issue| {
        issue.pull.is_some() == pulls
            && shown(issue.hidden_until, run.call.now)
            && states.as_ref().is_none_or(|states| states.iter().any(|want| want == state(issue)))
            && labels.as_ref().is_none_or(|labels| labels.iter().any(|want| issue.labels.contains(want)))
            && since.is_none_or(|since| issue.updated_at.0 / 1000 >= since.0 / 1000)
            && head.is_none_or(|head| issue.pull.as_ref().is_some_and(|pull| pull.head == head))
            && base.is_none_or(|base| issue.pull.as_ref().is_some_and(|pull| pull.base == base))
    });
    let order = arguments.get("orderBy").cloned().unwrap_or_default();
    match order["field"].as_str() {
        Some("UPDATED_AT") => found.sort_by_key(|issue| (issue.updated_at, issue.number)),
        Some("COMMENTS") => found.sort_by_key(|issue| (issue.comments.len(), issue.number)),
        _ => found.sort_by_key(|issue| (issue.created_at, issue.number)),
    }
    if order["direction"] == "DESC" {
        found.reverse();
    }
    let items = found.into_iter().map(|issue| Thing::of(at, issue)).collect();
    page(kind, items, arguments)
}

/// Cuts a list as `first` and `after`, or `last`, say.
fn page(kind: &'static str, items: Vec<Thing>, arguments: &Map<String, Value>) -> Result<Out, Refused> {
    let size = |name: &str| arguments.get(name).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let total = items.len();
    let after = arguments.get("after").and_then(Value::as_str).and_then(|cursor| STANDARD.decode(cursor).ok());
    let after = after.and_then(|text| String::from_utf8(text).ok()?.strip_prefix("cursor:")?.parse::<usize>().ok());
    let (start, end) = match (size("first"), size("last")) {
        (Some(first), None) => (after.unwrap_or(0).min(total), (after.unwrap_or(0) + first).min(total)),
        (None, Some(last)) => (total.saturating_sub(last), total),
        _ => {
            let text = format!("You must provide a `first` or `last` value to properly paginate the `{kind}`.");
            return Err(Refused::new(&text, json!({"type": "MISSING_PAGINATION_BOUNDARIES"})));
        }
    };
    let cursor = |at: usize| STANDARD.encode(format!("cursor:{at}"));
    let info = json!({
        "hasNextPage": end < total, "hasPreviousPage": start > 0,
        "startCursor": (end > start).then(|| cursor(start + 1)), "endCursor": (end > start).then(|| cursor(end)),
    });
    let items = items.into_iter().skip(start).take(end - start).collect();
    Ok(Out::One(Thing::Connection(kind, items, json!({"totalCount": total, "pageInfo": info}))))
}

/// GitHub's word for the state of an issue or pull request.
fn state(issue: &Issue) -> &'static str {
    match &issue.pull {
        Some(pull) if pull.merged_at.is_some() => "MERGED",
        _ if issue.open => "OPEN",
        _ => "CLOSED",
    }
}

fn issue_field(
    run: &Run<'_>,
    world: &World,
    at: usize,
    issue: &Issue,
    name: &str,
    arguments: &Map<String, Value>,
) -> Result<Option<Out>, Refused> {
    let optional = |at: Option<Timestamp>| leaf(at.map(|at| at.to_string()));
    if let Some(pull) = &issue.pull {
        match name {
            "headRefName" => return Ok(leaf(pull.head.clone())),
            "headRefOid" => return Ok(leaf(pull.head_sha.clone())),
            "baseRefName" => return Ok(leaf(pull.base.clone())),
            "baseRefOid" => return Ok(leaf(pull.base_sha.clone())),
            "isDraft" => return Ok(leaf(pull.draft)),
            "merged" => return Ok(leaf(pull.merged_at.is_some())),
            "mergedAt" => return Ok(optional(pull.merged_at)),
            _ => {}
        }
    }
    let kind = if issue.pull.is_some() { "PullRequest" } else { "Issue" };
    Ok(match name {
        "id" => leaf(render::node(kind, issue.id)),
        "databaseId" => leaf(issue.id),
        "number" => leaf(issue.number),
        "title" => leaf(issue.title.clone()),
        "body" => leaf(issue.body.clone().unwrap_or_default()),
        "state" => leaf(state(issue)),
        "locked" => leaf(issue.locked),
        "url" => leaf(format!("{}/{}/issues/{}", run.call.base, world.repos[at].full_name(), issue.number)),
        "createdAt" => time(issue.created_at),
        "updatedAt" => time(issue.updated_at),
        "closedAt" => optional(issue.closed_at),
        "author" => one(Thing::User(issue.user.clone())),
        "authorAssociation" => leaf(issue.association),
        "repository" => one(Thing::Repository(at)),
        "reactions" => one(Thing::Connection("ReactionConnection", Vec::new(), json!({"totalCount": issue.reactions}))),
        "labels" => {
            let items = issue.labels.iter().map(|name| Thing::Plain("Label", json!({"name": name}))).collect();
            Some(page("LabelConnection", items, arguments)?)
        }
        "comments" => {
            let shown = issue.comments.iter().filter(|comment| shown(comment.hidden_until, run.call.now));
            let items = shown.cloned().map(Thing::Comment).collect();
            Some(page("IssueCommentConnection", items, arguments)?)
        }
        _ => None,
    })
}
