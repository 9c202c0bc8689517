"""Native checkpoints: the way to disk and back, and every way in which one can be unfit."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
import safetensors.torch
import torch

from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_policy.checkpoint import load_policy, read_description, rounding_error, save_policy

CARD = {"command": "psr train policy", "seed": 3, "metrics": {"valid_loss": 0.25}}


@pytest.fixture
def folder(tmp_path, tiny_policy):
    """A sound checkpoint to damage."""
    save_policy(tmp_path / "lift", tiny_policy(), CARD)
    return tmp_path / "lift"


def sample(policy):
    torch.manual_seed(5)
    obs = torch.randn(2, 2, 5)
    generators = [noise_generator(0, 0, row) for row in range(2)]
    return policy.sample(obs, steering=Steering(k=2), sampler="ddim", num_inference_steps=4, generators=generators)


def edit_description(folder, change) -> None:
    description = json.loads((folder / "policy.json").read_text())
    change(description)
    (folder / "policy.json").write_text(json.dumps(description))


def edit_weights(folder, change) -> None:
    """Changes tensors and makes policy.json agree, as a faulty writer would."""
    tensors = safetensors.torch.load_file(folder / "policy.safetensors")
    change(tensors)
    data = safetensors.torch.save(tensors)
    (folder / "policy.safetensors").write_bytes(data)
    edit_description(folder, lambda d: d["card"].update(sha256=hashlib.sha256(data).hexdigest()))


class TestRoundTrip:
    @pytest.mark.parametrize("network", ["unet", "transformer"])
    def test_samples_the_same_bits(self, tmp_path, tiny_policy, network):
        policy = tiny_policy(network)
        identity = save_policy(tmp_path / "p", policy, CARD)
        loaded = load_policy(tmp_path / "p")
        assert loaded.config == policy.config
        assert loaded.checkpoint_id == policy.checkpoint_id == identity
        assert torch.equal(sample(loaded), sample(policy))

    def test_the_id_names_folder_and_weights(self, folder):
        sha256 = hashlib.sha256((folder / "policy.safetensors").read_bytes()).hexdigest()
        assert load_policy(folder).checkpoint_id == f"lift@{sha256[:12]}"
        assert read_description(folder)["card"] == {**CARD, "sha256": sha256}

    def test_the_same_policy_gives_the_same_bytes(self, tmp_path, tiny_policy):
        first, second = (save_policy(tmp_path / name / "p", tiny_policy(), CARD) for name in "ab")
        assert first == second

    def test_names_tell_network_from_normaliser(self, folder):
        names = safetensors.torch.load_file(folder / "policy.safetensors")
        assert {name.split(".")[0] for name in names} == {"model", "normalizer"}
        assert "normalizer.action.scale" in names

    def test_is_ready_to_sample(self, folder):
        assert not load_policy(folder).training

    def test_leaves_no_temporary_file(self, folder):
        assert sorted(os.listdir(folder)) == ["policy.json", "policy.safetensors"]


class TestHalfPrecision:
    def test_halves_the_weights_and_loads_as_float32(self, tmp_path, tiny_policy):
        policy = tiny_policy()
        save_policy(tmp_path / "p", policy, CARD, torch.float16)
        stored = safetensors.torch.load_file(tmp_path / "p" / "policy.safetensors")
        assert {t.dtype for name, t in stored.items() if name.startswith("model.")} == {torch.float16}
        assert {t.dtype for name, t in stored.items() if name.startswith("normalizer.")} == {torch.float32}
        loaded = load_policy(tmp_path / "p")
        assert {p.dtype for p in loaded.parameters()} == {torch.float32}
        assert 0 < (sample(loaded) - sample(policy)).abs().max() < 0.05

    def test_rounding_error_is_what_storing_does_to_actions(self, tiny_policy):
        policy, obs = tiny_policy(), torch.randn(4, 2, 5)
        before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
        assert rounding_error(policy, obs, torch.float32) == 0
        assert 0 < rounding_error(policy, obs, torch.float16) < rounding_error(policy, obs, torch.bfloat16)
        assert all(torch.equal(before[name], tensor) for name, tensor in policy.state_dict().items())

    def test_a_weight_too_large_for_it_is_refused(self, tmp_path, tiny_policy):
        policy = tiny_policy()
        with torch.no_grad():
            policy.model.final_conv[1].bias[0] = 1e6
        with pytest.raises(ValueError, match=r"model.final_conv.1.bias is not finite in torch.float16; .* float32"):
            save_policy(tmp_path / "p", policy, CARD, torch.float16)
        assert not (tmp_path / "p").exists()


class TestUnfitToSave:
    def test_a_normaliser_that_was_never_fitted(self, tmp_path, tiny_config):
        from psr_policy.policy import DiffusionPolicy

        with pytest.raises(ValueError, match="normalizer.obs: scale is not finite; expected statistics fitted"):
            save_policy(tmp_path / "p", DiffusionPolicy(tiny_config()), CARD)

    def test_a_card_json_cannot_hold_does_not_replace_the_old_policy(self, folder, tiny_policy):
        before = (folder / "policy.safetensors").read_bytes()
        with pytest.raises(ValueError, match="nan"):
            save_policy(folder, tiny_policy(seed=1), {"metrics": {"loss": float("nan")}})
        assert (folder / "policy.safetensors").read_bytes() == before


class TestMissing:
    def test_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no policy folder at .*nowhere; expected a folder with"):
            load_policy(tmp_path / "nowhere")

    @pytest.mark.parametrize("name", ["policy.json", "policy.safetensors"])
    def test_file(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"lift has no {name}"):
            load_policy(folder)


class TestDamagedWeights:
    @pytest.mark.parametrize("kept", [0, 5, 400, -1])
    def test_truncated(self, folder, kept):
        path = folder / "policy.safetensors"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ValueError, match="policy.safetensors is truncated or damaged"):
            load_policy(folder)

    def test_of_another_policy(self, folder, tmp_path, tiny_policy):
        save_policy(tmp_path / "other", tiny_policy(seed=1), CARD)
        (folder / "policy.safetensors").write_bytes((tmp_path / "other" / "policy.safetensors").read_bytes())
        with pytest.raises(ValueError, match=r"has sha256 .*, but policy.json names .*; .* not of one policy"):
            load_policy(folder)

    def test_without_normaliser_statistics(self, folder):
        edit_weights(folder, lambda t: [t.pop(name) for name in list(t) if name.startswith("normalizer.action")])
        with pytest.raises(ValueError, match=r"no normaliser statistics \(normalizer.action.scale and 5 more"):
            load_policy(folder)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_not_finite(self, folder, value):
        edit_weights(folder, lambda t: t["model.final_conv.1.bias"].__setitem__(0, value))
        with pytest.raises(ValueError, match="model.final_conv.1.bias is not finite"):
            load_policy(folder)

    def test_statistics_that_are_not_finite_or_zero(self, folder):
        edit_weights(folder, lambda t: t["normalizer.action.scale"].__setitem__(0, 0.0))
        with pytest.raises(ValueError, match="normalizer.action: scale is zero"):
            load_policy(folder)
        edit_weights(folder, lambda t: t["normalizer.obs.min"].__setitem__(0, float("nan")))
        with pytest.raises(ValueError, match="normalizer.obs: min is not finite"):
            load_policy(folder)

    def test_of_other_dimensions_than_the_config(self, folder):
        edit_description(folder, lambda d: d["config"]["obs_keys"].__setitem__(0, ["object", 4]))
        with pytest.raises(ValueError, match=r"does not fit the config in policy.json: .* expected .*and \d+ more"):
            load_policy(folder)

    def test_with_a_tensor_too_many_or_too_few(self, folder):
        edit_weights(folder, lambda t: t.update({"model.extra": torch.zeros(1)}))
        with pytest.raises(ValueError, match="model.extra is unexpected"):
            load_policy(folder)
        edit_weights(folder, lambda t: [t.pop("model.extra"), t.pop("model.final_conv.1.bias")])
        with pytest.raises(ValueError, match="model.final_conv.1.bias is missing"):
            load_policy(folder)


class TestDamagedDescription:
    def test_not_json(self, folder):
        (folder / "policy.json").write_text('{"format": ')
        with pytest.raises(ValueError, match="policy.json is not readable JSON"):
            load_policy(folder)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda d: d.update(format="lerobot"), "does not describe a policy"),
            (lambda d: d.update(format_version=2), "format_version is 2, this version reads 1"),
            (lambda d: d.pop("format_version"), "format_version is None"),
            (lambda d: d.pop("config"), "config is missing"),
            (lambda d: d["config"].update(horizon=0), "policy.json: horizon is 0"),
            (lambda d: d["config"].update(horizon=None), "policy.json: horizon is None"),
            (lambda d: d["config"].update(colour="red"), "unknown field colour"),
            (lambda d: d["config"].update(obs_keys=["object"]), "policy.json: "),
            (lambda d: d["config"].update(network_options=[3]), r"policy.json: network_options is \[3\]"),
        ],
    )
    def test_names_the_field(self, folder, change, told):
        edit_description(folder, change)
        with pytest.raises(ValueError, match=told):
            load_policy(folder)
