"""What README and docs tell a reader to type: commands are parsed by their own parsers, Python is held against ours."""

import ast
import inspect
import itertools
import os
import re
import runpy
import shlex
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml
from mlflow.models.cli import serve

import weightflow
from weightflow.cli import app
from weightflow.data import ReadOptions

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(ROOT.glob("docs/*.md"))]
FENCED = re.compile(r"^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")
ELSEWHERE = {"--against", "--help"}  # of benchmarks, and of every command
# what the pages call a variable, and the public name of what it is
CALLED = {"model": "WeightFlow", "result": "SearchResult", "data": "Dataset", "snapshots": "Snapshots"}


@dataclass(frozen=True)
class Found:
    """A piece of a page."""

    page: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Found]:
    found: list[Found] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += [
            Found(page, text.count("\n", 0, match.start("text")) + 1, match["text"])
            for match in FENCED.finditer(text)
            if match["language"] in languages
        ]
    return found


def spans() -> list[Found]:
    found: list[Found] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        prose = FENCED.sub(lambda match: "\n" * match[0].count("\n"), text)
        found += [Found(page, prose.count("\n", 0, m.start()) + 1, m[1]) for m in SPAN.finditer(prose)]
    return found


def shell_lines() -> list[Found]:
    lines = [
        Found(block.page, block.line + i, line)
        for block in blocks("sh", "bash", "shell", "console", "")
        for i, line in enumerate(block.text.splitlines())
    ]
    return [line for line in lines if shlex.split(line.text, comments=True)]


@cache
def parser(script: str) -> Any:
    """Return the parser of `weightflow`, or of a script in `launch`."""
    source: typer.Typer = (
        app if script == "weightflow" else runpy.run_path(str(ROOT / script), run_name="parsed")["app"]
    )
    return typer.main.get_command(source)


def parse(words: list[str]) -> None:
    """Parse a command without running it; whatever its parser does not know is an error."""
    match words:
        case ["python", "-m", "weightflow", name, *rest] | ["weightflow", name, *rest]:
            commands = parser("weightflow").commands
            assert name in commands, f"there is no command `{name}`; there are {', '.join(commands)}"
            commands[name].make_context(name, rest)
        case ["python", "launch/tune.py" as script, *rest]:
            parser(script).make_context(script, rest)
        case ["python", "launch/submit.py" as script, *rest]:
            parser(script).make_context(script, [*rest])
            if "--" in rest:
                parser("launch/tune.py").make_context("tune", rest[rest.index("--") + 1 :])
        case [script, *rest] if script.startswith("launch/"):
            check_script(script, rest)
        case ["sbatch", *rest]:
            script = next(i for i, word in enumerate(rest) if word.startswith("launch/"))
            check_script(rest[script], [])
            parser("launch/tune.py").make_context("tune", rest[script + 1 :])
        case ["ray", "up" | "down" | "dashboard" as verb, *rest]:
            from ray.scripts.scripts import cli  # which takes seconds

            known: Any = cli.commands[verb]
            assert known.make_context(verb, [*rest]).params["cluster_config_file"] == "launch/cluster.yaml"
        case ["kubectl", "apply" | "delete", "-f", file]:
            assert (ROOT / file).is_file()
        case ["docker", "build", *rest]:
            check_image(rest)
        case ["make", *rest]:
            check_make(rest)
        case ["pip", "install", *rest]:
            check_install(rest)
        case ["mlflow", "models", "serve", *rest]:
            serve.make_context("serve", rest)
        case ["curl", address, *_]:
            assert address.endswith("/invocations")
        case ["jupyter", "lab", path]:
            assert (ROOT / path).exists()
        case ["source", ".venv/bin/activate"]:
            pass
        case _:
            pytest.fail(f"nobody knows how to check {shlex.join(words)!r}")


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [word for word in words if "=" not in word]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert named
    assert set(named) <= set(targets)
    assert set(given) <= {"ARGS", "PYTHON"}
    if named == ["tune"]:
        parse(["python", "launch/tune.py", *shlex.split(given.get("ARGS", ""))])


def check_script(script: str, words: list[str]) -> None:
    """A script of ours exists and can be started; options of the tracking server are those of MLflow's own."""
    assert os.access(ROOT / script, os.X_OK)
    if script == "launch/mlflow_server.sh":
        with warnings.catch_warnings():  # of MLflow about its own types
            warnings.simplefilter("ignore")
            from mlflow.cli import server
        server.make_context("server", list(words))


def check_image(words: list[str]) -> None:
    assert words[0] == "--tag"
    assert words[1] in (ROOT / "launch" / "cluster.yaml").read_text()
    given = [word.split("=")[0] for word in words if "=" in word]
    assert set(given) <= set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert words[-1] == "."


def check_install(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = [
        name for word in words for group in re.findall(r"^(?:\.|weightflow)\[(.+)\]", word) for name in group.split(",")
    ]
    assert set(named) <= set(extras)
    if "-c" in words:
        assert (ROOT / words[words.index("-c") + 1]).is_file()


@pytest.mark.parametrize("line", shell_lines(), ids=str)
def test_a_command_in_a_block_is_known_to_its_parser(line: Found):
    parse(shlex.split(line.text, comments=True))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("python launch/tune.py --no-such 3", "--no-such"),
        ("python -m weightflow fit --data x", "out"),
        ("python -m weightflow fitt", "there is no command `fitt`"),
        ("python launch/submit.py --address x -- --trials many", "integer"),
        ("make ui-test", "ui-test"),
        ("sbatch launch/slurm.sh --no-such 3", "--no-such"),
        ("ray up --no-such launch/cluster.yaml", "--no-such"),
        ("launch/mlflow_server.sh --no-such 3", "--no-such"),
        ("rm x", "nobody knows how to check 'rm x'"),
    ],
)
def test_a_wrong_command_would_be_found(words: str, says: str):
    with pytest.raises(BaseException, match=says):
        parse(words.split())


@pytest.mark.parametrize(
    "span",
    [s for s in spans() if re.match(r"(python -m weightflow|python launch/\S+|make|weightflow) \S", s.text)],
    ids=str,
)
def test_a_command_in_the_text_is_known_to_its_parser(span: Found):
    words = shlex.split(span.text)
    if words[0] == "weightflow" and len(words) == 2:  # a command by its name
        assert words[1] in parser("weightflow").commands
    else:
        parse(words)


def options_of(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_every_option_in_the_text_exists():
    commands = parser("weightflow").commands
    everywhere = set().union(*map(options_of, commands.values()), options_of(parser("launch/submit.py")), ELSEWHERE)
    wrong: list[str] = []
    for span in spans():
        first = span.text.split()[0]
        known = options_of(commands[first]) if first in commands else everywhere
        wrong += [f"{span}: {name}" for name in OPTION.findall(span.text) if name not in known]
    assert wrong == []


def test_every_reading_option_is_explained_where_files_are():
    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    flags = ["--" + field.name.replace("_", "-") for field in fields(ReadOptions)]
    assert [flag for flag in flags if f"| `{flag} " not in page and f"| `{flag}` " not in page] == []


def test_every_option_of_a_search_is_explained():
    pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("search.md", "own-data.md")]
    told = set(OPTION.findall(" ".join(SPAN.findall("\n".join(pages)))))
    secondary = {name for parameter in parser("launch/tune.py").params for name in parameter.secondary_opts}
    both = {name.removeprefix("--no-") for name in secondary}
    missing = [
        name
        for name in options_of(parser("launch/tune.py"))
        if name.removeprefix("--no-").removeprefix("--") not in both and name not in told and name.startswith("--")
    ]
    untold = [name for name in both if not {f"--{name}", f"--no-{name}"} & told]
    assert missing == untold == []


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_in_a_block_compiles_and_uses_what_exists(block: Found):
    tree = ast.parse(block.text)
    compile(tree, str(block), "exec")
    assert list(wrong_uses(tree)) == []


def test_a_wrong_use_of_our_python_would_be_found():
    lines = (
        "weightflow.reed('x')",
        "model.sample([1], m=3)",
        "result.scores.men('a')",
        "weightflow.read('x', tim='t')",
    )
    assert [len(list(wrong_uses(ast.parse(line)))) for line in lines] == [1, 1, 1, 1]


def wrong_uses(tree: ast.AST) -> Iterator[str]:
    """Say what is used of our package and does not exist, and which arguments a function does not take."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = meant(node.value)
            if owner is not None and not has(owner, node.attr):
                yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Call) and inspect.isroutine(function := meant(node.func)):
            problem = misfit(function, node)
            if problem:
                yield f"line {node.lineno}: {ast.unparse(node)}: {problem}"


def meant(node: ast.AST) -> Any:
    """Return what an expression stands for: our module, a class for its instances, a function; None if unknown."""
    if isinstance(node, ast.Name):
        return (
            getattr(weightflow, CALLED[node.id])
            if node.id in CALLED
            else weightflow
            if node.id == "weightflow"
            else None
        )
    if not isinstance(node, ast.Attribute):
        return None
    owner = meant(node.value)
    if isinstance(owner, ModuleType):
        return getattr(owner, node.attr, None)
    member = None if owner is None else inspect.getattr_static(owner, node.attr, None)
    if isinstance(member, property | cached_property):
        getter = member.fget if isinstance(member, property) else member.func
        said = getattr(getter, "__annotations__", {}).get("return")
        return said if isinstance(said, type) and said.__module__.startswith("weightflow") else None
    if inspect.isfunction(member):
        return member
    said = getattr(owner, "__annotations__", {}).get(node.attr)
    return said if isinstance(said, type) and said.__module__.startswith("weightflow") else None


def has(owner: Any, name: str) -> bool:
    if isinstance(owner, ModuleType):
        return name in weightflow.__all__
    return hasattr(owner, name) or (is_dataclass(owner) and name in {field.name for field in fields(owner)})


def misfit(function: Any, call: ast.Call) -> str:
    """Say why a call does not fit a function, or nothing."""
    signature = inspect.signature(function)
    bound = [None] if next(iter(signature.parameters), "") == "self" else []
    named = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
        groups = set(weightflow.ExperimentConfig.model_fields)
        known = groups if function is weightflow.preset else {field.name for field in fields(ReadOptions)}
        return ", ".join(name for name in named if name not in known | {*signature.parameters})
    try:
        signature.bind(*bound, *(None for _ in call.args), **named)
    except TypeError as error:
        return str(error)
    return ""


def test_every_public_name_is_in_the_reference():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = set(re.findall(r":: weightflow\.(\w+)$", page, re.MULTILINE))
    assert told == set(weightflow.__all__)


def slugs(page: Path) -> set[str]:
    headings = HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path):
    broken: list[str] = []
    for match in LINK.finditer(FENCED.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = match["target"].partition("#")
        if re.match(r"(https?|mailto):", target):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in slugs(file)):
            broken.append(match["target"])
    assert broken == []


def test_pages_link_only_to_pages_of_the_site():
    links = {
        (page.name, m["target"])
        for page in PAGES
        if page.parent == ROOT / "docs"
        for m in LINK.finditer(page.read_text())
    }
    assert [link for link in links if link[1].startswith("..")] == []


def test_every_page_is_in_the_contents():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    trees = [match["text"].splitlines() for match in FENCED.finditer(index) if match["language"] == "{toctree}"]
    listed = [line for line in itertools.chain(*trees) if line and not line.startswith(":")]
    assert sorted([*listed, "index"]) == sorted(page.stem for page in PAGES if page.parent == ROOT / "docs")


def test_files_that_are_named_exist():
    place = re.compile(
        r"(weightflow|launch|search_spaces|benchmarks|examples|tests)/[\w./-]+|mlflow\.yml|requirements\.lock"
    )
    missing = [f"{s}: {s.text}" for s in spans() if place.fullmatch(s.text) and not (ROOT / s.text).exists()]
    assert missing == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_pictures_are_small():
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert [picture.name for picture in pictures if picture.stat().st_size >= 200_000] == []


def test_the_citation_is_of_this_software():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["cff-version"], citation["title"], citation["license"]) == ("1.2.0", "WeightFlow", "MIT")
    assert citation["references"][0]["doi"] == "10.1609/aaai.v40i1.37029"


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_in_a_block_is_yaml(block: Found):
    assert isinstance(yaml.safe_load(block.text), dict)
