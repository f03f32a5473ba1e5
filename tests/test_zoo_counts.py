"""The classic nets of configs/: their parameters to the last one, the shapes on their way, and how short their texts are."""

from __future__ import annotations

import pytest

from tests import zoo

COUNTS = {
    "alexnet": 60_965_224, "caffenet": 60_965_224,
    "vgg_a": 132_863_336, "vgg_a_lrn": 132_863_336, "vgg_b": 133_047_848, "vgg_c": 133_638_952,
    "vgg_d": 138_357_544, "vgg_e": 143_667_240,
    "nin": 966_986,
    "googlenet": 13_378_280,
    "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160, "resnet152": 60_192_808,
    "resnet20": 269_722, "resnet32": 464_154, "resnet44": 658_586, "resnet56": 853_018, "resnet110": 1_727_962,
}  # fmt: skip


def conv(c: int, n: int, k: int = 3) -> int:
    """The parameters of a convolution, or a deconvolution, with its biases."""
    return c * n * k * k + n


def normed(c: int, n: int, k: int = 3) -> int:
    """Without biases, with the scale and the bias of its BatchNorm."""
    return c * n * k * k + 2 * n


VGG = 14_714_688  # the convolutions of VGG D
FC = conv(512, 4096, 7) + conv(4096, 4096, 1)  # as convolutions


def test_the_convolutions_of_vgg_d_are_what_its_linear_layers_leave() -> None:
    assert COUNTS["vgg_d"] - FC - conv(4096, 1000, 1) == VGG


def test_fcn() -> None:
    """Each class is enlarged by itself: a kernel of (2 f)^2 each."""
    count = VGG + FC + conv(4096, 21, 1) + 21 * 64 * 64
    assert zoo.read("fcn32s").net.store.parameters == count == 134_432_597
    count += 21 * (32 * 32 - 64 * 64) + 21 * 4 * 4 + conv(512, 21, 1)
    assert zoo.read("fcn16s").net.store.parameters == count == 134_379_194
    count += 21 * (16 * 16 - 32 * 32) + 21 * 4 * 4 + conv(256, 21, 1)
    assert zoo.read("fcn8s").net.store.parameters == count == 134_368_799


def test_deconvnet() -> None:
    """13 convolutions, 2 for the linear layers, 1 back to 7 x 7, 13 deconvolutions, the scores: the paper says 252 million."""
    down = [3, 64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    up = [*[512] * 6, 256, 256, 256, 128, 128, 64, 64, 64]
    count = sum(normed(c, n) for way in (down, up) for c, n in zip(way, way[1:]))
    count += normed(512, 4096, 7) + normed(4096, 4096, 1) + normed(4096, 512, 7) + conv(64, 21, 1)
    assert zoo.read("deconvnet").net.store.parameters == count == 251_788_949


def test_unet() -> None:
    """The paper's figure, one channel in and two classes out."""
    down = sum(conv(c, n) + conv(n, n) for c, n in ((1, 64), (64, 128), (128, 256), (256, 512), (512, 1024)))
    up = sum(conv(2 * n, n, 2) + conv(2 * n, n) + conv(n, n) for n in (512, 256, 128, 64))
    made = zoo.read("unet")
    assert made.net.store.parameters == down + up + conv(64, 2, 1) == 31_030_658
    shapes = made.net.shapes["train"]
    sides = [shapes[f"down{level}/relu2"][2] for level in range(1, 6)] + [
        shapes[f"up{level}/convs/relu2"][2] for level in (4, 3, 2, 1)
    ]
    assert (shapes["data"][2], sides) == (572, [568, 280, 136, 64, 28, 52, 100, 196, 388])
    assert shapes["label"] == (1, 388, 388)


@pytest.mark.parametrize("name", COUNTS)
def test_parameters(name: str) -> None:
    assert zoo.read(name).net.store.parameters == COUNTS[name]


def test_the_heads_of_googlenet_are_for_training_alone() -> None:
    net = zoo.read("googlenet").net
    count = sum(part.shape.count for part in net.store.segments.values() if not part.layer.startswith("head"))
    assert count == 6_998_552
    assert [line.weight for line in net.lines if line.layer.kind == "loss"] == [1, 0.3, 0.3]
    assert not any(name.startswith("head") for name in (*net.shapes["test"], *net.shapes["deploy"]))
    assert net.shapes["train"]["head1/pool"] == (256, 512, 4, 4)


@pytest.mark.parametrize(
    ("name", "blob", "shape"),
    [
        ("alexnet", "conv1", (96, 55, 55)), ("alexnet", "pool5", (256, 6, 6)), ("caffenet", "norm1", (96, 27, 27)),
        ("vgg_d", "pool5", (512, 7, 7)), ("nin", "mlp3/mix2/relu", (10, 8, 8)), ("googlenet", "in5b/join", (1024, 7, 7)),
        ("resnet18", "res5/2/relu2", (512, 7, 7)), ("resnet50", "res2/3/relu3", (256, 56, 56)),
        ("resnet50", "res5/3/relu3", (2048, 7, 7)), ("resnet20", "res3/3/relu2", (64, 8, 8)),
        ("fcn32s", "score", (21, 16, 16)), ("fcn32s", "enlarged/up", (21, 544, 544)), ("fcn16s", "skip4/sum", (21, 34, 34)),
        ("fcn8s", "skip3/sum", (21, 70, 70)), ("fcn8s", "crop", (21, 500, 500)),
        ("deconvnet", "fc7/relu", (4096, 1, 1)), ("deconvnet", "unpool1", (64, 224, 224)),
    ],
)  # fmt: skip
def test_shapes(name: str, blob: str, shape: tuple[int, ...]) -> None:
    assert zoo.read(name).net.shapes["train"][blob][1:] == shape


def test_the_first_unit_of_a_stage_takes_every_second_place_and_fills_channels_up_with_0() -> None:
    shapes = zoo.read("resnet20").net.shapes["train"]
    assert (shapes["res2/1/every2"][1:], shapes["res2/1/wide"][1:]) == ((16, 16, 16), (32, 16, 16))
    assert "res2/2/wide" not in shapes


def test_what_is_enlarged_at_the_end_stays_bilinear_and_the_rest_is_learnt() -> None:
    parts = zoo.read("fcn8s").net.store.segments.values()
    ups = {part.layer: (part.filler.type, part.frozen) for part in parts if part.layer.endswith("/up")}
    assert ups == {
        "skip4/twice/up": ("bilinear", False),
        "skip3/twice/up": ("bilinear", False),
        "enlarged/up": ("bilinear", True),
    }


@pytest.mark.parametrize(("name", "most"), [("resnet50", 45), ("resnet18", 45), ("vgg_d", 40), ("googlenet", 80), ("unet", 45)])
def test_a_text_is_short(name: str, most: int) -> None:
    lines = (zoo.CONFIGS / f"{name}.yaml").read_text().splitlines()
    assert sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines) <= most
