"""Compares the comments that `examples/spans.rs` prints with those of Pygments. See docs/scanning.md.

Usage: python3 compare.py SPANS.jsonl [LANGUAGE…]
"""

import collections
import json
import sys

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, String

LEXERS = {
    "Assembly": "gas", "Batch": "batch", "C": "c", "C#": "csharp", "C++": "cpp", "CMake": "cmake", "CSS": "css",
    "Dockerfile": "docker", "Elixir": "elixir", "Emacs Lisp": "emacs-lisp", "Erlang": "erlang", "Go": "go",
    "Groovy": "groovy", "Haskell": "haskell", "HTML": "html", "Java": "java", "JavaScript": "javascript",
    "Julia": "julia", "Kotlin": "kotlin", "Lua": "lua", "Makefile": "make", "Objective-C": "objective-c",
    "OCaml": "ocaml", "Perl": "perl", "PHP": "php", "PowerShell": "powershell", "Protobuf": "protobuf",
    "Python": "python", "R": "r", "Ruby": "ruby", "Scala": "scala", "SCSS": "scss", "Shell": "bash", "SQL": "sql",
    "Starlark": "python", "Swift": "swift", "TOML": "toml", "TypeScript": "typescript", "Vim script": "vim",
    "XML": "xml", "YAML": "yaml",
}
LARGEST = 64 << 10


def theirs(language, text):
    """One byte for each byte of the text: 1 where Pygments sees a comment."""
    marks = bytearray(len(text))
    lexer = get_lexer_by_name(LEXERS[language], stripnl=False, ensurenl=False)
    for at, token, piece in lexer.get_tokens_unprocessed(text):
        comment = token in Comment or (language == "PHP" and token in String.Doc)
        if comment and token not in Comment.Preproc and token not in Comment.PreprocFile:
            marks[at:at + len(piece)] = b"\1" * len(piece)
    return marks


def main():
    only = set(sys.argv[2:])
    counts = collections.defaultdict(lambda: [0, 0, 0])
    for line in open(sys.argv[1], encoding="utf-8"):
        file = json.loads(line)
        language = file["language"]
        text = open(file["path"], "rb").read().decode("latin-1")
        if language not in LEXERS or (only and language not in only) or len(text) > LARGEST or "\r" in text:
            continue
        ours = bytearray(len(text))
        for start, end in file["comments"]:
            ours[start:end] = b"\1" * (end - start)
        marks = theirs(language, text)
        first = text.find("\n") if text.startswith("#!") else 0
        differ = [at for at in range(first, len(text)) if ours[at] != marks[at] and text[at] not in " \t\n"]
        counts[language][0] += 1
        counts[language][1] += sum(marks)
        if differ:
            counts[language][2] += 1
            at = differ[0]
            number = text.count("\n", 0, at) + 1
            who = "only ours" if ours[at] else "only theirs"
            print(f"{file['path']}:{number}: {who}: {text.splitlines()[number - 1].strip()[:100]}")
    for language, (files, bytes_, differing) in sorted(counts.items()):
        print(f"{language}: {files} files, {bytes_} bytes of comments, {differing} files differ")


if __name__ == "__main__":
    main()
