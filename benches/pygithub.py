"""Reads the repositories named on standard input with PyGithub in a pool of threads; prints the seconds it took."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from github import Auth, Github

address, threads = sys.argv[1], int(sys.argv[2])
names = sys.stdin.read().split()
# Its own pause of a quarter of a second between requests is switched off: it is by object, not by account.
client = Github(
    auth=Auth.Token(os.environ["BENCH_TOKEN"]),
    base_url=address,
    pool_size=threads,
    seconds_between_requests=0,
)
started = time.monotonic()
with ThreadPoolExecutor(threads) as pool:
    list(pool.map(client.get_repo, names))
print(time.monotonic() - started)
