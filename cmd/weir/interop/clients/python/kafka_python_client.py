"""Runs interop jobs with kafka-python."""

import time

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError

import jobio

TIMEOUT = 60
# Of a member: when the answer to SyncGroup comes as poll's time is up, it is lost, and the member believes for ever that
# the group is rebalancing.
POLL_MILLIS = 1000
ASSIGNORS = {
    assignor.name: assignor
    for assignor in (RangePartitionAssignor, RoundRobinPartitionAssignor, CooperativeStickyAssignor)
}


def produce(brokers, topic, run):
    codec = None if run["codec"] == "none" else run["codec"]
    producer = KafkaProducer(
        bootstrap_servers=brokers, compression_type=codec, acks="all",
        enable_idempotence=run["idempotent"], linger_ms=20)
    sent = [
        producer.send(
            topic,
            key=jobio.to_bytes(record["key"]),
            value=jobio.to_bytes(record["value"]),
            headers=jobio.headers_of(record),
            timestamp_ms=record["timestamp"])
        for record in run["records"]
    ]
    answers = [future.get(TIMEOUT) for future in sent]
    producer.close()
    return [(answer.partition, answer.offset) for answer in answers]


def new_consumer(brokers):
    return KafkaConsumer(
        bootstrap_servers=brokers, group_id=None, enable_auto_commit=False, auto_offset_reset="none")


def consume(brokers, reads):
    consumer = new_consumer(brokers)
    try:
        return [read_one(consumer, read) for read in reads]
    finally:
        consumer.close()


def join(brokers, group, line):
    consumer = KafkaConsumer(
        group["topic"], bootstrap_servers=brokers, group_id=group["group"], enable_auto_commit=False,
        auto_offset_reset="earliest", group_instance_id=group["instance"] or None,
        partition_assignment_strategy=[ASSIGNORS[name] for name in group["assignors"]],
        session_timeout_ms=group["sessionMillis"], heartbeat_interval_ms=group["heartbeatMillis"],
        metadata_max_age_ms=group["metadataMillis"])
    try:
        while (order := line.order()) != "leave":
            if order == "commit":
                commit(consumer, line)
            for records in consumer.poll(timeout_ms=POLL_MILLIS).values():
                for record in records:
                    line.read(record.partition, record.offset)
    finally:
        consumer.close()


def commit(consumer, line):
    try:
        consumer.commit()
    except (CommitFailedError, IllegalGenerationError, RebalanceInProgressError):
        line.refused()
    else:
        line.committed()


def read_one(consumer, read):
    partition = TopicPartition(read["topic"], read["partition"])
    consumer.assign([partition])
    high = consumer.end_offsets([partition])[partition]
    if read["from"] == "offset":
        start = read["at"]
    elif read["from"] == "timestamp":
        found = consumer.offsets_for_times({partition: read["at"]})[partition]
        start = -1 if found is None else found.offset
    else:
        start = consumer.beginning_offsets([partition])[partition]
    records = []
    if 0 <= start < read["end"]:
        consumer.seek(partition, start)
        collect(consumer, read["end"], records)
    return {"start": start, "high": high, "records": records}


def collect(consumer, end, records):
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        for messages in consumer.poll(timeout_ms=1000).values():
            for message in messages:
                if message.offset < end:
                    records.append(jobio.record(
                        message.partition, message.offset, message.timestamp,
                        message.key, message.value, message.headers))
                if message.offset >= end - 1:
                    return
    raise RuntimeError("no end after a minute")


def admin(brokers, job):
    client = KafkaAdminClient(bootstrap_servers=brokers)
    topic = job["topic"]
    result = {}
    cluster = client.describe_cluster()
    result["clusterId"], result["brokers"] = cluster["cluster_id"], len(cluster["brokers"])

    client.create_topics({topic: {"num_partitions": 3, "replication_factor": 1, "configs": job["configs"]}})
    result["listed"] = topic in client.list_topics()
    result["partitions"] = partitions(client, topic)
    result["configs"] = describe_configs(client, topic)
    changed = client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, job["alter"])], incremental=True)
    if changed["topic"][topic] != "OK":
        raise RuntimeError(changed)
    result["altered"] = describe_configs(client, topic)
    client.create_partitions({topic: 5})
    result["partitionsAfter"] = partitions(client, topic)
    result.update(trim(client, brokers, topic))
    result["logDirBytes"] = sum(
        partition["partition_size"]
        for broker in client.describe_log_dirs({topic: [0]})
        for directory in broker["log_dirs"]
        for found in directory["topics"] if found["name"] == topic
        for partition in found["partitions"])

    again = client.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, raise_errors=False)
    result["createExisting"] = again["topics"][0]["error_code"]
    illegal = client.create_topics({job["illegal"]: {"num_partitions": 1, "replication_factor": 1}}, raise_errors=False)
    result["createIllegal"] = illegal["topics"][0]["error_code"]
    result["describeUnknown"] = client.describe_topics([job["unknown"]])[0]["error_code"]

    client.delete_topics([topic])
    while topic in client.list_topics():
        time.sleep(0.05)
    result["deleted"] = True
    client.close()
    return result


def trim(client, brokers, topic):
    producer = KafkaProducer(bootstrap_servers=brokers)
    for number in range(10):
        producer.send(topic, value=f"record {number}".encode(), partition=0).get(TIMEOUT)
    producer.close()
    first = TopicPartition(topic, 0)
    deleted = client.delete_records({first: 4})
    consumer = new_consumer(brokers)
    start = consumer.beginning_offsets([first])[first]
    consumer.close()
    return {"lowWatermark": deleted[first]["low_watermark"], "startAfter": start}


def partitions(client, topic):
    return len(client.describe_topics([topic])[0]["partitions"])


def describe_configs(client, topic):
    described = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    return {
        name: str(entry["value"])
        for name, entry in described["topic"][topic].items() if entry["value"] is not None
    }


if __name__ == "__main__":
    jobio.main(f"kafka-python {kafka.__version__}", produce, consume, join, admin)
