"""Several idempotent producers at once: see Flood in job/flood.go."""

from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaException, Producer


def flood(brokers, job):
    """Returns how many records were acknowledged."""
    with ThreadPoolExecutor(job["producers"]) as pool:
        return sum(pool.map(lambda number: flood_alone(brokers, job, number), range(job["producers"])))


def flood_alone(brokers, job, number):
    producer = Producer({
        "bootstrap.servers": brokers,
        "enable.idempotence": True,
        "acks": "all",
        "max.in.flight": 5,
        "batch.size": job["batchBytes"],
        "message.timeout.ms": 0,  # never
        "reconnect.backoff.max.ms": 200,  # it grows with every connection that ends
    })
    acknowledged = 0

    def delivered(error, _):
        nonlocal acknowledged
        if error is not None:
            raise KafkaException(error)
        acknowledged += 1

    for n in range(job["records"]):
        value = f"{number} {n} ".ljust(job["valueBytes"], ".")
        while True:
            try:
                producer.produce(job["topic"], value=value, partition=n % job["partitions"], on_delivery=delivered)
                break
            except BufferError:  # its queue is full
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush():
        raise RuntimeError("records left unsent")
    return acknowledged
