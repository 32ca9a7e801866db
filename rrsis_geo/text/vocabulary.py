"""The words we know: category names, nouns that name no object, and parts of speech.

The lists are closed and small on purpose. What they lack falls to the tagger's suffix rules, and a
word that those do not know either is taken for a noun.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


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
"""Layout -> categories of the benchmark, as its papers name them."""
OTHER_CATEGORIES = ("vegetation", "water", "large vehicle", "small vehicle")
"""What our own training data labels beside the benchmarks' categories."""

CATEGORIES = tuple(
    sorted({*REFSEGRS_CATEGORIES, *RRSISD_CATEGORIES, *RISBENCH_CATEGORIES, *OTHER_CATEGORIES})
)

_NAMES_OF = {
    "airplane": ("aeroplane", "aircraft", "plane"),
    "ship": ("boat", "vessel", "watercraft"),
    "storage tank": ("fuel tank", "oil tank", "tank"),
    "baseball field": ("ball field", "baseball court", "baseball pitch"),
    "tennis court": ("court for tennis",),
    "basketball court": ("court for basketball",),
    "ground track field": (
        "athletic field",
        "athletic track",
        "athletics track",
        "running track",
        "track field",
    ),
    "soccer ball field": ("football field", "football pitch", "soccer field", "soccer pitch"),
    "golf field": ("golf course",),
    "harbor": ("harbour",),
    "vehicle": ("motor vehicle",),
    "large vehicle": ("big vehicle", "heavy vehicle"),
    "small vehicle": ("light vehicle", "little vehicle"),
    "car": ("automobile", "motor car", "passenger car"),
    "truck": ("lorry",),
    "bus": ("coach",),
    "van": ("delivery van", "minivan"),
    "building": ("built structure", "house", "structure"),
    "road": ("highway", "roadway", "street"),
    "road marking": ("lane marking",),
    "bikeway": ("bicycle lane", "bike lane"),
    "water": (
        "body of water",
        "open water",
        "piece of water",
        "stretch of water",
        "water area",
        "water body",
    ),
    "vegetation": ("greenery", "plant cover", "vegetated area"),
    "low vegetation": ("grass and shrubs",),
    "impervious surface": ("sealed surface",),
    "swimming pool": ("pool",),
    "expressway service area": ("expressway service station", "highway service area"),
    "expressway toll station": ("toll gate", "toll station"),
    "train station": ("railway station",),
    "roundabout": ("traffic circle",),
    "overpass": ("flyover",),
    "helicopter": ("chopper",),
    "windmill": ("wind turbine",),
}

SYNONYMS = {name: category for category, names in _NAMES_OF.items() for name in names}
"""Other names that users and benchmarks give to a category -> the category."""

COMPOUNDS = (
    "aircraft parking area",
    "airport apron",
    "airport runway",
    "bridge pier",
    "building site",
    "bus lane",
    "bus station",
    "bus stop",
    "car park",
    "ship lock",
    "truck stop",
    "water tank",
    "water tower",
)
"""Things whose name begins with a category's name but which are not of that category."""

RELATIONAL_NOUNS = _words(
    "left right top bottom middle center centre side part corner edge row group image picture "
    "photo photograph scene north south east west northeast northwest southeast southwest half "
    "quarter front back end border background foreground portion"
)
"""Nouns that say where a thing is, or how it is shown; they are never the target."""

PARTITIVE_NOUNS = _words(
    "area array body bunch cluster collection couple dozen fleet grove kind line lot majority "
    "number pair patch piece section set stand stretch strip type"
)
"""Nouns that are not the target when "of" follows: a pair of ships."""

PICTURE_NOUNS = _words("image picture photo photograph scene map frame view tile window imagery")

NOT_SUPERLATIVE = _words(
    "forest west east northwest southwest almost rest test nest crest chest guest quest request "
    "interest harvest conquest pest vest arrest protest dest invest latest"
)
"""Words in -est and -most that are no superlatives."""

_TAGGED_WORDS = {
    "DT": "a all an another any both each either every neither no some that the these this those",
    "IN": (
        "about above across after against ahead along alongside among amongst around as aside at "
        "atop before behind below beneath beside besides between beyond by close despite down "
        "during except for from if in inside into like near nearby of off on onto opposite out "
        "outside over past since than through throughout till toward towards under underneath "
        "until up upon versus via while with within without"
    ),
    "TO": "to",
    "CC": "and but nor or",
    "CD": "zero one two three four five six seven eight nine ten eleven twelve hundred",
    "EX": "there",
    "MD": "can could may might must shall should will would",
    "PRP": "he her him i it me she them they us we you",
    "PRP$": "his its my our their your",
    "WDT": "which what whatever",
    "WP": "who whom whose",
    "WRB": "how when where why",
    "VBZ": (
        "is has does lies stands sits goes runs leads crosses contains appears looks belongs "
        "faces heads moves"
    ),
    "VBP": "are am do have",
    "VBD": "was were had did lay stood ran went built made seen shown",
    "VB": "be find get give highlight locate mark please segment show",
    "RB": (
        "not very too also just almost adjacent directly diagonally closely here apart away "
        "together"
    ),
    "JJR": (
        "bigger smaller larger taller longer shorter wider narrower closer nearer brighter darker "
        "higher more less fewer"
    ),
    "JJS": "most least best worst",
    "JJ": (
        "red green blue white black gray grey yellow orange brown purple pink beige cyan silver "
        "golden tan maroon turquoise dark bright light pale colored coloured colorful big small "
        "large little tiny huge giant long short tall high low wide narrow thin thick broad deep "
        "shallow round square oval flat steep straight curved bent rectangular elongated new old "
        "empty full bare dense sparse dry wet clean clear same similar different other only "
        "single double main major minor own open closed whole entire first second third fourth "
        "fifth sixth last next left right top bottom upper lower middle central outer inner far "
        "nearest northern southern eastern western northeastern northwestern southeastern "
        "southwestern left-hand right-hand leftmost rightmost topmost bottommost uppermost "
        "lowermost northernmost southernmost easternmost westernmost overhead aerial urban rural "
        "industrial residential commercial public private grassy sandy rocky muddy paved unpaved "
        "concrete wooden metal multiple many several few various impervious"
    ),
    "NN": (
        "building parking swimming landing crossing marking housing railing ceiling bridge "
        "terminal canal hospital capital pedestal forest harvest nest crest grass glass cross "
        "compass overpass underpass pass mass bus gas campus shed bed seed speed ground field "
        "court road car bar weed reed jetty quay pier ring wing spring bay bikeway runway taxiway"
    ),
    "NNS": "buses people trees pieces vehicles houses bridges markings buildings",
}

WORD_TAGS = {word: tag for tag, words in _TAGGED_WORDS.items() for word in words.split()}
"""Lower-case word -> Penn Treebank tag."""

SUFFIX_TAGS = [
    (r".*\d.*", "CD"),
    (r"[^\w\s]+", "PUNCT"),
    (r".+-(?:ed|ing|like|shaped|colou?red)", "JJ"),
    (r".*-.*(?:ed|ing|en|ty|ar|al|y)", "JJ"),
    (r".*ing", "VBG"),
    (r".*[^e]ed", "VBD"),
    (r".*ly", "RB"),
    (r".{2,}est", "JJS"),
    (r".*(?:ward|wards)", "RB"),
    (r".+(?:ular|ilar|ical|ntal|ntial|onal|ious|eous|able|ible|ful|less|ish|ive|ern|most)", "JJ"),
    (r".*(?:ss|us|is)", "NN"),
    (r".+s", "NNS"),
    (r".*", "NN"),
]
"""What the ending of an unknown word tells of its part of speech; the first that matches counts."""
