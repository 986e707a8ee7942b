import pytest

from bench.meters.visible import visible_indices

UUIDS = ["GPU-aaaa1111-0", "GPU-aaaa2222-0", "GPU-bbbb3333-0"]


@pytest.mark.parametrize(
    ("mask", "visible"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", [0]),
        ("2,1", [2, 1]),
        (" 2 , 0 ", [2, 0]),
        ("0,2,-1,1", [0, 2]),
        ("0,3,1", [0]),
        ("GPU-bbbb3333-0", [2]),
        ("GPU-bbbb", [2]),
        ("GPU-aaaa2,GPU-b", [1, 2]),
        ("GPU-aaaa", []),  # two GPUs begin so
        ("GPU-cccc,0", []),
        ("bbbb3333", []),
        ("MIG-bbbb3333-0/1/0", []),
        ("0,GPU-b", [0, 2]),
    ],
)
def test_the_mask_is_read_as_cuda_reads_it(mask, visible):
    assert visible_indices(mask, UUIDS, same_order=True) == visible


def test_numbers_are_refused_where_the_two_orders_may_differ():
    with pytest.raises(ValueError, match="CUDA's order"):
        visible_indices("1", UUIDS, same_order=False)
    assert visible_indices("GPU-b", UUIDS, same_order=False) == [2]
    assert visible_indices("", UUIDS, same_order=False) == []
    assert visible_indices("-1", UUIDS, same_order=False) == []


def test_a_gpu_of_unknown_uuid_matches_no_prefix():
    assert visible_indices("GPU-", [None, "GPU-a"], same_order=True) == [1]
