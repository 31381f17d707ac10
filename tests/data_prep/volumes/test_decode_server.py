"""Pixels decoded in another process: the same arrays, and no way to harm or outlive this one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLosslessSV1

from data_prep.errors import DataError
from data_prep.volumes import decode_server
from data_prep.volumes.dicom.frames import stored_pixels
from data_prep.volumes.dicom.header import read_header

FAILED = (
    "{}: Expected pixels that can be decoded but their decoder failed: the file is damaged. Copy "
    "it again."
)
SERVER = "data_prep.volumes.decode_child"
SOUND = Path(get_testdata_file("MR_small.dcm"))


def here(path: Path, name: str) -> np.ndarray:
    return stored_pixels(read_header(path, name, with_pixels=True), name)


def running_server() -> psutil.Process:
    """The server of this process, once it has served a volume and is idle."""
    decode_server.decode([(SOUND, "a")])
    wait_until(lambda: not server().children())
    return server()


def refused(files) -> DataError:
    with pytest.raises(DataError) as caught:
        decode_server.decode(files)
    return caught.value


def server() -> psutil.Process:
    """The server of this process, which must have one."""
    (found,) = (p for p in psutil.Process().children() if SERVER in " ".join(p.cmdline()))
    return found


def wait_until(condition, seconds=30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def stuck(tmp_path):
    """A file whose reader waits for ever."""
    os.mkfifo(tmp_path / "stuck.dcm")
    return tmp_path / "stuck.dcm"


@contextmanager
def in_thread(action):
    thread = threading.Thread(target=action)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "name", ["MR_small", "MR_small_bigendian", "CT_small", "rtdose", "rtdose_expb"]
)
def test_same_array_as_in_this_process(name):
    path = Path(get_testdata_file(f"{name}.dcm"))
    (array,) = decode_server.decode([(path, name)])
    expected = here(path, name)
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    assert array.tobytes() == expected.tobytes()
    assert array.flags.writeable


def test_same_array_of_jpeg_lossless(jpeg_lossless, tmp_path):
    data = pydicom.dcmread(SOUND)
    expected = data.pixel_array.copy()
    data.PixelData = pydicom.encaps.encapsulate([jpeg_lossless(expected)])
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    data.save_as(tmp_path / "jpeg.dcm")
    (array,) = decode_server.decode([(tmp_path / "jpeg.dcm", "jpeg.dcm")])
    np.testing.assert_array_equal(array, expected[None])


def test_errors_come_through(tmp_path):
    path = Path(get_testdata_file("MR_truncated.dcm"))
    error = refused([(SOUND, "a"), (path, "series/b.dcm"), (SOUND, "c")])
    with pytest.raises(DataError) as expected:
        here(path, "series/b.dcm")
    assert str(error) == str(expected.value)
    assert (error.message, error.path) == (expected.value.message, "series/b.dcm")


def test_one_server_serves_all_volumes_and_leaves_nothing_behind():
    first = running_server()
    files = psutil.Process().num_fds()
    for _ in range(3):
        decode_server.decode([(SOUND, "a"), (SOUND, "b")])
    assert server() == first
    wait_until(lambda: not first.children())  # not even zombies
    assert psutil.Process().num_fds() == files
    assert first.num_fds() == 3
    assert first.num_threads() == 1


def test_a_request_larger_than_any_buffer():
    names = [f"{i}{'x' * 4000}" for i in range(300)]
    assert len(decode_server.decode([(SOUND, name) for name in names])) == 300


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_crash_costs_one_volume(stuck, capfd, how):
    first = running_server()
    errors = []
    files = [(SOUND, "a"), (stuck, "b"), (SOUND, "c")]
    # Opening the pipe waits for its reader.
    with in_thread(lambda: errors.append(refused(files))), open(stuck, "wb"):
        (decoder,) = first.children()
        decoder.send_signal(how)
    assert [str(e) for e in errors] == [FAILED.format("b")]
    assert len(decode_server.decode([(SOUND, "a")])) == 1
    assert server() == first
    assert capfd.readouterr() == ("", "")


def test_an_endless_decoder_is_killed(stuck, monkeypatch):
    first = running_server()
    monkeypatch.setattr(decode_server, "TIMEOUT_S", 0.2)
    begin = time.monotonic()
    assert str(refused([(stuck, "b")])) == FAILED.format("b")
    assert time.monotonic() - begin < 10
    wait_until(lambda: not first.children())
    assert server() == first


def test_a_server_that_does_not_answer_is_not_waited_for_without_end(monkeypatch):
    first = running_server()
    first.suspend()
    monkeypatch.setattr(decode_server, "START_S", 8.0)
    assert len(decode_server.decode([(SOUND, "a")])) == 1
    assert server() != first
    assert not first.is_running()


def test_a_killed_server_is_started_again():
    first = running_server()
    first.kill()
    assert len(decode_server.decode([(SOUND, "a")])) == 1
    assert server() != first


def test_no_server_at_all(monkeypatch):
    running_server().kill()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert str(refused([(SOUND, "a.dcm")])) == (
        "a.dcm: Expected a process for the decoders but it does not start; often that is a lack "
        "of memory. Run the same command again with fewer --jobs."
    )


def test_threads_share_a_server():
    tasks = [[(SOUND, "a")] * count for count in (1, 5, 2, 4, 3, 6, 2, 1)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(decode_server.decode, tasks))
    assert [len(arrays) for arrays in found] == [len(task) for task in tasks]
    expected = here(SOUND, "a").tobytes()
    assert all(array.tobytes() == expected for arrays in found for array in arrays)
    server()


def decode_and_name_server(_) -> tuple[int, bytes]:
    (array,) = decode_server.decode([(SOUND, "a")])
    return server().pid, array.tobytes()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_has_its_own_server():
    first = running_server()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(decode_and_name_server, range(4), chunksize=1)
    assert first.pid not in {pid for pid, _ in found}
    assert {data for _, data in found} == {here(SOUND, "a").tobytes()}
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid, _ in found))
    decode_server.decode([(SOUND, "a")])
    assert server() == first


PARENT = """
import os, sys, time
from pathlib import Path
from data_prep.volumes import decode_server
sound, stuck = Path(sys.argv[1]), Path(sys.argv[2])
decode_server.decode([(sound, "a")])
if os.fork() == 0:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print("up", flush=True)
decode_server.decode([(stuck, "b")])
"""


def test_all_end_with_a_killed_parent(stuck):
    """The decoding process too, while it decodes, and though a forked process lives on."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(SOUND), str(stuck)], stdout=subprocess.PIPE, text=True
    )
    with parent.stdout:
        assert parent.stdout.readline() == "up\n"
        with open(stuck, "wb"):  # waits for its reader
            own = psutil.Process(parent.pid)
            wait_until(lambda: len(own.children(recursive=True)) == 3)
            (forked,) = (p for p in own.children() if SERVER not in " ".join(p.cmdline()))
            decoders = [p for p in own.children(recursive=True) if p != forked]
            parent.kill()
            parent.wait()
            _, alive = psutil.wait_procs(decoders, timeout=20)
    assert alive == []
    assert forked.is_running()
    forked.kill()
