"""YAML as people write it: data only, `1e-3` is a number, and no key stands twice."""

import re
from pathlib import Path
from typing import Any

import yaml

from weightflow.errors import InputError

SUFFIXES = (".yaml", ".yml")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which by itself reads `1e-3` as text and lets the last of two equal keys win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"`{key}` stands here for the second time", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        InputError: it is not there, is no YAML file, or cannot be read; the message names the line.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"`{path}` is no YAML file by its name; give one that ends in {' or '.join(SUFFIXES)}.")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise InputError(f"`{path}` cannot be read ({error.strerror}); give a YAML file.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"`{path}` is not text in UTF-8 ({error.reason}); save it as such.") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise InputError(f"{path}{line}: {error.problem}; mend the YAML there.") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}; mend the YAML there.") from None
