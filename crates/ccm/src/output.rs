//! Printing: data on standard output, everything else on standard error.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Result;
use tracing_subscriber::EnvFilter;

/// One line of data. A reader that has gone away is no error.
pub fn line(text: &str) {
    let _ = writeln!(anstream::stdout(), "{}", plain(text));
}

/// A JSON document as data.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json(value: &impl serde::Serialize) -> Result<u8> {
    line(&escaped(&serde_json::to_string_pretty(value)?));
    Ok(crate::DONE)
}

/// A JSON document as one line of data.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json_line(value: &impl serde::Serialize) -> Result<()> {
    line(&escaped(&serde_json::to_string(value)?));
    Ok(())
}

/// A remark for people, on standard error.
pub fn remark(text: &str) {
    let _ = writeln!(anstream::stderr(), "{}", plain(text));
}

/// `text` without control characters: agents, code and issues have no say over the terminal of who reads about them.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !steers(*c)).collect()
}

/// JSON in which the characters that a terminal must not see are escaped, so that programs read them back; they stand in
/// strings only.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

/// Whether a character controls the terminal or turns the direction of text.
fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    turns || (c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Starts the log on standard error: warnings only, more with `-v`, or as `RUST_LOG` says.
pub fn logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug,hyper=info,sqlx=info,h2=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
}

/// A table for people; its width is the terminal's.
#[must_use]
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head).add_rows(rows);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        let text = "a\tb\n\u{1b}]52;c;aGk=\u{7}\u{1b}[2Jc\u{9b}31m\rd – é";
        assert_eq!(plain(text), "a\tb\n]52;c;aGk=[2Jc31md – é");
    }

    #[test]
    fn json_holds_what_others_wrote_and_shows_none_of_it_to_the_terminal() {
        let path = "a\u{7f}b\u{9b}31m\u{202e}c\u{1b}";
        let json = escaped(&serde_json::to_string(path).unwrap());
        assert_eq!(plain(&json), json);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), path);
    }
}
