"""The work of trial.sh: `trial.py <this repository> <a copy of a crate> [options of cargo clippy]`."""

import collections
import json
import pathlib
import re
import subprocess
import sys

REPOSITORY, CRATE, OPTIONS = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]

ARGUMENTS = [
    'ttl = "5s"',
    "retries = 3",
    'ttl = "1m 30s", renew, max_hold = "2h"',
    'retries = 3, backoff = "50ms..2s", min_hold = "10ms"',
    "wait, fenced",
    'wait = "10s", on_lost = finish',
    'bind = _lease, ttl = std::time::Duration::from_secs(5)',
]

# Types whose values can be put into a key.
SHOWN = re.compile(r"(?<![\w.])(\w+): (?:&'?\w* ?str|String|[ui](?:8|16|32|64|size)|bool|char)\s*[,)]")

HEAD = re.compile(r"^(\s*)((?:pub(?:\([^)]*\))? )?(?:default )?(?:const )?async (?:unsafe )?fn (\w+))", re.M)

# Attributes that make the function synchronous: ours goes above them.
OUTER = re.compile(r"^\s*#\[(?:tokio::|async_std::|actix_web::|actix_rt::)?(?:main|test|rstest|bench)\b")


def blanked(text):
    """The text with comments, strings and macro definitions as spaces."""
    space = lambda match: re.sub(r"[^\n]", " ", match.group())
    tokens = r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|' + r"b?'(?:\\.[^']*|[^'\\\n])'"
    text = re.sub(tokens, space, text, flags=re.S)
    for match in re.finditer(r"macro_rules!", text):
        end = closing(text, text.find("{", match.start()))
        text = text[: match.start()] + re.sub(r"[^\n]", " ", text[match.start() : end]) + text[end:]
    return text


def closing(text, opening):
    """Where the bracket that opens there is closed."""
    depth = 0
    for match in re.compile(r"[(){}\[\]]").finditer(text, opening):
        depth += 1 if match.group() in "({[" else -1
        if depth == 0:
            return match.end()
    return len(text)


def functions(path):
    """Line of the attribute, name, first and last line, and signature of each async function with a body."""
    text = path.read_text()
    code = blanked(text)
    for match in HEAD.finditer(code):
        after = closing(code, code.index("(", match.end()))
        body = re.compile(r"[{;]").search(code, after)
        if not body or body.group() == ";" or re.match(r"\s*->\s*!", code[after:]):
            continue
        line = code.count("\n", 0, match.start(2))
        end = code.count("\n", 0, closing(code, body.start()))
        place, above = line, line - 1
        lines = text.split("\n")
        while above >= 0 and re.match(r"\s*(#\[|///|//)", lines[above]):
            if OUTER.match(lines[above]):
                place = above
            above -= 1
        yield place, match.group(3), line, end, text[match.start(2):after]


def annotate(path, text, found, left_out):
    """Puts the attribute on the functions of a file, in their own lines, so that no line moves."""
    lines = text.split("\n")
    done = []
    for count, (place, name, first, last, signature) in enumerate(found):
        if (path, first) in left_out:
            continue
        shown = SHOWN.search(signature)
        key = "k:{" + shown.group(1) + "}" if shown and count % 2 else "k"
        attribute = f'#[::redis_locked::redis_locked(key = "{key}", {ARGUMENTS[count % len(ARGUMENTS)]}, or_else = |_| ::std::process::abort())] '
        lines[place] = attribute + lines[place]
        done.append((name, first, last, place))
    path.write_text("\n".join(lines))
    return done


def check():
    """The errors and the lints that clippy finds, each with its places."""
    command = ["cargo", "clippy", "--message-format", "json", *OPTIONS, "--"]
    groups = ["clippy::pedantic", "clippy::nursery", "unused", "rust_2018_idioms", "rust_2024_compatibility"]
    command += ["--cap-lints", "warn"] + [f"-W{group}" for group in groups]
    output = subprocess.run(command, cwd=CRATE, capture_output=True, text=True)
    errors, lints = [], set()
    for line in output.stdout.splitlines():
        told = json.loads(line)
        message = told.get("message")
        if told["reason"] != "compiler-message" or str(CRATE) not in told["package_id"]:
            continue
        everything = [message, *message["children"]]
        places = {place for part in everything for span in part["spans"] for place in written(span)}
        if message["level"] == "error":
            errors.append((message["message"], places))
        elif message["code"]:
            for span in message["spans"]:
                if span["is_primary"]:
                    lints |= {(message["code"]["code"], *place) for place in written(span)}
    if output.returncode != 0 and not errors:
        sys.exit(f"trial: cargo clippy fails:\n{output.stderr[-3000:]}")
    return errors, lints


def written(span):
    """Where a span is, and where the macros were called that it comes from."""
    while span:
        path = (CRATE / span["file_name"]).resolve()
        if CRATE.resolve() in path.parents:
            yield path, span["line_start"] - 1
        span = (span["expansion"] or {}).get("span")


def main():
    manifest = CRATE / "Cargo.toml"
    text = manifest.read_text()
    if not re.search(r"^\[workspace", text, re.M):
        text += "\n[workspace]\n"
    manifest.write_text(text + f'\n[dependencies.redis-locked]\npath = "{REPOSITORY}"\n')
    (CRATE / "Cargo.lock").unlink(missing_ok=True)
    sources = sorted(path.resolve() for path in (CRATE / "src").rglob("*.rs"))
    errors, plain = check()
    if errors:
        sys.exit(f"trial: the crate does not compile as it is: {errors[0][0]}")

    texts = {path: path.read_text() for path in sources}
    found = {path: list(functions(path)) for path in sources}
    total = sum(len(of_file) for of_file in found.values())
    left_out, reasons, is_deep = set(), [], False
    root = (CRATE / "src/lib.rs").resolve()
    while True:
        annotated = []
        for path in sources:
            done = annotate(path, texts[path], found[path], left_out)
            annotated += [(path, *function) for function in done]
        errors, locked = check()
        if not errors:
            break
        deep = any("recursion limit" in message or "depth limit" in message for message, _ in errors)
        if deep and not is_deep:
            # Locked functions that call each other are deeper than plain ones.
            is_deep = True
            texts[root] = '#![recursion_limit = "1024"] ' + texts[root]
            continue
        before = len(left_out)
        for message, places in errors:
            for path, name, first, last, place in annotated:
                hit = any(path == at and (first <= line <= last or line == place) for at, line in places)
                if hit and (path, first) not in left_out:
                    left_out.add((path, first))
                    reasons.append((path, first, name, message))
        if len(left_out) == before:
            sys.exit("trial: an error that belongs to no function: " + errors[0][0])

    print(f"{total} async functions, {total - len(left_out)} compile as they are")
    if is_deep:
        print("  with a higher recursion limit")
    for path, line, name, message in reasons:
        print(f"  {path.relative_to(CRATE.resolve())}:{line + 1}: {name}: {message}")
    new = locked - plain
    print(f"{len(new)} new lints")
    for lint, count in collections.Counter(lint for lint, *_ in new).most_common():
        where = next(f"{path.relative_to(CRATE.resolve())}:{line + 1}" for found, path, line in sorted(new) if found == lint)
        print(f"  {lint}: {count}, such as in {where}")


main()
