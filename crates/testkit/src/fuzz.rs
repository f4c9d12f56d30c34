//! Fuzz targets in ordinary tests.
//!
//! **Definition.** A [`Corpus`] feeds the targets of a crate with the seeds in its folder `fuzz/seeds/<target>`, with what
//! fuzzing found before (`fuzz/regressions/<target>`), and with changed seeds.
//!
//! **Wanted properties.** The same inputs in every run, on every machine.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Changed seeds for each target in one run; a fuzzer itself makes millions.
const CHANGED: usize = 4_000;

/// What reads any bytes and must not panic.
pub type Target = fn(&[u8]);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Corpus<'a> {
    /// The crate's folder: `env!("CARGO_MANIFEST_DIR")`.
    pub of: &'a str,
    /// Its targets by name.
    pub targets: &'a [(&'a str, Target)],
    /// Texts that mean something to a reader.
    pub words: &'a [&'a [u8]],
    /// The longest changed seed, in bytes.
    pub longest: usize,
}

impl Corpus<'_> {
    /// The inputs in a folder for one target, with their paths, ordered.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn inputs(&self, folder: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = Path::new(self.of).join("fuzz").join(folder).join(target);
        let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
        let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
        paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("an input can be read"))).collect()
    }

    /// Feeds every target with its seeds.
    ///
    /// # Panics
    /// When a target does, or has fewer than four seeds.
    pub fn seeds_are_read(&self) {
        for (name, target) in self.targets {
            let seeds = self.inputs("seeds", name);
            assert!(seeds.len() >= 4, "{name} has {} seeds", seeds.len());
            read(&seeds, *target);
        }
    }

    /// Feeds every target with what was found in it before.
    ///
    /// # Panics
    /// When a target does.
    pub fn regressions_are_read(&self) {
        for (name, target) in self.targets {
            read(&self.inputs("regressions", name), *target);
        }
    }

    /// Feeds every target with thousands of changed seeds.
    ///
    /// # Panics
    /// When a target does.
    pub fn changed_seeds_are_read(&self) {
        for (name, target) in self.targets {
            let seeds = [self.inputs("seeds", name), self.inputs("regressions", name)].concat();
            let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
            for _ in 0..CHANGED {
                let [seed, other] = [(); 2].map(|()| &seeds[numbers.below(seeds.len())].1);
                let input = self.changed(&mut numbers, seed, other);
                let shown = input.escape_ascii();
                assert!(catch_unwind(|| target(&input)).is_ok(), "{name}: keep this in regressions/: {shown}");
            }
        }
    }

    /// One to four changes of `seed`, or a part of `other` in it.
    fn changed(&self, numbers: &mut Numbers, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut input = seed.to_vec();
        for _ in 0..=numbers.below(4) {
            let (at, length) = (numbers.below(input.len() + 1), numbers.below(40));
            let end = (at + length).min(input.len());
            let word = self.words[numbers.below(self.words.len())];
            match numbers.below(8) {
                0 => input.truncate(at),
                1 => drop(input.drain(at..end)),
                2 => drop(input.splice(at..end, word.iter().copied())),
                3 | 4 => drop(input.splice(at..at, word.iter().copied())),
                5 => input = [&input[..end], &input[at..]].concat(),
                6 => input = [&input[..at], &other[numbers.below(other.len() + 1)..]].concat(),
                _ if at < input.len() => input[at] ^= 1 << numbers.below(8),
                _ => {}
            }
            input.truncate(self.longest);
        }
        input
    }
}

fn read(inputs: &[(PathBuf, Vec<u8>)], target: Target) {
    for (path, input) in inputs {
        assert!(catch_unwind(|| target(input)).is_ok(), "{}", path.display());
    }
}

/// The same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("53 bits fit") % end.max(1)
    }
}
