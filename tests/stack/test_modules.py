"""No crate's modules depend on each other in a circle."""

import itertools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
CRATES = sorted(
    path.parent.relative_to(ROOT)
    for pattern in ("functions/*", "shared/*", "local", "manage", "tests", "tests/benchmark", "tests/runtime-api")
    for path in ROOT.glob(f"{pattern}/Cargo.toml")
)
# Compiled once more as modules: `mod tests` at the end of a file.
UNIT_TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod tests \{.*", re.DOTALL | re.MULTILINE)
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"\b(?:crate|super)(?:::\w+)+")


def module_of(source, file):
    """The module path of a file below src/, such as ("tables", "users")."""
    parts = file.relative_to(source).with_suffix("").parts
    return () if parts in [("lib",), ("main",)] else parts


def leaves(tree):
    """The paths of a use tree such as `crate::{a, b::{self, c}}`."""
    tree = tree.strip()
    if "{" not in tree:
        return [tree.split(" as ")[0].strip()]
    head, body = tree.split("{", 1)
    body, depth, parts = body.rsplit("}", 1)[0], 0, [""]
    for character in body:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [head.strip() + leaf for part in parts if part.strip() for leaf in leaves(part)]


def resolve(path, module, modules):
    """The module that a path leads to; None for a path that leaves the crate."""
    names = [name for name in path.split("::") if name != "self"]
    if not names:
        return None
    if names[0] == "crate":
        base = ()
    elif names[0] == "super":
        base = module[: len(module) - names.count("super")]
    elif (*module, names[0]) in modules:
        base, names = module, ["self", *names]
    else:
        return None
    names = [name for name in names[1:] if name != "super"]
    for length in range(len(names), -1, -1):
        target = (*base, *names[:length])
        if target in modules:
            return target
    return None


def dependencies(source):
    """What each module of a crate uses."""
    files = {module_of(source, file): file for file in source.rglob("*.rs") if "bin" not in file.parts}
    graph = {}
    for module, file in files.items():
        text = UNIT_TESTS.sub("", file.read_text())
        text = re.sub(r"//.*", "", text)
        paths = list(itertools.chain.from_iterable(leaves(tree) for tree in USE.findall(text)))
        paths += PATH.findall(USE.sub("", text))
        graph[module] = {resolve(path, module, files) for path in paths} - {module, None}
    return graph


def circle(graph):
    """One circle, as the modules on it; empty if there is none."""
    done = set()

    def visit(module, trail):
        if module in trail:
            return trail[trail.index(module) :]
        if module in done:
            return []
        for target in sorted(graph[module]):
            found = visit(target, [*trail, module])
            if found:
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


@pytest.mark.parametrize("crate", CRATES, ids=str)
def test_modules_form_no_circle(crate):
    names = ["::".join(module) or "lib" for module in circle(dependencies(ROOT / crate / "src"))]
    assert not names, f"{crate}: {' -> '.join([*names, names[0]])}"


def test_a_circle_is_found():
    assert circle({("a",): {("b",)}, ("b",): {("c",)}, ("c",): {("b",)}}) == [("b",), ("c",)]
