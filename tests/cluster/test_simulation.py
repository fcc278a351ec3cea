# SPDX-License-Identifier: BSD-3-Clause
"""Clusters over a network that loses, delays, duplicates, partitions and heals, by seed."""

import os

import pytest

from tests.cluster.simulation import World

RUNS = int(os.environ.get("AIOT_TEST_CLUSTER_RUNS", "60"))
"""Runs of each kind. By hand, thousands."""
UIDS = [f"node {number}" for number in range(12)]


def live(world: World, seconds: float) -> None:
    """Nodes come, report, reboot and leave; clients command them, and show others."""
    end = world.now + seconds
    while world.now < end:
        world.run(world.random.uniform(0.01, 0.2))
        gateway = world.random.choice(world.gateways)
        uid = world.random.choice(UIDS)
        match world.random.randrange(11):
            case 0 | 1:
                gateway.appear(uid)
            case 2:
                gateway.leave(uid)
            case 3:
                gateway.reset(uid)
            case 4:
                world.issue(world.random.choice(list(world.brokers)), uid)
            case 5:
                show_others(world)
            case _:
                for uid in world.random.sample(sorted(gateway.nodes), min(3, len(gateway.nodes))):
                    gateway.read(uid, world.random.choice("abc"), world.random.randrange(1000))


def show_others(world: World) -> None:
    """Clients of a broker show everything, or some nodes and some resources of all."""
    draw = world.random
    uids = None if draw.random() < 0.25 else draw.sample(UIDS, draw.randrange(6))
    resources = draw.sample("abc", draw.randrange(3))
    name = draw.choice(list(world.brokers))
    world.watch(name, uids, resources, seen=draw.random() < 0.5)


def trouble(world: World) -> None:
    names = list(world.brokers)
    name = world.random.choice(names)
    match world.random.randrange(9):
        case 0:
            world.kill(name)
        case 1:
            world.restart(name)
        case 2:
            if world.brokers[name].is_alive:
                world.pause(name)
        case 3:
            world.resume(name)
        case 4:
            world.partition({name})
        case 5:
            world.partition({name}, one_way=True)
        case 6:
            world.network.cut.clear()
        case 7:
            world.network.loss = world.random.choice([0.0, 0.05, 0.3])
            world.network.duplicates = world.random.choice([0.0, 0.3])
            world.network.delay_max_s = world.random.choice([0.01, 0.2, 2.0])
        case _:
            world.random.choice(world.gateways).lose_link()


@pytest.mark.parametrize("seed", range(RUNS))
def test_all_brokers_agree_after_a_quiet_life(seed: int) -> None:
    world = World(seed, brokers=3, gateways=3)
    live(world, 10.0)
    world.run(30.0)
    world.check()
    world.check_seen()


@pytest.mark.parametrize("seed", range(RUNS))
def test_all_brokers_agree_after_any_trouble(seed: int) -> None:
    world = World(seed, brokers=2 + seed % 3, gateways=3)
    for _ in range(world.random.randrange(3, 12)):
        trouble(world)
        live(world, world.random.uniform(0.1, 6.0))
    world.heal()
    live(world, 2.0)
    world.run(60.0)
    world.check()
    world.check_seen()
