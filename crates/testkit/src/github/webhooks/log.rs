//! The list of deliveries, `/app/hook/deliveries`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::call::{Answer, Call, Reply};
use super::super::hub::Hub;
use super::{Delivery, Parcel, send};

/// How long GitHub keeps them.
const KEPT: Duration = Duration::from_secs(3 * 86_400);

/// One line of the list.
fn line(delivery: &Delivery) -> Value {
    let status = match delivery.status {
        0 => "failed to connect to host".to_owned(),
        200..=299 => "OK".to_owned(),
        status => format!("Invalid HTTP Response: {status}"),
    };
    json!({
        "id": delivery.id, "guid": delivery.guid, "delivered_at": delivery.at.to_string(),
        "redelivery": delivery.redelivery, "duration": 0.1, "status": status, "status_code": delivery.status,
        "event": delivery.event, "action": delivery.action, "installation_id": delivery.body["installation"]["id"],
        "repository_id": delivery.repository, "throttled_at": null,
    })
}

/// The caller's deliveries that are still kept, newest first.
fn kept(call: &Call, hub: &Hub) -> Vec<Delivery> {
    let of_app = |delivery: &&Delivery| {
        let webhooks = hub.webhooks();
        webhooks.hooks.iter().any(|hook| hook.id == delivery.hook)
    };
    let all = hub.webhooks().log.clone();
    all.iter().rev().filter(|delivery| call.now.since(delivery.at) < KEPT).filter(of_app).cloned().collect()
}

/// `GET /app/hook/deliveries`
pub(crate) async fn list(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let mut found = kept(&call, &hub);
    match call.query("status") {
        Some("success") => found.retain(|delivery| (200..300).contains(&delivery.status)),
        // As documented: codes from 400; what made no connection has none.
        Some("failure") => found.retain(|delivery| (400..600).contains(&delivery.status)),
        _ => {}
    }
    let number = |name: &str| call.query(name).and_then(|value| value.parse::<u64>().ok());
    let size = usize::try_from(number("per_page").unwrap_or(30).clamp(1, 100)).unwrap_or(30);
    // The cursor names the last line of the page before.
    let from = number("cursor").and_then(|last| found.iter().position(|delivery| delivery.id == last));
    let rest: Vec<_> = found.into_iter().skip(from.map_or(0, |at| at + 1)).collect();
    let page = &rest[..rest.len().min(size)];
    let answer = Answer::ok(page.iter().map(line).collect());
    match page.last().filter(|_| rest.len() > size) {
        None => Ok(answer),
        Some(last) => {
            let status = call.query("status").map_or(String::new(), |status| format!("&status={status}"));
            let next = format!("{}/app/hook/deliveries?per_page={size}&cursor={}{status}", call.base, last.id);
            Ok(answer.with("link", format!("<{next}>; rel=\"next\"")))
        }
    }
}

/// `GET /app/hook/deliveries/{delivery_id}`
pub(crate) async fn get(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let delivery = one(&call, &hub)?;
    let mut object = line(&delivery);
    object["url"] = json!("https://hooks.example.org/webhooks/github");
    object["request"] = json!({
        "headers": {"X-GitHub-Delivery": delivery.guid, "X-GitHub-Event": delivery.event, "Content-Type": "application/json"},
        "payload": delivery.body,
    });
    object["response"] = json!({"headers": {}, "payload": ""});
    Ok(Answer::ok(object))
}

/// `POST /app/hook/deliveries/{delivery_id}/attempts`
pub(crate) async fn attempt(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let mut delivery = one(&call, &hub)?;
    delivery.redelivery = true;
    delivery.id = hub.world().id();
    send(&hub, Parcel { due: call.now, mishap: None, delivery }).await;
    Ok(Answer::json(202, json!({})))
}

fn one(call: &Call, hub: &Hub) -> Result<Delivery, Answer> {
    let id = call.number("delivery_id")?;
    kept(call, hub).into_iter().find(|delivery| delivery.id == id).ok_or_else(Answer::not_found)
}
