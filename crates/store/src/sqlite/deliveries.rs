//! Deliveries: stored once, taken up once, forgotten after a while.

use backlog::delivery::Delivery;
use backlog::time::Timestamp;
use sqlx::{SqliteConnection, SqlitePool};

use super::failure::{Failure, decode, encode, rows};
use crate::{DELIVERY_DAYS, DeliveryCounts, MAX_ROWS, OpenDelivery};

/// Inserts those that are not known; says of each whether it was new.
pub(super) async fn put(
    db: &mut SqliteConnection,
    deliveries: &[Delivery],
    at: Timestamp,
    recovered: bool,
) -> Result<Vec<bool>, Failure> {
    let mut new = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let inserted = sqlx::query(
            "INSERT INTO deliveries (id, at, recovered, subject, updated_at, data) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&delivery.id)
        .bind(at.0)
        .bind(i64::from(recovered))
        .bind(&delivery.subject)
        .bind(delivery.updated_at.map(|at| at.0))
        .bind(encode(delivery))
        .execute(&mut *db)
        .await?;
        new.push(inserted.rows_affected() == 1);
    }
    Ok(new)
}

/// Those that nobody took up, oldest first, each with the last change of its thing that was.
pub(super) async fn open(db: &SqlitePool, limit: usize) -> Result<Vec<OpenDelivery>, Failure> {
    let found: Vec<(String, Option<i64>)> = sqlx::query_as(
        "SELECT data, (SELECT MAX(seen.updated_at) FROM deliveries AS seen
             WHERE seen.subject = deliveries.subject AND seen.done = 1)
         FROM deliveries WHERE done = 0 ORDER BY at, id LIMIT $1",
    )
    .bind(rows(limit, MAX_ROWS))
    .fetch_all(db)
    .await?;
    let read = |(data, seen): (String, Option<i64>)| {
        Ok(OpenDelivery { delivery: decode("delivery", &data)?, seen: seen.map(Timestamp) })
    };
    found.into_iter().map(read).collect()
}

/// Marks deliveries as taken up.
pub(super) async fn end(db: &mut SqliteConnection, ids: &[String]) -> Result<(), Failure> {
    for id in ids {
        sqlx::query("UPDATE deliveries SET done = 1 WHERE id = $1").bind(id).execute(&mut *db).await?;
    }
    Ok(())
}

/// Whether a delivery is known.
pub(super) async fn is_known(db: &SqlitePool, id: &str) -> Result<bool, Failure> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM deliveries WHERE id = $1").bind(id).fetch_optional(db).await?;
    Ok(found.is_some())
}

/// How many are kept, by kind.
pub(super) async fn counts(db: &SqlitePool) -> Result<DeliveryCounts, Failure> {
    let (received, recovered, open, last): (i64, i64, i64, Option<i64>) = sqlx::query_as(
        "SELECT COUNT(*), COALESCE(SUM(recovered), 0), COALESCE(SUM(done = 0), 0), MAX(at) FROM deliveries",
    )
    .fetch_one(db)
    .await?;
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    Ok(DeliveryCounts {
        received: count(received - recovered),
        recovered: count(recovered),
        open: count(open),
        last: last.map(Timestamp),
    })
}

/// Forgets what was taken up and is older than [`DELIVERY_DAYS`], and the oldest above `most`.
pub(super) async fn tidy(db: &mut SqliteConnection, now: Timestamp, most: usize) -> Result<(), Failure> {
    let keep_after = now.0.saturating_sub(DELIVERY_DAYS * 86_400_000);
    sqlx::query("DELETE FROM deliveries WHERE done = 1 AND at < $1").bind(keep_after).execute(&mut *db).await?;
    sqlx::query(
        "DELETE FROM deliveries WHERE done = 1 AND at < (SELECT at FROM deliveries WHERE done = 1
         ORDER BY at DESC LIMIT 1 OFFSET $1 - 1)",
    )
    .bind(rows(most, most))
    .execute(&mut *db)
    .await?;
    Ok(())
}
