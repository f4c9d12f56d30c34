//! Reading the files that sources want, and none of them twice.
//!
//! **Wanted properties.** After a commit only the files that it changed are read, each once for all sources. A content
//! that was read under another path, in a fork or before a force push is not even brought. What a reader kept is
//! forgotten when its settings, its engine or the repository's attributes change.
//!
//! **Design.** Two memories. What was kept of all files of a repository at the last look is one note for each source:
//! the difference of the two commits tells what of it still holds. What was kept of a content, by its id, is in the
//! store's readings, which all repositories share and whose oldest are forgotten. Either may be lost: then more is read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backlog::names::digest;
use git::{Blob, TreeFile};
use scan::Selection;
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::source::{Look, Reader, Source};

/// How many files are handed to the reading threads at once.
const BATCH: usize = 64;
/// Where it is kept what was kept at the last look.
const SPACE: &str = "kept";
/// How long that is kept where nothing changes.
const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);

/// What a source's reader kept of the files of a repository.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The commit.
    commit: String,
    /// What else it follows from.
    of: String,
    /// By path; of the other files nothing was kept.
    texts: BTreeMap<String, String>,
}

/// One source's reader at work.
struct Reading {
    /// The source's place.
    place: usize,
    name: String,
    reader: Arc<dyn Reader>,
    kept: Kept,
    /// The kept texts are those of `commit`: nothing is to be written.
    settled: bool,
    /// The files to be known, by what names the reader and its way of reading them.
    open: BTreeMap<String, Vec<usize>>,
}

/// Who wants to know a content: the reading, the name of the reader's way, and a path.
type Wish = (usize, String, String);

/// What the readers of `sources` keep of the files that they want, in the order of `sources`. `rules` is what the
/// `selection` followed from.
pub(super) async fn read(
    look: &Look<'_>,
    selection: &Selection,
    rules: &str,
    sources: &[&dyn Source],
) -> Result<Vec<BTreeMap<String, String>>> {
    let mut readings = Vec::new();
    for (place, source) in sources.iter().enumerate() {
        readings.extend(recall(look, selection, rules, place, *source).await?);
    }
    let wishes = known(look, &mut readings).await?;
    unknown(look, &mut readings, wishes).await?;
    let mut kept = vec![BTreeMap::new(); sources.len()];
    for reading in readings {
        if !reading.settled && look.content.has_trees() {
            let text = serde_json::to_string(&reading.kept)?;
            let until = Some(look.ctx.now().plus(KEPT_FOR));
            look.ctx.store.put_note(SPACE, &key(look, &reading.name), &text, until).await?;
        }
        kept[reading.place] = reading.kept.texts;
    }
    Ok(kept)
}

fn key(look: &Look<'_>, source: &str) -> String {
    format!("{} {source}", look.repository)
}

/// What is still known of the last look, and which files are not.
async fn recall(
    look: &Look<'_>,
    selection: &Selection,
    rules: &str,
    place: usize,
    source: &dyn Source,
) -> Result<Option<Reading>> {
    let settings = look.ctx.settings();
    let Some(reader) = source.reader(&settings.sources, selection)? else { return Ok(None) };
    let (name, signature) = (source.name().to_string(), source.signature(&settings.sources));
    let of = digest(&[&signature, rules]);
    let before = look.ctx.store.note(SPACE, &key(look, &name), look.ctx.now()).await?;
    let before: Option<Kept> = before.and_then(|text| serde_json::from_str(&text).ok());
    let before = before.filter(|before| before.of == of);
    let commit = look.content.commit.as_str();
    if let Some(kept) = before.as_ref().filter(|before| before.commit == commit) {
        let kept = Kept { texts: kept.texts.clone(), commit: commit.to_owned(), of };
        return Ok(Some(Reading { place, name, reader, kept, settled: true, open: BTreeMap::new() }));
    }
    let mut kept = Kept { commit: commit.to_owned(), of, texts: BTreeMap::new() };
    let changed = match &before {
        Some(before) => look.content.changed_since(&before.commit).await?,
        None => None,
    };
    // With what is known of the last look, only the changed files are looked at.
    let changed: Option<BTreeSet<String>> =
        changed.map(|changes| changes.into_iter().map(|change| change.path).collect());
    if let (Some(before), Some(changed)) = (before, &changed) {
        kept.texts = before.texts;
        kept.texts.retain(|path, _| !changed.contains(path));
    }
    let mut open: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, file) in look.content.files.iter().enumerate() {
        if changed.as_ref().is_none_or(|changed| changed.contains(&file.path))
            && let Some(class) = reader.wants(&file.path, file.size)
        {
            open.entry(digest(&[&name, &signature, &class])).or_default().push(index);
        }
    }
    Ok(Some(Reading { place, name, reader, kept, settled: false, open }))
}

/// Takes what was kept of the same contents before; gives back who wants which others.
async fn known(look: &Look<'_>, readings: &mut [Reading]) -> Result<BTreeMap<String, Vec<Wish>>> {
    let mut wishes: BTreeMap<String, Vec<Wish>> = BTreeMap::new();
    for (number, reading) in readings.iter_mut().enumerate() {
        for (way, files) in std::mem::take(&mut reading.open) {
            let files: Vec<&TreeFile> = files.into_iter().map(|index| &look.content.files[index]).collect();
            let oids: Vec<String> = files.iter().map(|file| file.oid.clone()).collect();
            let known: HashMap<_, _> = look.ctx.store.readings(&way, &oids).await?.into_iter().collect();
            for file in files {
                match known.get(&file.oid) {
                    Some(Some(text)) => drop(reading.kept.texts.insert(file.path.clone(), text.clone())),
                    Some(None) => {}
                    None => {
                        let wish = (number, way.clone(), file.path.clone());
                        wishes.entry(file.oid.clone()).or_default().push(wish);
                    }
                }
            }
        }
    }
    Ok(wishes)
}

/// Reads the contents that nobody has read before, and remembers what was kept of them.
async fn unknown(look: &Look<'_>, readings: &mut [Reading], wishes: BTreeMap<String, Vec<Wish>>) -> Result<()> {
    let (oids, wishes): (Vec<String>, Vec<Vec<Wish>>) = wishes.into_iter().unzip();
    look.content.bring(&oids).await?;
    let readers: Arc<Vec<Arc<dyn Reader>>> = Arc::new(readings.iter().map(|reading| reading.reader.clone()).collect());
    let (mut learnt, mut read) = (BTreeSet::new(), 0);
    for (oids, wishes) in oids.chunks(BATCH).zip(wishes.chunks(BATCH)) {
        let (bytes, too_large) = contents(look.content, oids).await?;
        read += bytes.len();
        for place in too_large {
            for (_, way, _) in &wishes[place] {
                learnt.insert(store::Reading { reader: way.clone(), blob: oids[place].clone(), text: None });
            }
        }
        let jobs: Vec<(Vec<u8>, String, Vec<Wish>)> =
            bytes.into_iter().map(|(place, bytes)| (bytes, oids[place].clone(), wishes[place].clone())).collect();
        let readers = readers.clone();
        for (blob, (number, reader, path), text) in look.ctx.on_cpu(move || read_batch(&jobs, &readers)).await? {
            if let Some(text) = &text {
                readings[number].kept.texts.insert(path, text.clone());
            }
            // Two files with one content are one reading.
            learnt.insert(store::Reading { reader, blob, text });
        }
    }
    metrics::counter!("ccm_files_read_total").increment(read as u64);
    if !learnt.is_empty() {
        let learnt: Vec<store::Reading> = learnt.into_iter().collect();
        look.ctx.store.put_readings(&learnt, look.ctx.now()).await?;
    }
    Ok(())
}

/// The contents of `oids` that are small enough, and the places of those that are not.
async fn contents(content: &Content, oids: &[String]) -> Result<(Vec<(usize, Vec<u8>)>, Vec<usize>)> {
    let (mut small, mut large) = (Vec::with_capacity(oids.len()), Vec::new());
    content
        .read(oids, scan::MAX_FILE_BYTES, |place, blob| match blob {
            Blob::Content(bytes) => small.push((place, bytes)),
            Blob::TooLarge(_) => large.push(place),
            Blob::Missing => {}
        })
        .await?;
    Ok((small, large))
}

fn read_batch(
    jobs: &[(Vec<u8>, String, Vec<Wish>)],
    readers: &[Arc<dyn Reader>],
) -> Vec<(String, Wish, Option<String>)> {
    use rayon::prelude::*;
    jobs.par_iter()
        .flat_map_iter(|(bytes, oid, wishes)| {
            let mut ways: BTreeMap<(usize, &str), Option<String>> = BTreeMap::new();
            wishes
                .iter()
                .map(|wish| {
                    let (number, way, path) = wish;
                    let text = ways.entry((*number, way)).or_insert_with(|| {
                        let reader = &readers[*number];
                        reader.wants(path, bytes.len() as u64).and_then(|_| reader.read(path, bytes))
                    });
                    (oid.clone(), wish.clone(), text.clone())
                })
                .collect::<Vec<_>>()
        })
        .collect()
}
