"""Problems with bit widths: random small ones, a chain to reason about, and a network of ResNet-50's size."""

from dataclasses import replace
from itertools import product

from hypothesis import strategies as st

from tests.support.problems import problems
from tiersplit_core.planning.problem import INPUT, Link, MemoryModel, Objective, Problem, ProblemLayer, Tier, Variant

SMALL = st.one_of(st.just(0.0), st.floats(1e-4, 1.0))


def variants_of(weights, elements, seconds, widths, errors):
    """A variant per pair of widths, whose seconds and errors are sums of a weight's and an activation's part."""
    return tuple(
        Variant(w, a, -(-weights * w // 8), {"t0": seconds * (1 + w / 16 + a / 16)}, errors[w] + errors[a] * elements)
        for w, a in product(widths, repeat=2)
    )


@st.composite
def quantised(draw, max_layers=4, tiers=2, limited=None, widths=(2, 8), chain=False, objectives=(Objective.LATENCY,)):
    """Random DAGs whose layers (most of them) have variants on the first tier; some limit memory and distortion."""
    problem = draw(
        problems(max_tiers=tiers, max_layers=max_layers, objectives=objectives, chain=chain, limited=False).filter(
            lambda p: len(p.tiers) == tiers
        )
    )
    layers = []
    for layer in problem.layers:
        elements, weights = draw(st.integers(0, 5_000)), draw(st.integers(0, 5_000))
        fine = draw(SMALL) / 1e3
        errors = {2: fine + draw(SMALL), 4: fine + draw(SMALL) / 10, 6: fine, 8: fine / 2}
        made = variants_of(weights, max(elements, 1), 2 * draw(SMALL), widths, errors)
        kept = draw(st.lists(st.sampled_from(made), unique_by=lambda v: (v.weight_bits, v.activation_bits)))
        own = replace(layer, output_bytes=4 * elements, weight_bytes=4 * weights, elements=elements)
        layers.append(replace(own, variants=tuple(kept)))
    whole = sum(layer.weight_bytes + layer.output_bytes for layer in layers) + problem.input_bytes
    limit = int(draw(st.floats(0.01, 1.0)) * whole) if (draw(st.booleans()) if limited is None else limited) else None
    error = sum(max((v.distortion for v in layer.variants), default=0.0) for layer in layers)
    return replace(
        problem,
        layers=tuple(layers),
        tiers=(replace(problem.tiers[0], memory_bytes=limit), *problem.tiers[1:]),
        memory_model=draw(st.sampled_from(MemoryModel)),
        max_distortion=draw(st.one_of(st.none(), st.floats(0.0, 1.0).map(lambda share: share * error))),
        transmission_bits=draw(
            st.dictionaries(st.sampled_from([layer.name for layer in layers]), st.sampled_from([1, 8, 32]), max_size=2)
        ),
    )


def chain_of_four(memory=None, **changes):
    """A chain with large early activations, a slow first tier and variants of 2, 4, 6 and 8 bits."""
    weights, elements = (1_000, 20_000, 60_000, 200_000), (80_000, 20_000, 4_000, 10)
    errors = {2: 1.0, 4: 0.1, 6: 0.02, 8: 0.002}
    layers = tuple(
        ProblemLayer(
            name=f"c{i}",
            inputs=(f"c{i - 1}" if i else INPUT,),
            output_bytes=4 * size,
            weight_bytes=4 * count,
            seconds={"t0": 0.2, "t1": 0.001},
            elements=size,
            variants=variants_of(count, 1, 0.01, (2, 4, 6, 8), errors),
        )
        for i, (count, size) in enumerate(zip(weights, elements, strict=True))
    )
    tiers, links = (Tier("t0", memory), Tier("t1")), (Link("t0", "t1", 1e6, 0.01),)
    return replace(Problem(layers, ("c3",), 60_000, tiers, links), **changes)


def like_resnet50(memory=None, widths=(2, 4, 6, 8)):
    """A network with ResNet-50's blocks and sizes on made-up tiers, every pair of widths in every layer."""
    layers, source, side, channels = [], INPUT, 112, 64

    def add(name, inputs, weights, elements, macs):
        seconds = {"t0": macs / 3.4e10 + (weights + elements) * 4 / 1e9, "t1": macs / 9.6e13}
        errors = {b: 2.0**-b / (1 + len(layers)) for b in widths}
        made = tuple(
            Variant(
                w,
                a,
                -(-weights * w // 8),
                {"t0": macs / 3.4e10 + (weights * w + elements * a) / 8e9},
                (errors[w] if weights else 0.0) + errors[a] / 2,
            )
            for w, a in product(widths, repeat=2)
        )
        layers.append(ProblemLayer(name, inputs, 2 * elements, 2 * weights, seconds, elements, made))
        return name

    def conv(name, read, size, out, kernel, from_channels):
        weights = kernel * kernel * from_channels * out
        return add(name, (read,), weights, out * size * size, weights * size * size)

    source = conv("conv1", source, 112, 64, 7, 3)
    side = 56
    source = add("pool", (source,), 0, 64 * side * side, 0)
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        side = 56 // 2**stage
        for block in range(blocks):
            name, skip = f"s{stage}b{block}", source
            if block == 0:
                skip = conv(f"{name}d", source, side, 4 * width, 1, channels)
            read = conv(f"{name}c1", source, side, width, 1, channels)
            read = conv(f"{name}c2", read, side, width, 3, width)
            read = conv(f"{name}c3", read, side, 4 * width, 1, width)
            source = add(f"{name}add", (read, skip), 0, 4 * width * side * side, 0)
            channels = 4 * width
    source = add("gap", (source,), 0, channels, 0)
    source = conv("fc", source, 1, 1000, 1, channels)
    tiers, links = (Tier("t0", memory), Tier("t1")), (Link("t0", "t1", 3e6, 0.0),)
    return Problem(tuple(layers), (source,), 150_528, tiers, links, memory_model=MemoryModel.AUTOSPLIT)
