#!/usr/bin/env python3
"""Checks of our own over all sources, then clang-tidy over those changed since LINT_BASE.

lint.py         clang-tidy on what changed since LINT_BASE (default HEAD~20; all in a younger history)
lint.py --all   clang-tidy on everything
lint.py --own   our own checks alone
"""

import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "dev"
LINE_LENGTH = 100
FILE_LINES = 900

# What must not be called, and where it may be after all.
BANNED = [
    (r"\basio::detached\b", "a detached coroutine has no owner: spawn it in a net::Scope", []),
    (r"\bstd::thread\b", "threads belong to net::EventLoops and net::WorkerPool",
     ["lib/net/event_loops.", "_test.cpp", "framework/harness/", "bench/"]),
    (r"\bsleep_for\s*\(\s*(std::chrono|\d)|\bstd::this_thread::sleep|\busleep\s*\(",
     "waits go through a Clock; tests wait for events", []),
    (r"\bsystem_clock::now\b", "ask the Clock", ["lib/base/clock.cpp"]),
    (r"(?<![.\w>])(s?rand|(std|)::random)\s*\(\s*\)", "ask the Random", []),
    (r"\bboost/beast\b", "Beast stays inside lib/http's sources", ["lib/http/"]),
    (r"#include <boost/asio\.hpp>", "include narrow asio headers", []),
    (r"\bspdlog/", "spdlog stays behind framework/logging.hpp", ["framework/logging.cpp"]),
    (r"\bCLI/CLI\.hpp\b", "CLI11 stays in cli/", ["cli/"]),
    (r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", "only with an issue number: TODO(#12)", []),
]

# Lower floors first: a folder may include only what its target links (checked), which CMake allows
# only for targets that exist already.
MODULES = {}


def files_like(*patterns):
    """Of the project, whether committed yet or not."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        check=True, capture_output=True, text=True).stdout.split()
    return [Path(name) for name in listed if (ROOT / name).exists()]


def sources():
    return files_like("*.cpp", "*.hpp")


def list_files():
    return [ROOT / path for path in files_like("CMakeLists.txt", "**/CMakeLists.txt")]


def module_of(path):
    """The folder that is one CMake target: lib/http, framework, services/common ..."""
    parts = path.parts
    if parts[0] in ("lib", "services") and len(parts) > 2:
        return "/".join(parts[:2])
    if parts[0] == "framework" and len(parts) > 2 and parts[1] == "harness":
        return "framework/harness"
    return parts[0]


def code_of(text):
    """The text without comments and string literals, line by line in place."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"\((?:.*?)\)"|"(?:\\.|[^"\\\n])*"', re.S)
    return pattern.sub(lambda m: '""' + "\n" * m.group(0).count("\n")
                       if m.group(0)[0] in 'R"' else "\n" * m.group(0).count("\n"), text)


def links():
    """Which modules each module's CMakeLists links, transitively."""
    direct, targets = {}, {}
    for listfile in list_files():
        relative = listfile.relative_to(ROOT)
        if len(relative.parts) == 1:
            continue
        folder = "/".join(relative.parts[:-1])
        text = listfile.read_text()
        for name in re.findall(r"(?:skywire_library\(\s*|add_library\(skywire_)(\w+)", text):
            targets[name] = folder
        direct.setdefault(folder, set()).update(re.findall(r"skywire::(\w+)", text))
    closed = {}

    def close(folder, seen):
        for name in direct.get(folder, ()):
            target = targets.get(name)
            if target and target not in seen:
                seen.add(target)
                close(target, seen)
        return seen

    for folder in direct:
        closed[folder] = close(folder, set())
    return closed


def included_module(name):
    """The module of `#include "name"`, or None for a header beside the file."""
    path = Path(name)
    if (ROOT / "lib" / name).exists():
        return module_of(Path("lib") / path)
    if (ROOT / name).exists():
        return module_of(path)
    return None


def own_checks(files):
    problems = []
    allowed = links()
    everything = "\n".join((ROOT / f).read_text(errors="replace") for f in files)
    lists = "\n".join(p.read_text() for p in list_files())
    for path in files:
        text = (ROOT / path).read_text(errors="replace")
        lines = text.split("\n")
        code = code_of(text).split("\n")
        if len(lines) > FILE_LINES and not path.name.endswith("_test.cpp"):
            problems.append(f"{path}:1: {len(lines)} lines, at most {FILE_LINES}")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_LENGTH and "http" not in line and not path.name.endswith("_test.cpp"):
                problems.append(f"{path}:{number}: {len(line)} columns, at most {LINE_LENGTH}")
            include = re.match(r'#include "([^"]+)"', line)
            if include:
                module = included_module(include.group(1))
                own = module_of(path)
                if module and module != own and module not in allowed.get(own, ()):
                    problems.append(f"{path}:{number}: includes {include.group(1)}, but {own} "
                                    f"does not link {module}")
        for pattern, why, exempt in BANNED:
            if any(place in str(path) for place in exempt):
                continue
            where = lines if "boost/" in pattern or "TODO" in pattern or "/" in pattern else code
            for number, line in enumerate(where, 1):
                if re.search(pattern, line):
                    problems.append(f"{path}:{number}: {line.strip()[:60]}: {why}")
        if path.suffix == ".hpp":
            if "#pragma once" not in text:
                problems.append(f"{path}:1: no #pragma once")
            short = str(path.relative_to("lib")) if path.parts[0] == "lib" else str(path)
            if str(path.parent) == "cmake":
                continue
            if f'"{short}"' not in everything and f'"{path.name}"' not in everything:
                problems.append(f"{path}:1: no source includes this header")
        elif path.name not in lists and str(path.parent) != "cmake":
            problems.append(f"{path}:1: no CMakeLists.txt names this source")
        problems += capturing_coroutines(path, text)
    problems += error_values(files)
    problems += metric_docs(files)
    return problems


def capturing_coroutines(path, text):
    """A coroutine lambda with captures dies before its coroutine unless a net::Scope keeps it."""
    problems = []
    # Tests run such a coroutine to its end where they begin it.
    if path.name.endswith(("_test.cpp", "_rig.hpp")) or path.parts[0] == "bench":
        return problems
    for found in re.finditer(r"\[(?!\])[^\[\]]*\]\s*\([^()]*\)\s*(?:mutable\s*)?->\s*Task<", text):
        if not re.search(r"(spawn|await_on<\w+>|router_?\.on)\([^;]*$", text[:found.start()][-300:]):
            line = text.count("\n", 0, found.start()) + 1
            problems.append(f"{path}:{line}: a coroutine lambda with captures outside Scope::spawn")
    return problems


def error_values(files):
    """Every value of an errc has its sentence in the header and is used somewhere."""
    problems = []
    texts = {f: (ROOT / f).read_text(errors="replace") for f in files}
    for path, text in texts.items():
        if path.suffix != ".hpp":
            continue
        for enum in re.finditer(r"enum class (errc|\w*Errc)\s*(?::\s*\w+\s*)?\{(.*?)\};", text, re.S):
            for name in re.findall(r"^\s*(\w+)\s*(?:=\s*\d+)?,", enum.group(2), re.M):
                if name in ("ok", "unknown"):
                    continue
                used = sum(len(re.findall(rf"errc::{name}\b", other))
                           for f, other in texts.items() if not f.name.endswith("_test.cpp"))
                if used < 2:
                    problems.append(f"{path}:1: errc::{name} is never used")
                if not re.search(rf"///[^\n]*\n\s*{name}\b", enum.group(2)):
                    problems.append(f"{path}:1: errc::{name} has no sentence")
    return problems


def metric_docs(files):
    """Every series we make is named in docs/metrics.md."""
    page = ROOT / "docs" / "metrics.md"
    known = page.read_text() if page.exists() else ""
    problems = []
    for path in files:
        if path.name.endswith("_test.cpp") or path.parts[0] in ("bench", "e2e"):
            continue
        text = (ROOT / path).read_text(errors="replace")
        for name in re.findall(r"(?:counter|gauge|histogram)\(\s*\"([a-z][a-z0-9_]+)\"", text):
            if name not in known:
                problems.append(f"{path}:1: metric {name} is not in docs/metrics.md")
    return sorted(set(problems))


def check_format(files):
    found = subprocess.run(["clang-format-19", "--dry-run", "-Werror", *map(str, files)],
                           cwd=ROOT, capture_output=True, text=True)
    if found.returncode == 0:
        return []
    return sorted({line for line in found.stderr.split("\n") if "error:" in line})


def header_alone(path):
    """Each header compiles by itself, with what a source of its folder may see."""
    run = subprocess.run(
        ["clang++-19", "-std=c++20", "-fsyntax-only", "-x", "c++", "-I", "lib", "-I", ".",
         "-DBOOST_ASIO_SEPARATE_COMPILATION", "-DBOOST_BEAST_SEPARATE_COMPILATION",
         "-DBOOST_BEAST_USE_STD_STRING_VIEW", "-DBOOST_ASIO_NO_DEPRECATED",
         "-DSKYWIRE_SOURCE_DIR=\"\"", "-DSKYWIRE_BINARY_DIR=\"\"",
         "-Wno-pragma-once-outside-header", str(path)],
        cwd=ROOT, capture_output=True, text=True)
    return [] if run.returncode == 0 else [f"{path}: does not compile alone\n{run.stderr[:2000]}"]


def changed_since(base):
    listed = subprocess.run(["git", "-C", ROOT, "diff", "--name-only", base, "--"],
                            capture_output=True, text=True)
    return None if listed.returncode != 0 else {Path(p) for p in listed.stdout.split()}


def tidy(path):
    # Catch2's REQUIRE(optional) is no check that clang-tidy understands.
    checks = []
    if path.name.endswith("_test.cpp") or "harness" in path.parts:
        checks = ["--checks=-bugprone-unchecked-optional-access"]
    run = subprocess.run(["clang-tidy-19", "--quiet", *checks, "-p", str(BUILD), str(path)],
                         cwd=ROOT, capture_output=True, text=True)
    return [] if run.returncode == 0 else [run.stdout.strip() or run.stderr.strip()]


def in_parallel(work, items):
    problems = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(work, items):
            problems += found
    return problems


def main():
    files = sources()
    problems = check_format(files) + own_checks(files)
    if "--own" not in sys.argv:
        selected = None
        if "--all" not in sys.argv:
            selected = changed_since(os.environ.get("LINT_BASE", "HEAD~20"))
        chosen = [f for f in files if selected is None or f in selected]
        problems += in_parallel(header_alone, [f for f in chosen if f.suffix == ".hpp"])
        compiled = (BUILD / "compile_commands.json").read_text()
        units = [f for f in chosen if f.suffix == ".cpp" and f'{ROOT}/{f}"' in compiled]
        problems += in_parallel(tidy, units)
        print(f"{len(files)} sources checked, {len(units)} of them by clang-tidy")
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
