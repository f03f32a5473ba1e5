"""Einsum of ONNX in layers of ours: sums, transpositions and one product of matrices."""

from __future__ import annotations

from math import prod
from typing import Any

from dltrain.translate.onnx_fold import At
from dltrain.translate.onnx_formulas import blob, node
from dltrain.translate.onnx_graph import Blob, Differs, Graph


@node("Einsum")
def einsum(net: Graph, at: At, *xs: Any) -> Blob:
    """Of one or two blobs; each letter at most once in each."""
    terms, _, top = at.get("equation", "").replace(" ", "").partition("->")
    letters = terms.split(",")
    wrong = [one for one in (*letters, top) if not one.isalpha() or len(set(one)) < len(one)]
    if wrong or len(letters) != len(xs) or len(xs) > 2 or any(len(one) != blob(x).ndim for one, x in zip(letters, xs)):
        raise Differs(f"the equation {at.get('equation', '')}: one or two blobs, each letter at most once in each, an arrow")
    batches = {one[x.batch] for one, x in zip(letters, xs)}
    if len(batches) > 1 or not batches <= set(top) or sum(one.count(min(batches)) for one in letters) < len(xs):
        raise Differs(f"the equation {at['equation']} lets samples meet")
    n = batches.pop()
    # what only one of them has, and the top has not, is summed first
    kept = [set(top).union(*(other for other in letters if other is not one)) for one in letters]
    parts = [summed(net, x, one, keep, n) for x, one, keep in zip(xs, letters, kept)]
    x, have = parts[0] if len(parts) == 1 else product(net, *parts[0], *parts[1], top, n)
    return ordered(net, x, have, top.replace(n, ""), top.index(n))


def summed(net: Graph, x: Blob, have: str, keep: set[str], n: str) -> tuple[Blob, str]:
    """The sum over the letters that are not kept; the letters of ours without the batch's."""
    own = have.replace(n, "")
    lost = [letter for letter in own if letter not in keep]
    rest = [letter for letter in own if letter in keep]
    if not lost:
        return x, own
    y = net.permute(x, [0, *(own.index(letter) + 1 for letter in (*rest, *lost))], 0)
    return net("Reduction", y, operation="sum", axis=len(rest) + 1), "".join(rest)


def product(net: Graph, a: Blob, first: str, b: Blob, second: str, top: str, n: str) -> tuple[Blob, str]:
    """Letters of all three count matrices, of the two alone are summed over, of one and the top are rows and columns."""
    many = [letter for letter in first if letter in second and letter in top]
    inner = [letter for letter in first if letter in second and letter not in top]
    rows, columns = [letter for letter in first if letter not in second], [letter for letter in second if letter not in first]
    size = {letter: a.shape[axis + 1] for axis, letter in enumerate(first)}
    size |= {letter: b.shape[axis + 1] for axis, letter in enumerate(second)}
    i, j, k = (prod(size[letter] for letter in part) for part in (rows, columns, inner))
    lead = [size[letter] for letter in many]
    x = net.reshape(ordered(net, a, first, "".join(many + rows + inner), 0), [*lead, i, k], 0)
    y = net.reshape(ordered(net, b, second, "".join(many + inner + columns), 0), [*lead, k, j], 0)
    made = "".join(many + rows + columns)
    return net.reshape(net("MatMul", x, y), [size[letter] for letter in made], 0), made


def ordered(net: Graph, x: Blob, have: str, wanted: str, batch: int) -> Blob:
    return net.permute(x, [0, *(have.index(letter) + 1 for letter in wanted)], batch)
