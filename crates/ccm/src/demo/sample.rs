//! The demo's sample repositories, and what the replayed agent does about each of their comments.

use std::path::{Path, PathBuf};

use anyhow::Result;
use backlog::time::Clock;
use git::{Author, Git, LocalRepository};

/// Files of the repository `greeter`.
pub const GREETER: &[(&str, &str)] = &[
    ("README.md", "# greeter\n\nPrints a greeting for each name: `sh greet.sh Ada Grace`.\n"),
    (
        "greet.sh",
        "#!/bin/sh\n# greet.sh NAME...: prints a greeting for each name.\n\n\
         # TODO: greet the whole world when no name is given,\n#   instead of printing nothing\n\
         for name in \"$@\"; do\n  printf 'Hello, %s!\\n' \"$name\"\ndone\n",
    ),
    (
        "tests/run.sh",
        "#!/bin/sh\n# Fails at the first wrong answer.\nset -eu\n\
         [ \"$(sh greet.sh Ada)\" = \"Hello, Ada!\" ]\necho \"greeter: all tests passed\"\n",
    ),
    (".github/ccm.toml", "checks = [\"sh tests/run.sh\"]\n"),
];

/// Files of the repository `wordtools`.
pub const WORDTOOLS: &[(&str, &str)] = &[
    ("README.md", "# wordtools\n\nSmall filters for text.\n"),
    (
        "slug.sh",
        "#!/bin/sh\n# slug.sh TEXT: a name that is fit for a file.\n\n\
         # FIXME: a title such as \"a/b\" leaks a slash into the file name, which is a security risk\n\
         printf '%s\\n' \"$1\" | tr 'A-Z ' 'a-z-'\n",
    ),
    (
        "count.sh",
        "#!/bin/sh\n# count.sh FILE: how many lines it has.\n\n\
         # HACK(grace): wc pads its answer with spaces on some systems\nwc -l < \"$1\"\n",
    ),
    (
        "tests/run.sh",
        "#!/bin/sh\n# Fails at the first wrong answer.\nset -eu\n\
         [ \"$(sh slug.sh 'Hello World')\" = \"hello-world\" ]\necho \"wordtools: all tests passed\"\n",
    ),
    (".github/ccm.toml", "checks = [\"sh tests/run.sh\"]\n"),
];

/// One change that the replayed agent makes.
pub struct Edit {
    /// The file.
    pub path: &'static str,
    /// What is replaced.
    pub old: &'static str,
    /// By what.
    pub new: &'static str,
}

/// One recorded session.
pub struct Recording {
    /// Words of the comment that it is about.
    pub about: &'static str,
    /// What the agent says first.
    pub plan: &'static str,
    /// What it changes.
    pub edits: &'static [Edit],
    /// What it says last.
    pub summary: &'static str,
}

/// The recorded sessions, one for each comment of the sample.
pub const RECORDINGS: &[Recording] = &[
    Recording {
        about: "greet the whole world",
        plan: "With no name the loop has nothing to do. I set a default before it and add a test for that case.",
        edits: &[
            Edit {
                path: "greet.sh",
                old: "# TODO: greet the whole world when no name is given,\n#   instead of printing nothing\nfor",
                new: "[ \"$#\" -gt 0 ] || set -- world\nfor",
            },
            Edit {
                path: "tests/run.sh",
                old: "echo \"greeter",
                new: "[ \"$(sh greet.sh)\" = \"Hello, world!\" ]\necho \"greeter",
            },
        ],
        summary: "Without a name the script now greets the world. A test covers it.",
    },
    Recording {
        about: "leaks a slash",
        plan: "Only spaces are replaced. I turn every run of other characters into one dash and test a slash.",
        edits: &[
            Edit {
                path: "slug.sh",
                old: "# FIXME: a title such as \"a/b\" leaks a slash into the file name, which is a security risk\n\
                      printf '%s\\n' \"$1\" | tr 'A-Z ' 'a-z-'",
                new: "printf '%s\\n' \"$1\" | tr 'A-Z' 'a-z' | tr -cs 'a-z0-9\\n' '-'",
            },
            Edit {
                path: "tests/run.sh",
                old: "echo \"wordtools",
                new: "[ \"$(sh slug.sh 'a/b')\" = \"a-b\" ]\necho \"wordtools",
            },
        ],
        summary: "Everything but letters and digits becomes a dash now, so no slash gets through. A test covers it.",
    },
    Recording {
        about: "wc pads its answer",
        plan: "I let the shell's arithmetic take the spaces away, which works with every wc.",
        edits: &[
            Edit {
                path: "count.sh",
                old: "# HACK(grace): wc pads its answer with spaces on some systems\nwc -l < \"$1\"",
                new: "echo \"$(($(wc -l < \"$1\")))\"",
            },
            Edit {
                path: "tests/run.sh",
                old: "echo \"wordtools",
                new: "[ \"$(sh count.sh README.md)\" = 3 ]\necho \"wordtools",
            },
        ],
        summary: "The count is a plain number on every system now. A test covers it.",
    },
];

/// Makes the sample repositories below `folder`.
///
/// # Errors
/// When git or the disk refuses.
pub async fn make(git: &Git, folder: &Path, clock: &dyn Clock) -> Result<Vec<PathBuf>> {
    let author = Author { name: "Ada".to_owned(), email: "ada@example.com".to_owned() };
    let mut made = Vec::new();
    for (path, files) in super::places(folder) {
        LocalRepository::create(git, &path, files, &author, "Begin", clock.now()).await?;
        made.push(path);
    }
    Ok(made)
}
