//! The part of SARIF's form that is read. Everything else is skipped, of any form.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{MAX_RESULTS, MAX_RUNS};

/// The most rules of one component, and the most files of one run.
const MAX_LISTED: usize = 20_000;
/// The most entries of a small list or table: suppressions, arguments, bases, message texts.
const MAX_SMALL: usize = 50;

/// A list of which the first `N` items are kept.
#[derive(Debug)]
pub(super) struct Bounded<T, const N: usize> {
    pub(super) items: Vec<T>,
    /// How many there were beyond those.
    pub(super) more: usize,
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Items<T, N> {
            type Value = Bounded<T, N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut bounded = Bounded { items: Vec::new(), more: 0 };
                while bounded.items.len() < N {
                    let Some(item) = list.next_element()? else { return Ok(bounded) };
                    bounded.items.push(item);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    bounded.more += 1;
                }
                Ok(bounded)
            }
        }
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// A table of which the first [`MAX_SMALL`] entries are kept.
#[derive(Debug)]
pub(super) struct Table<T>(BTreeMap<String, T>);

impl<T> Table<T> {
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Table<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut kept = BTreeMap::new();
                while kept.len() < MAX_SMALL {
                    let Some((name, value)) = map.next_entry()? else { return Ok(Table(kept)) };
                    kept.insert(name, value);
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Table(kept))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// A text; anything else in its place counts as none.
#[derive(Debug)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Other(IgnoredAny),
        }
        Ok(Self(match Any::deserialize(deserializer)? {
            Any::Text(text) => text,
            Any::Other(_) => String::new(),
        }))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Document {
    pub(super) version: String,
    pub(super) runs: Option<Bounded<Run, MAX_RUNS>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) tool: Tool,
    pub(super) results: Option<Bounded<Stated, MAX_RESULTS>>,
    pub(super) artifacts: Option<Bounded<Artifact, MAX_LISTED>>,
    pub(super) original_uri_base_ids: Option<Table<Address>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tool {
    pub(super) driver: Component,
    pub(super) extensions: Option<Bounded<Component, MAX_SMALL>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) rules: Option<Bounded<Rule, MAX_LISTED>>,
    pub(super) global_message_strings: Option<Table<Wording>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) id: Option<String>,
    pub(super) default_configuration: Option<Configuration>,
    pub(super) message_strings: Option<Table<Wording>>,
    pub(super) short_description: Option<Wording>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Configuration {
    pub(super) level: Option<String>,
}

/// A message, or one of the texts that messages are made of.
#[derive(Debug, Deserialize)]
pub(super) struct Wording {
    pub(super) text: Option<String>,
    pub(super) id: Option<String>,
    pub(super) arguments: Option<Bounded<String, MAX_SMALL>>,
}

/// A result as it stands in the document.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stated {
    pub(super) rule_id: Option<String>,
    /// -1 stands for none.
    pub(super) rule_index: Option<i64>,
    pub(super) rule: Option<RuleReference>,
    pub(super) kind: Option<String>,
    pub(super) level: Option<String>,
    pub(super) message: Option<Wording>,
    pub(super) locations: Option<Bounded<Location, 1>>,
    pub(super) fingerprints: Option<Table<Text>>,
    pub(super) partial_fingerprints: Option<Table<Text>>,
    pub(super) suppressions: Option<Bounded<Suppression, MAX_SMALL>>,
    pub(super) baseline_state: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuleReference {
    pub(super) id: Option<String>,
    pub(super) index: Option<i64>,
    pub(super) tool_component: Option<ComponentReference>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ComponentReference {
    pub(super) index: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Suppression {
    pub(super) status: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Location {
    pub(super) physical_location: Option<PhysicalLocation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PhysicalLocation {
    pub(super) artifact_location: Option<Address>,
    pub(super) region: Option<Region>,
}

/// Where a file is: an address, perhaps below a base, or the number of a file in the run's list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Address {
    pub(super) uri: Option<String>,
    pub(super) uri_base_id: Option<String>,
    /// -1 stands for none.
    pub(super) index: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Artifact {
    pub(super) location: Option<Address>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Region {
    pub(super) start_line: Option<i64>,
    pub(super) end_line: Option<i64>,
}
