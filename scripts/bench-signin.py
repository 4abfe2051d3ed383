"""What scripts/bench-signin does to a running dlc, and the tables that come of it: engine, URL, process, samples, crowd."""

import http.client
import json
import random
import sys
import threading
import time
from statistics import median, quantiles

engine, url, process, samples, crowd = sys.argv[1:]
process, samples, crowd = int(process), int(samples), int(crowd)
host = url.removeprefix("http://")
PASSWORD = "tulip ferry onyx"
# A name is closed after the fifth failure.
TRIES = 4


class Client:
    def __init__(self):
        self.connection = http.client.HTTPConnection(host, timeout=60)
        self.connection.connect()

    def ask(self, method, path, body=None, token=None):
        """Status, body and seconds."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        body = json.dumps(body) if body is not None else None
        begun = time.perf_counter()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        took = time.perf_counter() - begun
        return answer.status, json.loads(text) if text else None, took

    def sure(self, status, *request, **more):
        got, body, _ = self.ask(*request, **more)
        if got != status:
            sys.exit(f"{request}: {got} {body}")
        return body

    def sign_in(self, name, password=PASSWORD):
        return self.ask("POST", "/api/v1/auth/login", {"username": name, "password": password})


def percentile(times, hundredths):
    return quantiles(times, n=100)[hundredths - 1]


def told_apart(first, second):
    """The share of pairs in which the better guess by time is right."""
    right = sum((a > b) + (a == b) / 2 for a in first for b in second) / (len(first) * len(second))
    return max(right, 1 - right)


client = Client()
people = -(-samples // TRIES)
for kind in ("wrong", "deleted", "right"):
    for number in range(people):
        account = {"username": f"{kind}{number}", "password": PASSWORD}
        client.sure(201, "POST", "/api/v1/auth/register", account)
        if kind == "deleted":
            token = client.sign_in(account["username"])[1]["access_token"]
            client.sure(204, "DELETE", "/api/v1/users/me", token=token)

## The stopwatch

asked = [(kind, f"{kind}{number}") for kind in ("unknown", "wrong", "deleted", "right") for number in range(people)] * TRIES
random.seed(4)
random.shuffle(asked)
times = {"unknown": [], "wrong": [], "deleted": [], "right": []}
for kind, name in asked:
    # Whoever has a deleted account knows its password.
    status, _, took = client.sign_in(name, PASSWORD if kind in ("deleted", "right") else "another quiet harbour")
    if status != (200 if kind == "right" else 401):
        sys.exit(f"{kind}: {status}")
    times[kind].append(took * 1000)

print(f"\n## {engine}: by stopwatch\n")
print("| sign-in | p5 ms | p25 ms | p50 ms | p75 ms | p95 ms | p50 / wrong password |")
print("|---|---:|---:|---:|---:|---:|---:|")
words = {"unknown": "unknown name", "wrong": "wrong password", "deleted": "deleted account", "right": "right password"}
for kind, found in times.items():
    columns = " | ".join(f"{percentile(found, n):.1f}" for n in (5, 25, 50, 75, 95))
    print(f"| {words[kind]} | {columns} | {median(found) / median(times['wrong']):.3f} x |")

print("\n| kinds | told apart |\n|---|---:|")
for first, second in (("unknown", "wrong"), ("unknown", "deleted"), ("wrong", "deleted")):
    print(f"| {words[first]}, {words[second]} | {told_apart(times[first], times[second]):.1%} |")
for kind in ("unknown", "wrong", "deleted"):
    print(f"| {words[kind]}, with itself | {told_apart(times[kind][::2], times[kind][1::2]):.1%} |")

## The crowd

client.sure(201, "POST", "/api/v1/coupons", {"name": "read", "amount": 5})


def memory(name):
    with open(f"/proc/{process}/status") as status:
        line = next(line for line in status if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6


class Others(threading.Thread):
    """Somebody who only asks."""

    def __init__(self):
        super().__init__()
        self.over = threading.Event()
        self.times = {"/healthz": [], "/api/v1/coupons/read": []}

    def run(self):
        client = Client()
        while not self.over.is_set():
            for path, times in self.times.items():
                status, _, took = client.ask("GET", path)
                if status != 200:
                    sys.exit(f"{path}: {status}")
                times.append(took * 1000)

    def end(self):
        self.over.set()
        self.join()
        return self.times


# What the stopwatch has used is given back when nobody signs in for a while.
time.sleep(12)
idle = memory("VmRSS")
others = Others()
others.start()
time.sleep(3)
alone = others.end()

barrier = threading.Barrier(crowd + 1)
answers = []


def one(number):
    client = Client()
    barrier.wait()
    begun = time.perf_counter()
    status, body, _ = client.sign_in(f"right{number % people}")
    answers.append((status, body.get("code"), time.perf_counter() - begun))


threads = [threading.Thread(target=one, args=(number,)) for number in range(crowd)]
for thread in threads:
    thread.start()
others = Others()
others.start()
barrier.wait()
begun = time.perf_counter()
for thread in threads:
    thread.join()
whole = time.perf_counter() - begun
during = others.end()
signed_in = [took for status, _, took in answers if status == 200]
turned_away = [took for status, code, took in answers if (status, code) == (503, "overloaded")]
if len(signed_in) + len(turned_away) != crowd:
    sys.exit(f"neither signed in nor told to come back: {[answer[:2] for answer in answers]}")

print(f"\n## {engine}: {crowd} people at once\n")
print("| what | figure |\n|---|---:|")
print(f"| signed in | {len(signed_in)} |")
print(f"| told by 503 to come back | {len(turned_away)} |")
print(f"| until the last was answered | {whole:.2f} s |")
print(f"| sign-ins per second / one after another | {len(signed_in) / whole * median(times['right']) / 1000:.2f} x |")
if turned_away:
    print(f"| a 503 took, at most | {max(turned_away) * 1000:.0f} ms |")
print(f"| memory before | {idle:.1f} MB |")
print(f"| memory, the most it ever was | {memory('VmHWM'):.1f} MB |")
print("\n| others, meanwhile | p50 alone ms | p50 ms | p99 alone ms | p99 ms | most ms |\n|---|---:|---:|---:|---:|---:|")
for path, found in during.items():
    before = alone[path]
    columns = (median(before), median(found), percentile(before, 99), percentile(found, 99), max(found))
    print(f"| `{path}` | {' | '.join(f'{value:.2f}' for value in columns)} |")
