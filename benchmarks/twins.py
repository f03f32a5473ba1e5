"""The nets of some configs once more, in PyTorch: a module has the name of its layer, so that first values find their place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

Twin = Callable[[Any, Any], Any]  # (torch.nn, the feed of the config) -> a module from the data to the scores


def named(nn: Any, **parts: Any) -> Any:
    return nn.Sequential(OrderedDict(parts))


def hymenoptera(nn: Any, feed: Any) -> Any:
    return named(
        nn,
        conv1=nn.Conv2d(3, 16, 5, 2, 2), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2, 2),
        conv2=nn.Conv2d(16, 32, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2, 2),
        conv3=nn.Conv2d(32, 64, 3, padding=1), relu3=nn.ReLU(), pool3=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(), ip=nn.Linear(64, feed.source.classes["label"]),
    )  # fmt: skip


def reviews_bow(nn: Any, feed: Any) -> Any:
    return named(nn, score=nn.Linear(feed.fields["data"][0], feed.source.classes["label"]))


def reviews_cnn(nn: Any, feed: Any) -> Any:
    import torch

    def grams(size: int) -> Any:
        return named(nn, conv=nn.Conv1d(32, 32, size), relu=nn.ReLU(), most=nn.AdaptiveMaxPool1d(1))

    class Sentences(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(feed.source.classes["data"], 32)
            self.three, self.four, self.five = grams(3), grams(4), grams(5)
            self.drop, self.score = nn.Dropout(0.5), nn.Linear(96, feed.source.classes["label"])

        def forward(self, x: Any) -> Any:
            words = self.embed(x).transpose(1, 2)
            most = [part(words) for part in (self.three, self.four, self.five)]
            return self.score(self.drop(torch.cat(most, 1).flatten(1)))

    return Sentences()


def spoken_digits(nn: Any, feed: Any) -> Any:
    return named(
        nn,
        conv1=nn.Conv1d(24, 48, 5, padding=2), relu1=nn.ReLU(), pool1=nn.MaxPool1d(2, 2),
        conv2=nn.Conv1d(48, 64, 5, padding=2), relu2=nn.ReLU(), pool2=nn.AdaptiveAvgPool1d(1),
        flat=nn.Flatten(), drop=nn.Dropout(0.3), score=nn.Linear(64, feed.source.classes["label"]),
    )  # fmt: skip


def shakespeare_window(nn: Any, feed: Any) -> Any:
    symbols, length = feed.source.classes["data"], feed.fields["data"][0]
    return named(
        nn,
        embed=nn.Embedding(symbols, 24), flat=nn.Flatten(),
        ip1=nn.Linear(24 * length, 256), relu1=nn.ReLU(), score=nn.Linear(256, symbols),
    )  # fmt: skip


def cifar10_quick(nn: Any, feed: Any) -> Any:
    def mean() -> Any:
        return nn.AvgPool2d(3, 2, ceil_mode=True)

    return named(
        nn,
        conv1=nn.Conv2d(3, 32, 5, padding=2), pool1=nn.MaxPool2d(3, 2, ceil_mode=True), relu1=nn.ReLU(),
        conv2=nn.Conv2d(32, 32, 5, padding=2), relu2=nn.ReLU(), pool2=mean(),
        conv3=nn.Conv2d(32, 64, 5, padding=2), relu3=nn.ReLU(), pool3=mean(),
        flat=nn.Flatten(), ip1=nn.Linear(1024, 64), ip2=nn.Linear(64, 10),
    )  # fmt: skip


TWINS: dict[str, Twin] = {
    "hymenoptera": hymenoptera,
    "reviews_bow": reviews_bow,
    "reviews_cnn": reviews_cnn,
    "spoken_digits": spoken_digits,
    "shakespeare_window": shakespeare_window,
    "cifar10_quick-small": cifar10_quick,
}
