from fedward.server.grid import Delivery, GridError, Post
from fedward.simulations.memory_grid import MemoryGrid

SITES = ("alpha", "beta", "gamma", "delta")


def echo(payload: bytes) -> bytes:
    return payload + b"!"


def posts(*sites: str) -> list[Post]:
    return [Post(site_id=site, payload=site.encode(), ttl_s=1.0) for site in sites]


def push(grid: MemoryGrid, *sites: str) -> list[str]:
    ids = [message_id for message_id in grid.push(posts(*sites)) if message_id is not None]
    assert len(ids) == len(sites)
    return ids


def test_each_pull_delivers_one_reply() -> None:
    grid = MemoryGrid(dict.fromkeys(SITES, echo))
    ids = push(grid, *SITES)
    pulled = [grid.pull(ids) for _ in SITES]
    assert [len(deliveries) for deliveries in pulled] == [1] * 4
    assert {delivery.payload for (delivery,) in pulled} == {site.encode() + b"!" for site in SITES}


def test_second_pull_of_a_reply_is_unavailable() -> None:
    grid = MemoryGrid({"alpha": echo})
    ids = push(grid, "alpha")
    grid.pull(ids)
    assert grid.pull(ids) == (Delivery(message_id=ids[0], error=GridError.MESSAGE_UNAVAILABLE),)


def test_post_to_a_stranger_is_refused() -> None:
    grid = MemoryGrid({"alpha": echo})
    assert [message_id is None for message_id in grid.push(posts("mallory", "alpha"))] == [True, False]


def test_offline_site_is_unavailable_and_not_called() -> None:
    called: list[bytes] = []

    def remember(payload: bytes) -> bytes:
        called.append(payload)
        return payload

    grid = MemoryGrid({"alpha": remember}, offline=["alpha"])
    assert grid.sites() == frozenset()
    (delivery,) = grid.pull(push(grid, "alpha"))
    assert (delivery.error, called) == (GridError.NODE_UNAVAILABLE, [])


def test_site_that_raises_gives_flowers_code_and_no_text() -> None:
    def fail(payload: bytes) -> bytes:
        raise ValueError("patient 4711")

    grid = MemoryGrid({"alpha": fail})
    (delivery,) = grid.pull(push(grid, "alpha"))
    assert delivery.error is GridError.CLIENT_APP_RAISED
    assert "4711" not in repr(delivery)


def order(seed: int) -> list[bytes]:
    grid = MemoryGrid(dict.fromkeys(SITES, echo), seed=seed)
    ids = push(grid, *SITES)
    return [grid.pull(ids)[0].payload for _ in SITES]


def test_order_of_service_is_set_by_the_seed() -> None:
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) > 1
