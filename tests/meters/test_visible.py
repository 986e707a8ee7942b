import pytest

from bench.meters.visible import Unreadable, read_mask

UUIDS = ["GPU-aaaa1111-0", "GPU-aaaa2222-0", "GPU-bbbb3333-0"]


def visible(mask):
    return list(read_mask(mask, UUIDS, same_order=True).indices)


@pytest.mark.parametrize(
    ("mask", "left"),
    [
        (None, [0, 1, 2]),
        ("0", [0]),
        ("2,1", [2, 1]),
        (" 2 , 0 ", [2, 0]),
        ("+1", [1]),
        ("1gpu2,2ampere", [1, 2]),
        ("0 1", [0]),
        ("00", [0]),
        ("GPU-bbbb3333-0", [2]),
        ("GPU-bbbb", [2]),
        (" GPU-bbbb , GPU-aaaa1 ", [2, 0]),
        ("GPU-aaaa2,GPU-b", [1, 2]),
    ],
)
def test_the_mask_is_read_as_cuda_reads_it(mask, left):
    assert visible(mask) == left
    assert read_mask(mask, UUIDS, same_order=True).ended is None


@pytest.mark.parametrize(
    ("mask", "left", "why"),
    [
        ("", [], "empty"),
        (",0", [], "empty"),
        ("-1", [], "-1 ends the list"),
        ("0,2,-1,1", [0, 2], "-1 ends"),
        ("NoDevFiles", [], "neither a number nor a UUID"),
        ("0,3,1", [0], "3: this machine has 3"),
        ("0,junk,1", [0], "'junk'"),
        ("0,GPU-b", [0], "'GPU-b'"),
        ("GPU-b,0", [2], "'0' among UUIDs"),
        ("GPU-aaaa", [], "not unique"),
        ("GPU-cccc,GPU-b", [], "no GPU of this machine"),
        ("bbbb3333", [], "neither a number"),
        ("gpu-bbbb", [], "neither a number"),
        ("MIG-bbbb3333-0/1/0", [], "part of a GPU"),
        ("MIG-GPU-bbbb3333-0/1/0,0", [], "part of a GPU"),
        ("1,1", [], "repeats"),
        ("0,1,0", [], "repeats"),
        ("GPU-b,GPU-bbbb", [], "repeats"),
    ],
)
def test_where_the_list_ends_it_says_why(mask, left, why):
    read = read_mask(mask, UUIDS, same_order=True)
    assert list(read.indices) == left
    assert why in read.ended


def test_numbers_are_refused_where_the_two_orders_may_differ():
    with pytest.raises(Unreadable, match="CUDA's order"):
        read_mask("1", UUIDS, same_order=False)
    for mask, left in [("GPU-b", (2,)), ("", ()), ("-1", ())]:
        assert read_mask(mask, UUIDS, same_order=False).indices == left


def test_a_gpu_of_unknown_uuid_matches_no_beginning():
    assert read_mask("GPU-", [None, "GPU-a"], same_order=True).indices == (1,)
