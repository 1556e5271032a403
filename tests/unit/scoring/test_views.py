"""What aggregators and comparers see of an experiment."""

from collections import Counter

import numpy as np

from assay.scoring.views import MOST_LABELS, NO_LABEL, OTHER_LABELS, LabelColumn, LabelNames


def column(names, expected, found):
    return LabelColumn(names, np.array(expected, dtype=np.int32), np.array(found, dtype=np.int32))


class TestLabels:
    def test_pairs_are_counted_where_something_was_expected(self):
        """A trial that was not judged is in no cell; an answer without a label has a cell of its own."""
        labels = column(("a", "b"), [[0, 0], [0, 1], [NO_LABEL, 1]], [[0, 1], [0, NO_LABEL], [NO_LABEL, 1]])
        assert labels.pairs() == Counter({("a", "a"): 2, ("a", "b"): 1, ("b", None): 1, ("b", "b"): 1})

    def test_no_label_at_all_makes_no_pairs(self):
        """An experiment whose trials all failed."""
        assert column((), [[NO_LABEL]], [[NO_LABEL]]).pairs() == Counter()

    def test_the_same_label_has_the_same_number(self):
        """Whoever asks, and in whatever order."""
        names = LabelNames()
        assert [names.code(label) for label in ("b", "a", "b", None)] == [0, 1, 0, NO_LABEL]
        assert names.names == ("b", "a")

    def test_labels_beyond_the_bound_share_a_name(self):
        """Free text taken for labels must not fill the memory; known labels keep their numbers."""
        names = LabelNames()
        for at in range(MOST_LABELS + 50):
            names.code(f"label {at}")
        assert len(names.names) == MOST_LABELS + 1
        assert names.names[names.code("one more")] == OTHER_LABELS
        assert names.code("label 7") == 7
