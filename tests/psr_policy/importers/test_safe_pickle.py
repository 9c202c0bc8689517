"""Files that want code to run: all are refused by name, and nothing runs."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psr_policy.importers import safe_pickle
from psr_policy.importers.foreign import ForeignCheckpoint
from psr_policy.importers.formats import open_source, read
from tests.psr_policy.conftest import tiny_policy
from tests.psr_policy.importers.chi_writer import fake_packages, write_chi
from tests.psr_policy.importers.writers import with_pickle


class Evil:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Tensorlike:
    """What the pickler below writes as a persistent id."""


@pytest.fixture
def marker(tmp_path):
    """A file that evil pickles would make; none may exist at the end."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


def touch(marker) -> dict[str, tuple[str, Evil]]:
    """name -> (the global to be named, an object whose unpickling makes the marker)."""
    code = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": ("posix.system", Evil(os.system, f"touch {marker}")),
        "eval": ("builtins.eval", Evil(eval, code)),
        "exec": ("builtins.exec", Evil(exec, code)),
        "open": ("io.open", Evil(open, str(marker), "w")),
        "torch's loader": ("torch.storage._load_from_bytes", Evil(torch.storage._load_from_bytes, b"")),
        "getattr": ("builtins.getattr", Evil(getattr, "text", "upper")),
    }


KINDS = sorted(touch(""))


def refused(path, *told):
    with pytest.raises(ValueError) as error:
        safe_pickle.load(path)
    for text in (str(path), *told):
        assert text in str(error.value)


def archive(path, data: bytes, **extra: bytes):
    """A zip as torch.save lays it out, around a pickle made by hand."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {"data.pkl": data, "version": b"3\n", "byteorder": b"little", **extra}.items():
            file.writestr(f"evil/{name}", content)
    return path


def test_the_pickles_of_these_tests_would_do_it(tmp_path):
    marker = tmp_path / "made"
    for kind in ("os.system", "eval", "exec", "open"):
        pickle.loads(pickle.dumps(touch(marker)[kind][1]))
        assert marker.exists()
        marker.unlink()


class TestCodeInAPickle:
    @pytest.mark.parametrize("kind", KINDS)
    def test_is_refused_by_name(self, tmp_path, marker, kind):
        name, evil = touch(marker)[kind]
        torch.save({"cfg": evil, "state_dicts": {}}, tmp_path / "evil.ckpt")
        refused(tmp_path / "evil.ckpt", f"its pickle asks for {name},", "nothing was executed", "If you trust")

    @pytest.mark.parametrize("kind", ["os.system", "eval"])
    def test_deep_inside_a_sound_checkpoint(self, tmp_path, marker, kind):
        name, evil = touch(marker)[kind]
        path = write_chi(tmp_path / "evil.ckpt", tiny_policy(), lambda cfg: cfg["task"].update(name=[evil, 1]))
        refused(path, f"its pickle asks for {name},")

    @pytest.mark.parametrize("kind", ["os.system", "eval"])
    def test_inside_the_name_of_a_storage(self, tmp_path, marker, kind):
        name, evil = touch(marker)[kind]

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj):
                return ("storage", torch.FloatStorage, evil, "cpu", 1) if isinstance(obj, Tensorlike) else None

        buffer = io.BytesIO()
        Pickler(buffer, protocol=2).dump({"cfg": Tensorlike(), "state_dicts": {}})
        refused(archive(tmp_path / "evil.ckpt", buffer.getvalue(), **{"data/0": bytes(4)}), name)

    @pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
    def test_in_another_protocol(self, tmp_path, marker, protocol):
        data = pickle.dumps({"cfg": touch(marker)["os.system"][1]}, protocol=protocol)
        refused(archive(tmp_path / "evil.ckpt", data), "protocol" if protocol > 2 else "posix.system")

    def test_with_the_class_named_on_the_stack(self, tmp_path, marker):
        data = pickle.dumps(touch(marker)["os.system"][1], protocol=4).replace(b"\x80\x04", b"\x80\x02", 1)
        refused(archive(tmp_path / "evil.ckpt", data), "posix.system")

    def test_inside_the_bytes_of_the_epoch_is_never_opened(self, tmp_path, marker):
        data = pickle.dumps(touch(marker)["os.system"][1])
        path = write_chi(tmp_path / "odd.ckpt", tiny_policy(), pickles={"epoch": data, "global_step": b"garbage"})
        assert not {"epoch", "global_step"} & set(read(open_source(path)).origin)

    def test_every_unknown_name_is_told(self, tmp_path, marker):
        calls = [evil for _, evil in touch(marker).values()]
        torch.save({"cfg": calls}, tmp_path / "evil.ckpt")
        refused(tmp_path / "evil.ckpt", *(name for name, _ in touch(marker).values()))


class TestOtherContainers:
    def test_the_legacy_format(self, tmp_path, marker):
        evil = touch(marker)["os.system"][1]
        torch.save({"cfg": evil}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
        refused(tmp_path / "old.ckpt", "not a zip archive", "nothing was read")

    def test_a_bare_pickle(self, tmp_path, marker):
        (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(touch(marker)["eval"][1]))
        refused(tmp_path / "bare.ckpt", "not a zip archive")

    def test_a_tar(self, tmp_path, marker):
        data = pickle.dumps(touch(marker)["os.system"][1])
        with tarfile.open(tmp_path / "old.ckpt", "w") as tar:
            for name in ("storages", "tensors", "pickle"):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        refused(tmp_path / "old.ckpt", "not a zip archive")

    def test_a_pickle_with_an_archive_behind_it(self, tmp_path, marker):
        torch.save({"cfg": 1}, tmp_path / "sound.ckpt")
        data = pickle.dumps(touch(marker)["os.system"][1]) + (tmp_path / "sound.ckpt").read_bytes()
        (tmp_path / "both.ckpt").write_bytes(data)
        refused(tmp_path / "both.ckpt", "not a zip archive")

    def test_two_pickles_in_one_archive(self, tmp_path, marker):
        torch.save({"cfg": 1}, tmp_path / "two.ckpt")
        with zipfile.ZipFile(tmp_path / "two.ckpt", "a") as file:
            file.writestr("other/data.pkl", pickle.dumps(touch(marker)["os.system"][1], protocol=2))
        refused(tmp_path / "two.ckpt", "2 data.pkl, expected one")

    def test_a_compressed_archive_whose_tensors_would_be_garbage(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "packed.ckpt", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("packed/data.pkl", pickle.dumps({}, protocol=2))
        refused(tmp_path / "packed.ckpt", "packed with compression")

    @pytest.mark.parametrize("kept", [0, 3, 100, -1])
    def test_a_truncated_file(self, tmp_path, kept):
        torch.save({"cfg": torch.zeros(9)}, tmp_path / "cut.ckpt")
        (tmp_path / "cut.ckpt").write_bytes((tmp_path / "cut.ckpt").read_bytes()[:kept])
        refused(tmp_path / "cut.ckpt", "is truncated" if kept not in (0, 3) else "not a zip archive")

    @pytest.mark.parametrize("kept", [0, 1, 30, -1])
    def test_a_truncated_pickle(self, tmp_path, kept):
        torch.save({"cfg": [1, 2, 3], "state_dicts": {"model": torch.zeros(3)}}, tmp_path / "cut.ckpt")
        refused(with_pickle(tmp_path / "cut.ckpt", lambda data: data[:kept]), "is damaged")


class TestWhatIsKnown:
    def test_foreign_objects_become_inert(self, tmp_path):
        with fake_packages() as made:
            node = made["AnyNode"]()
            node.__dict__ = {"_val": 3, "_parent": None}
            torch.save({"node": node, "kind": made["_load_type"]}, tmp_path / "f.ckpt")
        loaded = safe_pickle.load(tmp_path / "f.ckpt")
        assert isinstance(loaded["node"], safe_pickle.Inert)
        assert loaded["node"].state == {"_val": 3, "_parent": None}

    def test_tensors_come_back_whole(self, tmp_path):
        tensors = {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in (torch.float16, torch.int64)}
        torch.save(tensors, tmp_path / "f.ckpt")
        assert all(torch.equal(tensors[name], tensor) for name, tensor in safe_pickle.load(tmp_path / "f.ckpt").items())

    def test_nothing_stays_allowed_for_other_readers(self, tmp_path):
        before = set(torch.serialization.get_safe_globals())
        torch.save({}, tmp_path / "f.ckpt")
        safe_pickle.load(tmp_path / "f.ckpt")
        assert set(torch.serialization.get_safe_globals()) == before

    @given(st.integers(-(2**62), 2**62), st.integers(2, 5))
    def test_integers_are_read_from_their_pickles(self, value, protocol):
        assert safe_pickle.integer(pickle.dumps(value, protocol)) == value

    @pytest.mark.parametrize("value", [1.5, "7", None, True, [3], (3, 4)])
    def test_nothing_else_is(self, value):
        assert safe_pickle.integer(pickle.dumps(value)) is None


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_chi(tmp_path_factory.mktemp("sound") / "sound.ckpt", tiny_policy())


@settings(max_examples=60)
@given(place=st.floats(0, 1), value=st.integers(0, 255))
def test_a_changed_byte_gives_a_policy_or_a_reason(sound, tmp_path_factory, place, value):
    path = tmp_path_factory.mktemp("changed") / "changed.ckpt"
    path.write_bytes(sound.read_bytes())

    def change(data: bytes) -> bytes:
        at = int(place * (len(data) - 1))
        return data[:at] + bytes([value]) + data[at + 1 :]

    with_pickle(path, change)
    try:
        assert isinstance(read(open_source(path)), ForeignCheckpoint)
    except ValueError as error:
        assert str(path) in str(error)
