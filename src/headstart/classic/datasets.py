"""The lesson's ``torchtext.datasets``: IMDB's reviews in a folder per label."""

from __future__ import annotations

from pathlib import Path

from headstart.classic.data import Field, TextDataset
from headstart.core.errors import DataError

__all__ = ["IMDB"]


class IMDB:
    """Film reviews, in ``aclImdb/train/pos``, ``aclImdb/test/neg`` and so on."""

    @classmethod
    def splits(cls, text_field: Field, label_field: Field, root: str | Path) -> tuple[TextDataset, TextDataset]:
        """Return the training and the test reviews.

        Args:
            text_field: how texts are read.
            label_field: a ``Field(sequential=False)``.
            root: the folder that holds ``imdb/aclImdb`` or ``aclImdb``.

        Raises:
            DataError: ``root`` holds neither.
        """
        folders = [folder for folder in (Path(root) / "imdb" / "aclImdb", Path(root) / "aclImdb") if folder.is_dir()]
        if not folders:
            raise DataError(
                f"{root} holds neither imdb/aclImdb nor aclImdb: unpack aclImdb_v1.tar.gz there"
                " (ai.stanford.edu/~amaas/data/sentiment)"
            )
        train, test = (
            TextDataset.of_folder(folders[0] / part, text_field, labelled=True) for part in ("train", "test")
        )
        return train, test
