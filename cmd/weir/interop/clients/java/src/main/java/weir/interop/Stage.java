package weir.interop;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
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
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** One process of one stage of a chain: see Stage in job/stage.go. */
final class Stage {
    private final String brokers;
    private final Job.Stage job;
    private int rounds;

    Stage(String brokers, Job.Stage job) {
        this.brokers = brokers;
        this.job = job;
    }

    void run() {
        while (true) {
            try (Consumer<byte[], byte[]> consumer = newConsumer(); Producer<byte[], byte[]> producer = newProducer()) {
                producer.initTransactions();
                consumer.subscribe(List.of(job.from()));
                while (true) {
                    transact(consumer, producer);
                }
            } catch (KafkaException e) {
                System.err.println("begins anew after " + e);
            }
        }
    }

    private void transact(Consumer<byte[], byte[]> consumer, Producer<byte[], byte[]> producer) {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofSeconds(1));
        if (records.isEmpty()) {
            return;
        }
        producer.beginTransaction();
        Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
        Map<TopicPartition, Long> first = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            producer.send(new ProducerRecord<>(job.to(), record.key(), stamp(record.value())));
            TopicPartition partition = new TopicPartition(record.topic(), record.partition());
            next.put(partition, new OffsetAndMetadata(record.offset() + 1));
            first.putIfAbsent(partition, record.offset());
        }
        producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
        if (++rounds % 5 != 0) {
            producer.commitTransaction();
            return;
        }
        producer.flush(); // what is aborted has been written
        producer.abortTransaction();
        first.forEach(consumer::seek);
    }

    private byte[] stamp(byte[] value) {
        CRC32 sum = new CRC32();
        sum.update(value);
        return String.format("%s %d:%08x", new String(value, StandardCharsets.UTF_8), job.number(), sum.getValue())
            .getBytes(StandardCharsets.UTF_8);
    }

    private Producer<byte[], byte[]> newProducer() {
        return new KafkaProducer<>(Map.of(
            ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ProducerConfig.CLIENT_ID_CONFIG, job.transactionalId(),
            ProducerConfig.TRANSACTIONAL_ID_CONFIG, job.transactionalId(),
            ProducerConfig.TRANSACTION_TIMEOUT_CONFIG, job.timeoutMillis()), new ByteArraySerializer(), new ByteArraySerializer());
    }

    private Consumer<byte[], byte[]> newConsumer() {
        Map<String, Object> config = new HashMap<>(Map.of(
            ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ConsumerConfig.CLIENT_ID_CONFIG, job.transactionalId(),
            ConsumerConfig.GROUP_ID_CONFIG, job.group(),
            ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false,
            ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 100,
            ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed",
            ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest"));
        if (job.consumer()) {
            config.put(ConsumerConfig.GROUP_PROTOCOL_CONFIG, "consumer");
        } else {
            config.put(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, job.sessionMillis());
            config.put(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, job.heartbeatMillis());
        }
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
