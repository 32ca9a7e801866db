"""Categories: the classes of objects that the benchmarks and our training data label."""

REFSEGRS_CATEGORIES = (
    "road",
    "vehicle",
    "car",
    "van",
    "building",
    "truck",
    "trailer",
    "bus",
    "road marking",
    "bikeway",
    "sidewalk",
    "tree",
    "low vegetation",
    "impervious surface",
)
RRSISD_CATEGORIES = (
    "airplane",
    "airport",
    "golf field",
    "expressway service area",
    "baseball field",
    "stadium",
    "ground track field",
    "storage tank",
    "basketball court",
    "chimney",
    "tennis court",
    "overpass",
    "train station",
    "ship",
    "expressway toll station",
    "dam",
    "harbor",
    "bridge",
    "vehicle",
    "windmill",
)
RISBENCH_CATEGORIES = (
    "expressway service area",
    "expressway toll station",
    "ground track field",
    "basketball court",
    "container crane",
    "roundabout",
    "windmill",
    "overpass",
    "stadium",
    "bridge",
    "soccer ball field",
    "baseball diamond",
    "train station",
    "golf field",
    "airport",
    "harbor",
    "dam",
    "ship",
    "helipad",
    "vehicle",
    "chimney",
    "airplane",
    "helicopter",
    "tennis court",
    "storage tank",
    "swimming pool",
)
BENCHMARK_CATEGORIES = {
    "refsegrs": REFSEGRS_CATEGORIES,
    "rrsisd": RRSISD_CATEGORIES,
    "risbench": RISBENCH_CATEGORIES,
}
"""Dataset layout -> categories of the benchmark, as its paper names them."""
OTHER_CATEGORIES = (
    *("vegetation", "water", "large vehicle", "small vehicle"),
    *("airport vehicle", "solar panel"),
)
"""Categories of our own training data that no benchmark has."""

CATEGORIES = tuple(
    sorted({*REFSEGRS_CATEGORIES, *RRSISD_CATEGORIES, *RISBENCH_CATEGORIES, *OTHER_CATEGORIES})
)
"""Every category that the parser of :mod:`rrsis_geo.text.phrases` recognises, sorted."""
