"""Reads an interop job and writes its result: the shapes of job/job.go, for the Python clients."""

import base64
import json
import queue
import sys
import threading


def to_bytes(text):
    """Base64 to bytes; null stays None."""
    return None if text is None else base64.b64decode(text)


def to_text(data):
    return None if data is None else base64.b64encode(data).decode("ascii")


def headers_of(record):
    return [(h["name"], to_bytes(h["value"])) for h in record["headers"] or []]


def record(partition, offset, timestamp, key, value, headers):
    return {
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp,
        "key": to_text(key),
        "value": to_text(value),
        "headers": [{"name": name, "value": to_text(data)} for name, data in headers or []],
    }


class Line:
    """A member's line to the driver: every further line of the input orders a commit, its end to leave."""

    def __init__(self):
        self._orders = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for _ in sys.stdin:
            self._orders.put("commit")
        self._orders.put("leave")

    def order(self):
        """What there is to do, None for nothing."""
        try:
            return self._orders.get_nowait()
        except queue.Empty:
            return None

    def read(self, partition, offset):
        self._say({"read": {"partition": partition, "offset": offset}})

    def committed(self):
        self._say({"committed": True})

    def refused(self):
        """The group shares anew: a commit is to be ordered again."""
        self._say({"refused": True})

    def _say(self, said):
        print(json.dumps(said), flush=True)


def main(name, produce, consume, join, admin, transform=None, flood=None, stage=None):
    """Runs the one part that the job asks for, by the function of that name."""
    job = json.loads(sys.stdin.readline())
    if job.get("join"):
        join(job["brokers"], job["join"], Line())
        return
    if job.get("stage"):
        stage(job["brokers"], job["stage"])
        return
    result = {"client": name}
    if job.get("produce"):
        result["produced"] = [
            {"partition": partition, "offset": offset}
            for run in job["produce"]["runs"]
            for partition, offset in produce(job["brokers"], job["produce"]["topic"], run)
        ]
    elif job.get("consume"):
        result["consumed"] = consume(job["brokers"], job["consume"])
    elif job.get("transform"):
        result["aborted"] = transform(job["brokers"], job["transform"])
    elif job.get("flood"):
        result["acknowledged"] = flood(job["brokers"], job["flood"])
    else:
        result["admin"] = admin(job["brokers"], job["admin"])
    json.dump(result, sys.stdout)
