from bench.kernels.latency import counted, percentiles


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentiles([float(n) for n in range(100, 0, -1)]) == {
        "p50_s": 50.0, "p90_s": 90.0, "p99_s": 99.0, "n": 100,
    }  # fmt: skip
    assert percentiles([3.0]) == {"p50_s": 3.0, "p90_s": 3.0, "p99_s": 3.0, "n": 1}


def test_each_counts_as_often_as_it_was_had() -> None:
    assert counted([(3.0, 1), (1.0, 98), (2.0, 1)]) == {
        "p50_s": 1.0, "p90_s": 1.0, "p99_s": 2.0, "n": 100,
    }  # fmt: skip


def test_of_nothing_only_the_number_is_known() -> None:
    assert percentiles([]) == counted([(1.0, 0)]) == {"n": 0}
