"""From the protobuf message of a model to a `Program`, with everything checked that execution relies on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import numpy as np

from edge_stickers.convert.coreml_executor.program import Argument, Constant, Literal, Operation, Output, Program
from edge_stickers.convert.coreml_executor.types import BY_PROTO, ELEMENT_TYPES, Array, ValueType
from edge_stickers.convert.coreml_executor.weights import blob, open_weights
from edge_stickers.errors import BundleError
from edge_stickers.spec import DType, TensorSpec

_MODEL_PATH = "@model_path/"
_DTYPES = {"fp32": "float32", "fp16": "float16", "int32": "int32"}
_AGAIN = "convert the model again"


def parse_program(message: Any, *, package: Path, folder: Path) -> Program:
    """Checks the function `main` and takes it apart.

    Args:
        message: `CoreML.Specification.Model`, an ML program.
        package: for messages.
        folder: of the model file; weights lie below it.

    Returns:
        The program.

    Raises:
        BundleError: it is not consistent: names that nothing makes, values of unknown types, weights that are missing.
    """
    return _Parser(package, folder).program(message)


class _Parser:
    def __init__(self, package: Path, folder: Path) -> None:
        self._package = package
        self._folder = folder.resolve()
        self._files: dict[str, Array] = {}
        self._operations: list[Operation] = []
        self._constants: dict[str, Literal] = {}
        self._known: set[str] = set()

    def program(self, message: Any) -> Program:
        functions = message.mlProgram.functions
        if "main" not in functions:
            raise self._wrong(f"has the functions {', '.join(functions) or 'none'}, expected main")
        main = functions["main"]
        blocks = main.block_specializations
        if main.opset not in blocks:
            raise self._wrong(f"has no block for its opset {main.opset or '(none)'}; got {', '.join(blocks) or 'none'}")
        block = blocks[main.opset]
        inputs = tuple(self._spec(each.name, self._type(each.type, each.name)) for each in main.inputs)
        self._define(spec.name for spec in inputs)
        types = {spec.name: spec for spec in inputs}
        for operation in block.operations:
            for output in self._add(operation):
                if output.type.element.name in _DTYPES:  # all that an output of a model can be
                    types[output.name] = self._spec(output.name, output.type)
        missing = [name for name in block.outputs if name not in types]
        if missing or not block.outputs:
            raise self._wrong(f"gives {', '.join(missing) or 'nothing'}, which no operation makes")
        outputs = tuple(types[name] for name in block.outputs)
        return Program(self._package, main.opset, inputs, outputs, tuple(self._operations), self._constants)

    def _add(self, operation: Any) -> tuple[Output, ...]:
        """Takes in one operation; returns what it makes."""
        outputs = tuple(Output(each.name, self._type(each.type, each.name)) for each in operation.outputs)
        if not outputs:
            raise self._wrong(f"has an operation {operation.type or '(no name)'} that makes nothing")
        where = outputs[0].name
        names = (operation.type, *operation.attributes, *operation.inputs, *(output.name for output in outputs))
        if not all(name.isprintable() for name in names):
            raise self._wrong(f"has an operation {where} with names that are not printable")
        attributes = {
            key: self._literal(value, f"{where}.{key}") for key, value in operation.attributes.items() if key != "name"
        }
        if operation.type == "const":
            if "val" not in attributes:
                raise self._wrong(f"has a constant {where} without a value")
            self._constants[where] = attributes["val"]
        else:
            inputs: dict[str, tuple[Argument, ...]] = {key: (value,) for key, value in attributes.items()}
            for key, argument in operation.inputs.items():
                inputs[key] = tuple(self._argument(each, f"{where}.{key}") for each in argument.arguments)
            self._operations.append(Operation(operation.type, inputs, outputs))
        self._define(output.name for output in outputs)
        return outputs

    def _argument(self, binding: Any, where: str) -> Argument:
        if binding.WhichOneof("binding") == "value":
            return self._literal(binding.value, where)
        name = str(binding.name)
        if name not in self._known:
            raise self._wrong(f"reads {name!r} as {where}, which nothing before it makes")
        return name

    def _define(self, names: Iterable[str]) -> None:
        for name in names:
            if not name.isprintable() or not name:
                raise self._wrong(f"makes a value of the name {name!r}, expected printable characters")
            if name in self._known:
                raise self._wrong(f"makes {name!r} twice")
            self._known.add(name)

    def _literal(self, value: Any, where: str) -> Literal:
        kind = value.WhichOneof("value")
        if kind == "blobFileValue":
            return self._weights(value, where)
        content = value.immediateValue.WhichOneof("value") if kind == "immediateValue" else None
        if content in ("tuple", "list"):
            return tuple(self._literal(each, where) for each in getattr(value.immediateValue, content).values)
        if content != "tensor":
            raise self._wrong(f"has a value {where} of kind {content or kind or 'none'}, expected a tensor")
        declared = self._fixed(value.type, where)
        return Constant(declared, self._immediate(value.immediateValue.tensor, declared, where))

    def _immediate(self, tensor: Any, declared: ValueType, where: str) -> Array:
        field = tensor.WhichOneof("value")
        element = declared.element
        values: Any = () if field is None else getattr(tensor, field).values
        if field == "bytes":
            expected = -(-declared.elements * (element.bits or 8 * element.numpy.itemsize) // 8)
            if len(values) != expected or element.numpy.kind == "O":
                raise self._wrong(f"has {len(values)} bytes in {where}, expected {expected} for {declared}")
            return np.frombuffer(values, np.uint8 if element.packed else element.numpy)
        if len(values) != declared.elements or (element.numpy.kind == "O") != (field == "strings"):
            raise self._wrong(f"has {len(values)} {field or 'values'} in {where}, expected {declared}")
        return np.array(list(values), dtype=element.numpy)

    def _weights(self, value: Any, where: str) -> Constant:
        declared = self._fixed(value.type, where)
        name = str(value.blobFileValue.fileName)
        path = self._folder / PurePosixPath(name.removeprefix(_MODEL_PATH))
        if not name.isprintable() or not path.resolve().is_relative_to(self._folder):
            raise self._wrong(f"keeps {where} in {name!r}, which is outside the package")
        if name not in self._files:
            self._files[name] = open_weights(path)
        offset = int(value.blobFileValue.offset)
        label = f"{self._package}: {where}"
        return Constant(declared, blob(self._files[name], offset, declared.element, declared.elements, where=label))

    def _fixed(self, message: Any, where: str) -> ValueType:
        declared = self._type(message, where)
        if None in declared.shape:
            raise self._wrong(f"has a constant {where} of shape {declared}, expected one that is known")
        return declared

    def _type(self, message: Any, where: str) -> ValueType:
        kind = message.WhichOneof("type")
        if kind != "tensorType":
            raise self._wrong(f"has {where} of type {kind or 'none'}, expected a tensor")
        tensor = message.tensorType
        if tensor.dataType not in BY_PROTO:
            raise self._wrong(
                f"has {where} of element type {tensor.dataType}, expected one of {', '.join(ELEMENT_TYPES)}"
            )
        shape = tuple(
            int(each.constant.size) if each.WhichOneof("dimension") == "constant" else None
            for each in tensor.dimensions
        )
        return ValueType(BY_PROTO[tensor.dataType], shape)

    def _spec(self, name: str, declared: ValueType) -> TensorSpec:
        dtype = _DTYPES.get(declared.element.name)
        if dtype is None or dtype not in get_args(DType):
            raise self._wrong(f"has an input {name} of {declared}, expected {', '.join(_DTYPES)}")
        # A dimension that is known at run time only is 0 here, and takes any size.
        return TensorSpec(name, tuple(size or 0 for size in declared.shape), dtype)  # type: ignore[arg-type]

    def _wrong(self, what: str) -> BundleError:
        printable = "".join(each if each.isprintable() else "?" for each in what)  # names come from a damaged file
        return BundleError(f"{self._package} {printable}; {_AGAIN}")
