//! Reading many blobs through one process, with bounded memory.

use std::ops::ControlFlow;

use crate::error::GitError;
use crate::mirror::Mirror;

/// What is behind an object id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blob {
    /// The content.
    Content(Vec<u8>),
    /// Larger than asked for; this many bytes.
    TooLarge(u64),
    /// No blob of this id is here.
    Missing,
}

impl Mirror {
    /// Reads the blobs named by `oids` and hands each to `each` with its place in `oids`: first those that are missing
    /// or larger than `max_bytes`, then the contents, both in the order of `oids`. One blob is in memory at a time.
    /// `each` runs on the event loop: it should only keep or pass on what it gets.
    pub async fn read_blobs(
        &self,
        oids: &[String],
        max_bytes: u64,
        mut each: impl FnMut(usize, Blob) + Send,
    ) -> Result<(), GitError> {
        let mut named = Vec::with_capacity(oids.len());
        for (place, oid) in oids.iter().enumerate() {
            if is_oid(oid) {
                named.push(place);
            } else {
                each(place, Blob::Missing);
            }
        }
        let wanted = self.small_blobs(oids, &named, max_bytes, &mut each).await?;
        if wanted.is_empty() {
            return Ok(());
        }
        let mut reader = Batch::default();
        let mut places = wanted.iter();
        let call = self.call(["cat-file", "--batch", "--buffer"]).stdin(lines(oids, &wanted)).bulk();
        let ended = call
            .drive(&mut |chunk| {
                reader.take(chunk, &mut |blob| {
                    if let Some(place) = places.next() {
                        each(*place, blob.map_or(Blob::Missing, Blob::Content));
                    }
                });
                ControlFlow::Continue(())
            })
            .await?;
        match (ended.code, places.next()) {
            (Some(0), None) => Ok(()),
            (Some(0), Some(_)) => Err(ended.garbled("fewer blobs than asked for")),
            _ => Err(ended.into_error()),
        }
    }

    /// Those of `oids` that are no objects here, each once.
    pub(crate) async fn missing(&self, oids: &[String]) -> Result<Vec<String>, GitError> {
        let mut missing = std::collections::BTreeSet::new();
        let places: Vec<usize> = (0..oids.len()).filter(|place| is_oid(&oids[*place])).collect();
        self.small_blobs(oids, &places, u64::MAX, &mut |place, blob| {
            if blob == Blob::Missing {
                missing.insert(oids[place].clone());
            }
        })
        .await?;
        Ok(missing.into_iter().collect())
    }

    /// The places of those blobs that are here and small enough; tells `each` about the others.
    async fn small_blobs(
        &self,
        oids: &[String],
        places: &[usize],
        max_bytes: u64,
        each: &mut (impl FnMut(usize, Blob) + Send),
    ) -> Result<Vec<usize>, GitError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut small = Vec::new();
        let mut line = Vec::new();
        let mut rest = places.iter();
        let call = self.call(["cat-file", "--batch-check", "--buffer"]).stdin(lines(oids, places)).bulk();
        let ended = call
            .drive(&mut |chunk| {
                for byte in chunk {
                    if *byte != b'\n' {
                        line.push(*byte);
                        continue;
                    }
                    if let Some(place) = rest.next() {
                        match header(&line) {
                            Some(("blob", size)) if size <= max_bytes => small.push(*place),
                            Some(("blob", size)) => each(*place, Blob::TooLarge(size)),
                            _ => each(*place, Blob::Missing),
                        }
                    }
                    line.clear();
                }
                ControlFlow::Continue(())
            })
            .await?;
        match (ended.code, rest.next()) {
            (Some(0), None) => Ok(small),
            (Some(0), Some(_)) => Err(ended.garbled("fewer sizes than asked for")),
            _ => Err(ended.into_error()),
        }
    }
}

/// Anything else could be read as a revision, or as several lines.
fn is_oid(oid: &str) -> bool {
    oid.bytes().all(|b| b.is_ascii_hexdigit()) && matches!(oid.len(), 40 | 64)
}

fn lines(oids: &[String], places: &[usize]) -> Vec<u8> {
    places.iter().flat_map(|place| [oids[*place].as_bytes(), b"\n"]).flatten().copied().collect()
}

/// Reads `<oid> SP <type> SP <size>`; `None` for `<oid> SP missing`.
fn header(line: &[u8]) -> Option<(&str, u64)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = text.split(' ').skip(1);
    Some((fields.next()?, fields.next()?.parse().ok()?))
}

/// Takes the output of `cat-file --batch` apart as it comes: a header line, the content, a line end.
#[derive(Default)]
struct Batch {
    line: Vec<u8>,
    content: Option<(Vec<u8>, usize)>,
}

impl Batch {
    fn take(&mut self, mut chunk: &[u8], found: &mut dyn FnMut(Option<Vec<u8>>)) {
        while !chunk.is_empty() {
            if let Some((content, missing)) = &mut self.content {
                let part = chunk.len().min(*missing);
                content.extend_from_slice(&chunk[..part]);
                *missing -= part;
                chunk = &chunk[part..];
                if *missing > 0 {
                    return;
                }
                let whole = self.content.take().map(|(mut content, _)| {
                    content.pop(); // the line end after the content
                    content
                });
                found(whole);
            } else if let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
                self.line.extend_from_slice(&chunk[..end]);
                chunk = &chunk[end + 1..];
                match header(&self.line).and_then(|(_, size)| usize::try_from(size).ok()) {
                    Some(size) => self.content = Some((Vec::with_capacity(size + 1), size + 1)),
                    None => found(None),
                }
                self.line.clear();
            } else {
                self.line.extend_from_slice(chunk);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_come_whole_however_the_output_is_cut() {
        let output = b"aa blob 3\nx\ny\nbb missing\ncc blob 0\n\ndd blob 1\nz\n";
        for size in 1..=output.len() {
            let mut batch = Batch::default();
            let mut found = Vec::new();
            for chunk in output.chunks(size) {
                batch.take(chunk, &mut |blob| found.push(blob));
            }
            let want = [Some(b"x\ny".to_vec()), None, Some(Vec::new()), Some(b"z".to_vec())];
            assert_eq!(found, want, "chunks of {size}");
        }
    }
}
