"""Parts of speech of the words that expressions use.

The lists are short on purpose. A word that they lack gets its tag from its ending, and a word whose
ending is unknown too is a noun.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RELATIONAL_NOUNS = _words(
    "left right top bottom middle center centre side part corner edge row group image picture "
    "photo photograph scene north south east west northeast northwest southeast southwest half "
    "quarter front back end border background foreground portion"
)
"""Nouns for places and pictures. They are never the target."""

PARTITIVE_NOUNS = _words(
    "area array body bunch cluster collection couple dozen fleet grove kind line lot majority "
    "number pair patch piece section set stand stretch strip type"
)
"""Nouns that are not the target when "of" follows, as in "a pair of ships"."""

PICTURE_NOUNS = _words("image picture photo photograph scene map frame view tile window imagery")
"""Nouns for the picture itself."""

UNCOUNTED = _words(
    "water grass sand soil land ground asphalt concrete rubble snow ice mud gravel dirt vegetation "
    "foliage brush scrub farmland cropland grassland wetland pavement traffic smoke people cattle "
    "sheep debris rock scree turf lawn"
)
"""Nouns without another plural."""

NOT_SUPERLATIVE = _words(
    "forest west east northwest southwest almost rest test nest crest chest guest quest request "
    "interest harvest conquest pest vest arrest protest dest invest latest"
)
"""Words that end in -est or -most and are not superlatives."""

WORDS_BY_TAG = {
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
"""Penn Treebank tag -> lower-case words."""

WORD_TAGS = {word: tag for tag, words in WORDS_BY_TAG.items() for word in words.split()}
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
"""(pattern of a whole word, tag), in order: the first match tags a word that is not listed."""
