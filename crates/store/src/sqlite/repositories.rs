//! Watched repositories.

use backlog::names::RepoName;
use sqlx::SqlitePool;

use super::failure::{Failure, decode, encode, rows};
use super::open::unsynced;
use crate::{MAX_ROWS, Repository};

pub(super) async fn list(db: &SqlitePool) -> Result<Vec<Repository>, Failure> {
    let found: Vec<String> = sqlx::query_scalar("SELECT data FROM repositories ORDER BY name LIMIT $1")
        .bind(rows(0, MAX_ROWS))
        .fetch_all(db)
        .await?;
    found.iter().map(|data| decode("repository", data)).collect()
}

pub(super) async fn get(db: &SqlitePool, name: &RepoName) -> Result<Option<Repository>, Failure> {
    let found: Option<String> = sqlx::query_scalar("SELECT data FROM repositories WHERE name = $1")
        .bind(name.as_str())
        .fetch_optional(db)
        .await?;
    found.map(|data| decode("repository", &data)).transpose()
}

pub(super) async fn put(writer: &SqlitePool, repository: &Repository) -> Result<(), Failure> {
    sqlx::query("INSERT INTO repositories (name, data) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET data = $2")
        .bind(repository.name.as_str())
        .bind(encode(repository))
        .execute(&mut *unsynced(writer).await?)
        .await?;
    Ok(())
}

pub(super) async fn remove(writer: &SqlitePool, name: &RepoName) -> Result<(), Failure> {
    sqlx::query("DELETE FROM repositories WHERE name = $1").bind(name.as_str()).execute(writer).await?;
    Ok(())
}
