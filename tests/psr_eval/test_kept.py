"""Results that outlive an interruption."""

from __future__ import annotations

import pytest

from psr_eval.kept import KeptResults

ONE, OTHER = {"calls": 4, "k": 2.0}, {"calls": 8, "k": 2.0}


def test_a_result_is_found_again_by_its_settings_in_any_order(tmp_path):
    KeptResults(tmp_path / "deep" / "cells.jsonl").add(ONE, {"mean": 0.5})
    again = KeptResults(tmp_path / "deep" / "cells.jsonl")
    assert again.get({"k": 2.0, "calls": 4}) == {"mean": 0.5}
    assert again.get(OTHER) is None


def test_it_is_there_at_once_and_the_last_counts(tmp_path):
    kept = KeptResults(tmp_path / "cells.jsonl")
    kept.add(ONE, 1)
    kept.add(ONE, 2)
    assert kept.get(ONE) == KeptResults(tmp_path / "cells.jsonl").get(ONE) == 2


@pytest.mark.parametrize("cut", ['{"settings": {"calls": 8', '{"settings": {}}', "[]", "\n"])
def test_a_cut_line_is_removed_and_the_next_one_is_whole(tmp_path, cut):
    path = tmp_path / "cells.jsonl"
    KeptResults(path).add(ONE, 1)
    with path.open("a") as file:
        file.write(cut)
    kept = KeptResults(path)
    kept.add(OTHER, 2)
    again = KeptResults(path)
    assert (again.get(ONE), again.get(OTHER)) == (1, 2)
    assert len(path.read_text().splitlines()) == 2


def test_common_settings_keep_results_apart(tmp_path):
    path = tmp_path / "cells.jsonl"
    KeptResults(path, {"checkpoint_id": "a@1"}).add(ONE, 1)
    assert KeptResults(path, {"checkpoint_id": "b@2"}).get(ONE) is None
    assert KeptResults(path, {"checkpoint_id": "a@1"}).get(ONE) == 1


def test_a_number_that_is_not_finite_is_refused_and_leaves_no_line(tmp_path):
    with pytest.raises(ValueError):
        KeptResults(tmp_path / "cells.jsonl").add(ONE, float("nan"))
    assert not (tmp_path / "cells.jsonl").exists()
