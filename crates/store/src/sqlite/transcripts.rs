//! Transcripts of runs.

use backlog::names::RunId;
use backlog::time::Timestamp;
use sqlx::{SqliteConnection, SqlitePool};

use super::failure::{Failure, count, integer, rows};
use crate::{MAX_ROWS, TRANSCRIPT_BYTES, TranscriptLine};

/// Appends `lines` as long as they fit; says whether anything was written.
///
/// Each row carries the bytes up to and with it. The notice that says the transcript was cut carries more than the
/// bound, by which a full transcript is known.
pub(super) async fn append(
    db: &mut SqliteConnection,
    run: &RunId,
    at: Timestamp,
    lines: &[String],
) -> Result<bool, Failure> {
    let last: Option<(i64, i64)> =
        sqlx::query_as("SELECT seq, bytes FROM transcripts WHERE run = $1 ORDER BY seq DESC LIMIT 1")
            .bind(run.as_str())
            .fetch_optional(&mut *db)
            .await?;
    let (mut seq, mut bytes) = last.map_or((0, 0), |(seq, bytes)| (seq, count(bytes)));
    let mut written = false;
    for line in lines {
        if bytes > TRANSCRIPT_BYTES {
            break;
        }
        // One more for the line's end, so that empty lines have a bound, too.
        let with_line = bytes + line.len() as u64 + 1;
        let fits = with_line <= TRANSCRIPT_BYTES;
        bytes = if fits { with_line } else { TRANSCRIPT_BYTES + 1 };
        seq += 1;
        sqlx::query("INSERT INTO transcripts (run, seq, at, bytes, line) VALUES ($1, $2, $3, $4, $5)")
            .bind(run.as_str())
            .bind(seq)
            .bind(at.0)
            .bind(integer(bytes))
            .bind(if fits { line.clone() } else { notice() })
            .execute(&mut *db)
            .await?;
        written = true;
    }
    Ok(written)
}

fn notice() -> String {
    let text = format!(
        "The transcript was cut here: at most {} MiB are kept of one run. The run itself went on.",
        TRANSCRIPT_BYTES / 1024 / 1024
    );
    serde_json::json!({ "type": "notice", "text": text }).to_string()
}

pub(super) async fn list(
    db: &SqlitePool,
    run: &RunId,
    after: u64,
    limit: usize,
) -> Result<Vec<TranscriptLine>, Failure> {
    let found: Vec<(i64, i64, String)> =
        sqlx::query_as("SELECT seq, at, line FROM transcripts WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3")
            .bind(run.as_str())
            .bind(integer(after))
            .bind(rows(limit, MAX_ROWS))
            .fetch_all(db)
            .await?;
    let line = |(seq, at, line)| TranscriptLine { seq: count(seq), at: Timestamp(at), line };
    Ok(found.into_iter().map(line).collect())
}
