"""Builds the training text of the built-in model from public-domain books at Project Gutenberg.

usage: make_tales_corpus.py OUT.txt [--cache FOLDER]

Takes the 48 books listed here (about 17 MB, downloaded once into the cache folder), removes text around the book, joins
the lines of each paragraph, converts quotes and dashes to ASCII, removes headings, pictures and transcribers' notes,
and ends every chapter with <|endoftext|>. Chapters under 600 characters are left out. Project Gutenberg sometimes
corrects its texts, so the result may differ in a few letters from the model's training text; cli/models/README.md has
the checksum of that text. Uses only the standard library.
"""
import argparse
import pathlib
import re
import time
import urllib.request

BOOKS = [  # number at Gutenberg, title, author or editor
    (11, "Alice's Adventures in Wonderland", "Lewis Carroll"),
    (225, "At the Back of the North Wind", "George MacDonald"),
    (271, "Black Beauty", "Anna Sewell"),
    (7885, "Celtic Fairy Tales", "Joseph Jacobs"),
    (420, "Dorothy and the Wizard in Oz", "L. Frank Baum"),
    (7439, "English Fairy Tales", "Joseph Jacobs"),
    (778, "Five Children and It", "E. Nesbit"),
    (2591, "Grimms' Fairy Tales", "Jacob and Wilhelm Grimm"),
    (20781, "Heidi", "Johanna Spyri"),
    (7128, "Indian Fairy Tales", "Joseph Jacobs"),
    (4018, "Japanese Fairy Tales", "Yei Theodora Ozaki"),
    (2781, "Just So Stories", "Rudyard Kipling"),
    (14241, "More English Fairy Tales", "Joseph Jacobs"),
    (486, "Ozma of Oz", "L. Frank Baum"),
    (16, "Peter Pan", "J. M. Barrie"),
    (500, "The Adventures of Pinocchio", "Carlo Collodi"),
    (74, "The Adventures of Tom Sawyer", "Mark Twain"),
    (503, "The Blue Fairy Book", "Andrew Lang"),
    (3282, "The Brown Fairy Book", "Andrew Lang"),
    (2435, "The Crimson Fairy Book", "Andrew Lang"),
    (517, "The Emerald City of Oz", "L. Frank Baum"),
    (3536, "The Enchanted Castle", "E. Nesbit"),
    (7277, "The Green Fairy Book", "Andrew Lang"),
    (6746, "The Grey Fairy Book", "Andrew Lang"),
    (236, "The Jungle Book", "Rudyard Kipling"),
    (3454, "The Lilac Fairy Book", "Andrew Lang"),
    (959, "The Lost Princess of Oz", "L. Frank Baum"),
    (419, "The Magic of Oz", "L. Frank Baum"),
    (54, "The Marvelous Land of Oz", "L. Frank Baum"),
    (3027, "The Orange Fairy Book", "Andrew Lang"),
    (955, "The Patchwork Girl of Oz", "L. Frank Baum"),
    (836, "The Phoenix and the Carpet", "E. Nesbit"),
    (5615, "The Pink Fairy Book", "Andrew Lang"),
    (708, "The Princess and the Goblin", "George MacDonald"),
    (1874, "The Railway Children", "E. Nesbit"),
    (540, "The Red Fairy Book", "Andrew Lang"),
    (485, "The Road to Oz", "L. Frank Baum"),
    (957, "The Scarecrow of Oz", "L. Frank Baum"),
    (1937, "The Second Jungle Book", "Rudyard Kipling"),
    (113, "The Secret Garden", "Frances Hodgson Burnett"),
    (501, "The Story of Doctor Dolittle", "Hugh Lofting"),
    (837, "The Story of the Amulet", "E. Nesbit"),
    (641, "The Violet Fairy Book", "Andrew Lang"),
    (289, "The Wind in the Willows", "Kenneth Grahame"),
    (55, "The Wonderful Wizard of Oz", "L. Frank Baum"),
    (640, "The Yellow Fairy Book", "Andrew Lang"),
    (12, "Through the Looking-Glass", "Lewis Carroll"),
    (956, "Tik-Tok of Oz", "L. Frank Baum"),
]
SHORTEST = 600
END = "<|endoftext|>"
PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "--",
                       "\u2026": "...", "\u00a0": " ", "\ufeff": "", "_": ""})


def fetch(number: int, cache: pathlib.Path) -> str:
    """The text of a book, from the cache if available."""
    path = cache / f"{number}.txt"
    if not path.exists():
        url = f"https://www.gutenberg.org/cache/epub/{number}/pg{number}.txt"
        request = urllib.request.Request(url, headers={"User-Agent": "glassbox-corpus/1"})
        with urllib.request.urlopen(request) as answer:
            path.write_bytes(answer.read())
        time.sleep(2)  # the site asks robots to be gentle
    return path.read_bytes().decode("utf-8", "replace")


def body(text: str) -> str:
    """The text between Gutenberg's header and footer."""
    text = text.replace("\r\n", "\n")
    start = re.search(r"\*\*\* ?START OF TH[^\n]*\n", text)
    end = re.search(r"\*\*\* ?END OF TH", text)
    return text[start.end() if start else 0:end.start() if end else len(text)]


def is_heading(paragraph: str) -> bool:
    """Whether a paragraph is a heading, after which a new chapter or tale begins."""
    if re.match(r"(chapter|part|book)\s+(the\s+)?[ivxlc\d]", paragraph, re.I):
        return True
    letters = re.sub(r"[^A-Za-z]", "", paragraph)
    return len(paragraph) < 70 and bool(letters) and letters.isupper()


def chapters(text: str) -> list[str]:
    """The chapters, with one line per paragraph."""
    found, lines = [], []
    for paragraph in re.split(r"\n\s*\n", body(text)):
        line = re.sub(r"\s+", " ", paragraph.translate(PLAIN)).strip()
        line = re.sub(r"\s*\[(Illustration|Footnote|Transcriber)[^\]]*\]\s*", " ", line).strip()
        if is_heading(line):
            found.append(lines)
            lines = []
        elif line and not re.fullmatch(r"[\W\d_]*", line):
            lines.append(line)
    return ["\n".join(lines) for lines in found + [lines]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("gutenberg"))
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    count = 0
    with open(arguments.out, "w", encoding="utf-8", newline="\n") as out:
        for number, title, author in BOOKS:
            kept = [chapter for chapter in chapters(fetch(number, arguments.cache)) if len(chapter) >= SHORTEST]
            for chapter in kept:
                out.write(f"{chapter}\n{END}\n")
            count += len(kept)
            print(f"{len(kept):4} chapters  {title}, {author}")
    print(f"{count} documents in {arguments.out}")


if __name__ == "__main__":
    main()
