"""`optimum-cli export edge-stickers`: the same work as `edge-stickers convert`, where users of optimum look for it.

optimum reads every file of this namespace, which no distribution may give an `__init__.py` (PEP 420).
"""

from __future__ import annotations

from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand, CommandInfo
from optimum.commands.export.base import ExportCommand


class EdgeStickersExportCommand(BaseOptimumCLICommand):
    """Hands its arguments to `edge-stickers convert`."""

    COMMAND = CommandInfo(
        name="edge-stickers",
        help="Convert an animated-sticker student, or a video UNet of diffusers, to ExecuTorch, Core ML or ONNX.",
    )

    @staticmethod
    def parse_args(parser: ArgumentParser) -> None:
        """Adds the options, named as optimum's other exporters name theirs."""
        parser.add_argument("-m", "--model", required=True, help="Model folder on disk.")
        parser.add_argument("--target", required=True, help="What to convert for: executorch, coreml or onnx.")
        parser.add_argument("--precision", default=None, help="The recipe of that name: fp32, fp16 or int8.")
        parser.add_argument("--recipe", default=None, help="Name or file of a recipe, instead of --precision.")
        parser.add_argument("--backend", default=None, help="Of ExecuTorch: xnnpack, coreml or vulkan.")
        parser.add_argument("--components", default=None, help="Only these, with commas between.")
        parser.add_argument("--frames", default=None, help="Of a video UNet's clips.")
        parser.add_argument("--size", default=None, help="Of a video UNet's latents, such as 64 or 40x64.")
        parser.add_argument("--tokens", default=None, help="Of a video UNet's prompts.")
        parser.add_argument("--whole", action="store_true", help="One program of a video UNet.")
        parser.add_argument("-o", "--output", "--output_dir", dest="output", required=True, help="Folder to write.")

    def run(self) -> None:
        """Ends the process with the exit code of `edge-stickers convert`."""
        from edge_stickers.cli.main import main

        given = {
            name: value for name, value in vars(self.args).items() if name != "func" and value not in (None, False)
        }
        flags = [f"--{name}" for name, value in given.items() if value is True]
        options = [text for name, value in given.items() if value is not True for text in (f"--{name}", str(value))]
        main(["convert", *flags, *options])


REGISTER_COMMANDS = [(EdgeStickersExportCommand, ExportCommand)]
"""Read by optimum: the command, and the one that it belongs under."""
