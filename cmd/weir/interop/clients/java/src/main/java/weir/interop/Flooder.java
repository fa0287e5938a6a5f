package weir.interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Several idempotent producers at once: see Flood in job/flood.go. */
final class Flooder {
    private final String brokers;
    private final Job.Flood job;

    Flooder(String brokers, Job.Flood job) {
        this.brokers = brokers;
        this.job = job;
    }

    /** Returns how many records were acknowledged. */
    int run() throws Exception {
        List<Future<Integer>> all = new ArrayList<>();
        int acknowledged = 0;
        ExecutorService pool = Executors.newFixedThreadPool(job.producers());
        try {
            for (int i = 0; i < job.producers(); i++) {
                int number = i;
                all.add(pool.submit(() -> alone(number)));
            }
            for (Future<Integer> one : all) {
                acknowledged += one.get();
            }
        } finally {
            pool.shutdown();
        }
        return acknowledged;
    }

    /** One of the producers. */
    private int alone(int number) throws Exception {
        AtomicInteger acknowledged = new AtomicInteger();
        AtomicReference<Exception> trouble = new AtomicReference<>();
        try (Producer<byte[], byte[]> producer = newProducer()) {
            for (int n = 0; n < job.records() && trouble.get() == null; n++) {
                var record = new ProducerRecord<byte[], byte[]>(job.topic(), n % job.partitions(), null, value(number, n));
                producer.send(record, (metadata, error) -> {
                    if (error == null) {
                        acknowledged.incrementAndGet();
                    } else {
                        trouble.compareAndSet(null, error);
                    }
                });
            }
        }
        if (trouble.get() != null) {
            throw trouble.get();
        }
        return acknowledged.get();
    }

    private byte[] value(int number, int n) {
        byte[] start = (number + " " + n + " ").getBytes(StandardCharsets.US_ASCII);
        byte[] value = Arrays.copyOf(start, Math.max(start.length, job.valueBytes()));
        Arrays.fill(value, start.length, value.length, (byte) '.');
        return value;
    }

    private Producer<byte[], byte[]> newProducer() {
        return new KafkaProducer<>(Map.of(
            ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
            ProducerConfig.ACKS_CONFIG, "all",
            ProducerConfig.MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION, 5,
            ProducerConfig.BATCH_SIZE_CONFIG, job.batchBytes(),
            ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, Integer.MAX_VALUE,
            ProducerConfig.MAX_BLOCK_MS_CONFIG, Integer.MAX_VALUE), new ByteArraySerializer(), new ByteArraySerializer());
    }
}
