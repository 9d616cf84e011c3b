"""Takes a lock again and again with redis-py's Lock, and checks that nobody else is inside."""

import os
import random
import time

import redis

locks = redis.Redis.from_url(os.environ["LOCKS"])
guard = redis.Redis.from_url(os.environ["GUARD"])

for _ in range(int(os.environ["ROUNDS"])):
    lock = redis.lock.Lock(locks, "k", timeout=30, sleep=0.002)
    assert lock.acquire()
    if guard.incr("inside") != 1:
        guard.incr("violations")
    if guard.getset("last", "theirs") != b"theirs":
        guard.incr("turns")
    time.sleep(random.uniform(0.001, 0.005))
    guard.incr("rounds:theirs")
    guard.decr("inside")
    lock.release()  # fails when it was not ours any more
    time.sleep(random.uniform(0, 0.005))
