//! `POST /graphql`: the part of GitHub's GraphQL that reads many repositories at once, and two mutations.
//!
//! **Definition.** A document is parsed by a GraphQL parser; what its fields mean is in `objects`, what mutations do in
//! `mutations`. Types, fields and arguments are a part of GitHub's own schema, in its words: a test against GitHub's
//! published schema (`counterparts`) sees to it.
//!
//! **Wanted properties.** A field that GitHub has not, or that is not modelled here, refuses the whole document, as
//! GitHub does. A repository that cannot be found or seen costs its alias only: `null`, and an error with its path. The
//! cost of a document follows GitHub's published formula and is taken from the caller's own bucket, `graphql`.
//!
//! **Known differences.** No introspection, no directives, no subscriptions; arguments that a field does not know are
//! not refused here, only by the schema.

mod mutations;
mod objects;

use std::sync::Arc;
use std::time::Duration;

use async_graphql_parser::types::{ExecutableDocument, Field, OperationType, Selection, SelectionSet};
use async_graphql_parser::{Pos, parse_query};
use serde_json::{Map, Value, json};

use super::call::{Answer, Call, Reply};
use super::hub::Hub;
use super::limits::Bucket;
use super::referee::Kind;
use super::world::World;
use objects::{Out, Thing};

/// The largest `first` or `last`.
const LARGEST_PAGE: u64 = 100;
/// After how long GitHub gives a document up.
pub(super) const GIVING_UP: Duration = Duration::from_secs(10);
/// How many nodes one document may ask for.
const MOST_NODES: u64 = 500_000;

/// Fields with their response key, their place, and everything selected below them.
type Chosen<'a> = Vec<(&'a str, &'a Field, Pos, Vec<&'a SelectionSet>)>;

/// A document that GitHub refuses as a whole: its errors.
#[derive(Debug)]
pub(super) struct Refused(Value);

impl Refused {
    fn new(message: &str, extra: Value) -> Self {
        let mut error = json!({"message": message});
        super::render::merge_into(&mut error, extra);
        Self(json!({"errors": [error]}))
    }

    fn field(name: &str, of: &str, at: Pos) -> Self {
        let extra = json!({
            "extensions": {"code": "undefinedField", "typeName": of, "fieldName": name},
            "locations": [{"line": at.line, "column": at.column}],
        });
        Self::new(&format!("Field '{name}' doesn't exist on type '{of}'"), extra)
    }
}

/// A document, read.
pub(super) struct Ask {
    document: ExecutableDocument,
    root: SelectionSet,
    variables: Map<String, Value>,
    mutation: bool,
}

impl Ask {
    /// Reads the JSON body of a request.
    fn read(body: &Value) -> Result<Self, Refused> {
        let text =
            body["query"].as_str().ok_or_else(|| Refused::new("A query attribute must be specified", json!({})))?;
        let document = parse_query(text).map_err(|error| Refused::new(&format!("Parse error: {error}"), json!({})))?;
        let name = body["operationName"].as_str();
        let mut operations = document.operations.iter();
        let found = operations.find(|(have, _)| name.is_none_or(|name| have.is_some_and(|have| have.as_str() == name)));
        let (_, operation) = found.ok_or_else(|| Refused::new("No operation named so", json!({})))?;
        let mut variables = Map::new();
        for definition in &operation.node.variable_definitions {
            let definition = &definition.node;
            let key = definition.name.node.as_str();
            let given = body["variables"].get(key).cloned();
            let usual = || definition.default_value().and_then(|value| value.clone().into_json().ok());
            let value = given.or_else(usual).ok_or_else(|| {
                Refused::new(
                    &format!("Variable ${key} of type {} was provided invalid value", definition.var_type),
                    json!({}),
                )
            })?;
            variables.insert(key.to_owned(), value);
        }
        let mutation = operation.node.ty == OperationType::Mutation;
        let root = operation.node.selection_set.node.clone();
        Ok(Self { root, variables, mutation, document })
    }

    /// The names of the fields at the top.
    fn root_fields(&self) -> Vec<&str> {
        let fields = self.root.items.iter().filter_map(|item| match &item.node {
            Selection::Field(field) => Some(field.node.name.node.as_str()),
            _ => None,
        });
        fields.collect()
    }

    fn arguments(&self, field: &Field) -> Result<Map<String, Value>, Refused> {
        let mut found = Map::new();
        for (name, value) in &field.arguments {
            let value = value.node.clone().into_const_with(|variable| {
                let value = self.variables.get(variable.as_str()).cloned();
                let value = value.ok_or_else(|| {
                    Refused::new(&format!("Variable ${variable} is used but not declared"), json!({}))
                })?;
                serde_json::from_value(value).map_err(|_| Refused::new("a variable has no value", json!({})))
            })?;
            found.insert(name.node.to_string(), value.into_json().unwrap_or(Value::Null));
        }
        Ok(found)
    }

    /// The fields of some selections on an object of a type, each with the selections below it, in their order.
    fn fields<'a>(&'a self, sets: &[&'a SelectionSet], fits: &dyn Fn(&str) -> bool) -> Result<Chosen<'a>, Refused> {
        let mut found = Chosen::new();
        for set in sets {
            self.collect(set, fits, &mut found)?;
        }
        Ok(found)
    }

    fn collect<'a>(
        &'a self,
        set: &'a SelectionSet,
        fits: &dyn Fn(&str) -> bool,
        into: &mut Chosen<'a>,
    ) -> Result<(), Refused> {
        for item in &set.items {
            if !item.node.directives().is_empty() {
                return Err(Refused::new("directives are not known here", json!({})));
            }
            match &item.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.as_str();
                    let below = &field.node.selection_set.node;
                    match into.iter_mut().find(|(have, ..)| *have == key) {
                        Some((_, _, _, sets)) => sets.push(below),
                        None => into.push((key, &field.node, field.pos, vec![below])),
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let fragment = self.document.fragments.get(name);
                    let fragment = &fragment.ok_or_else(|| Refused::new("No such fragment", json!({})))?.node;
                    if fits(fragment.type_condition.node.on.node.as_str()) {
                        self.collect(&fragment.selection_set.node, fits, into)?;
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                    if on.is_none_or(fits) {
                        self.collect(&fragment.node.selection_set.node, fits, into)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a document costs: requests for connections as GitHub counts them, and nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    requests: u64,
    nodes: u64,
}

impl Cost {
    /// The points that are taken from the bucket.
    fn points(self) -> u64 {
        ((self.requests + 50) / 100).max(1)
    }
}

/// Every connection is asked once per node of the connections around it, up to the size they were given.
fn cost(ask: &Ask, sets: &[&SelectionSet], times: u64, sum: &mut Cost) -> Result<(), Refused> {
    for (_, field, _, below) in ask.fields(sets, &|_| true)? {
        let arguments = ask.arguments(field)?;
        let size = ["first", "last"].iter().find_map(|name| arguments.get(*name)?.as_u64());
        let many = match (size, arguments.get("ids").and_then(Value::as_array)) {
            (Some(size), _) => {
                if !(1..=LARGEST_PAGE).contains(&size) {
                    let name = &field.name.node;
                    let text = format!(
                        "Requesting {size} records on the `{name}` connection exceeds the `first` limit of {LARGEST_PAGE} records."
                    );
                    return Err(Refused::new(&text, json!({"type": "EXCESSIVE_PAGINATION"})));
                }
                sum.requests += times;
                sum.nodes += times * size;
                size
            }
            (None, Some(ids)) => ids.len() as u64,
            (None, None) => 1,
        };
        cost(ask, &below, times * many, sum)?;
    }
    Ok(())
}

/// What a request to `/graphql` is to the limits.
pub(super) fn kind(body: &[u8]) -> Kind {
    let ask = serde_json::from_slice(body).ok().and_then(|body| Ask::read(&body).ok());
    match ask {
        Some(ask) if ask.mutation && ask.root_fields().iter().any(|name| mutations::is_content(name)) => {
            Kind::ContentMutation
        }
        Some(ask) if ask.mutation => Kind::Mutation,
        _ => Kind::Query,
    }
}

/// What is wrong with a document by itself: several mutations, or a merge that does not say which head it means.
pub(super) fn careless(body: &[u8]) -> Option<String> {
    let ask = Ask::read(&serde_json::from_slice(body).ok()?).ok()?;
    let fields = ask.fields(&[&ask.root], &|_| true).ok().filter(|_| ask.mutation)?;
    if fields.len() > 1 {
        return Some(format!("one document had {} mutations", fields.len()));
    }
    let (_, field, ..) = fields.first()?;
    let input = ask.arguments(field).ok()?.remove("input").unwrap_or_default();
    let merge = field.name.node.as_str() == "mergePullRequest" && input["expectedHeadOid"].is_null();
    merge.then(|| "a merge did not say which head it means".to_owned())
}

/// The answer when the caller's points are used up.
pub(super) fn rate_limited(who: &str) -> Value {
    json!({"errors": [{"type": "RATE_LIMITED", "message": format!("API rate limit exceeded for user {who}.")}]})
}

/// The answer to a mutation that came too fast.
pub(super) fn too_quickly(body: &[u8]) -> Value {
    let body = serde_json::from_slice(body).unwrap_or_default();
    let name = Ask::read(&body).ok().and_then(|ask| Some((*ask.root_fields().first()?).to_owned())).unwrap_or_default();
    let error = trouble("UNPROCESSABLE", &[json!(name)], Pos::default(), "was submitted too quickly");
    json!({"data": {name: null}, "errors": [error]})
}

/// Takes everything after the first `kept` fields at the top out of an answer, as if the document had used up what
/// GitHub gives to one.
pub(super) fn cut(body: &[u8], answer: &mut Value, kept: usize) {
    let body = serde_json::from_slice(body).unwrap_or_default();
    let Ok(ask) = Ask::read(&body) else { return };
    let Ok(fields) = ask.fields(&[&ask.root], &|_| true) else { return };
    for (key, _, at, _) in fields.into_iter().skip(kept) {
        answer["data"][key] = Value::Null;
        let error = trouble("RESOURCE_LIMITS_EXCEEDED", &[json!(key)], at, "Resource limits for this query exceeded.");
        match answer["errors"].as_array_mut() {
            Some(errors) => errors.push(error),
            None => answer["errors"] = json!([error]),
        }
    }
}

/// One execution of a document.
struct Run<'a> {
    ask: &'a Ask,
    call: &'a Call,
    cost: Cost,
    bucket: Bucket,
    errors: Vec<Value>,
}

impl Run<'_> {
    /// The selected fields of an object.
    fn select(
        &mut self,
        world: &World,
        thing: &Thing,
        sets: &[&SelectionSet],
        path: &mut Vec<Value>,
    ) -> Result<Value, Refused> {
        let mut object = Map::new();
        for (key, field, at, below) in self.ask.fields(sets, &|on| thing.is_a(on))? {
            let name = field.name.node.as_str();
            let out = if name == "__typename" {
                Out::Leaf(json!(thing.type_name()))
            } else {
                let arguments = self.ask.arguments(field)?;
                let found = objects::field(self, world, thing, name, &arguments)?;
                found.ok_or_else(|| Refused::field(name, thing.type_name(), at))?
            };
            path.push(json!(key));
            if let Out::Void(kind, message) = &out {
                self.errors.push(trouble(kind, path, at, message));
                path.pop();
                return Ok(Value::Null);
            }
            let value = self.complete(world, out, &below, path, at)?;
            path.pop();
            object.insert(key.to_owned(), value);
        }
        Ok(Value::Object(object))
    }

    fn complete(
        &mut self,
        world: &World,
        out: Out,
        below: &[&SelectionSet],
        path: &mut Vec<Value>,
        at: Pos,
    ) -> Result<Value, Refused> {
        match out {
            Out::Leaf(value) => Ok(value),
            Out::One(thing) => self.select(world, &thing, below, path),
            Out::Many(items) => {
                let mut list = Vec::new();
                for (index, item) in items.into_iter().enumerate() {
                    path.push(json!(index));
                    list.push(self.complete(world, item, below, path, at)?);
                    path.pop();
                }
                Ok(Value::Array(list))
            }
            Out::Missing(kind, message) | Out::Void(kind, message) => {
                self.errors.push(trouble(kind, path, at, &message));
                Ok(Value::Null)
            }
        }
    }
}

fn trouble(kind: &str, path: &[Value], at: Pos, message: &str) -> Value {
    json!({"type": kind, "path": path, "locations": [{"line": at.line, "column": at.column}], "message": message})
}

/// `POST /graphql`
pub(super) async fn post(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    if call.actor.is_none() {
        return Err(Answer::error(401, "This endpoint requires you to be authenticated."));
    }
    if let Some(answer) = timed_out(&call, &hub) {
        return Err(answer);
    }
    Ok(Answer::ok(execute(&call, &hub).await.unwrap_or_else(|refused| refused.0)))
}

/// A document with more at its top than the server can do in its ten seconds; GitHub takes points for it all the same.
fn timed_out(call: &Call, hub: &Hub) -> Option<Answer> {
    let ask = Ask::read(&call.body).ok()?;
    if ask.root.items.len() <= hub.world().most_aliases {
        return None;
    }
    let mut price = Cost::default();
    cost(&ask, &[&ask.root], 1, &mut price).ok()?;
    let _empty = hub.limits().charge(&call.account, "graphql", 2 * price.points(), call.now);
    Some(Answer::error(502, "Server Error"))
}

async fn execute(call: &Call, hub: &Hub) -> Result<Value, Refused> {
    let ask = Ask::read(&call.body)?;
    let mut price = Cost::default();
    cost(&ask, &[&ask.root], 1, &mut price)?;
    if price.nodes > MOST_NODES {
        let text = format!(
            "This query requests up to {} possible nodes which exceeds the maximum limit of 500,000.",
            price.nodes
        );
        return Err(Refused::new(&text, json!({"type": "MAX_NODE_LIMIT_EXCEEDED"})));
    }
    let charged = hub.limits().charge(&call.account, "graphql", price.points(), call.now);
    if charged.is_err() {
        return Err(Refused(rate_limited(call.who())));
    }
    let bucket = hub.limits().look(&call.account, "graphql", call.now);
    if ask.mutation {
        return mutations::execute(call, hub, &ask, price, bucket).await;
    }
    if call.body["query"].as_str().is_some_and(|document| document.contains("blame(")) {
        hub.world().blames += 1;
    }
    let mut run = Run { ask: &ask, call, cost: price, bucket, errors: Vec::new() };
    let data = run.select(&hub.world(), &Thing::Query, &[&ask.root], &mut Vec::new())?;
    Ok(run.envelope(data))
}

impl Run<'_> {
    fn envelope(self, data: Value) -> Value {
        if self.errors.is_empty() { json!({"data": data}) } else { json!({"data": data, "errors": self.errors}) }
    }
}
