//! Reads the usage out of an answer that passes by.
//!
//! **Definition.** A [`Meter`] sees each piece of one answer and knows at any moment what the request has cost.
//!
//! **Wanted properties.** Every request that reached the model is charged, also when the agent hangs up, the answer
//! breaks off, or its usage cannot be read. Memory is bounded whatever the answer is.
//!
//! **Design.** A stream says its input at the start (`message_start`) and its output at the end (`message_delta`); in
//! between, output is guessed from the letters that went by, on the dear side. A whole answer says its usage once, so
//! it is kept until it is complete. The charge is settled when the meter is dropped; until something better is known it
//! is the `fallback`: the estimated input for a stream, input and the longest possible output for a whole answer.

use serde::Deserialize;

use crate::ledger::{Reservation, Spent};
use crate::price::Tokens;

/// A line of a stream, or a whole answer, beyond these sizes is not read (but passed on).
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
const MAX_WHOLE_BYTES: usize = 16 * 1024 * 1024;
/// Letters in one token, counted too low so that a cut answer is not charged too little.
const BYTES_PER_TOKEN: u64 = 3;

/// The account of one request's answer.
pub(crate) struct Meter {
    reservation: Reservation,
    reader: Reader,
    fallback: Tokens,
}

enum Reader {
    /// No answer yet, or one that cannot be read.
    Nothing,
    Stream(StreamReader),
    Whole(Vec<u8>),
}

impl Meter {
    /// A meter that charges `fallback` unless an answer says better.
    pub(crate) fn new(reservation: Reservation, fallback: Tokens) -> Self {
        Self { reservation, reader: Reader::Nothing, fallback }
    }

    /// The request certainly cost nothing: it never arrived, or the API refused it.
    pub(crate) fn forgive(&mut self) {
        self.fallback = Tokens::default();
    }

    /// The answer begins; `stream` tells its kind.
    pub(crate) fn begin(&mut self, stream: bool) {
        self.reader = if stream { Reader::Stream(StreamReader::default()) } else { Reader::Whole(Vec::new()) };
    }

    /// Reads one piece of the answer.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        match &mut self.reader {
            Reader::Nothing => {}
            Reader::Stream(stream) => {
                stream.feed(piece);
                if let Some(tokens) = stream.tokens() {
                    self.reservation.charge(tokens);
                }
            }
            Reader::Whole(whole) if whole.len() + piece.len() > MAX_WHOLE_BYTES => self.reader = Reader::Nothing,
            Reader::Whole(whole) => whole.extend_from_slice(piece),
        }
    }

    /// Why a stream should be cut: the budget is spent and the model is still writing.
    pub(crate) fn must_cut(&self) -> Option<Spent> {
        match &self.reader {
            Reader::Stream(stream) if !stream.finished => self.reservation.spent(),
            Reader::Stream(_) | Reader::Whole(_) | Reader::Nothing => None,
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let read = match &self.reader {
            Reader::Nothing => None,
            Reader::Stream(stream) => stream.tokens(),
            Reader::Whole(whole) => serde_json::from_slice::<Answer>(whole).ok().map(|answer| answer.usage.tokens()),
        };
        self.reservation.charge(read.unwrap_or(self.fallback));
    }
}

#[derive(Deserialize)]
struct Answer {
    usage: ReportedUsage,
}

/// Fields that an answer leaves out keep what an earlier event said.
#[derive(Deserialize, Default)]
struct ReportedUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    server_tool_use: Option<ServerToolUse>,
}

#[derive(Deserialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_1h_input_tokens: u64,
}

#[derive(Deserialize)]
struct ServerToolUse {
    #[serde(default)]
    web_search_requests: u64,
}

impl ReportedUsage {
    fn tokens(&self) -> Tokens {
        let mut tokens = Tokens::default();
        self.update(&mut tokens);
        tokens
    }

    fn update(&self, tokens: &mut Tokens) {
        let set = |known: &mut u64, said: Option<u64>| *known = said.unwrap_or(*known);
        set(&mut tokens.input, self.input_tokens);
        set(&mut tokens.output, self.output_tokens);
        set(&mut tokens.cache_read, self.cache_read_input_tokens);
        if let Some(written) = self.cache_creation_input_tokens {
            let hour = self.cache_creation.as_ref().map_or(tokens.cache_write_hour, |c| c.ephemeral_1h_input_tokens);
            tokens.cache_write_hour = hour.min(written);
            tokens.cache_write = written - tokens.cache_write_hour;
        }
        set(&mut tokens.searches, self.server_tool_use.as_ref().map(|used| used.web_search_requests));
    }
}

/// Reads server-sent events, one line at a time.
#[derive(Default)]
struct StreamReader {
    line: Vec<u8>,
    /// The present line is too long and is skipped to its end.
    skipping: bool,
    /// What the events said; `None` before the first usage.
    said: Option<Tokens>,
    written_bytes: u64,
    finished: bool,
}

#[derive(Deserialize)]
struct Event {
    message: Option<Answer>,
    usage: Option<ReportedUsage>,
    delta: Option<Delta>,
}

#[derive(Deserialize)]
struct Delta {
    text: Option<String>,
    thinking: Option<String>,
    partial_json: Option<String>,
}

impl StreamReader {
    fn feed(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > MAX_LINE_BYTES {
                self.skipping = true;
                self.line.clear();
            }
            if !self.skipping {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.skipping) {
                    self.read_line(&line);
                }
            }
        }
    }

    fn read_line(&mut self, line: &[u8]) {
        let Some(data) = line.strip_prefix(b"data:") else {
            return;
        };
        let Ok(Event { message, usage, delta }) = serde_json::from_slice(data) else {
            return;
        };
        if let Some(answer) = message {
            answer.usage.update(self.said.get_or_insert_default());
        }
        if let Some(usage) = usage {
            usage.update(self.said.get_or_insert_default());
            self.finished = true;
        }
        if let Some(Delta { text, thinking, partial_json }) = delta {
            let letters = [text, thinking, partial_json].iter().flatten().map(String::len).sum::<usize>();
            self.written_bytes = self.written_bytes.saturating_add(letters as u64);
        }
    }

    fn tokens(&self) -> Option<Tokens> {
        let mut tokens = self.said?;
        if !self.finished {
            tokens.output = tokens.output.max(self.written_bytes.div_ceil(BYTES_PER_TOKEN));
        }
        Some(tokens)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MAX_LINE_BYTES, MAX_WHOLE_BYTES, Meter, StreamReader};
    use crate::ledger::Ledger;
    use crate::price::{Tariff, Tokens};

    const START: &str = concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"usage":{"input_tokens":9,"cache_creation_input_tokens":8,"#,
        r#""cache_read_input_tokens":7,"cache_creation":{"ephemeral_1h_input_tokens":3},"output_tokens":1}}}"#,
        "\n\n"
    );
    const TEXT: &str = "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"0123456789\"}}\r\n\r\n";
    const END: &str =
        "data:{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null},\"usage\":{\"output_tokens\":42}}\n\n";

    fn read(stream: &str, piece: usize) -> StreamReader {
        let mut reader = StreamReader::default();
        stream.as_bytes().chunks(piece).for_each(|bytes| reader.feed(bytes));
        reader
    }

    #[test]
    fn a_stream_is_read_the_same_however_it_is_cut_into_pieces() {
        let whole = format!("{START}: comment\n\n{TEXT}{TEXT}{END}data: [DONE]\n");
        let expected = Tokens { input: 9, output: 42, cache_read: 7, cache_write: 5, cache_write_hour: 3, searches: 0 };
        for piece in [1, 2, 7, 100, 10_000] {
            assert_eq!(read(&whole, piece).tokens(), Some(expected), "{piece}");
        }
    }

    #[test]
    fn an_unfinished_stream_is_guessed_from_its_letters() {
        assert_eq!(read(TEXT, 50).tokens(), None);
        let reader = read(&format!("{START}{TEXT}{TEXT}{TEXT}"), 50);
        assert_eq!(reader.tokens().map(|tokens| (tokens.input, tokens.output)), Some((9, 10)));
        assert!(!reader.finished);
    }

    #[test]
    fn an_endless_line_is_skipped_and_needs_no_memory() {
        let mut reader = read(START, 1_000);
        for _ in 0..5 {
            reader.feed(&vec![b'x'; MAX_LINE_BYTES / 2]);
            assert!(reader.line.len() <= MAX_LINE_BYTES);
        }
        reader.feed(b"\n");
        reader.feed(END.as_bytes());
        assert_eq!(reader.tokens().map(|tokens| tokens.output), Some(42));
    }

    #[tokio::test]
    async fn an_answer_too_large_to_read_is_charged_as_reserved() {
        for (padding, output) in [(0, 7), (MAX_WHOLE_BYTES, 500)] {
            let ledger = Arc::new(Ledger::new(u64::MAX));
            let admitted = ledger.admit(Tariff::of("claude-opus-4-8", false, &[]), 0).await;
            let reservation = admitted.map_err(|_| "spent").unwrap();
            let mut meter = Meter::new(reservation, Tokens { output: 500, ..Tokens::default() });
            meter.begin(false);
            meter.feed(br#"{"usage": {"output_tokens": 7}}"#);
            meter.feed(&vec![b' '; padding]);
            drop(meter);
            assert_eq!(ledger.usage().output_tokens, output);
        }
    }
}
