//! From comments to findings: the identity that survives moved lines, new indentation and renamed files.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use backlog::finding::{Finding, Fingerprint, Source};
use backlog::names::{CommitId, RepoName};

use crate::todo::{Todo, shorten};

/// The comments of one file that ask for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTodos {
    /// The path from the repository's root, with `/`.
    pub path: String,
    /// What [`crate::Selection::todos`] found in it.
    pub todos: Vec<Todo>,
}

/// Findings for all comments of a repository, by path and line, whatever the order of `files`.
///
/// The n-th of several equal comments gets the ordinal n, so pass all files of the repository at once: a part of them
/// would number equal comments differently.
#[must_use]
pub fn findings(repository: &RepoName, commit: Option<&CommitId>, files: Vec<FileTodos>) -> Vec<Finding> {
    let mut todos: Vec<(String, Todo)> =
        files.into_iter().flat_map(|file| file.todos.into_iter().map(move |todo| (file.path.clone(), todo))).collect();
    todos.sort_by(|(path, todo), (other_path, other)| (path, todo.order()).cmp(&(other_path, other.order())));
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    todos
        .into_iter()
        .map(|(path, todo)| {
            let folded = fold(todo.identity());
            let ordinal = seen.entry((todo.kind.clone(), folded.clone())).or_insert(0);
            let fingerprint = Fingerprint::of(&Source::Todo, &todo.kind, &folded, *ordinal);
            *ordinal += 1;
            finding(repository, commit, path, todo, fingerprint)
        })
        .collect()
}

fn finding(
    repository: &RepoName,
    commit: Option<&CommitId>,
    path: String,
    todo: Todo,
    fingerprint: Fingerprint,
) -> Finding {
    // Comments of one function are one piece of work.
    let group = todo.function.map(|first_line| format!("{path}:{first_line}"));
    let title = if todo.is_bare() { todo.title } else { shorten(&format!("{}: {}", todo.kind, todo.title)) };
    Finding {
        fingerprint,
        source: Source::Todo,
        kind: todo.kind,
        repository: repository.clone(),
        commit: commit.cloned(),
        path,
        line: todo.line,
        end_line: todo.end_line,
        title,
        text: todo.text,
        author: None,
        written_on: None,
        owner: todo.owner,
        issue: todo.issue,
        due: todo.due,
        url: String::new(),
        interest: 0,
        group,
    }
}

/// As [`Fingerprint::of`] folds: white space collapsed, lower case.
fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
