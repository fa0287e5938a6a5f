"""One process of one stage of a chain, with confluent-kafka: see Stage in job/stage.go."""

import itertools
import sys
import zlib

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

# Of each call, in seconds. The group waits for a member that waits: rather begin anew.
TIMEOUT = 15


def run(brokers, stage):
    rounds = itertools.count(1)
    while True:
        consumer, producer = new_consumer(brokers, stage), new_producer(brokers, stage)
        try:
            producer.init_transactions(TIMEOUT)
            # Without a callback librdkafka shares anew at any time, and what was read belongs to another by then.
            consumer.subscribe([stage["from"]], on_revoke=lambda _consumer, _partitions: None)
            while True:
                transact(consumer, producer, stage, rounds)
        except KafkaException as error:
            print(f"begins anew after {error}", file=sys.stderr, flush=True)
        consumer.close()


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
        "transactional.id": stage["transactionalId"],
        "transaction.timeout.ms": stage["timeoutMillis"],
        "partitioner": "murmur2_random",
    })


def new_consumer(brokers, stage):
    config = {
        "bootstrap.servers": brokers,
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
