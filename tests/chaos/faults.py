"""What may go wrong, by name: each hurts a laboratory for some seconds and leaves it able to recover.

A fault is a function (laboratory, dice) that returns when its harm is done and undone; what died is started again
by the laboratory, as a process manager would. `lost_upto` says what a fault took away from the topic on purpose.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import redis
from kafka.errors import KafkaError

from tests.chaos import checker, dumping

LEASE_S = 5.0
GROUP_SESSION_S = 10.0
HEARTBEAT_S = 2.0
CUT_S = (0.5, 3.0)
OUTAGE_S = (0.5, 3.0)
LONG_OUTAGE_S = 20.0
EVERY_PARTITION = range(checker.PARTITIONS)

FLUSH_WATCHED_S = 3.0
CLOCK_STEP_S = 3_600
CLOCK_WRONG_S = 3.0
DISK_FULL_S = 2.0

FAULTS = {}
TOOLS = {}


def fault(function):
    """Enter it into the catalogue."""
    FAULTS[function.__name__] = function
    return function


def needs(tool):
    """Enter it with what it needs; `tool` says what is missing for it, or None."""

    def entered(function):
        TOOLS[function.__name__] = tool
        return fault(function)

    return entered


def not_possible(laboratory):
    """Faults that cannot be done here, with the reason: they are reported, never passed over in silence."""
    missing = {name: tool(laboratory) for name, tool in TOOLS.items()}
    return {name: reason for name, reason in missing.items() if reason is not None}


def _kill_one(laboratory, chance, role):
    victim = chance.choice(laboratory.of(role))
    victim.kill()
    time.sleep(chance.uniform(0.0, 1.0))
    laboratory.keep_alive()
    return victim.name


@fault
def kill_command_api(laboratory, chance):
    return _kill_one(laboratory, chance, "command-api")


@fault
def kill_query_api(laboratory, chance):
    return _kill_one(laboratory, chance, "query-api")


@fault
def kill_relay(laboratory, chance):
    return _kill_one(laboratory, chance, "relay")


@fault
def kill_projections(laboratory, chance):
    return _kill_one(laboratory, chance, "projections")


@fault
def kill_processes(laboratory, chance):
    return _kill_one(laboratory, chance, "processes")


@fault
def kill_all_workers(laboratory, chance):
    for role in ("relay", "projections", "processes"):
        for process in laboratory.of(role):
            process.kill()
    time.sleep(chance.uniform(0.0, 1.0))
    return laboratory.keep_alive()


def _outage(server, laboratory, chance, *, politely=False):
    server.stop() if politely else server.kill()
    time.sleep(chance.uniform(*OUTAGE_S))
    laboratory.keep_alive()


@fault
def kill_postgres(laboratory, chance):
    _outage(laboratory.postgres, laboratory, chance)


@fault
def restart_postgres(laboratory, chance):
    _outage(laboratory.postgres, laboratory, chance, politely=True)


@fault
def kill_a_writing_session(laboratory, chance):
    """SIGKILL to one backend: Postgres ends all sessions and replays its log."""
    with contextlib.suppress(psycopg.Error), laboratory.admin() as conn:
        rows = conn.execute(
            "select pid from pg_stat_activity where application_name like '%writer%'"
        ).fetchall()
        if rows:
            os.kill(chance.choice(rows)[0], signal.SIGKILL)
    time.sleep(1.0)
    laboratory.keep_alive()


@fault
def kill_redis(laboratory, chance):
    _outage(laboratory.redis, laboratory, chance)


@fault
def flush_redis(laboratory, _chance):
    with laboratory.cache() as cache:
        cache.flushall()


@fault
def bring_redis_back_old(laboratory, chance):
    """The cache dies, and comes back with the contents of some seconds before."""
    contents, kept = laboratory.redis.directory / "data", laboratory.redis.directory / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(contents, kept)
    time.sleep(chance.uniform(1.0, 3.0))
    laboratory.redis.kill()
    shutil.rmtree(contents)
    kept.rename(contents)
    laboratory.keep_alive()


@fault
def kill_kafka(laboratory, chance):
    _outage(laboratory.kafka, laboratory, chance)


@fault
def keep_kafka_away(laboratory, _chance):
    """Longer than every session and every timeout of its clients."""
    laboratory.kafka.kill()
    time.sleep(LONG_OUTAGE_S)
    laboratory.keep_alive()


@fault
def delete_newest_segments(laboratory, chance):
    """Three partitions lose their newest segment while the broker is down."""
    name = dumping.topic_name(laboratory, generation=1)
    laboratory.kafka.kill()
    chosen = chance.sample(EVERY_PARTITION, 3)
    for partition in chosen:
        folder = laboratory.kafka.directory / "data" / f"{name}-{partition}"
        segments = sorted(folder.glob("*.log"))
        for part in folder.glob(f"{segments[-1].stem}.*" if segments else "nothing"):
            part.unlink()
    laboratory.keep_alive()
    _note_lost(laboratory, chosen)
    return chosen


@fault
def delete_topics(laboratory, _chance):
    with contextlib.suppress(KafkaError), laboratory.broker() as broker:
        broker.delete_topics([name for name in broker.list_topics() if name.startswith("counterfoil.")])
    time.sleep(1.0)
    _note_lost(laboratory, EVERY_PARTITION)


@fault
def lose_unread_records(laboratory, chance):
    """Consumers stand still, records gather on the topics, and the topics are gone before anybody read them."""
    asleep = [*laboratory.of("projections"), *laboratory.of("processes")]
    for process in asleep:
        process.pause()
    try:
        time.sleep(chance.uniform(1.0, 2.0))
        delete_topics(laboratory, chance)
    finally:
        for process in asleep:
            process.resume()


def _note_lost(laboratory, sources):
    """What had been published to these partitions until now may be gone."""
    with laboratory.admin() as conn:
        rows = conn.execute("select partition, position from transport.relay_partition").fetchall()
    for partition, position in rows:
        if partition in sources:
            laboratory.lost_upto[partition] = max(laboratory.lost_upto.get(partition, 0), position)


def _pause(laboratory, chance, role, seconds):
    victim = chance.choice(laboratory.of(role))
    victim.pause()
    try:
        time.sleep(seconds)
    finally:
        victim.resume()
    return victim.name


@fault
def pause_relay_beyond_its_lease(laboratory, chance):
    """The standby takes over; then two act for a moment as the relay."""
    return _pause(laboratory, chance, "relay", LEASE_S + 1.5)


@fault
def pause_processes_beyond_their_lease(laboratory, chance):
    return _pause(laboratory, chance, "processes", LEASE_S + 1.5)


@fault
def pause_projections_beyond_their_session(laboratory, chance):
    """The others notice within a heartbeat of the session's end, and take over before the sleeper wakes."""
    return _pause(laboratory, chance, "projections", GROUP_SESSION_S + HEARTBEAT_S + 1.0)


@fault
def pause_command_api(laboratory, chance):
    return _pause(laboratory, chance, "command-api", chance.uniform(1.0, 4.0))


@fault
def two_relays_at_once(laboratory, chance):
    """The lease is taken from the active relay behind its back, again and again."""
    for _ in range(4):
        with contextlib.suppress(psycopg.Error), laboratory.admin() as conn:
            conn.execute("update runtime.lease set owner = null where name like 'relay%'")
        time.sleep(chance.uniform(0.1, 0.6))


@fault
def rebalance(laboratory, chance):
    """One more worker comes and goes."""
    name = f"spare-{chance.randrange(10**6)}"
    laboratory.spawn(name, "projections")
    time.sleep(chance.uniform(3.0, 5.0))
    laboratory.retire(name)


def _cut(laboratory, chance, name):
    link = laboratory.network.links[name]
    how = chance.choice(("sever", "freeze"))
    if how == "sever":
        link.sever()
    else:
        link.frozen = True
    try:
        time.sleep(chance.uniform(*CUT_S))
    finally:
        link.mend()
    return how


@fault
def cut_postgres(laboratory, chance):
    return _cut(laboratory, chance, "postgres")


@fault
def cut_kafka(laboratory, chance):
    return _cut(laboratory, chance, "kafka")


@fault
def cut_redis(laboratory, chance):
    return _cut(laboratory, chance, "redis")


@fault
def slow_network(laboratory, chance):
    """Everything takes some milliseconds longer each way."""
    links = [laboratory.network.links[name] for name in ("postgres", "kafka", "redis")]
    for link in links:
        link.delay_s = chance.uniform(0.002, 0.02)
    time.sleep(chance.uniform(1.0, 3.0))
    for link in links:
        link.mend()


@fault
def lose_answers(laboratory, chance):
    """Callers lose three answers of ten after their commands were delivered; the log's own writers some."""
    links = laboratory.network.links
    for process in laboratory.of("command-api"):
        links[process.name].answers_lost = 0.3
    links["postgres"].answers_lost = 0.01
    time.sleep(chance.uniform(1.0, 3.0))
    for process in laboratory.of("command-api"):
        links[process.name].mend()
    links["postgres"].mend()


def _no_strace(_laboratory):
    if shutil.which("strace") is None:
        return "tool missing: strace"
    return None if os.geteuid() == 0 else "strace may watch the server's sessions only as root"


@needs(_no_strace)
def fail_a_flush(laboratory, _chance):
    """The disk reports an error for the next flush of a session that appends: Postgres ends itself and replays."""
    with contextlib.suppress(psycopg.Error), laboratory.admin() as conn:
        query = "select pid from pg_stat_activity where application_name like '%writer%'"
        pids = [str(pid) for (pid,) in conn.execute(query).fetchall()]
        watched = [part for pid in pids for part in ("-p", pid)]
        failing = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1"]
        output = laboratory.directory / "strace.log"
        with output.open("ab") as log:
            tracer = subprocess.Popen(["strace", "-f", *failing, *watched], stdout=log, stderr=log)
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(FLUSH_WATCHED_S)
        tracer.terminate()
        tracer.wait()
        injected = output.read_text().count("(INJECTED)")
        laboratory.flushes_failed += injected
    time.sleep(1.0)
    laboratory.keep_alive()
    return f"{laboratory.flushes_failed} so far"


def _faketime():
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


@needs(lambda _laboratory: None if _faketime() else "tool missing: libfaketime")
def step_a_clock(laboratory, chance):
    """One process after the other lives an hour ahead or behind for a while; monotonic clocks go on."""
    victim = chance.choice(list(laboratory.processes.values()))
    step = chance.choice((-CLOCK_STEP_S, CLOCK_STEP_S))
    shifted = [f"LD_PRELOAD={_faketime()}", f"FAKETIME={step:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    victim.kill()
    victim.start(wrapper=["env", *shifted])
    time.sleep(CLOCK_WRONG_S)
    victim.kill()
    victim.start()
    return f"{victim.name} {step:+d} s"


@needs(lambda laboratory: None if laboratory.small_disk else "no small disk: mounting a tmpfs needs root")
def fill_the_disk(laboratory, _chance):
    """Nothing is left on the disk of Postgres for a while; then there is room again, and nobody did anything else."""
    filler = laboratory.postgres.directory / "filler"
    disk = os.statvfs(laboratory.postgres.directory)
    with contextlib.suppress(OSError), filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize)
    time.sleep(DISK_FULL_S)
    filler.unlink()
    time.sleep(1.0)
    laboratory.keep_alive()


def plan(seed, *, count, names=None):
    """So many faults, every kind before any comes again, in an order of the seed."""
    chance = random.Random(seed)
    chosen = []
    while len(chosen) < count:
        kinds = sorted(names or FAULTS)
        chance.shuffle(kinds)
        chosen += kinds
    return chosen[:count]


def hurt(name, laboratory, chance):
    """Do it; a server that is not there to be hurt is part of the picture."""
    try:
        return FAULTS[name](laboratory, chance)
    except (psycopg.OperationalError, redis.RedisError) as error:
        return f"in vain: {type(error).__name__}"
