//! Prints where the comments of files are, for comparing with another lexer: reads paths from standard input, one a
//! line, and writes one JSON object a line. See `docs/scanning.md`.

use std::io::BufRead as _;

use scan::{Language, comments};

fn main() -> std::io::Result<()> {
    for path in std::io::stdin().lock().lines() {
        let path = path?;
        let bytes = std::fs::read(&path)?;
        let Some(language) = Language::of(&path, &bytes) else { continue };
        let spans: Vec<_> =
            comments(language, &bytes, false).iter().map(|comment| (comment.start, comment.end)).collect();
        println!("{}", serde_json::json!({ "path": path, "language": language.name, "comments": spans }));
    }
    Ok(())
}
