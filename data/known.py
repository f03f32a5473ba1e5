"""Sets that are known by name: which files they are, where they are looked for, where they come from, on what terms."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dltrain.data.download import Remote, Unreachable, fetch
from dltrain.errors import DataError

ENDS = ("", ".gz")  # plain files come before gzipped ones
ARCHIVES = (".zip", ".tar.gz")


@dataclass(frozen=True)
class Known:
    """A set as its makers give it away."""

    name: str  # of the source, and of its folder in $DLTRAIN_DATA and in the cache
    samples: str
    files: tuple[Remote, ...]  # what every mirror has; none: it comes with dltrain
    mirrors: tuple[str, ...]
    inside: str  # the folder in which an archive has its files
    licence: str
    paper: str

    @property
    def archive(self) -> str | None:
        """The one file that holds all others, where it is one."""
        return self.files[0].name if self.files and self.files[0].name.endswith(ARCHIVES) else None

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
TORONTO = ("https://www.cs.toronto.edu/~kriz/",)
KRIZHEVSKY = "Krizhevsky, Learning multiple layers of features from tiny images, 2009"
NONE_STATED = "none stated; the makers ask to be cited"
SETS = (
    Known("digits", "1,257 + 180 + 360", (), (), "", "CC BY 4.0 (DIGITS_LICENSE.md)",
          "Alpaydin & Kaynak, UCI Machine Learning Repository 1998"),
    Known("mnist", "60,000 + 10,000", (
        Remote(IMAGES, 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        Remote(LABELS, 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        Remote(TEST_IMAGES, 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        Remote(TEST_LABELS, 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ), ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
          "", "none stated", "LeCun, Bottou, Bengio & Haffner, Proc. IEEE 1998"),
    Known("fashion_mnist", "60,000 + 10,000", (
        Remote(IMAGES, 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        Remote(LABELS, 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        Remote(TEST_IMAGES, 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        Remote(TEST_LABELS, 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ), ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"),
          "", "MIT (Zalando SE)", "Xiao, Rasul & Vollgraf, arXiv 1708.07747"),
    Known("emnist", "up to 697,932 + 116,323", (
        Remote("gzip.zip", 561_753_746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),
    ), ("https://biometrics.nist.gov/cs_links/EMNIST/", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/"),
          "gzip", "none stated; from NIST Special Database 19", "Cohen, Afshar, Tapson & van Schaik, arXiv 1702.05373"),
    Known("cifar10", "50,000 + 10,000", (
        Remote("cifar-10-binary.tar.gz", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
    ), TORONTO, "cifar-10-batches-bin", NONE_STATED, KRIZHEVSKY),
    Known("cifar100", "50,000 + 10,000", (
        Remote("cifar-100-binary.tar.gz", 168_513_733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
    ), TORONTO, "cifar-100-binary", NONE_STATED, KRIZHEVSKY),
)  # fmt: skip
KNOWN = {known.name: known for known in SETS}


def find(name: str, root: str | None, wanted: Collection[str]) -> dict[str, Path]:
    """Where each of the wanted files of a set is, plain or gzipped; or its one archive, by its own name, where that holds them.

    In `root` alone where it is given; else in $DLTRAIN_DATA/NAME where one of them is there; else in the cache, into which
    what it lacks is fetched.  DataError, with the ways out, where a file is neither there nor to be had.
    """
    known = KNOWN[name]
    given = Path(root) if root is not None else shared(name)
    found = look(known, given, wanted) if given else {}
    if given and (root is not None or found):
        if not whole(known, found, wanted):
            lack = ", ".join(lacking(known, found, wanted))
            raise DataError(f"{name}: {given} lacks {lack} (plain or .gz); add what is missing, or name a folder that has all: "
                            "--set data.source.root=DIR")  # fmt: skip
        return found
    return fetched(known, wanted)


def fetched(known: Known, wanted: Collection[str]) -> dict[str, Path]:
    """What the cache has of a set, once what it lacks has been fetched into it."""
    cache = cache_folder(known.name)
    found = look(known, cache, wanted)
    if whole(known, found, wanted):
        return found
    said = os.environ.get("DLTRAIN_MIRROR")
    mirrors = [f"{said.rstrip('/')}/{known.name}/", *known.mirrors] if said else known.mirrors
    try:
        for remote in known.files:
            if known.archive is not None or stem(remote.name) not in found:
                fetch(remote, mirrors, cache)
    except Unreachable as error:
        lack = ", ".join(lacking(known, look(known, cache, wanted), wanted))
        them = "put it, or what is in it," if known.archive else "put the files"
        ways = f"{them} into {cache}, or into DIR/{known.name} with DLTRAIN_DATA=DIR, or say --set data.source.root=DIR"
        raise DataError(f"{known.name}: {lack} could not be fetched ({error}); {ways}") from None
    return look(known, cache, wanted)


def look(known: Known, folder: Path, wanted: Collection[str]) -> dict[str, Path]:
    """What a folder has: wanted files in either spelling, plain or gzipped, also in the archive's folder; else the archive."""
    places = [folder, folder / known.inside] if known.inside else [folder]
    found = {}
    for name in wanted:
        spellings = [name, name.replace("-idx", ".idx")]
        paths = (place / (spelling + end) for place in places for end in ENDS for spelling in spellings)
        path = next((path for path in paths if os.path.isfile(path)), None)
        if path is not None:
            found[name] = path
    if known.archive and len(found) < len(wanted) and os.path.isfile(folder / known.archive):
        return {known.archive: folder / known.archive}
    return found


def whole(known: Known, found: dict[str, Path], wanted: Collection[str]) -> bool:
    return len(found) == len(wanted) or known.archive in found


def lacking(known: Known, found: dict[str, Path], wanted: Collection[str]) -> list[str]:
    """What must still come: the archive, or single files."""
    if known.archive and not found:
        return [known.archive]
    return [name for name in wanted if name not in found]


def stem(name: str) -> str:
    return name.removesuffix(".gz")


def shared(name: str) -> Path | None:
    """The folder of a set among your own data, $DLTRAIN_DATA/NAME."""
    said = os.environ.get("DLTRAIN_DATA")
    return Path(said, name) if said else None


def cache_folder(name: str) -> Path:
    """$XDG_CACHE_HOME/dltrain/NAME, or ~/.cache/dltrain/NAME; by its specification a relative XDG_CACHE_HOME does not count."""
    said = os.environ.get("XDG_CACHE_HOME", "")
    return Path(said if os.path.isabs(said) else os.path.expanduser("~/.cache"), "dltrain", name)
