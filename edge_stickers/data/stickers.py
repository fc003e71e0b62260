"""Where stickers come from: the Twemoji package or any folder, each sticker in one fixed split."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from edge_stickers.errors import InputError, MissingDependencyError

Split = Literal["train", "validation", "test"]

TWEMOJI_PACKAGE = "@twemoji/svg@15.0.0"
TWEMOJI_SHA512 = "ZSPef2B6nBaYnfgdTbAy4jgW95o7pi2xPGwGCU+WMTxo7J6B1lMPTWwSq/wTuiMq+N0khQ90CcvYp1wFoQpo/w=="
TWEMOJI_LICENCE = "Twemoji graphics, CC-BY 4.0, https://github.com/jdecked/twemoji"
SUFFIXES = (".svg", ".png", ".webp")

_SKIN_TONES = frozenset(f"1f3f{digit}" for digit in "bcdef")
_VARIATION_SELECTOR = "fe0f"
_KEYCAP = "20e3"
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_BLACK_FLAG = "1f3f4"
_WHITE_FLAG = "1f3f3"


@dataclass(frozen=True, slots=True)
class Sticker:
    """One still.

    Attributes:
        key: Code points joined by dashes, such as "1f600", or the file's stem outside Twemoji.
        name: What it shows, in lower-case words, such as "grinning face".
        path: An SVG, PNG or WebP file.
    """

    key: str
    name: str
    path: Path


def cache_folder() -> Path:
    """The folder of this user's caches where downloads and rendered stickers are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("edge-stickers", appauthor=False))


def group_of(key: str) -> str:
    """What a sticker's variants have in common: skin tones and genders of one figure give one group.

    Args:
        key: Code points joined by dashes, or any other name.

    Returns:
        The first code point, or the whole sequence for flags and keycaps; another name comes back as it is.
    """
    points = figure_of(key).split("-")
    if not all(_is_code_point(point) for point in points):
        return key
    is_flag = int(points[0], 16) in _FLAG_LETTERS or points[0] in (_BLACK_FLAG, _WHITE_FLAG)
    return "-".join(points) if is_flag or _KEYCAP in points else points[0]


def figure_of(key: str) -> str:
    """The key without skin tones: what a sticker shows, whatever its colour."""
    points = key.lower().split("-")
    if not all(_is_code_point(point) for point in points):
        return key
    return "-".join([point for point in points if point not in _SKIN_TONES and point != _VARIATION_SELECTOR] or points)


def split_of(key: str) -> Split:
    """The split a sticker belongs to: 80 % train, 4 % validation, 16 % test, the same on every machine.

    Twemoji's 3,720 files are fewer than 1,700 groups: 16 % is what gives more than 250 figures to test on.

    Args:
        key: Code points joined by dashes, or any other name.
    """
    digest = hashlib.sha256(group_of(key).encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < 0.80:
        return "train"
    return "validation" if share < 0.84 else "test"


def list_stickers(folder: Path, split: Split | None = None) -> list[Sticker]:
    """The stickers of a folder, sorted by key.

    Args:
        folder: Holds SVG, PNG or WebP files; subfolders are not read.
        split: Keeps this split alone; None keeps all.

    Raises:
        InputError: The folder is missing or holds no sticker, or the split is not known.
    """
    if split is not None and split not in get_args(Split):
        raise InputError(f"split is {split!r}, expected one of {', '.join(get_args(Split))}")
    if not folder.is_dir():
        raise InputError(f"sticker folder {folder} does not exist: name a folder of SVG, PNG or WebP files")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise InputError(f"no SVG, PNG or WebP file in {folder}: name a folder that holds stickers")
    stickers = [Sticker(path.stem, sticker_name(path.stem), path) for path in paths]
    return [sticker for sticker in stickers if split is None or split_of(sticker.key) == split]


def sticker_name(key: str) -> str:
    """Lower-case words for a sticker: the emoji's English name, or the words of the file's stem."""
    emoji_name = _emoji_name(key)
    words = (emoji_name or key).replace("_", " ").replace("-", " ").replace(":", " ")
    return " ".join(words.lower().split()) or "sticker"


def fetch_twemoji(cache: Path | None = None) -> Path:
    """Fetches the Twemoji SVGs through npm, once; later calls work offline.

    Args:
        cache: Folder to keep them in; the user's cache folder by default.

    Returns:
        The folder of 3,720 SVG files.

    Raises:
        MissingDependencyError: npm is not installed, or it cannot reach its registry.
        InputError: What npm delivered is not the pinned package.
    """
    cache = cache_folder() if cache is None else cache
    target = cache / "twemoji-svg-15.0.0"
    if target.is_dir():
        return target
    npm = shutil.which("npm")
    if npm is None:
        raise MissingDependencyError(
            "npm was not found: install Node.js, which brings npm, or name your own stickers with --stickers FOLDER"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        tarball = _npm_pack(npm, Path(folder))
        unpack_twemoji(tarball, target)
    return target


def unpack_twemoji(tarball: Path, target: Path) -> None:
    """Checks the package's sha512 and unpacks its SVGs into `target`, whole or not at all.

    Raises:
        InputError: The checksum is another one.
    """
    got = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if got != TWEMOJI_SHA512:
        raise InputError(
            f"{TWEMOJI_PACKAGE} has sha512 {got[:16]}…, expected {TWEMOJI_SHA512[:16]}…: "
            "check the npm registry, or name your own stickers with --stickers FOLDER"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        with tarfile.open(tarball) as archive:
            archive.extractall(folder, filter="data")
        try:
            (Path(folder) / "package").rename(target)
        except OSError:
            # Another process was faster: its copy passed the same check.
            if not target.is_dir():
                raise


def _npm_pack(npm: str, folder: Path) -> Path:
    command = [npm, "pack", TWEMOJI_PACKAGE, "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    tarballs = sorted(folder.glob("*.tgz"))
    if done.returncode != 0 or not tarballs:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise MissingDependencyError(
            f"npm could not fetch {TWEMOJI_PACKAGE} ({reason}): "
            "check the network, or name your own stickers with --stickers FOLDER"
        )
    return tarballs[0]


def _is_code_point(text: str) -> bool:
    return 2 <= len(text) <= 6 and all(letter in "0123456789abcdef" for letter in text) and int(text, 16) < 0x110000


def _emoji_name(key: str) -> str | None:
    points = key.lower().split("-")
    if not all(_is_code_point(point) for point in points):
        return None
    import emoji

    character = "".join(chr(int(point, 16)) for point in points)
    for candidate in (character, f"{character}\N{VARIATION SELECTOR-16}"):
        data = emoji.EMOJI_DATA.get(candidate)
        if data is not None:
            return str(data["en"])
    return unicodedata.name(character[0], "") or None
