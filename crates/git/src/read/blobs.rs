//! Reading many blobs, with bounded memory.

use std::collections::BTreeSet;

use crate::error::GitError;
use crate::mirror::Mirror;
use crate::objects::is_name;

/// Bytes of contents that are read before they are handed over.
const HANDFUL: usize = 4 << 20;

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
    /// Reads the blobs named by `oids` and hands each to `each` with its place in `oids`, in their order. A few MiB and one
    /// blob are in memory at a time. `each` runs on the event loop: it should only keep or pass on what it gets.
    /// Error: [`GitError::Damaged`].
    pub async fn read_blobs(
        &self,
        oids: &[String],
        max_bytes: u64,
        mut each: impl FnMut(usize, Blob) + Send,
    ) -> Result<(), GitError> {
        let mut rest: Vec<String> = oids.to_vec();
        let mut place = 0;
        while !rest.is_empty() {
            let (read, left) = self
                .with_objects(move |objects| {
                    let (mut read, mut bytes) = (Vec::new(), 0);
                    for oid in &rest {
                        let blob = objects.blob(oid, max_bytes)?;
                        bytes += if let Blob::Content(content) = &blob { content.len() } else { 0 };
                        read.push(blob);
                        if bytes >= HANDFUL {
                            break;
                        }
                    }
                    Ok((read, rest))
                })
                .await?;
            rest = left;
            rest.drain(..read.len());
            for blob in read {
                each(place, blob);
                place += 1;
            }
        }
        Ok(())
    }

    /// Those of `oids` that are no blobs here, each once.
    pub(crate) async fn missing(&self, oids: &[String]) -> Result<Vec<String>, GitError> {
        let oids = oids.to_vec();
        self.with_objects(move |objects| {
            let objects = objects.without_refresh();
            let mut missing = BTreeSet::new();
            for oid in oids {
                if is_name(&oid) && objects.size(&oid)?.is_none() {
                    missing.insert(oid);
                }
            }
            Ok(missing.into_iter().collect())
        })
        .await
    }
}
