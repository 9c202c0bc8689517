"""A network on disk: what comes back, and that damage, loss and mixed-up files are named."""

from __future__ import annotations

import json

import pytest
import torch

from psr_core.model_folder import ModelFolder, checkpoint_id, misfits

FILES = ModelFolder("toy", "psr train toy")
TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}


@pytest.fixture
def folder(tmp_path):
    FILES.save(tmp_path / "mine", TENSORS, {"width": 3}, {"command": "psr train toy"})
    return tmp_path / "mine"


def test_comes_back_as_it_was(folder):
    content = FILES.read(folder)
    assert content["config"] == {"width": 3}
    assert content["card"]["command"] == "psr train toy"
    found = FILES.read_weights(folder, content["card"]["sha256"])
    assert set(found) == set(TENSORS)
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    assert sorted(path.name for path in folder.iterdir()) == ["toy.json", "toy.safetensors"]


def test_the_id_is_the_folders_name_and_the_weights_digest(folder, tmp_path):
    sha256 = FILES.read(folder)["card"]["sha256"]
    assert checkpoint_id(folder, sha256) == f"mine@{sha256[:12]}"
    assert FILES.save(tmp_path / "other", TENSORS, {}, {}) == f"other@{sha256[:12]}"


def test_the_card_takes_further_entries(folder):
    FILES.add_to_card(folder, "evaluation", {"n": 3})
    assert FILES.read(folder)["card"]["evaluation"] == {"n": 3}
    assert FILES.read(folder)["card"]["command"] == "psr train toy"


class TestRefusals:
    def test_nothing_is_written_of_what_is_not_finite(self, tmp_path):
        with pytest.raises(ValueError, match=r"weight bias is not finite in torch.float32; train again"):
            FILES.save(tmp_path / "new", {"bias": torch.tensor([float("nan")])}, {}, {})
        with pytest.raises(ValueError, match="Out of range float"):
            FILES.save(tmp_path / "new", TENSORS, {}, {"loss": float("nan")})
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("name", ["toy.json", "toy.safetensors"])
    def test_a_missing_file(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"has no {name}; copy the whole folder"):
            FILES.read(folder)

    def test_a_missing_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no toy folder at .*as `psr train toy` writes it"):
            FILES.read(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("format", "psr policy", "does not describe a toy; expected an object with format = 'psr toy'"),
            ("format_version", 2, "format_version is 2, this version reads 1"),
            ("card", None, "card is missing, expected an object"),
            ("config", [], "config is missing, expected an object"),
        ],
    )
    def test_a_wrong_field(self, folder, field, value, message):
        path = folder / "toy.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
        with pytest.raises(ValueError, match=message):
            FILES.read(folder)

    def test_a_description_cut_short(self, folder):
        (folder / "toy.json").write_text("{")
        with pytest.raises(ValueError, match="toy.json is not readable JSON"):
            FILES.read(folder)

    def test_weights_cut_short_or_of_another(self, folder, tmp_path):
        sha256 = FILES.read(folder)["card"]["sha256"]
        FILES.save(tmp_path / "other", {"bias": torch.zeros(2)}, {}, {})
        (folder / "toy.safetensors").write_bytes((tmp_path / "other/toy.safetensors").read_bytes())
        with pytest.raises(ValueError, match=r"has sha256 .*, but toy.json names .*; .* not of one toy"):
            FILES.read_weights(folder, sha256)
        (folder / "toy.safetensors").write_bytes(b"short")
        with pytest.raises(ValueError, match="toy.safetensors is truncated or damaged"):
            FILES.read_weights(folder, sha256)

    def test_weights_of_another_config(self, folder):
        other = {"weight": torch.zeros(2, 4), "scale": torch.ones(1)}
        with pytest.raises(ValueError, match="does not fit the config in toy.json: scale is missing"):
            FILES.check_fit(folder, other, TENSORS)


def test_misfits_are_counted_beyond_three():
    expected = {str(number): torch.zeros(1) for number in range(5)}
    assert misfits(expected, {}) == "0 is missing; 1 is missing; 2 is missing (and 2 more)"
    assert misfits(expected, expected) == ""
