#!/bin/sh
# What GitHub refuses to take. `push-refusal` holds a text for every push; `push-rules` sets variables: `protected` (a
# branch), `workflows` (set: may not be changed), `largest` (bytes of a file), `secret` (a text that gives one away).
# The reason for the single branch goes into `push-reason`, because a hook cannot say it.
if [ -f push-refusal ]; then cat push-refusal >&2; exit 1; fi
[ -f push-rules ] || exit 0
protected= workflows= largest= secret=
. ./push-rules
while read -r _ new ref; do
  case "$new" in *[!0]*) ;; *) continue ;; esac
  if [ "$ref" = "refs/heads/$protected" ]; then
    echo "error: GH006: Protected branch update failed for $ref." >&2
    echo "error: Changes must be made through a pull request." >&2
    echo "protected branch hook declined" >push-reason
    exit 1
  fi
  if [ -n "$workflows" ]; then
    file=$(git diff --name-only HEAD "$new" -- .github/workflows | head -n 1)
    if [ -n "$file" ]; then
      echo "refusing to allow a GitHub App to create or update workflow \`$file\` without \`workflows\` permission" >push-reason
      exit 1
    fi
  fi
  if [ -n "$largest" ]; then
    file=$(git rev-list --objects "$new" --not --all |
      git cat-file --batch-check='%(objecttype) %(objectsize) %(rest)' |
      awk -v most="$largest" '$1 == "blob" && $2 > most { print $3; exit }')
    if [ -n "$file" ]; then
      echo "error: GH001: Large files detected. You may want to try Git Large File Storage." >&2
      echo "error: File $file exceeds GitHub's file size limit of 100.00 MB" >&2
      exit 1
    fi
  fi
  if [ -n "$secret" ] && git grep --quiet --fixed-strings -e "$secret" "$new"; then
    echo "error: GH013: Repository rule violations found for $ref." >&2
    echo "- GITHUB PUSH PROTECTION" >&2
    echo "  - Push cannot contain secrets" >&2
    echo "push declined due to repository rule violations" >push-reason
    exit 1
  fi
done
