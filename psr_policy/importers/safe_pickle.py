"""Reads what torch.save wrote without executing anything in it.

A pickle names the classes and functions ("globals") that it wants called. Here all names are listed first, from the
bytes alone; one that is not known stops the reading. Of the known ones PyTorch's restricted reader builds tensors and
plain containers itself, and inert objects that only hold what the file says stand in for the rest: no class of another
project is imported, no function of it runs.
"""

from __future__ import annotations

import pickletools
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from pathlib import Path
from typing import Any

import torch

PROTOCOL = 2  # what torch.save writes, and all that PyTorch's restricted reader takes

# Built by PyTorch's restricted reader itself.
TENSOR_GLOBALS = frozenset(
    {
        "_codecs.encode",
        "builtins.set",
        "collections.Counter",
        "collections.OrderedDict",
        "torch.Size",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
        "torch.device",
        "torch.storage.UntypedStorage",
        *(f"torch.{kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16")),
        *(f"torch.{kind}Storage" for kind in ("Long", "Int", "Short", "Char", "Byte", "Bool")),
        *(f"torch.{kind}" for kind in ("float16", "bfloat16", "float32", "float64", "int64", "int32")),
    }
)


class Inert:
    """Stands in for an object of a foreign class: state holds what the file says of it, and it does nothing."""

    state: Any = None

    def __new__(cls, *args: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _empty_dict(*_: Any) -> dict[Any, Any]:
    """Stands in for collections.defaultdict: filled by the file, as a plain dict."""
    return {}


# Harmless, but of other projects: omegaconf's configuration tree as dill writes it, and numpy's numbers.
INERT_GLOBALS = (
    "builtins.bool",
    "builtins.bytes",
    "builtins.dict",
    "builtins.float",
    "builtins.int",
    "builtins.list",
    "builtins.str",
    "builtins.tuple",
    "dill._dill._load_type",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.base.Node",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "omegaconf.nodes.BooleanNode",
    "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.IntegerNode",
    "omegaconf.nodes.StringNode",
    "omegaconf.nodes.ValueNode",
    "typing.Any",
)
STAND_INS: dict[str, Any] = {
    **{name: type(name.rpartition(".")[2], (Inert,), {}) for name in INERT_GLOBALS},
    "collections.defaultdict": _empty_dict,
}


def load(path: Path) -> Any:
    """What torch.save wrote to the file: containers, numbers, tensors on the CPU, Inert in place of foreign objects.

    Tensors are mapped, not read: clone what is kept. Raises ValueError naming the file, the fault and the cure when it
    is not such a file, is damaged, or names a global that is not known.
    """
    unknown = sorted(global_names(path) - TENSOR_GLOBALS - set(STAND_INS))
    if unknown:
        raise ValueError(
            f"{path}: its pickle asks for {', '.join(unknown)}, which this reader does not know; nothing was executed. "
            "If you trust the file, save its weights and configuration again without these objects, "
            "on the machine that made it"
        )
    try:
        with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in STAND_INS.items()]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a malformed pickle can make its reader raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} is damaged or not a checkpoint ({reason}); copy the file again") from error


def global_names(path: Path) -> set[str]:
    """Dotted names of every global that the file's pickle mentions, read from its bytes. Raises ValueError as load."""
    names: set[str] = set()
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(_pickle_bytes(path)):
            if opcode.name == "PROTO" and argument != PROTOCOL:
                raise ValueError(
                    f"{path}: pickle protocol {argument}, expected {PROTOCOL} as torch.save writes it; "
                    "save it again with torch.save's default protocol"
                )
            if opcode.name in ("GLOBAL", "INST"):
                names.add(_current_name(*str(argument).split(" ", 1)))
            elif opcode.name == "STACK_GLOBAL":
                names.add(".".join(strings[-2:]) or "an unnamed object")
            elif isinstance(argument, str):
                strings.append(argument)
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} is damaged: its pickle ends early or is malformed; copy the file again") from error
    return names


def integer(data: Any) -> int | None:
    """The integer whose pickle these bytes are, or None when they hold anything else."""
    if not isinstance(data, bytes):
        return None
    value = None
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("BININT", "BININT1", "BININT2", "LONG1", "INT"):
                value = argument
            elif opcode.name not in ("PROTO", "FRAME", "STOP"):
                return None
    except ValueError:
        return None
    return value if type(value) is int else None


def _pickle_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(4)
    if not (start == b"PK\x03\x04" and zipfile.is_zipfile(path)):
        if start == b"PK\x03\x04":
            raise ValueError(f"{path} is truncated: the end of its zip archive is missing; copy the file again")
        raise ValueError(
            f"{path} is not a zip archive as torch.save writes it since PyTorch 1.6; nothing was read. "
            "If you trust the file, load and save it again with a newer PyTorch, on the machine that made it"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
            if len(pickles) != 1 or len({entry.filename for entry in entries}) < len(entries):
                raise ValueError(f"{path} has {len(pickles)} data.pkl, expected one, and no entry twice")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError(f"{path} was packed with compression, which torch.save does not do; use the original")
            return archive.read(pickles[0])
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is damaged ({error}); copy the file again") from error


def _current_name(module: str, name: str) -> str:
    """Python 2's names of modules, which protocol 2 writes, in today's words."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
