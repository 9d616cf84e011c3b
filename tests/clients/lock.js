// Takes a lock again and again with node-redlock, and checks that nobody else is inside.
'use strict';

const { Redis } = require('ioredis');
const Redlock = require('redlock');

const locks = new Redis(process.env.LOCKS);
const guard = new Redis(process.env.GUARD);
const redlock = new Redlock([locks], { retryCount: -1, retryDelay: 1, retryJitter: 4 });
const pause = (from, to) =>
  new Promise((resolve) => setTimeout(resolve, from + Math.random() * (to - from)));

async function main() {
  for (let round = 0; round < Number(process.env.ROUNDS); round += 1) {
    const lock = await redlock.lock('k', 30000);
    if ((await guard.incr('inside')) !== 1) await guard.incr('violations');
    if ((await guard.getset('last', 'theirs')) !== 'theirs') await guard.incr('turns');
    await pause(1, 5);
    await guard.incr('rounds:theirs');
    await guard.decr('inside');
    await lock.unlock(); // fails when it was not ours any more
    await pause(0, 5);
  }
  locks.disconnect();
  guard.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
