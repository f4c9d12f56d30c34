//! TOML with offsets, nested no deeper than people nest.

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, Source, Span};

use super::UnreadableManifest;

/// The most parts of a key, and the most brackets around a value: in `a.b.c = [{ d.e = 1 }]` three and two. TOML's own
/// parser bounds the brackets only, and a tree of keys like `a.a.a.…` is too deep to be given up again.
const MAX_DEPTH: u32 = 16;

/// A value with its place.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// The tree of a document.
pub(super) fn parse(text: &str) -> Result<DeTable<'_>, UnreadableManifest> {
    let mut depth = Depth::default();
    parse_document(&Source::new(text).lex().into_vec(), &mut depth, &mut ());
    if depth.too_deep {
        return Err(UnreadableManifest::TooDeep);
    }
    match DeTable::parse(text) {
        Ok(table) => Ok(table.into_inner()),
        Err(error) => Err(UnreadableManifest::Toml(error.message().to_owned())),
    }
}

/// The table at `path`, if there is one.
pub(super) fn table<'t, 'a>(root: &'t DeTable<'a>, path: &[&str]) -> Option<&'t DeTable<'a>> {
    path.iter().try_fold(root, |table, key| table.get(*key)?.get_ref().as_table())
}

/// The text at `key`.
pub(super) fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    table.get(key)?.get_ref().as_str()
}

/// The tables in `table`, whatever they are called.
pub(super) fn tables<'t, 'a>(table: Option<&'t DeTable<'a>>) -> impl Iterator<Item = &'t DeTable<'a>> {
    table.into_iter().flat_map(|table| table.values().filter_map(|value| value.get_ref().as_table()))
}

/// Looks how deep a document nests, without making anything of it.
#[derive(Default)]
struct Depth {
    brackets: u32,
    dots: u32,
    too_deep: bool,
}

impl Depth {
    fn open(&mut self) -> bool {
        self.brackets += 1;
        self.dots = 0;
        self.too_deep |= self.brackets > MAX_DEPTH;
        !self.too_deep
    }

    fn close(&mut self) {
        self.brackets = self.brackets.saturating_sub(1);
    }
}

impl EventReceiver for Depth {
    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.open()
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn array_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.open()
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn key_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.dots += 1;
        self.too_deep |= self.dots >= MAX_DEPTH;
    }

    fn key_val_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.dots = 0;
    }

    fn value_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.dots = 0;
    }

    fn newline(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.dots = 0;
    }
}
