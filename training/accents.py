"""English digits as speakers of other languages say them, spelled for espeak-ng.

Each language's voice reads its own spelling with its own sounds: an accent, made
without recordings.
"""

from __future__ import annotations

SPELLINGS = {
    "cs": ("zíro", "van", "tú", "srí", "fór", "fajv", "siks", "seven", "ejt", "najn"),
    "de": ("siro", "wonn", "tu", "sri", "for", "faif", "ßix", "säwen", "äit", "nain"),
    "el": ("ζίρο", "ουάν", "του", "θρι", "φορ", "φάιβ", "σιξ", "σέβεν", "έιτ", "νάιν"),
    "es": ("siro", "uan", "tu", "tri", "for", "faiv", "six", "seven", "eit", "nain"),
    "fr-fr": (
        "ziro", "ouane", "tou", "sri", "fore", "faïve", "sixe", "sévène", "éïte",
        "naïne",
    ),
    "it": ("siro", "uan", "tu", "tri", "for", "faiv", "six", "seven", "eit", "nain"),
    "nl": (
        "ziro", "wan", "toe", "srie", "foor", "faif", "siks", "seven", "eet", "nain",
    ),
    "pl": ("ziro", "łan", "tu", "sri", "for", "fajf", "siks", "sewen", "ejt", "najn"),
    "pt": ("ziro", "uân", "tú", "tri", "fór", "faive", "six", "séven", "eit", "nain"),
    "ru": ("зиро", "уан", "ту", "сри", "фор", "файв", "сикс", "севен", "эйт", "найн"),
    "sv": ("siro", "uann", "tu", "tri", "for", "fajv", "six", "seven", "ejt", "najn"),
}  # fmt: skip
"""espeak-ng's language to the digits from zero to nine."""
