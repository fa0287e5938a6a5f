"""Runs interop jobs with confluent-kafka (librdkafka)."""

import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

import confluent_stage
import jobio
from confluent_flood import flood

TIMEOUT = 60


def produce(brokers, topic, run):
    producer = Producer({
        "bootstrap.servers": brokers,
        "compression.type": run["codec"],
        "enable.idempotence": run["idempotent"],
        "acks": "all",
        "linger.ms": 20,
    })
    positions = [None] * len(run["records"])

    def report(index):
        def delivered(error, message):
            if error is not None:
                raise KafkaException(error)
            positions[index] = (message.partition(), message.offset())
        return delivered

    for index, record in enumerate(run["records"]):
        producer.produce(
            topic,
            key=jobio.to_bytes(record["key"]),
            value=jobio.to_bytes(record["value"]),
            headers=jobio.headers_of(record),
            timestamp=record["timestamp"],
            on_delivery=report(index),
        )
    if producer.flush(TIMEOUT):
        raise RuntimeError("records left unsent")
    return positions


def consume(brokers, reads):
    # librdkafka wants a group's name even from a consumer that only assigns; it never joins.
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "interop-assigning",
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 50,  # each read ends with a fetch that waits at the end
        "auto.offset.reset": "error",
    })
    try:
        return [read_one(consumer, read) for read in reads]
    finally:
        consumer.close()


def join(brokers, group, line):
    consumer = Consumer(membership(brokers, group))
    try:
        consumer.subscribe([group["topic"]])
        while (order := line.order()) != "leave":
            if order == "commit":
                commit(consumer)
                line.committed()
            message = consumer.poll(0.1)
            if message is None:
                continue
            if message.error() is None:
                line.read(message.partition(), message.offset())
            elif not message.error().retriable():
                raise KafkaException(message.error())
    finally:
        consumer.close()


def membership(brokers, group):
    config = {
        "bootstrap.servers": brokers,
        "group.id": group["group"],
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "topic.metadata.refresh.interval.ms": group["metadataMillis"],
    }
    if group["instance"]:
        config["group.instance.id"] = group["instance"]
    if group["consumer"]:
        return {**config, "group.protocol": "consumer"}
    return {
        **config,
        "partition.assignment.strategy": ",".join(group["assignors"]),
        "session.timeout.ms": group["sessionMillis"],
        "heartbeat.interval.ms": group["heartbeatMillis"],
    }


def commit(consumer):
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._NO_OFFSET:  # it has read nothing since
            raise


def read_one(consumer, read):
    partition = TopicPartition(read["topic"], read["partition"])
    low, high = consumer.get_watermark_offsets(partition, timeout=TIMEOUT)
    start = {"start": low, "offset": read["at"]}.get(read["from"])
    if start is None:
        partition.offset = read["at"]
        found = consumer.offsets_for_times([partition], timeout=TIMEOUT)[0]
        start = found.offset if found.offset >= 0 else -1
    records = []
    if 0 <= start < read["end"]:
        consumer.assign([TopicPartition(read["topic"], read["partition"], start)])
        collect(consumer, read["end"], records)
        consumer.unassign()
    return {"start": start, "high": high, "records": records}


def transform(brokers, job):
    """Consume, transform, produce: see Transform in job.go. Returns how many transactions it has aborted."""
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": job["group"],
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    })
    consumer.subscribe([job["from"]])
    producer = Producer({"bootstrap.servers": brokers, "transactional.id": job["transactionalId"]})
    producer.init_transactions(TIMEOUT)
    done = aborted = rounds = 0
    deadline = time.monotonic() + TIMEOUT
    while done < job["count"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no more records after {done}")
        messages = consumer.consume(min(10, job["count"] - done), 1.0)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            producer.produce(job["to"], value=f"{message.partition()}@{message.offset()}")
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), TIMEOUT)
        rounds += 1
        if rounds % 3:
            producer.commit_transaction(TIMEOUT)
            done += len(messages)
            continue
        producer.abort_transaction(TIMEOUT)
        aborted += 1
        first = {}
        for message in messages:
            first.setdefault(message.partition(), message.offset())
        for partition, offset in first.items():
            consumer.seek(TopicPartition(job["from"], partition, offset))
    consumer.close()
    producer.begin_transaction()
    producer.produce(job["to"], value="left open")
    producer.flush(TIMEOUT)
    return aborted


def collect(consumer, end, records):
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        if message.offset() < end:
            records.append(jobio.record(
                message.partition(), message.offset(), message.timestamp()[1],
                message.key(), message.value(), message.headers()))
        if message.offset() >= end - 1:
            return
    raise RuntimeError("no end after a minute")


def admin(brokers, job):
    client = AdminClient({"bootstrap.servers": brokers})
    topic = job["topic"]
    result = {}
    cluster = client.describe_cluster().result(TIMEOUT)
    result["clusterId"], result["brokers"] = cluster.cluster_id, len(cluster.nodes)

    wait(client.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1, config=job["configs"])]))
    result["listed"] = topic in client.list_topics(timeout=TIMEOUT).topics
    result["partitions"] = partitions(client, topic)
    result["configs"] = describe_configs(client, topic)

    increments = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in job["alter"].items()
    ]
    wait(client.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=increments)]))
    result["altered"] = describe_configs(client, topic)
    wait(client.alter_configs([ConfigResource(ResourceType.TOPIC, topic, set_config=job["replace"])]))
    result["replaced"] = describe_configs(client, topic)

    wait(client.create_partitions([NewPartitions(topic, 5)]))
    result["partitionsAfter"] = partitions(client, topic)
    result.update(trim(client, brokers, topic))

    again = client.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    result["createExisting"] = code_of(again[topic])
    illegal = client.create_topics([NewTopic(job["illegal"], num_partitions=1, replication_factor=1)])
    result["createIllegal"] = code_of(illegal[job["illegal"]])
    unknown = client.describe_topics(confluent_kafka.TopicCollection([job["unknown"]]))
    result["describeUnknown"] = code_of(unknown[job["unknown"]])

    wait(client.delete_topics([topic]))
    while topic in client.list_topics(timeout=TIMEOUT).topics:
        time.sleep(0.05)
    result["deleted"] = True
    return result


def trim(client, brokers, topic):
    producer = Producer({"bootstrap.servers": brokers})
    for number in range(10):
        producer.produce(topic, value=f"record {number}", partition=0)
    producer.flush(TIMEOUT)
    deleted = wait(client.delete_records([TopicPartition(topic, 0, 4)]))[0]
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "interop-assigning"})
    low, _ = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=TIMEOUT)
    consumer.close()
    return {"lowWatermark": deleted.low_watermark, "startAfter": low}


def wait(futures):
    return [future.result(TIMEOUT) for future in futures.values()]


def code_of(future):
    try:
        future.result(TIMEOUT)
        return KafkaError.NO_ERROR
    except KafkaException as error:
        return error.args[0].code()


def partitions(client, topic):
    described = client.describe_topics(confluent_kafka.TopicCollection([topic]))
    return len(described[topic].result(TIMEOUT).partitions)


def describe_configs(client, topic):
    entries = wait(client.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))[0]
    return {name: entry.value for name, entry in entries.items() if entry.value is not None}


if __name__ == "__main__":
    version = f"confluent-kafka {confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})"
    jobio.main(version, produce, consume, join, admin, transform, flood, confluent_stage.run)
