//! Reads a process's output line by line, with a bound on each line.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::mpsc;

/// The longest line that is kept, in bytes; the rest of a longer one is dropped before anybody parses it.
pub(crate) const LINE_LIMIT: usize = 4 * 1024 * 1024;

/// After so many dropped bytes the reader reports, so that an endless line does not go unnoticed.
const REPORT_AFTER: u64 = 1024 * 1024;

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Something read from a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A line without its end, of which `dropped` bytes are missing.
    Line { stream: Stream, text: String, dropped: u64 },
    /// So many bytes of a line that is too long were dropped by now; its line is still to come.
    Dropping(u64),
}

/// Reads until the end, or until nobody listens.
pub(super) async fn read(pipe: impl AsyncRead + Unpin, stream: Stream, sender: mpsc::Sender<Output>) {
    let mut reader = BufReader::with_capacity(64 * 1024, pipe);
    let (mut line, mut dropped, mut reported) = (Vec::new(), 0_u64, 0_u64);
    loop {
        let (used, ended) = match reader.fill_buf().await {
            Ok(chunk) if !chunk.is_empty() => {
                let end = chunk.iter().position(|&byte| byte == b'\n');
                let part = &chunk[..end.unwrap_or(chunk.len())];
                let kept = part.len().min(LINE_LIMIT - line.len());
                line.extend_from_slice(&part[..kept]);
                dropped += (part.len() - kept) as u64;
                (part.len() + usize::from(end.is_some()), end.is_some())
            }
            // A pipe that cannot be read is at its end.
            Ok(_) | Err(_) => break,
        };
        reader.consume(used);
        let message = if ended {
            reported = 0;
            finished(&mut line, stream, &mut dropped)
        } else if dropped >= reported + REPORT_AFTER {
            let more = dropped - reported;
            reported = dropped;
            Output::Dropping(more)
        } else {
            continue;
        };
        if sender.send(message).await.is_err() {
            return;
        }
    }
    if !line.is_empty() {
        // Nobody to tell is no failure: the session is over.
        let _ = sender.send(finished(&mut line, stream, &mut dropped)).await;
    }
}

fn finished(line: &mut Vec<u8>, stream: Stream, dropped: &mut u64) -> Output {
    let bytes = std::mem::take(line);
    let text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Output::Line { stream, text, dropped: std::mem::take(dropped) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(bytes: &[u8]) -> Vec<Output> {
        let (sender, mut receiver) = mpsc::channel(1);
        let reading = read(bytes, Stream::Stdout, sender);
        let collecting = async {
            let mut all = Vec::new();
            while let Some(output) = receiver.recv().await {
                all.push(output);
            }
            all
        };
        tokio::join!(reading, collecting).1
    }

    fn line(text: &str, dropped: u64) -> Output {
        Output::Line { stream: Stream::Stdout, text: text.into(), dropped }
    }

    #[tokio::test]
    async fn lines_come_whole_and_the_last_one_needs_no_end() {
        assert_eq!(lines_of(b"a\n\nb\xff\nc").await, [line("a", 0), line("", 0), line("b\u{fffd}", 0), line("c", 0)]);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_cut_and_reported_while_it_grows() {
        let mut bytes = vec![b'x'; LINE_LIMIT + 3 * 1024 * 1024];
        bytes.extend_from_slice(b"\nafter\n");
        let outputs = lines_of(&bytes).await;
        let reports = outputs.iter().filter(|output| matches!(output, Output::Dropping(_))).count();
        assert!(reports >= 2, "{reports}");
        assert_eq!(outputs[outputs.len() - 2], line(&"x".repeat(LINE_LIMIT), 3 * 1024 * 1024));
        assert_eq!(outputs[outputs.len() - 1], line("after", 0));
    }
}
