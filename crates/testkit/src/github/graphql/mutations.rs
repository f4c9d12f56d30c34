//! Mutations: opening an issue, merging a pull request.

use serde_json::{Value, json};

use super::super::call::{Answer, Call, Payload};
use super::super::hub::Hub;
use super::super::issues::{self, check_texts};
use super::super::limits::Bucket;
use super::super::permission::Permission;
use super::super::pulls::{self, Order};
use super::objects::{Thing, locate};
use super::{Ask, Cost, Refused, Run, trouble};

/// Whether a mutation makes something that people are notified of.
pub(super) fn is_content(name: &str) -> bool {
    matches!(name, "createIssue" | "mergePullRequest")
}

/// The changed object with the type and the field of the payload, or an error's type and text.
type Done = Result<(&'static str, &'static str, Thing), (&'static str, String)>;

/// Executes the mutations of a document one after another, as GitHub does.
pub(super) async fn execute(call: &Call, hub: &Hub, ask: &Ask, cost: Cost, bucket: Bucket) -> Result<Value, Refused> {
    let mut data = serde_json::Map::new();
    let mut run = Run { ask, call, cost, bucket, errors: Vec::new() };
    for (key, field, at, below) in ask.fields(&[&ask.root], &|on| on == "Mutation")? {
        let input = ask.arguments(field)?.remove("input").unwrap_or_default();
        let name = field.name.node.as_str();
        let done = match name {
            "createIssue" => create_issue(call, hub, &input),
            "mergePullRequest" => merge(call, hub, &input).await,
            _ => return Err(Refused::field(name, "Mutation", at)),
        };
        let value = match done {
            Ok((kind, inner, thing)) => {
                let payload = Thing::Payload(kind, inner, Box::new(thing), input["clientMutationId"].clone());
                run.select(&hub.world(), &payload, &below, &mut vec![json!(key)])?
            }
            Err((kind, text)) => {
                run.errors.push(trouble(kind, &[json!(key)], at, &text));
                Value::Null
            }
        };
        data.insert(key.to_owned(), value);
    }
    Ok(run.envelope(Value::Object(data)))
}

fn text<'a>(input: &'a Value, name: &str) -> Option<&'a str> {
    input[name].as_str()
}

/// What REST would have said, in GraphQL's words.
fn refusal(answer: &Answer) -> (&'static str, String) {
    let kind = match answer.status {
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        _ => "UNPROCESSABLE",
    };
    let message = match &answer.payload {
        Payload::Json(body) => body["errors"][0]["message"].as_str().or(body["message"].as_str()),
        _ => None,
    };
    (kind, message.unwrap_or("Something went wrong while executing your query.").to_owned())
}

fn located(
    call: &Call,
    hub: &Hub,
    id: &str,
    least: Permission,
    needed: &str,
) -> Result<(usize, Thing), (&'static str, String)> {
    let world = hub.world();
    let missing = || ("NOT_FOUND", format!("Could not resolve to a node with the global id of '{id}'"));
    let (at, thing) = locate(&world, id).ok_or_else(missing)?;
    let repo = &world.repos[at];
    call.named(&world, &repo.owner, &repo.name).map_err(|_| missing())?;
    call.may_change(&world, at, least, needed).map_err(|answer| refusal(&answer))?;
    Ok((at, thing))
}

fn create_issue(call: &Call, hub: &Hub, input: &Value) -> Done {
    let id = text(input, "repositoryId").unwrap_or_default();
    let (at, _) = located(call, hub, id, Permission::Read, "issues=write")?;
    let title = text(input, "title").unwrap_or_default();
    check_texts("Issue", Some(title), text(input, "body")).map_err(|answer| refusal(&answer))?;
    let mut world = hub.world();
    let mut issue = issues::open(&world, at, call.who(), title, text(input, "body"), call.now);
    issue.hidden_until = call.now.plus(call.hide);
    let number = issue.number;
    world.repos[at].issues.push(issue);
    Ok(("CreateIssuePayload", "issue", Thing::Issue(at, number)))
}

async fn merge(call: &Call, hub: &Hub, input: &Value) -> Done {
    let id = text(input, "pullRequestId").unwrap_or_default();
    let (at, thing) = located(call, hub, id, Permission::Write, "contents=write")?;
    let Thing::Pull(_, number) = thing else {
        return Err(("NOT_FOUND", format!("Could not resolve to a PullRequest with the id of '{id}'")));
    };
    let method = text(input, "mergeMethod").unwrap_or("MERGE").to_ascii_lowercase();
    let order = Order {
        expected: text(input, "expectedHeadOid"),
        method: &method,
        title: text(input, "commitHeadline"),
        message: text(input, "commitBody"),
        by: call.who(),
        now: call.now,
    };
    pulls::carry_out(hub, at, number, order).await.map_err(|answer| refusal(&answer))?;
    Ok(("MergePullRequestPayload", "pullRequest", Thing::Pull(at, number)))
}
