"""Print the licence of every package that jaxtune brings, and refuse unknown ones.

    python .ci/licences.py [EXTRA ...]

It reads what is installed: the packages that jaxtune asks for, with the named extras,
and all that these ask for. It ends with 1 if a licence is unknown, or is one under
which a program that uses the package must be published as well.
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# a family of licences: how its names begin or what they have in them
FAMILIES = {
    "AGPL": r"\bAGPL|Affero",
    "LGPL": r"\bLGPL|Lesser General Public",
    "GPL": r"\bGPL|General Public License",
    "Apache-2.0": r"Apache",
    "MPL-2.0": r"\bMPL|Mozilla",
    "BSD": r"\bBSD",
    "MIT": r"\bMIT|Expat",
    "ISC": r"\bISC\b",
    "PSF-2.0": r"\bPSF|Python Software|Python-2",
    "HPND": r"HPND|Historical Permission",
    "Unlicense": r"Unlicense|Public Domain|CC0",
    "Zlib": r"zlib",
}
REFUSED = ("AGPL", "GPL", "unknown")
# the licence that its page states, of a package whose metadata have none
STATED: dict[str, str] = {}


def licence_of(package: Distribution) -> str:
    """Return the families of a package's licence; "unknown" if it names none."""
    about = package.metadata
    classifiers = about.get_all("Classifier") or []
    text = " ".join(
        [
            about.get("License-Expression") or "",
            # some put the whole text there, whose first line is its name
            (about.get("License") or "").strip().partition("\n")[0],
            *(c for c in classifiers if c.startswith("License ::")),
        ]
    )
    text += STATED.get(canonicalize_name(about["Name"]), "")
    found = [name for name, words in FAMILIES.items() if re.search(words, text)]
    # LGPL has the words of the GPL too, where it is written out
    found = [f for f in found if f != "GPL" or "LGPL" not in found]
    return ", ".join(found) or "unknown"


def brought(name: str, extras: tuple[str, ...] = ()) -> dict[str, Distribution]:
    """Return all installed packages that one brings, by name, with itself."""
    found: dict[str, Distribution] = {}
    waiting, seen = [(name, extras)], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = package = distribution(name)
        except PackageNotFoundError:
            continue
        for line in package.requires or ():
            needs = Requirement(line)
            asked = [{"extra": extra} for extra in (*extras, "")]
            if needs.marker is None or any(map(needs.marker.evaluate, asked)):
                waiting.append(
                    (canonicalize_name(needs.name), tuple(sorted(needs.extras)))
                )
    return found


def main() -> int:
    """Print a table; return 1 if a licence is refused."""
    found = brought("jaxtune", tuple(sys.argv[1:]))
    refused = []
    for name, package in sorted(found.items()):
        licence = licence_of(package)
        print(f"{name:32}{package.version:16}{licence}")
        if any(part in REFUSED for part in licence.split(", ")):
            refused.append(name)
    print(f"{len(found)} packages; refused: {', '.join(refused) or 'none'}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
