package weir.interop;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Consume, transform, produce: see Transform in job.go. */
final class Transformer {
    private static final Duration TIMEOUT = Duration.ofSeconds(60);

    private final String brokers;
    private final Job.Transform job;

    Transformer(String brokers, Job.Transform job) {
        this.brokers = brokers;
        this.job = job;
    }

    /** Returns how many transactions were aborted. */
    int run() {
        int aborted = 0;
        Producer<byte[], byte[]> producer = newProducer();
        producer.initTransactions();
        try (Consumer<byte[], byte[]> consumer = newConsumer()) {
            consumer.subscribe(List.of(job.from()));
            long deadline = System.nanoTime() + TIMEOUT.toNanos();
            int rounds = 0;
            for (int done = 0; done < job.count();) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("no more records after " + done);
                }
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofSeconds(1));
                if (records.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                Map<TopicPartition, Long> first = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    send(producer, record.partition() + "@" + record.offset());
                    TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                    next.put(partition, new OffsetAndMetadata(record.offset() + 1));
                    first.putIfAbsent(partition, record.offset());
                }
                producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
                if (++rounds % 3 != 0) {
                    producer.commitTransaction();
                    done += records.count();
                } else {
                    producer.abortTransaction();
                    aborted++;
                    first.forEach(consumer::seek);
                }
            }
        }
        producer.beginTransaction();
        send(producer, "left open");
        producer.flush();
        return aborted;
    }

    private void send(Producer<byte[], byte[]> producer, String value) {
        producer.send(new ProducerRecord<>(job.to(), value.getBytes(StandardCharsets.UTF_8)));
    }

    private Producer<byte[], byte[]> newProducer() {
        return new KafkaProducer<>(Map.of(
            ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ProducerConfig.TRANSACTIONAL_ID_CONFIG, job.transactionalId()), new ByteArraySerializer(), new ByteArraySerializer());
    }

    private Consumer<byte[], byte[]> newConsumer() {
        return new KafkaConsumer<>(Map.of(
            ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ConsumerConfig.GROUP_ID_CONFIG, job.group(),
            ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false,
            ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 10,
            ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed",
            ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest"), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
