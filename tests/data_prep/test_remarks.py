"""Remarks are collected by thread, and are warnings where nobody collects them."""

import threading

import pytest

from data_prep.remarks import collected, remark


def test_each_thread_collects_its_own():
    turn = threading.Barrier(2, timeout=20)
    found = {}

    def work(name, first):
        with collected() as lines:
            turn.wait()  # both collect
            if not first:
                turn.wait()  # the other one has remarked, and left
            remark(name)
        found[name] = lines
        if first:
            turn.wait()

    threads = [threading.Thread(target=work, args=(n, n == "a")) for n in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == {"a": ["a"], "b": ["b"]}


def test_uncollected_remarks_are_warnings():
    with collected() as lines:
        remark("one")
    assert lines == ["one"]
    with pytest.warns(UserWarning, match="^two$"):
        remark("two")
    assert lines == ["one"]
