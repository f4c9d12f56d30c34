//! News: what the code host says has happened, taken up.
//!
//! **Definition.** [`take_in`] acts on stored deliveries, [`recover`] asks for those that the code host could not bring,
//! [`sweep::everything`] has everything looked at now and then, for those that it never made.
//!
//! **Wanted properties.** A delivery only says where to look: it asks for reconcilers before their time and decides
//! nothing. Each is taken up once, however often it comes. A lost one costs time and nothing else: it is noticed after
//! five minutes where the code host lists it, and after an hour where it does not (R49).
//!
//! **Design.** Reconcilers. What a delivery asks for is asked for before it is marked as taken up. What concerns decisions
//! is looked at at once; whether checks, issues or alerts are other work now is asked for together, once a minute at most
//! ([`sweep::hinted`]): a hundred checks that end cost one question and one look.
//!
//! **Known races.** The process dies between the two: it is taken up again at the next start, which looks at everything
//! anyway. Harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backlog::delivery::{About, Delivery};
use backlog::names::RepoName;
use backlog::time::Timestamp;
use forge::ForgeError;

use crate::{Context, Hint, sweep};

/// How many deliveries are taken up at once.
const BATCH: usize = 500;
/// How often the list of deliveries is read (R49).
pub(crate) const RECOVER_EVERY: Duration = Duration::from_secs(300);
/// How far back the first reading goes: GitHub keeps its list for three days.
const FIRST_LOOK: Duration = Duration::from_secs(3 * 86_400);
/// How much of what was read before is read again: lists lag.
const OVERLAP: Duration = Duration::from_secs(900);

/// Reconciler: acts on deliveries that nobody has taken up.
///
/// # Errors
/// When the store fails; they are taken up later.
pub async fn take_in(ctx: &Arc<Context>) -> Result<()> {
    loop {
        let open = ctx.store.open_deliveries(BATCH).await?;
        if open.is_empty() {
            return Ok(());
        }
        let watched: BTreeSet<RepoName> =
            ctx.store.repositories().await?.into_iter().map(|repository| repository.name).collect();
        let mut seen: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for open in &open {
            let delivery = &open.delivery;
            let last = open.seen.max(seen.get(delivery.subject.as_str()).copied());
            let outcome = take_up(ctx, delivery, last, &watched).await;
            metrics::counter!("ccm_deliveries_total", "outcome" => outcome).increment(1);
            if let Some(at) = delivery.updated_at.max(last) {
                seen.insert(&delivery.subject, at);
            }
        }
        let ids: Vec<String> = open.iter().map(|open| open.delivery.id.clone()).collect();
        ctx.store.end_deliveries(&ids).await?;
    }
}

/// Asks for what a delivery calls for; gives the label of what became of it.
async fn take_up(
    ctx: &Context,
    delivery: &Delivery,
    seen: Option<Timestamp>,
    watched: &BTreeSet<RepoName>,
) -> &'static str {
    if delivery.is_older_than(seen) {
        return "old";
    }
    if let (Some(forge), Some(sender)) = (&ctx.forges.github, delivery.sender)
        && matches!(forge.is_us(sender).await, Ok(true))
    {
        return "own";
    }
    let sources = &ctx.settings().sources;
    match &delivery.about {
        About::Nothing => return "ignored",
        About::Repositories => ctx.nudges.ask_for_list(),
        About::Code(name) | About::Work(name) | About::Issues(name) | About::Checks(name) | About::Alerts(name)
            if !watched.contains(name) =>
        {
            return "ignored";
        }
        About::Code(name) => ctx.nudges.ask_for_code(name),
        About::Work(name) => ctx.nudges.ask(name),
        About::Issues(name) => {
            // A decision is read at once; whether it is other work now can wait a minute.
            ctx.nudges.ask(name);
            if sources.stale_issue.enabled || !sources.issue_label.labels.is_empty() {
                ctx.nudges.hint(name, Hint::Change);
            }
        }
        About::Checks(name) => {
            ctx.nudges.ask(name);
            if sources.ci.enabled {
                ctx.nudges.hint(name, Hint::Change);
            }
        }
        About::Alerts(name) if sources.security_alert.enabled => ctx.nudges.hint(name, Hint::Alert),
        About::Alerts(_) => return "ignored",
    }
    "used"
}

/// Reconciler: asks for the deliveries that the code host could not bring. Needs no way in from outside.
///
/// # Errors
/// When the store or the code host fails; the next time goes on from the same point.
pub async fn recover(ctx: &Arc<Context>) -> Result<()> {
    let Some(forge) = &ctx.forges.github else { return Ok(()) };
    let (space, key, now) = ("webhooks", "recovered", ctx.now());
    let since = match ctx.store.note(space, key, now).await?.and_then(|text| text.parse().ok()) {
        Some(at) => Timestamp(at),
        None => before(now, FIRST_LOOK),
    };
    let Some(undelivered) = forge.undelivered(before(since, OVERLAP)).await? else { return Ok(()) };
    for missed in &undelivered.missed {
        if ctx.store.knows_delivery(&missed.guid).await? {
            continue;
        }
        match forge.delivery(missed).await {
            Ok(delivery) => {
                ctx.store.put_deliveries(&[delivery], ctx.now(), true).await?;
                metrics::counter!("ccm_webhooks_total", "outcome" => "recovered").increment(1);
            }
            Err(ForgeError::NotFound(_) | ForgeError::Unexpected(_)) => {
                metrics::counter!("ccm_webhooks_total", "outcome" => "lost").increment(1);
                tracing::warn!(guid = missed.guid, "a delivery is lost; everything is looked at instead");
                sweep::everything(ctx).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !undelivered.complete {
        tracing::warn!("more deliveries failed than are read at once; everything is looked at instead");
        sweep::everything(ctx).await?;
    }
    ctx.store.put_note(space, key, &now.0.to_string(), None).await?;
    take_in(ctx).await
}

fn before(at: Timestamp, time: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}
