"""What a room offers by name: one file each, with ``Config`` and ``build``. Dropping a file in adds one."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from asrkd.core.config import nearest, parse
from asrkd.core.errors import ConfigError


def find_plugin(package: str, section: Mapping[str, Any], default: str, where: str) -> tuple[Any, Any]:
    """The module of ``package`` that ``section['type']`` names, and the rest of the section as its ``Config``."""
    name = section.get("type", default)
    known = plugin_names(package)
    if name not in known:
        raise ConfigError(f"{where}: unknown type {name!r}{nearest(str(name), known)}")
    module = importlib.import_module(f"{package}.{name}")
    rest = {key: value for key, value in section.items() if key != "type"}
    return module, parse(module.Config, rest, where)


def plugin_names(package: str) -> list[str]:
    """Names of the files of ``package`` that define ``Config`` and ``build``."""
    root = importlib.import_module(package)
    names = [info.name for info in pkgutil.iter_modules(root.__path__)]
    modules = {name: importlib.import_module(f"{package}.{name}") for name in names}
    return sorted(name for name, module in modules.items() if hasattr(module, "Config") and hasattr(module, "build"))
