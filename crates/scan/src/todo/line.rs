//! What a line of a comment is, if it is not speech: an item, a label, code, or an order to a tool.

/// How lines of commented-out code begin that end with a semicolon.
const DECLARATIONS: [&str; 11] =
    ["use ", "pub ", "mod ", "import ", "return ", "let ", "const ", "var ", "extern ", "static ", "typedef "];
/// How orders to linters, formatters, compilers and editors begin. They stand right below a request and belong to the
/// code that follows.
const DIRECTIVES: [&str; 66] = [
    "eslint-",
    "eslint ",
    "tslint:",
    "stylelint-",
    "jshint ",
    "jslint ",
    "jscs:",
    "prettier-ignore",
    "biome-ignore",
    "deno-lint-",
    "oxlint-",
    "ts-ignore",
    "ts-expect-error",
    "istanbul ",
    "c8 ignore",
    "v8 ignore",
    "noqa",
    "type: ignore",
    "pylint:",
    "flake8:",
    "mypy:",
    "pyright:",
    "ruff:",
    "fmt:",
    "yapf:",
    "isort:",
    "nosec",
    "pragma:",
    "rubocop:",
    "sorbet:",
    "typed:",
    "clang-format ",
    "NOLINT",
    "cppcheck-suppress",
    "coverity[",
    "nolint",
    "go:",
    "+build",
    "nolint:",
    "revive:",
    "shellcheck ",
    "phpcs:",
    "phpstan-",
    "psalm-",
    "swiftlint:",
    "swiftformat:",
    "ktlint-",
    "detekt:",
    "noinspection ",
    "NOSONAR",
    "nosemgrep",
    "codeql[",
    "cspell:",
    "spell-checker:",
    "yamllint ",
    "tflint-ignore",
    "hadolint ",
    "checkov:",
    "trivy:",
    "luacheck:",
    "stylua:",
    "hlint ",
    "vim:",
    "-*-",
    "buf:lint",
    "$Flow",
];

/// Whether a line speaks to a tool and not to a reader: `eslint-disable-next-line`, `noqa: E501`.
pub(super) fn is_directive(text: &str) -> bool {
    DIRECTIVES.iter().any(|directive| text.starts_with(directive))
}

/// Whether a line is an item of a list.
pub(super) fn is_bullet(text: &str) -> bool {
    let numbered = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (numbered.len() < text.len() && (numbered.starts_with(". ") || numbered.starts_with(") ")))
        || ["- ", "* ", "+ ", "• "].iter().any(|bullet| text.starts_with(bullet))
}

/// Whether a line begins something else: `@param`, `NOTE:`, `SAFETY:`.
pub(super) fn is_label(text: &str) -> bool {
    if let Some(word) = text.strip_prefix(['@', '\\']) {
        return word.starts_with(|c: char| c.is_ascii_lowercase());
    }
    let capitals = text.chars().take_while(|c| c.is_ascii_uppercase()).count();
    let after = &text[capitals..];
    capitals >= 3 && (after.starts_with(": ") || after == ":" || (after.starts_with('(') && after.contains("):")))
}

/// Whether a line is clearly commented-out code.
pub(super) fn is_code(text: &str) -> bool {
    let declares = DECLARATIONS.iter().any(|word| text.starts_with(word));
    let statement = text.ends_with(';') && (declares || text.contains(['=', '(', '[', '<']) || text.contains("::"));
    let opens = ["#[", "#include", "//", "}", "{"].iter().any(|start| text.starts_with(start));
    statement || opens || text.ends_with(['{', '}']) || text.ends_with(");") || text == "end" || text == "..."
}
