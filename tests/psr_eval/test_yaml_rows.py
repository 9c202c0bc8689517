"""Rows from a YAML file: in order, and refused with file, row and reason."""

import pytest

from psr_eval.yaml_rows import check_fields, read_yaml_rows, steering_fields


def _make(entry):
    check_fields(entry, ("a", "name"), ("b",))
    return [entry["a"]] * entry.get("b", 1)


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "rows.yaml"
        path.write_text(text)
        return read_yaml_rows(path, _make, "config/example.yaml")

    return read


def test_an_entry_may_make_several_rows(read):
    assert read("rows: [{name: x, a: 1}, {name: y, a: 2, b: 2}]") == [1, 2, 2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "rows: [{name: x, a: 1}, {name: y, a: 1, c: 2}]",
            "rows.yaml: row 2 y: unknown field c; expected some of: a, name, b",
        ),
        ("rows: [{name: x}]", "row 1 x: is {'name': 'x'}, expected a and name, and if wanted b"),
        ("rows: [3]", "row 1: is 3, expected"),
        ("rows: []", "expected one key, rows, with a list; see config/example.yaml"),
        ("rows: [{name: x, a: 1}]\nmore: 1", "expected one key, rows"),
        ("- 1", "expected one key, rows"),
        ("rows: [", "is not YAML"),
    ],
)
def test_another_form_is_refused(read, text, told):
    with pytest.raises(ValueError) as caught:
        read(text)
    assert told in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.yaml do not exist; give a YAML file like config/example.yaml"):
        read_yaml_rows(tmp_path / "none.yaml", _make, "config/example.yaml")


def test_steering_is_a_mapping_or_left_out():
    assert steering_fields({"steering": {"k": 2, 3: 4}}) == {"k": 2, "3": 4}
    assert steering_fields({}) is None
    with pytest.raises(ValueError, match="steering is 2, expected fields such as"):
        steering_fields({"steering": 2})
