import time

import pytest

from ugatit_jax.data.pairs import match_names


@pytest.mark.parametrize(
    ("names", "others", "expected"),
    [
        (["a.png", "x/b.png"], ["x/b.jpg", "z.jpg", "a.JPG"], [2, 0]),
        (["a.v2.png", "a.png"], ["a.jpg", "a.v2.jpg"], [1, 0]),
        ([], ["a.jpg"], []),
    ],
)
def test_partners_are_of_one_name(names: list[str], others: list[str], expected: list[int]) -> None:
    assert match_names(names, others) == (expected, "")


@pytest.mark.parametrize(
    ("names", "others", "why"),
    [
        (["b.png", "a.png"], ["a.jpg", "c.jpg"], "1 of 2 have no partner of their name, as b.png"),
        (["b.png"], ["x/b.jpg"], "1 of 1 have no partner of their name, as b.png"),
        (["a.png"], ["a.jpg", "b.jpg", "a.webp"], "a.jpg and a.webp are of one name"),
        (["a.png", "b.png", "b.jpg"], ["a.jpg", "b.jpg"], "b.png and b.jpg are of one name"),
        (["a.png"], [], "1 of 1 have no partner of their name, as a.png"),
    ],
)
def test_without_one_partner_for_each_there_are_none(
    names: list[str], others: list[str], why: str
) -> None:
    assert match_names(names, others) == ([], why)


def test_many_are_matched_in_no_time() -> None:
    names = [f"{i}.png" for i in range(20_000)]
    since = time.process_time()
    assert match_names(names, names[::-1]) == ([*range(20_000)][::-1], "")
    assert time.process_time() - since < 5  # to go through all for each took minutes
