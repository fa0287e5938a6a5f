"""One process of one stage of a chain, with confluent-kafka: see Stage in job/stage.go."""

import faulthandler
import itertools
import json
import os
import sys
import threading
import zlib

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

# Of each call, in seconds. The group waits for a member that waits: rather begin anew.
TIMEOUT = 15
# After so many seconds a call is taken never to come back (librdkafka's issues 5456 and 5511).
FOREVER = 40


def run(brokers, stage):
    rounds = itertools.count(1)
    watchdog = Watchdog({"brokers": brokers, "stage": stage})
    while True:
        consumer, producer = new_consumer(brokers, stage), new_producer(brokers, stage)
        try:
            producer.init_transactions(TIMEOUT)
            # Without a callback librdkafka shares anew at any time, and what was read belongs to another by then.
            consumer.subscribe([stage["from"]], on_revoke=lambda _consumer, _partitions: None)
            while True:
                watchdog.alive()
                transact(consumer, producer, stage, rounds)
        except KafkaException as error:
            print(f"begins anew after {error}", file=sys.stderr, flush=True)
        consumer.close()


class Watchdog:
    """Begins anew with a new process when a call does not come back, and says which."""

    def __init__(self, job):
        self._job = json.dumps(job).encode() + b"\n"
        self._seen = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def alive(self):
        self._seen.set()

    def _watch(self):
        while self._seen.wait(FOREVER):
            self._seen.clear()
        faulthandler.dump_traceback()
        print("begins anew after a call that does not come back", file=sys.stderr, flush=True)
        reading, writing = os.pipe()
        os.write(writing, self._job)
        os.close(writing)
        os.dup2(reading, sys.stdin.fileno())
        os.execv(sys.executable, [sys.executable, *sys.argv])


def transact(consumer, producer, stage, rounds):
    messages = consumer.consume(100, 0.1)
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
    if not messages:
        return
    producer.begin_transaction()
    first, following = {}, {}
    for message in messages:
        producer.produce(stage["to"], key=message.key(), value=stamp(stage["number"], message.value()))
        first.setdefault(message.partition(), message.offset())
        following[message.partition()] = message.offset() + 1
    offsets = [TopicPartition(stage["from"], partition, offset) for partition, offset in following.items()]
    producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), TIMEOUT)
    if next(rounds) % 5:
        producer.commit_transaction(TIMEOUT)
        return
    producer.flush(TIMEOUT)  # what is aborted has been written
    producer.abort_transaction(TIMEOUT)
    for partition, offset in first.items():
        consumer.seek(TopicPartition(stage["from"], partition, offset))


def stamp(number, value):
    return b"%s %d:%08x" % (value, number, zlib.crc32(value))


def new_producer(brokers, stage):
    return Producer({
        "bootstrap.servers": brokers,
        "client.id": stage["transactionalId"],
        "transactional.id": stage["transactionalId"],
        "transaction.timeout.ms": stage["timeoutMillis"],
        "partitioner": "murmur2_random",
    })


def new_consumer(brokers, stage):
    config = {
        "bootstrap.servers": brokers,
        "client.id": stage["transactionalId"],
        "group.id": stage["group"],
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
    if stage["consumer"]:
        return Consumer({**config, "group.protocol": "consumer"})
    return Consumer({
        **config,
        "session.timeout.ms": stage["sessionMillis"],
        "heartbeat.interval.ms": stage["heartbeatMillis"],
    })
