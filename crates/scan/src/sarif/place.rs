//! Where a result is: a path inside the repository, made of addresses and their bases (§3.4, §3.14.14).

use percent_encoding::percent_decode_str;

use super::document::{Address, Run, Stated};

/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 1_000;
/// How many bases may lie on each other.
const MAX_BASES: usize = 5;

/// Where a result is.
pub(super) enum Place {
    /// In this file, on these lines; lines are 0 when it is about no line.
    Inside(String, u32, u32),
    /// In no file.
    Nowhere,
    /// In a file that is none of the repository.
    Outside,
}

/// What the addresses of a run refer to.
pub(super) struct Places<'a> {
    run: &'a Run,
    /// Absolute folders that are the repository.
    roots: Vec<String>,
}

impl<'a> Places<'a> {
    pub(super) fn of(run: &'a Run, root: Option<&str>) -> Self {
        let bases = || run.original_uri_base_ids.iter().flat_map(|bases| bases.values());
        let roots = match root {
            Some(root) => vec![root.to_owned()],
            None => bases().filter_map(|base| absolute(base.uri.as_deref()?)).collect(),
        };
        Self { run, roots }
    }

    pub(super) fn of_result(&self, stated: &Stated) -> Place {
        let location = stated.locations.as_ref().and_then(|locations| locations.items.first());
        let Some(physical) = location.and_then(|location| location.physical_location.as_ref()) else {
            return Place::Nowhere;
        };
        let Some(address) = physical.artifact_location.as_ref().and_then(|address| self.listed(address)) else {
            return Place::Nowhere;
        };
        let Some(path) = self.path(address) else { return Place::Outside };
        let number = |line: Option<i64>| line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
        let line = number(physical.region.as_ref().and_then(|region| region.start_line));
        let end = number(physical.region.as_ref().and_then(|region| region.end_line));
        Place::Inside(path, line, if line == 0 { 0 } else { end.max(line) })
    }

    /// The address itself, or that of the file it refers to by number.
    fn listed(&self, address: &'a Address) -> Option<&'a Address> {
        if address.uri.is_some() {
            return Some(address);
        }
        let files = &self.run.artifacts.as_ref()?.items;
        files.get(usize::try_from(address.index?).ok()?)?.location.as_ref().filter(|listed| listed.uri.is_some())
    }

    /// The path in the repository that an address means.
    fn path(&self, address: &Address) -> Option<String> {
        let mut uri = address.uri.clone()?;
        let mut base = address.uri_base_id.as_deref();
        // A base that the document does not describe is the repository's root, as `%SRCROOT%` is.
        for _ in 0..MAX_BASES {
            let Some(id) = base.filter(|_| absolute(&uri).is_none()) else { break };
            let below = self.run.original_uri_base_ids.as_ref().and_then(|bases| bases.get(id));
            if let Some(folder) = below.and_then(|below| below.uri.as_deref()) {
                uri = format!("{}/{}", folder.trim_end_matches('/'), uri.trim_start_matches("./"));
            }
            if uri.len() > 3 * MAX_PATH_BYTES {
                return None;
            }
            base = below.and_then(|below| below.uri_base_id.as_deref());
        }
        let relative = match absolute(&uri) {
            Some(path) => self.roots.iter().find_map(|root| {
                let below = path.strip_prefix(root.trim_end_matches('/'))?.strip_prefix('/')?;
                Some(below.to_owned())
            })?,
            None => decoded(&uri)?,
        };
        inside(&relative)
    }
}

/// The path of an address with a scheme or with a slash in front; schemes other than `file` have none of use.
fn absolute(uri: &str) -> Option<String> {
    let has_scheme = uri.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    let path = match uri.get(..5).filter(|start| start.eq_ignore_ascii_case("file:")) {
        Some(_) => {
            let rest = &uri[5..];
            // `file://host/path`, `file:///path`, `file:/path`
            match rest.strip_prefix("//") {
                Some(after) => after.find('/').map_or("", |at| &after[at..]),
                None => rest,
            }
        }
        None if has_scheme => "",
        None if uri.starts_with(['/', '\\']) => uri,
        None => return None,
    };
    // What cannot be read is absolute too, and in no root.
    Some(decoded(path).unwrap_or_default())
}

/// Without a query or a fragment, and with `%20` as a space.
fn decoded(uri: &str) -> Option<String> {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    percent_decode_str(path).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A path of plain names. One step up, a root, a drive, a control character: it is none.
fn inside(path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
    let (parts, is_absolute) = match parts.split_first() {
        Some((&"", rest)) if !rest.is_empty() => (rest.to_vec(), true),
        _ => (parts, false),
    };
    let names: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let drive = names.first().is_some_and(|name| name.len() == 2 && name.ends_with(':'));
    let bad = is_absolute || drive || names.contains(&"..") || path.chars().any(char::is_control);
    let path = names.join("/");
    (!bad && !path.is_empty() && path.len() <= MAX_PATH_BYTES).then_some(path)
}
